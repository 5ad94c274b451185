"""cloud-init's own code asks for metadata, and understands what it is told.

It is Debian 13's, unpacked below .cache by `make setup-all`; nothing of it is installed. The wire is real,
its near end in a namespace in the place of a host, as in `test_wires`.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controller.agent import disk
from controller.services import door, roster
from controller.services.serving import Serving, Settings
from tests.contract.test_wires import IP, Door, Host, snapshot
from tests.meta.tree import ROOT

pytestmark = pytest.mark.long

PROGRAMS = ROOT / ".cache" / "oracles" / "root"
ASK = """
import json
from cloudinit.net.network_state import parse_net_config_data
from cloudinit.net import netplan
from cloudinit.sources.helpers import ec2
from cloudinit.util import read_seeded
at = "http://169.254.169.254"
seed = read_seeded(base=at + "/nocloud/%s", timeout=5, retries=0)
network = seed[3]
print(json.dumps({
    "ec2": {version: ec2.get_instance_metadata(version, at, timeout=5, retries=0)
            for version in ("latest", "2009-04-04", "2021-03-23")},
    "userdata": ec2.get_instance_userdata("latest", at, timeout=5, retries=0).decode(),
    "seed": seed[0],
    "network": network,
    "netplan": netplan.Renderer({})._render_content(parse_net_config_data(network)),
}))
"""


def test_it_is_told_of_its_own_port_in_both_shapes(tmp_path: Path) -> None:
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    host = Host()

    async def run() -> dict[str, Any]:
        disk.save(snapshot(), tmp_path / roster.FILE)
        entry = Door(host)
        work = asyncio.create_task(Serving(Settings(tmp_path, tmp_path, "br-int", "internal"), entry).run())
        assert await asyncio.to_thread(entry.plugged.wait, 60)
        host.take_aliases(11)
        # What it sends bears the port's address, as the pipeline would have written it.
        host.run(IP, "route", "replace", "169.254.169.254", "dev", door.NAME, "src", "10.0.0.11")
        said = await host.wait("chroot", str(PROGRAMS), "/usr/bin/python3", "-c", ASK)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        return json.loads(said)

    said = asyncio.run(run())
    os.close(host.fd)
    for version in ("latest", "2009-04-04", "2021-03-23"):
        told = said["ec2"][version]
        assert (told["instance-id"], told["local-hostname"]) == ("port-11", "web.acme.internal")
        assert told["local-ipv4"] == "10.0.0.2"
        (interface,) = told["network"]["interfaces"]["macs"].values()
        assert interface["subnet-ipv4-cidr-block"] == "10.0.0.0/24"
    assert said["userdata"] == ""
    assert said["seed"] == {"instance-id": "port-11", "local-hostname": "web.acme.internal"}
    assert "10.0.0.2/24" in said["netplan"] and "via: 10.0.0.1" in said["netplan"]
    assert "169.254.169.253" in said["netplan"] and "acme.internal" in said["netplan"]

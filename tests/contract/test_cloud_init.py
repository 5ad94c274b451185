"""cloud-init's own code asks for metadata, and understands what it is told.

It is Debian 13's, unpacked below .cache by `make setup-all`; nothing of it is installed. The wire is real,
its near end in a namespace in the place of a host, as in `test_wires`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from immutables import Map

from controller.agent import disk
from controller.services import door, roster
from controller.services.serving import Serving, Settings
from model.ids import PortKey
from model.seed import Seed, Sown
from model.snapshot import Snapshot, with_port
from services.metadata.facts import make_facts, network_config
from tests.contract.test_wires import IP, Door, Host, snapshot
from tests.fakes.tenants import ACME, network, port
from tests.fakes.world import added
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
    "seeded": seed[1].decode(),
    "network": network,
    "netplan": netplan.Renderer({})._render_content(parse_net_config_data(network)),
}))
"""


WRITE = """
import json, sys
import cloudinit.net
names = {"02:00:00:00:00:0b": "eth0", "02:00:00:00:00:15": "eth1"}
cloudinit.net.get_interfaces_by_mac = lambda *_, **__: names
from cloudinit.distros import rhel
from cloudinit.net import eni, netplan, networkd, sysconfig
from cloudinit.net.network_state import parse_net_config_data
config = sys.stdin.read()
state = parse_net_config_data(json.loads(config), skip_broken=False)
whole = netplan.Renderer({})
templates = rhel.Distro.renderer_configs["sysconfig"]
files = sysconfig.Renderer._render_sysconfig("", state, "rhel", templates)
print(json.dumps({
    "netplan": whole._render_content(parse_net_config_data(json.loads(config), renderer=whole)),
    "networkd": networkd.Renderer({})._render_content(state)["eth0"],
    "eni": eni.Renderer({})._render_interfaces(state),
    "ifcfg": files["/network-scripts/route-eth0"],
}))
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHBlcm1pdHRlZC1mb3ItZXhhbXBsZXMtb25seS0hISEh me"
DATA = "#cloud-config\nhostname: é\n"


def two_nics() -> Snapshot:
    """Port 11 has another NIC, user data and a key."""
    second = port("web-storage", 21, 3, "10.7.0.2")
    plain = added(snapshot(), network("storage", 3, ACME, "10.7.0.0/24"), second)
    for key in (11, 21):
        plain = with_port(plain, replace(plain.ports[PortKey(key)], hosts=(plain.host,)))
    sown = (Sown(PortKey(11), Seed(keys=(KEY,), data=DATA)), Sown(PortKey(21), Seed("web")))
    return replace(plain, seeds=Map({one.port: one for one in sown}))


def test_each_of_its_writers_takes_routes_on_the_link_and_nics_without_resolvers() -> None:
    """What a next hop of 0.0.0.0 is to the programs that read these files, RFC 3442 says, too: none."""
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    first, second = port("web", 11, 1, "10.0.0.2", "fd00:1::2"), port("web-storage", 21, 3, "10.7.0.2")
    front = replace(network("front", 1, ACME, "10.0.0.0/24", "fd00:1::/64"), routed=False)
    beside = (second, network("storage", 3, ACME, "10.7.0.0/24"))
    config = network_config(make_facts(first, front, "acme.internal", more=(beside,)))
    asked = ("chroot", str(PROGRAMS), "/usr/bin/python3", "-c", WRITE)
    done = subprocess.run(asked, input=config, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "to: 169.254.169.253/32\n                via: 0.0.0.0" in said["netplan"]
    assert "Destination=169.254.169.253/32\nGateway=0.0.0.0" in said["networkd"]
    assert "route add -host 169.254.169.253/32 gw 0.0.0.0" in said["eni"]
    assert "ADDRESS0=169.254.169.253\nGATEWAY0=0.0.0.0" in said["ifcfg"]


def test_it_is_told_of_its_own_port_in_both_shapes(tmp_path: Path) -> None:
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    host = Host()

    async def run() -> dict[str, Any]:
        disk.save(two_nics(), tmp_path / roster.FILE)
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
        macs = told["network"]["interfaces"]["macs"]
        blocks = {mac: found["subnet-ipv4-cidr-block"] for mac, found in macs.items()}
        assert blocks == {"02:00:00:00:00:0b": "10.0.0.0/24", "02:00:00:00:00:15": "10.7.0.0/24"}
        assert told["public-keys"] == {"key-0": [KEY]}
    assert said["userdata"] == DATA
    named = {"instance-id": "port-11", "local-hostname": "web.acme.internal"}
    assert said["seed"] == {**named, "public-keys": [KEY]}
    assert said["seeded"] == DATA
    assert "10.7.0.2/24" in said["netplan"] and "02:00:00:00:00:15" in said["netplan"]
    assert said["netplan"].count("0.0.0.0/0") == 1
    assert "10.0.0.2/24" in said["netplan"] and "via: 10.0.0.1" in said["netplan"]
    assert "169.254.169.253" in said["netplan"] and "acme.internal" in said["netplan"]

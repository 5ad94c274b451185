"""The snapshot on disk: read back as it was, also if an older version wrote it."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from immutables import Map

from controller.agent import disk
from model.fabric import RailIndex
from model.ids import Mac, NetworkKey, PortKey
from model.roll import Roll
from model.route import RemoteMac
from model.seed import Seed, Sown
from tests.unit.agent.test_telling import NET, RED, snapshot

SPOT = (NetworkKey(1), Mac(99))


def full():
    remote = RemoteMac(*SPOT, ip_address("192.0.2.9"), (ip_address("10.0.0.9"),), 2, Mac(0x0E5200000001))
    sown = Sown(PortKey(5), Seed("web", ("ssh-rsa x",), "#!/bin/sh\n"))
    gang = Roll(7, "red", "job", (((RailIndex(0), (ip_address("10.9.0.1"),)), (RailIndex(3), ())), ()))
    return replace(snapshot(), remotes=Map({SPOT: remote}), gangs=Map({7: gang}), seeds=Map({5: sown}))


def rewrite(path: Path, change) -> None:
    body = json.loads(path.read_bytes().partition(b"\n")[2])
    change(body)
    raw = json.dumps(body).encode()
    path.write_bytes(json.dumps({"format": disk.FORMAT, "crc": zlib.crc32(raw)}).encode() + b"\n" + raw)


def test_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    disk.save(full(), path)
    again = disk.load(path)
    assert again is not None
    assert again == replace(full(), switch=None)  # the switch says itself what it is


def test_one_of_before_routing_is_read_with_defaults(tmp_path: Path) -> None:
    """Else an upgraded agent would forget what it learned, and drop it until peers have replayed."""
    path = tmp_path / "snapshot.json"
    disk.save(full(), path)

    def strip(body) -> None:
        for part, name in (("tenants", "l3vni"), ("networks", "routed"), ("remotes", "router_mac")):
            for item in body[part]:
                del item[name]

    rewrite(path, strip)
    again = disk.load(path)
    assert again is not None
    assert again.tenants[RED].l3vni == 0 and again.networks[NET].routed
    assert again.remotes[SPOT] == replace(full().remotes[SPOT], router_mac=None)


def test_one_that_lacks_what_must_be_there_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    disk.save(full(), path)
    rewrite(path, lambda body: body["remotes"][0].pop("vtep"))
    assert disk.load(path) is None

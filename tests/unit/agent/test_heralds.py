"""What neighbours are told when an address of an allowed pair has another MAC."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import ARP, Ether

from controller.agent.heralds import announcement, herald
from model.change import Change, Part
from model.ids import Mac, NetworkKey, PortKey
from model.route import RemoteAddress, Sighting
from model.snapshot import SightingKey, Snapshot
from tests.fakes import world

SPOT: SightingKey = (NetworkKey(1), ip_address("10.0.0.100"))
HERE = Sighting(*SPOT, Mac(0x020000000001), PortKey(11), 1)
MOVED = frozenset({Change(Part.SIGHTING, SPOT)})


def seen(snapshot: Snapshot, sighting: Sighting) -> Snapshot:
    return replace(snapshot, sightings=snapshot.sightings.set(SPOT, sighting))


def start() -> Snapshot:
    return world.allowing(world.allowing(world.two_tenants(), 11), 12)


def test_all_neighbours_hear_of_a_new_mac_but_its_owner() -> None:
    now = seen(start(), HERE)
    assert herald(start(), now, MOVED) == ((2, announcement(HERE.mac, SPOT[1])),)


def test_nothing_new_is_not_told() -> None:
    now = seen(start(), HERE)
    assert herald(now, seen(start(), replace(HERE, sequence=2)), MOVED) == ()
    assert herald(now, now, frozenset({Change(Part.PORT, PortKey(11))})) == ()


def test_all_of_the_network_hear_of_one_that_moved_away() -> None:
    there = RemoteAddress(*SPOT, Mac(3), ip_address("192.0.2.2"), 2)
    gone = replace(start(), claimed=start().claimed.set(SPOT, there))
    told = herald(seen(start(), HERE), gone, frozenset({Change(Part.CLAIMED, SPOT)}))
    assert [port for port, _ in told] == [1, 2]
    assert {frame for _, frame in told} == {announcement(Mac(3), SPOT[1])}


@pytest.mark.parametrize("kind", ["four", "six"])
def test_the_frames_are_what_others_understand(kind: str) -> None:
    address = ip_address("10.0.0.100" if kind == "four" else "fd00::100")
    frame = Ether(announcement(Mac(0x020000000001), address))
    assert frame.src == "02:00:00:00:00:01"
    if kind == "four":
        assert (frame[ARP].op, frame[ARP].psrc, frame[ARP].pdst) == (1, "10.0.0.100", "10.0.0.100")
        return
    assert (frame[ICMPv6ND_NA].tgt, frame[ICMPv6ND_NA].O, frame[IPv6].hlim) == ("fd00::100", 1, 255)
    checksum = frame[ICMPv6ND_NA].cksum
    del frame[ICMPv6ND_NA].cksum
    assert Ether(bytes(frame))[ICMPv6ND_NA].cksum == checksum

"""Addresses of allowed pairs move to whoever announces them, here and elsewhere."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from immutables import Map

from controller.agent.announcements import Announced
from controller.agent.sightings import REST, due, forget, hear, overtaken
from model.change import Change, Part
from model.ids import Mac, NetworkKey, PortKey
from model.intent import Pair
from model.route import RemoteAddress, Sighting
from model.snapshot import SightingKey, Snapshot
from model.whereabouts import owner
from tests.fakes import world

VIP = ip_address("10.0.0.100")
SPOT: SightingKey = (NetworkKey(1), VIP)
M1, M2 = Mac(0x020000000001), Mac(0x020000000002)
PAIRS = (Pair(ip_network("10.0.0.100/32")), Pair(ip_network("10.0.0.101/32"), Mac(world.VIRTUAL_MAC)))


def start() -> Snapshot:
    """Ports 11 and 12 of one network live here and may use the address."""
    return world.allowing(world.allowing(world.two_tenants(), 11, PAIRS), 12, PAIRS)


def said(snapshot: Snapshot, port: int, mac: int, address: str = "10.0.0.100", now: float = 10.0) -> Snapshot:
    heard = Announced(PortKey(port), Mac(mac), ip_address(address))
    return hear(snapshot, heard, Map(), now)[0].snapshot


def elsewhere(snapshot: Snapshot, sequence: int, vtep: str = "192.0.2.2") -> Snapshot:
    there = RemoteAddress(*SPOT, Mac(3), ip_address(vtep), sequence)
    return replace(snapshot, claimed=snapshot.claimed.set(SPOT, there))


def test_the_first_word_is_sequence_zero_and_each_move_one_more() -> None:
    first = said(start(), 11, M1)
    assert first.sightings[SPOT] == Sighting(*SPOT, M1, PortKey(11), 0)
    moved = said(first, 12, M2)
    assert moved.sightings[SPOT] == Sighting(*SPOT, M2, PortKey(12), 1)
    assert said(moved, 12, M2) is moved


def test_it_comes_from_another_host_with_a_higher_sequence_and_goes_there_again() -> None:
    taken = said(elsewhere(start(), 7), 11, M1)
    assert taken.sightings[SPOT].sequence == 8
    assert forget(taken).changes == frozenset()
    lost = forget(elsewhere(taken, 9))
    assert lost.snapshot.sightings == Map()
    assert lost.changes == {Change(Part.SIGHTING, SPOT)}


@pytest.mark.parametrize(("vtep", "here"), [("192.0.2.2", True), ("192.0.2.0", False)])
def test_two_that_spoke_at_once_agree_on_the_lower_vtep(vtep: str, *, here: bool) -> None:
    both = elsewhere(said(start(), 11, M1), 0, vtep)
    assert isinstance(owner(both, *SPOT), Sighting) is here
    assert (SPOT in forget(both).snapshot.sightings) is here


@pytest.mark.parametrize(
    ("port", "mac", "address"),
    [
        (21, 0x020000001001, "10.0.0.100"),  # of another tenant
        (11, M2, "10.0.0.100"),
        (11, world.VIRTUAL_MAC, "10.0.0.100"),
        (11, M1, "10.0.0.101"),
        (11, M1, "10.0.0.1"),
        (99, M1, "10.0.0.100"),
        (13, 0x020000000003, "10.0.0.100"),  # lives elsewhere
    ],
)
def test_what_no_pair_allows_is_not_believed(port: int, mac: int, address: str) -> None:
    assert said(start(), port, mac, address).sightings == Map()


def test_a_virtual_mac_is_believed_with_its_address() -> None:
    assert (
        said(start(), 11, world.VIRTUAL_MAC, "10.0.0.101")
        .sightings[NetworkKey(1), ip_address("10.0.0.101")]
        .mac
        == world.VIRTUAL_MAC
    )


def test_an_address_that_is_thrown_to_and_fro_rests() -> None:
    step, moved = hear(start(), Announced(PortKey(11), M1, VIP), Map(), 10.0)
    step, moved = hear(step.snapshot, Announced(PortKey(12), M2, VIP), moved, 10.0 + REST / 2)
    assert step.changes == frozenset()
    step, _ = hear(step.snapshot, Announced(PortKey(12), M2, VIP), moved, 10.0 + REST)
    assert step.snapshot.sightings[SPOT].port == 12


def thrown(times: int, gap: float) -> int:
    """How often an address moves that two ports announce in turn, one announcement each `gap` seconds."""
    snapshot, moved, count = start(), Map(), 0
    for n in range(times):
        port, mac = ((11, M1), (12, M2))[n % 2]
        step, moved = hear(snapshot, Announced(PortKey(port), mac, VIP), moved, 10.0 + n * gap)
        count += bool(step.changes)
        snapshot = step.snapshot
    return count


def test_the_rest_grows_with_each_move_that_comes_soon() -> None:
    assert thrown(600, 0.1) <= 7
    assert thrown(10, 60 * REST) == 10


def test_what_was_said_during_the_rest_counts_after_it_unless_another_host_spoke() -> None:
    first = Announced(PortKey(11), M1, VIP)
    second = Announced(PortKey(12), M2, VIP)
    step, moved = hear(start(), first, Map(), 10.0)
    _, moved = hear(step.snapshot, second, moved, 10.5)
    assert due(moved, 10.6) == ()
    assert due(moved, 10.0 + REST) == (second,)
    assert due(overtaken(moved, [Change(Part.CLAIMED, SPOT)]), 10.0 + REST) == ()
    _, again = hear(step.snapshot, first, moved, 10.7)  # the one that has it says so once more
    assert due(again, 10.0 + REST) == ()


@pytest.mark.parametrize("part", [Part.BINDING, Part.INTERFACE, Part.PORT])
def test_it_is_forgotten_with_its_port(part: Part) -> None:
    known = said(start(), 11, M1)
    key = known.ports[PortKey(11)].uid if part is Part.INTERFACE else PortKey(11)
    assert forget(world.with_part(known, part, key, None)).snapshot.sightings == Map()
    assert forget(world.allowing(known, 11, ())).snapshot.sightings == Map()

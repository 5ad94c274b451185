"""Ethernet segments: whom the guard believes, which VTEPs are used, and what a mass withdrawal takes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from bgp import learn, show
from bgp.codec import communities, nlri
from bgp.codec.update import Update
from bgp.guard import judge
from bgp.lookup import index
from bgp.segments import WHOLE_TAG
from bgp.table import Limits
from bgp.verdict import NotImported, Refused
from model.change import Change, Part
from model.ids import HostName, Mac, PortKey
from model.intent import Hypervisor
from model.route import Attributes, DiscoveryRoute, Distinguisher, MacRoute, Route, SegmentLabel, SegmentRoute
from model.segments import MAX_SEGMENT, import_target
from model.snapshot import Snapshot, with_ports
from tests.unit.bgp.world import (
    ASN,
    BLUE_VNI,
    RED,
    RED_L3,
    RED_VNI,
    key,
    mac,
    port,
    world,
)
from tests.unit.bgp.world import HOSTS as KNOWN

PEER, OTHER = "10.0.0.1", "10.0.0.2"
ONE, TWO = (bytes(9) + bytes((n,)) for n in (1, 2))
ALL, SINGLE = SegmentLabel(single_active=False, label=0), SegmentLabel(single_active=True, label=0)
LEAVES = ("ext", "leaf", "third")
HOSTS = dict(KNOWN)
for number, name in ((8, "leaf"), (9, "third")):
    vtep = ip_address(f"192.0.2.{number}")
    HOSTS[name] = Hypervisor(HostName(name), vtep, 0x0A000000 + number, external=True)
VTEPS = {name: HOSTS[name].vtep for name in LEAVES}
PORTS = range(20, 28)
BEHIND = PORTS[0]
SPOT = (RED, mac(BEHIND))
ADDRESS = ip_address(f"10.0.0.{BEHIND}")


def hung(host: str, **fields: object) -> Attributes:
    made = Attributes(HOSTS[host].vtep, (communities.route_target(ASN, RED_VNI),), encapsulations=(8,))
    return replace(made, **fields)  # type: ignore[arg-type]


def rd(host: str, number: int = RED) -> bytes:
    return nlri.distinguisher(Distinguisher(HOSTS[host].router_id, number))


def segmented(leaves: tuple[str, ...] = LEAVES[:2]) -> Snapshot:
    """Ports 20 to 27 are behind segment ONE, on `leaves`."""
    made = world()
    hosts = {HostName(name): replace(HOSTS[name], segments=(ONE,)) for name in leaves}
    made = replace(made, hypervisors=made.hypervisors.update(hosts))
    return with_ports(made, [port(number, RED, leaves) for number in PORTS])


def whole(host: str, label: SegmentLabel | None = ALL, segment: bytes = ONE, **fields: object) -> Route:
    """RT-1 per segment."""
    body = DiscoveryRoute(rd(host, 900), segment, WHOLE_TAG, 0)
    return Route(body, hung(host, segment_label=label, **fields))


def per_evi(host: str, segment: bytes = ONE, vni: int = RED_VNI, **fields: object) -> Route:
    """RT-1 of the red network."""
    return Route(DiscoveryRoute(rd(host), segment, 0, vni), hung(host, **fields))


def behind(host: str, number: int = BEHIND, segment: bytes = ONE, address=None, **fields: object) -> Route:
    return Route(MacRoute(rd(host), mac(number), address, RED_VNI, esi=segment), hung(host, **fields))


def member(host: str, segment: bytes = ONE, originator: str = "") -> Route:
    """RT-4."""
    said = hung(host, route_targets=(), segment_imports=(communities.segment_import(segment),))
    return Route(SegmentRoute(rd(host, 900), segment, HOSTS[originator or host].vtep), said)


def learned(*routes: Route, snapshot: Snapshot | None = None, limits: Limits | None = None) -> learn.Table:
    table = learn.start(snapshot or segmented(), limits or Limits())
    return said(table, *routes)


def said(table, *routes: Route, peer: str = PEER):
    for route in routes:
        table, _ = learn.receive(table, peer, Update(announced=((key(route), route),)), 0.0)
    return table


def taken(table, *routes: Route, peer: str = PEER):
    for route in routes:
        table, _ = learn.receive(table, peer, Update(withdrawn=(key(route),)), 0.0)
    return table


def at(table, number: int = BEHIND):
    remote = table.remotes.get((RED, mac(number)))
    return None if remote is None else remote.vtep


def both(*hosts: str, label: SegmentLabel = ALL) -> tuple[Route, ...]:
    return tuple(route for host in hosts or LEAVES[:2] for route in (whole(host, label), per_evi(host)))


def test_a_mac_waits_for_the_route_of_its_segment_and_says_so():
    table = learned(behind("ext"), per_evi("ext"))
    assert at(table) is None
    (waiting,) = learn.rejected(table)
    assert (waiting.code, waiting.peer) == ("segment-waiting", PEER)
    assert "00:00:00:00:00:00:00:00:00:01" in waiting.reason
    table = said(table, whole("ext"))
    assert at(table) == VTEPS["ext"]
    assert learn.rejected(table) == ()
    assert table.remotes[SPOT].segment == ONE


def test_an_all_active_segment_spreads_macs_over_its_vteps_and_says_each_address():
    routes = [behind("ext", number) for number in PORTS]
    table = learned(*both(), *routes, behind("leaf", BEHIND, address=ADDRESS))
    places = {number: at(table, number) for number in PORTS}
    assert set(places.values()) == {VTEPS["ext"], VTEPS["leaf"]}, "aliases take their share"
    assert table.remotes[SPOT].addresses == (ADDRESS,), "whoever of the segment said it"
    again = learned(*reversed(routes), *both("leaf", "ext"))
    assert {number: at(again, number) for number in PORTS} == places


def test_a_vtep_is_no_alias_without_both_its_routes():
    routes = [behind("ext", number) for number in PORTS]
    for missing in both("leaf"):
        table = learned(*both("ext"), *(one for one in both("leaf") if one != missing), *routes)
        assert {at(table, number) for number in PORTS} == {VTEPS["ext"]}


def test_an_alias_whose_label_a_reflector_lost_is_known_by_its_route_target():
    """FRR 8.4 reflects RT-1 with label 0."""
    routes = [behind("ext", number) for number in PORTS]
    bare = [whole("ext"), whole("leaf"), per_evi("ext", vni=0), per_evi("leaf", vni=0)]
    assert dict(learned(*bare, *routes).remotes) == dict(learned(*both(), *routes).remotes)


def test_a_mass_withdrawal_moves_every_mac_in_one_update_and_what_was_elsewhere_stays():
    table = learned(*both(), *(behind("ext", number) for number in PORTS))
    gone = key(whole("ext"))
    after, outcome = learn.receive(table, PEER, Update(withdrawn=(gone,)), 1.0)
    assert {at(after, number) for number in PORTS} == {VTEPS["leaf"]}
    moved = {number for number in PORTS if at(table, number) == VTEPS["ext"]}
    assert {remote.mac for remote in outcome.put_remotes} == {mac(number) for number in moved}
    assert not outcome.drop_remotes and not after.damped
    back = said(after, whole("ext"))
    assert dict(back.remotes) == dict(table.remotes)


def test_without_any_vtep_left_the_macs_are_gone():
    table = learned(*both("ext"), *(behind("ext", number) for number in PORTS))
    table, outcome = learn.receive(table, PEER, Update(withdrawn=(key(whole("ext")),)), 1.0)
    assert not table.remotes and len(outcome.drop_remotes) == len(PORTS)
    assert len(learn.rejected(table)) == len(PORTS)


def test_two_reflectors_must_both_take_it_back():
    table = said(learned(*both("ext"), behind("ext")), whole("ext"), peer=OTHER)
    table = taken(table, whole("ext"))
    assert at(table) == VTEPS["ext"]
    assert at(taken(table, whole("ext"), peer=OTHER)) is None


def test_a_lost_reflector_takes_nothing_along_until_it_is_back_without_it():
    table = learned(*both("ext"), behind("ext"))
    table, _ = learn.peer_down(table, PEER, 1.0)
    assert at(table) == VTEPS["ext"]
    table, _ = learn.peer_up(table, PEER, 2.0)
    table = said(table, behind("ext"), per_evi("ext"))
    assert at(table) == VTEPS["ext"]
    table, _ = learn.receive(table, PEER, Update(end_of_rib=True), 3.0)
    assert at(table) is None, "swept: nobody stands by the route of the segment"


def test_a_single_active_segment_has_one_path_and_one_backup():
    table = learned(*both("ext", "leaf", label=SINGLE), *(behind("ext", number) for number in PORTS))
    assert {at(table, number) for number in PORTS} == {VTEPS["ext"]}
    after = taken(table, whole("ext", SINGLE))
    assert {at(after, number) for number in PORTS} == {VTEPS["leaf"]}
    newer = said(table, behind("leaf", sequence=1))
    assert at(newer) == VTEPS["leaf"], "where it was said last"


def test_of_two_backups_none_is_guessed():
    three = segmented(LEAVES)
    table = learned(*both(*LEAVES, label=SINGLE), behind("ext"), snapshot=three)
    assert at(table) == VTEPS["ext"]
    table = taken(table, whole("ext", SINGLE))
    assert at(table) is None
    assert at(said(table, behind("leaf"))) == VTEPS["leaf"]


def test_one_vtep_that_says_single_active_makes_it_so():
    table = learned(whole("ext", SINGLE), per_evi("ext"), *both("leaf"))
    table = said(table, *(behind("ext", number) for number in PORTS))
    assert {at(table, number) for number in PORTS} == {VTEPS["ext"]}


def test_those_that_route_to_an_address_come_first():
    """Of an alias nobody knows the router MAC (RFC 9135 section 5)."""
    targets = tuple(sorted(communities.route_target(ASN, vni) for vni in (RED_VNI, RED_L3)))
    own = Mac(0x001122334455)
    for number in PORTS:
        address = ip_address(f"10.0.0.{number}")
        body = MacRoute(rd("ext"), mac(number), address, RED_VNI, RED_L3, esi=ONE)
        table = learned(*both(), Route(body, hung("ext", route_targets=targets, router_mac=own)))
        remote = table.remotes[RED, mac(number)]
        assert (remote.vtep, remote.router_mac) == (VTEPS["ext"], own)


def test_a_move_from_a_segment_goes_by_sequence():
    snapshot = segmented()
    free = replace(snapshot.ports[PortKey(BEHIND)], hosts=tuple(map(HostName, ("ext", "h2", "leaf"))))
    snapshot = with_ports(snapshot, [free])
    table = learned(*both(), behind("ext", sequence=1), behind("leaf", sequence=1), snapshot=snapshot)
    assert at(table) in VTEPS.values()
    away = Route(MacRoute(rd("h2"), mac(BEHIND), None, RED_VNI), hung("h2", sequence=2))
    table = said(table, away)
    assert (at(table), table.remotes[SPOT].segment) == (HOSTS["h2"].vtep, b"")


def test_a_vtep_that_says_a_mac_with_and_without_its_segment_is_read_alike_in_any_order():
    routes = (*both("ext"), behind("ext"), behind("ext", address=ADDRESS, segment=bytes(10)))
    remotes = [learned(*order).remotes[SPOT] for order in (routes, routes[::-1])]
    assert remotes[0] == remotes[1]
    assert (remotes[0].vtep, remotes[0].segment, remotes[0].addresses) == (VTEPS["ext"], b"", (ADDRESS,))


def test_from_one_vtep_of_a_segment_to_another_nothing_moves():
    table = learned(*both(), *(behind("ext", number) for number in PORTS))
    for _ in range(10):
        table = said(taken(table, whole("ext")), whole("ext"))
        table = said(taken(table, whole("leaf")), whole("leaf"))
    assert not table.damped and not table.trails


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (whole("leaf", segment=TWO), "segment"),
        (per_evi("leaf", segment=TWO), "segment"),
        (behind("leaf", segment=TWO), "segment"),
        (member("leaf", originator="ext"), "segment-originator"),
        (whole("h2"), "segment"),
        (behind("h2"), "segment"),
        (whole("leaf", label=None), "segment-label"),
        (per_evi("leaf", vni=BLUE_VNI), "vni-foreign"),
        (Route(DiscoveryRoute(rd("leaf"), ONE, 7, RED_VNI), hung("leaf")), "ethernet-tag"),
        (replace(whole("leaf"), attributes=replace(whole("ext").attributes)), "distinguisher"),
        (whole("leaf", next_hop=ip_address("192.0.2.77")), "next-hop-unknown"),
        (behind("third"), "segment"),
        (behind("leaf", number=3), "vtep-not-authorised"),
        (behind("leaf", number=99), "mac-unknown"),
        (behind("leaf", address=ip_address("10.0.0.99")), "address-foreign"),
    ],
)
def test_what_a_host_may_not_say_of_a_segment_is_refused(route, code):
    snapshot = segmented()
    third = replace(HOSTS["third"], segments=(TWO,))
    snapshot = replace(snapshot, hypervisors=snapshot.hypervisors.set(third.name, third))
    verdict = judge(snapshot, index(snapshot), route)
    assert isinstance(verdict, Refused)
    assert (verdict.code, bool(verdict.text)) == (code, True)


def test_what_concerns_nobody_is_not_imported():
    foreign = (communities.route_target(ASN, 7),)
    for route in (
        whole("ext", route_targets=foreign),
        per_evi("ext", vni=8, route_targets=foreign),
        member("ext", TWO),
    ):
        assert isinstance(judge(segmented(), index(segmented()), route), NotImported)


def test_an_alias_that_may_not_have_the_port_never_gets_its_frames():
    """It is on the segment, and not among the port's hosts: the store's word, not the segment's, counts."""
    snapshot = segmented()
    alone = replace(snapshot.ports[PortKey(BEHIND)], hosts=(HostName("ext"),))
    table = learned(*both(), behind("ext"), snapshot=with_ports(snapshot, [alone]))
    assert at(table) == VTEPS["ext"]
    assert at(taken(table, whole("ext"))) is None


def test_reserved_segments_are_none():
    table = learned(behind("ext", segment=MAX_SEGMENT))
    assert (at(table), table.remotes[SPOT].segment) == (VTEPS["ext"], b"")


def test_a_declaration_that_comes_later_or_goes_is_heard():
    bare = segmented()
    bare = replace(bare, hypervisors=bare.hypervisors.update({n: HOSTS[n] for n in LEAVES[:2]}))
    table = learned(*both(), behind("ext"), member("ext"), snapshot=bare)
    assert {one.code for one in learn.rejected(table)} == {"segment"}
    changes = frozenset(Change(Part.HYPERVISOR, HostName(name)) for name in LEAVES[:2])
    table, outcome = learn.consider(table, segmented(), changes)
    assert at(table) in VTEPS.values()
    assert import_target(ONE) in outcome.relearn and import_target(ONE) in table.interest.targets
    table, _ = learn.consider(table, bare, changes)
    assert at(table) is None
    assert import_target(ONE) not in table.interest.targets


def test_a_restart_keeps_the_place_until_a_peer_has_replayed():
    snapshot = segmented()
    table = learned(*both(), behind("ext"), snapshot=snapshot)
    place = at(table)
    table = learn.restore(replace(snapshot, remotes=table.remotes))
    assert at(table) == place
    table, _ = learn.peer_up(table, PEER, 1.0)
    table = said(table, behind("ext"))
    assert at(table) == place, "held until the route of the segment is there"
    table = said(table, *both())
    table, _ = learn.receive(table, PEER, Update(end_of_rib=True), 2.0)
    assert (at(table), table.remotes[SPOT].segment) == (place, ONE)
    assert not table.held


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (whole("ext", SINGLE), "RT-1 segment 00:00:00:00:00:00:00:00:00:01 whole single-active label 0"),
        (per_evi("ext"), f"RT-1 segment 00:00:00:00:00:00:00:00:00:01 vni {RED_VNI}"),
        (member("ext"), "RT-4 segment 00:00:00:00:00:00:00:00:00:01 originator 192.0.2.4"),
        (behind("ext"), "segment 00:00:00:00:00:00:00:00:00:01"),
    ],
)
def test_routes_of_segments_in_words(route, words):
    assert words in show.text(route)
    elected = replace(route.attributes, extended=(bytes.fromhex("0606024000007fff"),))
    text = show.text(replace(route, attributes=elected))
    assert ("election preference 32767" in text) == isinstance(route.nlri, SegmentRoute)


def test_bytes_of_the_routes_keep_their_keys():
    for route in (whole("ext"), per_evi("ext"), behind("ext"), member("ext")):
        raw = nlri.encode(route.nlri)
        assert nlri.decode(raw) == route.nlri

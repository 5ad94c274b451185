"""Addresses of allowed pairs in EVPN: who may claim one, whose claim wins, and what this host announces."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from bgp import learn
from bgp.codec import nlri
from bgp.codec.update import Update
from bgp.guard import judge
from bgp.lookup import index
from bgp.originate import originate
from bgp.spoken import AddressClaim
from bgp.verdict import Refused
from model.change import Change, Part
from model.ids import Mac
from model.intent import Pair
from model.route import Route, Sighting
from model.snapshot import Snapshot, with_port
from tests.unit.bgp.world import FOREIGN, HERE, HOSTS, RED, ROAMING, THERE, bind, mac, mac_route, world

VIP = ip_address("10.0.0.100")
VIRTUAL = Mac(0x00005E000101)
PAIRS = (Pair(ip_network("10.0.0.100/32")), Pair(ip_network("10.0.0.101/32"), VIRTUAL))


def shared() -> Snapshot:
    """HERE (h1), THERE (h2) and ROAMING (h2 or h3) may all speak for it."""
    made = world()
    for key in (HERE, THERE, ROAMING):
        made = with_port(made, replace(made.ports[key], allowed=PAIRS))
    return made


def said(host: str, port: int, sequence: int = 0, address: object = VIP) -> Route:
    route = mac_route(host, port, address)
    return replace(route, attributes=replace(route.attributes, sequence=sequence or None))


def verdict(route: Route, snapshot: Snapshot) -> object:
    return judge(snapshot, index(snapshot), route)


def test_a_host_of_a_port_that_may_speak_is_believed() -> None:
    found = verdict(said("h2", THERE, 3), shared())
    assert isinstance(found, AddressClaim)
    assert (found.address, found.mac, found.vtep, found.sequence) == (VIP, mac(THERE), HOSTS["h2"].vtep, 3)
    assert found.ports == (THERE,)


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (said("h3", THERE, 9), "vtep-not-authorised"),  # not a host of that port
        (said("h2", THERE, 9, ip_address("10.0.0.102")), "address-foreign"),
        (said("h2", THERE, 9, ip_address("10.0.0.101")), "address-foreign"),  # with the virtual MAC only
        (said("h3", FOREIGN, 9), "mac-unknown"),
    ],
)
def test_nobody_else_is_whatever_the_sequence(route: Route, code: str) -> None:
    found = verdict(route, shared())
    assert isinstance(found, Refused) and found.code == code


def test_a_port_that_is_bound_elsewhere_is_not_there() -> None:
    moved = bind(shared(), ROAMING, "h3")
    found = verdict(said("h2", ROAMING), moved)
    assert isinstance(found, Refused) and found.code == "vtep-not-authorised"
    assert isinstance(verdict(said("h3", ROAMING), moved), AddressClaim)


def test_the_newest_wins_and_the_next_takes_its_place() -> None:
    snapshot = shared()
    table = learn.start(snapshot)
    for route in (said("h2", THERE, 1), said("h3", ROAMING, 2)):
        update = Update(announced=((nlri.key(nlri.encode(route.nlri)), route),))
        table, _ = learn.receive(table, "rr", update, 0.0)
    assert table.claimed[RED, VIP].mac == mac(ROAMING)
    gone = Update(withdrawn=(nlri.key(nlri.encode(said("h3", ROAMING, 2).nlri)),))
    table, outcome = learn.receive(table, "rr", gone, 1.0)
    assert table.claimed[RED, VIP].mac == mac(THERE)
    assert outcome.apply(snapshot)[0].claimed == table.claimed


def test_pairs_that_are_taken_away_take_the_claim_with_them() -> None:
    snapshot = shared()
    route = said("h2", THERE)
    update = Update(announced=((nlri.key(nlri.encode(route.nlri)), route),))
    table, _ = learn.receive(learn.start(snapshot), "rr", update, 0.0)
    bare = with_port(snapshot, replace(snapshot.ports[THERE], allowed=()))
    table, _ = learn.consider(table, bare, frozenset({Change(Part.PORT, THERE)}))
    assert not table.claimed
    assert [one.code for one in learn.rejected(table)] == ["address-foreign"]


def test_what_a_port_here_spoke_for_is_announced_with_its_own_sequence() -> None:
    seen = Sighting(RED, VIP, mac(HERE), HERE, 5)
    snapshot = replace(shared(), sightings=shared().sightings.set((RED, VIP), seen))
    found = [r for r in originate(snapshot).ordered() if getattr(r.nlri, "address", None) == VIP]
    assert [(r.attributes.sequence, r.nlri.mac) for r in found] == [(5, mac(HERE))]
    restored = learn.restore(replace(snapshot, host=HOSTS["h2"].name))
    assert not restored.claimed


def test_a_restart_remembers_what_others_said() -> None:
    snapshot = shared()
    route = said("h2", THERE, 4)
    update = Update(announced=((nlri.key(nlri.encode(route.nlri)), route),))
    table, outcome = learn.receive(learn.start(snapshot), "rr", update, 0.0)
    assert learn.restore(outcome.apply(snapshot)[0]).claimed == table.claimed

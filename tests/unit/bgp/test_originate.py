"""What a host announces, and that only what lives here is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bgp.codec import communities
from bgp.originate import originate, reoriginate
from model.change import Change, Part
from model.ids import HostName, Uid
from model.route import MacRoute, MulticastRoute
from model.snapshot import with_port, without_port
from tests.unit.bgp.world import (
    ASN,
    HERE,
    HOSTS,
    RED,
    RED_VNI,
    ROAMING,
    bind,
    flood_route,
    mac_route,
    plug,
    port,
    rd,
    routed_route,
    world,
)


def test_a_bound_port_gives_its_mac_its_addresses_and_its_networks_flood_route():
    routes = set(originate(world()).ordered())
    addresses = port(HERE, RED, ("h1",)).addresses
    assert routes == {
        mac_route("h1", HERE),
        routed_route("h1", HERE, addresses[0]),
        routed_route("h1", HERE, addresses[1]),
        flood_route("h1"),
    }


@pytest.mark.parametrize(
    ("change", "edit"),
    [
        (
            Change(Part.NETWORK, RED),
            lambda s: replace(s, networks=s.networks.set(RED, replace(s.networks[RED], routed=False))),
        ),
        (
            Change(Part.TENANT, 1),
            lambda s: replace(s, tenants=s.tenants.set(1, replace(s.tenants[1], l3vni=0))),
        ),
    ],
)
def test_what_is_not_routed_is_said_as_before(change, edit):
    old, new = world(), edit(world())
    first, second = port(HERE, RED, ("h1",)).addresses
    plain = {mac_route("h1", HERE, first), mac_route("h1", HERE, second)}
    assert set(originate(new).ordered()) == plain | {mac_route("h1", HERE), flood_route("h1")}
    now, announce, withdraw = reoriginate(originate(old), old, new, frozenset({change}))
    assert now == originate(new)
    assert set(announce) == plain  # the key of a route lacks its labels (RFC 7432 section 7.2): replaced
    assert withdraw == ()
    _, back, _ = reoriginate(originate(new), new, old, frozenset({change}))
    assert set(back) == {routed_route("h1", HERE, first), routed_route("h1", HERE, second)}


def test_attributes_are_those_of_the_network_and_this_host():
    for route in originate(world()).ordered():
        assert communities.route_target(ASN, RED_VNI) in route.attributes.route_targets
        assert route.attributes.next_hop == HOSTS["h1"].vtep
        assert isinstance(route.nlri, MacRoute | MulticastRoute)
        assert route.nlri.rd == rd("h1")


def test_sequence_of_the_binding_is_the_mobility_sequence():
    moved = bind(world(), HERE, "h1", 3)
    macs = [r for r in originate(moved).ordered() if isinstance(r.nlri, MacRoute)]
    assert [r.attributes.sequence for r in macs] == [3, 3, 3]
    floods = [r for r in originate(moved).ordered() if isinstance(r.nlri, MulticastRoute)]
    assert [r.attributes.sequence for r in floods] == [None]


@pytest.mark.parametrize(
    "change",
    [
        lambda s: bind(s, HERE, "h2"),
        lambda s: bind(s, HERE, "h1", 0, "inactive"),
        lambda s: plug(s, HERE, -1),
        lambda s: replace(s, interfaces=s.interfaces.delete(Uid(f"port-{HERE}"))),
        lambda s: without_port(s, HERE),
        lambda s: replace(s, cluster=None),
        lambda s: replace(s, hypervisors=s.hypervisors.delete(HostName("h1"))),
        lambda s: replace(s, networks=s.networks.delete(RED)),
    ],
)
def test_nothing_is_said_of_what_does_not_live_here(change):
    assert originate(change(world())).ordered() == ()


def test_a_change_touches_only_its_port():
    old = plug(bind(world(), ROAMING, "h1"), ROAMING)
    new = bind(old, ROAMING, "h1", 1)
    now, announce, withdraw = reoriginate(
        originate(old), old, new, frozenset({Change(Part.BINDING, ROAMING)})
    )
    assert withdraw == ()
    assert {r.nlri.mac for r in announce} == {mac_route("h1", ROAMING).nlri.mac}
    assert len(announce) == 3
    assert now == originate(new)


def test_the_last_port_takes_the_flood_route_along():
    old = world()
    new = bind(old, HERE, "h2", 1)
    _, announce, withdraw = reoriginate(originate(old), old, new, frozenset({Change(Part.BINDING, HERE)}))
    assert announce == ()
    assert set(withdraw) == set(originate(old).ordered())


def test_no_change_says_nothing():
    old = world()
    assert reoriginate(originate(old), old, old, frozenset()) == (originate(old), (), ())


def test_written_numbers_of_distinguishers_take_the_place_of_keys_at_once():
    before = world()
    network = replace(before.networks[RED], distinguisher=40001)
    after = replace(before, networks=before.networks.set(RED, network))
    assert {route.nlri.rd for route in originate(before).ordered()} == {rd("h1", RED)}
    now, announce, withdraw = reoriginate(
        originate(before), before, after, frozenset({Change(Part.NETWORK, RED)})
    )
    assert now == originate(after)
    assert {route.nlri.rd for route in announce} == {rd("h1", 40001)}
    assert {route.nlri.rd for route in withdraw} == {rd("h1", RED)}
    assert len(announce) == len(withdraw) == 4


def test_a_sticky_port_is_announced_as_static():
    """MAC alone and with its addresses; the flag stands beside a sequence (RFC 7432 section 7.7)."""
    for sequence in (0, 3):
        snapshot = bind(world(), HERE, "h1", sequence)
        sticky = with_port(snapshot, replace(snapshot.ports[HERE], sticky=True))
        changes = frozenset({Change(Part.PORT, HERE)})
        now, announce, withdraw = reoriginate(originate(snapshot), snapshot, sticky, changes)
        assert now == originate(sticky) and not withdraw
        assert len(announce) == 3 and all(isinstance(one.nlri, MacRoute) for one in announce)
        assert {(one.attributes.sequence, one.attributes.sticky) for one in announce} == {(sequence, True)}

"""Route targets that operators wrote out: what is announced with them, and what is listened to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bgp import learn
from bgp.codec import communities
from bgp.guard import FloodClaim, MacClaim, judge
from bgp.interest import interest_of
from bgp.lookup import index
from bgp.originate import originate, reoriginate
from bgp.rights import PrefixClaim
from bgp.verdict import NOT_IMPORTED, Refused
from model.change import Change, Part
from model.route import PrefixRoute
from model.targets import DERIVED, Rules, parse_target
from tests.unit.bgp.outside import BEHIND, NET, RED_VRF, outside, prefix_route
from tests.unit.bgp.world import (
    ASN,
    BLUE_VNI,
    RED,
    RED_L3,
    RED_VNI,
    THERE,
    V4,
    flood_route,
    mac_route,
    plug,
    routed_route,
    world,
)

ONE, OTHER = parse_target("65001:100"), parse_target("192.0.2.1:7")
OWN, ROUTED = communities.route_target(ASN, RED_VNI), communities.route_target(ASN, RED_L3)
LARGE = (65000, 1, 2)
BOTH, ELSE = Rules((DERIVED, ONE), (DERIVED, ONE), (7 << 16,), (LARGE,)), Rules((ONE,), (ONE, OTHER))


def of_network(rules, snapshot=None):
    made = snapshot or world()
    return replace(made, networks=made.networks.set(RED, replace(made.networks[RED], rules=rules)))


def of_tenant(rules, snapshot=None):
    made = snapshot or world()
    return replace(made, tenants=made.tenants.set(RED_VRF, replace(made.tenants[RED_VRF], rules=rules)))


def bearing(route, *targets):
    return replace(route, attributes=replace(route.attributes, route_targets=targets))


def verdict(snapshot, route):
    return judge(snapshot, index(snapshot), route)


@pytest.mark.parametrize(("rules", "exported"), [(BOTH, {OWN, ONE}), (ELSE, {ONE, OTHER})])
def test_a_network_is_announced_with_what_it_exports(rules, exported):
    routes = originate(of_network(rules)).ordered()
    assert len(routes) == 4
    for route in routes:
        targets = route.attributes.route_targets
        assert set(targets) - {ROUTED} == exported
        assert list(targets) == sorted(targets)
        assert route.attributes.communities == rules.communities
        assert route.attributes.large_communities == rules.large_communities


def test_a_tenant_is_announced_with_what_it_exports():
    routes = originate(plug(of_tenant(ELSE, outside()), THERE)).ordered()
    routed = {r.attributes.route_targets for r in routes if getattr(r.nlri, "vni2", None)}
    assert routed == {tuple(sorted((OWN, ONE, OTHER)))}
    (prefix,) = [r for r in routes if isinstance(r.nlri, PrefixRoute) and r.nlri.prefix == BEHIND]
    assert prefix.attributes.route_targets == tuple(sorted((ONE, OTHER)))


@pytest.mark.parametrize("part", [(Part.NETWORK, of_network, RED), (Part.TENANT, of_tenant, RED_VRF)])
def test_a_change_of_rules_is_announced_again(
    part,
):
    kind, edit, key = part
    old, new = world(), edit(ELSE)
    now, announce, withdraw = reoriginate(originate(old), old, new, frozenset((Change(kind, key),)))
    assert now == originate(new)
    assert announce
    assert not withdraw


@pytest.mark.parametrize(
    ("rules", "target", "heard"),
    [
        (BOTH, OWN, True),
        (BOTH, ONE, True),
        (BOTH, OTHER, False),
        (ELSE, OWN, False),
        (ELSE, ONE, True),
    ],
)
def test_a_network_listens_to_what_it_imports(rules, target, heard):
    snapshot = of_network(rules)
    for route, claim in ((mac_route("h2", THERE), MacClaim), (flood_route("h2"), FloodClaim)):
        found = verdict(snapshot, bearing(route, target))
        if heard:
            assert isinstance(found, claim)
        else:
            assert isinstance(found, Refused)
            assert found.code == "route-target-foreign"
            assert all(communities.target_text(one) in found.text for one in rules.imported(ASN, RED_VNI))


def test_an_import_does_not_widen_what_vni_and_place_allow():
    snapshot = of_network(Rules((DERIVED, ONE, communities.route_target(ASN, BLUE_VNI))))
    stranger = mac_route("h2", THERE)
    stranger = replace(stranger, nlri=replace(stranger.nlri, vni=BLUE_VNI))
    for target in (ONE, communities.route_target(ASN, BLUE_VNI)):
        found = verdict(snapshot, bearing(stranger, target))
        assert isinstance(found, Refused), target
    found = verdict(snapshot, bearing(mac_route("h3", THERE), ONE))
    assert isinstance(found, Refused)
    assert found.code == "vtep-not-authorised"


def test_a_tenant_listens_to_what_it_imports():
    snapshot = of_tenant(ELSE, outside())
    route = prefix_route("h2", RED_VRF, str(BEHIND))
    assert isinstance(verdict(snapshot, bearing(route, ONE)), PrefixClaim)
    assert isinstance(verdict(snapshot, route), Refused)
    assert verdict(snapshot, bearing(prefix_route("h2", NET, "203.0.113.77/32"), OTHER)) != NOT_IMPORTED
    routed = routed_route("h2", THERE, snapshot.ports[THERE].addresses[0])
    assert verdict(snapshot, bearing(routed, OWN, ONE)).router_mac is not None
    assert isinstance(verdict(snapshot, routed), Refused)  # routes, and not by what the tenant listens to


def test_what_is_written_out_concerns_the_host_and_is_asked_for():
    old, new = world(), of_network(BOTH)
    assert {OWN, ROUTED} <= interest_of(old).targets
    assert interest_of(new).targets - interest_of(old).targets == {ONE}
    table, outcome = learn.consider(learn.start(old), new, frozenset((Change(Part.NETWORK, RED),)))
    assert outcome.relearn == (ONE,)
    assert table.interest == interest_of(new)
    assert OWN not in interest_of(of_network(ELSE)).targets


def test_what_the_store_bound_is_restored_under_other_targets():
    snapshot = of_network(ELSE)
    said = bearing(mac_route("h2", THERE, V4), ONE)
    said = replace(said, nlri=replace(said.nlri, address=None))
    from tests.unit.bgp.test_learn import RR1, announced, hear, up

    _, outcome = hear(up(snapshot=snapshot), RR1, announced(said))
    held, _ = outcome.apply(snapshot)
    assert held.remotes
    assert learn.restore(held).remotes == held.remotes

"""Who may say which RT-5: each refusal by its code, and what passes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from bgp.codec import communities
from bgp.guard import NOT_IMPORTED, bound, judge
from bgp.lookup import index
from bgp.rights import PrefixClaim
from bgp.verdict import Refused
from model.addresses import GATEWAY_MAC, router_mac
from model.ids import HostName, Uid
from model.intent import Egress, StaticRoute
from tests.unit.bgp.outside import (
    BLUE_VRF,
    BORDER_MAC,
    EGRESS,
    LINK,
    NET,
    NET_L3,
    RED_VRF,
    outside,
    prefix_route,
)
from tests.unit.bgp.world import ASN, BLUE_L3, FOREIGN, HOSTS, RED_L3, THERE, bind


def verdict(route, snapshot=None):
    snapshot = snapshot or outside()
    return judge(snapshot, index(snapshot), route)


def body(route, **fields):
    return replace(route, nlri=replace(route.nlri, **fields))


def without(**fields):
    return replace(outside(), **fields)


def tenant(key, **fields):
    made = outside()
    return replace(made, tenants=made.tenants.set(key, replace(made.tenants[key], **fields)))


@pytest.mark.parametrize(
    ("host", "vrf", "prefix", "ports"),
    [
        ("h2", RED_VRF, "172.16.0.0/16", (THERE,)),
        ("h2", RED_VRF, "0.0.0.0/0", ()),
        ("h2", NET, f"{EGRESS}/32", ()),
        ("h2", NET, "203.0.113.5/32", (THERE,)),
        ("h2", LINK, f"10.0.0.{THERE}/32", (THERE,)),
        ("h2", LINK, f"fd00::{THERE}/128", (THERE,)),
        ("h3", LINK, f"10.0.0.{FOREIGN}/32", (FOREIGN,)),
        ("ext", BLUE_VRF, "0.0.0.0/0", ()),
        ("ext", BLUE_VRF, "::/0", ()),
        ("ext", BLUE_VRF, "10.0.0.0/8", ()),
        ("ext", NET, "0.0.0.0/0", ()),
    ],
)
def test_what_may_be_said(host, vrf, prefix, ports):
    mac = BORDER_MAC if host == "ext" else router_mac(HOSTS[host].router_id)
    claim = PrefixClaim(vrf, ip_network(prefix), HOSTS[host].vtep, mac, 100, ports)
    assert verdict(prefix_route(host, vrf, prefix)) == claim


def test_the_preference_is_the_senders():
    assert verdict(prefix_route("h2", RED_VRF, "0.0.0.0/0", local_preference=300)).preference == 300


BORDER, HOST = ("ext", BLUE_VRF), ("h2", RED_VRF)


@pytest.mark.parametrize(
    ("code", "route"),
    [
        ("prefix-own", prefix_route(*BORDER, "10.0.0.0/24")),
        ("prefix-own", prefix_route(*BORDER, "10.0.0.7/32")),
        ("prefix-own", prefix_route(*BORDER, "203.0.113.0/25")),
        ("prefix-own", prefix_route("ext", NET, "203.0.113.5/32")),
        ("egress-closed", prefix_route("ext", RED_VRF, "10.9.0.0/16")),
        ("gateway-foreign", prefix_route("ext", RED_VRF, "0.0.0.0/0")),
        ("gateway-foreign", prefix_route("h3", RED_VRF, "0.0.0.0/0")),
        ("gateway-foreign", prefix_route("h3", NET, f"{EGRESS}/32")),
        ("gateway-family", prefix_route(*HOST, "::/0")),
        ("prefix-unknown", prefix_route(*HOST, "172.17.0.0/16")),
        ("prefix-unknown", prefix_route(*HOST, "172.16.0.0/17")),
        ("prefix-unknown", prefix_route("h3", BLUE_VRF, "0.0.0.0/0")),
        ("next-hop-elsewhere", prefix_route("h3", RED_VRF, "172.16.0.0/16")),
        ("floating-elsewhere", prefix_route("h3", NET, "203.0.113.5/32")),
        ("prefix-not-host", prefix_route("h3", NET, "0.0.0.0/0")),
        ("prefix-not-host", prefix_route("h2", LINK, "10.0.0.0/30")),
        ("prefix-not-exported", prefix_route("h2", LINK, "10.0.0.99/32")),
        ("port-elsewhere", prefix_route("h3", LINK, f"10.0.0.{THERE}/32")),
        ("address-unknown", prefix_route("h2", LINK, "10.0.0.0/32")),
        ("prefix-martian", prefix_route(*BORDER, "224.0.0.0/4")),
        ("prefix-martian", prefix_route(*BORDER, "fe80::/10")),
        ("prefix-martian", prefix_route(*BORDER, "127.0.0.0/8")),
        ("overlay-index", body(prefix_route(*BORDER, "0.0.0.0/0"), gateway=ip_address("10.0.0.1"))),
        ("overlay-index", body(prefix_route(*BORDER, "0.0.0.0/0"), esi=bytes(range(10)))),
        ("ethernet-tag", body(prefix_route(*BORDER, "0.0.0.0/0"), etag=1)),
        ("router-mac", prefix_route(*BORDER, "0.0.0.0/0", router_mac=None)),
        ("router-mac", prefix_route(*BORDER, "0.0.0.0/0", router_mac=GATEWAY_MAC)),
        ("router-mac", prefix_route(*BORDER, "0.0.0.0/0", router_mac=router_mac(1))),
        ("router-mac", prefix_route(*HOST, "172.16.0.0/16", router_mac=BORDER_MAC)),
        ("vni-foreign", body(prefix_route(*BORDER, "0.0.0.0/0"), vni=4711)),
        ("vni-foreign", body(prefix_route(*BORDER, "0.0.0.0/0"), vni=RED_L3)),
        (
            "route-target-foreign",
            prefix_route(*BORDER, "0.0.0.0/0", route_targets=(communities.route_target(ASN + 1, BLUE_L3),)),
        ),
        ("next-hop-unknown", prefix_route(*BORDER, "0.0.0.0/0", next_hop=ip_address("192.0.2.99"))),
        ("next-hop-own", prefix_route(*BORDER, "0.0.0.0/0", next_hop=HOSTS["h1"].vtep)),
        ("distinguisher", prefix_route(*BORDER, "0.0.0.0/0", next_hop=HOSTS["h2"].vtep)),
        ("encapsulation", prefix_route(*BORDER, "0.0.0.0/0", encapsulations=(2,))),
    ],
)
def test_what_is_refused(code, route):
    found = verdict(route)
    assert isinstance(found, Refused), found
    assert found.code == code
    assert ";" in found.text or ":" in found.text, f"no remedy: {found.text}"


@pytest.mark.parametrize(
    "route",
    [
        prefix_route("h1", RED_VRF, "172.16.0.0/16"),  # our own, reflected
        prefix_route("h3", NET, "203.0.113.77/32"),  # of a tenant that this host need not know
        body(
            prefix_route("h3", NET, "0.0.0.0/0", route_targets=(communities.route_target(ASN, 4711),)),
            vni=4711,
        ),
    ],
)
def test_what_is_not_imported(route):
    assert verdict(route) is NOT_IMPORTED


def test_a_border_must_be_declared_and_external():
    made = outside()
    route = prefix_route("ext", BLUE_VRF, "0.0.0.0/0")
    for odd in (
        replace(made.hypervisors["ext"], border=False),
        replace(made.hypervisors["ext"], external=False),
    ):
        found = verdict(route, replace(made, hypervisors=made.hypervisors.set("ext", odd)))
        assert isinstance(found, Refused)


def test_egress_none_hears_nobody():
    for egress in (Egress.NONE, Egress.SNAT):
        found = verdict(prefix_route("ext", BLUE_VRF, "10.9.0.0/16"), tenant(BLUE_VRF, egress=egress))
        assert found.code == "egress-closed"


def test_a_border_does_not_take_what_a_static_route_has():
    made = outside()
    own = StaticRoute(Uid("r2"), BLUE_VRF, "r2", ip_network("172.16.0.0/12"), ())
    made = replace(made, static_routes=made.static_routes.set(own.uid, own))
    assert verdict(prefix_route("ext", BLUE_VRF, "172.16.5.0/24"), made).code == "prefix-own"
    assert isinstance(verdict(prefix_route("ext", BLUE_VRF, "172.0.0.0/8"), made), PrefixClaim)
    default = replace(own, prefix=ip_network("0.0.0.0/0"))
    made = replace(made, static_routes=made.static_routes.set(own.uid, default))
    assert verdict(prefix_route("ext", BLUE_VRF, "0.0.0.0/0"), made).code == "prefix-own"
    assert isinstance(verdict(prefix_route("ext", BLUE_VRF, "172.16.5.0/24"), made), PrefixClaim)


@pytest.mark.parametrize(
    ("vrf", "prefix", "code"),
    [
        (RED_VRF, "172.16.0.0/16", "next-hop-elsewhere"),
        (NET, "203.0.113.5/32", "floating-elsewhere"),
        (LINK, f"10.0.0.{THERE}/32", "port-elsewhere"),
    ],
)
def test_a_port_that_moved_takes_its_prefixes_along(vrf, prefix, code):
    made = outside()
    made = replace(made, ports=made.ports.set(THERE, replace(made.ports[THERE], hosts=("h2", "h3"))))
    moved = bind(made, THERE, "h3")
    assert isinstance(verdict(prefix_route("h2", vrf, prefix), made), PrefixClaim)
    assert verdict(prefix_route("h3", vrf, prefix), made).code == code
    assert isinstance(verdict(prefix_route("h3", vrf, prefix), moved), PrefixClaim)
    assert verdict(prefix_route("h2", vrf, prefix), moved).code == code
    unrouted = replace(made.networks[1], routed=False)
    assert verdict(
        prefix_route("h2", vrf, prefix), replace(made, networks=made.networks.set(1, unrouted))
    ).code


def test_what_a_port_stands_behind_is_bound_and_the_rest_is_not():
    made = outside()
    for vrf, prefix, expected in ((RED_VRF, "172.16.0.0/16", True), (RED_VRF, "0.0.0.0/0", False)):
        claim = verdict(prefix_route("h2", vrf, prefix), made)
        assert bound(made, index(made), claim) is expected
    border = verdict(prefix_route("ext", BLUE_VRF, "0.0.0.0/0"), made)
    assert not bound(made, index(made), border)


def test_a_peering_needs_both_halves():
    made = outside()
    route = prefix_route("h2", LINK, f"10.0.0.{THERE}/32")
    assert isinstance(verdict(route, made), PrefixClaim)
    assert verdict(route, replace(made, peerings=made.peerings.delete(LINK))) is NOT_IMPORTED


def test_migration_lets_the_target_speak_once_the_port_is_free():
    made = outside()
    port = replace(made.ports[THERE], migration=HostName("h3"))
    made = replace(made, ports=made.ports.set(THERE, port))
    assert verdict(prefix_route("h3", RED_VRF, "172.16.0.0/16"), made).code == "next-hop-elsewhere"
    assert isinstance(
        verdict(prefix_route("h3", RED_VRF, "172.16.0.0/16"), bind(made, THERE, "h3")), PrefixClaim
    )
    assert NET_L3 != RED_L3

"""Each thing that the guard refuses, by its code; and what it lets through."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from bgp.codec import communities
from bgp.guard import NOT_IMPORTED, FloodClaim, MacClaim, bound, judge
from bgp.lookup import index
from bgp.verdict import Refused
from model.addresses import GATEWAY_MAC, link_local, router_mac
from model.ids import Mac, Vni
from model.route import Attributes, MacRoute, MulticastRoute, OpaqueRoute, Route
from tests.unit.bgp.world import (
    ASN,
    BLUE_L3,
    BLUE_VNI,
    FOREIGN,
    HERE,
    HOSTS,
    OUTSIDE,
    RED,
    RED_L3,
    RED_VNI,
    ROAMING,
    THERE,
    V4,
    V6,
    bind,
    flood_route,
    hung,
    mac,
    mac_route,
    rd,
    routed_route,
    world,
)

OUTSIDE_V4 = ip_address(f"10.0.0.{OUTSIDE}")


def verdict(route, snapshot=None):
    snapshot = snapshot or world()
    return judge(snapshot, index(snapshot), route)


def body(route, **fields):
    return replace(route, nlri=replace(route.nlri, **fields))


def said(route, **fields):
    return replace(route, attributes=replace(route.attributes, **fields))


@pytest.mark.parametrize(
    ("route", "claim"),
    [
        (mac_route("h2", THERE), MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, None, 0, 100)),
        (mac_route("h2", THERE, V4), MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, V4, 0, 100)),
        (mac_route("h2", THERE, V6, sequence=4), MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, V6, 4, 100)),
        (
            mac_route("h2", THERE, link_local(mac(THERE))),
            MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, None, 0, 100),
        ),
        (mac_route("h3", ROAMING), MacClaim(RED, mac(ROAMING), HOSTS["h3"].vtep, None, 0, 100)),
        (mac_route("ext", OUTSIDE), MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, None, 0, 100)),
        (
            mac_route("ext", OUTSIDE, sticky=True, sequence=0),
            MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, None, 0, 100, sticky=True),
        ),
        (
            mac_route("ext", OUTSIDE, encapsulations=()),
            MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, None, 0, 100),
        ),
        (
            routed_route("h2", THERE, V4),
            MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, V4, 0, 100, router_mac(HOSTS["h2"].router_id)),
        ),
        (
            said(routed_route("h2", THERE, V4), route_targets=(communities.route_target(ASN, RED_L3),)),
            MacClaim(RED, mac(THERE), HOSTS["h2"].vtep, V4, 0, 100, router_mac(HOSTS["h2"].router_id)),
        ),
        (
            routed_route("ext", OUTSIDE, OUTSIDE_V4, router_mac=Mac(0x0011223344AA)),
            MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, OUTSIDE_V4, 0, 100, Mac(0x0011223344AA)),
        ),
        (  # bridged only: without a router MAC, or without the VRF's route target
            routed_route("ext", OUTSIDE, OUTSIDE_V4, router_mac=None),
            MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, OUTSIDE_V4, 0, 100),
        ),
        (
            said(mac_route("ext", OUTSIDE, OUTSIDE_V4), router_mac=Mac(0x0011223344AA)),
            MacClaim(RED, mac(OUTSIDE), HOSTS["ext"].vtep, OUTSIDE_V4, 0, 100),
        ),
        (flood_route("h2"), FloodClaim(RED, HOSTS["h2"].vtep)),
        (flood_route("h3"), FloodClaim(RED, HOSTS["h3"].vtep)),
    ],
)
def test_what_the_store_authorises_is_accepted(route, claim):
    assert verdict(route) == claim


BOTH = tuple(sorted((communities.route_target(ASN, RED_VNI), communities.route_target(ASN, BLUE_VNI))))


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (body(mac_route("h2", THERE), vni=BLUE_VNI), "vni-foreign"),
        (body(mac_route("h2", THERE), vni=Vni(777)), "vni-foreign"),
        (said(mac_route("h2", THERE), route_targets=()), "route-target-foreign"),
        (
            said(mac_route("h2", THERE), route_targets=(communities.route_target(1, RED_VNI),)),
            "route-target-foreign",
        ),
        (said(flood_route("h2"), pmsi_vni=BLUE_VNI), "vni-foreign"),
        (said(flood_route("h2"), pmsi_vni=None, pmsi_endpoint=None), "pmsi-missing"),
        (said(mac_route("h2", THERE), encapsulations=(7,)), "encapsulation"),
        (said(mac_route("h2", THERE), next_hop=ip_address("198.51.100.1")), "next-hop-unknown"),
        (said(mac_route("h2", HERE), next_hop=HOSTS["h1"].vtep), "next-hop-own"),
        (body(mac_route("h2", THERE), rd=rd("h3")), "distinguisher"),
        (body(mac_route("h2", THERE), rd=bytes(8)), "distinguisher"),
        (body(mac_route("h2", THERE), etag=1), "ethernet-tag"),
        (said(mac_route("h2", THERE), default_gateway=True), "default-gateway"),
        (said(mac_route("h2", THERE), sticky=True), "sticky"),
        (body(mac_route("h2", THERE), mac=Mac(0)), "mac-martian"),
        (body(mac_route("h2", THERE), mac=Mac((1 << 48) - 1)), "mac-martian"),
        (body(mac_route("h2", THERE), mac=Mac(0x01005E000001)), "mac-martian"),
        (body(mac_route("h2", THERE), esi=bytes(9) + b"\x01"), "segment"),
        (mac_route("h2", 99), "mac-unknown"),
        (mac_route("h3", FOREIGN), "mac-unknown"),
        (mac_route("h3", THERE), "vtep-not-authorised"),
        (mac_route("h3", THERE, sequence=0xFFFFFFFF), "vtep-not-authorised"),
        (mac_route("h2", HERE, sequence=9), "vtep-not-authorised"),
        (mac_route("ext", THERE), "vtep-not-authorised"),
        (mac_route("h2", THERE, ip_address("10.0.0.3")), "address-foreign"),
        (mac_route("h2", THERE, ip_address("fe80::1")), "address-foreign"),
        (said(flood_route("h2"), pmsi_endpoint=HOSTS["h3"].vtep), "pmsi-endpoint"),
        (
            said(flood_route("h2"), route_targets=(communities.route_target(ASN, RED_L3),)),
            "route-target-foreign",
        ),
        (body(routed_route("h2", THERE, V4), vni2=BLUE_L3), "l3vni-foreign"),
        (body(routed_route("h2", THERE, V4), vni2=RED_VNI), "l3vni-foreign"),
        (body(routed_route("ext", OUTSIDE, OUTSIDE_V4), vni2=BLUE_L3), "l3vni-foreign"),
        (routed_route("h2", THERE, V4, router_mac=None), "router-mac"),
        (routed_route("h2", THERE, V4, router_mac=router_mac(HOSTS["h3"].router_id)), "router-mac"),
        (routed_route("h2", THERE, V4, router_mac=Mac(0x0011223344AA)), "router-mac"),
        (
            said(routed_route("h2", THERE, V4), route_targets=(communities.route_target(ASN, RED_VNI),)),
            "router-mac",
        ),
        (
            routed_route("ext", OUTSIDE, OUTSIDE_V4, router_mac=router_mac(HOSTS["h2"].router_id)),
            "router-mac",
        ),
        (routed_route("ext", OUTSIDE, OUTSIDE_V4, router_mac=Mac(0x01005E000001)), "router-mac"),
        (routed_route("ext", OUTSIDE, OUTSIDE_V4, router_mac=GATEWAY_MAC), "gateway-mac"),
        (said(mac_route("h2", THERE), router_mac=GATEWAY_MAC), "gateway-mac"),
    ],
)
def test_what_it_does_not_is_refused_with_code_and_remedy(route, code):
    refused = verdict(route)
    assert isinstance(refused, Refused), refused
    assert refused.code == code
    assert any(mark in refused.text for mark in (";", ":")), refused.text


def test_a_bound_port_is_believed_of_its_host_only():
    snapshot = bind(world(), ROAMING, "h3", 1)
    assert isinstance(verdict(mac_route("h3", ROAMING), snapshot), MacClaim)
    refused = verdict(mac_route("h2", ROAMING, sequence=100), snapshot)
    assert isinstance(refused, Refused)
    assert refused.code == "bound-elsewhere"
    assert isinstance(
        verdict(mac_route("h2", ROAMING), bind(snapshot, ROAMING, "h3", 1, "inactive")), MacClaim
    )


def test_a_host_without_ports_in_a_network_gets_no_frames_of_it():
    blue = Route(
        MulticastRoute(rd("h2", 2), HOSTS["h2"].vtep),
        hung("h2", BLUE_VNI, pmsi_vni=BLUE_VNI, pmsi_endpoint=HOSTS["h2"].vtep),
    )
    refused = verdict(blue)
    assert isinstance(refused, Refused)
    assert refused.code == "vtep-not-in-network"


def test_two_route_targets_go_by_the_vni():
    route = said(mac_route("h2", THERE), route_targets=BOTH)
    assert isinstance(verdict(route), MacClaim)


@pytest.mark.parametrize(
    "route",
    [
        Route(MacRoute(rd("h2"), mac(2), None, Vni(777)), hung("h2", Vni(777))),
        Route(OpaqueRoute(9, b"\x09\x00"), Attributes(HOSTS["h2"].vtep)),
        mac_route("h1", HERE),  # our own, reflected
    ],
)
def test_what_concerns_nobody_here_is_passed_over(route):
    assert verdict(route) is NOT_IMPORTED


def test_what_is_not_routed_here_is_bridged_only():
    snapshot = world()
    network = replace(snapshot.networks[RED], routed=False)
    snapshot = replace(snapshot, networks=snapshot.networks.set(RED, network))
    claim = verdict(routed_route("h2", THERE, V4), snapshot)
    assert isinstance(claim, MacClaim) and claim.router_mac is None


def test_bound_is_said_of_active_bindings_only():
    snapshot = world()
    lookup = index(snapshot)
    here, outside = verdict(mac_route("h2", THERE)), verdict(mac_route("ext", OUTSIDE))
    assert bound(snapshot, lookup, here)
    assert not bound(snapshot, lookup, outside)
    assert bound(snapshot, lookup, verdict(flood_route("h2")))
    assert not bound(snapshot, lookup, verdict(flood_route("h3")))
    assert not bound(bind(snapshot, THERE, "h2", 0, "inactive"), lookup, here)

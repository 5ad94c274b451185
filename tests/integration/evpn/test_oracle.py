"""GoBGP reads what our codec writes, and our codec what GoBGP writes: each route type and attribute.

h1 is our speaker with a client, gb is gobgpd: one session. What GoBGP 3.10 does not know is said where it
shows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from bgp.client import Client, Received
from bgp.codec import communities, nlri
from model.addresses import format_mac
from model.ids import Mac, Vni
from model.route import (
    Attributes,
    DiscoveryRoute,
    Distinguisher,
    MacRoute,
    MulticastRoute,
    PrefixRoute,
    Route,
    SegmentLabel,
    SegmentRoute,
)
from model.targets import parse_target
from tests.integration.evpn.lab import ASN, Lab, wait

pytestmark = pytest.mark.integration

ESI = bytes.fromhex("00010203040506070809")
MAC = Mac(0x020000000001)
VNI, L3VNI = Vni(10100), Vni(10901)
V4, V6 = ip_address("10.0.0.1"), ip_address("fd00::1")


class Session:
    """Our client and what it heard; GoBGP and what it has."""

    def __init__(self, lab):
        self.lab = lab
        self.heard = []
        self.client = Client(str(lab.directory / "h1.sock"), self.heard.append)
        self.client.start()
        self.vtep = ip_address(lab.address("h1"))
        self.rd = nlri.distinguisher(Distinguisher(int(self.vtep), 7))
        self.hung = Attributes(self.vtep, (communities.route_target(ASN, VNI),), encapsulations=(8,))

    def routes(self):
        found = {}
        for event in list(self.heard):
            if isinstance(event, Received):
                assert event.read().faults == ()
                for key in event.read().withdrawn:
                    found.pop(key, None)
                found.update(event.read().announced)
        return list(found.values())


@pytest.fixture(scope="module")
def session():
    lab = Lab.open()
    made = None
    try:
        for name in ("h1", "gb"):
            lab.node(name)
        lab.gobgp("gb", "h1")
        lab.speaker("h1", lab.address("h1"), [lab.address("gb")])
        made = Session(lab)
        yield made
    finally:
        if made is not None:
            made.client.stop()
        lab.close()


def ours(session):
    """Routes of ours, and what GoBGP must print of each: NLRI less its RD, and attributes by code."""
    rd, hung, vtep = session.rd, session.hung, session.vtep
    target, vxlan = community(0, 2, value=f"{ASN}:{VNI}"), community(3, 12, tunnel_type=8)
    shown = "ESI_ARBITRARY | 01:02:03:04:05:06:07:08:09"
    mac = {"etag": 0, "mac": format_mac(MAC), "ip": "<nil>", "labels": [VNI], "esi": "single-homed"}
    forms = ("65000:10100", "192.0.2.1:7", "4200000000:65535")
    tunnel = {"is-leaf-info-required": False, "tunnel-type": 6, "label": VNI, "tunnel-id": str(vtep)}
    return (
        (
            Route(
                DiscoveryRoute(rd, ESI, 0xFFFFFFFF, 0),
                replace(hung, segment_label=SegmentLabel(True, 0x123456)),
            ),
            {"esi": shown, "etag": 0xFFFFFFFF, "label": 0},
            {16: [target, vxlan, community(6, 1, label=0x123456, is_single_active=True)]},
        ),
        (Route(DiscoveryRoute(rd, ESI, 0, VNI), hung), {"esi": shown, "etag": 0, "label": VNI}, {}),
        (Route(MacRoute(rd, MAC, None, VNI), hung), mac, {16: [target, vxlan]}),
        (
            Route(
                MacRoute(rd, MAC, V4, VNI, L3VNI, 5, ESI),
                replace(hung, sequence=7, sticky=True, router_mac=MAC, default_gateway=True),
            ),
            mac | {"ip": str(V4), "labels": [VNI, L3VNI], "etag": 5, "esi": shown},
            {
                16: [
                    target,
                    vxlan,
                    community(3, 13),
                    community(6, 0, sequence=7, is_sticky=True),
                    community(6, 3, mac=format_mac(MAC)),
                ]
            },
        ),
        (Route(MacRoute(rd, MAC, V6, VNI, L3VNI), hung), mac | {"ip": str(V6), "labels": [VNI, L3VNI]}, {}),
        (
            Route(
                MulticastRoute(rd, vtep),
                replace(
                    hung,
                    pmsi_vni=VNI,
                    pmsi_endpoint=vtep,
                    communities=(0xFDE80064,),
                    large_communities=((65000, 1, 2),),
                    med=9,
                    origin=2,
                    local_preference=200,
                ),
            ),
            {"etag": 0, "ip": str(vtep)},
            {
                1: 2,
                4: 9,
                5: 200,
                8: [0xFDE80064],
                22: tunnel,
                32: [{"ASN": 65000, "LocalData1": 1, "LocalData2": 2}],
            },
        ),
        (
            Route(
                SegmentRoute(rd, ESI, vtep), replace(hung, segment_imports=(communities.segment_import(ESI),))
            ),
            {"esi": shown, "ip": str(vtep)},
            {16: [target, vxlan, community(6, 2, value="01:02:03:04:05:06")]},
        ),
        (
            Route(
                PrefixRoute(rd, ip_network("2001:db8:f::/48"), L3VNI, V6, 3),
                replace(hung, route_targets=tuple(sorted(map(parse_target, forms)))),
            ),
            {
                "esi": "single-homed",
                "etag": 3,
                "prefix": "2001:db8:f::/48",
                "gateway": str(V6),
                "label": L3VNI,
            },
            {
                16: [
                    community(0, 2, value=forms[0]),
                    community(1, 2, value=forms[1]),
                    community(2, 2, value=f"{4200000000 >> 16}.{4200000000 & 0xFFFF}:65535"),
                    vxlan,
                ]
            },
        ),
        (
            Route(PrefixRoute(rd, ip_network("10.9.0.0/16"), L3VNI), hung),
            {"esi": "single-homed", "etag": 0, "prefix": "10.9.0.0/16", "gateway": "0.0.0.0", "label": L3VNI},
            {},
        ),
    )


def community(kind, subtype, **fields):
    """An extended community as GoBGP prints it."""
    return {"type": kind, "subtype": subtype, **fields}


def attributes_of(path):
    """GoBGP's attributes by code: the value alone, or what stands for it."""
    found = {}
    for one in path["attrs"]:
        rest = {name: value for name, value in one.items() if name != "type"}
        found[one["type"]] = next(iter(rest.values())) if len(rest) == 1 else rest
    return found


def test_gobgp_prints_what_we_meant(session):
    said = ours(session)
    session.client.announce([route for route, _, _ in said])
    session.client.eor()

    def read():
        return [
            p for p in session.lab.oracle("gb") if p["nlri"]["value"]["rd"].get("admin") == str(session.vtep)
        ]

    paths = wait(lambda: len(read()) == len(said) and read(), "GoBGP to have all of them")
    printed = {
        json.dumps({k: v for k, v in p["nlri"]["value"].items() if k != "rd"}, sort_keys=True): p
        for p in paths
    }
    assert len(printed) == len(said)
    for route, value, hung in said:
        path = printed.get(json.dumps(value, sort_keys=True))
        assert path is not None, (value, sorted(printed))
        found = attributes_of(path)
        assert path["nlri"]["value"]["rd"] == {"type": 1, "admin": str(session.vtep), "assigned": 7}
        assert found[14]["nexthop"] == str(route.attributes.next_hop)
        assert (found[2], found[1]) == ([], hung.get(1, 0))
        for code, wanted in hung.items():
            assert found[code] == wanted, (value, code)
    assert "treated as withdraw" not in session.lab.log("gobgpd")


def test_gobgp_refuses_what_it_does_not_know_and_keeps_the_rest(session):
    """The ARP/ND community (RFC 9047) is too new for GoBGP 3.10: it drops the route, and says so."""
    odd = Route(MacRoute(session.rd, Mac(MAC + 1), V4, VNI), replace(session.hung, neighbor_flags=3))
    session.client.announce([odd])
    wait(lambda: "unknown evpn subtype: 8" in session.lab.log("gobgpd"), "GoBGP to refuse it")
    session.client.withdraw([odd])


THEIRS = nlri.distinguisher(Distinguisher(int(ip_address("10.0.0.9")), 7))
LACP = "esi lacp 11:22:33:44:55:66 7"
LACP_ESI = bytes.fromhex("01112233445566000700")
COMMON = "rd 10.0.0.9:7 rt 65000:10100"
ROUTES = (
    (
        f"a-d {LACP} etag 9 label {VNI} {COMMON} esi-label 99",
        DiscoveryRoute(THEIRS, LACP_ESI, 9, VNI),
        {"segment_label": SegmentLabel(False, 99)},
    ),
    (
        f"macadv 02:00:00:00:00:02 10.0.0.2 {LACP} etag 9 label {VNI} {COMMON} encap vxlan",
        MacRoute(THEIRS, Mac(0x020000000002), ip_address("10.0.0.2"), VNI, None, 9, LACP_ESI),
        {"encapsulations": (8,)},
    ),
    (
        f"macadv 02:00:00:00:00:03 fd00::2 etag 9 label {VNI} {COMMON} 192.0.2.1:7 "
        "router-mac 02:00:00:00:00:09",
        MacRoute(THEIRS, Mac(0x020000000003), ip_address("fd00::2"), VNI, None, 9),
        {"router_mac": Mac(0x020000000009), "route_targets": ("65000:10100", "192.0.2.1:7")},
    ),
    (
        f"macadv 02:00:00:00:00:03 0.0.0.0 etag 9 label {VNI} {COMMON}",
        MacRoute(THEIRS, Mac(0x020000000003), None, VNI, None, 9),
        {},
    ),
    (
        f"multicast 10.0.0.9 etag 9 {COMMON} encap vxlan pmsi ingress-repl {VNI} 10.0.0.9",
        MulticastRoute(THEIRS, ip_address("10.0.0.9"), 9),
        {"encapsulations": (8,), "pmsi_vni": VNI, "pmsi_endpoint": ip_address("10.0.0.9")},
    ),
    (
        f"esi 10.0.0.9 {LACP} {COMMON}",
        SegmentRoute(THEIRS, LACP_ESI, ip_address("10.0.0.9")),
        {"segment_imports": (Mac(0x112233445566),)},
    ),
    (
        f"prefix 10.9.0.0/16 gw 10.0.0.3 etag 9 label {L3VNI} {COMMON} router-mac 02:00:00:00:00:09",
        PrefixRoute(THEIRS, ip_network("10.9.0.0/16"), L3VNI, ip_address("10.0.0.3"), 9),
        {"router_mac": Mac(0x020000000009)},
    ),
    (
        f"prefix 2001:db8::/32 {LACP} etag 9 label {L3VNI} {COMMON}",
        PrefixRoute(THEIRS, ip_network("2001:db8::/32"), L3VNI, None, 9, LACP_ESI),
        {},
    ),
)
"""What is typed at GoBGP, and what we must read. It has no words for mobility, a second label or RFC 9047,
and refuses its own `single-active` and `default-gateway`."""


def test_we_read_what_was_typed_at_gobgp(session):
    hop = ip_address(session.lab.address("gb"))
    for words, _, _ in ROUTES:
        session.lab.inside("gb", "gobgp", "global", "rib", "add", "-a", "evpn", *words.split())
    wait(lambda: len(session.routes()) >= len(ROUTES), "us to have all of them")
    got = {route.nlri: route.attributes for route in session.routes()}
    assert set(got) == {body for _, body, _ in ROUTES}
    for words, body, said in ROUTES:
        targets = said.get("route_targets", ("65000:10100",))
        wanted = Attributes(hop, origin=2)  # GoBGP's ORIGIN is incomplete
        wanted = replace(wanted, **{**said, "route_targets": tuple(sorted(map(parse_target, targets)))})
        assert got[body] == wanted, words

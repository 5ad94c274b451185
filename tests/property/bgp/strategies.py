"""Hypothesis strategies: any route, any damage, small random clusters and their changes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import settings
from hypothesis import strategies as st

from bgp.codec import communities
from model.addresses import GATEWAY_MAC, router_mac
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import (
    Binding,
    Cluster,
    Egress,
    External,
    FloatingIp,
    Hypervisor,
    Network,
    Pair,
    Peering,
    Port,
    Side,
    StaticRoute,
    Tenant,
)
from model.inventory import Interface
from model.route import (
    Attributes,
    DiscoveryRoute,
    MacRoute,
    MulticastRoute,
    PrefixRoute,
    Route,
    SegmentLabel,
    SegmentRoute,
    Sighting,
    Tunnel,
)
from model.snapshot import Snapshot, with_port, without_port
from model.targets import DERIVED, PLAIN, Rules, parse_target

HARD = settings(max_examples=2 * settings().max_examples)
"""For what matters most: twice the profile's examples."""

V4 = st.integers(0, (1 << 32) - 1).map(IPv4Address)
V6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)
ADDRESS = V4 | V6
RD = st.binary(min_size=8, max_size=8)
ESI = st.binary(min_size=10, max_size=10)
TAG = st.integers(0, (1 << 32) - 1)
MAC = st.integers(0, (1 << 48) - 1).map(Mac)
VNI = st.integers(0, (1 << 24) - 1).map(Vni)


@st.composite
def prefix_routes(draw):
    address = draw(ADDRESS)
    prefix = ip_network((address.packed, draw(st.integers(0, address.max_prefixlen))), strict=False)
    gateway = draw(st.none() | (V4 if address.version == 4 else V6).filter(int))
    return PrefixRoute(draw(RD), prefix, draw(VNI), gateway, draw(TAG), draw(ESI))


NLRI = st.one_of(
    st.builds(MacRoute, RD, MAC, st.none() | ADDRESS, VNI, st.none() | VNI, TAG, ESI),
    st.builds(MulticastRoute, RD, ADDRESS, TAG),
    st.builds(DiscoveryRoute, RD, ESI, TAG, VNI),
    st.builds(SegmentRoute, RD, ESI, ADDRESS),
    prefix_routes(),
)

OTHER_COMMUNITY = st.tuples(
    st.sampled_from((0x00, 0x03, 0x40, 0x43, 0x80)), st.binary(min_size=7, max_size=7)
).map(lambda one: bytes((one[0], 0xF0 | one[1][0])) + one[1][1:])
TUNNEL = st.one_of(
    st.builds(Tunnel, st.integers(0, 255), st.sampled_from((1,)), VNI, st.binary(min_size=12, max_size=12)),
    st.builds(
        Tunnel, st.integers(0, 255), st.sampled_from((3, 4, 5)), VNI, st.binary(min_size=8, max_size=8)
    ),
    st.builds(Tunnel, st.integers(0, 255), st.sampled_from((2, 7, 9, 255)), VNI, st.binary(max_size=40)),
    st.builds(Tunnel, st.integers(0, 255), st.just(0), VNI, st.just(b"")),
)
PATH_SEGMENT = st.tuples(st.integers(1, 4), st.lists(TAG, min_size=1, max_size=4)).map(
    lambda one: bytes((one[0], len(one[1]))) + b"".join(n.to_bytes(4, "big") for n in one[1])
)


@st.composite
def attribute_sets(draw):
    sequence = draw(st.none() | TAG)
    vni = draw(st.none() | VNI)
    derived = st.tuples(st.integers(0, 65535), VNI).map(lambda one: communities.route_target(*one))
    targets = derived | st.tuples(st.sampled_from((0, 1, 2)), st.binary(min_size=6, max_size=6)).map(
        lambda one: bytes((one[0], 2)) + one[1]
    )
    return Attributes(
        next_hop=draw(ADDRESS),
        route_targets=tuple(sorted(draw(st.sets(targets, max_size=40)))),
        sequence=sequence,
        sticky=sequence is not None and draw(st.booleans()),
        router_mac=draw(st.none() | MAC),
        default_gateway=draw(st.booleans()),
        pmsi_vni=vni,
        pmsi_endpoint=None if vni is None else draw(ADDRESS),
        local_preference=draw(TAG),
        encapsulations=tuple(sorted(draw(st.sets(st.integers(0, 65535), max_size=3)))),
        segment_label=draw(st.none() | st.builds(SegmentLabel, st.booleans(), VNI)),
        segment_imports=tuple(sorted(draw(st.sets(MAC, max_size=2)))),
        neighbor_flags=draw(st.none() | st.integers(0, 255)),
        extended=tuple(sorted(draw(st.sets(OTHER_COMMUNITY, max_size=2)))),
        communities=tuple(sorted(draw(st.sets(TAG, max_size=3)))),
        large_communities=tuple(sorted(draw(st.sets(st.tuples(TAG, TAG, TAG), max_size=3)))),
        pmsi_other=draw(st.none() | TUNNEL) if vni is None else None,
        origin=draw(st.integers(0, 2)),
        as_path=b"".join(draw(st.lists(PATH_SEGMENT, max_size=3))),
        med=draw(st.none() | TAG),
        originator=draw(st.none() | TAG),
        clusters=tuple(draw(st.lists(TAG, max_size=3))),
    )


ROUTE = st.builds(Route, NLRI, attribute_sets())

# Small worlds: few names, so that changes collide.
HOST_NAMES = tuple(HostName(f"h{n}") for n in range(4))
NETWORK_KEYS = tuple(NetworkKey(n) for n in (1, 2))
PORT_KEYS = tuple(PortKey(n) for n in range(1, 5))
TENANTS = tuple(TenantKey(n) for n in (1, 2))
VNIS = (Vni(100), Vni(200), Vni(300))
L3VNIS = (Vni(900), Vni(901))
MACS = tuple(Mac(0x020000000000 + n) for n in range(3))
ADDRESSES = (*(IPv4Address(0x0A000000 + n) for n in range(3)), IPv6Address("fd00::1"))
VRFS = (*TENANTS, TenantKey(3), TenantKey(4))
"""Two tenants, an external network and a peering, or what an edit makes of the last two."""
PREFIXES = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/0",
        "10.0.0.0/31",
        "10.0.0.1/32",
        "172.16.0.0/16",
        "203.0.113.5/32",
        "203.0.113.6/32",
    )
)
VIRTUAL = IPv4Address("10.0.0.100")
"""Of allowed pairs: with a port's own MAC, and with a virtual router's."""
PAIRS = (Pair(ip_network("10.0.0.100/32")), Pair(ip_network("10.0.0.100/32"), Mac(0x00005E000101)))
POOL = ip_network("203.0.113.0/24")
FLOATING, EGRESS_ADDRESS = ip_address("203.0.113.5"), ip_address("203.0.113.6")
VTEPS = (*(IPv4Address(0xC0000200 + n) for n in range(3)), IPv6Address("fd99::1"))


SEGMENTS = tuple(bytes(9) + bytes((n,)) for n in (1, 2))

WRITTEN = (parse_target("192.0.2.1:7"), parse_target("65001:100"), communities.route_target(65000, VNIS[1]))
"""Route targets that are written out: of another form, of another AS, and one that is derived elsewhere."""
RULES = st.sampled_from(
    (
        PLAIN,
        PLAIN,
        Rules((DERIVED, WRITTEN[0]), (DERIVED, WRITTEN[0])),
        Rules((WRITTEN[1],), (WRITTEN[1],), (1 << 16,), ((1, 2, 3),)),
        Rules((DERIVED, WRITTEN[2])),
    )
)


def _set(snapshot, name, key, value):
    there = getattr(snapshot, name)
    if value is not None:
        return replace(snapshot, **{name: there.set(key, value)})
    return replace(snapshot, **{name: there.delete(key)}) if key in there else snapshot


@st.composite
def edits(draw):
    """(change, function of a snapshot that makes it)."""
    part = draw(
        st.sampled_from(
            (
                *(Part.PORT, Part.BINDING, Part.INTERFACE, Part.NETWORK, Part.TENANT),
                *(Part.HYPERVISOR, Part.CLUSTER, Part.STATIC_ROUTE, Part.FLOATING, Part.PEERING),
                *(Part.EXTERNAL, Part.DOWN, Part.SIGHTING),
            )
        )
    )
    absent = draw(st.integers(0, 4)) == 0
    if part is Part.PORT:
        key = draw(st.sampled_from(PORT_KEYS))
        hosts = tuple(sorted(draw(st.sets(st.sampled_from(HOST_NAMES), max_size=3))))
        addresses = tuple(draw(st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=2)))
        network, mac = draw(st.sampled_from(NETWORK_KEYS)), draw(st.sampled_from(MACS))
        allowed = draw(st.sampled_from(((), PAIRS[:1], PAIRS)))
        port = Port(Uid(f"p{key}"), network, f"p{key}", key, mac, addresses, hosts, allowed)
        return Change(part, key), lambda s: without_port(s, key) if absent else with_port(s, port)
    if part is Part.BINDING:
        key = draw(st.sampled_from(PORT_KEYS))
        host = draw(st.sampled_from(HOST_NAMES[:2]))
        binding = Binding(key, host, draw(st.integers(0, 3)), draw(st.integers(0, 4)) > 0)
        return Change(part, key), lambda s: _set(s, "bindings", key, None if absent else binding)
    if part is Part.INTERFACE:
        uid = Uid(f"p{draw(st.sampled_from(PORT_KEYS))}")
        interface = Interface("tap", uid, draw(st.sampled_from((-1, 3, 4))))
        return Change(part, uid), lambda s: _set(s, "interfaces", uid, None if absent else interface)
    if part is Part.NETWORK:
        key = draw(st.sampled_from(NETWORK_KEYS))
        owner, routed = draw(st.sampled_from((*TENANTS, TENANTS[0]))), draw(st.integers(0, 3)) > 0
        vni = draw(st.sampled_from(VNIS))
        subnets = draw(st.sampled_from(((), PREFIXES[1:2])))
        rules = draw(RULES)
        network = Network(Uid(f"n{key}"), owner, f"n{key}", key, vni, subnets, routed=routed, rules=rules)
        return Change(part, key), lambda s: _set(s, "networks", key, None if absent else network)
    if part is Part.TENANT:
        key = draw(st.sampled_from(TENANTS))
        tenant = replace(
            outward(
                draw(st.sampled_from(tuple(Egress))),
                draw(st.sampled_from((HOST_NAMES[:2], (), HOST_NAMES[1::-1]))),
            ),
            uid=Uid(f"t{key}"),
            key=key,
            l3vni=draw(st.sampled_from((Vni(0), *L3VNIS))),
            external=draw(st.sampled_from((TenantKey(0), VRFS[2], VRFS[2]))),
            rules=draw(RULES),
        )
        return Change(part, key), lambda s: _set(s, "tenants", key, None if absent else tenant)
    if part is Part.HYPERVISOR:
        name = draw(st.sampled_from(HOST_NAMES))
        number, external, border = draw(st.integers(0, 3)), draw(st.booleans()), draw(st.booleans())
        segments = tuple(sorted(draw(st.sets(st.sampled_from(SEGMENTS), max_size=2)))) if external else ()
        vtep = draw(st.sampled_from(VTEPS))
        host = Hypervisor(name, vtep, number, external, border=border, segments=segments)
        return Change(part, name), lambda s: _set(s, "hypervisors", name, None if absent else host)
    if part is Part.SIGHTING:
        spot = (draw(st.sampled_from(NETWORK_KEYS)), VIRTUAL)
        port, mac = draw(st.sampled_from(PORT_KEYS)), draw(st.sampled_from((*MACS, PAIRS[1].mac)))
        seen = Sighting(*spot, mac, port, draw(st.integers(0, 3)))
        return Change(part, spot), lambda s: _set(s, "sightings", spot, None if absent else seen)
    if part in (Part.STATIC_ROUTE, Part.FLOATING, Part.PEERING, Part.EXTERNAL, Part.DOWN):
        key, value = draw(vrf_values(part))
        return Change(part, key), lambda s: _set(s, part.value, key, None if absent else value)
    cluster = (
        None if absent else Cluster(Uid("c"), draw(st.integers(0, 3)), draw(st.sampled_from((65000, 65001))))
    )
    return Change(part, None), lambda s: replace(s, cluster=cluster)


def outward(egress, gateways):
    """A tenant of the small world with a way out."""
    addresses = (EGRESS_ADDRESS,) if egress is Egress.SNAT else ()
    return Tenant(
        Uid("t1"), "t1", TENANTS[0], L3VNIS[0], egress, VRFS[2], addresses, gateways if addresses else ()
    )


@st.composite
def vrf_values(draw, part):
    """(key, value) of what VRFs hold besides tenants."""
    if part is Part.DOWN:
        return draw(st.sampled_from(VTEPS)), True
    if part is Part.STATIC_ROUTE:
        uid, hops = Uid(draw(st.sampled_from(("r1", "r2")))), draw(st.sets(st.sampled_from(ADDRESSES[:3])))
        prefix = draw(st.sampled_from(PREFIXES))
        return uid, StaticRoute(uid, draw(st.sampled_from(TENANTS)), uid, prefix, tuple(sorted(hops)))
    if part is Part.FLOATING:
        uid, port = Uid(draw(st.sampled_from(("f1", "f2")))), draw(st.sampled_from((0, *PORT_KEYS)))
        target = draw(st.sampled_from(ADDRESSES)) if port else None
        return uid, FloatingIp(uid, TENANTS[0], uid, draw(st.sampled_from(VRFS[2:])), FLOATING, port, target)
    l3vni = draw(st.sampled_from((*L3VNIS, Vni(902), Vni(903))))
    key = VRFS[2] if part is Part.EXTERNAL else VRFS[3]  # keys come from one pool: no two have the same
    if part is Part.EXTERNAL:
        return key, External(Uid(f"x{key}"), f"x{key}", key, l3vni, (POOL,))
    sides = (Side(TENANTS[0], (draw(st.sampled_from(PREFIXES)),)), Side(TENANTS[1], ()))
    return key, Peering(key, l3vni, sides)


EDITS = st.lists(edits(), max_size=6)


def edited(snapshot, made):
    """(the snapshot after the edits, the changes)."""
    for _, edit in made:
        snapshot = edit(snapshot)
    return snapshot, frozenset(change for change, _ in made)


def start():
    """A small world in which much is authorised; edits make it odd."""
    made = Snapshot(HOST_NAMES[0], Cluster(Uid("c"), 1, 65000))
    for n, name in enumerate(HOST_NAMES):
        host = Hypervisor(name, VTEPS[n], n, external=n == 3, border=n == 3)
        made = _set(made, "hypervisors", name, replace(host, segments=SEGMENTS[: n // 2]))
    made = _set(made, "tenants", TENANTS[0], outward(Egress.SNAT, HOST_NAMES[:2]))
    made = _set(
        made, "tenants", TENANTS[1], replace(outward(Egress.FABRIC, ()), key=TENANTS[1], l3vni=L3VNIS[1])
    )
    made = _set(made, "externals", VRFS[2], External(Uid("x3"), "x3", VRFS[2], Vni(902), (POOL,)))
    sides = (Side(TENANTS[0], PREFIXES[1:2]), Side(TENANTS[1], ()))
    made = _set(made, "peerings", VRFS[3], Peering(VRFS[3], Vni(903), sides))
    made = _set(made, "static_routes", "r1", StaticRoute("r1", TENANTS[0], "r1", PREFIXES[3], ADDRESSES[:1]))
    floating = FloatingIp("f1", TENANTS[0], "f1", VRFS[2], FLOATING, PORT_KEYS[1], ADDRESSES[0])
    made = _set(made, "floating", "f1", floating)
    for key, vni in zip(NETWORK_KEYS, VNIS, strict=False):
        made = _set(made, "networks", key, Network(Uid(f"n{key}"), 1, f"n{key}", key, vni))
    for n, key in enumerate(PORT_KEYS):
        hosts = (HOST_NAMES[n % 2], *HOST_NAMES[2:])
        port = Port(
            Uid(f"p{key}"), NETWORK_KEYS[n // 3], f"p{key}", key, MACS[n % 3], ADDRESSES[:2], hosts, PAIRS[:1]
        )
        made = with_port(made, port)
    made = _set(made, "bindings", PORT_KEYS[0], Binding(PORT_KEYS[0], HOST_NAMES[0], 0, True))
    made = _set(made, "bindings", PORT_KEYS[1], Binding(PORT_KEYS[1], HOST_NAMES[1], 0, True))
    return _set(made, "interfaces", Uid("p1"), Interface("tap", Uid("p1"), 3))


@st.composite
def honest_routes(draw):
    """Routes that the world at the start authorises."""
    n = draw(st.integers(1, len(PORT_KEYS) - 1))
    host = draw(st.sampled_from((n % 2, 2))) or 2
    vni, hop = VNIS[n // 3], VTEPS[host]
    rd = b"\x00\x01" + host.to_bytes(4, "big") + int(NETWORK_KEYS[n // 3]).to_bytes(2, "big")
    target = (communities.route_target(65000, vni),)
    if draw(st.integers(0, 4)) == 0:
        return Route(MulticastRoute(rd, hop), Attributes(hop, target, pmsi_vni=vni, pmsi_endpoint=hop))
    address = draw(st.sampled_from((None, *ADDRESSES[:2], VIRTUAL)))
    sequence = draw(st.none() | st.integers(1, 3))
    if address is None or draw(st.booleans()):
        return Route(MacRoute(rd, MACS[n % 3], address, vni), Attributes(hop, target, sequence))
    both = tuple(sorted((*target, communities.route_target(65000, L3VNIS[0]))))
    said = Attributes(hop, both, sequence, router_mac=router_mac(host))
    return Route(MacRoute(rd, MACS[n % 3], address, vni, L3VNIS[0]), said)


@st.composite
def small_routes(draw):
    """Routes of the small world's names, put together at random."""
    vni = draw(st.sampled_from((VNIS[0], VNIS[0], *VNIS)))
    host = draw(st.integers(0, 3))
    hop = VTEPS[draw(st.sampled_from((host, host, host, 0, 2)))]
    target = communities.route_target(draw(st.sampled_from((65000, 65000, 65000, 65001))), vni)
    rd = b"\x00\x01" + host.to_bytes(4, "big") + draw(st.integers(1, 2)).to_bytes(2, "big")
    sequence = draw(st.none() | st.integers(1, 3))
    if draw(st.integers(0, 3)) == 0:
        return Route(
            MulticastRoute(rd, hop), Attributes(hop, (target,), None, pmsi_vni=vni, pmsi_endpoint=hop)
        )
    address = draw(st.none() | st.sampled_from((*ADDRESSES, VIRTUAL)))
    l3vni = draw(st.sampled_from((None, *L3VNIS)))
    routing = communities.route_target(65000, draw(st.sampled_from(L3VNIS)))
    other = draw(st.sampled_from(WRITTEN))
    several = (
        (target,),
        (routing,),
        tuple(sorted({target, routing})),
        (other,),
        tuple(sorted({other, routing})),
    )
    targets = draw(st.sampled_from(several))
    router = draw(st.sampled_from((None, router_mac(host), Mac(0x001122334455), GATEWAY_MAC)))
    return Route(
        MacRoute(rd, draw(st.sampled_from((*MACS, PAIRS[1].mac))), address, vni, l3vni),
        Attributes(hop, targets, sequence, router_mac=router),
    )


@st.composite
def prefix_claims(draw):
    """RT-5 of the small world: often what its store allows, often one thing off."""
    allowed = (
        (1, L3VNIS[0], "172.16.0.0/16"),
        (2, L3VNIS[0], "172.16.0.0/16"),
        (1, L3VNIS[0], "0.0.0.0/0"),
        (1, Vni(902), "203.0.113.5/32"),
        (1, Vni(902), "203.0.113.6/32"),
        (1, Vni(903), "10.0.0.1/32"),
        (2, Vni(903), "10.0.0.0/32"),
    )
    host, l3vni, text = draw(st.sampled_from(allowed))
    prefix, named, router = ip_network(text), l3vni, router_mac(host)
    match draw(st.sampled_from(("", "", "", "host", "l3vni", "prefix", "named", "router"))):
        case "host":
            host = draw(st.sampled_from((0, 2, 3)))
        case "l3vni":
            l3vni = draw(st.sampled_from(L3VNIS))
        case "prefix":
            prefix = draw(st.sampled_from(PREFIXES))
        case "named":
            named = Vni(902)
        case "router":
            router = draw(st.sampled_from((Mac(0x001122334455), None)))
    rd = b"\x00\x01" + host.to_bytes(4, "big") + draw(st.integers(1, 2)).to_bytes(2, "big")
    said = Attributes(
        VTEPS[host],
        (draw(st.sampled_from((*[communities.route_target(65000, named)] * 3, *WRITTEN[:2]))),),
        router_mac=router,
        local_preference=draw(st.sampled_from((100, 100, 200))),
    )
    return Route(PrefixRoute(rd, prefix, l3vni), said)


def segment_of(host):
    """All that a host of the world at the start says of a MAC behind its segment."""
    rd = b"\x00\x01" + host.to_bytes(4, "big") + b"\x00\x01"
    said = Attributes(VTEPS[host], (communities.route_target(65000, VNIS[0]),))
    whole = replace(said, segment_label=SegmentLabel(single_active=False, label=0))
    return (
        Route(DiscoveryRoute(rd, SEGMENTS[0], 0xFFFFFFFF, 0), whole),
        Route(DiscoveryRoute(rd, SEGMENTS[0], 0, VNIS[0]), said),
        Route(MacRoute(rd, MACS[2], None, VNIS[0], esi=SEGMENTS[0]), said),
    )


@st.composite
def segment_routes(draw):
    """RT-1, RT-2 and RT-4 of segments: often what the world at the start declares, often one thing off."""
    host = draw(st.sampled_from((*(2, 3) * 4, 0)))
    segment, vni = draw(st.sampled_from((*SEGMENTS[:1] * 7, *SEGMENTS))), draw(st.sampled_from(VNIS[:2]))
    target = communities.route_target(65000, draw(st.sampled_from((*[vni] * 5, *VNIS[:2], *L3VNIS))))
    rd = b"\x00\x01" + host.to_bytes(4, "big") + draw(st.integers(1, 2)).to_bytes(2, "big")
    label = draw(st.sampled_from((None, *[SegmentLabel(False, 0)] * 4, SegmentLabel(True, 0))))
    said = Attributes(VTEPS[host], (target,), segment_label=label)
    match draw(st.sampled_from(("whole", "whole", "network", "network", "mac", "mac", "mac", "member"))):
        case "whole":
            return Route(DiscoveryRoute(rd, segment, 0xFFFFFFFF, 0), said)
        case "network":
            return Route(DiscoveryRoute(rd, segment, 0, vni), said)
        case "member":
            mine = (communities.segment_import(segment),)
            return Route(
                SegmentRoute(rd, segment, VTEPS[draw(st.sampled_from((host, 1)))]),
                Attributes(VTEPS[host], segment_imports=mine),
            )
    mac, address = draw(st.sampled_from(MACS[1:])), draw(st.sampled_from((None, None, *ADDRESSES)))
    sequence = draw(st.none() | st.integers(1, 2))
    return Route(MacRoute(rd, mac, address, vni, esi=segment), replace(said, sequence=sequence))


PEERS = ("10.0.0.1", "10.0.0.2")


@st.composite
def events(draw):
    """(peer, announce or withdraw, route) each; what is withdrawn was often announced before."""
    made = []
    for _ in range(draw(st.sampled_from((0, 3, 6, 9, 12)))):
        peer = draw(st.sampled_from(PEERS))
        kind = draw(st.sampled_from(("announce", "announce", "withdraw")))
        if kind == "withdraw" and made:
            earlier = draw(st.sampled_from(made))
            made.append((earlier[0], kind, earlier[2]))
        else:
            honest = draw(st.integers(0, 2)) > 0
            source = honest_routes() if honest else small_routes()
            match draw(st.integers(0, 3)):
                case 0:
                    source = prefix_claims()
                case 1:
                    source = segment_routes()
                    honest = draw(st.sampled_from((0, 2, 3)))
                    made.extend((peer, "announce", one) for one in segment_of(honest) if honest)
            made.append((peer, kind, draw(source)))
    return made


EVENTS = events()

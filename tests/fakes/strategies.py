"""Hypothesis strategies: clusters of tenants that share addresses, and hostile packets.

Place: the inputs of the property tests. Small pools on purpose: addresses, MACs and VTEPs collide often.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import strategies as st

from model.addresses import GATEWAY_MAC, Address, link_local, router_mac
from model.ids import NetworkKey
from model.intent import Port
from model.route import FloodVtep
from model.snapshot import Snapshot
from pipelines import fields as f
from tests.fakes import packets as packets_
from tests.fakes import world
from tests.fakes.packets import Packet
from tests.fakes.peering import L3VNI, peerings

VTEPS = {"hv2": "192.0.2.2", "hv3": "192.0.2.3", "hv4": "192.0.2.4"}
FOREIGN_VTEP = int(ip_address("203.0.113.9"))
OWNERS = {1: 1, 2: 1, 3: 2}
"""Network -> tenant: two networks of one tenant, and one of another with the subnets of the first."""
ROUTERS = {"hv2": 2, "hv3": 3}
"""VTEPs that route; hv4 does not."""
GATEWAYS = ("10.0.1.1", "10.0.2.1", "fd00:0:0:1::1", "fd00:0:0:2::1")


def mac(net: int, last: int) -> int:
    """Tenants 1 and 2 share MACs as well: networks 1 and 3 have the same ones."""
    return 0x020000000000 | (net % 2) << 8 | last


def block(net: int) -> int:
    """The number in the subnets of a network: 1 and 3 share theirs."""
    return 2 if net == 2 else 1


def subnets(net: int) -> tuple[str, str]:
    return f"10.0.{block(net)}.0/24", f"fd00:0:0:{block(net)}::/64"


def own(net: int, last: int) -> list[str]:
    """The addresses of a port. Port 4 has its gateway's, which the store should not give it."""
    host = 1 if last == 4 else 10 + last
    return [f"10.0.{block(net)}.{host}", f"fd00:0:0:{block(net)}::{host:x}"]


@st.composite
def clusters(draw: st.DrawFn) -> Snapshot:
    """A complete snapshot of hv1: up to nine ports, each here or behind a VTEP."""
    snapshot = world.added(
        world.empty(),
        *(world.tenant(key, l3vni=draw(st.sampled_from([None, None, 0]))) for key in (1, 2)),
        *(
            world.network(
                n,
                owner=o,
                replicate=draw(st.booleans()),
                routed=draw(st.sampled_from([True, True, True, False])),
                subnets=subnets(n),
            )
            for n, o in OWNERS.items()
        ),
        *(world.hypervisor(name, vtep) for name, vtep in VTEPS.items()),
        world.egress_class(2, ["10.9.0.0/16", "2001:db8::/32"]),
    )
    for net in OWNERS:
        for last in (1, 2, 3):
            place = draw(st.sampled_from([world.HERE, world.HERE, "hv2", "hv3", None]))
            if place is None:
                continue
            key, addresses = net * 10 + last, own(net, last)
            chosen = draw(st.sampled_from([addresses, addresses, addresses[:1], addresses[1:]]))
            rates = draw(st.sampled_from([(0, 0), (0, 0), (8_000, 0), (0, 5_000)]))
            hosts = sorted({place, *draw(st.sets(st.sampled_from(sorted(VTEPS)), max_size=1))})
            one = world.limited(world.port(key, net, mac(net, last), chosen, hosts), *rates)
            if place == world.HERE:
                snapshot = world.plugged(snapshot, one, ofport=key)
                continue
            router = draw(st.sampled_from([ROUTERS[place], ROUTERS[place], None]))
            there = world.remote(net, one.mac, VTEPS[place], chosen, router=router)
            flood = FloodVtep(NetworkKey(net), ip_address(VTEPS[place]))
            snapshot = world.added(snapshot, one, there, flood)
    return draw(peerings(draw(behind(snapshot))))


BEHIND = (("10.50.0.0/16", "10.50.0.9"), ("fd50::/48", "fd50::9"))
"""Prefixes of static routes, and an address in each."""


@st.composite
def behind(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """Static routes of each tenant over any of its ports, and hv2 as one more next hop."""
    for tenant in sorted(set(OWNERS.values())):
        ports = [p for p in snapshot.ports.values() if snapshot.networks[p.network].tenant == tenant]
        for version, (prefix, _) in zip((4, 6), BEHIND, strict=True):
            known = sorted({str(a) for p in ports for a in p.addresses if a.version == version})
            if not known or draw(st.booleans()):
                continue
            hops = sorted(draw(st.sets(st.sampled_from(known), min_size=1, max_size=3)))
            snapshot = world.added(
                snapshot, world.static_route(f"{tenant}-{version}", prefix, hops, owner=tenant)
            )
            if draw(st.booleans()):
                snapshot = world.added(snapshot, world.remote_prefix(prefix, [VTEPS["hv2"]], vrf=tenant))
    return snapshot


MACS = st.sampled_from([mac(n, k) for n in (1, 2) for k in (1, 2, 3)] + [0x02DEADBEEF00, int(GATEWAY_MAC)])
GROUPS = st.sampled_from([(1 << 48) - 1, 0x01005E000001, 0x3333FF000001, 0x333300000001])
_OWN = [int(ip_address(a)) for n in (1, 2) for k in (1, 2, 3) for a in own(n, k)]
FOURS = st.sampled_from(
    _OWN[::2]
    + [int(ip_address("10.50.0.9"))] * 3
    + [int(ip_address(a)) for a in (*GATEWAYS[:2], "10.9.1.1", "0.0.0.0", "169.254.0.1", "224.0.0.1")]
)
SIXES = st.sampled_from(
    _OWN[1::2]
    + [int(ip_address("fd50::9"))] * 3
    + [int(ip_address(a)) for a in (*GATEWAYS[2:], "::", "2001:db8::1", "ff02::1")]
    + [int(link_local(mac(n, k))) for n in (1, 2) for k in (1, 2, 3)]
    + [int(link_local(GATEWAY_MAC))]
)


@st.composite
def packets(draw: st.DrawFn, snapshot: Snapshot) -> Packet:
    """Anything a VM, a forger in the underlay or a compromised VTEP could send, mostly one field off."""
    owners = sorted((p for p in snapshot.ports.values() if snapshot.bound_here(p.key)), key=lambda p: p.key)
    if not owners:
        return draw(_anything()) | {"in_port": draw(st.sampled_from([11, 12, 77, world.TUNNEL]))}
    one = draw(st.sampled_from(owners))
    kinds = ["honest", "honest", "nearly", "disguised", "tunnel", "forged", "stray", "routed", "arriving"]
    match draw(st.sampled_from(kinds)):
        case "honest":
            packet = draw(_honest(snapshot, one))
        case "nearly":
            packet = _bent(draw(_honest(snapshot, one)), draw)
        case "disguised":
            packet = _disguised(draw(_anything()), one, draw)
        case "tunnel":
            vni, vtep = snapshot.networks[one.network].vni, draw(st.sampled_from(_vteps(snapshot, one)))
            packet = draw(_anything()) | {"tun_id": int(vni), "tun_src": vtep, "eth_dst": draw(_targets(one))}
            return packet | {"in_port": world.TUNNEL}
        case "routed":
            packet = draw(_routed(one))
            packet = _bent(packet, draw) if draw(st.booleans()) else packet
        case "arriving":
            return draw(_arriving(snapshot, one))
        case "forged":
            return _forged(draw(_anything()), draw)
        case _:
            return draw(_anything()) | {"in_port": draw(st.sampled_from([11, 12, 21, 31, 77]))}
    return packet | {"in_port": snapshot.interfaces[one.uid].ofport}


def _anything() -> st.SearchStrategy[Packet]:
    return st.one_of(_arps(), _ipv4s(), _ipv6s(), _others())


def _targets(one: Port) -> st.SearchStrategy[int]:
    known = st.sampled_from([mac(one.network, last) for last in (1, 2, 3)])
    return st.one_of(known, known, GROUPS)


def _vteps(snapshot: Snapshot, one: Port) -> list[int]:
    """VTEPs of hosts that the port's network knows, and one that nobody knows."""
    hosts = {host for port in snapshot.ports_of(one.network) for host in port.hosts if host in VTEPS}
    return [int(ip_address(VTEPS[host])) for host in sorted(hosts)] + [FOREIGN_VTEP]


def _forged(packet: Packet, draw: st.DrawFn) -> Packet:
    senders = [int(ip_address(v)) for v in VTEPS.values()] + [FOREIGN_VTEP, int(ip_address("192.0.2.1"))]
    return packet | {
        "in_port": world.TUNNEL,
        "tun_id": draw(st.sampled_from([1001, 1002, 1003, 4242, 5001, 5002])),
        "tun_src": draw(st.sampled_from(senders)),
    }


def _inside(address: Address) -> st.SearchStrategy[int]:
    """Of a static route, of the family of an address."""
    return st.just(int(ip_address(BEHIND[address.version // 6][1])))


@st.composite
def _routed(draw: st.DrawFn, one: Port) -> Packet:
    """What a VM sends to its gateway: to all that has an address, pings among it."""
    address = draw(st.sampled_from(one.addresses))
    make, pool = (packets_.ipv4, FOURS) if address.version == 4 else (packets_.ipv6, SIXES)
    packet = make(int(one.mac), int(GATEWAY_MAC), int(address), draw(st.one_of(pool, _inside(address)))) | {
        "nw_ttl": draw(_ttls())
    }
    return packets_.echo(packet) if draw(st.booleans()) else packet


@st.composite
def _arriving(draw: st.DrawFn, snapshot: Snapshot, one: Port) -> Packet:
    """What comes under an L3VNI: routed to this port by its tenant's hosts, or nearly so."""
    address = draw(st.sampled_from(one.addresses))
    make, pool = (packets_.ipv4, FOURS) if address.version == 4 else (packets_.ipv6, SIXES)
    to = draw(st.one_of(st.just(int(address)), st.just(int(address)), pool, _inside(address)))
    router = draw(
        st.sampled_from([router_mac(1), router_mac(1), router_mac(1), router_mac(2), GATEWAY_MAC, one.mac])
    )
    ids = [5001, 5002, L3VNI, L3VNI, 5000 + snapshot.networks[one.network].tenant]
    vteps = [int(ip_address(v)) for v in VTEPS.values()]
    return make(int(router_mac(2)), int(router), draw(pool), to) | {
        "nw_ttl": draw(_ttls()),
        "in_port": world.TUNNEL,
        "tun_id": draw(st.sampled_from(ids)),
        "tun_src": draw(st.sampled_from([*vteps, *_vteps(snapshot, one)])),
    }


@st.composite
def _honest(draw: st.DrawFn, snapshot: Snapshot, one: Port) -> Packet:
    """What a well-meaning VM sends: probes, questions, answers and traffic to its neighbours."""
    lasts, to, me = st.sampled_from([1, 2, 3, 4]), draw(_targets(one)), int(one.mac)
    four, six = (int(ip_address(a)) for a in own(one.network, draw(lasts)))
    far4, far6 = int(ip_address("10.9.1.1")), int(ip_address("2001:db8::9"))
    made: list[Packet] = [packets_.ipv4(me, to, four, far4), *_questions(me)]
    for address in map(int, (a for a in one.addresses if a.version == 4)):
        made += [
            packets_.arp(1, me, address, four),
            packets_.arp(1, me, 0, address),
            packets_.arp(2, me, address, four, dst=to),
            packets_.udp(packets_.ipv4(me, to, address, four), 68, 67),
            packets_.ipv4(me, to, address, draw(st.sampled_from([four, far4, 0xA9FEA9FE]))),
        ]
    for address in map(int, (a for a in one.addresses if a.version == 6)):
        local = int(link_local(mac(one.network, draw(lasts))))
        made += [
            packets_.solicitation(me, address, draw(st.sampled_from([six, local]))),
            packets_.solicitation(me, 0, address, option=0),
            packets_.udp(packets_.ipv6(me, to, address, six), 546, 547),
            packets_.solicitation(me, address, six, option=0) | {"eth_dst": to},
            packets_.advertisement(me, to, address, six, address, option=draw(st.sampled_from([me, 0]))),
            packets_.ipv6(me, to, address, draw(st.sampled_from([six, far6, local]))),
        ]
    return draw(st.sampled_from(made))


def _questions(me: int) -> list[Packet]:
    """What a port may ask its network before it has an address, or with one of its own making."""
    private = int(ip_address("fe80::1234:5678:9abc:def0"))
    all_servers, all_routers = int(ip_address("ff02::1:2")), int(ip_address("ff02::2"))
    six = packets_.ipv6(me, 0x333300010002, private, all_servers)
    return [
        packets_.udp(packets_.ipv4(me, (1 << 48) - 1, 0, (1 << 32) - 1), 68, 67),
        packets_.udp(six, 546, 547),
        packets_.ipv6(me, 0x333300000002, private, all_routers, proto=f.ICMPV6, ttl=f.HOP_LIMIT)
        | {"icmpv6_type": f.ROUTER_SOLICITATION},
    ]


def _bent(packet: Packet, draw: st.DrawFn) -> Packet:
    """One field of an otherwise honest packet is something else."""
    name = draw(st.sampled_from(sorted(packet.keys() - {"eth_type", "ip_proto", "icmpv6_type"})))
    pools = {"ipv6_src": SIXES, "ipv6_dst": SIXES, "nd_target": SIXES, "eth_dst": st.one_of(MACS, GROUPS)}
    pools |= dict.fromkeys(("ip_src", "ip_dst", "arp_spa", "arp_tpa"), FOURS)
    pools |= dict.fromkeys(("eth_src", "arp_sha", "arp_tha", "nd_sll", "nd_tll"), MACS)
    pools |= {"nw_ttl": _ttls(), "arp_op": st.sampled_from([0, 1, 2, 3])}
    pools |= {"icmp_type": st.sampled_from([0, 3, 8])} | _udp()
    return packet | {name: draw(pools[name])}


def _disguised(packet: Packet, one: Port, draw: st.DrawFn) -> Packet:
    """Make the packet an honest one of the port, but for a drawn choice of fields that stay as they are."""
    own4 = [int(a) for a in one.addresses if a.version == 4] or [0]
    own6 = [int(a) for a in one.addresses if a.version == 6] or [0]
    truth = {
        "eth_src": int(one.mac),
        "arp_sha": int(one.mac),
        "arp_spa": own4[0],
        "ip_src": own4[0],
        "ipv6_src": own6[0],
        "nd_sll": int(one.mac),
        "nd_tll": int(one.mac),
        "nd_target": own6[0],
    }
    lies = draw(st.sets(st.sampled_from(sorted(truth)), max_size=2))
    for name in sorted(truth.keys() - lies):
        solicits = packet.get("icmpv6_type") == f.NEIGHBOR_SOLICITATION
        if name in packet and not (name == "nd_target" and solicits):
            packet[name] = truth[name]
    return packet


def _frames() -> dict[str, st.SearchStrategy[int]]:
    return {
        "eth_src": MACS,
        "eth_dst": st.one_of(MACS, MACS, GROUPS),
        "vlan_tci": st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0x1000, 0x1005]),
    }


def _arps() -> st.SearchStrategy[Packet]:
    return st.fixed_dictionaries(
        {
            **_frames(),
            "eth_type": st.just(f.ARP),
            "arp_op": st.sampled_from([1, 1, 2, 2, 3]),
            "arp_sha": MACS,
            "arp_tha": MACS,
            "arp_spa": FOURS,
            "arp_tpa": FOURS,
        }
    )


def _ipv4s() -> st.SearchStrategy[Packet]:
    common = {**_frames(), "eth_type": st.just(f.IPV4), "ip_src": FOURS, "ip_dst": FOURS, "nw_ttl": _ttls()}
    return st.one_of(
        st.fixed_dictionaries({**common, "ip_proto": st.just(6), "ip_frag": _fragments()}),
        st.fixed_dictionaries(
            {**common, "ip_proto": st.just(1), "icmp_type": st.sampled_from([0, 8]), "ip_frag": _fragments()}
        ),
        st.fixed_dictionaries({**common, "ip_proto": st.just(f.UDP), **_udp(), "ip_frag": _fragments()}),
    )


def _ipv6s() -> st.SearchStrategy[Packet]:
    common = {**_frames(), "eth_type": st.just(f.IPV6), "ipv6_src": SIXES, "ipv6_dst": SIXES}
    common |= {"nw_ttl": _ttls(), "ip_frag": _fragments()}
    icmp = {**common, "ip_proto": st.just(f.ICMPV6), "icmpv6_code": st.sampled_from([0, 0, 0, 1])}
    return st.one_of(
        st.fixed_dictionaries({**common, "ip_proto": st.just(6)}),
        st.fixed_dictionaries({**common, "ip_proto": st.just(f.UDP), **_udp()}),
        st.fixed_dictionaries({**icmp, "icmpv6_type": st.sampled_from([128, 129, 133, 134, 137])}),
        st.fixed_dictionaries(
            {**icmp, "icmpv6_type": st.just(135), "nd_target": SIXES, "nd_sll": _options()}
        ).map(_discovery),
        st.fixed_dictionaries(
            {**icmp, "icmpv6_type": st.just(136), "nd_target": SIXES, "nd_tll": _options()}
        ).map(_discovery),
    )


def _discovery(packet: Packet) -> Packet:
    """OVS looks for a target and options only where the code is 0."""
    if packet["icmpv6_code"]:
        return {name: packet[name] for name in packet if not name.startswith("nd_")}
    return packet


def _others() -> st.SearchStrategy[Packet]:
    return st.fixed_dictionaries({**_frames(), "eth_type": st.sampled_from([0x88CC, 0x8847, 0x8035, 0x05FF])})


def _ttls() -> st.SearchStrategy[int]:
    return st.sampled_from([255, 255, 255, 64, 1])


def _options() -> st.SearchStrategy[int]:
    return st.one_of(MACS, MACS, st.just(0))


def _fragments() -> st.SearchStrategy[int]:
    return st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3])


def _udp() -> dict[str, st.SearchStrategy[int]]:
    """DNS, and DHCP as both of its ends say it."""
    return {
        "udp_src": st.sampled_from([53, 67, 68, 546, 547]),
        "udp_dst": st.sampled_from([53, 67, 68, 546, 547]),
    }

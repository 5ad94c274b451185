"""Everything that a hostile VM may put on its wire, by class, with what must become of it.

Place: frames only, as values; `test_isolation` sends them and looks. Each class bears a marker of its own, so
that a frame which came out somewhere is traced to its class. Must not send, and must not know the pipeline
but for the table in which a class is counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from pipelines.tables import number
from topologies.scenarios.two_tenants import Workload

BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "02:de:ad:00:00:99"
CLASSIFY, GUARD, NEIGHBOURS, SERVICES, ADVERTISE, GATEWAY, ROUTE, RESOLVE, DELIVERY = map(
    number,
    (
        "classify",
        "guard",
        "neighbours",
        "services",
        "advertise",
        "gateway",
        "route",
        "resolve",
        "delivery",
    ),
)


class Fate(Enum):
    """What must become of a class of frames."""

    REFUSED = "reaches nobody, and is counted in a table"
    ANSWERED = "is answered from flows or by the agent, and reaches nobody"
    GROUP = "reaches the own network where it replicates; is counted and reaches nobody elsewhere"
    OWN = "reaches the friend of the own network, and nobody of another"


@dataclass(frozen=True, slots=True)
class Attack:
    """`table` counts what is refused; `mark` is in every frame."""

    name: str
    frames: tuple[bytes, ...]
    fate: Fate
    table: int
    mark: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """Who is where. `friend`: of the attacker's network, on another host; `victims`: of other tenants;
    `vteps`: (address, MAC) of hypervisors."""

    attacker: Workload
    friend: Workload
    victims: tuple[Workload, ...]
    vteps: tuple[tuple[str, str], ...]
    vnis: tuple[int, ...]
    salt: bytes


Made = tuple[str, Fate, int, Sequence[Packet | bytes]]
"""Name, fate, table, frames that still lack the marker's padding."""


def attacks(field: Field) -> tuple[Attack, ...]:
    """All classes, in order. What has no payload of its own bears the marker as Ethernet padding."""
    made = []
    for source in (_arp, _solicitations, _advertisements, _routers, _groups, _strangers, _spoofs, _tagged,
                   _ethertypes, _fragments, _headers, _servers, _broken, _tunnels):  # fmt: skip
        for name, fate, table, frames in source(field):
            mark = _mark(field, name)
            padded = tuple(_padded(bytes(f), mark) for f in frames)
            made.append(Attack(name, padded, fate, table, mark))
    return (*made, *_runts(field))


def _mark(field: Field, name: str) -> bytes:
    return hashlib.sha256(field.salt + name.encode()).digest()[:12]


def _padded(frame: bytes, mark: bytes) -> bytes:
    return frame if mark in frame else frame.ljust(48, b"\0") + mark


def _sides(field: Field) -> tuple[Workload, ...]:
    return (field.friend, *field.victims)


def local(mac: str) -> str:
    """The link-local address that a MAC makes (RFC 4291 appendix A)."""
    octets = [int(o, 16) for o in mac.split(":")]
    octets[0] ^= 2
    words = [*octets[:3], 0xFF, 0xFE, *octets[3:]]
    return "fe80::" + ":".join(f"{words[i] << 8 | words[i + 1]:x}" for i in range(0, 8, 2))


def _arp(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    own = Ether(src=me.mac, dst=BROADCAST)

    def said(op: int, target: str, **more: str) -> ARP:
        return ARP(**{"op": op, "hwsrc": me.mac, "psrc": me.ipv4, "pdst": target} | more)

    everything = [*(f"10.0.0.{i}" for i in range(180, 250)), "10.0.0.255", "255.255.255.255",
                  "0.0.0.0", me.ipv4, *(v[0] for v in field.vteps)]  # fmt: skip
    yield "ARP for everything", Fate.REFUSED, SERVICES, [own / said(1, a) for a in everything]
    yield "ARP for a friend", Fate.ANSWERED, SERVICES, [own / said(1, friend.ipv4)] * 3
    yield "ARP for the gateway", Fate.ANSWERED, SERVICES, [own / said(1, "10.0.0.1")] * 3
    asked = [Ether(src=me.mac, dst=w.mac) / said(1, "10.0.0.250") for w in _sides(field)]
    yield "ARP request to a MAC", Fate.REFUSED, SERVICES, asked
    yield "gratuitous ARP reply", Fate.GROUP, RESOLVE, [own / said(2, me.ipv4), own / said(2, friend.ipv4)]
    replies = [Ether(src=me.mac, dst=v.mac) / said(2, v.ipv4, hwdst=v.mac) for v in field.victims]
    yield "ARP reply to victims", Fate.REFUSED, RESOLVE, replies
    claimed = ["10.0.0.1", "10.0.0.77", "0.0.0.0", friend.ipv4, *(v[0] for v in field.vteps)]
    lies = [own / said(op, t, psrc=a) for op in (1, 2) for a in claimed for t in (a, me.ipv4, friend.ipv4)]
    yield "ARP of a foreign sender IP", Fate.REFUSED, GUARD, [f for f in lies if not _probe(f, me)]
    macs = [w.mac for w in _sides(field)] + [NOBODY, BROADCAST, "00:00:00:00:00:00"]
    inner = [own / said(op, friend.ipv4, hwsrc=mac) for op in (1, 2) for mac in macs]
    yield "ARP of a foreign sender MAC", Fate.REFUSED, GUARD, inner
    whole = [Ether(src=m, dst=BROADCAST) / said(op, friend.ipv4, hwsrc=m) for op in (1, 2) for m in macs]
    yield "ARP by a foreign MAC", Fate.REFUSED, GUARD, whole
    odd = [own / said(op, friend.ipv4, psrc="10.0.0.77") for op in (0, 3, 8, 9, 255)]
    yield "ARP of other operations", Fate.REFUSED, GUARD, odd
    unlike = [Ether(src=me.mac, dst=BROADCAST, type=0x8035) / Raw(bytes(said(3, friend.ipv4)))]
    yield "RARP", Fate.REFUSED, GUARD, unlike


def _probe(frame: Packet, me: Workload) -> bool:
    """A probe of the own address is honest (RFC 5227 section 2.1.1)."""
    return bool(frame[ARP].op == 1 and frame[ARP].psrc == "0.0.0.0" and frame[ARP].pdst == me.ipv4)


def _around(me: Workload, source: str, body: Packet, target: str = "ff02::1", hops: int = 255) -> Packet:
    group = "33:33:00:00:00:01"
    return Ether(src=me.mac, dst=group) / IPv6(src=source, dst=target, hlim=hops) / body


def _solicitations(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    option, lie = ICMPv6NDOptSrcLLAddr(lladdr=me.mac), ICMPv6NDOptSrcLLAddr(lladdr=friend.mac)
    unknown = ["fd00:10::99", "2001:db8::1", "fe80::1"]
    asks = [_around(me, me.ipv6, ICMPv6ND_NS(tgt=a) / option) for a in unknown]
    yield "NS for everything", Fate.REFUSED, ADVERTISE, asks
    known = [_around(me, me.ipv6, ICMPv6ND_NS(tgt=friend.ipv6) / option)] * 3
    yield "NS for a friend", Fate.ANSWERED, SERVICES, known
    gateway = [_around(me, me.ipv6, ICMPv6ND_NS(tgt="fd00:10::1") / option)] * 3
    yield "NS for the gateway", Fate.ANSWERED, SERVICES, gateway
    foreign = [friend.ipv6, "fd00:10::99", "fe80::1", local(friend.mac), "::", "ff02::1"]
    lies = [_around(me, a, ICMPv6ND_NS(tgt=friend.ipv6) / option) for a in foreign]
    yield "NS of a foreign source", Fate.REFUSED, GUARD, lies
    linked = [_around(me, me.ipv6, ICMPv6ND_NS(tgt=t) / lie) for t in (friend.ipv6, "fd00:10::99")]
    yield "NS with a foreign link-layer option", Fate.REFUSED, NEIGHBOURS, linked
    far = [_around(me, me.ipv6, ICMPv6ND_NS(tgt=friend.ipv6) / option, hops=h) for h in (0, 1, 64, 254)]
    yield "NS from afar", Fate.REFUSED, NEIGHBOURS, far
    twice = [_around(me, me.ipv6, ICMPv6ND_NS(tgt="fd00:10::99") / option / lie)]
    yield "NS with two options", Fate.REFUSED, NEIGHBOURS, twice
    probes = [_around(me, "::", ICMPv6ND_NS(tgt=a)) for a in (friend.ipv6, local(friend.mac), "fd00:10::99")]
    yield "DAD of foreign addresses", Fate.REFUSED, GUARD, probes
    yield "DAD of the own address", Fate.REFUSED, SERVICES, [_around(me, "::", ICMPv6ND_NS(tgt=me.ipv6))] * 2


def _advertisements(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    own, lie = ICMPv6NDOptDstLLAddr(lladdr=me.mac), ICMPv6NDOptDstLLAddr(lladdr=friend.mac)
    targets = [friend.ipv6, local(friend.mac), "fd00:10::99", "fd00:10::1", "fe80::1"]
    stolen = [_around(me, me.ipv6, ICMPv6ND_NA(tgt=t, R=r, S=0, O=1) / own) for t in targets for r in (0, 1)]
    yield "NA for foreign addresses", Fate.REFUSED, NEIGHBOURS, stolen
    linked = [_around(me, me.ipv6, ICMPv6ND_NA(tgt=me.ipv6, R=0, O=1) / lie)]
    yield "NA with a foreign link-layer option", Fate.REFUSED, NEIGHBOURS, linked
    claimed = [_around(me, t, ICMPv6ND_NA(tgt=t, R=0, O=1) / own) for t in targets]
    yield "NA of a foreign source", Fate.REFUSED, GUARD, claimed
    honest = [_around(me, me.ipv6, ICMPv6ND_NA(tgt=me.ipv6, R=0, S=0, O=1) / own)]
    yield "unsolicited NA", Fate.GROUP, RESOLVE, honest


def _routers(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    sources = (me.ipv6, local(me.mac))
    prefix = ICMPv6NDOptPrefixInfo(prefix="fd00:bad::", prefixlen=64)
    adverts = [_around(me, s, ICMPv6ND_RA(routerlifetime=1800) / prefix) for s in sources]
    yield "RA", Fate.REFUSED, NEIGHBOURS, adverts
    yield (
        "RA to a friend",
        Fate.REFUSED,
        NEIGHBOURS,
        [Ether(src=me.mac, dst=friend.mac) / IPv6(src=sources[1], dst=friend.ipv6, hlim=255) / ICMPv6ND_RA()],
    )
    yield "RA of a foreign source", Fate.REFUSED, GUARD, [_around(me, "fe80::1", ICMPv6ND_RA() / prefix)]
    yield "RS", Fate.ANSWERED, GUARD, [_around(me, s, ICMPv6ND_RS(), "ff02::2") for s in sources]
    redirect = ICMPv6ND_Redirect(tgt=local(me.mac), dst=friend.ipv6)
    yield "redirect", Fate.REFUSED, NEIGHBOURS, [_around(me, s, redirect) for s in sources]
    hidden = [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
              IPv6ExtHdrRouting()]  # fmt: skip
    covered = [_around(me, sources[1], cover / ICMPv6ND_RA()) for cover in hidden]
    yield "RA behind extension headers", Fate.REFUSED, NEIGHBOURS, covered
    body = bytes(ICMPv6ND_RA(routerlifetime=1800) / prefix)
    pieces = [
        _around(me, sources[1], IPv6ExtHdrFragment(nh=58, id=7, offset=o, m=m) / Raw(body[o * 8 : e]))
        for o, m, e in ((0, 1, 8), (1, 1, 32), (4, 0, 99))
    ]
    yield "fragmented RA", Fate.REFUSED, NEIGHBOURS, pieces[:1]
    # Of later fragments Open vSwitch knows no protocol; without the first they are nothing (RFC 8200 4.5).
    yield "later fragments of an RA", Fate.GROUP, RESOLVE, pieces[1:]
    alone = [_around(me, sources[1], IPv6ExtHdrFragment(nh=58, id=8, offset=0, m=0) / ICMPv6ND_RA())]
    yield "RA in an atomic fragment", Fate.REFUSED, NEIGHBOURS, alone


_GROUPS4 = (("01:00:5e:00:00:01", "224.0.0.1"), ("01:00:5e:00:00:fb", "224.0.0.251"),
            ("01:00:5e:7f:ff:fa", "239.255.255.250"))  # fmt: skip
_GROUPS6 = (("33:33:00:00:00:01", "ff02::1"), ("33:33:00:00:00:fb", "ff02::fb"))


def _groups(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    sent = [(BROADCAST, "255.255.255.255"), (BROADCAST, "10.0.0.255"), (BROADCAST, friend.ipv4), *_GROUPS4]
    yield "broadcast and multicast", Fate.GROUP, RESOLVE, [_udp(me, mac, me.ipv4, ip) for mac, ip in sent]
    six = [_udp(me, mac, me.ipv6, ip) for mac, ip in (*_GROUPS6, ("33:33:ff:00:00:12", friend.ipv6))]
    yield "IPv6 multicast", Fate.GROUP, RESOLVE, six
    report = IPv6(src=local(me.mac), dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop() / ICMPv6MLReport2()
    yield "MLD report", Fate.GROUP, RESOLVE, [Ether(src=me.mac, dst="33:33:00:00:00:16") / report]
    four = [_udp(me, mac, "10.0.0.77", ip) for mac, ip in sent]
    yield "broadcast of a foreign IPv4", Fate.REFUSED, GUARD, four
    lies = [_udp(me, mac, "fd00:10::77", ip) for mac, ip in _GROUPS6]
    yield "multicast of a foreign IPv6", Fate.REFUSED, GUARD, lies


def _udp(me: Workload, to: str, source: str, target: str, port: int = 7, mac: str = "") -> Packet:
    layer = IPv6(src=source, dst=target) if ":" in target else IP(src=source, dst=target)
    return Ether(src=mac or me.mac, dst=to) / layer / UDP(sport=port, dport=port) / Raw(bytes(16))


def _strangers(field: Field) -> Iterator[Made]:
    """Honest sources, destinations that are none of the network."""
    me = field.attacker
    unknown = [NOBODY, "00:00:00:00:00:00", "02:00:00:ff:ff:fe", *(mac for _, mac in field.vteps)]
    frames = [_udp(me, mac, me.ipv4, field.friend.ipv4) for mac in unknown]
    frames += [_udp(me, mac, me.ipv6, field.friend.ipv6) for mac in unknown]
    yield "unknown unicast", Fate.REFUSED, RESOLVE, frames
    aimed = [_udp(me, v.mac, s, t) for v in field.victims for s, t in ((me.ipv4, v.ipv4), (me.ipv6, v.ipv6))]
    tcp = [Ether(src=me.mac, dst=v.mac) / IP(src=me.ipv4, dst=v.ipv4) / TCP(dport=22, flags="S")
           for v in field.victims]  # fmt: skip
    yield "to a victim's MAC", Fate.REFUSED, RESOLVE, aimed + tcp
    yield "to itself", Fate.REFUSED, RESOLVE, [_udp(me, me.mac, me.ipv4, me.ipv4)] * 2
    yield "honest", Fate.OWN, RESOLVE, [_udp(me, field.friend.mac, me.ipv4, field.friend.ipv4)] * 2


def _spoofs(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    macs = [w.mac for w in _sides(field)] + [NOBODY, "00:00:00:00:00:00", "01:00:5e:00:00:01", BROADCAST]
    to = [friend, *field.victims]
    frames = [_udp(me, w.mac, me.ipv4, w.ipv4, mac=m) for m in macs for w in to]
    frames += [_udp(me, w.mac, me.ipv6, w.ipv6, mac=m) for m in macs for w in to]
    yield "foreign source MAC", Fate.REFUSED, GUARD, frames
    fours = [friend.ipv4, "10.0.0.1", "10.0.0.77", "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255",
             *(v[0] for v in field.vteps)]  # fmt: skip
    yield "foreign IPv4", Fate.REFUSED, GUARD, [_udp(me, w.mac, a, w.ipv4) for a in fours for w in to]
    sixes = [friend.ipv6, "fd00:10::77", "::", "::1", "ff02::1", "fe80::1", local(friend.mac),
             "::ffff:10.0.0.11", "2001:db8::1"]  # fmt: skip
    yield "foreign IPv6", Fate.REFUSED, GUARD, [_udp(me, w.mac, a, w.ipv6) for a in sixes for w in to]


def _tagged(field: Field) -> Iterator[Made]:
    me = field.attacker
    to = [field.friend.mac, *(v.mac for v in field.victims), BROADCAST]

    def within(tags: Packet, mac: str) -> Packet:
        return Ether(src=me.mac, dst=mac) / tags / IP(src=me.ipv4, dst=field.friend.ipv4) / UDP() / Raw(b"x")

    tags = [Dot1Q(vlan=v, prio=p) for v, p in ((0, 0), (0, 7), (1, 0), (2, 0), (100, 3), (4095, 0))]
    yield "802.1Q", Fate.REFUSED, CLASSIFY, [within(t, m) for t in tags for m in to]
    pairs = [Dot1AD(vlan=a) / Dot1Q(vlan=b) for a, b in ((1, 1), (0, 0), (100, 2))]
    pairs += [Dot1Q(vlan=1) / Dot1Q(vlan=2), Dot1AD(vlan=3), Dot1Q(vlan=0) / Dot1Q(vlan=0) / Dot1Q(vlan=1)]
    yield "QinQ", Fate.REFUSED, CLASSIFY, [within(t, m) for t in pairs for m in to]
    arp = Ether(src=me.mac, dst=BROADCAST) / Dot1Q(vlan=1) / ARP(hwsrc=me.mac, psrc="10.0.0.1")
    yield "tagged ARP", Fate.REFUSED, CLASSIFY, [arp]


_LINK_GROUPS = ("01:80:c2:00:00:00", "01:80:c2:00:00:02", "01:80:c2:00:00:0e", "01:00:0c:cc:cc:cc")
_OTHER = (0x0000, 0x0600, 0x0801, 0x6558, 0x8809, 0x8847, 0x8848, 0x8863, 0x8864, 0x888E, 0x88CC, 0x88E5,
          0x88E7, 0x88F7, 0x8906, 0x8915, 0x892F, 0x894F, 0x9000, 0x9100, 0x9200, 0xFFFF)  # fmt: skip


def _ethertypes(field: Field) -> Iterator[Made]:
    """LLDP, MPLS, PPPoE, EAPOL, LACP, MACsec, PTP, FCoE, RoCE, NSH, ... and 802.3 with LLC."""
    me = field.attacker
    ip = bytes(IP(src=me.ipv4, dst=field.friend.ipv4) / UDP() / b"inner")
    to = (field.friend.mac, field.victims[0].mac, BROADCAST, *_LINK_GROUPS)
    frames = [Ether(src=me.mac, dst=m, type=t) / Raw(b"\0\0\x01\xff" + ip) for t in _OTHER for m in to]
    yield "other ethertypes", Fate.REFUSED, GUARD, frames
    bridge = [Ether(src=me.mac, dst=_LINK_GROUPS[0], type=38) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()]
    yield "spanning tree", Fate.REFUSED, GUARD, bridge


def _fragments(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend

    def four(source: str, mac: str, offset: int) -> Packet:
        more = "MF" if offset < 4 else 0
        head = IP(src=source, dst=friend.ipv4, id=5, frag=offset, flags=more, proto=17)
        return Ether(src=me.mac, dst=mac) / head / Raw(bytes(24))

    def six(source: str, mac: str, offset: int) -> Packet:
        head = IPv6ExtHdrFragment(nh=17, id=5, offset=offset, m=int(offset < 4))
        return Ether(src=me.mac, dst=mac) / IPv6(src=source, dst=friend.ipv6) / head / Raw(bytes(24))

    places = (0, 1, 2, 4)
    aimed = [make(a, v.mac, o) for make, a in ((four, me.ipv4), (six, me.ipv6)) for v in field.victims
             for o in places]  # fmt: skip
    yield "fragments to victims", Fate.REFUSED, RESOLVE, aimed
    lies = [make(a, friend.mac, o) for make, a in ((four, "10.0.0.77"), (six, "fd00:10::77")) for o in places]
    yield "fragments of a foreign source", Fate.REFUSED, GUARD, lies
    own = [make(a, friend.mac, o) for make, a in ((four, me.ipv4), (six, me.ipv6)) for o in places]
    yield "fragments to a friend", Fate.OWN, RESOLVE, own


def _headers(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend
    covers = [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(), IPv6ExtHdrRouting(addresses=[field.victims[0].ipv6]),
              IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()]  # fmt: skip

    def within(source: str, mac: str, cover: Packet) -> Packet:
        return Ether(src=me.mac, dst=mac) / IPv6(src=source, dst=friend.ipv6) / cover / UDP() / Raw(b"x")

    aimed = [within(me.ipv6, v.mac, c) for v in field.victims for c in covers]
    yield "extension headers to victims", Fate.REFUSED, RESOLVE, aimed
    lies = [within("fd00:10::77", friend.mac, c) for c in covers]
    yield "extension headers of a foreign source", Fate.REFUSED, GUARD, lies


def _servers(field: Field) -> Iterator[Made]:
    me, friend = field.attacker, field.friend

    def said(mac: str, source: str, target: str, ports: tuple[int, int]) -> Packet:
        layer = IPv6(src=source, dst=target) if ":" in target else IP(src=source, dst=target)
        return Ether(src=me.mac, dst=mac) / layer / UDP(sport=ports[0], dport=ports[1]) / Raw(bytes(64))

    to4 = ((BROADCAST, "255.255.255.255"), (friend.mac, friend.ipv4))
    frames = [said(m, me.ipv4, a, p) for m, a in to4 for p in ((67, 68), (67, 67), (1024, 68))]
    to6 = (("33:33:00:01:00:02", "ff02::1:2"), (friend.mac, friend.ipv6))
    frames += [said(m, me.ipv6, a, p) for m, a in to6 for p in ((547, 546), (547, 547), (1024, 546))]
    yield "DHCP server", Fate.REFUSED, GUARD, frames


def _broken(field: Field) -> Iterator[Made]:
    """Headers that contradict themselves; the addresses in them are the attacker's own."""
    me, friend = field.attacker, field.friend
    head = Ether(src=me.mac, dst=friend.mac)
    good = bytes(IP(src=me.ipv4, dst=friend.ipv4) / UDP() / bytes(16))
    six = bytes(IPv6(src=me.ipv6, dst=friend.ipv6) / UDP() / bytes(16))
    fours = [b"\x44" + good[1:], b"\x4f" + good[1:], good[:2] + b"\xff\xff" + good[4:],
             good[:2] + b"\x00\x05" + good[4:]]  # fmt: skip
    frames = [bytes(head)[:12] + b"\x08\x00" + f for f in fours]
    frames += [bytes(head)[:12] + b"\x86\xdd" + six[:4] + b"\xff\xff" + six[6:]]
    yield "broken headers", Fate.REFUSED, GUARD, frames


def _tunnels(field: Field) -> Iterator[Made]:
    """A VTEP played by a VM: VXLAN in the overlay's own packets."""
    me, friend = field.attacker, field.friend

    def wrapped(mac: str, source: str, vtep: str, vni: int, inner: Packet) -> Packet:
        outer = IP(src=source, dst=vtep) / UDP(sport=5000, dport=4789, chksum=0)
        return Ether(src=me.mac, dst=mac) / outer / VXLAN(flags="Instance", vni=vni) / inner

    inners = [(vni, _udp(me, v.mac, v.ipv4, v.ipv4)) for v in field.victims for vni in field.vnis]
    every = [(mac, vtep, vni, inner) for vtep, mac in field.vteps for vni, inner in inners]
    yield "VXLAN to a VTEP", Fate.REFUSED, RESOLVE, [wrapped(m, me.ipv4, v, n, i) for m, v, n, i in every]
    lies = [wrapped(m, field.vteps[-1][0], v, n, i) for m, v, n, i in every]
    yield "VXLAN as a VTEP", Fate.REFUSED, GUARD, lies
    by_friend = [wrapped(friend.mac, me.ipv4, v, n, i) for _, v, n, i in every]
    yield "VXLAN by way of a friend", Fate.OWN, RESOLVE, by_friend


def _runts(field: Field) -> Iterator[Attack]:
    """Frames with no room for a marker: what there is bears its beginning."""
    me, friend = field.attacker, field.friend
    mark = _mark(field, "runts")[:5]
    head = bytes(Ether(src=me.mac, dst=friend.mac))[:12]
    frames = [head + kind + mark + bytes(n) for kind in (b"\x08\x00", b"\x86\xdd", b"\x08\x06", b"\x88\xcc")
              for n in (0, 4, 12)]  # fmt: skip
    frames += [head[:6] + b"\x02" + mark + kind for kind in (b"\x08\x00", b"\x86\xdd", b"\x08\x06")]
    yield Attack("runts", tuple(frames), Fate.REFUSED, GUARD, mark)

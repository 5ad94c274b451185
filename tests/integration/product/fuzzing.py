"""Frames that no honest stack sends, the same in each run: made by scapy's fuzz() and by damage.

Place: frames only, as values; `test_fuzz` sends them and looks. Must not send.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vrrp import VRRP, VRRPv3
from scapy.packet import Packet, Raw, fuzz

from topologies.scenarios.two_tenants import Workload

GATEWAY_MAC = "0a:00:52:f1:00:01"
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ALL_NODES = "33:33:00:00:00:01"
_SHORTEST, _LONGEST = 14, 4000
"""Bytes of a frame: what a packet socket takes, and what the raised MTU lets through."""
_TAGS = (b"\x81\x00", b"\x88\xa8")
_SPOKEN = (b"\x08\x00", b"\x08\x06", b"\x86\xdd")


@dataclass(frozen=True, slots=True)
class Aim:
    """Who sends, what it may say besides, and to whom; `nobody`: addresses that lead nowhere."""

    me: Workload
    friend: Workload
    victim: Workload
    shared: tuple[str, str]
    mark: bytes
    nobody: tuple[str, str] = ("10.77.0.1", "fd00:77::1")


@contextmanager
def seeded(seed: int) -> Iterator[random.Random]:
    """scapy's fuzz() draws from the module's generator, which is left as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield random.Random(seed)
    finally:
        random.setstate(state)


def frames(aim: Aim, count: int, seed: int) -> list[bytes]:
    """`count` of them: a third fuzzed in one layer, a third damaged, a third as they were."""
    found: list[bytes] = []
    with seeded(seed) as chance:
        while len(found) < count:
            for good in _valid(aim, chance):
                found += [_fitting(bytes(good)), _fitting(_damaged(bytes(good), chance))]
            for odd in _fuzzed(aim):
                found += [_fitting(bytes(odd)), _fitting(_damaged(bytes(odd), chance))]
    return found[:count]


def is_refused(aim: Aim, frame: bytes) -> bool:
    """Whether tables classify and guard must refuse it, whatever else it says: not the sender's MAC, a tag,
    or a protocol that nobody speaks here."""
    return (
        frame[6:12] != bytes.fromhex(aim.me.mac.replace(":", ""))
        or frame[12:14] in _TAGS
        or frame[12:14] not in _SPOKEN
    )


def expired(aim: Aim, count: int) -> Iterator[bytes]:
    """Honest packets to the gateway that live too long or go nowhere: all of them are for the agent."""
    head = Ether(src=aim.me.mac, dst=GATEWAY_MAC)
    made = [
        bytes(head / IP(src=aim.me.ipv4, dst=aim.nobody[0], ttl=1) / UDP() / aim.mark),
        bytes(head / IPv6(src=aim.me.ipv6, dst=aim.nobody[1], hlim=1) / UDP() / aim.mark),
        bytes(head / IP(src=aim.me.ipv4, dst=aim.nobody[0]) / UDP() / aim.mark),
        bytes(head / IPv6(src=aim.me.ipv6, dst=aim.nobody[1]) / UDP() / aim.mark),
    ]
    return (made[number % len(made)] for number in range(count))


def _fitting(raw: bytes) -> bytes:
    return raw[:_LONGEST].ljust(_SHORTEST, b"\0")


def _damaged(raw: bytes, chance: random.Random) -> bytes:
    """Bytes written over, cut off, repeated or added."""
    made = bytearray(raw)
    for _ in range(chance.randint(1, 6)):
        made[chance.randrange(len(made))] = chance.randrange(256)
    match chance.randrange(4):
        case 0:
            del made[chance.randrange(_SHORTEST, len(made) + 1) :]
        case 1:
            made += chance.randbytes(chance.randrange(1, 200))
        case 2:
            at = chance.randrange(len(made))
            made[at:at] = made[at : at + chance.randrange(1, 64)]
    return bytes(made)


def _valid(aim: Aim, chance: random.Random) -> Iterator[Packet]:
    """What a stack might send, to a friend, a victim, the gateway, everybody, and to unknown routes."""
    me, friend, victim = aim.me, aim.friend, aim.victim
    body = Raw(aim.mark + chance.randbytes(chance.randrange(64)))
    for mac, four, six in (
        (friend.mac, friend.ipv4, friend.ipv6),
        (victim.mac, victim.ipv4, victim.ipv6),
        (GATEWAY_MAC, *aim.nobody),
        (GATEWAY_MAC, "10.0.0.1", "fd00:10::1"),
        (_BROADCAST, "10.0.0.255", "ff02::1"),
    ):
        head, ttl = Ether(src=me.mac, dst=mac), chance.choice((0, 1, 2, 64))
        flags, offset = chance.choice((0, 1, 2, 3)), chance.choice((0, 0, 8, 8191))
        yield head / IP(src=me.ipv4, dst=four, ttl=ttl, flags=flags, frag=offset) / UDP() / body
        yield head / IP(src=me.ipv4, dst=four, ttl=ttl, options=[("NOP"), ("EOL")]) / TCP(flags="R") / body
        yield head / IP(src=aim.shared[0], dst=four, ttl=ttl) / ICMP(type=chance.choice((0, 3, 5, 8))) / body
        yield head / IPv6(src=me.ipv6, dst=six, hlim=ttl) / UDP() / body
        for cover in (
            IPv6ExtHdrHopByHop(),
            IPv6ExtHdrDestOpt(),
            IPv6ExtHdrRouting(addresses=[six]),
            IPv6ExtHdrFragment(offset=offset, m=flags & 1, id=7),
        ):
            yield head / IPv6(src=me.ipv6, dst=six, hlim=ttl) / cover / ICMPv6EchoRequest() / body
        yield head / Dot1Q(vlan=chance.randrange(4096)) / IP(src=me.ipv4, dst=four) / UDP() / body
        yield Ether(src=me.mac, dst=mac, type=chance.randrange(0x10000)) / body
        yield Ether(src=victim.mac, dst=mac) / IP(src=victim.ipv4, dst=four) / UDP() / body
        yield head / IP(src=me.ipv4, dst=four) / UDP() / Raw(aim.mark + bytes(3000))
    yield from _announced(aim)


def _announced(aim: Aim) -> Iterator[Packet]:
    """Who has which address: its own, the shared one, the gateway's and a stranger's."""
    me = aim.me
    for four, six in ((me.ipv4, me.ipv6), aim.shared, ("10.0.0.1", "fd00:10::1"), aim.nobody):
        for operation in (1, 2, 3, 9):
            said = ARP(op=operation, hwsrc=me.mac, psrc=four, pdst=four)
            yield Ether(src=me.mac, dst=_BROADCAST) / said
            yield Ether(src=me.mac, dst=_BROADCAST, type=0x8035) / said
        head = Ether(src=me.mac, dst=_ALL_NODES) / IPv6(src=six, dst="ff02::1", hlim=255)
        yield head / ICMPv6ND_NA(tgt=six, R=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=me.mac)
        yield head / ICMPv6ND_NS(tgt=six) / ICMPv6NDOptSrcLLAddr(lladdr=me.mac)
        yield head / ICMPv6ND_RA() / ICMPv6NDOptSrcLLAddr(lladdr=me.mac)


def _fuzzed(aim: Aim) -> Iterator[Packet]:
    """One layer's fields at random, below honest ones: so that it gets as far as it can."""
    me, six = aim.me, IPv6(src=aim.me.ipv6, dst=aim.friend.ipv6, hlim=255)
    for mac in (aim.friend.mac, GATEWAY_MAC, _BROADCAST):
        head = Ether(src=me.mac, dst=mac)
        four = IP(src=me.ipv4, dst=aim.friend.ipv4)
        yield head / fuzz(ARP(hwsrc=me.mac, psrc=aim.shared[0], pdst=aim.shared[0]))
        yield head / fuzz(ARP())
        yield head / fuzz(IP(src=me.ipv4, dst=aim.nobody[0])) / UDP() / aim.mark
        yield head / fuzz(IPv6(src=me.ipv6, dst=aim.nobody[1])) / UDP() / aim.mark
        yield head / four / fuzz(ICMP()) / aim.mark
        yield head / four / fuzz(UDP()) / aim.mark
        yield head / four / fuzz(TCP()) / aim.mark
        yield head / IP(src=aim.shared[0], dst="224.0.0.18", ttl=255) / fuzz(VRRP())
        yield head / IP(src=aim.shared[0], dst="224.0.0.18", ttl=255, proto=112) / fuzz(VRRPv3())
        yield head / four / UDP(sport=68, dport=67) / fuzz(BOOTP()) / DHCP(options=[("message-type", 1)])
        yield head / six / fuzz(ICMPv6ND_NA(tgt=aim.shared[1])) / fuzz(ICMPv6NDOptDstLLAddr(lladdr=me.mac))
        yield head / six / fuzz(ICMPv6ND_NS()) / fuzz(ICMPv6NDOptSrcLLAddr())
        yield head / six / fuzz(IPv6ExtHdrFragment()) / UDP() / aim.mark
        yield head / fuzz(Dot1Q(type=0x0800)) / four / UDP() / aim.mark

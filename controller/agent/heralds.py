"""Heralds: tells workloads of this host that an address of an allowed pair has another MAC now.

Place: pure; `controller.agent.core` asks it with each commit, the loop sends the frames. Networks that
replicate nothing do not carry the new speaker's own announcement, and a neighbour's cache would lead to the
old one for minutes. Must not speak of any other address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from controller.agent.icmp import checksum
from model.addresses import BROADCAST, Address
from model.change import Change, Part
from model.ids import Mac
from model.route import RemoteAddress, Sighting
from model.snapshot import Snapshot
from model.whereabouts import owner

_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ARP_TYPE: Final = 0x0806
_IPV6_TYPE: Final = 0x86DD
_ICMPV6: Final = 58
_ADVERTISEMENT: Final = 136
_OVERRIDE: Final = 0x20000000
_ALL_NODES: Final = IPv6Address("ff02::1")
_ALL_NODES_MAC: Final = 0x333300000001
_HOP_LIMIT: Final = 255


def herald(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> tuple[tuple[int, bytes], ...]:
    """(OpenFlow port, frame) for each living port of the network whose neighbours have changed, in order."""
    spots: list[Any] = [c.key for c in changes if c.part in (Part.SIGHTING, Part.CLAIMED)]
    found: list[tuple[int, bytes]] = []
    for network, address in sorted(set(spots), key=lambda one: (one[0], one[1].version, int(one[1]))):
        was, now = owner(old, network, address), owner(new, network, address)
        if now is None or (was is not None and was.mac == now.mac):
            continue
        frame = announcement(now.mac, address)
        found += [(ofport, frame) for ofport in _listeners(new, now)]
    return tuple(found)


def announcement(mac: Mac, address: Address) -> bytes:
    """A gratuitous ARP request (RFC 5227 section 3), or an unsolicited neighbour advertisement (RFC 4861
    section 7.2.6).
    """
    raw = mac.to_bytes(6, "big")
    if isinstance(address, IPv4Address):
        body = _ARP.pack(1, 0x0800, 6, 4, 1, raw, address.packed, bytes(6), address.packed)
        return BROADCAST.to_bytes(6, "big") + raw + struct.pack("!H", _ARP_TYPE) + body
    option = struct.pack("!BB6s", 2, 1, raw)
    plain = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _OVERRIDE) + address.packed + option
    # RFC 8200 section 8.1: the sum covers a pseudo-header
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(plain), _ICMPV6)
    summed = plain[:2] + struct.pack("!H", checksum(pseudo + plain)) + plain[4:]
    head = struct.pack("!IHBB", 6 << 28, len(plain), _ICMPV6, _HOP_LIMIT)
    ethernet = _ALL_NODES_MAC.to_bytes(6, "big") + raw + struct.pack("!H", _IPV6_TYPE)
    return ethernet + head + address.packed + _ALL_NODES.packed + summed


def _listeners(snapshot: Snapshot, now: Sighting | RemoteAddress) -> list[int]:
    """OpenFlow ports of the network's ports here, but for the one that has the address."""
    found: list[int] = []
    for uid, interface in snapshot.interfaces.items():
        key = snapshot.by_uid.get(uid)
        port = None if key is None else snapshot.ports.get(key)
        if port is None or port.network != now.network or not port.enabled or interface.ofport <= 0:
            continue
        if snapshot.bound_here(port.key) and not (isinstance(now, Sighting) and now.port == port.key):
            found.append(interface.ofport)
    return sorted(found)

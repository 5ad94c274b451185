"""Router advertisements (RFC 4861 section 4.2): to a port that solicits one, and to all ports time and again.

Place: called by `services.answering`, and by whoever sends the periodic ones. Must not know time.

Written here and not by a library: of those that may be shipped none writes the options for the MTU and for
resolvers. Nothing is parsed but a solicitation, whose form is fixed.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from model.addresses import GATEWAY_MAC, link_local
from model.ids import Mac
from services.client import Client, Six
from services.frames import DISCOVERY_HOPS, Message6, wrap_discovery
from services.outcome import Answer, Outcome

SOLICITATION: Final = 133
_ADVERTISEMENT: Final = 134
_ROUTERS: Final = (IPv6Address("ff02::2"), IPv6Address("ff02::1"), link_local(GATEWAY_MAC))
"""To whom solicitations go: all routers, all nodes, or this one."""
NODES: Final = IPv6Address("ff02::1")
NODES_MAC: Final = Mac(0x333300000001)
"""RFC 2464 section 7."""
LIFETIME: Final = 0xFFFF
"""Of the router and the resolvers, in seconds: the longest there is (RFC 8319 section 3), since who does not
hear from a dead agent for as long loses its default route."""
INTERVAL: Final = 1800
"""Between two unasked ones, the longest there is (RFC 4861 section 6.2.1): many may be lost."""
_MANAGED: Final = 0xC0
"""M and O: addresses and the rest are had by DHCPv6."""
_ON_LINK: Final = 0x80
"""Without A: addresses are allotted, and nobody may make one up."""
_VALID: Final = 2_592_000
_PREFERRED: Final = 604_800
"""RFC 4861 section 6.2.1."""
_LEAST_MTU: Final = 1280
_SOURCE_ADDRESS: Final = 1
_SOLICITATION_HEAD: Final = 8


def advertise(client: Client, six: Six) -> bytes:
    """The one that nobody asked for: to all nodes, which are this port's alone."""
    return wrap_discovery(NODES_MAC, _ROUTERS[2], NODES, _message(client, six))


def answer_solicitation(client: Client, six: Six, message: Message6) -> Answer:
    """To the sender alone; to all nodes if it has no address yet (RFC 4861 section 6.2.6)."""
    refusal = _refuse(client, message)
    if refusal is not None:
        return Answer(refusal)
    if message.source.is_unspecified:
        return Answer(Outcome.ANSWERED, advertise(client, six))
    made = wrap_discovery(client.mac, _ROUTERS[2], message.source, _message(client, six))
    return Answer(Outcome.ANSWERED, made)


def _refuse(client: Client, message: Message6) -> Outcome | None:
    """RFC 4861 section 6.1.1."""
    payload = message.payload
    if message.hops != DISCOVERY_HOPS or payload[1] or len(payload) < _SOLICITATION_HEAD:
        return Outcome.MALFORMED
    if message.destination not in _ROUTERS:
        return Outcome.ELSEWHERE
    at = _SOLICITATION_HEAD
    while at < len(payload):
        size = payload[at + 1] * 8 if at + 1 < len(payload) else 0
        if not size or at + size > len(payload):
            return Outcome.MALFORMED
        if payload[at] == _SOURCE_ADDRESS:
            if message.source.is_unspecified:
                return Outcome.MALFORMED
            if size != 8 or int.from_bytes(payload[at + 2 : at + 8], "big") != client.mac:
                return Outcome.FOREIGN
        at += size
    return None


def _message(client: Client, six: Six) -> bytes:
    head = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, _MANAGED, LIFETIME if six.routed else 0, 0, 0)
    made = head + struct.pack("!BB", _SOURCE_ADDRESS, 1) + GATEWAY_MAC.to_bytes(6, "big")
    if client.mtu >= _LEAST_MTU:
        made += struct.pack("!BBHI", 5, 1, 0, client.mtu)
    for prefix in (six.subnet, *map(IPv6Network, six.beside)):
        made += struct.pack("!BBBBIII", 3, 4, prefix.prefixlen, _ON_LINK, _VALID, _PREFERRED, 0)
        made += prefix.network_address.packed
    if six.resolvers:  # RFC 8106 section 5.1
        octets = b"".join(address.packed for address in six.resolvers)
        made += struct.pack("!BBHI", 25, 1 + len(octets) // 8, 0, LIFETIME) + octets
    if client.search:  # RFC 8106 section 5.2
        octets = b"".join(client.search)
        octets += bytes(-len(octets) % 8)
        made += struct.pack("!BBHI", 31, 1 + len(octets) // 8, 0, LIFETIME) + octets
    return made

"""Inquiry: what a trace asks, parsed, and the packets that a workload would send for it.

Place: pure; under `controller.agent.tracing`. The request comes from the store: foreign text. Must not walk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from controller.southbound.tracing import FIELDS
from model.addresses import BROADCAST, Address, gateway
from model.errors import Fault, Invalid
from model.ids import Uid
from model.intent import Network, Port
from pipelines import fields as f
from pipelines.walk import SIZE, Packet

TCP: Final = 6
PROTOCOLS: Final = ("icmp", "tcp", "udp")
_TTL: Final = 64
_BITS: Final = {field.name: field.bits for field in FIELDS} | {SIZE: 16}
_SOLICITED: Final = (0xFF02 << 112) | (0x1FF << 24)
"""RFC 4291 section 2.7.1."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A packet of the port `port` to `to`. `size`: octets of the frame, 0 = small."""

    port: Uid
    to: Address
    proto: str = "icmp"
    sport: int = 0
    dport: int = 0
    size: int = 0
    ttl: int = _TTL


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet that comes out of the tunnel: outer source, VNI, inner packet."""

    vtep: Address
    vni: int
    packet: Packet


def sending(text: str) -> Sending:
    """Of the text of a question; Invalid if it is none."""
    plain = _mapping(_json(text))
    proto = plain.get("proto", "icmp")
    if proto not in PROTOCOLS:
        raise _malformed(f"protocol {proto!a}")
    return Sending(
        port=Uid(_text(plain, "port")),
        to=_address(_text(plain, "to")),
        proto=str(proto),
        sport=_number(plain.get("sport", 0), 16),
        dport=_number(plain.get("dport", 0), 16),
        size=_number(plain.get("size", 0), 16),
        ttl=_number(plain.get("ttl", _TTL), 8),
    )


def arrival(text: str) -> Arrival:
    """Of the text of a question; Invalid if it is none."""
    plain = _mapping(_json(text))
    packet = _mapping(plain.get("packet"))
    unknown = sorted(str(name)[:50] for name in packet if name not in _BITS)
    if unknown:
        raise _malformed(f"no field {unknown[0]!a}: the hosts may run different versions")
    numbers = {name: _number(value, _BITS[name]) for name, value in packet.items()}
    return Arrival(_address(_text(plain, "vtep")), _number(plain.get("vni"), 24), numbers)


def next_hop(network: Network, to: Address) -> Address | None:
    """Whom a workload of the network asks for the way to `to`: itself or the gateway; None = nobody."""
    if to.is_link_local or any(to in subnet for subnet in network.subnets):
        return to
    return next((gateway(s) for s in network.subnets if s.version == to.version), None)


def group_mac(network: Network, to: Address) -> int | None:
    """The MAC that needs no asking: broadcast, or a group (RFC 1112 section 6.4, RFC 2464 section 7)."""
    if isinstance(to, IPv4Address):
        everybody = (s.broadcast_address for s in network.subnets if s.num_addresses > 2)
        if to in everybody or int(to) == 0xFFFFFFFF:
            return BROADCAST
        return 0x01005E000000 | int(to) & 0x7FFFFF if to.is_multicast else None
    return 0x333300000000 | int(to) & 0xFFFFFFFF if to.is_multicast else None


def asking(port: Port, source: Address, target: Address) -> Packet:
    """The ARP request or neighbour solicitation for `target`."""
    if isinstance(target, IPv4Address):
        return {
            "eth_src": port.mac,
            "eth_dst": BROADCAST,
            "eth_type": f.ARP,
            "arp_op": f.ARP_REQUEST,
            "arp_sha": port.mac,
            "arp_spa": int(source),
            "arp_tha": 0,
            "arp_tpa": int(target),
        }
    group = _SOLICITED | int(target) & 0xFFFFFF
    return _ip(port.mac, 0x333300000000 | group & 0xFFFFFFFF, source, IPv6Address(group), f.HOP_LIMIT) | {
        "ip_proto": f.ICMPV6,
        "icmpv6_type": f.NEIGHBOR_SOLICITATION,
        "nd_target": int(target),
        "nd_sll": port.mac,
    }


def answered(packet: Packet) -> int:
    """The MAC that an answer to `asking` gives; 0 if it is none."""
    if packet.get("arp_op") == f.ARP_REPLY:
        return packet.get("arp_sha", 0)
    if packet.get("icmpv6_type") == f.NEIGHBOR_ADVERTISEMENT:
        return packet.get("nd_tll", 0)
    return 0


def packet(asked: Sending, port: Port, source: Address, mac: int) -> Packet:
    """The packet itself, to a MAC."""
    made = dict(_ip(port.mac, mac, source, asked.to, asked.ttl))
    if asked.proto == "icmp":
        four = asked.to.version == 4
        made["ip_proto"] = f.ICMP if four else f.ICMPV6
        made["icmp_type" if four else "icmpv6_type"] = f.ECHO_REQUEST if four else f.ECHO_REQUEST6
    else:
        made["ip_proto"] = TCP if asked.proto == "tcp" else f.UDP
        made |= {f"{asked.proto}_src": asked.sport, f"{asked.proto}_dst": asked.dport}
    return made | ({SIZE: asked.size} if asked.size else {})


def _ip(src_mac: int, dst_mac: int, source: Address, to: Address, ttl: int) -> dict[str, int]:
    four = to.version == 4
    names = ("ip_src", "ip_dst") if four else ("ipv6_src", "ipv6_dst")
    return {
        "eth_src": src_mac,
        "eth_dst": dst_mac,
        "eth_type": f.IPV4 if four else f.IPV6,
        names[0]: int(source),
        names[1]: int(to),
        "nw_ttl": ttl,
    }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed("it is no JSON") from error


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed("an object is missing")
    return value


def _text(plain: Mapping[str, Any], key: str) -> str:
    value = plain.get(key)
    if not isinstance(value, str):
        raise _malformed(f"{key} is no text")
    return value[:200]


def _number(value: Any, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise _malformed(f"a number does not fit into {bits} bits")
    return value


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise _malformed(f"{text!a} is no address") from error


def _malformed(what: str) -> Invalid:
    return Invalid(
        Fault("question", "malformed-question", what, "Let API and agents be of the same version.")
    )

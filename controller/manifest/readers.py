"""Readers: from one scalar of a document to one typed value, or the rule that it breaks.

Place: named by the field declarations in `controller.manifest.schema`. Pure. Must not look at other fields,
other objects or the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from typing import Final

from controller.manifest.tree import Scalar, Sort, show
from model.addresses import BROADCAST, GATEWAY_MAC, Address, Prefix, is_router_mac, is_unicast, parse_mac
from model.ids import NETWORK_KEYS, PROBE_VNI, RATES, VNIS, HostName, Mac, Vni
from model.intent import Egress, Relation
from model.segments import parse_segment
from model.serving import SERVED
from model.targets import DERIVED_TEXT, Community, parse_any, parse_member
from model.wanted import UNMARKED

MTUS: Final = range(576, 9217)
"""576: what every IPv4 host must take (RFC 791); 9216: the jumbo frames of today's switches."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_LABEL_PREFIX: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LONGEST_NUMBER: Final = 20
_DSCPS: Final = range(64)
_RATE: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmMgG])(?:bit/s)?", re.ASCII)
_UNITS: Final = {"k": 1, "m": 1_000, "g": 1_000_000}
"""kbit/s in each: powers of 1,000, as network people count."""


class Misfit(ValueError):
    """A value breaks a rule; `rule` is the code of the fault."""

    def __init__(self, rule: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.rule, self.remedy = rule, remedy


Reader = Callable[[Scalar], object]


def read_name(node: Scalar) -> str:
    """A label of RFC 1123 section 2.1: 1 to 63 of a-z, 0-9 and '-', no '-' at either end."""
    text = text_of(node)
    if _NAME.fullmatch(text):
        return text
    raise Misfit("name-rule", f"{show(text)} is no RFC 1123 label", _mend_name(text))


def read_host(node: Scalar) -> HostName:
    """A host's name: labels joined by dots, at most 253 characters (RFC 1123 section 2.1)."""
    text = text_of(node)
    if _HOST.fullmatch(text) and all(_NAME.fullmatch(part) for part in text.split(".")):
        return HostName(text)
    raise Misfit(
        "name-rule",
        f"{show(text)} is no host name",
        "Use the system-id of its Open vSwitch: a-z 0-9 - and dots.",
    )


def read_partner(node: Scalar) -> HostName:
    """A host's name; `none` takes it back."""
    return HostName("") if node.text == "none" else read_host(node)


def read_label_key(node: Scalar) -> str:
    """A key of metadata.labels, as in Kubernetes: an optional DNS prefix and "/", then 1 to 63 characters."""
    text = text_of(node)
    prefix = _LABEL_PREFIX.match(text)
    if _LABEL.fullmatch(text[prefix.end() :] if prefix else text):
        return text
    raise Misfit("label-rule", f"{show(text)} is no key of a label", "Use letters, digits, '-', '_' and '.'.")


def read_label(node: Scalar) -> str:
    """A value of metadata.labels: empty or up to 63 letters, digits, '-', '_', '.'."""
    text = text_of(node)
    if not text or _LABEL.fullmatch(text):
        return text
    raise Misfit(
        "label-rule",
        f"{show(text)} is no value of a label",
        "Use at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends.",
    )


def read_subnet(node: Scalar) -> Prefix:
    """A subnet for workloads: unicast, room for a gateway and a port, no bits set behind the length."""
    prefix = _prefix(text_of(node))
    if (
        prefix.is_multicast
        or prefix.is_loopback
        or prefix.is_link_local
        or prefix.network_address.is_unspecified
    ):
        raise Misfit(
            "subnet-reserved",
            f"{prefix} is not for workloads",
            "Use a private prefix: 10.0.0.0/8, fd00::/8, ...",
        )
    bits = prefix.max_prefixlen
    longest, shortest = bits - 2, 8 if bits == 32 else 32
    if not shortest <= prefix.prefixlen <= longest:
        raise Misfit(
            "subnet-size",
            f"{prefix} has /{prefix.prefixlen}",
            f"Use a length from /{shortest} to /{longest}.",
        )
    return prefix


def read_prefix(node: Scalar) -> Prefix:
    """Any prefix, also 0.0.0.0/0, without bits behind the length; a bare address is one host."""
    return _prefix(text_of(node))


def read_unicast(node: Scalar) -> Prefix:
    """A prefix of unicast addresses, without bits behind its length; a bare address is one host."""
    prefix = _prefix(text_of(node))
    ends = (prefix.network_address, prefix.broadcast_address)
    if prefix.prefixlen and any(e.is_multicast or e.is_loopback or e.is_link_local for e in ends):
        raise Misfit("address-reserved", f"{prefix} is not of hosts", "Give a prefix of unicast addresses.")
    if prefix.prefixlen and prefix.network_address.is_unspecified:
        raise Misfit("address-reserved", f"{prefix} begins with no address of a host", "Give its parts.")
    return prefix


def read_address(node: Scalar) -> Address:
    """An address of a workload, without a prefix length."""
    text = text_of(node)
    address = parse_address(text)
    if address.is_multicast or address.is_loopback or address.is_unspecified or _is_broadcast(address):
        raise Misfit("address-reserved", f"{address} is no address of a host", "Give a unicast address.")
    if address in SERVED:
        raise Misfit(
            "address-reserved", f"{address} is where names or metadata are served", "Give another address."
        )
    if address.is_link_local:
        raise Misfit(
            "address-reserved",
            f"{address} is link-local",
            "Leave it out: each port has its link-local address by itself.",
        )
    return address


def read_vtep(node: Scalar) -> Address:
    """An address of the underlay."""
    address = parse_address(text_of(node))
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local:
        raise Misfit(
            "address-reserved", f"{address} is no address of a host", "Give the VTEP's unicast address."
        )
    return address


def read_router_id(node: Scalar) -> int:
    """A BGP identifier in dotted form: 32 bits, not zero (RFC 6286 section 2.1)."""
    address = parse_address(text_of(node))
    if not isinstance(address, IPv4Address) or int(address) == 0:
        raise Misfit("router-id", f"{address} is no router id", "Write 32 bits as 192.0.2.1, not 0.0.0.0.")
    return int(address)


def read_mac(node: Scalar) -> Mac:
    """A unicast MAC address in colon form."""
    text = text_of(node)
    try:
        mac = parse_mac(text)
    except ValueError as error:
        raise Misfit(
            "mac-syntax", f"{show(text)} is no MAC address", "Write six hex pairs: 02:00:00:00:00:01."
        ) from error
    if mac == BROADCAST or not is_unicast(mac):
        raise Misfit(
            "mac-multicast",
            f"{text} is a group or zero address",
            "The first octet must be even; use 02:... for your own.",
        )
    if mac == GATEWAY_MAC or is_router_mac(mac):
        raise Misfit("mac-reserved", f"{text} is that of a gateway or router", "Use 02:... for your own.")
    return mac


def read_vni(node: Scalar) -> Vni:
    """24 bits, not zero (RFC 7348 section 5)."""
    vni = within(node, VNIS, "a VNI", "Leave it out to get a free one.")
    if vni == PROBE_VNI:
        raise Misfit("vni-reserved", f"{vni} is that of the path probes", "Leave it out to get a free one.")
    return Vni(vni)


def read_target(node: Scalar) -> bytes:
    """A route target (RFC 4360 section 4), or `derived`."""
    text = text_of(node)
    try:
        return parse_member(text)
    except ValueError as error:
        raise Misfit(
            "route-target", f"{show(text)} is no route target", f"Write derived. Or: {error}."
        ) from None


def read_community(node: Scalar) -> Community:
    """A community (RFC 1997) or a large one (RFC 8092)."""
    text = text_of(node)
    try:
        return parse_any(text)
    except ValueError as error:
        raise Misfit("community", f"{show(text)} can't be hung on routes", f"{error}.".capitalize()) from None


def read_distinguisher(node: Scalar) -> int:
    """The number of a route distinguisher of type 1 (RFC 4364 section 4.2), or `derived`: 0."""
    if node.sort is Sort.TEXT and node.text == DERIVED_TEXT:
        return 0
    return within(node, NETWORK_KEYS, "the number of a route distinguisher", "Write derived for its key.")


def read_segment(node: Scalar) -> bytes:
    """An Ethernet segment identifier (RFC 7432 section 5)."""
    text = text_of(node)
    try:
        return parse_segment(text)
    except ValueError as error:
        raise Misfit("segment", f"{show(text)} is no Ethernet segment", f"{error}.".capitalize()) from None


def read_mtu(node: Scalar) -> int:
    """Bytes of the inner packet."""
    return within(node, MTUS, "an MTU", "The underlay's MTU less 50 (IPv4) or 70 (IPv6) bytes of VXLAN fits.")


def read_dscp(node: Scalar) -> int:
    """0 to 63 (RFC 2474 section 3), or `none`."""
    if _is_none(node):
        return UNMARKED
    return within(node, _DSCPS, "a DSCP", "Write none, and packets keep theirs.")


def read_rate(node: Scalar) -> int:
    """kbit/s as a whole number, or text with a unit of bit/s: `800k`, `100M`, `2.5G`; or `none`."""
    if _is_none(node):
        return 0
    advice = f"Write {RATES[0]} to {RATES[-1]} (kbit/s), 100M, 1G, or none for no limit."
    rate = _RATE.fullmatch(node.text) if node.sort is Sort.TEXT else None
    if rate is None:
        return within(node, RATES, "a rate in kbit/s", advice)
    kbits = Fraction(rate[1]) * _UNITS[rate[2].lower()]
    if kbits.denominator != 1 or int(kbits) not in RATES:
        raise Misfit("range", f"{node.text} is out of range for a rate", advice)
    return int(kbits)


def read_egress(node: Scalar) -> Egress:
    """none, fabric or snat."""
    try:
        return Egress(text_of(node))
    except ValueError as error:
        raise Misfit("choice", f"{show(node.text)} is no way out", "Write none, fabric or snat.") from error


def read_relation(node: Scalar) -> Relation:
    """same-tenant, peered-tenant or internet."""
    try:
        return Relation(text_of(node))
    except ValueError as error:
        raise Misfit(
            "choice", f"{show(node.text)} is no relation", "Write same-tenant, peered-tenant or internet."
        ) from error


def read_family(node: Scalar) -> int:
    """ipv4 or ipv6."""
    families = {"ipv4": 4, "ipv6": 6}
    if (text := text_of(node)) not in families:
        raise Misfit("choice", f"{show(text)} is no family of addresses", "Write ipv4 or ipv6.")
    return families[text]


def read_reference(node: Scalar) -> str:
    """A name, or empty text for nobody."""
    return "" if node.sort is Sort.TEXT and not node.text else read_name(node)


def read_pool(node: Scalar) -> Prefix:
    """A prefix of unicast addresses of at most a million IPv4 ones, without bits behind its length."""
    prefix = read_unicast(node)
    shortest = 12 if prefix.version == 4 else 32
    if prefix.prefixlen < shortest:
        raise Misfit("subnet-size", f"{prefix} has /{prefix.prefixlen}", f"Use /{shortest} or longer.")
    return prefix


def read_flag(node: Scalar) -> bool:
    """true or false."""
    if node.sort is not Sort.BOOLEAN:
        raise wrong(node, "true or false", "Write true or false, without quotes.")
    return node.text.lower() == "true"


def read_moment(node: Scalar) -> datetime:
    """A moment with its offset (RFC 3339), as UTC."""
    text = text_of(node)
    try:
        moment = datetime.fromisoformat(text[:64])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Misfit(
            "time-syntax", f"{show(text)} is no time with an offset", "Write it as 2026-01-31T12:00:00Z."
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Misfit("time-syntax", f"{show(text)} is out of range", "Write a year of our age.") from error


def _is_none(node: Scalar) -> bool:
    return node.sort is Sort.TEXT and node.text == "none"


def text_of(node: Scalar) -> str:
    """Text, as written."""
    if node.sort is not Sort.TEXT:
        raise wrong(node, "text", "Put it in quotes." if node.text else "Write a value or remove the field.")
    return node.text


def wrong(node: Scalar, wanted: str, remedy: str) -> Misfit:
    """It is of another sort than `wanted`."""
    written = f"{show(node.text)} is {node.sort.value}" if node.text else f"it is {node.sort.value}"
    return Misfit("wrong-type", f"{written}, wanted: {wanted}", remedy)


def within(node: Scalar, allowed: range, what: str, remedy: str) -> int:
    """A whole number of a range."""
    if node.sort is not Sort.INTEGER:
        raise wrong(node, "a whole number", "Write digits, without quotes.")
    text = node.text.lower()
    value = int(text, 0 if text[:2] in {"0x", "0o"} else 10) if len(text) <= _LONGEST_NUMBER else -1
    if value in allowed:
        return value
    shown = text if len(text) <= _LONGEST_NUMBER else text[:_LONGEST_NUMBER] + "..."
    raise Misfit("range", f"{shown} is out of range for {what}: {allowed[0]} to {allowed[-1]}", remedy)


def _prefix(text: str) -> Prefix:
    try:
        prefix = ip_network(text, strict=False)
    except ValueError as error:
        raise Misfit(
            "prefix-syntax", f"{show(text)} is no prefix", "Write it as 10.0.0.0/24 or fd00::/64."
        ) from error
    if "/" in text and not text.rpartition("/")[2].isdecimal():
        raise Misfit("prefix-syntax", f"{show(text)} has a mask", f"Write the length: {prefix}.")
    if ip_address(text.partition("/")[0]) != prefix.network_address:
        raise Misfit("prefix-host-bits", f"{text} has bits set behind its length", f"Write {prefix}.")
    if isinstance(prefix, IPv6Network) and prefix.network_address.scope_id:
        raise Misfit("prefix-syntax", f"{show(text)} has a zone", "Remove what follows the %.")
    return prefix


def parse_address(text: str) -> Address:
    """An address without length and zone; Misfit otherwise."""
    try:
        address = ip_address(text)
    except ValueError as error:
        if "/" in text:
            raise Misfit(
                "address-syntax", f"{show(text)} has a length", f"Write only {show(text.partition('/')[0])}."
            ) from error
        raise Misfit(
            "address-syntax", f"{show(text)} is no IP address", "Write 10.0.0.5 or fd00::5."
        ) from error
    if getattr(address, "scope_id", None):
        raise Misfit("address-syntax", f"{show(text)} has a zone", "Remove what follows the %.")
    return address


def _is_broadcast(address: Address) -> bool:
    return isinstance(address, IPv4Address) and int(address) >= 0xF0000000


def _mend_name(text: str) -> str:
    mended = re.sub(r"[^a-z0-9-]+", "-", text.lower())[:63].strip("-")
    rule = "Use 1 to 63 of a-z, 0-9 and '-', a letter or digit at both ends"
    return f'{rule}: "{mended}" would do.' if mended and mended != text else f"{rule}."

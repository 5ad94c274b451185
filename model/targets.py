"""Communities as operators write them and as BGP carries them: route targets, standard and large ones.

Place: a manifest's texts become bytes here, and bytes become text for people; shared by the edge and by
`bgp.codec`. Must not decide which of them an object bears: `model.rules` does. Text that is none is a
ValueError that says what is allowed.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from model.ids import Vni

LargeCommunity = tuple[int, int, int]
"""Global administrator and two numbers of its own, 32 bits each (RFC 8092 section 3)."""

_TWO_OCTET_AS: Final = 0x00
_ADDRESS: Final = 0x01
_FOUR_OCTET_AS: Final = 0x02
_TARGET: Final = 0x02
_HALF: Final = 1 << 16
_WHOLE: Final = 1 << 32
_FORMS: Final = (
    "ASN:NUMBER (ASN below 65536: NUMBER below 2^32; a larger ASN: NUMBER below 65536) or "
    "IPV4-ADDRESS:NUMBER (NUMBER below 65536)"
)


def derived(asn: int, vni: Vni) -> bytes:
    """`asn:vni` as a two-octet-AS route target (RFC 4360 sections 3.1 and 4).

    The plain VNI stands in the four-octet number, as FRR and GoBGP derive it, not the bit layout of RFC 8365
    section 5.1.2.1 (which sets a type in the upper octet). Of a four-octet AS the lower half is used, as
    FRR does.
    """
    return bytes((_TWO_OCTET_AS, _TARGET)) + (asn % _HALF).to_bytes(2, "big") + vni.to_bytes(4, "big")


def is_target(raw: bytes) -> bool:
    """Whether an 8-octet extended community is a route target: transitive, of one of the three forms."""
    return raw[0] <= _FOUR_OCTET_AS and raw[1] == _TARGET


def parse_target(text: str) -> bytes:
    """A route target in its three forms: two-octet AS, IPv4 address (RFC 4360 sections 3.1, 3.2), four-octet
    AS (RFC 5668)."""
    head, colon, tail = text.partition(":")
    if not colon or not _is_number(tail):
        raise ValueError(f"a route target is {_FORMS}")
    number = int(tail)
    if "." in head:
        try:
            address = IPv4Address(head)
        except ValueError:
            raise ValueError(f"a route target is {_FORMS}") from None
        return bytes((_ADDRESS, _TARGET)) + address.packed + _octets(number, 2)
    asn = int(head) if _is_number(head) else _WHOLE
    if not 0 < asn < _WHOLE:
        raise ValueError(f"a route target is {_FORMS}")
    if asn < _HALF:
        return bytes((_TWO_OCTET_AS, _TARGET)) + asn.to_bytes(2, "big") + _octets(number, 4)
    return bytes((_FOUR_OCTET_AS, _TARGET)) + asn.to_bytes(4, "big") + _octets(number, 2)


def target_text(raw: bytes) -> str:
    """A route target for people: `65000:10100`, `192.0.2.1:7`, `4200000000:7`; the inverse of
    `parse_target`. Hex for what is none."""
    if len(raw) != 8 or not is_target(raw):
        return raw.hex()
    if raw[0] == _TWO_OCTET_AS:
        return f"{int.from_bytes(raw[2:4], 'big')}:{int.from_bytes(raw[4:8], 'big')}"
    number = int.from_bytes(raw[6:8], "big")
    if raw[0] == _ADDRESS:
        return f"{IPv4Address(raw[2:6])}:{number}"
    return f"{int.from_bytes(raw[2:6], 'big')}:{number}"


def parse_community(text: str) -> int:
    """A standard community `NUMBER:NUMBER`, 16 bits each (RFC 1997)."""
    numbers = _numbers(text, 2, _HALF)
    if numbers is None:
        raise ValueError("a community is NUMBER:NUMBER, each below 65536")
    return numbers[0] << 16 | numbers[1]


def community_text(value: int) -> str:
    """`65000:100`; the inverse of `parse_community`."""
    return f"{value >> 16}:{value % _HALF}"


def parse_large(text: str) -> LargeCommunity:
    """A large community `NUMBER:NUMBER:NUMBER`, 32 bits each (RFC 8092 section 5)."""
    numbers = _numbers(text, 3, _WHOLE)
    if numbers is None:
        raise ValueError("a large community is NUMBER:NUMBER:NUMBER, each below 2^32")
    return (numbers[0], numbers[1], numbers[2])


def large_text(value: LargeCommunity) -> str:
    """`65000:1:2`; the inverse of `parse_large`."""
    return ":".join(map(str, value))


def _numbers(text: str, count: int, bound: int) -> list[int] | None:
    words = text.split(":")
    if len(words) != count or not all(map(_is_number, words)):
        return None
    numbers = [int(word) for word in words]
    return numbers if all(number < bound for number in numbers) else None


def _is_number(text: str) -> bool:
    """Plain decimal digits, few enough to be one of 32 bits, and no zero before another digit: one text for
    one value."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and (text == "0" or text[0] != "0")


def _octets(number: int, size: int) -> bytes:
    if number >= 1 << 8 * size:
        raise ValueError(f"a route target is {_FORMS}")
    return number.to_bytes(size, "big")

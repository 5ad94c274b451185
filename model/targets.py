"""Communities as operators write them and as BGP carries them: route targets, standard and large ones.

Place: a manifest's texts become bytes here, and bytes become text for people; shared by the edge and by
`bgp.codec`. Text that is none is a ValueError that says what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from model.ids import Vni

LargeCommunity = tuple[int, int, int]
"""Global administrator and two numbers of its own, 32 bits each (RFC 8092 section 3)."""
Community = int | LargeCommunity
"""A standard one (RFC 1997), or a large one."""

DERIVED: Final = b""
"""In a list of route targets: the one that follows from AS number and VNI."""
DERIVED_TEXT: Final = "derived"

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


@dataclass(frozen=True, slots=True)
class Rules:
    """Which route targets the routes of a network or VRF bear, and which it listens to, as operators say it:
    `DERIVED`, or 8 octets each, sorted; none = the derived one. Communities are hung on what is announced.
    """

    imports: tuple[bytes, ...] = ()
    exports: tuple[bytes, ...] = ()
    communities: tuple[int, ...] = ()
    large_communities: tuple[LargeCommunity, ...] = ()

    def imported(self, asn: int, vni: Vni) -> frozenset[bytes]:
        """Route targets of what is listened to (RFC 4364 section 4.3.1, RFC 7432 section 7.10)."""
        return frozenset(_resolve(self.imports, asn, vni))

    @property
    def imports_derived(self) -> bool:
        """Whether the derived one is listened to."""
        return not self.imports or DERIVED in self.imports

    def exported(self, asn: int, vni: Vni) -> tuple[bytes, ...]:
        """Route targets of what is announced, sorted."""
        return tuple(sorted(set(_resolve(self.exports, asn, vni))))

    def named(self) -> frozenset[bytes]:
        """What operators wrote out."""
        return frozenset((*self.imports, *self.exports)) - {DERIVED}

    @property
    def all_communities(self) -> tuple[Community, ...]:
        """Of both kinds."""
        return (*self.communities, *self.large_communities)


PLAIN: Final = Rules()


def rules(imports: Iterable[bytes], exports: Iterable[bytes], communities: Iterable[Community]) -> Rules:
    """Each once, in a fixed order. A list of nothing but the derived one is none: one value has one form."""
    lists = [tuple(sorted(set(one))) for one in (imports, exports)]
    first, second = (() if one == (DERIVED,) else one for one in lists)
    some = set(communities)
    plain = tuple(sorted(one for one in some if isinstance(one, int)))
    large = tuple(sorted(one for one in some if not isinstance(one, int)))
    return Rules(first, second, plain, large) if first or second or some else PLAIN


def _resolve(targets: tuple[bytes, ...], asn: int, vni: Vni) -> Iterator[bytes]:
    return (one or derived(asn, vni) for one in targets or (DERIVED,))


def derived_vni(target: bytes) -> Vni | None:
    """The VNI that a two-octet-AS route target carries; None for another form, 0 or more than 24 bits."""
    number = int.from_bytes(target[4:8], "big")
    if target[:2] != bytes((_TWO_OCTET_AS, _TARGET)) or not 0 < number < 1 << 24:
        return None
    return Vni(number)


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


def parse_member(text: str) -> bytes:
    """One of a list of route targets: a route target, or `derived`."""
    return DERIVED if text == DERIVED_TEXT else parse_target(text)


def member_text(target: bytes) -> str:
    """The inverse of `parse_member`."""
    return target_text(target) if target else DERIVED_TEXT


def parse_any(text: str) -> Community:
    """A community of either kind; those that every BGP speaker acts on are refused (RFC 1997: the first and
    the last 65536): NO_ADVERTISE would keep a reflector from reflecting."""
    if text.count(":") > 1:
        return parse_large(text)
    value = parse_community(text)
    if value >> 16 in (0, _HALF - 1):
        raise ValueError("communities of 0 and 65535 are reserved (RFC 1997)")
    return value


def any_text(value: Community) -> str:
    """The inverse of `parse_any`."""
    return community_text(value) if isinstance(value, int) else large_text(value)


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

"""Labels: a domain name as a tuple of labels in lower case, without the root's; and the names of addresses.

Place: the keys of zones. Must not know who asks. Tuples, not text: a label on the wire may hold dots and any
octet, and must not become another name by being written down.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from model.addresses import Address, Prefix

Labels = tuple[bytes, ...]

_V4: Final = (b"in-addr", b"arpa")
_V6: Final = (b"ip6", b"arpa")
_OCTETS: Final = {str(number).encode(): number for number in range(256)}
_NIBBLES: Final = {b"%x" % number: number for number in range(16)}
MOST: Final = 255
"""Octets of a name with its root (RFC 1035 section 3.1)."""


def parse_labels(text: str) -> Labels:
    """`a.example` as labels; ValueError for what is no host name of RFC 1123 section 2.1."""
    labels = tuple(text.lower().removesuffix(".").encode("ascii", "replace").split(b"."))
    if not fits(labels) or not all(_plain(label) for label in labels):
        raise ValueError(f"{text!r} is no name of labels of a-z, 0-9 and '-'")
    return labels


def format_labels(labels: Labels) -> str:
    """For people; with the root's dot."""
    return ".".join(label.decode("ascii", "backslashreplace") for label in labels) + "."


def fits(labels: Labels) -> bool:
    """Whether it can be a name on the wire (RFC 1035 section 2.3.4)."""
    return all(1 <= len(label) <= 63 for label in labels) and sum(map(len, labels)) + len(labels) < MOST


def within(labels: Labels, origin: Labels) -> bool:
    """Whether it is the origin or lies below it."""
    return labels[-len(origin) :] == origin


def reverse_labels(address: Address) -> Labels:
    """The name that leads from an address to its names (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    return parse_labels(address.reverse_pointer)


def reversed_prefix(labels: Labels) -> tuple[Prefix, bool] | None:
    """The prefix that a name below `in-addr.arpa` or `ip6.arpa` stands for, and whether all of the name does.

    None for any other name. Labels that no address has end the prefix: what is below belongs to it.
    """
    for origin, digits, width, whole in ((_V4, _OCTETS, 8, 32), (_V6, _NIBBLES, 4, 128)):
        if within(labels, origin):
            return _prefix(labels[: -len(origin)], digits, width, whole)
    return None


def _prefix(labels: Labels, digits: dict[bytes, int], width: int, whole: int) -> tuple[Prefix, bool]:
    number = length = 0
    for label in reversed(labels):
        if length == whole or label not in digits:
            return _network(number, length, whole), False
        number, length = number << width | digits[label], length + width
    return _network(number, length, whole), True


def _network(number: int, length: int, whole: int) -> Prefix:
    shifted = number << (whole - length)
    return IPv4Network((shifted, length)) if whole == 32 else IPv6Network((shifted, length))


def _plain(label: bytes) -> bool:
    return label.replace(b"-", b"").isalnum() and label[:1] != b"-" and label[-1:] != b"-"


LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PRIVATE: Final[tuple[Prefix, ...]] = (
    *LOOPBACK,
    ip_network("0.0.0.0/8"),
    ip_network("10.0.0.0/8"),
    ip_network("100.64.0.0/10"),
    ip_network("169.254.0.0/16"),
    ip_network("172.16.0.0/12"),
    ip_network("192.168.0.0/16"),
    ip_network("::/128"),
    ip_network("fc00::/7"),
    ip_network("fe80::/10"),
)
"""Whose reverse names nobody outside can know for a tenant (RFC 6303 section 4, RFC 7793)."""

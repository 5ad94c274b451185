"""Fabric: a network of rails beside the overlay, and the spaces that the IPAM hands out on it.

Place: declared by the operator, read from the store; input of `ipam`. Must not hold who has what: those are
allocations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

from model.addresses import Prefix

Guid = NewType("Guid", int)
"""EUI-64 of an InfiniBand node or port as a 64-bit integer."""
PKey = NewType("PKey", int)
"""Partition key without its membership bit, 15 bits (InfiniBand Architecture 1.2.1, section 10.9.1)."""
RailIndex = NewType("RailIndex", int)
"""0..63, the same on all nodes of a fabric."""

PKEYS: Final = range(1, 0x7FFF)
"""What tenants can get. 0 is invalid, 0x7fff is the default partition: the subnet manager's."""
DEFAULT_PKEY: Final = PKey(0x7FFF)
FULL_MEMBER: Final = 0x8000
"""Set in a PKey table's entry: full member; clear: limited (section 10.9.3)."""
RAILS: Final = range(64)
COOL_DOWNS: Final = range(7 * 24 * 3600 + 1)
"""Seconds."""

_GUIDS: Final = range(1, (1 << 64) - 1)
_LOCAL: Final = 0x02 << 56
_GROUP: Final = 0x01 << 56
_GUID_FORMS: Final = (
    re.compile(r"0x[0-9a-f]{1,16}"),
    re.compile(r"[0-9a-f]{4}(:[0-9a-f]{4}){3}"),
    re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){7}"),
    re.compile(r"[0-9a-f]{16}"),
)


class FabricKind(Enum):
    """What its links speak. ETHERNET: without RoCE's lossless class; it carries no gang's rails."""

    INFINIBAND = "infiniband"
    ROCE = "roce"
    ETHERNET = "ethernet"


class Addressing(Enum):
    """Whose the blocks of a rail's subnets are. LINK: a node's, cut into a /31 or /127 for each VF.

    NODE: a node's. TENANT: a tenant's.
    """

    LINK = "link"
    NODE = "node"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Rail:
    """One of the parallel planes of a fabric. `subnets`: what its addresses come from, IPv4 first.

    `leaf`: the switch that all nodes meet on this rail, "" = each node says its own.
    """

    index: RailIndex
    name: str
    subnets: tuple[Prefix, ...] = ()
    leaf: str = ""


@dataclass(frozen=True, slots=True)
class Fabric:
    """`rails` by index, without gaps. `pkeys` and `guids` (in order, apart): empty unless InfiniBand.

    `blocks`: prefix lengths of the blocks of a rail's IPv4 and IPv6 subnets. `excluded`:
    prefixes that nobody is given. `reserved`, `reserved_pkeys`: given only to who asks for one by value.
    `cool_down`: seconds before anything that was released is given again.
    """

    name: str
    kind: FabricKind
    rails: tuple[Rail, ...]
    pkeys: range = range(0)
    guids: tuple[range, ...] = ()
    addressing: Addressing = Addressing.LINK
    blocks: tuple[int, int] = (24, 64)
    excluded: tuple[Prefix, ...] = ()
    cool_down: int = 300
    reserved: tuple[Prefix, ...] = ()
    reserved_pkeys: tuple[range, ...] = ()

    def rail(self, index: int) -> Rail | None:
        """The rail of that index; None if there is none."""
        return self.rails[index] if 0 <= index < len(self.rails) else None


def parse_guid(text: str) -> Guid:
    """`0x0200520000000001`, `0200:5200:0000:0001` (as sysfs), pairs with colons, or 16 bare digits, either
    case. ValueError for another form, and for 0 and all ones, which are nobody's.
    """
    lowered = text.lower()
    if not any(form.fullmatch(lowered) for form in _GUID_FORMS):
        raise ValueError("a GUID is 16 hex digits: 0x0200520000000001 or 0200:5200:0000:0001")
    value = int(lowered.removeprefix("0x").replace(":", ""), 16)
    if value not in _GUIDS:
        raise ValueError("a GUID of all zeros or all ones is nobody's")
    return Guid(value)


def format_guid(guid: int) -> str:
    """As sysfs writes it: `0200:5200:0000:0001`."""
    raw = f"{guid:016x}"
    return ":".join(raw[i : i + 4] for i in range(0, 16, 4))


def is_local_guid(guid: int) -> bool:
    """Locally administered and of one device (IEEE EUI-64: the U/L bit set, the I/G bit clear), so that it is
    no vendor's."""
    return guid in _GUIDS and bool(guid & _LOCAL) and not guid & _GROUP


def parse_pkey(text: str) -> PKey:
    """`0x0010` or decimal, without membership bit; ValueError for what no tenant can have."""
    lowered = text.lower()
    if not re.fullmatch(r"0x[0-9a-f]{1,4}|[0-9]{1,5}", lowered):
        raise ValueError("a partition key is 0x0001 to 0x7ffe")
    value = int(lowered, 16 if lowered.startswith("0x") else 10)
    if value not in PKEYS:
        raise ValueError("a partition key is 0x0001 to 0x7ffe: 0x7fff is the default partition's")
    return PKey(value)


def format_pkey(pkey: int) -> str:
    """`0x0010`."""
    return f"0x{pkey:04x}"


def size(span: range) -> int:
    """How many numbers it has; `len` refuses ranges of 64 bits."""
    return max(span.stop - span.start, 0)


def meet(first: range, second: range) -> bool:
    """Whether two spans (of step 1) have a number in common."""
    return max(first.start, second.start) < min(first.stop, second.stop)

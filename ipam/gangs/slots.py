"""Slots: what follows from the place of a virtual function: its serial, its GUIDs, its address on a link.

Place: arithmetic under `place` and `ledger`. What is derived here stays the same whoever uses the slot, so
that starting a gang moves nothing but partition keys. Must not know who holds what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import Address, Prefix
from model.fabric import Addressing, Fabric, FabricKind, Guid, Rail, size
from model.hardware import NODE_KEYS, SLOTS, VFS, NodeKey

_VF_BITS: Final = (len(VFS) - 1).bit_length()
_PLACE_BITS: Final = (len(SLOTS) - 1).bit_length()
_MOST: Final = len(SLOTS) * len(VFS)
"""Interfaces of a node on one rail."""
SERIALS: Final = range(NODE_KEYS.stop << _VF_BITS + _PLACE_BITS)


def serial(key: NodeKey, place: int, vf: int) -> int:
    """The number of a VF in its fabric: 16 bits of node, 5 of the PF's place in its SKU, 8 of the VF."""
    return (key << _PLACE_BITS | place) << _VF_BITS | vf


def guids(fabric: Fabric, slot: int) -> tuple[Guid, Guid] | None:
    """Node and port GUID of a slot; None if the fabric has too few."""
    left = 2 * slot
    for span in fabric.guids:
        # Both of one span, so that they stand side by side.
        pairs = size(span) // 2 * 2
        if left < pairs:
            return Guid(span.start + left), Guid(span.start + left + 1)
        left -= pairs
    return None


def reach(fabric: Fabric) -> int:
    """Slots below this number have GUIDs, by `guids`; without InfiniBand none needs any."""
    if fabric.kind is not FabricKind.INFINIBAND:
        return SERIALS.stop
    return sum(size(span) // 2 for span in fabric.guids)


def block_length(fabric: Fabric, version: int) -> int:
    """Prefix length of what a node or a tenant gets of a rail's subnet."""
    return fabric.blocks[0 if version == 4 else 1]


def block_base(fabric: Fabric, subnet: Prefix, number: int) -> int | None:
    """The first address of a block, as an integer; None if the subnet has no block of that number."""
    length = block_length(fabric, subnet.version)
    if length < subnet.prefixlen or number >> length - subnet.prefixlen:
        return None
    return int(subnet.network_address) + (number << subnet.max_prefixlen - length)


def rows(fabric: Fabric, rail: Rail, key: NodeKey) -> tuple[range, ...] | None:
    """The addresses of a node's interfaces on a rail, by their number there, by LINK or NODE: as integers, a
    row for each subnet; None if a subnet has no block for the node.

    LINK: RFC 3021, RFC 6164: of each two addresses the leaf has the even one. NODE: the first one of the
    block is nobody's, the second one the leaf's.
    """
    link = fabric.addressing is Addressing.LINK
    step, first = (2, 1) if link else (1, 2)
    found: list[range] = []
    for subnet in rail.subnets:
        base = block_base(fabric, subnet, key)
        if base is None:
            return None
        # The last address of an IPv4 block that is one subnet is its broadcast address.
        room = (1 << subnet.max_prefixlen - block_length(fabric, subnet.version)) - (
            0 if link or subnet.version == 6 else 1
        )
        found.append(range(base + first, base + min(room, first + step * _MOST), step))
    return tuple(found)


def derived(
    fabric: Fabric, rail: Rail, key: NodeKey, index: int, excluded: Mapping[int, Sequence[range]]
) -> tuple[Address, ...] | None:
    """The addresses of a node's interface number `index` on a rail; None if the rail has none for it, or one
    is excluded.
    """
    there = rows(fabric, rail, key)
    if there is None or any(index >= len(row) for row in there):
        return None
    numbers = [(subnet.version, row[index]) for subnet, row in zip(rail.subnets, there, strict=True)]
    if any(number in span for version, number in numbers for span in excluded[version]):
        return None
    return tuple(address(version, number) for version, number in numbers)


def address(version: int, number: int) -> Address:
    """An integer as an address of a family."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def spans(prefixes: Sequence[Prefix]) -> dict[int, tuple[range, ...]]:
    """IP version -> the prefixes of that family as integers."""
    return {
        version: tuple(
            range(int(p.network_address), int(p.network_address) + int(p.num_addresses))
            for p in prefixes
            if p.version == version
        )
        for version in (4, 6)
    }

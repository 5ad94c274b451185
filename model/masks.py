"""Masks: ranges of ports and of addresses as few values with leading-bit masks.

Place: used by the compiler, since a switch matches bits and not ranges. Must not know fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import collapse_addresses

from model.addresses import Prefix
from model.policy import Block, PortRange

FULL = 0xFFFF


def masked(ports: PortRange) -> tuple[tuple[int, int], ...]:
    """(value, mask) of 16 bits each that together match these ports and no others: at most 30."""
    return tuple(_masked(ports.first, ports.last))


def merged(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The same ports in as few ranges as there can be, in order."""
    found: list[PortRange] = []
    for one in sorted(ranges, key=lambda r: (r.first, r.last)):
        if one.last < one.first:
            continue
        if found and one.first <= found[-1].last + 1:
            found[-1] = PortRange(found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return tuple(found)


def prefixes(blocks: Iterable[Block]) -> tuple[Prefix, ...]:
    """The addresses of blocks as disjoint prefixes, IPv4 first."""
    found = [one for block in blocks for one in _without(block)]
    fours = collapse_addresses(one for one in found if one.version == 4)
    sixes = collapse_addresses(one for one in found if one.version == 6)
    return *fours, *sixes


def _masked(first: int, last: int) -> Iterator[tuple[int, int]]:
    while first <= last:
        size = first & -first or FULL + 1
        while first + size - 1 > last:
            size >>= 1
        yield first, FULL & ~(size - 1)
        first += size


def _without(block: Block) -> list[Prefix]:
    """Each exception splits what is left: as many prefixes more as it is longer, at most."""
    left: list[Prefix] = [block.prefix]
    for hole in block.excepted:
        left = [part for one in left for part in _cut(one, hole)]
    return left


def _cut(one: Prefix, hole: Prefix) -> Iterator[Prefix]:
    low, high = int(one.network_address), int(one.broadcast_address)
    first, last = int(hole.network_address), int(hole.broadcast_address)
    if one.version != hole.version or last < low or high < first:
        yield one
    elif first <= low and high <= last:
        return
    else:
        yield from one.address_exclude(hole)  # type: ignore[arg-type]

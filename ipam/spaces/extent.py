"""Extents: which numbers a space consists of: addresses, GUIDs, partition keys, virtual functions.

Place: the shape of a `Space`, made of what the operator declared. Must not hold what is in use.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from ipam.subnets import WINDOW
from model.addresses import Prefix
from model.fabric import PKEYS, Fabric


class Standing(Enum):
    """What may become of a number. OPEN: handed out. RESERVED: to who asks for it by value. BARRED: never."""

    OPEN = "open"
    RESERVED = "reserved"
    BARRED = "barred"


@dataclass(frozen=True, slots=True)
class Extent:
    """`span`: all numbers, with step 1. `reserved`, `barred`: sorted, apart from each other within each.

    `window`: how many numbers from the start are handed out by themselves; those behind it are reserved. A
    /64 would need 2^54 words of the bitmap.
    """

    name: str
    span: range
    reserved: tuple[range, ...] = ()
    barred: tuple[range, ...] = ()
    window: int = WINDOW

    @property
    def stop(self) -> int:
        """The end of what is handed out by itself."""
        return min(self.span.stop, self.span.start + self.window)

    def standing(self, value: int) -> Standing:
        """What may become of a number; BARRED outside of the span."""
        if value not in self.span or _around(self.barred, value) is not None:
            return Standing.BARRED
        if value >= self.stop or _around(self.reserved, value) is not None:
            return Standing.RESERVED
        return Standing.OPEN

    def skip(self, value: int) -> int | None:
        """The first number behind the closed stretch that `value` lies in; None if it lies in none."""
        if not self.barred and not self.reserved:
            return None  # as of VFs, of which thousands are looked at for one gang
        around = _around(self.barred, value) or _around(self.reserved, value)
        return None if around is None else around.stop

    def next_closed(self, value: int) -> int | None:
        """Where the next closed stretch behind `value` begins; None if there is none."""
        begins = [
            spans[index].start
            for spans in (self.barred, self.reserved)
            if (index := bisect_right(spans, value, key=lambda span: span.start)) < len(spans)
        ]
        return min(begins, default=None)

    def closed(self) -> tuple[range, ...]:
        """Stretches that are not handed out by themselves, below `stop`, in order, joined."""
        inside = (_cut(r, self.span.start, self.stop) for r in (*self.reserved, *self.barred))
        return merge(r for r in inside if r)

    @property
    def capacity(self) -> int:
        """How many numbers are handed out by themselves."""
        return max(self.stop - self.span.start, 0) - sum(len(r) for r in self.closed())


def addresses(
    name: str, prefix: Prefix, excluded: Iterable[Prefix] = (), reserved: Iterable[Prefix] = ()
) -> Extent:
    """The addresses of a prefix that hosts may have: not its first (network, or RFC 4291 section 2.6.1
    subnet-router anycast), nor its last if it is IPv4; both in a prefix of two (RFC 3021, RFC 6164).
    """
    base, total = int(prefix.network_address), int(prefix.num_addresses)
    ends = [range(base, base + 1)] if total > 2 else []
    if total > 2 and prefix.version == 4:
        ends.append(range(base + total - 1, base + total))
    return Extent(
        name,
        range(base, base + total),
        merge(_numbers(prefix, reserved)),
        merge([*_numbers(prefix, excluded), *ends]),
    )


def blocks(name: str, prefix: Prefix, length: int, excluded: Iterable[Prefix] = ()) -> Extent:
    """The subnets of a length that a prefix has, numbered from 0; one that touches an exclusion is barred.

    ValueError if the prefix is longer than its blocks.
    """
    if length < prefix.prefixlen:
        raise ValueError(f"{prefix} has no blocks of length {length}")
    shift, base = prefix.max_prefixlen - length, int(prefix.network_address)
    touched = (
        range(r.start - base >> shift, (r.stop - 1 - base >> shift) + 1) for r in _numbers(prefix, excluded)
    )
    return Extent(name, range(1 << length - prefix.prefixlen), barred=merge(touched))


def pkeys(fabric: Fabric) -> Extent:
    """The partition keys that tenants of a fabric may get."""
    span = _cut(fabric.pkeys, PKEYS.start, PKEYS.stop)
    return Extent(f"pkey:{fabric.name}", span, merge(fabric.reserved_pkeys))


def guids(fabric: Fabric, part: int) -> Extent:
    """One of the fabric's spans of GUIDs. They are derived from VF slots; this is for static requests."""
    return Extent(f"guid:{fabric.name}:{part}", fabric.guids[part])


def vfs(name: str, count: int, taken_away: Iterable[int] = ()) -> Extent:
    """The VFs of one PF, by index. `taken_away`: those that the operator keeps for something else."""
    return Extent(name, range(count), barred=merge(range(i, i + 1) for i in taken_away))


def merge(spans: Iterable[range]) -> tuple[range, ...]:
    """The same numbers as sorted stretches that do not touch."""
    found: list[range] = []
    for span in sorted((s for s in spans if s), key=lambda s: (s.start, s.stop)):
        if found and span.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, span.stop))
        else:
            found.append(span)
    return tuple(found)


def _numbers(prefix: Prefix, parts: Iterable[Prefix]) -> list[range]:
    """What the parts cover of the prefix; those of the other family cover nothing."""
    base, total = int(prefix.network_address), int(prefix.num_addresses)
    spans = (
        range(int(p.network_address), int(p.network_address) + int(p.num_addresses))
        for p in parts
        if p.version == prefix.version
    )
    return [cut for span in spans if (cut := _cut(span, base, base + total))]


def _cut(span: range, start: int, stop: int) -> range:
    return range(max(span.start, start), max(min(span.stop, stop), span.start, start))


def _around(spans: Sequence[range], value: int) -> range | None:
    """The stretch that holds the value, by bisection."""
    index = bisect_right(spans, value, key=lambda span: span.start) - 1
    return spans[index] if index >= 0 and value in spans[index] else None

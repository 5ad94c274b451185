"""Regions: what rules match, as sets of numbers that can be cut, compared and added up.

Place: under the analysis. Exact for addresses, protocols, ports and ICMP types; a selection is only compared
as a whole. Must not know the order of rules.

A family of addresses is a range of integers; what a protocol carries besides is a range of 65,536: its
destination ports, or ICMP type and code as one number of 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from model.addresses import Prefix
from model.labels import covers, overlap, satisfiable
from model.policy import PORTS, WITH_PORTS, Block, Peer, Protocol, Selection, Service
from pipelines.policy.entries import Entry

Span = tuple[int, int]
"""First and last, both included."""
FAMILIES: Final = (4, 6)
OTHERS: Final = -1
"""Stands for all protocols that nobody names."""
_ALL: Final = (PORTS[0], PORTS[-1])
_WIDTH: Final = {4: 32, 6: 128}


@dataclass(frozen=True, slots=True)
class Piece:
    """Peers at addresses of one family: of that selection only, if there is one."""

    family: int
    span: Span
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """What an entry matches, made ready for many questions. `carried`: by family, then by protocol. `hulls`:
    by family, from the lowest address of its blocks to the highest."""

    everyone: bool
    blocks: tuple[tuple[int, Span, tuple[Span, ...]], ...]
    """(family, what the prefix spans, what its exceptions do)"""
    selections: tuple[Selection, ...]
    pieces: tuple[Piece, ...]
    carried: dict[int, dict[int, list[Span]]]
    hulls: dict[int, Span]


class Selections:
    """Which selection covers which, worked out once for two that are written alike, however many rules name
    them."""

    def __init__(self) -> None:
        self._same: dict[Selection, Selection] = {}
        self._covers: dict[tuple[int, int], bool] = {}

    def one(self, selection: Selection) -> Selection:
        """The object that stands for all that are equal to it."""
        return self._same.setdefault(selection, selection)

    def cover(self, wide: Selection, narrow: Selection) -> bool:
        """Of objects that `one` gave."""
        key = (id(wide), id(narrow))
        if key not in self._covers:
            self._covers[key] = selection_covers(wide, narrow)
        return self._covers[key]


def reach(entry: Entry, named: Sequence[int], selections: Selections) -> Reach:
    """`named`: the protocols that anybody names."""
    peers = tuple(selections.one(peer) if isinstance(peer, Selection) else peer for peer in entry.peers)
    return Reach(
        not entry.peers,
        tuple(
            (peer.prefix.version, span(peer.prefix), tuple(map(span, peer.excepted)))
            for peer in peers
            if isinstance(peer, Block)
        ),
        tuple(peer for peer in peers if isinstance(peer, Selection)),
        tuple(pieces(peers)),
        {family: carried(entry.services, family, named) for family in FAMILIES},
        _hulls(peer for peer in peers if isinstance(peer, Block)),
    )


def whole(family: int) -> Span:
    return 0, (1 << _WIDTH[family]) - 1


def span(prefix: Prefix) -> Span:
    return int(prefix.network_address), int(prefix.broadcast_address)


def pieces(peers: Sequence[Peer]) -> Iterator[Piece]:
    """All that some peers could be; nothing of what cannot exist."""
    if not peers:
        yield from (Piece(family, whole(family)) for family in FAMILIES)
    for peer in peers:
        if isinstance(peer, Block):
            family = peer.prefix.version
            yield from (Piece(family, one) for one in _spans(peer))
        elif possible(peer):
            yield from (Piece(family, whole(family), peer) for family in FAMILIES)


def possible(selection: Selection) -> bool:
    """Whether any port could be taken."""
    parts = (selection.ports, selection.networks, selection.tenants)
    return all(part is None or satisfiable(part) for part in parts)


def atoms(piece: Piece, others: Iterable[Reach]) -> Iterator[Piece]:
    """The piece, cut wherever a block of these begins or ends: each part is inside or outside of each."""
    first, last = piece.span
    cuts = {first, last + 1}
    for other in others:
        for family, taken, holes in other.blocks:
            if family == piece.family:
                for low, high in (taken, *holes):
                    cuts.update(cut for cut in (low, high + 1) if first < cut <= last)
    ordered = sorted(cuts)
    for low, beyond in pairwise(ordered):
        yield Piece(piece.family, (low, beyond - 1), piece.selection)


def holds(other: Reach, atom: Piece, selections: Selections) -> bool:
    """Whether all of an atom is among its peers."""
    if other.everyone:
        return True
    for family, taken, holes in other.blocks:
        inside = family == atom.family and _inside(atom.span, taken)
        if inside and not any(_touch(atom.span, hole) for hole in holes):
            return True
    chosen = atom.selection
    return chosen is not None and any(selections.cover(wide, chosen) for wide in other.selections)


def may_take(other: Reach, one: Reach) -> bool:
    """Whether its peers could hold any of the pieces; False only where they cannot."""
    if other.everyone or (other.selections and one.selections):
        return True
    # Where somebody is selected, or everybody meant, a piece is the whole of a family.
    everywhere = one.everyone or bool(one.selections)
    return any(
        everywhere or (family in one.hulls and _touch(one.hulls[family], hull))
        for family, hull in other.hulls.items()
    )


def serve_together(one: Reach, other: Reach) -> bool:
    """Whether some service is of both."""
    for family, mine in one.carried.items():
        others = other.carried[family]
        for protocol, spans in mine.items():
            if any(_touch(a, b) for b in others.get(protocol, ()) for a in spans):
                return True
    return False


def carried(services: Sequence[Service], family: int, named: Iterable[int]) -> dict[int, list[Span]]:
    """What services take of each protocol, those that are `named` and all others."""
    if not services:
        return {protocol: [_ALL] for protocol in (*named, OTHERS) if _of_family(protocol, family)}
    found: dict[int, list[Span]] = {}
    for service in services:
        if _of_family(service.protocol, family):
            found.setdefault(service.protocol, []).extend(_carried(service))
    return found


def within(asked: Sequence[Span], given: Sequence[Span]) -> bool:
    """Whether spans that are asked for lie in the others together."""
    ordered = sorted(given)
    return all(_within(one, ordered) for one in asked)


def selection_covers(wide: Selection, narrow: Selection) -> bool:
    """Whether, for the same subject, one takes all that the other could take."""
    if not covers(wide.ports, narrow.ports) or not covers(wide.networks, narrow.networks):
        return False
    if wide.tenants is None:
        return narrow.tenants is None
    return not wide.tenants.requirements or (
        narrow.tenants is not None and covers(wide.tenants, narrow.tenants)
    )


def may_meet(one: Entry, two: Entry) -> bool:
    """Whether some connection could match both; False only where none can."""
    if one.direction is not two.direction or not _subjects_meet(one, two):
        return False
    named = {service.protocol for service in (*one.services, *two.services)}
    for mine in pieces(one.peers):
        for other in pieces(two.peers):
            if _pieces_meet(mine, other) and _services_meet(one, two, mine.family, named):
                return True
    return False


def _hulls(blocks: Iterable[Block]) -> dict[int, Span]:
    found: dict[int, Span] = {}
    for block in blocks:
        low, high = span(block.prefix)
        known = found.get(block.prefix.version, (low, high))
        found[block.prefix.version] = min(known[0], low), max(known[1], high)
    return found


def _spans(block: Block) -> Iterator[Span]:
    """The block without what is excepted."""
    low, last = span(block.prefix)
    for first, end in sorted(map(span, block.excepted)):
        if low < first:
            yield low, first - 1
        low = max(low, end + 1)
    if low <= last:
        yield low, last


def _of_family(protocol: int, family: int) -> bool:
    return protocol != {4: Protocol.ICMPV6, 6: Protocol.ICMP}[family]


def _carried(service: Service) -> Iterator[Span]:
    if service.protocol in WITH_PORTS and service.ports is not None:
        if service.ports.first <= service.ports.last:
            yield service.ports.first, service.ports.last
    elif service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kinds = range(256) if service.kind is None else (service.kind,)
        if service.kind is None and service.code is None:
            yield _ALL
        elif service.code is None:
            yield from ((kind << 8, kind << 8 | 0xFF) for kind in kinds)
        else:
            yield from ((kind << 8 | service.code,) * 2 for kind in kinds)
    else:
        yield _ALL


def _within(one: Span, ordered: Sequence[Span]) -> bool:
    low, last = one
    for first, end in ordered:
        if first > low:
            return False
        if end >= low:
            low = end + 1
        if low > last:
            return True
    return False


def _inside(narrow: Span, wide: Span) -> bool:
    return wide[0] <= narrow[0] and narrow[1] <= wide[1]


def _touch(one: Span, two: Span) -> bool:
    return one[0] <= two[1] and two[0] <= one[1]


def _subjects_meet(one: Entry, two: Entry) -> bool:
    mine, other = one.subject, two.subject
    if one.place.tenant and two.place.tenant and one.place.tenant != two.place.tenant:
        return False
    return overlap(mine.ports, other.ports) and overlap(mine.networks, other.networks)


def _pieces_meet(one: Piece, two: Piece) -> bool:
    if one.family != two.family or not _touch(one.span, two.span):
        return False
    if one.selection is None or two.selection is None:
        return True
    mine, other = one.selection, two.selection
    return overlap(mine.ports, other.ports) and overlap(mine.networks, other.networks)


def _services_meet(one: Entry, two: Entry, family: int, named: Iterable[int]) -> bool:
    mine, other = (carried(entry.services, family, named) for entry in (one, two))
    return any(
        _touch(a, b)
        for protocol in mine.keys() & other.keys()
        for a in mine[protocol]
        for b in other[protocol]
    )

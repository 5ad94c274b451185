"""Reaching: what a table knows of Ethernet segments: over which VTEPs, and which MACs wait for one.

Place: between `bgp.segments`, which knows single claims, and the choice (`bgp.choice`, `bgp.moves`). Reads a
Table or one that is open. Must not change either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bgp.guard import Claim, MacClaim
from bgp.segments import Reach, Reaching, SegmentClaim, allowed, gather, paths
from bgp.table import HELD, NO_KEYS, Entity, Ref, Table, entity
from bgp.trail import MacEntity
from bgp.work import Work
from model.ids import Mac, NetworkKey
from model.route import Rejected
from model.segments import segment_text

WAITING = "segment-waiting"


def reaching(state: Table | Work) -> Reaching:
    """Answers for the length of one look: what it was asked once it knows."""
    known: dict[tuple[bytes, NetworkKey], Reach] = {}

    def reach(segment: bytes, network: NetworkKey, mac: Mac) -> Reach:
        found = known.get((segment, network))
        if found is None:
            claims = (claim for _, claim in _claims(state, ("segment", segment)))
            found = gather((one for one in claims if isinstance(one, SegmentClaim)), network)
            known[segment, network] = found
        return replace(found, aliases=found.aliases & allowed(state.snapshot, state.lookup, network, mac))

    return reach


def members(state: Table | Work, segment: bytes) -> Iterator[MacEntity]:
    """The MACs that somebody says are behind a segment; some more than once."""
    for key in state.tokens.get(("segment", segment), NO_KEYS):
        for _, claim in _standing(state, key):
            if isinstance(claim, MacClaim) and claim.segment == segment:
                yield ("mac", claim.network, claim.mac)


def waiting(table: Table) -> tuple[Rejected, ...]:
    """RT-2 that the guard lets through and that no RT-1 per segment makes usable (RFC 7432 section 9.2.2), by
    route key and peer."""
    reach, found = reaching(table), dict[Ref, Rejected]()
    for segment in table.lookup.segments:
        for spot in set(members(table, segment)):
            claims = [
                (ref, claim)
                for ref, claim in _claims(table, spot)
                if isinstance(claim, MacClaim) and claim.segment == segment
            ]
            said_by = frozenset(claim.vtep for _, claim in claims)
            if paths(reach(segment, *spot[1:]), said_by):
                continue
            found.update((ref, _why(table, ref, segment)) for ref, _ in claims if ref[1] != HELD)
    return tuple(found[ref] for ref in sorted(found))


def _why(table: Table, ref: Ref, segment: bytes) -> Rejected:
    route = table.live[ref].route
    hop = route.attributes.next_hop
    text = (
        f"{hop} announces it behind segment {segment_text(segment)}, of which neither that VTEP nor an alias"
        " of it has an Ethernet A-D route per segment (RFC 7432 section 9.2.2); it is used once one has"
    )
    return Rejected(route, ref[1], text, WAITING)


def _claims(state: Table | Work, spot: Entity) -> Iterator[tuple[Ref, Claim]]:
    """What is claimed about it, live or held."""
    for key in state.entities.get(spot, NO_KEYS):
        yield from ((ref, claim) for ref, claim in _standing(state, key) if entity(claim) == spot)


def _standing(state: Table | Work, key: bytes) -> Iterator[tuple[Ref, Claim]]:
    held = state.held.get(key)
    if held is not None:
        yield (key, HELD), held.claim
    for peer in state.peers_of.get(key, ()):
        yield (key, peer), state.live[key, peer].claim

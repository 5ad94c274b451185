"""A Table being changed: its maps opened for writing, its indexes kept, the outcome drawn at the end.

Place: inside `bgp.learn` only, for the length of one event. Must not leave it: what leaves is a new Table. It
holds mechanism (what is filed where), no policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from immutables import Map, MapMutation

from bgp.codec import communities
from bgp.guard import Claim
from bgp.lookup import Lookup
from bgp.rights import PrefixClaim
from bgp.table import (
    HELD,
    NO_REFS,
    Entity,
    Held,
    Limits,
    Live,
    PeerState,
    Ref,
    Table,
    Token,
    entity,
)
from model.ids import TenantKey, Vni
from model.route import (
    MacRoute,
    MulticastRoute,
    PrefixRoute,
    Rejected,
    Route,
)
from model.snapshot import Snapshot

K = TypeVar("K")


@dataclass(slots=True)
class Work:
    """The open table. `touched`: entities whose choice is made again at the end."""

    table: Table
    snapshot: Snapshot
    lookup: Lookup
    limits: Limits
    live: MapMutation[Ref, Live]
    held: MapMutation[bytes, Held]
    refused: MapMutation[Ref, Rejected]
    peers_of: MapMutation[bytes, frozenset[str]]
    tokens: MapMutation[Token, Map[Ref, None]]
    entities: MapMutation[Entity, Map[Ref, None]]
    peers: MapMutation[str, PeerState]
    counts: MapMutation[str, int]
    counters: MapMutation[str, int]
    sizes: MapMutation[TenantKey, int]
    forgotten: bool
    touched: set[Entity]
    full: set[TenantKey]
    """VRFs that had no room left at some moment."""

    def put_live(self, ref: Ref, route: Route, claim: Claim) -> None:
        """File a route that a peer stands by, in place of an older one."""
        if ref in self.live:
            self.drop_live(ref)
        self.live[ref] = Live(route, claim)
        self.peers_of[ref[0]] = self.peers_of.get(ref[0], frozenset()) | {ref[1]}
        self._file(ref, route, claim)
        self._step(ref[1], 1)

    def drop_live(self, ref: Ref) -> Live:
        """Take a live route out; it must be there."""
        gone = self.live.pop(ref)
        left = self.peers_of[ref[0]] - {ref[1]}
        if left:
            self.peers_of[ref[0]] = left
        else:
            self.peers_of.pop(ref[0])
        self._unfile(ref, gone.route, gone.claim)
        self._step(ref[1], -1)
        return gone

    def hold(self, key: bytes, held: Held) -> None:
        """File a route that nobody stands by, in place of an older one."""
        self.drop_held(key)
        self.held[key] = held
        self._file((key, HELD), held.route, held.claim)

    def drop_held(self, key: bytes) -> None:
        """Take a held route out, if there is one."""
        gone = self.held.pop(key, None)
        if gone is not None:
            self._unfile((key, HELD), gone.route, gone.claim)

    def put_refused(self, ref: Ref, refusal: Rejected) -> None:
        """Keep a refused route for later, if there is room."""
        if len(self.refused) >= self.limits.refused:
            self.forgotten = True
            self.count("refused-forgotten", 1)
            return
        self.refused[ref] = refusal
        for token in _tokens(refusal.route):
            _add(self.tokens, token, ref)
        self._step(ref[1], 1)

    def drop_refused(self, ref: Ref) -> None:
        """Forget a refused route, if there is one."""
        gone = self.refused.pop(ref, None)
        if gone is not None:
            for token in _tokens(gone.route):
                _take(self.tokens, token, ref)
            self._step(ref[1], -1)

    def count(self, name: str, step: int) -> None:
        """Count an event."""
        if step:
            self.counters[name] = self.counters.get(name, 0) + step

    def _file(self, ref: Ref, route: Route, claim: Claim) -> None:
        for token in _tokens(route):
            _add(self.tokens, token, ref)
        self._resize(claim, 1)
        _add(self.entities, entity(claim), ref)
        self.touched.add(entity(claim))

    def _unfile(self, ref: Ref, route: Route, claim: Claim) -> None:
        for token in _tokens(route):
            _take(self.tokens, token, ref)
        _take(self.entities, entity(claim), ref)
        self._resize(claim, -1)
        self.touched.add(entity(claim))

    def has_room(self, claim: Claim) -> bool:
        """Whether a VRF may have one more prefix, if this is one."""
        if not isinstance(claim, PrefixClaim) or entity(claim) in self.entities:
            return True
        return self.has_room_in(claim.vrf)

    def has_room_in(self, vrf: TenantKey) -> bool:
        """Whether a VRF may have one more prefix."""
        return self.sizes.get(vrf, 0) < self.limits.prefixes_per_vrf

    def _resize(self, claim: Claim, step: int) -> None:
        """Called while nobody else speaks about what the claim is about."""
        if not isinstance(claim, PrefixClaim) or entity(claim) in self.entities:
            return
        size = self.sizes.get(claim.vrf, 0)
        if size >= self.limits.prefixes_per_vrf:
            self.full.add(claim.vrf)
        if size + step:
            self.sizes[claim.vrf] = size + step
        else:
            self.sizes.pop(claim.vrf)

    def _step(self, peer: str, step: int) -> None:
        self.counts[peer] = self.counts.get(peer, 0) + step


def open_table(table: Table) -> Work:
    """Start to change a table."""
    return Work(
        table=table,
        snapshot=table.snapshot,
        lookup=table.lookup,
        limits=table.limits,
        live=table.live.mutate(),
        held=table.held.mutate(),
        refused=table.refused.mutate(),
        peers_of=table.peers_of.mutate(),
        tokens=table.tokens.mutate(),
        entities=table.entities.mutate(),
        peers=table.peers.mutate(),
        counts=table.counts.mutate(),
        counters=table.counters.mutate(),
        sizes=table.sizes.mutate(),
        forgotten=table.forgotten,
        touched=set(),
        full=set(),
    )


def _tokens(route: Route) -> tuple[Token, ...]:
    """What the verdict on a route depends on (see `bgp.concern`)."""
    vnis = {communities.target_vni(target) for target in route.attributes.route_targets}
    found: list[Token] = [("hop", route.attributes.next_hop)]
    body = route.nlri
    if isinstance(body, PrefixRoute):
        named = sorted(vni for vni in {*vnis, body.vni} if vni is not None)
        return (*found, ("prefix", body.prefix), *(("vrf", vni) for vni in named))
    if isinstance(body, MacRoute):
        vnis |= {body.vni, body.vni2}
        found.append(("mac", body.mac))
    elif isinstance(body, MulticastRoute):
        vnis.add(route.attributes.pmsi_vni)
    known: list[Vni] = sorted(vni for vni in vnis if vni is not None)
    found.extend(("vni", vni) for vni in known)
    if isinstance(body, MulticastRoute):
        found.extend(("flood", vni) for vni in known)
    return tuple(found)


def _add(sets: MapMutation[K, Map[Ref, None]], key: K, ref: Ref) -> None:
    sets[key] = sets.get(key, NO_REFS).set(ref, None)


def _take(sets: MapMutation[K, Map[Ref, None]], key: K, ref: Ref) -> None:
    left = sets[key].delete(ref)
    if left:
        sets[key] = left
    else:
        sets.pop(key)

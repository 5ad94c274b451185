"""A Table being changed: its maps opened for writing, its indexes kept, the outcome drawn at the end.

Place: inside `bgp.learn` only, for the length of one event. Must not leave it: what leaves is a new Table. It
holds mechanism (what is filed where), no policy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from immutables import Map, MapMutation

from bgp.codec import communities
from bgp.guard import Claim, MacClaim
from bgp.lookup import Lookup
from bgp.rights import PrefixClaim
from bgp.table import (
    HELD,
    NO_REFS,
    Entity,
    FloodEntity,
    Held,
    Limits,
    Live,
    MacEntity,
    Outcome,
    PeerState,
    PrefixEntity,
    Ref,
    Table,
    Token,
    address_order,
    entity,
    prefix_order,
    select,
    select_hops,
)
from model.ids import TenantKey, Vni
from model.route import (
    FloodVtep,
    MacRoute,
    MulticastRoute,
    PrefixRoute,
    Rejected,
    RemoteMac,
    RemotePrefix,
    Route,
)
from model.snapshot import FloodKey, PrefixKey, RemoteKey, Snapshot

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


def finish(work: Work) -> tuple[Table, Outcome]:
    """The new table, and what became of the entities that were touched."""
    remotes, floods, outcome = _choose(work)
    prefixes, put, drop = _choose_prefixes(work)
    table = replace(
        work.table,
        live=work.live.finish(),
        held=work.held.finish(),
        refused=work.refused.finish(),
        peers_of=work.peers_of.finish(),
        tokens=work.tokens.finish(),
        entities=work.entities.finish(),
        peers=work.peers.finish(),
        counts=work.counts.finish(),
        counters=work.counters.finish(),
        sizes=work.sizes.finish(),
        forgotten=work.forgotten or any(work.has_room_in(vrf) for vrf in work.full),
        remotes=remotes,
        floods=floods,
        prefixes=prefixes,
    )
    return table, replace(outcome, put_prefixes=put, drop_prefixes=drop)


def _choose(work: Work) -> tuple[Map[RemoteKey, RemoteMac], Map[FloodKey, FloodVtep], Outcome]:
    """Choose again for what was touched; tell what differs from before."""
    remotes, floods = work.table.remotes.mutate(), work.table.floods.mutate()
    put: list[RemoteMac] = []
    drop: list[RemoteKey] = []
    flood_put: list[FloodVtep] = []
    flood_drop: list[FloodKey] = []
    for spot in sorted(one for one in work.touched if one[0] == "mac"):
        chosen, key = _best(work, spot), (spot[1], spot[2])
        if chosen is not None and remotes.get(key) != chosen:
            remotes[key] = chosen
            put.append(chosen)
        elif chosen is None and remotes.pop(key, None) is not None:
            drop.append(key)
    for place in sorted((one for one in work.touched if one[0] == "flood"), key=_flood_order):
        site = (place[1], place[2])
        if place in work.entities and site not in floods:
            floods[site] = FloodVtep(*site)
            flood_put.append(floods[site])
        elif place not in work.entities and floods.pop(site, None) is not None:
            flood_drop.append(site)
    outcome = Outcome(tuple(put), tuple(drop), tuple(flood_put), tuple(flood_drop))
    return remotes.finish(), floods.finish(), outcome


def _choose_prefixes(
    work: Work,
) -> tuple[Map[PrefixKey, RemotePrefix], tuple[RemotePrefix, ...], tuple[PrefixKey, ...]]:
    """The same for prefixes: (all, what came or changed, what went)."""
    prefixes = work.table.prefixes.mutate()
    put: list[RemotePrefix] = []
    drop: list[PrefixKey] = []
    spots = (one for one in work.touched if one[0] == "prefix")
    for spot in sorted(spots, key=lambda one: (one[1], prefix_order(one[2]))):
        chosen, key = _best_hops(work, spot), (spot[1], spot[2])
        if chosen is not None and prefixes.get(key) != chosen:
            prefixes[key] = chosen
            put.append(chosen)
        elif chosen is None and prefixes.pop(key, None) is not None:
            drop.append(key)
    return prefixes.finish(), tuple(put), tuple(drop)


def _best_hops(work: Work, spot: PrefixEntity) -> RemotePrefix | None:
    live: list[PrefixClaim] = []
    held: list[PrefixClaim] = []
    for key, peer in work.entities.get(spot, NO_REFS):
        claim = work.held[key].claim if peer == HELD else work.live[key, peer].claim
        if isinstance(claim, PrefixClaim):
            timed = peer == HELD and work.held[key].until is not None
            (held if timed else live).append(claim)
    return select_hops(tuple(live), tuple(held), work.snapshot.down)


def _best(work: Work, spot: MacEntity) -> RemoteMac | None:
    live: list[MacClaim] = []
    held: list[MacClaim] = []
    for key, peer in work.entities.get(spot, NO_REFS):
        claim = work.held[key].claim if peer == HELD else work.live[key, peer].claim
        if isinstance(claim, MacClaim):
            (held if peer == HELD else live).append(claim)
    return select(tuple(live), tuple(held))


def _flood_order(spot: FloodEntity) -> tuple[int, tuple[int, int]]:
    return (spot[1], address_order(spot[2]))


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

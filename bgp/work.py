"""A Table being changed: its maps opened for writing, its indexes kept, the outcome drawn at the end.

Place: inside `bgp.learn` only, for the length of one event. Must not leave it: what leaves is a new Table. It
holds mechanism (what is filed where), no policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Final, TypeVar

from immutables import Map, MapMutation

from bgp.codec import communities
from bgp.guard import Claim
from bgp.lookup import Lookup
from bgp.rights import PrefixClaim
from bgp.segments import SegmentClaim
from bgp.table import (
    NO_KEYS,
    NO_REFS,
    Entity,
    Held,
    Keys,
    Limits,
    Live,
    PeerState,
    Ref,
    Table,
    Token,
    entity,
    limits_of,
)
from bgp.trail import Damped, Spot, Trail
from model.ids import NetworkKey, PortKey, TenantKey, Vni
from model.route import (
    Attributes,
    DiscoveryRoute,
    MacRoute,
    MulticastRoute,
    PrefixRoute,
    Rejected,
    Route,
)
from model.segments import NO_SEGMENT
from model.snapshot import Snapshot

K = TypeVar("K")
_NOBODY: Final = TenantKey(0)


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
    tokens: MapMutation[Token, Keys]
    doubts: MapMutation[Token, Map[Ref, None]]
    entities: MapMutation[Entity, Keys]
    peers: MapMutation[str, PeerState]
    counts: MapMutation[str, int]
    counters: MapMutation[str, int]
    sizes: MapMutation[TenantKey, int]
    volumes: MapMutation[TenantKey, int]
    homes: MapMutation[NetworkKey, TenantKey]
    tolerated: MapMutation[Ref, Rejected]
    forgotten: bool
    damped: MapMutation[Spot, Damped]
    trails: MapMutation[Spot, Trail]
    contests: MapMutation[PortKey, tuple[float, ...]]
    touched: set[Entity]
    full: set[TenantKey]
    """VRFs that had no room left at some moment."""
    roomy: bool
    now: float
    counts_moves: bool
    """Whether what moves now moves because peers said so."""
    contested: dict[PortKey, int]

    def put_live(self, ref: Ref, route: Route, claim: Claim, doubt: Rejected | None = None) -> None:
        """File a route that a peer stands by, in place of an older one; `doubt`: why it would be refused."""
        if ref in self.live:
            self.drop_live(ref)
        self._stand(ref, route, claim)
        self._file(ref[0], route, claim)
        if doubt is not None and len(self.tolerated) < self.limits.refused:
            self.tolerated[ref] = doubt
        self.count("tolerated", doubt is not None)

    def renew(self, ref: Ref, route: Route) -> bool:
        """Put a route live that is held as a peer says it now, but for the way that it came; whether it was.

        What is held is judged again with every change that concerns it: the verdict stands. A replay after a
        restart is thousands of these.
        """
        held = self.held.get(ref[0])
        if held is None or not _alike(held.route, route) or getattr(held.claim, "doubted", False):
            return False
        del self.held[ref[0]]
        self._stand(ref, route, held.claim)
        self.touched.add(entity(held.claim))
        return True

    def _stand(self, ref: Ref, route: Route, claim: Claim) -> None:
        self.live[ref] = Live(route, claim)
        others = self.peers_of.get(ref[0])
        self.peers_of[ref[0]] = _alone(ref[1]) if others is None else others | {ref[1]}
        self._step(ref[1], 1)

    def claims(self, spot: Entity) -> Iterator[tuple[Claim, Held | None]]:
        """What is claimed about it, with how it is held; None for what a peer stands by."""
        for key in self.entities.get(spot, NO_KEYS):
            held = self.held.get(key)
            if held is not None and entity(held.claim) == spot:
                yield held.claim, held
            for peer in self.peers_of.get(key, ()):
                claim = self.live[key, peer].claim
                if entity(claim) == spot:
                    yield claim, None

    def drop_live(self, ref: Ref) -> Live:
        """Take a live route out; it must be there."""
        gone = self.live.pop(ref)
        self.tolerated.pop(ref, None)
        left = self.peers_of[ref[0]] - {ref[1]}
        if left:
            self.peers_of[ref[0]] = left
        else:
            self.peers_of.pop(ref[0])
        self._unfile(ref[0], gone.route, gone.claim)
        self._step(ref[1], -1)
        return gone

    def hold(self, key: bytes, held: Held) -> None:
        """File a route that nobody stands by, in place of an older one."""
        self.drop_held(key)
        self.held[key] = held
        self._file(key, held.route, held.claim)

    def drop_held(self, key: bytes) -> None:
        """Take a held route out, if there is one."""
        gone = self.held.pop(key, None)
        if gone is not None:
            self._unfile(key, gone.route, gone.claim)

    def put_refused(self, ref: Ref, refusal: Rejected) -> None:
        """Keep a refused route for later, if there is room."""
        if len(self.refused) >= self.limits.refused:
            self.forgotten = True
            self.count("refused-forgotten", 1)
            return
        self.refused[ref] = refusal
        for token in _tokens(refusal.route):
            self.doubts[token] = self.doubts.get(token, NO_REFS).set(ref, None)

    def drop_refused(self, ref: Ref) -> None:
        """Forget a refused route, if there is one."""
        gone = self.refused.pop(ref, None)
        if gone is not None:
            for token in _tokens(gone.route):
                left = self.doubts[token].delete(ref)
                if left:
                    self.doubts[token] = left
                else:
                    self.doubts.pop(token)

    def count(self, name: str, step: int) -> None:
        """Count an event."""
        if step:
            self.counters[name] = self.counters.get(name, 0) + step

    def _file(self, key: bytes, route: Route, claim: Claim) -> None:
        for token in _tokens(route):
            _add(self.tokens, token, key)
        self._resize(claim, 1)
        _add(self.entities, entity(claim), key)
        self.touched.add(entity(claim))

    def _unfile(self, key: bytes, route: Route, claim: Claim) -> None:
        for token in _tokens(route):
            _take(self.tokens, token, key)
        _take(self.entities, entity(claim), key)
        self._resize(claim, -1)
        self.touched.add(entity(claim))

    def has_room(self, claim: Claim) -> bool:
        """Whether what the claim speaks about is known already, or its VRF may have one thing more."""
        if entity(claim) in self.entities:
            return True
        if isinstance(claim, PrefixClaim) and not self.has_prefix_room(claim.vrf):
            return False
        return self.volumes.get(self.owner(claim), 0) < self.limits.routes_per_tenant

    def has_prefix_room(self, vrf: TenantKey) -> bool:
        """Whether a VRF may have one more prefix."""
        return self.sizes.get(vrf, 0) < self.limits.prefixes_per_vrf

    def has_room_in(self, vrf: TenantKey) -> bool:
        """Whether a VRF may have one more prefix and one more thing at all."""
        return self.has_prefix_room(vrf) and self.volumes.get(vrf, 0) < self.limits.routes_per_tenant

    def owner(self, claim: Claim) -> TenantKey:
        """The VRF that a claim counts to: that of its network as it was when the first one came. Segments are
        nobody's."""
        if isinstance(claim, SegmentClaim):
            return _NOBODY
        if isinstance(claim, PrefixClaim):
            return claim.vrf
        known = self.homes.get(claim.network)
        if known is None:
            network = self.snapshot.networks.get(claim.network)
            known = self.homes[claim.network] = _NOBODY if network is None else network.tenant
        return known

    def _resize(self, claim: Claim, step: int) -> None:
        """Called while nobody else speaks about what the claim is about."""
        if entity(claim) in self.entities:
            return
        owner = self.owner(claim)
        self._enlarge(self.volumes, owner, self.limits.routes_per_tenant, step)
        if isinstance(claim, PrefixClaim):
            self._enlarge(self.sizes, owner, self.limits.prefixes_per_vrf, step)

    def _enlarge(self, sizes: MapMutation[TenantKey, int], vrf: TenantKey, most: int, step: int) -> None:
        size = sizes.get(vrf, 0)
        if size >= most:
            self.full.add(vrf)
        if size + step:
            sizes[vrf] = size + step
        else:
            sizes.pop(vrf)

    def _step(self, peer: str, step: int) -> None:
        count = self.counts.get(peer, 0)
        self.roomy = self.roomy or (step < 0 and count >= self.limits.routes_per_peer)
        self.counts[peer] = count + step


def open_table(table: Table, now: float | None = None) -> Work:
    """Start to change a table. `now`: when peers said something; None: something else happened."""
    return Work(
        table=table,
        snapshot=table.snapshot,
        lookup=table.lookup,
        limits=limits_of(table),
        live=table.live.mutate(),
        held=table.held.mutate(),
        refused=table.refused.mutate(),
        peers_of=table.peers_of.mutate(),
        tokens=table.tokens.mutate(),
        doubts=table.doubts.mutate(),
        entities=table.entities.mutate(),
        peers=table.peers.mutate(),
        counts=table.counts.mutate(),
        counters=table.counters.mutate(),
        sizes=table.sizes.mutate(),
        volumes=table.volumes.mutate(),
        homes=table.homes.mutate(),
        tolerated=table.tolerated.mutate(),
        forgotten=table.forgotten,
        damped=table.damped.mutate(),
        trails=table.trails.mutate(),
        contests=table.contests.mutate(),
        touched=set(),
        full=set(),
        roomy=table.roomy,
        now=table.clock if now is None else now,
        counts_moves=now is not None,
        contested={},
    )


def _tokens(route: Route) -> tuple[Token, ...]:
    """What the verdict on a route depends on (see `bgp.concern`)."""
    found: list[Token] = [("hop", route.attributes.next_hop)]
    vnis: set[Vni | None] = set()
    for target in route.attributes.route_targets:
        vni = communities.target_vni(target)
        vnis.add(vni)
        if vni is None:
            found.append(("target", target))
    body = route.nlri
    if isinstance(body, PrefixRoute):
        named = sorted(vni for vni in {*vnis, body.vni} if vni is not None)
        return (*found, ("prefix", body.prefix), *(("vrf", vni) for vni in named))
    if isinstance(body, MacRoute):
        vnis |= {body.vni, body.vni2}
        found.append(("mac", body.mac))
        if body.esi != NO_SEGMENT:
            found.append(("segment", body.esi))
    elif isinstance(body, DiscoveryRoute):
        found.extend(("vrf", vni) for vni in sorted(vni for vni in vnis if vni is not None))
        vnis.add(Vni(body.vni))
    elif isinstance(body, MulticastRoute):
        vnis.add(route.attributes.pmsi_vni)
    known: list[Vni] = sorted(vni for vni in vnis if vni is not None)
    found.extend(("vni", vni) for vni in known)
    if isinstance(body, MulticastRoute):
        found.extend(("flood", vni) for vni in known)
    return tuple(found)


def _add(index: MapMutation[K, Keys], place: K, key: bytes) -> None:
    keys = index.get(place, NO_KEYS)
    index[place] = keys.set(key, keys.get(key, 0) + 1)


def _take(index: MapMutation[K, Keys], place: K, key: bytes) -> None:
    keys = index[place]
    count = keys[key] - 1
    left = keys.set(key, count) if count else keys.delete(key)
    if left:
        index[place] = left
    else:
        index.pop(place)


_OF_THE_WAY: Final = frozenset({"origin", "as_path", "med", "originator", "clusters"})
"""What reflectors and the way here add (RFC 4271, RFC 4456 section 8; FRR a MED of 0): no verdict reads it,
and what was learned is saved without it."""
_OF_ITS_SPEAKER: Final = attrgetter(*(f.name for f in fields(Attributes) if f.name not in _OF_THE_WAY))


def _alike(one: Route, other: Route) -> bool:
    """Whether their speaker said the same."""
    return one.nlri == other.nlri and _OF_ITS_SPEAKER(one.attributes) == _OF_ITS_SPEAKER(other.attributes)


@lru_cache(maxsize=64)
def _alone(peer: str) -> frozenset[str]:
    """A memo: almost every route has one peer, and a set for each would be a fifth of the table."""
    return frozenset((peer,))

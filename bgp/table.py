"""What was learned: the values that `bgp.learn` turns into each other, and the choice among routes.

Place: pure; one Table lives in the agent's loop. Must not judge (guard) or parse (codec).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar

from immutables import Map

from bgp.guard import Claim, FloodClaim, MacClaim
from bgp.interest import Interest
from bgp.lookup import Lookup
from bgp.rights import PrefixClaim
from bgp.segments import Reach, Reaching, SegmentClaim, one_of, paths
from bgp.spoken import AddressClaim
from bgp.story import Stories
from bgp.trail import AddressEntity, Damped, MacEntity, Spot, Trail
from model.addresses import Address, Prefix
from model.change import Change, Part
from model.ids import Mac, NetworkKey, PortKey, TenantKey
from model.intent import Policy
from model.route import FloodVtep, NextHop, Rejected, RemoteAddress, RemoteMac, RemotePrefix, Route
from model.snapshot import FloodKey, PrefixKey, RemoteKey, SightingKey, Snapshot

K = TypeVar("K")
V = TypeVar("V")
N = TypeVar("N", int, float)
_USUAL: Final = Policy()

Ref = tuple[bytes, str]
"""(route key, peer); the peer of a held route is `HELD`."""
FloodEntity = tuple[Literal["flood"], NetworkKey, Address]
PrefixEntity = tuple[Literal["prefix"], TenantKey, Prefix]
SegmentEntity = tuple[Literal["segment"], bytes]
Entity = MacEntity | FloodEntity | PrefixEntity | AddressEntity | SegmentEntity
Token = tuple[
    Literal["mac", "vni", "flood", "hop", "vrf", "prefix", "target", "segment"],
    Mac | int | Address | Prefix | bytes,
]
"""What a verdict depends on: a MAC, a VNI, a VNI as a place for replicated frames, a next hop; of an RT-5 the
L3VNI and the prefix. Of an RT-2 the segment: no verdict depends on it, but whether it is used does."""

HELD: Final = ""
NO_REFS: Final[Map[Ref, None]] = Map()
Keys = Map[bytes, int]
"""Route keys, and how many routes (of several peers, or held) stand behind each: one that is held and then
said again changes nothing here."""
NO_KEYS: Final[Keys] = Map()


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. `peer_hold` None: routes of a lost peer stay as long as store and VTEP stand for them
    (the data plane outlives the reflectors); a number bounds that too.

    `end_of_rib_wait`: a peer that came up and never says End-of-RIB counts as having said it after this time.
    `moves` within `window`: a MAC that moves so often is damped (RFC 7432 section 15.1); 0 = none is.
    """

    hold: float = 180.0
    peer_hold: float | None = None
    end_of_rib_wait: float = 60.0
    routes_per_peer: int = 200_000
    refused: int = 10_000
    prefixes_per_vrf: int = 10_000
    routes_per_tenant: int = 50_000
    moves: int = 5
    window: float = 180.0


@dataclass(frozen=True, slots=True)
class Live:
    """A route that a peer stands by, and what the guard made of it."""

    route: Route
    claim: Claim


@dataclass(frozen=True, slots=True)
class Held:
    """A route that no peer stands by, still used. `until` None: until its peer has replayed, or for good."""

    route: Route
    claim: Claim
    peer: str
    until: float | None


@dataclass(frozen=True, slots=True)
class PeerState:
    """A peer that is up since `since` (seconds); `ended`: it has said End-of-RIB."""

    since: float
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """All that was learned, judged against `snapshot`."""

    snapshot: Snapshot
    lookup: Lookup
    limits: Limits
    interest: Interest
    """What the speaker is to tell at all."""
    live: Map[Ref, Live] = Map()
    held: Map[bytes, Held] = Map()
    refused: Map[Ref, Rejected] = Map()
    peers_of: Map[bytes, frozenset[str]] = Map()
    """Peers with a live route of each key."""
    tokens: Map[Token, Keys] = Map()
    """Of live and held routes: for each, the keys of routes whose verdict depends on it."""
    doubts: Map[Token, Map[Ref, None]] = Map()
    """The same of refused ones, by route and peer."""
    entities: Map[Entity, Keys] = Map()
    """Who speaks about it; not everyone who has such a key needs to."""
    peers: Map[str, PeerState] = Map()
    counts: Map[str, int] = Map()
    """Live routes of each peer."""
    counters: Map[str, int] = Map()
    """Events: `refused`, `not-imported`, `faults`, `over-limit`, `refused-forgotten`, `sticky`, `held`,
    `swept`."""
    forgotten: bool = False
    """A refused route was not kept for lack of room: ask for everything again once the store changes."""
    remotes: Map[RemoteKey, RemoteMac] = Map()
    floods: Map[FloodKey, FloodVtep] = Map()
    prefixes: Map[PrefixKey, RemotePrefix] = Map()
    claimed: Map[SightingKey, RemoteAddress] = Map()
    sizes: Map[TenantKey, int] = Map()
    """Prefixes known of each VRF, chosen or not."""
    volumes: Map[TenantKey, int] = Map()
    """MACs, addresses, places for replicated frames and prefixes of each VRF, tenants' networks included."""
    homes: Map[NetworkKey, TenantKey] = field(default=Map(), compare=False)
    """To whom each network counts."""
    tolerated: Map[Ref, Rejected] = Map()
    """Live routes that the guard would refuse, if it did not only count."""
    roomy: bool = field(default=False, compare=False)
    """There is room again where there was none: what was refused for it is to be judged again."""
    stories: Stories = field(default=Map(), compare=False)
    """Of all peers so far."""
    damped: Map[Spot, Damped] = Map()
    trails: Map[Spot, Trail] = field(default=Map(), compare=False)
    """Of what moved, or went, not long ago."""
    contests: Map[PortKey, tuple[float, ...]] = field(default=Map(), compare=False)
    """When others said that they have a port of this host, and might be believed."""
    clock: float = field(default=0.0, compare=False)
    """Seconds, of the newest event."""

    def standing(self, key: bytes) -> Iterator[Ref]:
        """The live and held routes with this key."""
        if key in self.held:
            yield key, HELD
        for peer in self.peers_of.get(key, ()):
            yield key, peer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event changed, in a fixed order, and what it asks for.

    `relearn`: route targets whose routes the speaker should replay; `relearn_all`: it should replay every
    route. `faults`: sentences about bytes that broke an RFC. `contested`: ports of this host that others say
    they have, and the mobility sequence that ours should have at least.
    """

    put_remotes: tuple[RemoteMac, ...] = ()
    drop_remotes: tuple[RemoteKey, ...] = ()
    put_floods: tuple[FloodVtep, ...] = ()
    drop_floods: tuple[FloodKey, ...] = ()
    put_prefixes: tuple[RemotePrefix, ...] = ()
    drop_prefixes: tuple[PrefixKey, ...] = ()
    put_addresses: tuple[RemoteAddress, ...] = ()
    drop_addresses: tuple[SightingKey, ...] = ()
    relearn: tuple[bytes, ...] = ()
    relearn_all: bool = False
    faults: tuple[str, ...] = ()
    contested: tuple[tuple[PortKey, int], ...] = ()

    def apply(self, snapshot: Snapshot) -> tuple[Snapshot, frozenset[Change]]:
        """The snapshot with these remotes, floods and prefixes, and the changes for the compilers."""
        changes: set[Change] = set()
        remotes, floods, prefixes = snapshot.remotes, snapshot.floods, snapshot.prefixes
        for part, dropped in (
            (Part.REMOTE, self.drop_remotes),
            (Part.FLOOD, self.drop_floods),
            (Part.PREFIX, self.drop_prefixes),
            (Part.CLAIMED, self.drop_addresses),
        ):
            changes.update(Change(part, key) for key in dropped)
        if self.put_remotes or self.drop_remotes:
            remotes = _after(remotes, {(r.network, r.mac): r for r in self.put_remotes}, self.drop_remotes)
            changes.update(Change(Part.REMOTE, (r.network, r.mac)) for r in self.put_remotes)
        if self.put_floods or self.drop_floods:
            floods = _after(floods, {(v.network, v.vtep): v for v in self.put_floods}, self.drop_floods)
            changes.update(Change(Part.FLOOD, (v.network, v.vtep)) for v in self.put_floods)
        if self.put_prefixes or self.drop_prefixes:
            prefixes = _after(prefixes, {(p.vrf, p.prefix): p for p in self.put_prefixes}, self.drop_prefixes)
            changes.update(Change(Part.PREFIX, (p.vrf, p.prefix)) for p in self.put_prefixes)
        claimed = snapshot.claimed
        if self.put_addresses or self.drop_addresses:
            claimed = _after(
                claimed, {(a.network, a.address): a for a in self.put_addresses}, self.drop_addresses
            )
            changes.update(Change(Part.CLAIMED, (a.network, a.address)) for a in self.put_addresses)
        if not changes:
            return snapshot, frozenset()
        made = replace(snapshot, remotes=remotes, floods=floods, prefixes=prefixes, claimed=claimed)
        return made, frozenset(changes)


def limits_of(table: Table) -> Limits:
    """The agent's own, under what the cluster says."""
    cluster, limits = table.snapshot.cluster, table.limits
    if cluster is None or cluster.policy == _USUAL:
        return limits
    policy = cluster.policy
    return replace(
        limits,
        routes_per_peer=_or(policy.peer_routes, limits.routes_per_peer),
        routes_per_tenant=_or(policy.tenant_routes, limits.routes_per_tenant),
        moves=_or(policy.mac_moves, limits.moves),
        window=float(_or(policy.mac_window, limits.window)),
    )


def _or(wanted: int | None, usual: N) -> int | N:
    return usual if wanted is None else wanted


def _after(before: Map[K, V], put: Mapping[K, V], drop: Iterable[K]) -> Map[K, V]:
    """A map with what comes, without what goes."""
    opened = before.mutate()
    opened.update(put)
    for key in drop:
        opened.pop(key, None)
    return opened.finish()


def entity(claim: Claim) -> Entity:
    """What a claim speaks about."""
    match claim:
        case MacClaim():
            return ("mac", claim.network, claim.mac)
        case FloodClaim():
            return ("flood", claim.network, claim.vtep)
        case PrefixClaim():
            return ("prefix", claim.vrf, claim.prefix)
        case AddressClaim():
            return ("address", claim.network, claim.address)
        case SegmentClaim():
            return ("segment", claim.segment)


def address_order(address: Address) -> tuple[int, int]:
    """IPv4 before IPv6, then by number."""
    return (address.version, int(address))


def prefix_order(prefix: Prefix) -> tuple[int, int, int]:
    """IPv4 before IPv6, then by number, the shorter first."""
    return (prefix.version, int(prefix.network_address), prefix.prefixlen)


def select_hops(
    live: tuple[PrefixClaim, ...], held: tuple[PrefixClaim, ...], down: Container[Address]
) -> RemotePrefix | None:
    """The best of the claims on one prefix of a VRF: all of the highest local preference, by VTEP.

    What a peer stands by, or has only not repeated yet, comes before what is `held` for a time; then what the
    store vouches for. VTEPs that are `down` are left out, unless all are: a wrong probe must not cut off more
    than a failure would.
    """
    contest = live or held
    if not contest:
        return None
    contest = tuple(one for one in contest if not one.doubted) or contest
    contest = tuple(one for one in contest if one.vtep not in down) or contest
    best = max(one.preference for one in contest)
    hops = {NextHop(one.vtep, one.router_mac) for one in contest if one.preference == best}
    order = sorted(hops, key=lambda hop: (*address_order(hop.vtep), hop.router_mac))
    return RemotePrefix(contest[0].vrf, contest[0].prefix, tuple(order), best)


def _nowhere(_segment: bytes, _network: NetworkKey, _mac: Mac) -> Reach:
    return Reach(frozenset(), frozenset(), single_active=False)


def select(
    live: tuple[MacClaim, ...], held: tuple[MacClaim, ...], reach: Reaching = _nowhere
) -> RemoteMac | None:
    """The best of the claims on one (network, MAC), with the addresses that its VTEP gives it.

    What a peer stands by comes before what is held; then what the store vouches for; then what is static
    (RFC 7432 section 15.2); then the highest mobility sequence (RFC 7432 section 7.7), the highest local
    preference, the lowest VTEP (RFC 7432 section 7.7: of equal sequences the lowest address). Static MACs
    have no use for a sequence. What is behind a segment that can't be reached takes no part (RFC 7432 section
    9.2.2); if such a claim is best, one of the segment's VTEPs is taken (see `bgp.segments.paths`).
    """
    if any(one.segment for one in live) or any(one.segment for one in held):  # few are
        every = (*live, *held)
        live, held = (tuple(o for o in some if _is_reached(o, every, reach)) for some in (live, held))
    contest = live or held
    if not contest:
        return None
    contest = tuple(one for one in contest if not one.doubted) or contest
    fixed = tuple(one for one in contest if one.sticky)
    if fixed:
        best = min(fixed, key=lambda one: (-one.preference, address_order(one.vtep), one.segment))
    else:
        best = min(contest, key=_newest)
    if best.segment:
        kin = [one for one in (*live, *held) if one.segment == best.segment]
        vtep = _place(kin, contest, reach(best.segment, best.network, best.mac))
    else:
        kin = [one for one in (*live, *held) if one.vtep == best.vtep]
        vtep = best.vtep
    addresses = {one.address for one in kin if one.address is not None}
    # A MAC alone says nothing of routing (RFC 9135 section 5.1): it may be repeated before its addresses are.
    near = [one for one in kin if one.vtep == vtep]
    spoken = [one for one in near if one in contest and one.address is not None]
    telling = spoken or [one for one in near if one.doubted is best.doubted]
    routers = [one.router_mac for one in telling if one.router_mac is not None]
    return RemoteMac(
        network=best.network,
        mac=best.mac,
        vtep=vtep,
        addresses=tuple(sorted(addresses, key=address_order)),
        sequence=max(one.sequence for one in kin),
        router_mac=min(routers, default=None),
        sticky=bool(fixed),
        segment=best.segment,
    )


def _newest(claim: MacClaim) -> tuple[int, int, tuple[int, int], bytes]:
    return (-claim.sequence, -claim.preference, address_order(claim.vtep), claim.segment)


def _is_reached(claim: MacClaim, claims: tuple[MacClaim, ...], reach: Reaching) -> bool:
    if not claim.segment:
        return True
    said_by = frozenset(one.vtep for one in claims if one.segment == claim.segment)
    return bool(paths(reach(claim.segment, claim.network, claim.mac), said_by))


def _place(kin: list[MacClaim], contest: tuple[MacClaim, ...], reach: Reach) -> Address:
    """The VTEP of a reached segment that serves a MAC. Those that route to it, if there are any: of an alias
    that says nothing of the MAC itself the router MAC is not known."""
    able = paths(reach, frozenset(one.vtep for one in kin))
    among = [one for one in kin if one.vtep in able]
    if reach.single_active and among:
        return min(among, key=_newest).vtep
    routers = {one.vtep for one in among if one in contest and one.router_mac is not None}
    return one_of(routers or able, f"{kin[0].network} {kin[0].mac}")

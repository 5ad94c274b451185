"""What was learned: the values that `bgp.learn` turns into each other, and the choice among routes.

Place: pure; one Table lives in the agent's loop. Must not judge (guard) or parse (codec).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from immutables import Map

from bgp.guard import Claim, MacClaim
from bgp.lookup import Lookup
from model.addresses import Address
from model.change import Change, Part
from model.ids import Mac, NetworkKey
from model.route import FloodVtep, Rejected, RemoteMac, Route
from model.snapshot import FloodKey, RemoteKey, Snapshot

Ref = tuple[bytes, str]
"""(route key, peer); the peer of a held route is `HELD`."""
MacEntity = tuple[Literal["mac"], NetworkKey, Mac]
FloodEntity = tuple[Literal["flood"], NetworkKey, Address]
Entity = MacEntity | FloodEntity
Token = tuple[Literal["mac", "vni", "flood", "hop"], Mac | int | Address]
"""What a verdict depends on: a MAC, a VNI, a VNI as a place for replicated frames, a next hop."""

HELD: Final = ""
NO_REFS: Final[Map[Ref, None]] = Map()


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. `peer_hold` None: routes of a lost peer stay as long as store and VTEP stand for them
    (the data plane outlives the reflectors); a number bounds that too.

    `end_of_rib_wait`: a peer that came up and never says End-of-RIB counts as having said it after this time.
    """

    hold: float = 180.0
    peer_hold: float | None = None
    end_of_rib_wait: float = 60.0
    routes_per_peer: int = 200_000
    refused: int = 10_000


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
    live: Map[Ref, Live] = Map()
    held: Map[bytes, Held] = Map()
    refused: Map[Ref, Rejected] = Map()
    peers_of: Map[bytes, frozenset[str]] = Map()
    """Peers with a live route of each key."""
    tokens: Map[Token, Map[Ref, None]] = Map()
    entities: Map[Entity, Map[Ref, None]] = Map()
    peers: Map[str, PeerState] = Map()
    counts: Map[str, int] = Map()
    """Routes kept of each peer, live and refused."""
    counters: Map[str, int] = Map()
    """Events: `refused`, `not-imported`, `faults`, `over-limit`, `refused-forgotten`, `held`, `swept`."""
    forgotten: bool = False
    """A refused route was not kept for lack of room: ask for everything again once the store changes."""
    remotes: Map[RemoteKey, RemoteMac] = Map()
    floods: Map[FloodKey, FloodVtep] = Map()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event changed, in a fixed order, and what it asks for.

    `relearn`: route targets whose routes the speaker should replay; `relearn_all`: it should replay every
    route. `faults`: sentences about bytes that broke an RFC.
    """

    put_remotes: tuple[RemoteMac, ...] = ()
    drop_remotes: tuple[RemoteKey, ...] = ()
    put_floods: tuple[FloodVtep, ...] = ()
    drop_floods: tuple[FloodKey, ...] = ()
    relearn: tuple[bytes, ...] = ()
    relearn_all: bool = False
    faults: tuple[str, ...] = ()

    def apply(self, snapshot: Snapshot) -> tuple[Snapshot, frozenset[Change]]:
        """The snapshot with these remotes and floods, and the changes for the compilers."""
        if not (self.put_remotes or self.drop_remotes or self.put_floods or self.drop_floods):
            return snapshot, frozenset()
        remotes, floods = snapshot.remotes.mutate(), snapshot.floods.mutate()
        changes: set[Change] = set()
        for remote in self.put_remotes:
            remotes[remote.network, remote.mac] = remote
            changes.add(Change(Part.REMOTE, (remote.network, remote.mac)))
        for gone in self.drop_remotes:
            remotes.pop(gone, None)
            changes.add(Change(Part.REMOTE, gone))
        for flood in self.put_floods:
            floods[flood.network, flood.vtep] = flood
            changes.add(Change(Part.FLOOD, (flood.network, flood.vtep)))
        for left in self.drop_floods:
            floods.pop(left, None)
            changes.add(Change(Part.FLOOD, left))
        return replace(snapshot, remotes=remotes.finish(), floods=floods.finish()), frozenset(changes)


def entity(claim: Claim) -> Entity:
    """What a claim speaks about."""
    if isinstance(claim, MacClaim):
        return ("mac", claim.network, claim.mac)
    return ("flood", claim.network, claim.vtep)


def address_order(address: Address) -> tuple[int, int]:
    """IPv4 before IPv6, then by number."""
    return (address.version, int(address))


def select(live: tuple[MacClaim, ...], held: tuple[MacClaim, ...]) -> RemoteMac | None:
    """The best of the claims on one (network, MAC), with the addresses that its VTEP gives it.

    What a peer stands by comes before what is held; then the highest mobility sequence (RFC 7432 section
    7.7), the highest local preference, the lowest VTEP (RFC 7432 section 7.7: of equal sequences the
    lowest address).
    """
    contest = live or held
    if not contest:
        return None
    best = min(contest, key=lambda one: (-one.sequence, -one.preference, address_order(one.vtep)))
    kin = [one for one in (*live, *held) if one.vtep == best.vtep]
    addresses = {one.address for one in kin if one.address is not None}
    routers = [one.router_mac for one in kin if one in contest and one.router_mac is not None]
    return RemoteMac(
        network=best.network,
        mac=best.mac,
        vtep=best.vtep,
        addresses=tuple(sorted(addresses, key=address_order)),
        sequence=max(one.sequence for one in kin),
        router_mac=min(routers, default=None),
    )

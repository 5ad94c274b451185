"""Choice: what became of the entities that an event touched, and the new table.

Place: the end of every event in `bgp.learn`. It gathers the claims on each entity; which of them is best is
said in `bgp.table` and `bgp.spoken`. Must not judge.
"""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from bgp import moves
from bgp.guard import MacClaim
from bgp.reaching import members, reaching
from bgp.rights import PrefixClaim
from bgp.segments import Reaching
from bgp.spoken import AddressClaim, select_address
from bgp.table import (
    FloodEntity,
    Outcome,
    PrefixEntity,
    Table,
    address_order,
    prefix_order,
    select,
    select_hops,
)
from bgp.trail import AddressEntity, MacEntity
from bgp.work import Work
from model.route import FloodVtep, RemoteAddress, RemoteMac, RemotePrefix
from model.snapshot import FloodKey, PrefixKey, RemoteKey, SightingKey


def finish(work: Work) -> tuple[Table, Outcome]:
    """The new table, and what became of the entities that were touched."""
    for spot in [one for one in work.touched if one[0] == "segment"]:
        work.touched.update(members(work, spot[1]))
    remotes, floods, outcome = _choose(work)
    prefixes, put, drop = _choose_prefixes(work)
    claimed, heard, lost = _choose_addresses(work)
    roomy = any(work.has_room_in(vrf) for vrf in work.full)
    table = replace(
        work.table,
        live=work.live.finish(),
        held=work.held.finish(),
        refused=work.refused.finish(),
        peers_of=work.peers_of.finish(),
        tokens=work.tokens.finish(),
        doubts=work.doubts.finish(),
        entities=work.entities.finish(),
        peers=work.peers.finish(),
        counts=work.counts.finish(),
        counters=work.counters.finish(),
        sizes=work.sizes.finish(),
        volumes=work.volumes.finish(),
        homes=work.homes.finish(),
        tolerated=work.tolerated.finish(),
        roomy=work.roomy or roomy,
        forgotten=work.forgotten or roomy,
        remotes=remotes,
        floods=floods,
        prefixes=prefixes,
        claimed=claimed,
        damped=work.damped.finish(),
        trails=work.trails.finish(),
        contests=work.contests.finish(),
        clock=work.now,
    )
    fought = tuple(sorted(work.contested.items()))
    outcome = replace(outcome, put_addresses=heard, drop_addresses=lost, contested=fought)
    return table, replace(outcome, put_prefixes=put, drop_prefixes=drop)


def _choose(work: Work) -> tuple[Map[RemoteKey, RemoteMac], Map[FloodKey, FloodVtep], Outcome]:
    """Choose again for what was touched; tell what differs from before."""
    remotes, floods = work.table.remotes.mutate(), work.table.floods.mutate()
    put: list[RemoteMac] = []
    drop: list[RemoteKey] = []
    flood_put: list[FloodVtep] = []
    flood_drop: list[FloodKey] = []
    reach = reaching(work)
    for spot in sorted(one for one in work.touched if one[0] == "mac"):
        key = (spot[1], spot[2])
        settled = moves.settle(work, spot, remotes.get(key), _best(work, spot, reach))
        chosen = settled if isinstance(settled, RemoteMac) else None
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


def _choose_addresses(
    work: Work,
) -> tuple[Map[SightingKey, RemoteAddress], tuple[RemoteAddress, ...], tuple[SightingKey, ...]]:
    """The same for addresses of allowed pairs."""
    if not any(one[0] == "address" for one in work.touched):
        return work.table.claimed, (), ()
    claimed = work.table.claimed.mutate()
    put: list[RemoteAddress] = []
    drop: list[SightingKey] = []
    spots = (one for one in work.touched if one[0] == "address")
    for spot in sorted(spots, key=lambda one: (one[1], address_order(one[2]))):
        key = (spot[1], spot[2])
        settled = moves.settle(work, spot, claimed.get(key), _newest(work, spot))
        chosen = settled if isinstance(settled, RemoteAddress) else None
        if chosen is not None and claimed.get(key) != chosen:
            claimed[key] = chosen
            put.append(chosen)
        elif chosen is None and claimed.pop(key, None) is not None:
            drop.append(key)
    return claimed.finish(), tuple(put), tuple(drop)


def _newest(work: Work, spot: AddressEntity) -> RemoteAddress | None:
    live: list[AddressClaim] = []
    held: list[AddressClaim] = []
    for claim, waiting in work.claims(spot):
        if isinstance(claim, AddressClaim):
            (live if waiting is None else held).append(claim)
    return select_address(tuple(live), tuple(held))


def _best_hops(work: Work, spot: PrefixEntity) -> RemotePrefix | None:
    live: list[PrefixClaim] = []
    held: list[PrefixClaim] = []
    for claim, waiting in work.claims(spot):
        if isinstance(claim, PrefixClaim):
            timed = waiting is not None and waiting.until is not None
            (held if timed else live).append(claim)
    return select_hops(tuple(live), tuple(held), work.snapshot.down)


def _best(work: Work, spot: MacEntity, reach: Reaching) -> RemoteMac | None:
    live: list[MacClaim] = []
    held: list[MacClaim] = []
    for claim, waiting in work.claims(spot):
        if isinstance(claim, MacClaim):
            (live if waiting is None else held).append(claim)
    return select(tuple(live), tuple(held), reach)


def _flood_order(spot: FloodEntity) -> tuple[int, tuple[int, int]]:
    return (spot[1], address_order(spot[2]))

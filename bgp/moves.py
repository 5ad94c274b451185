"""Moves: MACs and addresses that several hosts say they have stay where they were (RFC 7432 section 15.1).

Place: between the choice of the best claim (`bgp.choice`) and what is used. Pure. It counts where the store
leaves open who is right: ports that no host of ours has bound, and addresses that an external host speaks
for. Where the store says where a port is, the guard has refused the others. Must not judge routes: what is
held is judged by the guard like any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bgp import judging, restored
from bgp.guard import ELSEWHERE, STUCK, UNAUTHORISED, MacClaim
from bgp.lookup import Lookup
from bgp.reaching import reaching
from bgp.spoken import AddressClaim, select_address
from bgp.table import NO_REFS, Table, limits_of, select
from bgp.trail import MOST, Damped, MacEntity, Past, Place, Spot, Trail
from bgp.work import Work
from model.addresses import Address
from model.ids import PortKey
from model.route import MacRoute, RemoteMac, Route
from model.snapshot import Snapshot

CONTESTED: Final = frozenset({ELSEWHERE, UNAUTHORISED})
"""Codes of refusals of what hosts say of ports that they may not have, or not now."""
HIGHEST: Final = (1 << 32) - 1
"""A mobility sequence has 32 bits (RFC 7432 section 7.7)."""


def settle(work: Work, spot: Spot, before: Place | None, chosen: Place | None) -> Place | None:
    """What becomes of `spot`: `chosen` by its claims, or where it stays because it moves too often.

    `before`: what was in use.
    """
    if not work.limits.moves:
        return chosen
    damped = work.damped.get(spot)
    if damped is not None:
        if chosen is not None and _is_behind_one(damped.place, chosen):
            damped = Damped(chosen, damped.since, damped.moves, damped.quiet)
        place = _authorised(work, damped.place) if _is_open(work, spot, damped.place, chosen) else None
        if place is not None:
            work.damped[spot] = Damped(place, damped.since, damped.moves, damped.quiet)
            return place
        work.damped.pop(spot)
        work.trails.pop(spot, None)
        return chosen
    trail = work.trails.get(spot)
    last = before or (None if trail is None else trail.last)
    if not _is_open(work, spot, last, chosen):
        work.trails.pop(spot, None)
        return chosen
    moves = () if trail is None else trail.moves
    if chosen is None:
        if before is not None:
            _note(work, spot, Trail(before, moves, work.now))
        return None
    if last is None or last.vtep == chosen.vtep or _is_behind_one(last, chosen):
        return chosen
    moves = tuple(at for at in moves if work.now - at < work.limits.window)
    if work.counts_moves:
        moves = (*moves, work.now)
    if len(moves) >= work.limits.moves:
        place = _authorised(work, last)
        if place is not None:
            work.damped[spot] = Damped(place, work.now, len(moves))
            work.count("damped", 1)
            return place
    _note(work, spot, Trail(chosen, moves, work.now))
    return chosen


def _is_behind_one(one: Place, other: Place) -> bool:
    """Whether both are behind one segment: from one of its VTEPs to another nothing moves (RFC 7432 section
    7.7)."""
    if not isinstance(one, RemoteMac) or not isinstance(other, RemoteMac):
        return False
    return bool(one.segment) and one.segment == other.segment


def _note(work: Work, spot: Spot, trail: Trail) -> None:
    if spot in work.trails or len(work.trails) < MOST:
        work.trails[spot] = trail


def _is_open(work: Work, spot: Spot, *places: Place | None) -> bool:
    """Whether the store leaves open where it is.

    What hosts of ours say of addresses of allowed pairs is paced by their agents.
    """
    if spot[0] == "mac":
        port = work.lookup.port(spot[1], spot[2])
        binding = None if port is None else work.snapshot.bindings.get(port)
        fixed = port is not None and work.snapshot.ports[port].sticky
        return not fixed and (binding is None or not binding.active)
    return any(place is not None and _is_external(work.snapshot, work.lookup, place.vtep) for place in places)


def _is_external(snapshot: Snapshot, lookup: Lookup, vtep: Address) -> bool:
    name = lookup.host(vtep)
    return name is not None and snapshot.hypervisors[name].external


def _authorised(work: Work, place: Place) -> Place | None:
    """As much of it as the guard would let through now; None = nothing."""
    routes = restored.routes_at(work.snapshot, work.lookup, place)
    verdicts = [judging.judge(work, route)[0] for route in routes]
    if isinstance(place, RemoteMac):
        if place.segment and place.vtep not in reaching(work)(place.segment, place.network, place.mac).whole:
            return None
        found = select(tuple(one for one in verdicts if isinstance(one, MacClaim)), ())
        return None if found is None else replace(found, segment=place.segment)
    return select_address(tuple(one for one in verdicts if isinstance(one, AddressClaim)), ())


def age(work: Work) -> None:
    """Time passed: what moved long ago is forgotten, and what nobody has said for long to have."""
    for spot, trail in work.table.trails.items():
        if work.now - trail.at >= work.limits.window:
            work.trails.pop(spot, None)
    for port, times in work.table.contests.items():
        if work.now - times[-1] >= work.limits.window:
            work.contests.pop(port, None)
    for spot, damped in work.table.damped.items():
        if spot in work.entities:
            quiet = None
        elif damped.quiet is None:
            quiet = work.now
        elif work.now - damped.quiet < work.limits.hold:
            continue
        else:
            forget(work, spot)
            continue
        if quiet != damped.quiet:
            work.damped[spot] = Damped(damped.place, damped.since, damped.moves, quiet)


def resume(work: Work, past: Past) -> None:
    """Go on counting where an earlier life of the agent ended."""
    work.trails.update(past.trails)
    work.contests.update(past.contests)
    for spot, damped in past.damped.items():
        work.damped[spot] = damped
        work.touched.add(spot)


def forget(work: Work, spot: Spot) -> None:
    """From now on it is where its claims say."""
    work.damped.pop(spot, None)
    work.trails.pop(spot, None)
    work.touched.add(spot)


def contest(work: Work, route: Route) -> None:
    """An external host says that it has a port that is bound here; perhaps it had, and the store moved it: if
    others could believe that, ours is to be said with a higher sequence (RFC 7432 section 15); not more often
    than it may move. Between hosts of ours the store decides, and its sequence is the higher one already.
    """
    port = _told_of(work.snapshot, work.lookup, route)
    if port is None or not work.snapshot.bound_here(port):
        return
    sequence = route.attributes.sequence or 0
    if sequence < work.snapshot.bindings[port].sequence:
        return
    times = tuple(at for at in work.contests.get(port, ()) if work.now - at < work.limits.window)
    if not work.limits.moves or len(times) < work.limits.moves:
        work.contested[port] = max(min(sequence + 1, HIGHEST), work.contested.get(port, 0))
        work.contests[port] = (*times, work.now)


def _told_of(snapshot: Snapshot, lookup: Lookup, route: Route) -> PortKey | None:
    """The port that an external host's RT-2 is about, with an address of its own or none."""
    body = route.nlri
    if not isinstance(body, MacRoute) or not _is_external(snapshot, lookup, route.attributes.next_hop):
        return None
    network = lookup.network(body.vni)
    port = None if network is None else lookup.port(network, body.mac)
    owns = port is not None and (body.address is None or body.address in snapshot.ports[port].addresses)
    return port if owns else None


def outbid(table: Table, key: PortKey) -> int:
    """The sequence with which a port that comes here outdoes whoever had it, as far as is known here: 0 if
    nobody had (RFC 7432 section 7.7). The store counts moves between our hosts; an external host counts for
    itself, and hosts that know no store follow it as long as it says so, believed by us or not.
    """
    port = table.snapshot.ports[key]
    spot: MacEntity = ("mac", port.network, port.mac)
    said = [-1]
    remote, trail = table.remotes.get((port.network, port.mac)), table.trails.get(spot)
    said += [one.sequence for one in (remote, None if trail is None else trail.last) if one is not None]
    for ref in table.doubts.get(("mac", port.mac), NO_REFS):
        refusal = table.refused[ref]
        if (
            refusal.code in (*CONTESTED, STUCK)
            and _told_of(table.snapshot, table.lookup, refusal.route) == key
        ):
            said.append(refusal.route.attributes.sequence or 0)
    return min(max(said) + 1, HIGHEST)


def is_lost(table: Table, port: PortKey) -> bool:
    """Whether a port of this host is fought for so often that its sequence is not raised any more."""
    return len(table.contests.get(port, ())) >= limits_of(table).moves > 0

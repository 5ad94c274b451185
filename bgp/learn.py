"""Received EVPN routes -> remote MACs, flood VTEPs and prefixes: a pure state machine with an injected clock.

Place: the agent's loop feeds it each event of the speaker, each change of the store, each failed probe and
a tick about every second; it answers with the next Table and an Outcome to put into the snapshot. `now` is
any monotonic clock in seconds. Must not do I/O or decide who is authorised (guard).

What keeps traffic alive while control planes come and go:
- a withdrawn route stays while the store binds what it says and its VTEP answers probes, at most
`Limits.hold`;
- routes of a lost peer stay (mark), until it is back and has said End-of-RIB without them (sweep, RFC 4724
4.2);
- a refused route changes nothing: what it would have replaced stays;
- a moved binding or a newer sequence from an authorised VTEP acts at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from bgp import concern, guard, judging, moves, restored, story
from bgp.choice import finish
from bgp.codec import nlri
from bgp.codec.update import Update
from bgp.interest import interest_of
from bgp.lookup import index, reindex
from bgp.reaching import waiting
from bgp.table import HELD, NO_KEYS, NO_REFS, Held, Limits, Outcome, PeerState, Ref, Table
from bgp.trail import Past, Spot
from bgp.verdict import NotImported, Refused
from bgp.work import Work, open_table
from model.addresses import Address
from model.change import Change, Part
from model.ids import NetworkKey
from model.route import Rejected, Route
from model.snapshot import Snapshot

_DEFAULTS: Final = Limits()
_UNKNOWN: Final = Past()


def start(snapshot: Snapshot, limits: Limits = _DEFAULTS) -> Table:
    """A table that has learned nothing."""
    return Table(snapshot, index(snapshot), limits, interest_of(snapshot))


def restore(snapshot: Snapshot, limits: Limits = _DEFAULTS, past: Past = _UNKNOWN) -> Table:
    """A table that holds what a snapshot from an earlier life had learned, until a peer has replayed.

    They are judged again as ever: what the store no longer authorises is left out. So is the counting of
    moves, and what is damped stays where it was (RFC 7432 section 15.1).
    """
    table = replace(start(snapshot, limits), clock=past.now)
    work = open_table(table)
    moves.resume(work, past)
    for route in restored.routes_of(snapshot, table.lookup):
        verdict, _ = judging.judge_new(work, (b"", HELD), route)
        if not isinstance(verdict, Refused | NotImported):
            work.hold(nlri.key(nlri.encode(route.nlri)), Held(route, verdict, HELD, None))
    return finish(work)[0]


def receive(table: Table, peer: str, update: Update, now: float) -> tuple[Table, Outcome]:
    """One decoded UPDATE of a peer (an address in text)."""
    return receive_all(table, ((peer, update),), now)


def receive_all(table: Table, updates: Iterable[tuple[str, Update]], now: float) -> tuple[Table, Outcome]:
    """(peer, decoded UPDATE) each, in the order of arrival; the outcome is what they amount to together.

    A replay is thousands of them, and to open and to finish a table costs as much as a route. One that ends
    a peer's replay must come alone: it sweeps what the table held before.
    """
    updates = tuple(updates)
    work, faults = open_table(replace(table, stories=story.said(table.stories, updates)), now), list[str]()
    for peer, update in updates:
        for key in update.withdrawn:
            _withdraw(work, (key, peer), now)
        for key, route in update.announced:
            _announce(work, (key, peer), route)
        work.count("faults", len(update.faults))
        faults.extend(update.faults)
        if update.end_of_rib:
            _sweep(work, peer, now)
    made, outcome = finish(work)
    return made, replace(outcome, faults=tuple(faults))


def peer_up(table: Table, peer: str, now: float) -> tuple[Table, Outcome]:
    """A session came up; what it lacks is swept after its End-of-RIB."""
    stories = story.came(table.stories, peer, now)
    return replace(table, peers=table.peers.set(peer, PeerState(now)), stories=stories), Outcome()


def peer_down(table: Table, peer: str, now: float, reason: str = "") -> tuple[Table, Outcome]:
    """A session was lost: its routes are held, what it had refused is forgotten."""
    until = None if table.limits.peer_hold is None else now + table.limits.peer_hold
    work = open_table(replace(table, stories=story.went(table.stories, peer, reason, now)), now)
    for ref in [ref for ref in table.live if ref[1] == peer]:
        gone = work.drop_live(ref)
        if not work.peers_of.get(ref[0]):
            work.hold(ref[0], Held(gone.route, gone.claim, peer, until))
    for ref in [ref for ref in table.refused if ref[1] == peer]:
        work.drop_refused(ref)
    work.peers.pop(peer, None)
    return finish(work)


def peer_silent(table: Table, peer: str, reason: str) -> Table:
    """No session came up: nothing changes but what is told of the peer."""
    return replace(table, stories=story.missed(table.stories, peer, reason))


def consider(table: Table, snapshot: Snapshot, changes: frozenset[Change]) -> tuple[Table, Outcome]:
    """The store changed: judge again what the changes concern. Nothing that lost its authority or its binding
    is held.

    `changes` are all those between the table's snapshot and this one; parts that no verdict depends on cost
    nothing.
    """
    old = table.snapshot
    lookup = reindex(table.lookup, old, snapshot, changes)
    interest = interest_of(snapshot) if concern.widens(old, snapshot, changes) else table.interest
    work = open_table(replace(table, snapshot=snapshot, lookup=lookup, interest=interest))
    if concern.concerns_all(old, snapshot):
        refs = {*table.live, *table.refused, *((key, HELD) for key in table.held)}
    else:
        tokens = concern.tokens(old, snapshot, changes, table.lookup, lookup)
        keys = {key for token in tokens for key in table.tokens.get(token, NO_KEYS)}
        refs = {ref for token in tokens for ref in table.doubts.get(token, NO_REFS)}
        refs.update(ref for key in keys for ref in table.standing(key))
    places = concern.left_places(old, changes)
    left = {key for place in places for key in table.entities.get(place, NO_KEYS)}
    held = {(key, HELD) for key in left if key in table.held} | refs
    stood = [key for key, peer in sorted(held) if peer == HELD and _stands(old, table, key)]
    for ref in sorted(refs):
        _rejudge(work, ref)
    _look_again(work, old, snapshot, changes)
    for key in stood:
        _release(work, key)
    work.touched.update(table.damped)  # what the store says now may end it
    for change in changes:
        if change.part is Part.NETWORK and change.key not in snapshot.networks:
            work.homes.pop(NetworkKey(change.key), None)  # type: ignore[arg-type]
    wanted = concern.newly_known(old, snapshot, changes)
    everything = table.forgotten and bool(refs or wanted)
    work.forgotten = work.forgotten and not everything
    made, outcome = finish(work)
    return made, replace(outcome, relearn=wanted, relearn_all=everything)


def _look_again(work: Work, old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> None:
    """A VTEP that probes stop or begin to reach: the next hops of its prefixes are chosen anew."""
    for change in changes:
        vtep = change.key
        if change.part is Part.DOWN and (vtep in old.down) != (vtep in new.down):
            work.touched.update(("prefix", vrf, prefix) for vrf, prefix in work.table.prefixes)
            return


def probe_failed(table: Table, vtep: Address) -> tuple[Table, Outcome]:
    """A VTEP stopped answering: nothing is held for it any longer."""
    work = open_table(table)
    for key in sorted(key for key, held in table.held.items() if held.claim.vtep == vtep):
        work.drop_held(key)
        work.count("swept", 1)
    return finish(work)


def tick(table: Table, now: float) -> tuple[Table, Outcome]:
    """Time passed: what was held long enough goes; a peer that never says End-of-RIB is taken as having."""
    work = open_table(table, now)
    moves.age(work)
    if table.roomy:
        work.roomy = False
        for ref in sorted(ref for ref, one in table.refused.items() if one.code in judging.FULL):
            _rejudge(work, ref)
    for peer in sorted(table.peers):
        state = table.peers[peer]
        if not state.ended and now - state.since >= table.limits.end_of_rib_wait:
            _sweep(work, peer, now)
    for key in sorted(k for k, held in table.held.items() if held.until is not None and held.until <= now):
        work.drop_held(key)
        work.count("swept", 1)
    return finish(work)


def release(table: Table, spot: Spot) -> tuple[Table, Outcome]:
    """The operator ends the damping of a MAC or address: its claims decide again."""
    work = open_table(table)
    moves.forget(work, spot)
    return finish(work)


def probes(table: Table) -> frozenset[Address]:
    """The VTEPs that held routes depend on: to be probed about every second while they stand here."""
    return frozenset(held.claim.vtep for held in table.held.values())


def rejected(table: Table) -> tuple[Rejected, ...]:
    """What the guard refuses now, by route key and peer; then what waits for its segment."""
    return (*(table.refused[ref] for ref in sorted(table.refused)), *waiting(table))


def tolerated(table: Table) -> tuple[Rejected, ...]:
    """What it would refuse, if it did not only count."""
    return tuple(table.tolerated[ref] for ref in sorted(table.tolerated))


def _announce(work: Work, ref: Ref, route: Route) -> None:
    key, peer = ref
    fresh = ref not in work.live and ref not in work.refused
    room = work.counts.get(peer, 0) < work.limits.routes_per_peer
    if fresh and room and work.renew(ref, route):
        return
    verdict, doubt = judging.judge_new(work, ref, route)
    work.drop_refused(ref)
    if not isinstance(verdict, Refused | NotImported):
        work.put_live(ref, route, verdict, _rejection(ref, route, doubt))
        work.drop_held(key)
        return
    if ref in work.live:
        old = work.drop_live(ref)
        if not work.peers_of.get(key):
            work.hold(key, Held(old.route, old.claim, peer, None))
    if isinstance(verdict, Refused):
        work.count("refused", 1)
        _refuse(work, ref, route, verdict)
    else:
        work.count("not-imported", 1)


def _withdraw(work: Work, ref: Ref, now: float) -> None:
    key, peer = ref
    work.drop_refused(ref)
    if ref in work.live:
        old = work.drop_live(ref)
        if not work.peers_of.get(key):
            _bound_hold(work, key, Held(old.route, old.claim, peer, None), now)
        return
    held = work.held.get(key)
    if held is not None and held.peer == peer and held.until is None:
        _bound_hold(work, key, held, now)


def _bound_hold(work: Work, key: bytes, held: Held, now: float) -> None:
    """Nobody stands by the route any longer: keep it for a bounded time if the store binds it, else drop
    it.
    """
    if guard.bound(work.snapshot, work.lookup, held.claim):
        work.hold(key, replace(held, until=now + work.limits.hold))
        work.count("held", 1)
    else:
        work.drop_held(key)


def _stands(snapshot: Snapshot, table: Table, key: bytes) -> bool:
    """Whether the store's bindings stood for a held route."""
    return guard.bound(snapshot, table.lookup, table.held[key].claim)


def _release(work: Work, key: bytes) -> None:
    """The store stood for what is held, and does so no longer: no reason is left to hold it."""
    held = work.held.get(key)
    if held is not None and not guard.bound(work.snapshot, work.lookup, held.claim):
        work.drop_held(key)
        work.count("swept", 1)


def _sweep(work: Work, peer: str, now: float) -> None:
    """A peer has said all that it has (RFC 4724 section 4.2): what it no longer stands by is on its way
    out.
    """
    state = work.peers.get(peer)
    if state is None or state.ended:
        return
    work.peers[peer] = replace(state, ended=True)
    for key in sorted(work.table.held):
        held = work.held.get(key)
        if held is None or held.until is not None or held.peer not in (peer, HELD):
            continue
        if (key, peer) not in work.refused:
            _bound_hold(work, key, held, now)


def _rejudge(work: Work, ref: Ref) -> None:
    key, peer = ref
    held = work.held.get(key) if peer == HELD else None
    live, refused = work.live.get(ref), work.refused.get(ref)
    if held is not None:
        verdict, _ = judging.judge_new(work, ref, held.route)
        if not isinstance(verdict, Refused | NotImported):
            work.hold(key, replace(held, claim=verdict))
        else:
            work.drop_held(key)
    elif live is not None:
        verdict, doubt = judging.judge_new(work, ref, live.route)
        if not isinstance(verdict, Refused | NotImported):
            work.put_live(ref, live.route, verdict, _rejection(ref, live.route, doubt))
            return
        work.drop_live(ref)
        if isinstance(verdict, Refused):
            work.count("refused", 1)
            _refuse(work, ref, live.route, verdict)
    elif refused is not None:
        verdict, doubt = judging.judge_new(work, ref, refused.route)
        work.drop_refused(ref)
        if not isinstance(verdict, Refused | NotImported):
            work.put_live(ref, refused.route, verdict, _rejection(ref, refused.route, doubt))
            work.drop_held(key)
        elif isinstance(verdict, Refused):
            _refuse(work, ref, refused.route, verdict)


def _rejection(ref: Ref, route: Route, why: Refused | None) -> Rejected | None:
    return None if why is None else Rejected(route, ref[1], why.text, why.code)


def _refuse(work: Work, ref: Ref, route: Route, why: Refused) -> None:
    work.put_refused(ref, Rejected(route, ref[1], why.text, why.code))
    work.count("over-limit", why.code == judging.PEER_FULL)
    work.count("sticky", why.code == guard.STUCK)
    if why.code in moves.CONTESTED:
        moves.contest(work, route)

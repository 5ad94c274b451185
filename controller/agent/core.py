"""Core: from one event to the next state of the agent and the commands that follow, all as values.

Place: `controller.agent.loop` feeds events in and carries the commands out, in their order. Pure: no I/O,
clocks come in. Must not send, read or wait.

The order within one commit: routes of ports that leave are withdrawn, their traffic is stopped (link down,
so that no flow changes: Open vSwitch would credit what it has not yet counted to the new path) and their
accounts are closed, and only then their flows go; flows of ports that come are in the switch before their
routes are announced.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from immutables import Map

from bgp import learn, moves, originate
from bgp.codec.update import Update
from bgp.table import Limits
from bgp.trail import Past, Spot
from controller.agent import binder, brake, commands, heralds, living, mobility, sightings, state, zones
from controller.agent.announcements import Announced
from controller.agent.knowledge import Core as Core
from controller.agent.knowledge import Learning
from controller.agent.knowledge import Result as Result
from controller.agent.state import Synced as Synced
from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, PortKey
from model.intent import Binding
from model.snapshot import Snapshot
from pipelines import compile as pipeline
from pipelines.index import waits

LOG: Final = logging.getLogger(__name__)
_UNKNOWN: Final = Past()


def start(host: HostName, saved: Snapshot | None, limits: Limits, past: Past = _UNKNOWN) -> Core:
    """The core of a fresh process; `saved` is the snapshot of its last life, `past` what moved in it."""
    snapshot = Snapshot(host) if saved is None else replace(saved, host=host)
    table = learn.restore(snapshot, limits, past)
    held = replace(snapshot, remotes=table.remotes, floods=table.floods, prefixes=table.prefixes)
    return Core(
        effective=held,
        offered=held,
        program=pipeline.compile(held),
        routes=originate.originate(held),
        table=table,
    )


def on_store(
    core: Core,
    items: tuple[state.Item, ...],
    gone: tuple[tuple[Part, object], ...],
    whole: state.Whole,
) -> Result:
    """The store said something: all of it (`Whole.YES`) or what changed."""
    if whole is state.Whole.YES:
        step = state.replace_stored(core.offered, items)
        core = replace(core, store_complete=True)
    else:
        removed = state.remove(core.offered, gone)
        step = state.join(removed, lambda s: state.upsert(s, items))
    core = replace(core, offered=step.snapshot, pending=core.pending | step.changes)
    return _release_hold(core, step.changes)


def on_rested(core: Core) -> Result:
    """The data path may be stilled again: what waited for that becomes effective, all of it at once."""
    learned = _learned(replace(core, resting=False), ())
    if not learned.core.late.intent:
        return learned
    released = _release_hold(learned.core, frozenset())
    return Result(released.core, (*learned.commands, *released.commands))


def on_inventory(core: Core, seen: state.Seen) -> Result:
    """The local switch database said which bridge and interfaces there are.

    Without a living switch what it says of interfaces means nothing: what was known stays, nothing goes.
    """
    if seen.switch is None:
        return Result(core)
    first = state.observe_switch(core.effective, seen.switch)
    step = state.join(first, lambda s: state.observe_interfaces(s, seen.interfaces))
    return _commit(core, step.snapshot, step.changes)


def on_session(core: Core, epochs: Map[PortKey, int]) -> Result:
    """The switch is there; `epochs` are those of the counters that it holds: they win over ours.

    A counter flow that were put again under another epoch would keep its bytes and bill them twice.
    """
    step = state.upsert(core.effective, [(Part.EPOCH, key, epochs[key]) for key in sorted(epochs)])
    waiting = frozenset(key for key in epochs if not binder.lives_here(core.effective, key))
    result = _commit(replace(core, session=False, adopted=waiting), step.snapshot, step.changes)
    core = replace(result.core, session=True, swept=False)
    if core.effective.cluster is None:
        return Result(core, result.commands)
    bounds = zones.restore(core.effective, core.shares)
    return Result(core, (*result.commands, *bounds, commands.Audit(commands.Sweep.KEEP)))


def on_session_lost(core: Core) -> Result:
    """Nothing can be sent until the switch is back; then an audit brings it up to date."""
    return Result(replace(core, session=False))


def on_updates(core: Core, updates: Iterable[tuple[str, Update]], now: float) -> Result:
    """Peers said something: (peer, decoded UPDATE) each, in the order of arrival."""

    def step(some: tuple[tuple[str, Update], ...]) -> Learning:
        return lambda table: learn.receive_all(table, some, now)

    steps: list[Learning] = []
    together: list[tuple[str, Update]] = []
    for peer, update in updates:
        together.append((peer, update))
        if update.end_of_rib:  # it sweeps what the table held before
            steps += [step(tuple(together[:-1])), step(((peer, update),))]
            together = []
    return _learned(core, [*steps, step(tuple(together))])


def on_peer_up(core: Core, peer: str, now: float) -> Result:
    """A BGP session came up."""
    return _learned(core, [lambda table: learn.peer_up(table, peer, now)])


def on_peer_down(core: Core, peer: str, now: float, reason: str = "") -> Result:
    """A BGP session was lost: its routes are held."""
    return _learned(core, [lambda table: learn.peer_down(table, peer, now, reason)])


def on_probe_failed(core: Core, vtep: Address) -> Result:
    """A VTEP that held routes lead to gives no sign of life."""
    return _learned(core, [lambda table: learn.probe_failed(table, vtep)])


def _learned(core: Core, steps: Iterable[Learning]) -> Result:
    """Run steps of the learner and commit what came of them at once; behind those that wait."""
    said = (*core.late.said, *steps)
    late = replace(core, late=replace(core.late, said=said))
    if core.resting and core.late.said:
        return Result(late)
    learned = _learn(replace(core, late=replace(core.late, said=())), said)
    return Result(late) if core.resting and learned.stills() else learned


def _learn(core: Core, steps: Iterable[Learning]) -> Result:
    table, snapshot, changes = core.table, core.effective, frozenset[Change]()
    contested: dict[PortKey, int] = {}
    for step in steps:
        table, outcome = step(table)
        snapshot, more = outcome.apply(snapshot)
        changes |= more
        contested.update(outcome.contested)
        for fault in outcome.faults:  # no warning: a peer decides how many there are; the table counts them
            LOG.debug("UPDATE not understood host=%s reason=%s", core.effective.host, fault)
    mobility.tell(core.effective, core.table, table)
    return _rise(_commit(replace(core, table=table), snapshot, changes), contested)


def _rise(result: Result, contested: Mapping[PortKey, int]) -> Result:
    """Have ports of this host said with a higher sequence than what others say of them."""
    core, ports = result.core, result.core.effective.ports
    due = [key for key in sorted(contested) if key in ports and key not in core.asked]
    if not due or core.stop is not None:
        return result
    orders = tuple(commands.Bind(key, ports[key].uid, contested[key]) for key in due)
    return Result(replace(core, asked=core.asked | set(due)), (*result.commands, *orders))


def on_lease(core: Core, term: int) -> Result:
    """This host holds the lease that it shares with its partner, or (0) must not serve any port."""
    here = core.effective
    changes = frozenset(Change(Part.BINDING, key) for key in binder.concerned(here))
    return _commit(core, replace(here, term=term), changes) if term != here.term else Result(core)


def on_followed(core: Core) -> Result:
    """The data path goes by the flows of now: what was kept for flows of before may go."""
    step = zones.drained(core.effective)
    return _commit(core, step.snapshot, step.changes)


def on_release(core: Core, spot: Spot) -> Result:
    """The operator ended the damping of a MAC or address."""
    return _learned(core, [lambda table: learn.release(table, spot)])


def on_paths(core: Core, down: frozenset[Address]) -> Result:
    """Path probes reach all VTEPs but these."""
    gone = [(Part.DOWN, vtep) for vtep in core.effective.down if vtep not in down]
    items: list[state.Item] = [(Part.DOWN, vtep, True) for vtep in sorted(down, key=str)]
    step = state.join(state.remove(core.effective, gone), lambda s: state.upsert(s, items))
    return _commit(core, step.snapshot, step.changes)


def on_moment(core: Core, moment: int) -> Result:
    """The wall clock says `moment` (Unix ms): other versions of egress classes may be in force."""
    if core.stop is not None:
        return Result(core)
    step = state.turn(core.effective, moment)
    result = _commit(core, step.snapshot, step.changes)
    return result if step.changes else Result(replace(core, effective=step.snapshot))


def on_announced(core: Core, heard: Announced, now: float) -> Result:
    """A workload said that it is here: a port that was moving here is claimed now, or an address of an
    allowed pair has moved to the port that speaks for it."""
    if not waits(core.effective, heard.port):
        step, moved = sightings.hear(core.effective, heard, core.moved, now)
        return _commit(replace(core, moved=moved), step.snapshot, step.changes)
    if heard.port in core.announced:
        return Result(core)
    LOG.info("workload announced itself host=%s port=%d", core.effective.host, heard.port)
    core = replace(core, announced=core.announced | {heard.port})
    if core.stop is not None:
        return Result(core)
    core, asked = _claim(core, binder.claims(core.effective, (heard.port,), core.announced))
    return Result(core, asked)


def on_answer(core: Core, port: PortKey, answer: Binding | str | None) -> Result:
    """The store answered: the binding after a claim, None after a release, or why a claim was refused."""
    return on_answers(core, ((port, answer),))


def on_answers(core: Core, answers: Iterable[tuple[PortKey, Binding | str | None]]) -> Result:
    """Several answers at once: claims of one moment share a commit here, too."""
    said = tuple(answers)
    ports = frozenset(port for port, _ in said)
    refusals = core.refusals.mutate()
    items: list[state.Item] = []
    for port, answer in said:
        if isinstance(answer, str):
            refusals[port] = answer
            continue
        refusals.pop(port, None)
        known = core.offered.bindings.get(port)
        if answer is None and known is not None and known.host == core.offered.host:
            answer = replace(known, active=False)
        if answer is not None and port in core.offered.ports:
            items.append((Part.BINDING, port, answer))
    news = core.fresh | {Change(Part.BINDING, port) for port in ports}
    core = replace(core, asked=core.asked - ports, refusals=refusals.finish(), fresh=news)
    again = [port for port, answer in said if not isinstance(answer, str)]
    step = state.upsert(core.offered, items)
    core = replace(core, offered=step.snapshot, pending=core.pending | step.changes)
    return _reconsider(_release_hold(core, step.changes) if items else Result(core), again)


def _reconsider(answered: Result, ports: Iterable[PortKey]) -> Result:
    """Claim what is due only now: while a claim is under way no other is made for its port, and the store's
    own word of it may have come before the answer, which then changes nothing.
    """
    if answered.core.stop is not None or answered.core.late.intent:
        return answered
    core, asked = _claim(
        answered.core, binder.claims(answered.core.effective, ports, answered.core.announced)
    )
    return Result(core, (*answered.commands, *asked))


def on_tick(core: Core, synced: Synced, now: float) -> Result:
    """Time passed: retry refused claims, end holds, and sweep once when all three sides are in sync."""
    learned = _learned(core, [lambda table: learn.tick(table, now)])
    core, late = learned.core, list[commands.Command]()
    for heard in sightings.due(core.moved, now):
        moved = on_announced(core, heard, now)
        core, late = moved.core, [*late, *moved.commands]
    refused = sorted(core.refusals) if core.stop is None else ()
    retry = binder.claims(core.effective, refused, core.announced)
    core, asked = _claim(core, retry)
    orders = (*learned.commands, *late, *asked)
    own = core.effective.this()
    if own is not None and not core.session:
        orders = (*orders, commands.EnsureBridge(own.vtep))
    seen = core.effective.cluster is not None and core.effective.switch is not None
    # without the inventory the program is empty, and every flow that serves somebody would pass for an orphan
    ready = core.session and core.store_complete and core.stop is None and seen
    if ready and not core.swept and synced is Synced.YES:
        core = replace(core, swept=True, adopted=frozenset())
        orders = (*orders, commands.Audit(commands.Sweep.ORPHANS))
    return Result(core, orders)


def _release_hold(core: Core, news: frozenset[Change]) -> Result:
    """Let the store's word become effective, unless the brake or the operator says otherwise, or it would
    still the data path again too soon.

    `news`: what it said last. The brake judges what is said at once, however much waits with it.
    """
    candidate = state.adopt_stored(core.effective, core.offered)
    stop = _judge(core, candidate, news if core.late.intent else core.pending)
    own = core.offered.this()
    if stop is not None and own is not None and own.confirm == stop.token and not own.frozen:
        core = replace(core, confirmed=stop.token)
        stop = None
    late, known = core.late, replace(core.late, intent=False, dropped=0)
    if stop is not None:
        return Result(replace(core, stop=stop, late=known))
    base = replace(core, stop=None, pending=frozenset(), late=known)
    first = _commit(base, *state.vacate(core.effective, candidate))
    second = _commit(first.core, state.adopt_stored(first.core.effective, core.offered), core.pending)
    result = Result(second.core, (*first.commands, *second.commands))
    dropped = sum(brake.count_lost(c.patch) for c in result.commands if isinstance(c, commands.Program))
    stop = brake.judge_flows(core.effective, dropped - late.dropped, len(core.program.claims))
    if stop is not None and (own is None or own.confirm != stop.token):
        return Result(replace(core, stop=stop, late=known))
    if core.resting and result.stills():
        return Result(replace(core, late=replace(late, intent=True, dropped=dropped)))
    return result


def _judge(core: Core, candidate: Snapshot, changes: frozenset[Change]) -> brake.Stop | None:
    own = core.offered.this()
    if own is not None and own.frozen:
        return brake.Stop("frozen", "the operator froze this host", "")
    return brake.judge(core.effective, candidate, changes)


def _commit(core: Core, new: Snapshot, changes: frozenset[Change]) -> Result:
    """Make `new` effective: learn, compile, originate, claim; in that order."""
    if not changes:
        return Result(core)
    interest = core.table.interest
    table, outcome = learn.consider(core.table, new, changes)
    new, learned = outcome.apply(new)
    new, numbered = living.number(core.effective, core.adopted, new, binder.near(changes))
    core = replace(core, moved=sightings.overtaken(core.moved, learned))
    forgotten = sightings.forget(new)
    new, changes = forgotten.snapshot, changes | learned | numbered | forgotten.changes
    old = core.effective
    zoned = zones.allot(old, new, changes, core.program.index.outward.pinned)
    new, changes = zoned.snapshot, changes | zoned.changes
    known, (program, patch) = core.program, pipeline.recompile(core.program, old, new, changes)
    routes, announce, withdraw = originate.reoriginate(core.routes, old, new, changes)
    near = binder.near(changes)  # what a replay learns is not: thousands, and no port among them
    leaving = living.leaving(old, new, near)
    alive = frozenset(k for k in core.adopted if not binder.lives_here(new, k))
    moving = frozenset(k for k in core.announced if waits(new, k))
    core = replace(core, effective=new, table=table, program=program, routes=routes, adopted=alive)
    core = replace(core, announced=moving, fresh=core.fresh | changes)
    orders: list[commands.Command] = []
    own, before = new.this(), old.this()
    if own is not None and (before is None or before.vtep != own.vtep):
        orders.append(commands.EnsureBridge(own.vtep))
    if withdraw:
        orders.append(commands.Withdraw(withdraw))
    if core.session and leaving:
        orders.append(commands.CloseAccounts(leaving, living.links(old, new, leaving)))
    orders += zones.prepare(old, new, core.shares)
    if core.session and patch and old.switch is None:
        # seen for the first time in this life: it may hold all of it already, and what is right is left alone
        orders.append(commands.Audit(commands.Sweep.KEEP))
    elif core.session:
        orders += living.programming(known, patch, old, new, leaving)
    orders += zones.retire(old, new)
    arriving = living.leaving(new, old, near)
    if arriving:
        orders.append(commands.OpenLinks(living.links(new, new, arriving)))
    if shut := living.shut(new, near):
        orders.append(commands.CloseLinks(shut))
    if announce:
        orders.append(commands.Announce(announce))
    news = heralds.herald(old, new, changes)
    if core.session and news:
        orders.append(commands.Tell(news))
    if outcome.relearn or outcome.relearn_all or table.interest != interest:
        targets = None if outcome.relearn_all else outcome.relearn
        orders.append(commands.Relearn(targets, table.interest))
    core, asked = _claim(core, binder.claims(new, binder.touched(new, near), core.announced))
    return _rise(Result(core, (*orders, *asked, commands.Save())), dict(outcome.contested))


def _claim(core: Core, claims: binder.Claims) -> tuple[Core, tuple[commands.Command, ...]]:
    ports = core.effective.ports
    fresh = [k for k in claims.bind if k not in core.asked]
    given = [k for k in claims.release if k not in core.asked]
    orders: list[commands.Command] = [
        commands.Bind(k, ports[k].uid, moves.outbid(core.table, k)) for k in fresh
    ]
    orders += [commands.Release(k, ports[k].uid) for k in given]
    return replace(core, asked=core.asked | set(fresh) | set(given)), tuple(orders)

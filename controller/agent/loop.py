"""Loop: the one thread that owns the agent's state; takes events, runs the core, carries its commands out.

Place: the agent's heart. Every callback of a watch or session only enqueues here. Must not decide what the
core can. A command that fails leaves the state as it is and an audit due: the switch is compared with the
program again.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Final

from bgp import client, learn
from controller.agent import commands, core, reach, receipts, reporting, state
from controller.agent.announcements import Announced
from controller.agent.book import Book
from controller.agent.calm import Calm
from controller.agent.carrying import Care, carry_out
from controller.agent.core import Core, Result, Synced
from controller.agent.counting import Counting
from controller.agent.effects import Effects
from controller.agent.events import (
    Answered,
    Event,
    Followed,
    Inventory,
    Released,
    SessionDown,
    SessionUp,
    Silent,
    Stop,
)
from controller.agent.fights import Fights
from controller.agent.leasing import Leased
from controller.agent.pace import Due, Pace, Tally
from controller.agent.pathing import PathsDown
from controller.agent.scribe import snapshots
from controller.agent.speech import Speech
from controller.agent.switching import Found
from controller.agent.telling import HandedUp, Teller
from controller.store.view import Batch
from model.errors import RingfenceError
from model.ids import HostName
from model.report import State

LOG: Final = logging.getLogger(__name__)


class Loop:
    """`effects` are the hands; `events` the one queue that every callback puts into."""

    def __init__(
        self,
        start: Core,
        effects: Effects,
        events: queue.SimpleQueue[Event],
        directory: Path,
        pace: Pace,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.core = start
        self._effects = effects
        self._events = events
        self._scribe = snapshots(directory / "snapshot.json")
        self._book = Book(directory / "receipts.json", start.effective.host)
        self._pace = pace
        self._clock = clock
        self._wall = wall
        self._due = Due()
        self._around = reporting.Circumstance(
            store="the store has not been read yet",
            speaker="" if effects.speaker is None else "the speaker is not attached",
            receipts=self._book.kept,
        )
        self._unsaved = False
        self._unsaid = True
        self._audit_due = False
        self._mended = False
        self._adoption_due = False
        self._speaker_synced = effects.speaker is None
        self._completed = False
        self._stated: tuple[State, str] = (State.STARTING, "")
        self._since_ms = wall()
        self._stopping = False
        self._teller = Teller(clock)
        self._speech = Speech(effects.keeper, self._due, pace)
        self._unmetered = Tally()
        self._fights = Fights(directory, clock, lambda: wall() / 1000)
        self._calm = Calm()
        self._counting = Counting(effects.meter, self._due, pace, clock, events.empty)

    def run(self) -> None:
        """Until a Stop event."""
        if self._effects.speaker is not None:
            self._effects.speaker.announce(self.core.routes.ordered())
        self._effects.meter.notice(self.core.effective, self._unmetered.take())  # of the last life
        self._become(core.on_moment(self.core, self._wall()))
        while not self._stopping:
            self._take(max(0.0, self._next() - self._clock()))
            self._periodic()
        self._save()
        self._fights.keep(self.core.table)
        self._scribe.stop()
        self._book.stop()

    def _take(self, wait: float) -> None:
        """Handle what is there."""
        try:
            event = self._events.get(timeout=wait) if wait else self._events.get_nowait()
        except queue.Empty:
            return
        with self._calm:
            self._handle_all(event)

    def _handle_all(self, event: Event) -> None:
        """This one and what waits behind it; updates of peers, and answers of the store, go together."""
        updates: list[client.Received] = []
        answers: list[Answered] = []
        for left in reversed(range(1_000)):
            if isinstance(event, client.Received):
                self._learn_of(answers)
                updates.append(event)
            elif isinstance(event, Answered):
                self._hear(updates)
                answers.append(event)
            else:
                self._hear(updates)
                self._learn_of(answers)
                self._handle(event)
            if not left:
                break  # before another is taken: put back, it would come behind what is newer
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
        self._hear(updates)
        self._learn_of(answers)

    def _hear(self, updates: list[client.Received]) -> None:
        if updates:
            self._become(core.on_updates(self.core, [(u.peer, u.read()) for u in updates], self._clock()))
            self._unsaid = True  # `--wait` waits for routes, too
            updates.clear()

    def _learn_of(self, answers: list[Answered]) -> None:
        for released, some in groupby(answers, key=lambda a: a.answer is None):
            said = [(a.port, a.answer) for a in some]
            # one by one what is given back: the brake would take it for a mass delete
            for part in [[s] for s in said] if released else [said]:
                self._become(core.on_answers(self.core, part))
        self._unsaid |= bool(answers)
        answers.clear()

    def _handle(self, event: Event) -> None:
        if self.core.effective.term and not self._effects.lease.speaks():
            self._become(core.on_lease(self.core, 0))  # before anything else is said or done
        match event:
            case Leased():
                self._become(core.on_lease(self.core, event.term))
                if not event.term:
                    self._effects.lease.released()
            case Batch():
                self._around = replace(self._around, store="")
                whole = state.Whole.YES if event.complete else state.Whole.NO
                self._become(core.on_store(self.core, event.upserts, event.deletes, whole))
            case Inventory():
                self._become(core.on_inventory(self.core, event.seen))
            case SessionUp():
                self._session_up()
            case SessionDown():
                LOG.warning("switch lost host=%s reason=%s", self.core.effective.host, event.reason)
                self._adoption_due = False
                self._become(core.on_session_lost(self.core))
            case Silent():
                self._become(core.on_probe_failed(self.core, event.vtep))
            case PathsDown():
                self._become(core.on_paths(self.core, event.vteps))
            case Announced():
                self._become(core.on_announced(self.core, event, self._clock()))
                return
            case HandedUp():
                self._teller.tell(self.core.effective, event, self._effects.post)
                return  # nothing of it is reported, or a workload could make reports
            case client.PeerUp():
                self._peer(event.peer, "up")
                self._become(core.on_peer_up(self.core, event.peer, self._clock()))
            case client.PeerDown():
                self._peer(event.peer, f"down: {event.reason}")
                self._become(core.on_peer_down(self.core, event.peer, self._clock(), event.reason))
            case client.PeerSilent():
                self._peer(event.peer, f"down: {event.reason}")
                table = learn.peer_silent(self.core.table, event.peer, event.reason)
                self.core = replace(self.core, table=table)
            case client.Synced():
                self._speaker_synced = True
            case client.Attached():
                LOG.info("speaker attached host=%s", self.core.effective.host)
                self._around = replace(self._around, speaker="")
            case client.Detached():
                self._speaker_synced = False
                self._around = replace(self._around, speaker=f"the speaker is not attached: {event.reason}")
                LOG.warning("speaker lost host=%s reason=%s", self.core.effective.host, event.reason)
            case Followed():
                if self._effects.followed():
                    self._become(core.on_followed(self.core))
            case Released():
                self._become(core.on_release(self.core, event.spot))
            case Stop():
                self._stopping = True
        self._unsaid = True

    def _session_up(self) -> None:
        self._adoption_due = False
        try:
            # what runs already is adopted before anything is changed
            self._effects.meter.read(self.core.effective)
            epochs = self._effects.switch.epochs()
        except RingfenceError as error:
            LOG.warning("counters not read host=%s reason=%s", self.core.effective.host, error)
            self._adoption_due = True  # the session is there all the same, and nobody will announce it again
            self._become(core.on_session_lost(self.core))
            return
        self._become(core.on_session(self.core, epochs))

    def _peer(self, peer: str, now: str) -> None:
        LOG.info("BGP peer host=%s peer=%s state=%s", self.core.effective.host, peer, now)
        self._around = replace(self._around, peers={**self._around.peers, peer: now})

    def _become(self, result: Result) -> None:
        """The next state, then its commands in their order."""
        before = self.core
        self.core = replace(result.core, fresh=frozenset())
        self._unmetered.add(result.core.fresh)
        self._speech.add(result.core.fresh)
        for command in result.commands:
            try:
                self._carry_out(command, before)
            except RingfenceError as error:
                LOG.error("%s failed host=%s: %s", type(command).__name__, self.core.effective.host, error)
                self._audit_due = True
        self._complete_routes()
        self.core = replace(self.core, resting=self._effects.meter.rest() > 0)

    def _carry_out(self, command: commands.Command, before: Core) -> None:
        match command:
            case commands.OpenLinks():
                self._effects.switch.open_links(command.links)
                self._due.read = min(self._due.read, self._clock())  # what was never read leaves no trace
            case commands.EnsureBridge():
                self._ensure_bridge(command)
            case commands.Audit():
                self._mend(command.sweep)
            case commands.Save():
                self._unsaved = True
            case _:
                carry_out(command, self._effects, before.effective, self.core.effective)

    def _mend(self, sweep: commands.Sweep) -> Found:
        """Bring the switch to the program. What counted bytes is read before it may be swept."""
        self._audit_due = False
        care = Care(self._effects.meter, self.core.effective)
        return self._effects.switch.audit(self.core.program, sweep, care)

    def _audit(self) -> None:
        """The periodic look: what it finds, somebody else did; no receipt if a command had failed."""
        amiss = self._audit_due
        found = self._mend(commands.Sweep.ORPHANS if self.core.swept else commands.Sweep.KEEP)
        self._around = replace(
            self._around,
            drift=found.beside(self._around.drift),
            receipts=self._book.record(() if amiss else found.mended, self.core.effective, self._wall()),
        )
        self._look_again(found)

    def _look_again(self, found: Found) -> None:
        """Once after a finding, soon: to see that it is mended, not to fight for the flow at that pace."""
        before, self._mended = self._mended, bool(found.missing or found.wrong or found.orphans)
        if self._mended:
            self._unsaid = True
            if not before:
                self._due.audit = min(self._due.audit, self._clock() + self._pace.again)
        elif before:
            LOG.info("switch in order again host=%s", self.core.effective.host)

    def _complete_routes(self) -> None:
        """Tell the speaker, once, that our routes are complete: it withdraws what an earlier life had.

        Only when store and switch have both been heard out: before, a port may just not have been seen yet.
        """
        known = self.core.store_complete and self.core.stop is None and self.core.effective.switch is not None
        if known and not self._completed and self._effects.speaker is not None:
            self._completed = True
            self._effects.speaker.eor()

    def _next(self) -> float:
        due = self._due
        now_and_then = (
            (bool(self.core.late), self._clock() + self._effects.meter.rest()),
            (self._unsaved, due.save),
            (self._unsaid, due.report),
            (self._speech.unfinished, due.details),
        )
        always = due.tick, due.heartbeat, due.audit, self._counting.next()
        return min(*always, *(at for wanted, at in now_and_then if wanted))

    def _periodic(self) -> None:
        now = self._clock()
        if self.core.late and not self._effects.meter.rest():
            self._become(core.on_rested(self.core))
        self._count(now)
        if now >= self._due.tick:
            self._due.tick = now + self._pace.tick
            if self._adoption_due:
                self._session_up()
            self._become(core.on_moment(self.core, self._wall()))
            self._become(core.on_tick(self.core, self._synced(), now))
            known = self.core.effective, self.core.program.index
            self._effects.want(reach.wish(*known, session=self.core.session), reach.load(*known))
            self._lease()
            self._effects.prober.ask(tuple(sorted(learn.probes(self.core.table), key=str)))
            self._fights.keep(self.core.table)
        if self.core.session and self.core.effective.cluster is not None:
            if now >= self._due.audit or self._audit_due:
                self._due.audit = now + self._pace.audit
                if not self._guarded(self._audit):
                    self._due.audit = min(self._due.audit, now + self._pace.again)
        elif now >= self._due.audit:
            self._due.audit = now + self._pace.audit
        if self._unsaved and now >= self._due.save:
            self._save()
        more = self._speech.unfinished and now >= self._due.details
        if now >= self._due.heartbeat or more or (self._unsaid and now >= self._due.report):
            self._say(now)

    def _lease(self) -> None:
        """Who is the partner, and whether this host can serve ports at all. Unknown peers are no reason."""
        this, peers = self.core.effective.this(), self._around.peers.values()
        reached = not peers or "up" in peers
        steered = self.core.stop is None or bool(self.core.effective.term)  # a frozen host takes nothing over
        fit = reached and steered and self.core.session and not self._effects.paths.cut_off()
        self._effects.lease.want(HostName("") if this is None else this.partner, fit=fit)

    def _count(self, now: float) -> None:
        """First of all, right after the events: a port that has left must not pass for one that is there."""
        self._effects.meter.notice(self.core.effective, self._unmetered.take())
        snapshot, session = self.core.effective, self.core.session
        self._guarded(lambda: self._counting.periodic(snapshot, now, session=session))

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it was done; what failed is logged and comes again."""
        try:
            work()
        except RingfenceError as error:
            LOG.warning("periodic work failed host=%s: %s", self.core.effective.host, error)
            return False
        return True

    def _ensure_bridge(self, command: commands.EnsureBridge) -> None:
        """Tried each second while there is no session: said once, and in the report as long as it fails."""
        fault = ""
        try:
            self._effects.switch.ensure(command.vtep)
        except RingfenceError as error:
            fault = "; ".join(f"{f.object} {f.message}: {f.remedy}" for f in error.faults)
        if fault != self._around.bridge:
            LOG.warning("bridge host=%s state=%s", self.core.effective.host, fault or "as wanted")
            self._around = replace(self._around, bridge=fault)
            self._unsaid = True

    def _synced(self) -> Synced:
        ended = all(peer.ended for peer in self.core.table.peers.values())
        return Synced.YES if self._speaker_synced and ended else Synced.NO

    def _save(self) -> None:
        self._unsaved = False
        self._due.save = self._clock() + self._pace.save
        self._scribe.save(self.core.effective)

    def _say(self, now: float) -> None:
        self._unsaid = False
        mended = receipts.alarms(self._around.receipts, self._wall())
        around = self._effects.see(self._around, mended)
        stated = reporting.judge(self.core, around)
        if news := self._teller.news():
            LOG.info("packets not forwarded host=%s %s", self.core.effective.host, news)
        if stated != self._stated:
            words = self.core.effective.host, self._stated[0].value, stated[0].value, stated[1]
            LOG.info("state host=%s from=%s to=%s reason=%s", *words)
            self._stated = stated
            self._since_ms = self._wall()
        self._speech.say(self.core, around, now, self._wall(), self._since_ms)

"""Meter: reads the accounting flows, counts, and journals before anything may be forgotten.

Place: the agent's loop calls `tick` now and then and `close_ports` before it deletes the flows of ports; the
uploader (`controller.agent.upload`) takes the journal to the API. One thread calls it; `begin` and `go_on`
are a `tick` in turns. Must not delete or reset a counter, and must not raise: what fails now is counted
later, since counters are cumulative.

Order at start: open the meter, `tick` once *before* the first flow is programmed (what runs already is
adopted), program, `tick` again at once (a flow that was never read leaves no evidence if vswitchd dies).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

from accounting.attribution import SnapshotCatalogue
from accounting.bounds import Departure, Wire
from accounting.count import advancing, fold, folding, foreseen, recover, resembles_restart
from accounting.encode import parse_state, parse_step, state_bytes, state_turns, step_bytes, step_turns
from accounting.journal import Journal, Need
from accounting.records import Closed, Gap, Run, Series
from accounting.residual import Residual, following
from accounting.state import Reading, State
from accounting.turns import Turns, whole
from controller.agent.pen import Held, Tray
from controller.agent.regaining import first_sequence, regained
from controller.agent.sheet import Counters, Page, Sheet, series_named
from model.errors import RingfenceError
from model.ids import HostName, PortKey
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)
SUSPICION_MS: Final = 1_000
"""How long a reading that resembles an unannounced restart is not believed; a restart is seen in 250 ms."""
_CLOSES_NOTHING: Final[frozenset[Series]] = frozenset()
Slices = Callable[[], Iterator[Counters]]
WINDOW: Final = 0.3
"""Seconds that a reading in slices may take: so much newer are sightings of interfaces than the first
counters (LAG_MS of `accounting.bounds` has half a second to spare)."""
TRIES: Final = 3
"""Readings in slices that others held up for longer than that, before one is made at a stretch."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of interfaces beside their counters.

    `here`: ports whose interfaces the switch held when all news had been heard last; others prove nothing.
    `pulled`: asked after the counters were read: those that left with their traffic running.
    `doubted`: those whose traffic may have been credited to a path that it did not take; `withheld`: those of
    them of which nothing is billed that was counted since the last reading: it may hold bytes twice.
    """

    here: frozenset[PortKey]
    pulled: Callable[[], Mapping[PortKey, Departure]] = dict
    doubted: frozenset[PortKey] = frozenset()
    withheld: frozenset[PortKey] = frozenset()


_NOTHING: Final = Presence(frozenset())


class Outcome(Enum):
    """How a tick or a closing ended."""

    COUNTED = "counted"
    """In memory, and on its way to the disk (only `go_on` ends like this)."""
    JOURNALLED = "journalled"
    """Read, and on disk."""
    HELD = "held"
    """The journal takes nothing (disk full): the step is kept in memory; lost only if the agent dies too."""
    DEFERRED = "deferred"
    """The journal still takes nothing: nothing was read."""
    UNREAD = "unread"
    """The switch gave no counters; next time."""
    SUSPECT = "suspect"
    """All counters fell at once: read again later, in case another ovs-vswitchd was not noticed yet."""
    UNCLOSED = "unclosed"
    """Closing only: purge or read failed; when the flows go, that is recorded as a gap."""


class Meter:
    """The counting of one host."""

    def __init__(
        self,
        journal: Journal,
        read_counters: Callable[[], Counters],
        now_ms: Callable[[], int],
        *,
        read_wires: Callable[[], Mapping[PortKey, Wire]] = dict,
        on_written: Callable[[], None] = lambda: None,
        slices: Slices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read_counters`: all flows of the accounting tables; `slices`: the same in parts. `read_wires`:
        what came in from bound ports by their interfaces' own counters, for the bounds of gaps; only counters
        that outlive ovs-vswitchd.
        `on_written`: told after each step that is on disk, with something to upload (the uploader's `wake`).
        Unavailable if the journal can't be understood.
        """
        self._journal, self._read_counters, self._read_wires = journal, read_counters, read_wires
        self._now_ms = now_ms
        self._state = _recovered(journal, now_ms())
        self._slices, self._clock = slices or (lambda: iter((read_counters(),))), clock
        self._tray = Tray(journal, on_written)
        self._sheet = Sheet()
        self._turns: Turns[Outcome] | None = None
        self._snapshot = Snapshot(HostName(""))
        self._suspected_ms: int | None = None
        self._handed_ms = 0
        self.residual = Residual()

    @property
    def held(self) -> int:
        """Steps that the journal has not taken."""
        return len(self._tray)

    @property
    def state(self) -> State:
        """What is counted so far."""
        return self._state

    @property
    def handed_ms(self) -> int:
        """All that was counted up to then has been taken by the API; Unix ms, 0 = not known yet."""
        if self._tray.handed:
            self._handed_ms = self._state.read_ms
        return self._handed_ms

    def tick(self, run: Run, snapshot: Snapshot, presence: Presence) -> Outcome:
        """Read all counters of `run` (see `run_of`), count and journal. What `presence` tells of ports is
        taken in if the outcome is JOURNALLED or HELD; else it must be told again.
        """
        self.drop()
        self._snapshot = snapshot
        outcome = whole(self._counting(run, presence, None))
        return self._written() if outcome is Outcome.COUNTED else outcome

    def begin(self, run: Run, presence: Presence) -> None:
        """As `tick`, in turns: go on with `go_on`. Whatever else is read meanwhile drops it, and holds all
        that this would have told.
        """
        self.drop()
        self._turns = self._counting(run, presence, self._slices)

    def go_on(self, snapshot: Snapshot, until: float) -> Outcome | None:
        """Some turns, till `until` by the clock; `snapshot` as of now. None = not through; COUNTED = in
        memory, for good, and the journal's answer comes as another outcome.
        """
        self._snapshot = snapshot
        if self._turns is None:
            return self._written() if self._tray.answered else None
        try:
            while True:
                next(self._turns)
                if self._clock() >= until:
                    return None
        except StopIteration as end:
            self._turns = None
            outcome: Outcome = end.value
        except BaseException:
            self._turns = None
            raise
        if outcome is Outcome.COUNTED:
            self._tray.begin()
        return outcome

    def drop(self) -> None:
        """Forget a reading that is not counted yet: counters are cumulative, so nothing is lost."""
        if self._turns is not None:
            self._turns.close()
            self._turns = None

    @property
    def busy(self) -> bool:
        """Whether `go_on` has something to do now."""
        return self._turns is not None

    @property
    def writing(self) -> bool:
        """Whether a step is on its way to the disk."""
        return self._tray.writing

    def foresee(self, ports: frozenset[PortKey]) -> None:
        """Have it on disk that these may be in doubt from now on, until the next reading: an agent that dies
        in between leaves that to its next life. None: they are not. It drops a reading in turns."""
        before, step = self._state, foreseen(self._state, ports)
        if step is not None and ports != before.unsure:
            self.drop()
            need = Need.FINAL if ports else Need.USUAL
            self._tray.put(Held(step, step_bytes(step), partial(state_bytes, before), need))
            self._state = fold(before, step)
            self._sheet.follow(before, self._state)
            self._tray.flush()

    def close_ports(
        self,
        ports: Sequence[PortKey],
        run: Run,
        snapshot: Snapshot,
        purge: Callable[[], None],
        told: Presence = _NOTHING,
    ) -> Outcome:
        """The last reading of `ports`. Their traffic must be stopped already; delete their flows afterwards.

        `told`: nobody is `here`; `pulled` are those of them whose interfaces are gone: what was pending then
        can't be read any more.
        `snapshot`: one that still knows the ports. `purge`: unixctl's revalidate_purge: without it the flows
        have not yet been told of the last packets (1 of 61 was seen).
        """
        chosen = frozenset(ports)
        return self._close(lambda series: series[0] in chosen, run, snapshot, purge, told)

    def close_flows(
        self,
        doomed: Iterable[int],
        run: Run,
        snapshot: Snapshot,
        purge: Callable[[], None],
        told: Presence = _NOTHING,
    ) -> Outcome:
        """As `close_ports`, for counters with these cookies: a class that goes, orphans before a sweep.

        Nothing may reach them any more: send the first part of `pipelines.accounts.split` before.
        """
        chosen = {series_named(cookie) for cookie in doomed}
        return self._close(lambda series: series in chosen, run, snapshot, purge, told)

    def _close(
        self,
        chosen: Callable[[Series], bool],
        run: Run,
        snapshot: Snapshot,
        purge: Callable[[], None],
        told: Presence,
    ) -> Outcome:
        self.drop()
        self._snapshot = snapshot
        try:
            purge()
        except (RingfenceError, OSError) as error:
            LOG.warning("egress not closed host=%s: purge failed: %s", run.host, error)
            return Outcome.UNCLOSED
        # in the middle of events: who else may have left meanwhile is not known
        found = whole(self._reading(run, told, None))
        if found is None:
            return Outcome.UNCLOSED
        closing = frozenset(series for series in found[1].counters if chosen(series))
        whole(self._keeping(*found, closing))
        return self._written()

    def _counting(self, run: Run, presence: Presence, slices: Slices | None) -> Turns[Outcome]:
        """A reading, until it is counted in memory."""
        if not self._tray.flush():
            return Outcome.DEFERRED
        found = yield from self._reading(run, presence, slices)
        if found is None:
            return Outcome.UNREAD
        reading = found[1]
        if resembles_restart(self._state, reading) and not self._is_old_news(reading.at_ms):
            return Outcome.SUSPECT
        self._suspected_ms = None
        yield from self._keeping(*found, _CLOSES_NOTHING)
        return Outcome.COUNTED

    def _reading(
        self, run: Run, presence: Presence, slices: Slices | None
    ) -> Turns[tuple[Page, Reading] | None]:
        try:
            parts = [self._read_counters()] if slices is None else (yield from self._parts(slices))
        except (RingfenceError, OSError) as error:
            LOG.warning("egress not read host=%s: %s", run.host, error)
            return None
        wires, pulled, at_ms = self._wires(run), presence.pulled(), self._now_ms()
        page, counters, moved = yield from self._sheet.compare(parts, self._state, run)
        switch = self._snapshot.switch
        datapath = switch.datapath if switch else "unknown"
        blind = frozenset((self._state.sightings.keys() | wires.keys()) - presence.here)
        doubted, withheld = presence.doubted, presence.withheld
        return page, Reading(run, at_ms, datapath, counters, wires, pulled, blind, doubted, withheld, moved)

    def _parts(self, slices: Slices) -> Turns[Sequence[Counters]]:
        """All slices; if others took so long in between that the first are too old, all of them once more."""
        for _ in range(TRIES):
            until, parts = self._clock() + WINDOW, []
            for part in slices():
                parts.append(part)
                yield
                if self._clock() >= until:
                    break
            else:
                return parts
        return [self._read_counters()]

    def _wires(self, run: Run) -> Mapping[PortKey, Wire]:
        """After the counters: so the wires hold all that the counters hold. Bounds only: may be missing."""
        try:
            return self._read_wires()
        except (RingfenceError, OSError) as error:
            LOG.warning("interface counters not read host=%s: %s", run.host, error)
            return {}

    def _is_old_news(self, at_ms: int) -> bool:
        """Whether the suspicion has lasted long enough for a restart to be announced, if it was one."""
        if self._suspected_ms is None:
            self._suspected_ms = at_ms
        return abs(at_ms - self._suspected_ms) >= SUSPICION_MS

    def _keeping(self, page: Page, reading: Reading, closing: frozenset[Series]) -> Turns[None]:
        """Count in memory, with the last turn: what the journal refuses is offered again, unchanged."""
        before = self._state
        step = yield from advancing(before, reading, SnapshotCatalogue(self._snapshot), closing)
        state = yield from folding(before, step)
        residual = yield from following(self.residual, step.records, reading.wires, state.tallies)
        body = yield from step_turns(step)
        checkpoint: Callable[[], bytes] = partial(state_bytes, before)
        if self._journal.begins_segment:
            ready = yield from state_turns(before)
            checkpoint = partial(bytes, ready)
        if before.run is None or not before.run.goes_on(step.run):
            LOG.info("egress counts anew host=%s vswitchd=%s", step.run.host, step.run.vswitchd_start)
        need = Need.USUAL
        for gap in step.records:
            if isinstance(gap, (Closed, Gap)):
                need = Need.FINAL
            if isinstance(gap, Gap):
                LOG.warning(
                    "egress gap tenant=%s port=%s host=%s cause=%s bound=%s",
                    gap.owner.tenant_name, gap.owner.port_name, gap.run.host, gap.cause.value, gap.bound,
                )  # fmt: skip
        self._tray.put(Held(step, body, checkpoint, need))
        self._state, self.residual = state, residual
        self._sheet.keep(page, state)

    def _written(self) -> Outcome:
        return Outcome.JOURNALLED if self._tray.flush() else Outcome.HELD

    def stop(self) -> None:
        """Wait for what is on its way to the disk; the journal may be closed then."""
        self.drop()
        if self._tray.writing:
            self._tray.flush()


def run_of(snapshot: Snapshot, boot_id: str) -> Run | None:
    """This life of ovs-vswitchd; None while there is none that is known."""
    if snapshot.switch is None or not snapshot.switch.started:
        return None
    return Run(snapshot.host, boot_id, snapshot.switch.started)


def read_boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """The kernel's id of this boot (random(4))."""
    return path.read_text().strip()


def _recovered(journal: Journal, now_ms: int) -> State:
    """The state that the journal holds."""
    return regained(
        "egress journal",
        journal,
        State(next_sequence=first_sequence(now_ms)),
        lambda checkpoint, steps: recover(parse_state(checkpoint), map(parse_step, steps)),
    )

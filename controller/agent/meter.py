"""Meter: reads the accounting flows, counts, and journals before anything may be forgotten.

Place: the agent's loop calls `tick` now and then and `close_ports` before it deletes the flows of ports; the
uploader (`controller.agent.upload`) takes the journal to the API. One thread calls it. Must not delete or
reset a counter, and must not raise: what fails now is counted later, since counters are cumulative.

Order at start: open the meter, `tick` once *before* the first flow is programmed (what runs already is
adopted), program, `tick` again at once (a flow that was never read leaves no evidence if vswitchd dies).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from accounting.attribution import SnapshotCatalogue
from accounting.bounds import Departure, Wire
from accounting.classes import inbound
from accounting.count import Reading, State, Step, advance, fold, foreseen, recover, resembles_restart
from accounting.encode import parse_state, parse_step, state_bytes, step_bytes
from accounting.journal import Journal, Need, Refused
from accounting.records import Closed, Counter, Gap, Run, Series
from accounting.residual import Residual, followed
from controller.agent.regaining import first_sequence, regained
from model.errors import RingfenceError
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines import cookies

LOG: Final = logging.getLogger(__name__)
SUSPICION_MS: Final = 1_000
"""How long a reading that resembles an unannounced restart is not believed; a restart is seen in 250 ms."""
_COUNTING: Final = (cookies.Kind.ACCOUNT, cookies.Kind.ACCOUNT_IN)


class Counters(Protocol):
    """What the accounting tables' dumps give: columns of equal length (see southbound.openflow.dump)."""

    @property
    def cookie(self) -> Columns: ...
    @property
    def packets(self) -> Columns: ...
    @property
    def octets(self) -> Columns: ...


class Columns(Protocol):
    """A numpy array, as far as it matters here."""

    def tolist(self) -> list[int]: ...


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
    ) -> None:
        """`read_counters`: all flows of the accounting tables. `read_wires`: what came in from bound ports by
        their interfaces' own counters, for the bounds of gaps; only counters that outlive ovs-vswitchd.
        `on_written`: told after each step that is on disk, with something to upload (the uploader's `wake`).
        Unavailable if the journal can't be understood.
        """
        self._journal, self._read_counters, self._read_wires = journal, read_counters, read_wires
        self._now_ms, self._on_written = now_ms, on_written
        self._state = _recovered(journal, now_ms())
        self._held: list[tuple[Step, State]] = []
        self._names: dict[int, Series | None] = {}
        self._suspected_ms: int | None = None
        self._refused = False
        # Whether earlier frames hold something to upload is not known: all of them have to be gone first.
        self._billable, self._handed_ms = journal.newest, 0
        self.residual = Residual()

    @property
    def held(self) -> int:
        """Steps that the journal has not taken."""
        return len(self._held)

    @property
    def state(self) -> State:
        """What is counted so far."""
        return self._state

    @property
    def handed_ms(self) -> int:
        """All that was counted up to then has been taken by the API; Unix ms, 0 = not known yet."""
        waiting = self._journal.waiting
        if not self._held and (waiting is None or waiting > self._billable):
            self._handed_ms = self._state.read_ms
        return self._handed_ms

    def tick(self, run: Run, snapshot: Snapshot, presence: Presence) -> Outcome:
        """Read all counters of `run` (see `run_of`), count and journal. What `presence` tells of ports is
        taken in if the outcome is JOURNALLED or HELD; else it must be told again.
        """
        if not self._flush():
            return Outcome.DEFERRED
        reading = self._read(run, snapshot, presence)
        if reading is None:
            return Outcome.UNREAD
        if resembles_restart(self._state, reading) and not self._is_old_news(reading.at_ms):
            return Outcome.SUSPECT
        self._suspected_ms = None
        return self._keep(advance(self._state, reading, SnapshotCatalogue(snapshot)), reading)

    def foresee(self, ports: frozenset[PortKey]) -> None:
        """Have it on disk that these may be in doubt from now on, until the next reading: an agent that dies
        in between leaves that to its next life. None: they are not."""
        step = foreseen(self._state, ports)
        if step is not None and ports != self._state.unsure:
            self._held.append((step, self._state))
            self._state = fold(self._state, step)
            self._flush()

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
        try:
            purge()
        except (RingfenceError, OSError) as error:
            LOG.warning("egress not closed host=%s: purge failed: %s", run.host, error)
            return Outcome.UNCLOSED
        # in the middle of events: who else may have left meanwhile is not known
        reading = self._read(run, snapshot, told)
        if reading is None:
            return Outcome.UNCLOSED
        closing = frozenset(series for series in reading.counters if chosen(series))
        return self._keep(advance(self._state, reading, SnapshotCatalogue(snapshot), closing), reading)

    def _read(self, run: Run, snapshot: Snapshot, presence: Presence) -> Reading | None:
        switch = snapshot.switch
        try:
            counters = self._sum(self._read_counters())
        except (RingfenceError, OSError) as error:
            LOG.warning("egress not read host=%s: %s", run.host, error)
            return None
        datapath = switch.datapath if switch else "unknown"
        wires, pulled = self._wires(run), presence.pulled()
        blind = (self._state.sightings.keys() | wires.keys()) - presence.here
        at_ms, doubted, withheld = self._now_ms(), presence.doubted, presence.withheld
        return Reading(run, at_ms, datapath, counters, wires, pulled, frozenset(blind), doubted, withheld)

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

    def _sum(self, counters: Counters) -> dict[Series, Counter]:
        """`series_of`, parsing each cookie once and not at every tick (40,000 of them: 130 ms)."""
        found = counters.cookie.tolist()
        if len(self._names) > 2 * len(found):
            self._names = {}
        for cookie in found:
            if cookie not in self._names:
                self._names[cookie] = series_named(cookie)
        return series_of(counters, self._names)

    def _keep(self, step: Step, reading: Reading) -> Outcome:
        """Journal a step. It counts in memory at once; a refused one is offered again, unchanged."""
        if self._state.run is None or not self._state.run.goes_on(step.run):
            LOG.info("egress counts anew host=%s vswitchd=%s", step.run.host, step.run.vswitchd_start)
        for gap in step.records:
            if isinstance(gap, Gap):
                LOG.warning(
                    "egress gap tenant=%s port=%s host=%s cause=%s bound=%s",
                    gap.owner.tenant_name, gap.owner.port_name, gap.run.host, gap.cause.value, gap.bound,
                )  # fmt: skip
        self._held.append((step, self._state))
        self._state = fold(self._state, step)
        self.residual = followed(self.residual, step.records, reading.wires, self._state.tallies)
        return Outcome.JOURNALLED if self._flush() else Outcome.HELD

    def _flush(self) -> bool:
        """Write what is held; False if the journal refuses."""
        wrote = False
        final = any(isinstance(r, Closed | Gap) for step, _ in self._held for r in step.records)
        final = final or any(step.unsure for step, _ in self._held)
        need = Need.FINAL if final else Need.USUAL
        while self._held:
            step, before = self._held[0]
            result = self._journal.append(step_bytes(step), partial(state_bytes, before), need)
            if isinstance(result, Refused):
                if not self._refused:
                    LOG.error("egress journal refuses host=%s: %s", step.run.host, result.reason)
                self._refused = True
                return False
            if self._refused:
                LOG.info("egress journal goes on host=%s", step.run.host)
            self._refused = False
            self._held.pop(0)
            if step.records:
                wrote, self._billable = True, result.number
        if wrote:
            self._on_written()
        return True


def run_of(snapshot: Snapshot, boot_id: str) -> Run | None:
    """This life of ovs-vswitchd; None while there is none that is known."""
    if snapshot.switch is None or not snapshot.switch.started:
        return None
    return Run(snapshot.host, boot_id, snapshot.switch.started)


def read_boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """The kernel's id of this boot (random(4))."""
    return path.read_text().strip()


def series_named(cookie: int) -> Series | None:
    """What an account's cookie stands for; None for other cookies."""
    parsed = cookies.parse(cookie)
    if parsed is None or parsed.kind not in _COUNTING:
        return None
    received = parsed.kind is cookies.Kind.ACCOUNT_IN
    return (parsed.port, inbound(parsed.cls) if received else parsed.cls, parsed.epoch)


def series_of(counters: Counters, names: Mapping[int, Series | None]) -> dict[Series, Counter]:
    """Counters by series; `names` knows every cookie. Flows of one cookie are summed, None is left out."""
    out: dict[Series, Counter] = {}
    columns = (counters.cookie.tolist(), counters.packets.tolist(), counters.octets.tolist())
    for cookie, packets, octets in zip(*columns, strict=True):
        series = names[cookie]
        if series is not None:
            before = out.get(series)
            out[series] = (before[0] + packets, before[1] + octets) if before else (packets, octets)
    return out


def _recovered(journal: Journal, now_ms: int) -> State:
    """The state that the journal holds."""
    return regained(
        "egress journal",
        journal,
        State(next_sequence=first_sequence(now_ms)),
        lambda checkpoint, steps: recover(parse_state(checkpoint), map(parse_step, steps)),
    )

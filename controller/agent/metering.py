"""Metering: the meter with the agent's hands: counters of the switch and of links, purge and link down.

Place: effects, called by the loop's thread. Must not count: that is `accounting.count`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from accounting.bounds import LAG_MS, Departure
from accounting.encode import HEAD, step_time
from accounting.journal import Journal
from accounting.records import Run
from accounting.room import Room, Space, look
from controller.agent.meter import Meter, Outcome, Presence, run_of
from controller.agent.standstill import Stillness, still
from controller.agent.switching import Switching
from controller.agent.upload import Uploader
from controller.agent.vantage import Vantage
from controller.agent.withheld import Held
from controller.southbound import unixctl
from model.change import Change
from model.errors import RingfenceError
from model.ids import PortKey
from model.report import EgressReport
from model.snapshot import Snapshot
from pipelines import cookies

LOG: Final = logging.getLogger(__name__)
SETTLE: Final = 40
"""Purges at most until two readings in a row agree: frames may still wait in the socket of a link that is
down."""
PURGES: Final = 2
"""After a change in doubt: the second one tells of flows that a look of Open vSwitch held in its hands."""
REST: Final = 1.0
"""Seconds for which the data path is left alone after a standstill, which takes up to half a second: what
would still it again waits, all of it for the same one."""
WARN_BACKLOG: Final = 10_000
"""Journalled steps that wait for the API, from which on it is an alarm."""
_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.HELD: "the egress journal takes nothing: is the disk full?",
    Outcome.DEFERRED: "the egress journal takes nothing: is the disk full?",
    Outcome.UNREAD: "egress counters could not be read",
    Outcome.UNCLOSED: "the last counters of a port could not be read: a gap is recorded",
}


_WRITTEN: Final = (Outcome.JOURNALLED, Outcome.HELD)
_TAKEN: Final = (Outcome.COUNTED, *_WRITTEN)
"""Read; what was told with it need not be told again."""
_NOBODY: Final[frozenset[PortKey]] = frozenset()


class Metering:
    """See `controller.agent.meter.Meter` for the order at start."""

    def __init__(
        self,
        meter: Meter,
        vantage: Vantage,
        switching: Switching,
        uploader: Uploader,
        journal: Journal,
        rundir: Path,
        boot_id: str,
        clock: Callable[[], float] = time.monotonic,
        breaches: Callable[[], int] = lambda: 0,
        devices: Callable[[], Held] = Held,
    ) -> None:
        """`breaches`: how often the fence of a host with a partner dropped what served ports sent. `devices`:
        what waits of their counters for a certificate, for the alarm.
        """
        self._meter = meter
        self._vantage = vantage
        self._switching = switching
        self._uploader = uploader
        self._journal = journal
        self._rundir = rundir
        self._boot_id = boot_id
        self._clock = clock
        self._breaches, self._breached = breaches, breaches()
        self._devices = devices
        self._rested = self._looked = self._begun = -REST
        self._outcome = Outcome.JOURNALLED
        self._here = _NOBODY
        self._doubted, self._moved = _NOBODY, meter.state.unsure
        self._run: Run | None = None
        self._told: Mapping[PortKey, Departure] = {}
        self._room = Room(time.monotonic, lambda: look(journal.directory))
        self._searched = False
        self._noticed: Snapshot | None = None

    def notice(self, snapshot: Snapshot, changes: frozenset[Change] | None) -> None:
        """Who was pulled out is written to the journal at once: call it before the snapshot is saved, which
        is all that tells an agent's next life where the ports sat.

        `changes`: all since the last call (None = look at everything).
        """
        if snapshot is self._noticed:
            return
        if self._noticed is None:
            self._vantage.recall(self._meter.state, snapshot)
        self._noticed = snapshot
        self._vantage.look(snapshot, changes)
        if snapshot.switch is not None and not self._searched:
            self._vantage.search(self._meter.state, snapshot)
            self._searched = True
        self._journal_departures(snapshot)

    def sight(self, snapshot: Snapshot) -> None:
        """Look at the interfaces' own counters. Call it often, and only when all events have been handled."""
        self.notice(snapshot, None)
        self._vantage.keep()
        if snapshot.switch is not None:
            here = self._vantage.sight()
            self._journal_departures(snapshot)
            self._here = here
            if self._moved and self._lagged():
                self.read(snapshot)

    def _journal_departures(self, snapshot: Snapshot) -> None:
        if self._vantage.pending:
            self.read(snapshot)

    def read(self, snapshot: Snapshot) -> None:
        """One reading, if ovs-vswitchd runs. After `sight` it also tells what is surely in the counters."""
        prepared = self._prepared(snapshot)
        if prepared is not None:
            run, here = prepared
            self._looked = self._clock()
            stays = self._moved if self._moved and not self._settle() else _NOBODY
            outcome = self._meter.tick(run, snapshot, self._presence(here, self._departures))
            self._take(outcome, stays)
            if stays:  # the reading has ended it on disk
                self._meter.foresee(stays)

    def begin(self, snapshot: Snapshot) -> None:
        """As `read`, in turns: `go_on` until it is no longer `busy`. `read`, `close`, `close_flows` and
        `shift` drop it, and tell what it would have told. At a stretch while something is withheld: all that
        is pending has to be told right before.
        """
        if self._moved:
            self.read(snapshot)
            return
        prepared = self._prepared(snapshot)
        if prepared is not None:
            self._run, here = prepared
            self._begun = self._clock()
            self._meter.begin(self._run, self._presence(here, self._departures))

    def go_on(self, snapshot: Snapshot, seconds: float) -> None:
        """Some turns of what was begun, for about so long. Another life of the switch ends it."""
        if self._meter.busy and run_of(snapshot, self._boot_id) != self._run:
            self._meter.drop()
        reading = self._meter.busy
        outcome = self._meter.go_on(snapshot, self._clock() + seconds)
        if reading and not self._meter.busy:
            self._looked = self._begun  # not when it began: it may have been dropped
        if outcome in _WRITTEN and self._outcome is Outcome.COUNTED:
            self._outcome = outcome
        elif outcome is not None:
            self._take(outcome)

    @property
    def busy(self) -> bool:
        """Whether `go_on` has something to do now."""
        return self._meter.busy

    @property
    def writing(self) -> bool:
        """Whether it will have, when the disk has answered."""
        return self._meter.writing

    def _take(self, outcome: Outcome, stays: frozenset[PortKey] = _NOBODY) -> None:
        """`stays`: what is in doubt after it still."""
        self._outcome = outcome
        if outcome in _TAKEN:
            self._vantage.settle(self._told)
            self._doubted, self._moved = _NOBODY, stays

    def _prepared(self, snapshot: Snapshot) -> tuple[Run, frozenset[PortKey]] | None:
        here, self._here = self._here, _NOBODY
        run = run_of(snapshot, self._boot_id)
        if run is None:
            return None
        if snapshot is not self._noticed:
            self._vantage.look(snapshot)
        self._vantage.keep()
        self._look_at_fence()
        return run, here

    def close(self, snapshot: Snapshot, ports: tuple[PortKey, ...], links: tuple[str, ...]) -> None:
        """The last reading of ports: links down, purge until the counters stand, journal.

        A port without a link was pulled out of the switch. One whose link can't be set down still sends: it
        is not closed, and leaves a gap when its flows go.
        """
        self._here = _NOBODY
        run = run_of(snapshot, self._boot_id)
        if run is None:
            return
        self._vantage.look(snapshot)
        named = self._vantage.ports(links)
        sending = self._vantage.ports(self._switching.close_links(links))
        pulled = frozenset(ports) - named
        self._vantage.leave(pulled)
        closing = tuple(port for port in ports if port not in sending)
        self._vantage.keep()
        self._look_at_fence()
        told = self._presence(_NOBODY, lambda: self._told_of(pulled))
        purge = partial(self._purge, lambda cookie: _port(cookie) in closing)
        self._take(self._meter.close_ports(closing, run, snapshot, purge, told))
        LOG.info("egress closed host=%s ports=%d outcome=%s", run.host, len(ports), self._outcome.value)

    def close_flows(self, snapshot: Snapshot, doomed: tuple[int, ...]) -> None:
        """The last reading of counters with these cookies; nothing may reach them any more."""
        run = run_of(snapshot, self._boot_id)
        if run is not None and doomed:
            told = self._presence(_NOBODY, dict)
            self._outcome = self._meter.close_flows(
                doomed, run, snapshot, lambda: self._purge(lambda cookie: cookie in doomed), told
            )
            if self._outcome in _TAKEN:
                self._doubted = self._moved = _NOBODY

    def shift(
        self,
        snapshot: Snapshot,
        ports: tuple[PortKey, ...],
        work: Callable[[], object],
        before: Snapshot | None = None,
    ) -> None:
        """Do `work`, which moves the pass of the data path in which `ports` are counted, the class as which,
        or whether they are: one bundle.

        If it can't be proven that nothing was pending then, nothing is billed of them between the reading
        before and one after it, and they get a gap. `before`: the snapshot that has names for what goes.
        """
        self._meter.drop()
        alone = not self._moved and self._lagged()
        if alone:
            self.read(snapshot if before is None else before)  # what was counted by now is sure
        known, self._moved = self._moved, self._moved | frozenset(ports)
        # On disk right before, not while a standstill is waited for: an agent that dies then leaves no gap.
        stillness = still(self._rundir, work, ready=partial(self._meter.foresee, self._moved))
        self._rested = self._clock() + REST
        if stillness is Stillness.PROVEN:
            self._moved = known
            self._meter.foresee(known)
        else:
            self.read(snapshot)

    def rest(self) -> float:
        """Seconds for which the data path is better not stilled; 0 = it may be."""
        return max(0.0, self._rested - self._clock())

    def alarms(self) -> tuple[str, ...]:
        """What is wrong now, in words."""
        found = [_OUTCOMES[self._outcome]] if self._outcome in _OUTCOMES else []
        if self._journal.backlog > WARN_BACKLOG:
            found.append(f"{self._journal.backlog} egress records wait for the API")
        found += self._uploader.withheld.joined(self._devices()).words()
        room = self._room.words("the disk of the egress journal fills", self._room.see())
        return tuple([*found, room] if room else found)

    def told(self) -> EgressReport:
        """In figures; `alarms` looks at the disk."""
        residual, space = self._meter.residual, self._room.space or Space(0, 0)
        waiting = (step_time(self._journal.oldest(HEAD)), self._uploader.withheld.since_ms)
        return EgressReport(
            wire=residual.wire,
            counted=residual.counted,
            unseen=residual.unseen,
            backlog=self._journal.backlog,
            oldest_ms=min((ms for ms in waiting if ms), default=0),
            held=self._meter.held,
            free=space.free,
            size=space.size,
            full_in_s=self._room.full_in_s,
        )

    def counted_ms(self) -> int:
        """All that this host counted up to then is in the ledger; Unix ms, 0 = not known yet."""
        handed, since = self._meter.handed_ms, self._uploader.withheld.since_ms
        return min(handed, since) if since else handed

    def stop(self) -> None:
        """End the upload; what is not uploaded stays in the journal."""
        self._uploader.stop()
        self._meter.stop()
        self._vantage.close()
        self._journal.close()

    def _look_at_fence(self) -> None:
        """What waited to be counted when it closed is credited to a way that ends there."""
        found = self._breaches()
        if found != self._breached:
            self._breached = found
            self._doubted |= frozenset(series[0] for series in self._meter.state.baselines)

    def _presence(
        self, here: frozenset[PortKey], pulled: Callable[[], Mapping[PortKey, Departure]]
    ) -> Presence:
        return Presence(here, pulled, self._doubted | self._moved, self._moved)

    def _lagged(self) -> bool:
        """Whether the last reading is so old that bounds may begin with it."""
        return self._clock() >= self._looked + LAG_MS / 1e3

    def _settle(self) -> bool:
        """Have all that is pending told to the flows; whether it was."""
        try:
            for _ in range(PURGES):
                unixctl.revalidate_purge(self._rundir)
        except (RingfenceError, OSError) as error:
            LOG.warning("egress stays in doubt: purge failed: %s", error)
            return False
        return True

    def _departures(self) -> Mapping[PortKey, Departure]:
        self._told = self._vantage.departures()
        return self._told

    def _told_of(self, ports: frozenset[PortKey]) -> Mapping[PortKey, Departure]:
        told = self._vantage.departures()
        self._told = {port: told[port] for port in told if port in ports}
        return self._told

    def _purge(self, closing: Callable[[int], bool]) -> None:
        """Purge until the counters that close stand still: what other ports send must not keep us here."""
        last: list[int] | None = None
        for _ in range(SETTLE):
            unixctl.revalidate_purge(self._rundir)
            found = self._switching.counters()
            pairs = zip(found.cookie.tolist(), found.packets.tolist(), strict=True)
            now = [packets for cookie, packets in pairs if closing(cookie)]
            if now == last:
                return
            last = now
        LOG.warning("egress counters still move after %d purges", SETTLE)


def _port(cookie: int) -> PortKey | None:
    parsed = cookies.parse(cookie)
    return None if parsed is None else parsed.port

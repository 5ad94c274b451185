"""Metering: the meter with the agent's hands: counters of the switch, counters of links, purge and link down.

Place: effects, called by the loop's thread. Must not count: that is `accounting.count`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from accounting.count import Wire
from accounting.journal import Journal
from controller.agent.meter import Meter, Outcome, run_of
from controller.agent.switching import Switching
from controller.agent.upload import Uploader
from controller.southbound import unixctl
from controller.southbound.netlink.links import traffic
from model.ids import PortKey
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)
SETTLE: Final = 40
"""Purges at most until two readings in a row agree: frames may still wait in the socket of a link that is
down."""
WARN_BACKLOG: Final = 10_000
"""Journalled steps that wait for the API, from which on it is an alarm."""
_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.HELD: "the egress journal takes nothing: is the disk full?",
    Outcome.UNREAD: "egress counters could not be read",
    Outcome.UNCLOSED: "the last counters of a port could not be read: a gap is recorded",
}


@dataclass(slots=True)
class Vantage:
    """Interface names of ports, as last seen: after a restart ovs-vswitchd shows none for a while, just
    when the bound of a gap is wanted.
    """

    names: Mapping[str, PortKey] = field(default_factory=dict)

    def look(self, snapshot: Snapshot) -> None:
        """Take in what a snapshot shows; ports that it no longer knows are forgotten."""
        kept = {name: port for name, port in self.names.items() if port in snapshot.ports}
        found = ((i.name, snapshot.by_uid.get(uid)) for uid, i in snapshot.interfaces.items())
        self.names = kept | {name: port for name, port in found if port is not None}


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
    ) -> None:
        self._meter = meter
        self._vantage = vantage
        self._switching = switching
        self._uploader = uploader
        self._journal = journal
        self._rundir = rundir
        self._boot_id = boot_id
        self._outcome = Outcome.JOURNALLED

    def read(self, snapshot: Snapshot) -> None:
        """One reading, if ovs-vswitchd runs."""
        run = run_of(snapshot, self._boot_id)
        if run is None:
            return
        self._vantage.look(snapshot)
        self._outcome = self._meter.tick(run, snapshot)

    def close(self, snapshot: Snapshot, ports: tuple[PortKey, ...], links: tuple[str, ...]) -> None:
        """The last reading of ports: links down, purge until the counters stand, journal."""
        run = run_of(snapshot, self._boot_id)
        if run is None:
            return
        self._vantage.look(snapshot)
        self._switching.close_links(links)
        self._outcome = self._meter.close_ports(ports, run, snapshot, self._purge)
        LOG.info("egress closed host=%s ports=%d outcome=%s", run.host, len(ports), self._outcome.value)

    def close_flows(self, snapshot: Snapshot, doomed: tuple[int, ...]) -> None:
        """The last reading of counters with these cookies; nothing may reach them any more."""
        run = run_of(snapshot, self._boot_id)
        if run is not None and doomed:
            self._outcome = self._meter.close_flows(doomed, run, snapshot, self._purge)

    def alarms(self) -> tuple[str, ...]:
        """What is wrong now, in words."""
        found = [_OUTCOMES[self._outcome]] if self._outcome in _OUTCOMES else []
        if self._journal.backlog > WARN_BACKLOG:
            found.append(f"{self._journal.backlog} egress records wait for the API")
        return tuple(found)

    def stop(self) -> None:
        """End the upload; what is not uploaded stays in the journal."""
        self._uploader.stop()
        self._journal.close()

    def _purge(self) -> None:
        last: list[int] | None = None
        for _ in range(SETTLE):
            unixctl.revalidate_purge(self._rundir)
            now = self._switching.counters().packets.tolist()
            if now == last:
                return
            last = now
        LOG.warning("egress counters still move after %d purges: other ports send", SETTLE)


def read_wires(vantage: Vantage) -> Mapping[PortKey, Wire]:
    """What came in from the ports that live here, by the kernel's counters of their interfaces."""
    if not vantage.names:
        return {}
    return {
        vantage.names[seen.name]: Wire(f"{seen.name}#{seen.index}", seen.received)
        for seen in traffic()
        if seen.name in vantage.names
    }

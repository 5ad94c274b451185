"""Switching: the agent's hands on Open vSwitch: program, audit, counters, bridge, links.

Place: effects, called by the loop's thread only. Must not decide what is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from immutables import Map

from controller.agent import receipts
from controller.agent.commands import Sweep, Zones
from controller.agent.forgetting import Forgetting
from controller.agent.receipts import Mended
from controller.agent.zonekeeping import ZoneKeeping
from controller.southbound.netlink.links import Link, set_links
from controller.southbound.openflow import audit, meters
from controller.southbound.openflow.audit import Findings
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.dump import Counters, Observed
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.meters import Gauge
from controller.southbound.openflow.session import TARGETS
from controller.southbound.ovsdb.database import SwitchDatabase
from controller.southbound.ovsdb.layout import Layout
from model.addresses import Address
from model.change import Patch
from model.flow import Flow
from model.ids import PortKey
from model.report import MAX_RECEIPTS, Drift
from pipelines import accounts, cookies
from pipelines.accounts import COUNTER_TABLES, PASS_TABLES
from pipelines.compile import Program
from pipelines.groups import GROUPS
from pipelines.tables import CLASSIFY, FENCE
from pipelines.turns import judges

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What an audit found, in flows and groups: missing and wrong were put, orphans deleted if told so, alien
    left."""

    missing: int
    wrong: int
    orphans: int
    alien: int
    mended: tuple[Mended, ...] = ()
    """What was done about the first of them, as many as a report has room for."""

    def beside(self, before: Drift) -> Drift:
        """With what the audits before have found."""
        return Drift(
            missing=before.missing + self.missing,
            wrong=before.wrong + self.wrong,
            orphans=before.orphans + self.orphans,
            alien=self.alien,
            audits=before.audits + 1,
        )


class Care(Protocol):
    """See `controller.agent.carrying.Care`."""

    def closing(self, doomed: tuple[int, ...]) -> None: ...
    def shifting(self, moving: frozenset[int], absent: frozenset[int], work: Callable[[], None]) -> None: ...


class Switching:
    """`rundir`: of this host's Open vSwitch; `datapath`: `netdev` or `system`. `followed`: called, in another
    thread, when `turns` has news."""

    def __init__(
        self,
        database: SwitchDatabase,
        rundir: Path,
        bridge: str,
        datapath: str,
        clock: Callable[[], float],
        followed: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._bridge = bridge
        self._datapath = datapath
        self._clock = clock
        self._encoder = Encoder()
        self._channel = Channel(
            rundir / f"{bridge}.mgmt",
            self._encoder,
            counted=frozenset(COUNTER_TABLES),
            standing=GROUPS,
            judging=judges,
        )
        self._refused = 0
        self._unmetered: tuple[str, ...] = ()
        self._zones = ZoneKeeping(rundir, datapath)
        self._forgetting = Forgetting(rundir, datapath, followed)

    def ensure(self, vtep: Address) -> None:
        """Bridge, tunnel port and controller are there; writes nothing if they are already."""
        self._database.ensure(Layout(self._bridge, self._datapath, vtep, TARGETS))

    def program(self, patch: Patch) -> tuple[Flow, ...]:
        """Send and wait for every acknowledgement; refused groups are logged, counted, left out, returned."""
        self._zones.settle()
        try:
            outcome = self._channel.send(patch)
        finally:
            self._forgetting.changed()  # a part of it, maybe, if it failed
        self._refused = len(outcome.refused)
        for refused in outcome.refused:
            LOG.error("flow refused: %s: %s", refused.fault.object, refused.fault.message)
        return tuple(refused.flow for refused in outcome.refused)

    def audit(self, program: Program, sweep: Sweep, care: Care) -> Found:
        """Compare every table with the program, mend what differs, sweep orphans if told so.

        `care` is asked for before flows are touched on which bills depend.
        """
        began = self._clock()
        self._zones.settle()
        righted = self._channel.ensure_groups()  # first: without its group a flow is refused
        for group in righted:
            LOG.info("group made as declared id=%#x", group.number)
        gauge = self._hold_meters(program)
        findings = _unfenced(audit.compare(self._encoder, program.flows(), self._channel.dumps()))
        put = (*findings.missing, *findings.wrong)
        refused = self._put(put, care) if put else ()
        orphans = self._sweep(findings.orphans, care) if sweep is Sweep.ORPHANS else 0
        if orphans:
            self._forgetting.changed()
        if sweep is Sweep.ORPHANS and gauge.stale:
            self._channel.send(Patch((), (), gauge.stale))
        if put or orphans or gauge:
            LOG.info(
                "switch mended missing=%d wrong=%d orphans=%d right=%d alien=%d meters=%d milliseconds=%.0f",
                len(findings.missing),
                len(findings.wrong),
                orphans,
                findings.right,
                findings.alien,
                len(gauge.put),
                (self._clock() - began) * 1e3,
            )
        swept = findings.orphans if orphans else ()
        made = receipts.mended(findings, frozenset(refused), swept, righted)
        changed = sum(group.stood for group in righted)
        return Found(
            len(findings.missing) + len(righted) - changed,
            len(findings.wrong) + changed,
            orphans,
            findings.alien,
            tuple(islice(made, MAX_RECEIPTS)),
        )

    def _put(self, flows: tuple[Flow, ...], care: Care) -> tuple[Flow, ...]:
        """Put flows: counters, then what says which of them counts, and last those that move the pass in
        which is counted; the refused ones.

        A group each: a flow that the switch refuses must not keep the others out.
        """
        counters = tuple(((flow,), ()) for flow in flows if accounts.is_counter(flow))
        classed = tuple(flow for flow in flows if accounts.classifies(flow))
        others = (f for f in flows if not accounts.is_counter(f) and not accounts.classifies(f))
        first, moving, _ = accounts.cut(Patch(tuple(((flow,), ()) for flow in others)), accounts.ends_pass)
        refused = list(self.program(Patch(counters))) if counters else []
        absent = frozenset(flow.cookie for flow in flows if flow.shape.table == CLASSIFY.number)
        if classed:  # before any port's own flows: one that has no traffic yet finds its classes
            named, together = frozenset(flow.cookie for flow in classed), Patch(((classed, ()),))
            care.shifting(named, absent, lambda: refused.extend(self.program(together)))
        refused += self.program(first) if first else ()
        if moving:
            cookies_of = frozenset(flow.cookie for put, _ in moving.groups for flow in put)
            care.shifting(cookies_of, absent, lambda: refused.extend(self.program(moving)))
        self._refused = len(refused)
        return tuple(refused)

    def _sweep(self, orphans: tuple[Observed, ...], care: Care) -> int:
        """Delete what nobody wants, counters last; how many that were."""
        counters = [o for o in orphans if o.table in COUNTER_TABLES]
        moving = [o for o in orphans if _moves(o)]
        others = [o for o in orphans if o.table not in COUNTER_TABLES and not _moves(o)]
        if others:
            self._channel.delete_observed(others)
        if moving:
            absent = frozenset(o.cookie for o in others if o.table == CLASSIFY.number)
            found = frozenset(o.cookie for o in moving)
            care.shifting(found, absent, lambda: bool(self._channel.delete_observed(moving)))
        if counters:
            care.closing(tuple(o.cookie for o in counters))
            self._channel.delete_observed(counters)
        return len(orphans)

    def _hold_meters(self, program: Program) -> Gauge:
        """Make meters right before flows are looked at: what needs one is refused without it."""
        wanted = {meter.id: meter for meter in program.meters()}
        gauge = meters.compare(wanted, self._channel.meters())
        self._unmetered = ()
        if gauge.put:
            self._channel.send(Patch((), gauge.put))
            left = meters.compare(wanted, self._channel.meters()).put
            if left:
                self._unmetered = (unmetered(len(left), len(wanted), self._channel.meter_room()),)
        return gauge

    def turns(self) -> tuple[int, int]:
        """How many changes of flows there were, and how many of them the data path goes by for sure."""
        return self._forgetting.turns()

    def bound(self, zones: Zones) -> None:
        """Flush and bound conntrack zones; what fails is tried again before the next flows."""
        self._zones.add(zones)
        self._zones.settle()

    def counters(self) -> Counters:
        """The accounting tables as arrays, what was sent before what was got."""
        return self._channel.counters(*COUNTER_TABLES)

    def counter_slices(self) -> Iterator[Counters]:
        """The same, a part at a time."""
        return self._channel.counter_slices(*COUNTER_TABLES)

    def epochs(self) -> Map[PortKey, int]:
        """The accounting epoch under which the switch counts for each port."""
        found: dict[PortKey, int] = {}
        for raw in self.counters().cookie.tolist():
            cookie = cookies.parse(raw)
            if cookie is not None and cookie.kind is cookies.Kind.ACCOUNT:
                found[cookie.port] = cookie.epoch
        return Map(found)

    def open_links(self, links: tuple[str, ...]) -> None:
        """Set the interfaces of newly bound ports up; one that has no kernel device is passed over."""
        self._set(links, Link.UP)

    def close_links(self, links: tuple[str, ...]) -> tuple[str, ...]:
        """Set interfaces down; the names of those that could not be."""
        return self._set(links, Link.DOWN)

    def stirred(self) -> None:
        """Open vSwitch brought its cache in line by itself. Returns at once; from any thread."""
        self._forgetting.stirred()

    def alarms(self) -> tuple[str, ...]:
        """What is wrong now, in words."""
        words = f"Open vSwitch refuses {self._refused} flows: see the agent's log"
        refused = (words,) if self._refused else ()
        return (*refused, *self._unmetered, *self._zones.alarms(), *self._forgetting.alarms())

    def close(self) -> None:
        """Hang up."""
        self._forgetting.close()
        self._channel.close()

    def _set(self, links: tuple[str, ...], link: Link) -> tuple[str, ...]:
        failed = set_links(links, link) if links else {}
        for error in failed.values():
            LOG.warning("link not set %s: %s", link.value, error)
        return tuple(failed)


def unmetered(left: int, wanted: int, room: int) -> str:
    """The switch does not take some meters: what they would bound is refused with them, and ends."""
    return (
        f"Open vSwitch does not take {left} of {wanted} meters, and has room for {room}: limits, questions"
        " and names of ports are shut where theirs is missing; put fewer ports on this host"
    )


def _moves(orphan: Observed) -> bool:
    """Whether it moves the pass in which is counted, or the class as which."""
    return orphan.table in PASS_TABLES or accounts.in_class(orphan.table, orphan.cookie)


def _unfenced(findings: Findings) -> Findings:
    """Less the flows of the fence, which come and go with the lease
    (`controller.southbound.openflow.gate`)."""
    return replace(findings, orphans=tuple(o for o in findings.orphans if o.table != FENCE.number))

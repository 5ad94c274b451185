"""Effects: the hands that the loop holds, as one value.

Place: made by `controller.daemon.agent`, used by `controller.agent.loop`; tests pass their own. Must not
decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from immutables import Map

from bgp.interest import Interest
from controller.agent.commands import Sweep, Zones
from controller.agent.fitting import Load
from controller.agent.pathing import Wish
from controller.agent.reporting import Circumstance
from controller.agent.switching import Care, Found
from controller.agent.telling import Post
from model.addresses import Address
from model.asked import Asked
from model.change import Change, Patch
from model.flow import Flow
from model.ids import HostName, PortKey, Uid
from model.report import EgressReport, PortReport, Report
from model.route import Route
from model.sighting import Sighting
from model.snapshot import Snapshot
from pipelines.compile import Program


class Switch(Protocol):
    """See `controller.agent.switching.Switching`."""

    def ensure(self, vtep: Address) -> None: ...
    def program(self, patch: Patch) -> tuple[Flow, ...]: ...
    def audit(self, program: Program, sweep: Sweep, care: Care) -> Found: ...
    def epochs(self) -> Map[PortKey, int]: ...
    def open_links(self, links: tuple[str, ...]) -> None: ...
    def close_links(self, links: tuple[str, ...]) -> tuple[str, ...]: ...
    def bound(self, zones: Zones) -> None: ...
    def turns(self) -> tuple[int, int]: ...
    def alarms(self) -> tuple[str, ...]: ...


class Meter(Protocol):
    """See `controller.agent.metering.Metering`."""

    def notice(self, snapshot: Snapshot, changes: frozenset[Change] | None) -> None: ...
    def sight(self, snapshot: Snapshot) -> None: ...
    def read(self, snapshot: Snapshot) -> None: ...
    def begin(self, snapshot: Snapshot) -> None: ...
    def go_on(self, snapshot: Snapshot, seconds: float) -> None: ...
    @property
    def busy(self) -> bool: ...
    @property
    def writing(self) -> bool: ...
    def close(self, snapshot: Snapshot, ports: tuple[PortKey, ...], links: tuple[str, ...]) -> None: ...
    def close_flows(self, snapshot: Snapshot, doomed: tuple[int, ...]) -> None: ...
    def shift(
        self,
        snapshot: Snapshot,
        ports: tuple[PortKey, ...],
        work: Callable[[], object],
        before: Snapshot | None = None,
    ) -> None: ...
    def rest(self) -> float: ...
    def counted_ms(self) -> int: ...
    def told(self) -> EgressReport: ...
    def alarms(self) -> tuple[str, ...]: ...


class Speaker(Protocol):
    """See `bgp.client.Client`."""

    def announce(self, routes: Iterable[Route]) -> int: ...
    def withdraw(self, routes: Iterable[Route]) -> int: ...
    def eor(self) -> None: ...
    def learn(self, interest: Interest, targets: tuple[bytes, ...] | None) -> None: ...


class Keeper(Protocol):
    """See `controller.agent.keeper.Keeper`."""

    def bind(self, port: PortKey, uid: Uid, least: int) -> None: ...
    def unbind(self, port: PortKey, uid: Uid) -> None: ...
    def report(
        self, head: Report, details: Report | None, ports: Mapping[Uid, PortReport | None]
    ) -> None: ...


class Prober(Protocol):
    """Asks VTEPs for a sign of life; silence comes as an event."""

    def ask(self, vteps: tuple[Address, ...]) -> None: ...


class Paths(Protocol):
    """See `controller.agent.pathing.Pathing`."""

    def want(self, wish: Wish) -> None: ...
    def cut_off(self) -> bool: ...
    def alarms(self) -> tuple[str, ...]: ...


class Resolving(Protocol):
    """See `controller.agent.resolving.Resolving`."""

    def want(self, wish: Wish) -> None: ...


class Lease(Protocol):
    """See `controller.agent.leasing.Leasing`."""

    def want(self, partner: HostName, *, fit: bool) -> None: ...
    def speaks(self) -> bool: ...
    def released(self) -> None: ...
    def words(self) -> str: ...
    def alarms(self) -> tuple[str, ...]: ...


class Underlay(Protocol):
    """See `controller.agent.fitting.Fitting`."""

    def want(self, load: Load) -> None: ...
    def alarms(self) -> tuple[str, ...]: ...
    def least(self) -> int: ...


class Devices(Protocol):
    """See `controller.agent.looking.Looking`."""

    def seen(self) -> Sighting: ...


class Bypass(Protocol):
    """See `controller.agent.gauging.Gauging`: what gangs' devices send past the switch."""

    def alarms(self) -> tuple[str, ...]: ...


class Answers(Protocol):
    """See `controller.agent.answering.Answering`: what ports asked, and what became of it."""

    def asked(self) -> Asked: ...


@dataclass(frozen=True, slots=True)
class Effects:
    """`speaker` None: a host without EVPN (a cluster of one)."""

    switch: Switch
    meter: Meter
    speaker: Speaker | None
    keeper: Keeper
    prober: Prober
    post: Post
    paths: Paths
    resolving: Resolving
    underlay: Underlay
    devices: Devices
    lease: Lease
    bypass: Bypass
    answers: Answers

    def want(self, wish: Wish, load: Load) -> None:
        """What this host sends, and where to: paths are probed, next hops resolved, and devices looked at."""
        self.paths.want(wish)
        self.resolving.want(wish)
        self.underlay.want(load)

    def alarms(self) -> tuple[str, ...]:
        """What does not work, in words."""
        parts = (self.meter, self.switch, self.paths, self.underlay, self.lease, self.bypass)
        return tuple(words for part in parts for words in part.alarms())

    def followed(self) -> bool:
        """Whether the data path goes by all changes that were made."""
        made, followed = self.switch.turns()
        return made == followed

    def see(self, around: Circumstance, mended: tuple[str, ...]) -> Circumstance:
        """What is said of it now; `mended` are alarms of what the audit found."""
        return replace(
            around,
            alarms=(*self.alarms(), *mended),
            underlay=self.underlay.least(),
            devices=self.devices.seen(),
            lease=self.lease.words(),
            counted_ms=self.meter.counted_ms(),
            egress=self.meter.told(),
            asked=self.answers.asked(),
            turns=self.switch.turns(),
        )

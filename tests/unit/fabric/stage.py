"""What the tests of this folder share: a conductor over a real store, a made-up subnet and made-up hosts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.fabric.conductor import Conductor, Duty
from controller.fabric.office import Office
from controller.store import gangs
from controller.store.records import Contents
from controller.store.statements import Operation
from controller.store.words import Word
from controller.store.writer import Store, Writing
from ipam.fabric.hold import Idle
from ipam.fabric.partitions import Partitions
from ipam.fabric.publish import observe, publish
from ipam.gangs.booking import leave
from model.bearing import parse_fabric
from model.errors import Unavailable
from model.fabric import FabricKind, Guid
from model.gang import Gang, GangState
from model.ids import HostName
from tests.fakes.bearers import Bearer
from tests.fakes.subnet import SM, FakeSubnet
from tests.unit.store.house import apply
from tests.unit.store.test_gangs import hardware, reserve
from topologies.deadline import until

DEADLINE = 60.0


class Crash(BaseException):
    """A process ends here; nobody catches it."""


class Stepping(Store):
    """A store whose writes are steps."""

    def __init__(self, remote: str, go: Callable[[str], None]) -> None:
        super().__init__(remote)
        self._go = go

    def move(self, changes: Sequence[Operation]) -> None:
        self._go("move")
        super().move(changes)
        self._go("moved")

    def follow_fabric(self, word: Word, before: int | None) -> None:
        self._go("speak")
        super().follow_fabric(word, before)
        self._go("spoken")


@dataclass
class Stage:
    """`now`: Unix ms, and the seconds that go by, of everybody; the test moves it. `go`: called before and
    after each thing that lasts."""

    store: Store
    kind: FabricKind
    subnet: FakeSubnet
    bearers: dict[str, Bearer]
    now: int = 1_700_000_000_000
    patience: float = 120.0
    go: Callable[[str], None] = lambda _: None
    conductor: Conductor | None = None
    stores: list[Stepping] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    @property
    def fabric(self) -> str:
        return "ib" if self.kind is FabricKind.INFINIBAND else "roce"

    def begin(self, owner: str = "one") -> Conductor:
        """A process starts: it remembers nothing."""
        self.end()
        clock, elapsed = (lambda: self.now), (lambda: self.now / 1000)
        infiniband = self.kind is FabricKind.INFINIBAND
        duty = Duty(
            self.fabric,
            "opensm" if infiniband else "none",
            (SM,) if infiniband else (),
            self.patience,
            observe(self.subnet.path) if infiniband else None,
        )
        store = Stepping(self.store._remote, self.go)
        self.stores.append(store)
        office = Office(store, self.fabric, owner, clock, elapsed)
        driver = self.subnet.driver() if infiniband else Idle()
        self.conductor = Conductor(store, office, driver, duty, clock, elapsed)
        return self.conductor

    def end(self) -> None:
        """The process is gone, without a word."""
        while self.stores:
            self.stores.pop().close()

    def turn(self, ms: int = 1_000) -> None:
        """Everybody does something once, and has heard by then what the others wrote."""
        self.level()
        self.act(ms)
        self.level()
        self._note()

    def act(self, ms: int = 1_000) -> None:
        """Everybody does something once, by what it has heard; that may be late."""
        self.now += ms
        for bearer in self.bearers.values():
            bearer.turn(self.store, self.store.contents(), self.now)
        assert self.conductor is not None
        self.conductor.turn()
        self._note()

    def level(self) -> None:
        """Until everybody has heard of the last write, so that each life has the same steps however slow
        the machine is: the clock here goes on by turns, and patience with it. Who hears late is
        `test_chaos`'s."""
        try:
            truth = _watched(self.store.read_all())
        except Unavailable:
            return  # the store is away; what they make of that is what is tested
        stores = (self.store, *self.stores)
        until("caches are level", lambda: all(_watched(s.contents()) == truth for s in stores), DEADLINE)

    def _note(self) -> None:
        for gang in self.store.contents().ledger.gangs.values():
            state = gang.progress.state.value
            if self.states[-1:] != [state]:
                self.states.append(state)

    def until(self, holds: Callable[[], bool], ms: int = 1_000) -> None:
        """Turns until it holds."""
        end = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < end, (self.states, self.waits())
            self.turn(ms)

    def gang(self, name: str = "job", tenant: str = "acme") -> Gang | None:
        return self.store.contents().ledger.gangs.get((tenant, name))

    def is_(self, state: GangState, name: str = "job") -> Callable[[], bool]:
        def holds() -> bool:
            gang = self.gang(name)
            return gang is not None and gang.progress.state is state

        return holds

    def gone(self, name: str = "job") -> Callable[[], bool]:
        return lambda: self.gang(name) is None

    def waits(self) -> dict[int, str]:
        for word in self.store.fabric_words():
            if word.name == self.fabric:
                return {wait.generation: wait.why for wait in parse_fabric(word.text).waits}
        return {}

    def bare(self) -> bool:
        """Whether neither a host nor the subnet bears anything."""
        keyed = [t for t in self.subnet.shown.values() if any(e & 0x7FFF != 0x7FFF for e in t)]
        return not keyed and not any(bearer.devices for bearer in self.bearers.values())


def _watched(contents: Contents) -> tuple[object, ...]:
    """What conductors and these tests go by."""
    return contents.cluster, contents.ledger.gangs, contents.ledger.cooling


def stage(
    store: Store,
    directory: Path,
    patch: pytest.MonkeyPatch,
    kind: FabricKind,
    nodes: int = 2,
) -> Stage:
    """An estate declared in the store, and what is out there, still untouched."""
    apply(store, *hardware(nodes=nodes, vfs=2, kind=kind))
    subnet = FakeSubnet(directory / "partitions.conf")
    subnet.install(patch)
    publish(subnet.path, Partitions((SM,)))
    bearers = {f"hv{n}": Bearer(HostName(f"hv{n}")) for n in range(1, nodes + 1)}
    made = Stage(store, kind, subnet, bearers)
    made.begin()
    return made


def let_go(
    made: Stage,
    name: str = "job",
    nodes: tuple[str, ...] = (),
    generation: int = 0,
    tenant: str = "acme",
) -> None:
    """As the API does it."""

    def build(contents: Contents) -> Writing:
        gone, progress = leave(contents, tenant, name, generation)
        changes = gangs.parting(contents, gone, progress, nodes, made.now + 10_000, made.now)
        return Writing(tuple(changes), str(gone.generation), made.now)

    made.store.write(build, "", "")


def request(made: Stage, count: int = 2, **more: object) -> Gang:
    """A gang is reserved; its ports exist."""
    reserve(made.store, fabric=made.fabric, count=count, now=made.now, **more)
    gang = made.gang(str(more.get("name", "job")), str(more.get("tenant", "acme")))
    assert gang is not None
    for berth in gang.berths:
        for interface in berth.interfaces:
            if interface.port_guid:
                made.subnet.shown.setdefault(Guid(interface.port_guid), (0x7FFF,))
    return gang

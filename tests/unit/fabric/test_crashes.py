"""A crash at every effect and every write of a gang's life: it is completed or undone, and nothing is left.

A life is lived once to see which steps it has, and then again and again: with a crash at the first step of
each name, at the second one, until one ends without. At the crash, and after each round, store, hosts and
ports are compared.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.store.server import Server
from controller.store.writer import Store
from ipam.fabric.partitions import ports
from model.errors import NotFound
from model.fabric import DEFAULT_PKEY, FULL_MEMBER, FabricKind
from model.gang import Gang, GangState, Membership
from tests.unit.fabric.stage import Crash, Stage, let_go, request, stage

BEGUN = (GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE)
COOL_DOWN = 400_000
PATIENCE = 6.0
STEPS = {"reserve", "reserved", "move", "moved", "speak", "spoken", "host says", "host said"}
WORDS = {"host says", "host said", "speak", "spoken"}
EVERY = 10_000
DEVICES = {"devices", "one device", "devices done"}
PORTS = {"publish", "published", "reload", "reloaded"}
KINDS = (FabricKind.INFINIBAND, FabricKind.ROCE)
Phase = tuple[Callable[[Stage], None], Callable[[Stage], bool]]
"""What is done, also a second time; and when it has come to its end."""


@dataclass
class Steps:
    """`seen`: how often there was which step; when there is one of the name `crash` again after it was there
    `after` times, the process ends."""

    crash: str = ""
    after: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def __call__(self, name: str) -> None:
        self.seen[name] += 1
        if name == self.crash and self.seen[name] == self.after + 1:
            raise Crash(name)


def ask(made: Stage) -> None:
    if made.gang() is None:
        made.go("reserve")
        request(made)
        made.go("reserved")


def release(made: Stage) -> None:
    if made.gang() is not None:
        made.go("release")
        with contextlib.suppress(NotFound):  # it went, and the cache has not heard of it yet
            let_go(made)
        made.go("released")


def lose(made: Stage) -> None:
    made.bearers["hv2"].dead = True


def find(made: Stage) -> None:
    made.bearers["hv2"].dead = False


def state(*states: GangState) -> Callable[[Stage], bool]:
    return lambda made: (gang := made.gang()) is None or gang.progress.state in states


def begun(made: Stage) -> bool:
    gang = made.gang()
    return gang is None or gang.progress.begun in BEGUN


def borne(made: Stage) -> bool:
    return not made.bare() or gone(made)


def gone(made: Stage) -> bool:
    return made.gang() is None


def at_once(_: Stage) -> bool:
    return True


LIVES: dict[str, tuple[Phase, ...]] = {
    "whole": ((ask, state(GangState.ACTIVE)), (release, gone)),
    "released early": ((ask, begun), (release, gone)),
    "released while devices are set": ((ask, borne), (release, gone)),
    "failed": ((ask, at_once), (lose, state(GangState.FAILED)), (find, gone)),
}


@pytest.fixture
def make(
    store: Store, server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[FabricKind], Stage]]:
    made: list[Stage] = []

    def build(kind: FabricKind) -> Stage:
        made.append(stage(store, directory, monkeypatch, kind))
        return made[-1]

    yield build
    for each in made:
        each.end()


@pytest.mark.parametrize(
    ("life", "kind", "words"),
    [
        pytest.param("whole", FabricKind.INFINIBAND, 2, id="few words"),
        *(
            pytest.param(life, kind, EVERY, marks=pytest.mark.long, id=f"{life} {kind.value}")
            for kind, life in itertools.product(KINDS, LIVES)
        ),
    ],
)
def test_a_crash_at_each_step(
    make: Callable[[FabricKind], Stage], life: str, kind: FabricKind, words: int
) -> None:
    """`words`: at how many of each kind of word; these are said again and again."""
    made = make(kind)
    made.patience = PATIENCE
    usual = Steps()
    assert not live(made, LIVES[life], usual)
    made.now += COOL_DOWN
    wanted = STEPS
    if life != "released early":
        wanted = wanted | DEVICES | (PORTS if kind is FabricKind.INFINIBAND else set())
    assert wanted <= set(usual.seen), "the test does not see all steps"
    for name in sorted(usual.seen):
        for after in range(words if name in WORDS else EVERY):
            steps = Steps(name, after)
            crashed = live(made, LIVES[life], steps)
            assert gone(made) and made.bare(), steps
            made.now += COOL_DOWN
            if not crashed:
                assert after, name
                break


def live(made: Stage, phases: tuple[Phase, ...], steps: Steps) -> bool:
    """Whether there was a crash. All processes begin anew after it."""
    crashed = False
    arm(made, steps)
    made.begin()
    for act, over in phases:
        while True:
            try:
                act(made)
                made.level()
                while not over(made):
                    made.turn()
                    check(made)
                    made.level()
                break
            except Crash:
                crashed = True
                check(made)
                made.begin()
                made.level()
    return crashed


def arm(made: Stage, steps: Steps) -> None:
    made.go = made.subnet.go = steps
    for bearer in made.bearers.values():
        bearer.go = steps


def check(made: Stage) -> None:
    """Nobody bears what the store does not know of; what it calls active is so, to the last port; and no port
    is open to everybody."""
    gangs = {gang.generation: gang for gang in made.store.read_all().ledger.gangs.values()}
    for bearer in made.bearers.values():
        for generation, up in bearer.devices.values():
            assert generation in gangs and gangs[generation].progress.begun in BEGUN
            assert not up or gangs[generation].progress.begun is GangState.ACTIVE
    known = {guid: gang for gang in gangs.values() if gang.progress.begun in BEGUN for guid in ports(gang)}
    for guid, table in made.subnet.shown.items():
        assert DEFAULT_PKEY | FULL_MEMBER not in table
        keys = {entry & ~FULL_MEMBER for entry in table} - {DEFAULT_PKEY}
        assert not keys or keys == {known[guid].pkey}
    for gang in gangs.values():
        if gang.progress.state is GangState.ACTIVE:
            active(made, gang)


def active(made: Stage, gang: Gang) -> None:
    up = {slot: said for bearer in made.bearers.values() for slot, said in bearer.devices.items()}
    for berth in gang.berths:
        for interface in berth.interfaces:
            assert up[interface.slot] == (gang.generation, True)
            if interface.port_guid:
                level = FULL_MEMBER if gang.request.membership is Membership.FULL else 0
                assert made.subnet.shown[interface.port_guid][0] == gang.pkey | level

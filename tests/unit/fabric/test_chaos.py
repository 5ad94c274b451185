"""Everything at once, in any order: crashes, deaf managers, dead hosts, releases; then all is well again.

Seeded, so that what fails can be lived again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.store.writer import Store
from model.errors import RingfenceError
from model.fabric import FabricKind, Guid
from model.gang import GangState, Membership
from tests.unit.fabric.stage import Crash, Stage, let_go, request, stage
from tests.unit.fabric.test_crashes import check

STEPS = ("publish", "published", "reload", "reloaded", "move", "moved", "speak", "spoken", "one device")
NAMES = (("acme", "a"), ("acme", "b"), ("umbra", "a"), ("umbra", "c"))


@pytest.fixture
def made(store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    found = stage(store, directory, monkeypatch, FabricKind.INFINIBAND, nodes=3)
    yield found
    found.end()


class Chaos:
    """What may go wrong with `made`, by a generator of its own."""

    def __init__(self, made: Stage, seed: int) -> None:
        self.made, self.random = made, random.Random(seed)
        self.crashes = 0
        made.patience = 15.0
        made.go = made.subnet.go = self.go
        for bearer in made.bearers.values():
            bearer.go = self.go
        made.begin()

    def go(self, name: str) -> None:
        if name in STEPS and self.random.random() < 0.02:
            self.crashes += 1
            raise Crash(name)

    def step(self) -> None:
        made, choose = self.made, self.random
        host = made.bearers[choose.choice(sorted(made.bearers))]
        what = choose.randrange(18)
        if what == 0:
            made.subnet.deaf = not made.subnet.deaf
        elif what == 1:
            host.dead = not host.dead
        elif what == 2 and made.subnet.shown:
            made.subnet.away ^= {choose.choice(sorted(made.subnet.shown))}
        elif what in (3, 4):
            self.ask(*choose.choice(NAMES))
        elif what == 5:
            self.release(*choose.choice(NAMES))
        else:
            self.turn()

    def ask(self, tenant: str, name: str) -> None:
        membership = self.random.choice(list(Membership))
        try:
            request(
                self.made, tenant=tenant, name=name, count=self.random.randint(1, 3), membership=membership
            )
        except RingfenceError:
            return  # it is there already, or too little is left

    def release(self, tenant: str, name: str) -> None:
        try:
            let_go(self.made, name, tenant=tenant)
        except RingfenceError:
            return

    def turn(self) -> None:
        try:
            self.made.act(self.random.choice((200, 1_000, 3_000)))
        except Crash:
            check(self.made)
            self.made.begin()
        check(self.made)

    def heal(self) -> None:
        self.made.subnet.deaf = False
        self.made.subnet.away.clear()
        for bearer in self.made.bearers.values():
            bearer.dead = False


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))]
)
def test_in_the_end_each_gang_is_active_or_gone(made: Stage, seed: int) -> None:
    chaos = Chaos(made, seed)
    for _ in range(150):
        chaos.step()
    chaos.heal()

    def settled() -> bool:
        gangs = made.store.contents().ledger.gangs.values()
        return all(gang.progress.state is GangState.ACTIVE for gang in gangs)

    while not settled():
        chaos.turn()
    for tenant, name in sorted(made.store.contents().ledger.gangs):
        let_go(made, name, tenant=tenant)
    while made.store.contents().ledger.gangs:
        chaos.turn()
    assert made.bare()
    assert set(made.subnet.shown.values()) <= {(0x7FFF,)}
    assert all(isinstance(guid, int) for guid in made.subnet.shown) and Guid(0) not in made.subnet.shown

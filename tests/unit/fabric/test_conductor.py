"""A gang's life under the conductor: over a real store, the real driver, a made-up subnet and hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.store.server import Server
from controller.store.writer import Store
from model.fabric import FabricKind
from model.gang import GangState
from tests.unit.fabric.stage import Stage, let_go, request, stage

KINDS = (FabricKind.INFINIBAND, FabricKind.ROCE)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.value)
def made(
    request: pytest.FixtureRequest,
    store: Store,
    server: Server,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    found = stage(store, directory, monkeypatch, request.param)
    yield found
    found.end()


def test_from_reserved_to_active(made: Stage) -> None:
    gang = request(made)
    made.until(made.is_(GangState.ACTIVE))
    assert made.states == ["reserved", "programmed", "verified", "active"]
    up = {slot for bearer in made.bearers.values() for slot, (_, link) in bearer.devices.items() if link}
    assert up == {i.slot for berth in gang.berths for i in berth.interfaces}
    if gang.pkey:
        assert set(made.subnet.shown.values()) == {(gang.pkey | 0x8000, 0x7FFF)}
    made.turn()
    assert made.waits() == {}


def test_a_gang_that_is_let_go_leaves_nothing(made: Stage) -> None:
    request(made)
    made.until(made.is_(GangState.ACTIVE))
    let_go(made)
    assert made.is_(GangState.RELEASING)()
    made.until(made.gone())
    assert made.bare()
    ((gang, until),) = made.store.contents().ledger.cooling.values()
    assert until > made.now
    assert gang.request.name == "job"

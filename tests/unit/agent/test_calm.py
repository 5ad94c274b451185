"""Calm: no collection within a step, large steps are put aside, cycles go in the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import ref

import pytest

from controller.agent import calm
from controller.agent.calm import Calm


class Knot:
    """A cycle, which only the collector can free."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


@contextmanager
def counted() -> Iterator[list[int]]:
    """Generations of the collections that happen meanwhile."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


def test_no_collection_within_a_step_however_much_it_makes() -> None:
    with counted() as before:
        kept = [[n] for n in range(5_000)]
    assert before, "the control: as many objects have the collector run without it"
    gc.freeze()
    step = Calm()
    with step, counted() as seen:
        kept = [[n] for n in range(5_000)]
    assert not seen
    assert gc.isenabled()
    assert len(kept) == 5_000


def test_a_large_step_is_put_aside_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "LARGE", 1_000)
    gc.collect()
    step = Calm()
    frozen = gc.get_freeze_count()
    with step:
        few = [[n] for n in range(100)]
    assert gc.get_freeze_count() == frozen
    with step:
        many = [[n] for n in range(2_000)]
    assert gc.get_freeze_count() >= frozen + len(many)
    assert len(few) == 100


def test_what_is_put_aside_goes_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "LARGE", 1_000)
    with Calm():
        many = [[n] for n in range(2_000)]
    frozen = gc.get_freeze_count()
    del many
    assert gc.get_freeze_count() <= frozen - 2_000


def test_cycles_go_after_some_large_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calm, "LARGE", 1_000)
    step = Calm()
    with step:
        knot = ref(Knot())
        many = [[n] for n in range(2_000)]
    gc.collect()
    assert knot() is not None, "the control: it was put aside"
    for _ in range(calm.TURNS):
        with step:
            many += [[n] for n in range(2_000)]
    assert knot() is None
    assert len(many) == 2_000 * (calm.TURNS + 1)


def test_an_exception_leaves_the_collector_on() -> None:
    with pytest.raises(ValueError, match="a step that fails"), Calm():
        raise ValueError("a step that fails")
    assert gc.isenabled()

"""Incremental equals recompute; order does not matter; a revert restores; a replay is nothing."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.change import Patch
from model.flow import Flow, FlowKey, Meter, Metered
from model.snapshot import Snapshot
from pipelines import index
from pipelines.compile import Program, compile, install, recompile
from tests.fakes import outward, peering, world
from tests.fakes.steps import steps, universe
from tests.fakes.strategies import clusters
from tests.fakes.switch import Switch
from tests.fakes.world import Step, stepped

Batches = list[list[Step]]
_BATCHES = st.lists(st.lists(steps(), min_size=1, max_size=4), min_size=1, max_size=12)
_STARTS = st.one_of(
    clusters(),
    st.sampled_from([world.two_tenants(), world.routed(), world.narrowed()]),
    st.sampled_from([outward.leaving(), Snapshot(host=world.HERE)]),
)
_SETTINGS = settings(suppress_health_check=list(HealthCheck))


def _table(program: Program) -> dict[FlowKey, Flow]:
    return {flow.key(): flow for flow in program.flows()}


def _metered(meters: dict[int, Meter], patch: Patch) -> None:
    """What becomes of a switch's meters."""
    meters.update((meter.id, meter) for meter in patch.meters)
    for number in patch.stale_meters:
        del meters[number]


def _complete(program: Program) -> None:
    """Each flow has its meter: the switch would not take it without."""
    known = {meter.id for meter in program.meters()}
    used = {
        flow.fill(action.meter)
        for flow in program.flows()
        for action in flow.shape.actions
        if isinstance(action, Metered)
    }
    assert used == known


def _sent(switch: Switch, patch: Patch) -> None:
    for put, drop in patch.groups:
        switch.apply(put, drop)


@given(_STARTS, _BATCHES)
@_SETTINGS
def test_incremental_equals_recompute(start: Snapshot, batches: Batches) -> None:
    program, snapshot = compile(start), start
    switch, meters = Switch.of(program.flows()), {meter.id: meter for meter in program.meters()}
    for batch in batches:
        after = stepped(snapshot, batch)
        program, patch = recompile(program, snapshot, after, [step.change() for step in batch])
        snapshot = after
        assert program == compile(snapshot)
        _sent(switch, patch)
        assert switch.flows == _table(program)
        _metered(meters, patch)
        assert tuple(sorted(meters.values(), key=lambda meter: meter.id)) == program.meters()
        _complete(program)


@given(st.lists(steps(), min_size=2, max_size=12, unique_by=lambda s: (s.part, str(s.key))), st.randoms())
@_SETTINGS
def test_order_does_not_matter(batch: list[Step], random: Random) -> None:
    shuffled = list(batch)
    random.shuffle(shuffled)
    start = world.two_tenants()
    one, two = compile(stepped(start, batch)), compile(stepped(start, shuffled))
    assert one == two
    assert list(one.flows()) == list(two.flows())


@given(clusters(), _BATCHES)
@_SETTINGS
def test_revert_restores(start: Snapshot, batches: Batches) -> None:
    batch = [step for each in batches for step in each]
    changes = [step.change() for step in batch]
    before = compile(start)
    there = stepped(start, batch)
    program, out = recompile(before, start, there, changes)
    again, back = recompile(program, there, start, changes)
    assert again == before
    switch = Switch.of(before.flows())
    _sent(switch, out)
    _sent(switch, back)
    assert switch.flows == _table(before)


@given(clusters(), st.lists(steps(), max_size=8))
@_SETTINGS
def test_replay_is_nothing(start: Snapshot, batch: list[Step]) -> None:
    snapshot = stepped(start, batch)
    program = compile(snapshot)
    again, patch = recompile(program, snapshot, snapshot, [step.change() for step in batch])
    assert again == program
    assert not patch


@pytest.mark.parametrize(
    "start", [world.routed(), outward.leaving(), peering.peered()], ids=["routed", "leaving", "peered"]
)
def test_naming_a_change_twice_is_harmless(start: Snapshot) -> None:
    """Each change of the universe by itself."""
    before = index.build(start)
    for part, key, values in universe():
        for value in (None, *values[:2], values[-1]):
            step = Step(part, key, value)
            after = stepped(start, [step])
            assert index.advance(before, start, after, [step.change()] * 2) == index.build(after), step


@given(clusters())
@_SETTINGS
def test_install_is_the_program(snapshot: Snapshot) -> None:
    program = compile(snapshot)
    switch = Switch()
    _sent(switch, install(program))
    assert switch.flows == _table(program)


@given(clusters(), _BATCHES)
@_SETTINGS
def test_no_group_undoes_another(start: Snapshot, batches: Batches) -> None:
    """Groups may land in different bundles: whatever the order, the end is the same."""
    batch = [step for each in batches for step in each]
    after = stepped(start, batch)
    program, patch = recompile(compile(start), start, after, [step.change() for step in batch])
    switch = Switch.of(compile(start).flows())
    _sent(switch, Patch(patch.groups[::-1]))
    assert switch.flows == _table(program)

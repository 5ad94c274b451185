"""No packet reaches whom it is not for, whoever sends it; and the test would notice if it did."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model.snapshot import Snapshot
from pipelines.check import check_flows
from pipelines.compile import compile
from pipelines.shapes.paths import OUTPUT_NOWHERE
from pipelines.tables import ACCOUNT, LIMIT, OUTPUT
from tests.fakes import world
from tests.fakes.isolation import violations
from tests.fakes.mutants import MUTANTS, Mutant
from tests.fakes.packets import Packet
from tests.fakes.strategies import clusters, packets
from tests.fakes.switch import CONTROLLER, Switch

Sample = tuple[Snapshot, list[Packet]]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    snapshot = draw(clusters())
    return snapshot, draw(st.lists(packets(snapshot), min_size=4, max_size=24))


@given(samples())
@settings(suppress_health_check=list(HealthCheck))
def test_nobody_gets_what_is_not_for_him(sample: Sample) -> None:
    snapshot, frames = sample
    flows = tuple(compile(snapshot).flows())
    check_flows(flows)
    switch = Switch.of(flows)
    for frame in frames:
        assert violations(snapshot, frame, switch.receive(frame)) == []


@given(samples())
@settings(suppress_health_check=list(HealthCheck))
def test_what_leaves_a_port_is_counted_last_and_nothing_else_is(sample: Sample) -> None:
    """Bridged or routed: `account`, `output`, and out. Answers and what comes from afar are not billed.

    What is for nobody is billed as well, and ends there (decision 0051). Behind them there is only the
    limit of what the receiver gets, on a pass of its own.
    """
    snapshot, frames = sample
    switch = Switch.of(compile(snapshot).flows())
    for frame in frames:
        verdict = switch.receive(frame)
        tables = [number for number, _ in verdict.path]
        left = [port for port in verdict.ports if port not in (frame["in_port"], CONTROLLER)]
        if left and frame["in_port"] != world.TUNNEL:
            way = [step for step in verdict.path if step[0] != LIMIT.number]
            assert [number for number, _ in way[-2:]] == [ACCOUNT.number, OUTPUT.number]
            assert all(flow is not None and flow.shape.priority for _, flow in way[-2:])
        elif ACCOUNT.number in tables:
            last = verdict.path[-1][1]
            assert last is not None and last.shape == OUTPUT_NOWHERE
            assert not left and frame["in_port"] != world.TUNNEL


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_missing_protection_is_noticed(mutant: Mutant) -> None:
    """The same property, of a program with one protection less, must fail."""

    @given(samples())
    @settings(
        max_examples=1000,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    def holds(sample: Sample) -> None:
        snapshot, frames = sample
        switch = Switch.of(mutant(compile(snapshot).flows()))
        for frame in frames:
            assert violations(snapshot, frame, switch.receive(frame)) == []

    with pytest.raises(AssertionError):
        holds()

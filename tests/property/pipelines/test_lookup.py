"""The lookup finds the flow that a look at all flows finds, for every packet and program."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.snapshot import Snapshot
from pipelines import lookup
from pipelines.compile import compile, recompile
from pipelines.walk import walk
from tests.fakes import world
from tests.fakes.packets import Packet, received
from tests.fakes.steps import steps
from tests.fakes.strategies import clusters, packets
from tests.fakes.switch import Switch
from tests.fakes.world import Step, stepped


@st.composite
def samples(draw: st.DrawFn) -> tuple[Snapshot, list[Packet]]:
    snapshot = draw(st.one_of(clusters(), st.sampled_from([world.two_tenants(), world.routed()])))
    return snapshot, draw(st.lists(packets(snapshot), min_size=4, max_size=24))


@given(samples(), st.lists(steps(), max_size=4))
@settings(suppress_health_check=list(HealthCheck))
def test_finds_what_a_look_at_all_flows_finds(
    sample: tuple[Snapshot, list[Packet]], batch: list[Step]
) -> None:
    """Of a program that was compiled at once, and of one that went through changes."""
    snapshot, frames = sample
    fresh = compile(snapshot)
    after = stepped(snapshot, batch)
    changed, _ = recompile(fresh, snapshot, after, [step.change() for step in batch])
    for program in (fresh, changed):
        found, plain = lookup.build(program), Switch.of(program.flows())
        for frame in frames:
            assert walk(found, received(frame)) == walk(plain, received(frame))


def test_the_owner_of_a_flow_is_the_object_that_won_it() -> None:
    program = compile(world.routed())
    found = lookup.build(program)
    for subject in program.groups:
        for flow in program.flows_of(subject):
            assert found.owner(flow) == subject

"""Groups of ports that the same rules judge: what changes leave of them is what all rules say of each port,
and no port names a group that has no flows."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.ids import PortKey
from model.policy import State
from model.snapshot import Snapshot
from pipelines.compile import Program, compile, recompile
from pipelines.index import compilable
from pipelines.objects import Kind
from pipelines.policy import grouping, seated
from pipelines.policy.entries import concerns
from pipelines.policy.seated import RulingKey
from tests.fakes import ruled, world
from tests.fakes.governed import tiered
from tests.fakes.steps import steps
from tests.fakes.world import Step, stepped

_POLICIES = st.one_of(
    *(
        st.sampled_from([*values, None]).map(lambda value, part=part, key=key: Step(part, key, value))
        for part, key, values in ruled.universe()
    )
)
_BATCHES = st.lists(st.lists(st.one_of(_POLICIES, _POLICIES, steps()), min_size=1, max_size=3), max_size=6)


def said(snapshot: Snapshot, key: PortKey) -> dict[RulingKey, State]:
    """What judges a port, rule by rule."""
    one = seated.endpoint(snapshot, key) if compilable(snapshot, key) else None
    if one is None:
        return {}
    rules = seated.rulings(snapshot)
    return {rule.key: rule.entry.at(one.uid) for rule in rules if concerns(rule.entry, one)}


def hold(program: Program, snapshot: Snapshot) -> None:
    grouped = program.index.policed.grouped
    wanted = {key: judging for key in snapshot.ports if (judging := said(snapshot, key))}
    assert {key: dict(grouped.groups[name].states) for key, name in grouped.judged.items()} == wanted
    for name, group in grouped.groups.items():
        assert name == grouping.name(group.states.items())
        assert {key for key, other in grouped.judged.items() if other == name} == {*group.ports}
    bearing = {(rule, name) for name, group in grouped.groups.items() for rule in group.states}
    assert {(rule, name) for rule, names in grouped.bearing.items() for name in names} == bearing
    there = {subject.major for subject, _ in program.won() if subject.kind is Kind.GROUP}
    assert there == {*grouped.groups}


@given(st.sampled_from([world.routed(), tiered(world.routed()), world.two_tenants()]), _BATCHES)
@settings(suppress_health_check=list(HealthCheck))
def test_groups_are_what_all_rules_say(start: Snapshot, batches: list[list[Step]]) -> None:
    program, snapshot = compile(start), start
    hold(program, snapshot)
    for batch in batches:
        after = stepped(snapshot, batch)
        program, _ = recompile(program, snapshot, after, [step.change() for step in batch])
        snapshot = after
        hold(program, snapshot)

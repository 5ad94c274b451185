"""Egress classes: relations and prefixes, which of them wins, versions, and what many prefixes cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import classes
from model.change import Change, Part
from model.ids import ClassId
from model.intent import EgressClass, Relation
from model.snapshot import Snapshot
from pipelines.accounts import classifies, is_counter
from pipelines.check import check_flows
from pipelines.compile import Program, compile, recompile
from pipelines.tables import CLASSES
from tests.fakes import peering, world
from tests.fakes.classes import DESTINATIONS, MANY, billed, crowd, open_to_all, packet
from tests.fakes.switch import Switch

DAY = 86_400_000


def sent(snapshot: Snapshot, to: str, sender: int = 11) -> int | None:
    """The class as which a packet of a port's counts."""
    return billed(Switch.of(compile(snapshot).flows()).receive(packet(snapshot, to, sender)))


@pytest.mark.parametrize(("to", "cls"), DESTINATIONS)
def test_what_a_destination_is(to: str, cls: int) -> None:
    assert sent(open_to_all(), to) == cls


def test_no_class_without_a_flow_that_counts() -> None:
    snapshot = open_to_all()
    flows = tuple(compile(snapshot).flows())
    check_flows(flows)
    counted = {flow.values for flow in flows if is_counter(flow)}
    assert counted == {(key, cls) for key in (11, 21, 41, 61, 66, 71) for cls in (0, 1, 2, 5, 6, 7, 8, 9)}


def test_without_relations_all_is_by_prefix() -> None:
    snapshot = open_to_all()
    for key in (5, 6, 7):
        snapshot = world.with_part(snapshot, Part.CLASS, ClassId(key), None)
    found = {to: sent(snapshot, to) for to in ("10.0.1.12", "10.0.2.11", "10.0.6.11", "8.8.8.8")}
    assert found == {"10.0.1.12": 0, "10.0.2.11": 9, "10.0.6.11": 9, "8.8.8.8": 1}


def test_a_tenant_of_the_same_addresses_has_its_own_relations() -> None:
    snapshot = open_to_all()
    assert sent(snapshot, "10.0.6.11", 66) == 0
    assert sent(snapshot, "10.0.2.11", 66) is None, "no way there: nothing is counted"


DATED = EgressClass(
    world.Uid("class-8"),
    "c8",
    ClassId(8),
    (ip_network("203.0.113.0/24"),),
    since=DAY,
    former=(ip_network("198.51.100.0/24"),),
    former_relations=(Relation.PEERED_TENANT,),
)


@pytest.mark.parametrize(("moment", "found"), [(0, (8, 7, 8)), (DAY - 1, (8, 7, 8)), (DAY, (7, 8, 9))])
def test_a_version_holds_from_its_moment_on(moment: int, found: tuple[int, ...]) -> None:
    base = world.with_part(open_to_all(), Part.CLASS, ClassId(6), None)
    snapshot = replace(world.added(base, DATED), moment=moment)
    assert tuple(sent(snapshot, to) for to in ("198.51.100.9", "203.0.113.9", "10.0.6.11")) == found


def turned(program: Program, snapshot: Snapshot, moment: int) -> tuple[Program, Snapshot]:
    """What the agent does when time passes."""
    due = classes.turned(snapshot.classes.values(), snapshot.moment, moment)
    now = replace(snapshot, moment=moment)
    made, _ = recompile(program, snapshot, now, [Change(Part.CLASS, key) for key in due])
    return made, now


VERSIONS = st.builds(
    EgressClass,
    uid=st.just(world.Uid("class")),
    name=st.just("c"),
    id=st.sampled_from([ClassId(n) for n in (5, 6, 7)]),
    prefixes=st.sampled_from([(), DATED.prefixes, DATED.former]),
    relations=st.sets(st.sampled_from([*Relation])).map(lambda some: tuple(sorted(some, key=str))),
    since=st.integers(0, 4),
    former=st.sampled_from([(), DATED.former]),
    former_relations=st.sets(st.sampled_from([*Relation])).map(lambda some: tuple(sorted(some, key=str))),
)


@given(st.lists(VERSIONS, max_size=3), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_clock_that_moves_changes_what_it_turns_and_no_more(
    some: list[EgressClass], moments: list[int]
) -> None:
    snapshot = world.added(peering.peered(), *some)
    program = compile(snapshot)
    for moment in moments:
        program, snapshot = turned(program, snapshot, moment)
        assert program == compile(snapshot)


def test_a_prefix_that_passes_from_class_to_class_is_put_and_never_dropped() -> None:
    both = world.added(
        world.routed(), world.egress_class(8, ["203.0.113.0/24"]), world.egress_class(9, ["192.0.2.0/24"])
    )
    after = world.added(
        both, world.egress_class(8, []), world.egress_class(9, ["192.0.2.0/24", "203.0.113.0/24"])
    )
    changes = [Change(Part.CLASS, ClassId(n)) for n in (8, 9)]
    _, patch = recompile(compile(both), both, after, changes)
    assert [[len(part) for part in group] for group in patch.groups] == [[1, 0]]


def test_flows_grow_with_prefixes_and_ports_not_with_their_product() -> None:
    def flows(ports: int, prefixes: int) -> Counter[int]:
        return Counter(flow.shape.table for flow in compile(crowd(ports, MANY[:prefixes])).flows())

    one, all_ = flows(1, 3), flows(100, len(MANY))
    assert all_[CLASSES.number] - one[CLASSES.number] == len(MANY) - 3
    assert sum(all_.values()) - all_[CLASSES.number] < 100 * sum(one.values())
    assert all_ - flows(100, 3) == Counter({CLASSES.number: len(MANY) - 3}), "prefixes cost nothing elsewhere"


def test_one_prefix_more_is_one_flow_more() -> None:
    before = crowd(3, MANY)
    value = before.classes[ClassId(2)]
    more = replace(value, prefixes=(*value.prefixes, ip_network("203.0.113.0/24")))
    after = world.added(before, more)
    _, patch = recompile(compile(before), before, after, [Change(Part.CLASS, ClassId(2))])
    ((put, drop),) = patch.groups
    assert (len(put), len(drop), classifies(put[0])) == (1, 0, True)


def test_a_version_to_come_costs_the_switch_nothing() -> None:
    known = crowd(2, MANY[:100])
    value = known.classes[ClassId(2)]
    later = world.added(known, replace(value, prefixes=(), since=1 << 50, former=value.prefixes))
    _, patch = recompile(compile(known), known, later, [Change(Part.CLASS, ClassId(2))])
    assert not patch

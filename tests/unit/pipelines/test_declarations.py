"""The declarations hold, and each way to break one is noticed by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.flow import DecTtl, Field, Flow, Match, OutputField, SetField, Shape, Slot
from pipelines import cookies
from pipelines import fields as f
from pipelines import tables as t
from pipelines.check import Broken, check_declarations, check_filled, check_flows
from pipelines.compile import compile
from pipelines.fields import REGISTERS, Register
from pipelines.overlap import overlaps
from pipelines.shapes import SHAPES, delivery_group, output_group
from pipelines.shapes.entry import GUARD_IPV4, LOCAL
from pipelines.shapes.fence import PASSES
from pipelines.shapes.paths import ACCOUNT_ROUTER, CLASS_DECLARED, COUNTER, RESOLVE_LOCAL
from pipelines.shapes.terms import shape
from pipelines.tables import TABLES, Table
from tests.fakes import outward, peering, world
from tests.fakes.governed import tiered

SHAPE = shape("odd", t.RESOLVE, 77, (Match(f.ETH_DST, 1),), goto=t.CLASSES)


def rules(broken: Broken) -> set[tuple[str, str]]:
    return {(fault.object, fault.rule) for fault in broken.faults}


def test_the_declarations_hold() -> None:
    check_declarations()
    groups = (output_group(3, 4, 6), output_group(1, 0, 4, 2, 3), delivery_group(5), delivery_group(1, 2, 3))
    check_declarations(shapes=(*SHAPES, *groups))


def test_a_program_holds() -> None:
    every: dict[Shape, Flow] = {}
    for snapshot in (
        world.qualified(),
        world.narrowed(),
        outward.leaving(),
        peering.peered(),
        world.paired(),
        tiered(world.qualified()),
        world.served(world.two_tenants()),
    ):
        flows = tuple(compile(snapshot).flows())
        check_flows(flows)
        every.update({flow.shape: flow for flow in flows})
    check_flows(Flow(shape, cookies.host()) for shape in PASSES)  # the lease's, which no program has
    check_filled((*every.values(), *(Flow(shape, cookies.host()) for shape in PASSES)))


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        (replace(SHAPE, match=(Match(f.ETH_SRC, 1),)), "matches"),
        (replace(SHAPE, actions=(SetField(f.ETH_SRC, 1),)), "writes"),
        (replace(SHAPE, actions=(DecTtl(),)), "writes"),
        (shape("odd", t.ROUTE, 1, (), (), (DecTtl(),), t.CLASSES), "prerequisite"),
        (replace(SHAPE, goto=t.GUARD.number), "next"),
        (replace(SHAPE, goto=t.OUTPUT.number), "next"),
        (replace(SHAPE, table=99), "declared"),
        (replace(SHAPE, actions=(OutputField(f.CLASS.field),)), "life"),
        (replace(SHAPE, match=(Match(f.ETH_DST, Slot("nobody", 48)),)), "slot"),
        (replace(SHAPE, match=(Match(f.ETH_DST, Slot("x", 32)),), slots=(Slot("x", 32),)), "slot"),
        (replace(SHAPE, match=(Match(f.ETH_DST, 1 << 48),)), "width"),
        (shape("odd", t.CLASSES, 1, (Match(f.IP_DST, 1),), goto=t.ACCOUNT), "prerequisite"),
        (
            shape("odd", t.CLASSES, 1, (Match(f.IP_DST, 1), Match(f.ETH_TYPE, f.IPV4)), goto=t.ACCOUNT),
            "prerequisite",
        ),
        (
            shape("odd", t.ADVERTISE, 1, (), (), (SetField(f.ND_TLL, 1),)),
            "prerequisite",
        ),
    ],
)
def test_an_odd_shape_is_named(odd: Shape, rule: str) -> None:
    with pytest.raises(Broken) as caught:
        check_declarations(shapes=(*SHAPES, odd))
    assert (odd.name, rule) in rules(caught.value)


def test_two_shapes_of_one_name_are_noticed() -> None:
    with pytest.raises(Broken) as caught:
        check_declarations(shapes=(*SHAPES, SHAPES[0]))
    assert (SHAPES[0].name, "unique-name") in rules(caught.value)


def test_an_empty_table_is_noticed() -> None:
    without = tuple(s for s in SHAPES if s not in (COUNTER, ACCOUNT_ROUTER))
    with pytest.raises(Broken) as caught:
        check_declarations(shapes=without)
    assert rules(caught.value) == {("account", "filled")}


def test_a_table_without_a_miss_is_noticed() -> None:
    without = tuple(s for s in SHAPES if s.name != "resolve-miss")
    with pytest.raises(Broken) as caught:
        check_declarations(shapes=without)
    assert rules(caught.value) == {("resolve", "miss")}


def _with_table(changed: Table) -> tuple[Table, ...]:
    return tuple(changed if table.number == changed.number else table for table in TABLES)


def test_a_backward_goto_is_noticed() -> None:
    with pytest.raises(Broken) as caught:
        check_declarations(tables=_with_table(replace(t.RESOLVE, next=("class", "guard"))))
    assert ("resolve", "forward") in rules(caught.value)


def test_an_unreachable_table_is_noticed() -> None:
    with pytest.raises(Broken) as caught:
        check_declarations(tables=_with_table(replace(t.CLASSIFY, next=("guard",))))
    assert ("delivery", "reachable") in rules(caught.value)


def test_disorder_is_noticed() -> None:
    with pytest.raises(Broken) as caught:
        check_declarations(tables=(TABLES[1], TABLES[0], *TABLES[2:]))
    assert ("classify", "order") in rules(caught.value)


@pytest.mark.parametrize(
    "register",
    [
        replace(f.SOURCE, end="resolve"),  # used later
        replace(f.SOURCE, start="guard"),  # written earlier
        replace(f.SOURCE, end="output"),  # not read there
        replace(f.SOURCE, end="nowhere"),
    ],
)
def test_a_register_lives_as_declared(register: Register) -> None:
    changed = tuple(register if r.name == register.name else r for r in REGISTERS)
    with pytest.raises(Broken) as caught:
        check_declarations(registers=changed)
    assert ("source", "life") in rules(caught.value)


def test_a_register_has_one_meaning() -> None:
    twice = replace(f.CLASS, name="other", meaning="something else")
    with pytest.raises(Broken) as caught:
        check_declarations(registers=(*REGISTERS, twice))
    assert ("REGISTERS", "one-meaning") in rules(caught.value)


@pytest.mark.parametrize(
    ("odd", "rule"),
    [
        (Flow(LOCAL, 0, (1, 2)), "slot"),
        (Flow(LOCAL, 0, (1 << 32, 2, 3, 4, 5)), "width"),
        (Flow(CLASS_DECLARED[0], 0, (108, 2, 0x0A000001, 0xFF000000)), "mask"),
        (Flow(CLASS_DECLARED[0], 0, (132, 2, 0x0A000001, 0xFFFFFFFF)), "mask"),
        (Flow(CLASS_DECLARED[0], 0, (100, 2, 0, 0)), "mask"),
    ],
)
def test_an_odd_flow_is_named(odd: Flow, rule: str) -> None:
    flows = [*compile(world.two_tenants()).flows(), odd]
    with pytest.raises(Broken) as caught:
        check_flows(flows)
    assert (odd.shape.name, rule) in rules(caught.value)


def test_a_program_that_leaves_a_table_empty_is_noticed() -> None:
    worlds = (tiered(world.served(world.qualified())), world.narrowed(), outward.leaving(), peering.peered())
    programs = [compile(snapshot) for snapshot in worlds]
    every = {flow.shape: flow for program in programs for flow in program.flows()}
    flows = [flow for flow in every.values() if flow.shape not in (COUNTER, ACCOUNT_ROUTER)]
    flows += [Flow(shape, cookies.host()) for shape in PASSES]
    with pytest.raises(Broken) as caught:
        check_filled(flows)
    assert rules(caught.value) == {("account", "filled")}


_BY_SOURCE = shape("by-source", t.GUARD, 200, (Match(f.SOURCE.field, Slot("s", 32)),), (Slot("s", 32),))
_MASKED = shape(
    "masked",
    t.RESOLVE,
    210,
    (Match(f.ETH_DST, f.GROUP, f.GROUP),),
)


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        (Flow(GUARD_IPV4, 0, (1, 2, 3)), Flow(GUARD_IPV4, 1, (1, 2, 3)), True),
        (Flow(GUARD_IPV4, 0, (1, 2, 3)), Flow(GUARD_IPV4, 0, (1, 2, 4)), False),
        (Flow(GUARD_IPV4, 0, (1, 2, 3)), Flow(_BY_SOURCE, 0, (1,)), True),
        (Flow(GUARD_IPV4, 0, (1, 2, 3)), Flow(_BY_SOURCE, 0, (2,)), False),
        (Flow(RESOLVE_LOCAL, 0, (1, 2, 3)), Flow(_MASKED, 0), False),
        (Flow(RESOLVE_LOCAL, 0, (1, f.GROUP | 2, 3)), Flow(_MASKED, 0), True),
        (Flow(RESOLVE_LOCAL, 0, (1, 2, 3)), Flow(replace(_MASKED, priority=209), 0), False),
    ],
)
def test_overlap(one: Flow, two: Flow, clash: bool) -> None:
    assert bool(list(overlaps([one, two]))) is clash
    assert bool(list(overlaps([two, one]))) is clash


def test_names_are_those_of_ovs() -> None:
    assert len({field.name for field in f.FIELDS}) == len(f.FIELDS)
    assert Field("reg0", 32) in f.FIELDS
    assert {r.field.bits for r in REGISTERS if r is not f.ALIKE} == {32} and f.ALIKE.field.bits == 64


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(KeyError, match="99"):
        t.table(99)
    with pytest.raises(KeyError, match="nothing"):
        t.number("nothing")
    assert t.table(t.number("account")) is t.ACCOUNT

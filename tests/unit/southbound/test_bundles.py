"""Cutting patches: limits, order, whole groups, and keys that move between groups."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow.bundles import BUNDLE_FLOWS, Group, divide, settle
from model.change import Patch
from model.flow import Field, Flow, Match, Shape, Slot

NUMBER = Slot("n", 32)
SHAPE = Shape("s", 1, 1, (Match(Field("reg0", 32), NUMBER),), (), 2, (NUMBER,))


def flow(number: int, cookie: int = 0) -> Flow:
    return Flow(SHAPE, cookie, (number,))


def group(size: int) -> tuple[tuple[Flow, ...], tuple[Flow, ...]]:
    return tuple(flow(n) for n in range(size // 2)), tuple(flow(n) for n in range(size - size // 2))


@given(sizes=st.lists(st.integers(0, 2 * BUNDLE_FLOWS), max_size=12))
def test_all_groups_once_in_order_and_no_bundle_too_large(sizes: list[int]) -> None:
    groups = [group(size) for size in sizes]
    portions = list(divide(groups))
    assert [g for portion in portions for g in portion.groups] == groups
    for portion in portions:
        size = sum(len(put) + len(drop) for put, drop in portion.groups)
        assert size <= BUNDLE_FLOWS or sum(1 for put, drop in portion.groups if put or drop) == 1


def judges(each: Flow) -> bool:
    return each.shape == SHAPE


def test_what_judges_stays_together() -> None:
    """In a row, where all of a group does; not what is more than the switch should take at once."""
    most = 20 * BUNDLE_FLOWS
    half = group(most // 2)
    other: Group = ((Flow(replace(SHAPE, table=2), 0, (1,)),), ())
    mixed: Group = ((*other[0], flow(1)), half[1])
    assert [p.groups for p in divide([half, half], judges)] == [(half, half)]
    assert [p.groups for p in divide([half, other, half], judges)] == [(half,), (other,), (half,)]
    assert [p.groups for p in divide([half, mixed], judges)] == [(half,), (mixed,)]
    small = group(BUNDLE_FLOWS // 2)
    assert [len(p.groups) for p in divide([small] * 6, judges)] == [6]
    assert [len(p.groups) for p in divide([small] * 41, judges)] == [2] * 20 + [1]
    assert [len(p.groups) for p in divide([small] * 6)] == [2] * 3


def test_a_key_that_is_put_somewhere_is_dropped_nowhere() -> None:
    patch = Patch((((flow(1, 9),), ()), ((), (flow(1), flow(2)))))
    assert settle(patch) == (((flow(1, 9),), ()), ((), (flow(2),)))


def test_settle_leaves_the_rest_and_empty_groups_out() -> None:
    patch = Patch((((), ()), ((flow(1),), ()), ((), (flow(2),))))
    assert settle(patch) == (((flow(1),), ()), ((), (flow(2),)))


def test_without_keeps_the_order_of_the_others() -> None:
    (portion,) = divide([group(2), group(4), group(6)])
    assert portion.without([1]).groups == (group(2), group(6))

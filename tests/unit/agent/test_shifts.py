"""Which changes of flows move the pass in which a port is counted, and how they are commanded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from immutables import Map

from controller.agent import commands, core, living, state
from controller.agent.carrying import Care
from model.change import Patch
from model.flow import Flow, Meter
from model.ids import ClassId, PortKey, TenantKey
from model.snapshot import Snapshot
from pipelines import accounts, cookies
from pipelines import compile as pipeline
from pipelines import objects as o
from pipelines.shapes.entry import GUARD_IPV4
from pipelines.shapes.paths import RESOLVE_LOCAL
from pipelines.shapes.prefixes import VIA_GROUP, VIA_LOCAL, Forms, place
from pipelines.shapes.quality import LIMIT_METERED, RATE_METERED
from pipelines.shapes.size import OVERSIZE_TOLD, SIZE_CHECKED, SIZE_NARROW
from tests.unit.agent.test_core import NET, items, port, running

PREFIX = ip_network("10.77.0.0/24")
ONE, TWO = PortKey(1), PortKey(2)
HERE = running(1, 2).effective
"""Both ports live here."""
METERED = Flow(RATE_METERED, cookies.port(ONE), (ONE, 22))
NARROW = Flow(SIZE_NARROW[2], cookies.network(NET), (150, NET, 1414))
OTHER = Flow(LIMIT_METERED, cookies.port(TWO), (12, 25))
EMPTY = pipeline.compile(Snapshot(HERE.host))
LIMITS = (Meter(22, 800, 1_050), (25,))


def shifting(patch: Patch, old: Snapshot = HERE, had: tuple[Flow, ...] = ()) -> list[commands.Command]:
    claims = Map({pipeline.key(flow): () for flow in had})
    return living.shifting(replace(EMPTY, claims=claims), patch, old, HERE)


def test_only_what_ends_a_pass_ahead_of_the_account_moves_it() -> None:
    assert all(map(accounts.ends_pass, (METERED, NARROW, Flow(SIZE_CHECKED[0], 0, (1, 1_414)))))
    assert not any(map(accounts.ends_pass, (OTHER, Flow(OVERSIZE_TOLD, 0, (1,)))))


def test_it_goes_by_itself_after_its_meter_and_before_meters_go() -> None:
    patch = Patch((((METERED,), ()), ((OTHER,), ())), LIMITS[:1], LIMITS[1])
    assert shifting(patch) == [
        commands.Program(Patch((((OTHER,), ()),), LIMITS[:1])),
        commands.Shift((ONE,), Patch((((METERED,), ()),))),
        commands.Program(Patch((), (), LIMITS[1])),
    ]
    drop = Patch((((), (METERED,)),))
    assert shifting(drop, had=(METERED,)) == [commands.Shift((ONE,), drop)]


def test_a_flow_of_a_network_moves_all_its_ports_that_live_here() -> None:
    patch = Patch((((NARROW,), ()),))
    assert shifting(patch) == [commands.Shift((ONE, TWO), patch)]
    assert shifting(patch, running(2).effective) == [commands.Shift((TWO,), patch)], (
        "the other comes just now"
    )


def test_what_takes_the_place_of_its_like_moves_nothing() -> None:
    patch = Patch((((METERED,), ()),))
    assert shifting(patch, had=(METERED,)) == [commands.Program(patch)]


def test_a_port_that_comes_or_goes_does_not_pay() -> None:
    patch = Patch((((METERED,), ()),))
    assert shifting(patch, running(2).effective) == [commands.Program(patch)]
    stranger = Flow(RATE_METERED, cookies.port(PortKey(9)), (9, 40))
    gone = Patch((((), (stranger,)),))
    assert shifting(gone, had=(stranger,)) == [commands.Program(gone)]


def test_many_ports_pay_once() -> None:
    found = shifting(Patch(tuple(((METERED,), ()) for _ in range(living.AT_ONCE + 1))))
    assert [len(c.patch.groups) for c in found if isinstance(c, commands.Shift)] == [living.AT_ONCE, 1]


def test_a_limit_of_two_ports_is_one_shift() -> None:
    now = running(1, 2)
    limited = [replace(port(n), rate_out=800) for n in (1, 2)]
    found = core.on_store(now, items(*limited), (), state.Whole.NO)
    kinds = [type(c) for c in found.commands]
    assert kinds == [commands.Program, commands.Shift, commands.Save]
    (shift,) = [c for c in found.commands if isinstance(c, commands.Shift)]
    assert shift.ports == (ONE, TWO) and len(shift.patch.groups) == 2


class Notes:
    """A meter that notes for whom something was shifted."""

    def __init__(self) -> None:
        self.shifted: list[tuple[PortKey, ...]] = []

    def shift(self, _: Snapshot, ports: tuple[PortKey, ...], work: Callable[[], None]) -> None:
        self.shifted.append(ports)
        work()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


@pytest.mark.parametrize(
    ("moving", "absent", "shifted"),
    [
        ({METERED.cookie}, set(), [(ONE,)]),
        ({METERED.cookie, NARROW.cookie}, set(), [(ONE, TWO)]),
        ({NARROW.cookie}, {cookies.port(ONE)}, [(TWO,)]),
        ({NARROW.cookie}, {cookies.port(ONE), cookies.port(TWO)}, []),
        ({cookies.port(PortKey(9))}, set(), []),
        ({cookies.host(cls=ClassId(2))}, set(), [(ONE, TWO)]),
        ({cookies.vrf(TenantKey(1))}, {cookies.port(ONE)}, [(TWO,)]),
        ({cookies.vrf(TenantKey(2))}, set(), []),
    ],
)
def test_an_audit_cares_for_ports_that_have_traffic(moving: Any, absent: Any, shifted: Any) -> None:
    notes, done = Notes(), list[int]()
    Care(notes, HERE).shifting(frozenset(moving), frozenset(absent), lambda: done.append(1))
    assert (notes.shifted, done) == (shifted, [1])


def to_prefix(forms: Forms, *hop: int) -> Flow:
    """The way to a prefix of the tenant."""
    shape, head = place(forms, 82, 1, PREFIX)
    return Flow(shape, cookies.prefix(TenantKey(1), PREFIX), (*head, *hop))


GUARD = Flow(GUARD_IPV4, cookies.port(ONE), (ONE, 0x0A, 0x0A000009))
VIA, AWAY, SHARED = to_prefix(VIA_LOCAL, 0x0B, 11), to_prefix(VIA_LOCAL, 0x0C, 12), to_prefix(VIA_GROUP)
NEIGHBOUR = Flow(RESOLVE_LOCAL, cookies.port(TWO), (NET, 0x0D, 12))


def having(*flows: Flow) -> pipeline.Program:
    """A program with these flows, and nothing else."""
    subject = o.prefix(TenantKey(1), PREFIX)
    claims = {pipeline.key(flow): (subject,) for flow in flows}
    return replace(EMPTY, groups=Map({subject: flows}), claims=Map(claims))


@pytest.mark.parametrize(
    ("had", "put", "drop", "ports"),
    [
        ((), (GUARD,), (), (ONE,)),
        ((GUARD,), (), (GUARD,), (ONE,)),
        ((), (VIA,), (), (ONE, TWO)),
        ((VIA,), (), (VIA,), (ONE, TWO)),
        ((VIA,), (SHARED,), (), (ONE, TWO)),
        ((SHARED,), (VIA,), (), (ONE, TWO)),
        ((VIA,), (AWAY,), (), ()),
        ((), (NEIGHBOUR,), (), ()),
        ((NEIGHBOUR,), (), (NEIGHBOUR,), ()),
    ],
    ids=["address", "no-address", "prefix", "no-prefix", "to-many", "to-one", "elsewhere", "comes", "goes"],
)
def test_what_moves_whether_packets_are_counted_is_rationed(had, put, drop, ports) -> None:
    patch = Patch(((put, drop),))
    found = living.shifting(having(*had), patch, HERE, HERE)
    if ports:
        assert found == [commands.Shift(ports, patch)]
    else:
        assert found == [commands.Program(patch)]


def test_meters_go_after_what_is_shifted() -> None:
    patch = Patch((((GUARD,), ()), ((OTHER,), ())), LIMITS[:1], LIMITS[1])
    assert living.shifting(EMPTY, patch, HERE, HERE) == [
        commands.Program(Patch((((OTHER,), ()),), LIMITS[:1])),
        commands.Shift((ONE,), Patch((((GUARD,), ()),))),
        commands.Program(Patch((), (), LIMITS[1])),
    ]

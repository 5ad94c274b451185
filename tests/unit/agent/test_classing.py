"""Egress classes that come, change, turn and go: what the agent does so that no byte changes its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent import commands, core, disk, state
from controller.agent.switching import Switching
from model.change import Part, Patch
from model.flow import Flow
from model.ids import ClassId, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import EgressClass, Network, Peering, Relation, Side
from pipelines import accounts, cookies
from pipelines.accounts import ACCOUNT_TABLE
from pipelines.tables import CLASSES, CLASSIFY
from tests.unit.agent.test_core import kinds, running

ONE, TWO = PortKey(1), PortKey(2)
STORAGE, CDN = ip_network("198.51.100.0/24"), ip_network("203.0.113.0/24")
DAY = 86_400_000


def egress(key: int, *prefixes: Any, uid: str = "", **more: Any) -> EgressClass:
    return EgressClass(Uid(uid or f"class-{key}"), uid or f"c{key}", ClassId(key), prefixes, **more)


def told(now: core.Core, *values: EgressClass, gone: tuple[int, ...] = ()) -> core.Result:
    items = tuple((Part.CLASS, value.id, value) for value in values)
    return core.on_store(now, items, tuple((Part.CLASS, ClassId(key)) for key in gone), state.Whole.NO)


def parts(result: core.Result) -> list[tuple[str, list[str], list[str]]]:
    """(command, tables put to, tables dropped from) of what programs, in order."""
    found = []
    for command in result.commands:
        if isinstance(command, commands.Program | commands.Shift):
            flows = [[f.shape.table for g in command.patch.groups for f in g[side]] for side in (0, 1)]
            names = [sorted({_NAMES.get(t, str(t)) for t in each}) for each in flows]
            found.append((type(command).__name__, *names))
        elif isinstance(command, commands.CloseCounters):
            found.append(("CloseCounters", [], []))
    return found


_NAMES = {ACCOUNT_TABLE: "account", CLASSES.number: "class"}


def test_a_class_that_comes_has_its_counters_first_and_its_flows_at_a_standstill() -> None:
    result = told(running(1, 2), egress(2, STORAGE))
    assert parts(result) == [("Program", ["account"], []), ("Shift", ["class"], [])]
    (shift,) = [c for c in result.commands if isinstance(c, commands.Shift)]
    assert shift.ports == (ONE, TWO)


def test_a_class_that_goes_leaves_its_flows_at_a_standstill_and_then_its_counters_are_closed() -> None:
    now = told(running(1, 2), egress(2, STORAGE)).core
    gone = told(now, gone=(2,))
    assert parts(gone) == [
        ("Shift", [], ["class"]),
        ("CloseCounters", [], []),
        ("Program", [], ["account"]),
    ]


def test_many_classes_that_change_are_one_bundle() -> None:
    wide = [ip_network(f"20.{n}.0.0/16") for n in range(200)]
    now = told(running(1), *(egress(2 + n, *wide[n::20]) for n in range(20))).core
    turned = told(now, *(egress(2 + n, *wide[19 - n :: 20]) for n in range(20)))
    (shift,) = [c for c in turned.commands if isinstance(c, commands.Shift)]
    ((put, drop),) = shift.patch.groups
    assert (len(put), len(drop), kinds(turned)) == (200, 0, [commands.Shift, commands.Save])


def test_nothing_stands_still_where_no_port_counts_yet() -> None:
    assert commands.Shift not in kinds(told(running(), egress(2, STORAGE)))


def test_another_class_under_the_id_of_one_that_went_waits_for_its_last_reading() -> None:
    now = told(running(1), egress(2, STORAGE)).core
    assert parts(told(now, egress(2, CDN, uid="other"))) == [
        ("Shift", [], ["class"]),
        ("CloseCounters", [], []),
        ("Program", [], ["account"]),
        ("Program", ["account"], []),
        ("Shift", ["class"], []),
    ]


def test_a_version_turns_when_its_moment_comes_and_back_with_the_clock() -> None:
    dated = egress(2, CDN, since=DAY, former=(STORAGE,))
    now = core.on_moment(running(1), DAY - 10).core
    now = told(now, dated).core
    early = core.on_moment(now, DAY - 1)
    assert early.commands == () and early.core.effective is now.effective
    due = core.on_moment(early.core, DAY + 5)
    assert parts(due) == [("Shift", ["class"], ["class"])]
    assert due.core.program == core.pipeline.compile(due.core.effective)
    assert parts(core.on_moment(due.core, DAY - 20)) == [("Shift", ["class"], ["class"])]


def test_a_host_that_is_held_does_not_turn() -> None:
    now = told(core.on_moment(running(1), 1).core, egress(2, CDN, since=DAY)).core
    held = replace(now, stop=core.brake.Stop("frozen", "the operator froze this host", ""))
    assert core.on_moment(held, DAY) == core.Result(held)
    assert parts(core.on_moment(replace(held, stop=None), DAY)) == [("Shift", ["class"], [])]


def test_the_moment_is_kept_on_disk(tmp_path: Path) -> None:
    kept = told(core.on_moment(running(1), DAY).core, egress(2, CDN, since=DAY, former=(STORAGE,)))
    relations = egress(3, relations=(Relation.INTERNET,), former_relations=(Relation.SAME_TENANT,))
    snapshot = told(kept.core, relations).core.effective
    disk.save(snapshot, tmp_path / "snapshot.json")
    loaded = disk.load(tmp_path / "snapshot.json")
    assert loaded is not None and (loaded.moment, loaded.classes) == (DAY, snapshot.classes)


def test_a_relation_that_comes_stands_still_and_a_network_that_comes_does_not() -> None:
    now = running(1, 2)
    same = told(now, egress(2, relations=(Relation.SAME_TENANT,)))
    assert [name for name, *_ in parts(same)] == ["Program", "Shift"]
    more = Network(Uid("n2"), TenantKey(1), "more", NetworkKey(2), Vni(5002), (ip_network("10.7.0.0/24"),))
    grown = core.on_store(same.core, ((Part.NETWORK, more.key, more),), (), state.Whole.NO)
    assert commands.Shift not in kinds(grown)
    assert any(accounts.classifies(f) for _, f in _put(grown)), "but it has its class"


def test_whose_a_peering_is() -> None:
    peers = Peering(TenantKey(9), Vni(5009), (Side(TenantKey(1), (STORAGE,)), Side(TenantKey(2), (CDN,))))
    now = core.on_store(running(1), ((Part.PEERING, peers.key, peers),), (), state.Whole.NO).core
    across = told(now, egress(2, relations=(Relation.PEERED_TENANT,)))
    (shift,) = [c for c in across.commands if isinstance(c, commands.Shift)]
    assert shift.ports == (ONE,)


def _put(result: core.Result) -> list[tuple[str, Flow]]:
    found = [c for c in result.commands if isinstance(c, commands.Program)]
    return [(f.shape.name, f) for c in found for group in c.patch.groups for f in group[0]]


class Hands(Switching):
    """Switching whose channel only notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._channel = cast(Any, SimpleNamespace(delete_observed=self._deleted))

    def program(self, patch: Patch) -> tuple[Flow, ...]:
        self.sent.append(",".join(flow.shape.name for put, _ in patch.groups for flow in put))
        return ()

    def _deleted(self, flows: Any) -> int:
        self.sent.append("-" + ",".join(str(each.table) for each in flows))
        return len(flows)


class Cautious:
    """Care that notes what it is asked for."""

    def __init__(self, sent: list[str]) -> None:
        self.sent = sent

    def closing(self, doomed: tuple[int, ...]) -> None:
        self.sent.append("closing")

    def shifting(self, moving: frozenset[int], absent: frozenset[int], work: Callable[[], None]) -> None:
        self.sent.append(f"still {len(moving)} {len(absent)}")
        work()


@pytest.fixture
def flows() -> tuple[Flow, ...]:
    found = told(running(1), egress(2, STORAGE, CDN)).core.program.flows()
    wanted = {"account-counter", "class-declared4-masked", "classify-local", "guard-ipv4"}
    return tuple(flow for flow in found if flow.shape.name in wanted)


def test_an_audit_puts_counters_then_classes_as_one_then_the_rest(flows: tuple[Flow, ...]) -> None:
    hands = Hands()
    hands._put(flows, Cautious(hands.sent))
    assert hands.sent == [
        ",".join(["account-counter"] * 3),
        "still 1 1",
        "class-declared4-masked,class-declared4-masked",
        "classify-local,guard-ipv4",
    ]


def test_a_sweep_takes_flows_of_classes_at_a_standstill_and_counters_last() -> None:
    mark = cookies.host(cls=ClassId(2))
    orphans = tuple(
        SimpleNamespace(table=table, cookie=cookie)
        for table, cookie in (
            (ACCOUNT_TABLE, cookies.account(ONE, ClassId(2), 1)),
            (CLASSES.number, mark),
            (CLASSES.number, cookies.network(NetworkKey(1))),
            (CLASSIFY.number, cookies.port(ONE)),
        )
    )
    hands = Hands()
    hands._sweep(cast(Any, orphans), Cautious(hands.sent))
    number = CLASSES.number
    assert hands.sent == [
        f"-{number},{CLASSIFY.number}", "still 1 1", f"-{number}", "closing", f"-{ACCOUNT_TABLE}"
    ]  # fmt: skip

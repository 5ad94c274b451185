"""Incremental equals recompute: routes expected, what is said of interfaces, who sits where in the switch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from immutables import Map

from bgp.lookup import index
from controller.agent import binder
from controller.agent.expecting import Expectation, missing
from controller.agent.roster import Roster
from controller.agent.vantage import Vantage
from model.change import Change, Part
from model.ids import HostName, PortKey, Uid
from model.intent import Binding
from model.report import PortReport
from model.snapshot import Snapshot
from tests.fakes import world
from tests.fakes.steps import steps
from tests.fakes.strategies import clusters
from tests.fakes.world import Step, stepped

Batches = list[list[Step]]
_SETTINGS = settings(suppress_health_check=list(HealthCheck))


def _elsewhere(key: int, host: str) -> Step:
    """Bindings of other hosts, which the steps of the pipelines seldom make."""
    return Step(Part.BINDING, PortKey(key), Binding(PortKey(key), HostName(host), 0, True))


_STEPS = st.one_of(
    steps(), st.builds(_elsewhere, st.sampled_from(range(1, 12)), st.sampled_from(["hv2", "hv3", "frr"]))
)
_BATCHES = st.lists(st.lists(_STEPS, min_size=1, max_size=4), min_size=1, max_size=12)
_STARTS = st.one_of(clusters(), st.sampled_from([world.two_tenants(), world.routed(), Snapshot(world.HERE)]))


@given(_STARTS, _BATCHES)
@_SETTINGS
def test_expected_routes_follow_the_changes(start: Snapshot, batches: Batches) -> None:
    snapshot, expectation = start, Expectation()
    expectation.begin(snapshot)
    for batch in batches:
        snapshot = stepped(snapshot, batch)
        expectation.follow(snapshot, [step.change() for step in batch], index(snapshot).macs)
        assert expectation.missing == missing(snapshot)


@given(_STARTS, _BATCHES, st.sets(st.sampled_from(range(1, 12))))
@_SETTINGS
def test_what_is_said_of_interfaces_follows_the_changes(
    start: Snapshot, batches: Batches, refused: set[int]
) -> None:
    snapshot, roster, said = start, Roster(), dict[Uid, PortReport]()

    def hear(news: dict[Uid, PortReport | None]) -> None:
        for uid, one in news.items():
            assert said.get(uid) != one, "nothing is said twice"
            if one is None:
                del said[uid]
            else:
                said[uid] = one

    hear(roster.follow(snapshot, {}, None))
    refusals: dict[PortKey, str] = {}
    for batch in batches:
        snapshot = stepped(snapshot, batch)
        changes = {step.change() for step in batch}
        if refused:
            key = PortKey(refused.pop())
            refusals[key] = "bound elsewhere"
            changes.add(Change(Part.BINDING, key))
        hear(roster.follow(snapshot, refusals, changes))
        assert tuple(said[uid] for uid in sorted(said)) == binder.port_reports(snapshot, refusals)


@given(_STARTS, _BATCHES)
@_SETTINGS
def test_seats_follow_the_changes(start: Snapshot, batches: Batches) -> None:
    snapshot = start
    quick, thorough = Vantage(_Blind(), lambda: 0.0), Vantage(_Blind(), lambda: 0.0)
    for one in (quick, thorough):
        one.look(snapshot)
    for drawn in batches:
        batch = [_named(step) for step in drawn]
        snapshot = stepped(snapshot, batch)
        quick.look(snapshot, frozenset(step.change() for step in batch))
        thorough.look(snapshot)
        assert quick.departures() == thorough.departures()
        names = [i.name for i in snapshot.interfaces.values()]
        assert quick.ports(names) == thorough.ports(names)
        assert quick._seats == thorough._seats


def _named(step: Step) -> Step:
    """In a switch no two interfaces have one name."""
    if step.part is not Part.INTERFACE or step.value is None:
        return step
    return replace(step, value=replace(step.value, name=f"{step.value.name}-{step.value.iface_id}"))


class _Blind:
    """Counters that nobody looks at here."""

    def look(self) -> Any:
        raise AssertionError

    def close(self) -> None: ...


def test_the_starts_expect_something() -> None:
    """Or the first property would compare zeros."""
    start = world.two_tenants()
    far = {key: Binding(key, HostName("hv2"), 0, True) for key in start.ports}
    here = dict(list(start.bindings.items())[:1])
    found = missing(replace(start, bindings=Map(far | here), remotes=Map()))
    assert found > 0

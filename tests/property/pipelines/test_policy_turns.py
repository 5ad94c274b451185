"""A change of policy goes to the switch in parts: after each of them, what both the old and the new policies
forbid is forbidden, and what both allow is allowed.

As the store seats them: a rule keeps its number as long as it means the same, and heights move up and down
with what comes and goes around it. Of few heights, so that rules cross each other's. What is drawn is judged
by the slow verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from itertools import groupby
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.southbound.openflow import bundles
from model.change import Change, Part
from model.entries import Entry, Tenants, standing
from model.flow import Flow, FlowKey
from model.ids import PortKey, TenantKey, Uid
from model.labels import Labels
from model.policy import (
    Action,
    Block,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Seat,
    Selection,
    Service,
    Standing,
    Tier,
)
from model.snapshot import Snapshot, with_port
from pipelines import lookup, turns
from pipelines.compile import Program, compile, recompile
from pipelines.policy.verdict import Connection, at
from pipelines.walk import walk
from tests.fakes.conntrack import Conntrack
from tests.fakes.packets import received
from tests.fakes.policies import WORLD, policy_sets, rules, tenants
from tests.fakes.under_policy import BARE, TENANTS, opening, ruled
from tests.property.pipelines.test_policy_judged import INSIDE, WATCHED, inside

Flows = dict[FlowKey, Flow]
_LABELS = tuple(dict.fromkeys(one.labels for one in WORLD))


@dataclass(frozen=True)
class Said:
    """What there is at one moment. `gaps`: between heights, from the lowest of each tier; again and again."""

    policies: tuple[Policy, ...]
    tenants: Tenants
    gaps: Sequence[int]
    labels: dict[PortKey, Labels] = field(default_factory=dict)

    def judges(self, connection: Connection) -> bool:
        """Whether it allows a connection."""
        return all(self.ends(connection))

    def ends(self, connection: Connection) -> tuple[bool, bool]:
        """Whether each end does, whatever the other says."""
        ends = (connection.source, connection.target)
        source, target = (one and replace(one, labels=self.labels.get(one.key, one.labels)) for one in ends)
        seen = replace(connection, source=source, target=target)
        leaves, enters = (
            port is None or at(port, seen, standing(self.policies, self.tenants, way)).action is Action.ALLOW
            for port, way in ((source, Direction.OUT), (target, Direction.IN))
        )
        return leaves, enters


@dataclass(frozen=True)
class Store:
    """Gives each rule a number that it keeps, whatever its place, and no other gets."""

    numbers: dict[tuple[str, int], int] = field(default_factory=dict)

    def seat(self, said: Said) -> list[Standing]:
        seats: dict[object, Seat] = {}
        meant: dict[str, int] = {}
        for direction in Direction:
            for tier in Tier:
                listed = standing([one for one in said.policies if one.tier is tier], {}, direction)
                height = 0
                for place, entry in enumerate(reversed(listed)):
                    height += said.gaps[place % len(said.gaps)]
                    seats[entry.place] = Seat(self._number(entry, meant), height)
        return [_seated(policy, seats) for policy in said.policies]

    def _number(self, entry: Entry, meant: dict[str, int]) -> int:
        """Of two that mean the same each has its own."""
        meant[entry.identity] = again = meant.get(entry.identity, 0) + 1
        return self.numbers.setdefault((entry.identity, again), len(self.numbers) + 1)


def _seated(policy: Policy, seats: dict[object, Seat]) -> Standing:
    found: dict[int, Seat] = {}
    ends: dict[Direction, Seat] = {}
    for direction in Direction:
        for entry in standing((policy,), {}, direction):
            if entry.place.number:
                found[entry.place.number] = seats[entry.place]
            else:
                ends[direction] = seats[entry.place]
    own = tuple(seat for _, seat in sorted(found.items()))
    owner = TenantKey(TENANTS.get(policy.tenant, 0))
    uid = Uid(f"policy-{policy.name}")
    return Standing(uid, policy, owner, own, ends.get(Direction.OUT), ends.get(Direction.IN))


def held(said: Said, store: Store, before: Snapshot) -> tuple[Snapshot, list[Change]]:
    """A snapshot in which it holds, and what differs from `before`."""
    with patch("tests.fakes.under_policy.seat", lambda _: store.seat(said)):
        snapshot, changes = ruled(before, said.policies, said.tenants)
    for one in WORLD:
        port = snapshot.ports[one.key]
        snapshot = with_port(snapshot, replace(port, labels=said.labels.get(one.key, one.labels)))
        changes.append(Change(Part.PORT, one.key))
    return snapshot, changes


Held = Callable[[Said, Store, Snapshot], tuple[Snapshot, list[Change]]]


def moments(
    first: Said, then: Said, judging: bundles.Judging = turns.judges, how: Held = held
) -> Iterator[lookup.Lookup]:
    """The switch before the change, after each bundle of it, each as small as may be, and so at its end."""
    store = Store()
    old, _ = how(first, store, BARE)
    program = compile(old)
    new, changes = how(then, store, old)
    after, change = recompile(program, old, new, changes)
    flows: Flows = {flow.key(): flow for flow in program.flows()}
    yield lookup.build(Program(), flows.values())
    with patch.object(bundles, "BUNDLE_FLOWS", 0):
        parts = [*bundles.divide(bundles.settle(change), judging)]
    for portion in parts:
        for _, flow in portion.drops():
            del flows[flow.key()]
        flows.update((flow.key(), flow) for _, flow in portion.puts())
        yield lookup.build(Program(), flows.values())
    assert flows == {flow.key(): flow for flow in after.flows()}


def passes(switch: lookup.Lookup, connection: Connection) -> bool:
    """Whether the packet that opens it arrives, where nothing is known of it."""
    source, target = connection.source, connection.target
    assert source is not None
    assert target is not None
    packet = received(opening(connection, source, target))
    return target.key in {sent.port for sent in walk(switch, packet, Conntrack()).sent}


@st.composite
def altered(draw: st.DrawFn, policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """Each as it was, or with a rule more or less, its rules in another order, or gone."""
    made = []
    for policy in policies:
        said = [*policy.rules]
        how = draw(st.sampled_from(("same", "same", "more", "less", "turned", "gone")))
        if how == "more":
            said.insert(draw(st.integers(0, len(said))), draw(rules))
        elif how == "less" and said:
            said.pop(draw(st.integers(0, len(said) - 1)))
        elif how == "turned":
            said.reverse()
        if how != "gone":
            made.append(replace(policy, rules=tuple(said)))
    return tuple(made)


relabelled = st.one_of(
    st.just({}),
    st.dictionaries(st.sampled_from([one.key for one in WORLD]), st.sampled_from(_LABELS), max_size=3),
)
gaps = st.lists(st.integers(1, 3), min_size=4, max_size=4)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Said, Said]:
    """What holds, and what is to hold. All ports are under policy before and after: what leads to the judge
    of one that comes under policy goes by itself (decision 0058)."""
    before, defaults = draw(policy_sets()), draw(tenants)
    after = draw(st.one_of(st.just(before), altered(before), policy_sets()))
    others = draw(st.one_of(st.just(defaults), tenants))
    first = Said((*before, WATCHED), defaults, draw(gaps), draw(relabelled))
    return first, Said((*after, WATCHED), others, draw(gaps), draw(relabelled))


def verdicts(first: Said, then: Said, tried: Sequence[Connection]) -> Iterator[tuple[bool, bool, list[bool]]]:
    """Of each connection: before and after, by the slow verdict, and of each moment."""
    switches = [*moments(first, then)]
    for connection in tried:
        found = [passes(switch, connection) for switch in switches]
        wanted = first.judges(connection), then.judges(connection)
        assert (found[0], found[-1]) == wanted
        yield *wanted, found


@given(changes(), inside)
@settings(max_examples=60)
def test_nothing_is_otherwise_in_between(change: tuple[Said, Said], tried: list[Connection]) -> None:
    for before, after, found in verdicts(*change, tried):
        assert before is not after or set(found) == {before}


@given(changes(), inside)
@settings(max_examples=40)
def test_what_is_too_large_for_a_bundle_opens_nothing(
    change: tuple[Said, Said], tried: list[Connection]
) -> None:
    """It is closed until all of it is there."""
    with patch.object(bundles, "WHOLE", 0), patch.object(turns, "WHOLE", 0):
        for before, after, found in verdicts(*change, tried):
            assert before or after or not any(found)


@given(changes(), inside)
@settings(max_examples=40)
def test_what_only_goes_may_go_later(change: tuple[Said, Said], tried: list[Connection]) -> None:
    """Ways of ports that change too may come between what is put of policy and what of it only goes: groups
    have other names by then, and nothing that is left over takes them."""
    units, ordered, last = bundles._units, turns._ordered, set[Flow]()

    def noted(groups: Sequence[Any]) -> tuple[bundles.Group, ...]:
        last.update(flow for (turn, *_), _, drop in groups if turn > 1 for flow in drop)
        return ordered(groups)

    def parted(groups: Iterable[bundles.Group], judging: bundles.Judging) -> Iterator[list[bundles.Group]]:
        for some in units(groups, judging):
            for _, part in groupby(some, lambda group: not group[0] and last.issuperset(group[1])):
                yield [*part]

    with patch.object(bundles, "_units", parted), patch.object(turns, "_ordered", noted):
        for before, after, found in verdicts(*change, tried):
            assert before or after or not any(found)


SOME = next(
    one
    for one in INSIDE
    if one.source and one.target and one.source.key > one.target.key and (one.protocol, one.port) == (6, 443)
)
OUT, INTO = Direction
ANY_TCP, HTTP = (Service(Protocol.TCP, ports) for ports in (None, PortRange(80, 80)))
STANDING = (Rule(INTO, Action.ALLOW, services=(HTTP,)), Rule(INTO, Action.DENY, services=(ANY_TCP,)))
ALL = tuple(Block(ip_network(prefix)) for prefix in ("0.0.0.0/0", "::/0"))
SHUT = {
    "by rules that make room": (STANDING, (1,), STANDING, (2,)),
    "by rules that come where others stood": (STANDING, (1,), STANDING, (3, 1)),
    "by rules that move a little": (STANDING, (2, 1), STANDING, (3, 1)),
    "by name and by address": (
        (Rule(INTO, Action.DENY, (Selection(),)),),
        (1,),
        (Rule(INTO, Action.DENY, ALL),),
        (1,),
    ),
    "at one end and at the other": ((Rule(INTO, Action.DENY),), (1,), (Rule(OUT, Action.DENY),), (1,)),
}


@pytest.mark.parametrize("case", SHUT)
@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_shut_before_and_after_is_never_open(
    monkeypatch: pytest.MonkeyPatch, case: str, *, backwards: bool
) -> None:
    before, low, after, high = SHUT[case]
    said = [Said((Policy("all", "acme", rules=made),), {}, g) for made, g in ((before, low), (after, high))]
    first, then = said[::-1] if backwards else said
    assert not any(passes(switch, SOME) for switch in moments(first, then))
    for room in (bundles, turns):
        monkeypatch.setattr(room, "WHOLE", 0)
    assert not any(passes(switch, SOME) for switch in moments(first, then))


@pytest.mark.parametrize("case", SHUT)
def test_it_would_be_open_in_parts(case: str) -> None:
    """In one direction at least."""
    before, low, after, high = SHUT[case]
    one, two = (Said((Policy("all", "acme", rules=r),), {}, g) for r, g in ((before, low), (after, high)))
    switches = [*moments(one, two, bundles.nothing), *moments(two, one, bundles.nothing)]
    assert any(passes(switch, SOME) for switch in switches)

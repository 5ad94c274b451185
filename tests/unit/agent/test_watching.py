"""The thread that makes evidence of counters: a made-up switch and store, real bytes of flow statistics."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from immutables import Map

from controller.agent import watching as module
from controller.agent.gauging import Clocks
from controller.agent.rulebook import denies, exposed, exposed_since, rulebook
from controller.agent.watching import Watching
from controller.southbound.connections import Connection
from controller.southbound.openflow.dump import Dump, parse
from controller.store.words import Word
from model.errors import Fault, Unavailable
from model.evidence import Amount, HostEvidence, RuleName
from model.evidence import parse as parse_word
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Port, Tenant
from model.inventory import Switch
from model.policy import (
    Action,
    Default,
    Defaults,
    Direction,
    Policy,
    Protocol,
    Rule,
    Seat,
    Service,
    Standing,
    State,
)
from model.snapshot import Snapshot, with_port
from pipelines import cookies
from pipelines import tables_policy as tables

MINUTE = 60_000
LEFT, LEFT_HITS, FORESEEN, REAL = (
    *(table.number for table in (tables.LEFT, tables.LEFT_HITS)),
    *(tables.OUTWARD_CHAIN[at].number for at in (1, 5)),
)
PORT, KEY = Uid("p1"), PortKey(5)
POLICY = Policy(
    "web",
    "acme",
    rules=(
        Rule(Direction.OUT, Action.ALLOW, services=(Service(Protocol.TCP),)),
        Rule(Direction.OUT, Action.DENY, state=State.COUNT),
        Rule(Direction.OUT, Action.ALLOW, state=State.COUNT),
    ),
    defaults=Defaults(inward=Default(Action.DENY)),
)
STANDING = Standing(Uid("u"), POLICY, TenantKey(1), (Seat(7, 10), Seat(8, 9), Seat(10, 8)), inward=Seat(9, 1))
_ENTRY = struct.Struct("!HBxIIHHHHH2xQQQHH4x")


def entry(table: int, cookie: int, packets: int, seconds: int) -> bytes:
    zeros = (0, 0, 0, 0, 0)
    return _ENTRY.pack(_ENTRY.size, table, seconds, 0, *zeros, cookie, packets, 10 * packets, 1, 4)


def snapshot(life: str = "one", standing: Standing = STANDING) -> Snapshot:
    tenant = Tenant(
        Uid("t"), "acme", TenantKey(1), defaults=Defaults(outward=Default(Action.DENY)), seats=(12, 0)
    )
    made = Snapshot(
        HostName("hv1"),
        switch=Switch("netdev", 1, life),
        tenants=Map({tenant.key: tenant}),
        policies=Map({standing.uid: standing}),
        zones=Map({("policy", 5): 33}),
    )
    return with_port(made, Port(PORT, NetworkKey(1), "a", KEY, 0x020000000001, (), ()))  # type: ignore[arg-type]


@dataclass
class World:
    """A switch with counters of rule 8 at the port, and what was told."""

    directory: Path
    flows: list[bytes] = field(default_factory=list)
    now: int = 10 * MINUTE
    core: Any = field(
        default_factory=lambda: SimpleNamespace(effective=snapshot(), session=True, store_complete=True)
    )
    told: list[Word] = field(default_factory=list)
    mute: bool = False
    listed: list[int] = field(default_factory=list)
    many: int = 1

    def dump_slices(self, *tables: int) -> Iterator[Dump]:
        for table in tables:
            yield parse([flow for flow in self.flows if flow[2] == table])

    def close(self) -> None:
        pass

    def begin(self) -> Watching:
        return Watching(
            lambda: self,  # type: ignore[arg-type, return-value]
            HostName("hv1"),
            lambda: self.core,
            self,  # type: ignore[arg-type]
            self.directory,
            self.directory / "evidence",
            "boot",
            Clocks(lambda: 1_000_000_000 + self.now, lambda: self.now),
        )

    def set(self, packets: int) -> None:
        seconds = self.now // 1_000 - 5
        self.flows = [
            entry(LEFT, cookies.policy(7 << 1), 100, seconds),
            entry(FORESEEN, cookies.policy(8 << 1 | 1), 70, seconds),
            entry(FORESEEN, cookies.policy(10 << 1 | 1), 80, seconds),
            entry(LEFT, cookies.port(KEY), 1_000, seconds),
            entry(LEFT_HITS, cookies.policy(8 << 1 | 1, KEY), packets, seconds),
            entry(LEFT_HITS, cookies.policy(8 << 1 | 1, PortKey(99)), 50, seconds),
            entry(LEFT_HITS, cookies.policy(77 << 1 | 1, KEY), 50, seconds),
            entry(REAL, cookies.policy(7 << 1), 3, seconds),
            entry(REAL, cookies.policy(9 << 1), 4, seconds),
            entry(REAL, cookies.policy(9 << 1), 5, seconds),
        ]

    def last(self) -> HostEvidence:
        return parse_word(self.told[-1].text)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    made.set(0)

    def put(_: object, word: Word) -> None:
        if made.mute:
            raise Unavailable(Fault("store", "store-unavailable", "away", "wait"))
        made.told.append(word)

    def labelled(_: Path, zone: int) -> tuple[Connection, ...]:
        made.listed.append(zone)
        label = (8 << 1 | 1) << 64 | 0xFFFF
        return Connection(label, "tcp a > b"), Connection(5 << 32, "tcp c > d")

    monkeypatch.setattr(module.words, "put_evidence", put)
    monkeypatch.setattr(module.connections, "labelled", labelled)
    monkeypatch.setattr(module.connections, "count", lambda *_: made.many)
    return made


def name(number: int) -> RuleName:
    return rulebook(snapshot())[number].name


def test_the_book_has_rules_defaults_and_the_tenants_own() -> None:
    book = rulebook(snapshot())
    assert [(n, book[n].action) for n in sorted(book)] == [
        (7, Action.ALLOW),
        (8, Action.DENY),
        (9, Action.DENY),
        (10, Action.ALLOW),
        (12, Action.DENY),
    ]
    assert len({ruled.name.identity for ruled in book.values()}) == 5


def changed(at: int, **how: Any) -> Snapshot:
    """With one rule changed; one that means something else has another number."""
    rule = replace(POLICY.rules[at], **how)
    rules = (*POLICY.rules[:at], rule, *POLICY.rules[at + 1 :])
    same = how.keys() <= {"state", "share"}
    seats = [s if same or n != at else Seat(99, s.height) for n, s in enumerate(STANDING.seats)]
    policy = replace(POLICY, rules=rules)
    return snapshot(standing=replace(STANDING, policy=policy, seats=tuple(seats)))


def bare(before: Snapshot, now: Snapshot) -> list[int]:
    return sorted(name.number for name in exposed(rulebook(before), rulebook(now)))


def test_a_rule_is_exposed_by_what_goes_above_it_and_by_denies_that_let_go() -> None:
    assert bare(snapshot(), snapshot()) == []
    udp = (Service(Protocol.UDP),)
    assert bare(snapshot(), changed(0, services=udp)) == [8, 12]
    assert bare(snapshot(), changed(2, services=udp)) == [12], "what stands above it is not"
    assert bare(snapshot(), changed(1, state=State.ENFORCE)) == []
    assert bare(changed(1, state=State.ENFORCE), snapshot()) == [8, 12]
    assert bare(changed(1, state=State.ENFORCE), changed(1, state=State.ENFORCE, share=10)) == [8, 12]
    apart = changed(1, services=udp)
    gone = replace(apart, policies=apart.policies, tenants=Map())
    assert bare(gone, gone) == []


def test_an_agent_that_began_anew_exposes_all_if_anything_went_meanwhile() -> None:
    book = rulebook(snapshot())
    assert exposed_since(denies(book), book) == frozenset() == exposed_since({}, book)
    assert exposed_since(denies(rulebook(changed(1, state=State.ENFORCE))), book) == frozenset(denies(book))
    assert exposed_since({RuleName(3, "x"): 0}, book) == frozenset(denies(book))


def test_what_strayed_is_counted_for_the_rule_that_forbids_it(world: World) -> None:
    """Dropped for 9, which is enforced; a hit of 8, which counts, beside those that it has."""
    watching = world.begin()
    watching.tick()
    world.now += MINUTE
    world.set(6)
    stray, seconds = tables.ADDRESSEE.number, world.now // 1_000 - 5
    world.flows.append(entry(stray, cookies.policy(8 << 1 | 1, KEY), 5, seconds))
    world.flows.append(entry(stray, cookies.policy(9 << 1), 30, seconds))
    world.flows.append(entry(stray, cookies.network(NetworkKey(1)), 900, seconds))
    watching.tick()
    totals = {one.rule.number: (one.enforced.packets, one.counted.packets) for one in world.last().rules}
    assert totals == {7: (100, 0), 8: (0, 11), 9: (39, 0), 10: (0, 80)}


def test_what_is_counted_is_told_by_rule_and_port(world: World) -> None:
    watching = world.begin()
    watching.tick()
    world.now += MINUTE
    world.set(6)
    watching.tick()
    said = world.last()
    totals = {one.rule.number: (one.enforced.packets, one.counted.packets) for one in said.rules}
    assert totals == {7: (100, 0), 8: (0, 6), 9: (9, 0), 10: (0, 80)}
    (watch,) = said.watches
    assert (watch.rules, watch.ports, watch.until - watch.since) == ((name(8),), (PORT,), MINUTE)
    (hit,) = said.hits
    assert (hit.rule, hit.amount, hit.samples) == (name(8), Amount(6, 60), ("tcp a > b",))


def test_zones_are_listed_only_after_hits_and_if_they_are_not_full(world: World) -> None:
    watching = world.begin()
    watching.tick()
    assert world.listed == []
    world.many = module.FULL + 1
    world.set(6)
    watching.tick()
    assert world.listed == []
    world.many = 1
    world.now += MINUTE
    world.set(7)
    watching.tick()
    assert world.listed == [33]


def test_a_restart_of_the_agent_breaks_nothing_and_one_of_the_switch_does(world: World) -> None:
    first = world.begin()
    first.tick()
    world.now += 5 * MINUTE
    world.set(2)
    first.tick()
    first.stop()
    world.now += 30 * MINUTE
    world.set(3)
    second = world.begin()
    second.tick()
    (watch,) = world.last().watches
    assert watch.until - watch.since == 35 * MINUTE
    assert world.last().hits[0].amount.packets == 3
    world.core = SimpleNamespace(effective=snapshot("two"), session=True)
    world.now += MINUTE
    world.set(1)
    second.tick()
    (watch,) = world.last().watches
    assert watch.until == watch.since
    assert world.last().hits[0].amount.packets == 4


def test_a_rule_that_came_and_went_exposes_even_if_the_agent_is_killed_between(world: World) -> None:
    first = world.begin()
    first.tick()
    world.now += 30 * MINUTE
    world.set(0)
    first.tick()
    more = (*POLICY.rules, Rule(Direction.OUT, Action.ALLOW, name="once"))
    policy = replace(POLICY, rules=more)
    standing = replace(STANDING, policy=policy, seats=(*STANDING.seats, Seat(50, 30_000)))
    world.core = SimpleNamespace(effective=snapshot(standing=standing), session=True)
    first.tick()
    world.core = SimpleNamespace(effective=snapshot(), session=True)
    second = world.begin()  # nobody stopped the first
    second.tick()
    (watch,) = world.last().watches
    assert watch.until == watch.since


def test_a_store_that_is_away_costs_no_hit(world: World) -> None:
    watching = world.begin()
    world.mute = True
    with pytest.raises(Unavailable):
        watching.tick()
    world.mute, world.now = False, world.now + MINUTE
    world.set(2)
    watching.tick()
    assert world.last().hits[0].amount.packets == 2


def test_connections_that_cannot_be_listed_keep_nothing_from_being_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise Unavailable(Fault("socket", "ovs-unavailable", "silent", "wait"))

    monkeypatch.setattr(module.connections, "count", refuse)
    world.set(6)
    with pytest.raises(Unavailable):
        world.begin().tick()
    assert world.last().hits[0].amount.packets == 6


def test_nothing_is_read_without_a_switch_and_nothing_said_without_rules(world: World) -> None:
    watching = world.begin()
    world.core.session = False
    watching.tick()
    assert not world.told
    bare = Snapshot(HostName("hv1"), switch=Switch("netdev", 1, "one"))
    world.core = SimpleNamespace(effective=bare, session=True)
    watching.tick()
    assert not world.told


def test_the_last_rule_that_goes_is_told_once(world: World) -> None:
    watching = world.begin()
    watching.tick()
    bare = Snapshot(HostName("hv1"), switch=Switch("netdev", 1, "one"))
    world.core = SimpleNamespace(effective=bare, session=True, store_complete=False)
    watching.tick()
    assert len(world.told) == 1 and watching.state.spots, "the store was not heard yet"
    world.core.store_complete = True
    watching.tick()
    watching.tick()
    assert len(world.told) == 2 and world.last() == HostEvidence()


def test_a_broken_file_begins_anew(world: World) -> None:
    (world.directory / "evidence").write_bytes(b"{}\n{")
    watching = world.begin()
    watching.tick()
    assert watching.state.spots

"""Whatever becomes of egress classes, each packet is billed as what it was when it was sent.

A model of Open vSwitch tells its flows of packets late, and then credits them to the way that they would take
now. The agent's commands are carried out on it in their order; the bill must be the truth.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.agent import commands, core, state
from model.change import Part, Patch
from model.ids import ClassId, NetworkKey, TenantKey, Uid, Vni
from model.intent import EgressClass, Network, Relation
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.accounts import is_counter
from tests.fakes import packets
from tests.fakes.classes import billed
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch
from tests.unit.agent.test_core import port, running

PREFIXES = tuple(ip_network(text) for text in ("198.51.100.0/24", "198.51.100.128/25", "203.0.113.0/24"))
TARGETS = ("198.51.100.7", "198.51.100.200", "203.0.113.7", "8.8.8.8", "10.7.0.5")
"""The last is in another network of the tenant."""
MOMENTS = range(1, 6)


def start() -> core.Core:
    more = Network(Uid("n2"), TenantKey(1), "more", NetworkKey(2), Vni(5002), (ip_network("10.7.0.0/24"),))
    grown = core.on_store(running(1, 2), ((Part.NETWORK, more.key, more),), (), state.Whole.NO)
    return core.on_moment(grown.core, 1).core


@dataclass
class World:
    """`pending`: packets that the flows have not been told of. `counters`: packets by cookie. `read`: what
    was read of them last. `truth` and `bill`: packets by the class's name."""

    now: core.Core = field(default_factory=start)
    switch: Switch = field(init=False)
    pending: list[Packet] = field(default_factory=list)
    counters: Counter[int] = field(default_factory=Counter)
    read: Counter[int] = field(default_factory=Counter)
    truth: Counter[str] = field(default_factory=Counter)
    bill: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.switch = Switch.of(self.now.program.flows())

    def send(self, sender: int, target: str) -> None:
        one, other = port(sender), port(3 - sender)
        source = int(one.addresses[0])
        packet = packets.ipv4(int(one.mac), int(other.mac), source, int(ip_address(target)))
        packet |= {"in_port": 10 + sender}
        cls = billed(self.switch.receive(packet))
        assert cls is not None, "a packet that no counter counts"
        self.truth[name(self.now.effective, cls)] += 1
        self.pending.append(packet)

    def tell(self) -> None:
        """What Open vSwitch does each half second, and when it is purged."""
        for packet in self.pending:
            for _, flow in self.switch.receive(packet).path:
                if flow is not None and is_counter(flow):
                    self.counters[flow.cookie] += 1
        self.pending.clear()

    def look(self, snapshot: Snapshot, chosen: frozenset[int] | None = None) -> None:
        """Bill what counters show more than the last time."""
        for cookie in [*self.counters] if chosen is None else chosen:
            said = cookies.parse(cookie)
            assert said is not None
            more = self.counters[cookie] - self.read[cookie]
            assert more >= 0
            self.bill[name(snapshot, said.cls)] += more
            self.read[cookie] = self.counters[cookie]

    def apply(self, patch: Patch) -> None:
        for put, drop in patch.groups:
            for flow in drop:
                if is_counter(flow):
                    assert self.counters.pop(flow.cookie, 0) == self.read.pop(flow.cookie, 0), "unread bytes"
            self.switch.apply(put, drop)

    def become(self, result: core.Result) -> None:
        before, self.now = self.now.effective, result.core
        for command in result.commands:
            match command:
                case commands.Program():
                    self.apply(command.patch)
                case commands.Shift():
                    self.tell()
                    self.apply(command.patch)
                case commands.CloseCounters():
                    self.tell()
                    self.look(before)
                case _:
                    pass


def name(snapshot: Snapshot, cls: int) -> str:
    declared = snapshot.classes.get(ClassId(cls))
    return f"class-{cls}" if declared is None else declared.name


def egress(key: int, uid: str, prefixes: tuple[int, ...], more: tuple[Any, ...]) -> EgressClass:
    since, relations, former = more
    chosen = tuple(PREFIXES[n] for n in prefixes)
    had = tuple(PREFIXES[n] for n in former)
    return EgressClass(Uid(uid), uid, ClassId(key), chosen, relations, since, had)


_SETS = st.sets(st.sampled_from(range(len(PREFIXES)))).map(lambda some: tuple(sorted(some)))
_RELATIONS = st.sampled_from([(), (), (Relation.INTERNET,), (Relation.SAME_TENANT,)])
_MORE = st.tuples(st.sampled_from([0, 0, *MOMENTS]), _RELATIONS, _SETS)
_VALUES = st.integers(2, 4).flatmap(
    lambda key: st.builds(egress, st.just(key), st.sampled_from([f"c{key}", f"d{key}"]), _SETS, _MORE)
)
_EVENTS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from((1, 2)), st.sampled_from(TARGETS)),
    st.tuples(st.just("send"), st.sampled_from((1, 2)), st.sampled_from(TARGETS)),
    st.tuples(st.just("tell"), st.none(), st.none()),
    st.tuples(st.just("look"), st.none(), st.none()),
    st.tuples(st.just("put"), st.lists(_VALUES, min_size=1, max_size=3), st.none()),
    st.tuples(st.just("drop"), st.integers(2, 4), st.none()),
    st.tuples(st.just("turn"), st.sampled_from(MOMENTS), st.none()),
)


def _put(uid: str, prefixes: tuple[int, ...], since: int = 0, *relations: Relation) -> tuple[Any, ...]:
    return "put", [egress(2, uid, prefixes, (since, relations, (0,) if since else ()))], None


_SENT = ("send", 1, TARGETS[0])
_NEAR = ("send", 1, TARGETS[4])


@given(st.lists(_EVENTS, min_size=4, max_size=25))
@example([_put("c2", (0,)), _SENT, ("drop", 2, None)])
@example([_put("c2", (0,)), _SENT, _put("d2", (0, 1)), _SENT])
@example([_put("c2", (), 0, Relation.SAME_TENANT), _NEAR, _put("c2", ()), _NEAR])
@example([_put("c2", (1,), 3), _SENT, ("turn", 4, None), _SENT])
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_a_packet_is_billed_as_what_it_was_sent_as(events: list[tuple[Any, ...]]) -> None:
    world = World()
    for kind, one, other in events:
        match kind, one, other:
            case "send", int(sender), str(target):
                world.send(sender, target)
            case "put", list(values), _:
                items = tuple((Part.CLASS, value.id, value) for value in values)
                world.become(core.on_store(world.now, items, (), state.Whole.NO))
            case "drop", int(key), _:
                gone = ((Part.CLASS, ClassId(key)),)
                world.become(core.on_store(world.now, (), gone, state.Whole.NO))
            case "turn", int(moment), _:
                world.become(core.on_moment(world.now, moment))
            case "tell", _, _:
                world.tell()
            case _:
                world.look(world.now.effective)
    world.tell()
    world.look(world.now.effective)
    assert +world.bill == +world.truth

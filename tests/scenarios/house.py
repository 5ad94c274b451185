"""The house: the agent's real core in a closed loop with a store, a switch and reflectors made of dicts.

Place: under the scenarios; it lets facts happen, hands them to the core and carries the core's commands out
at once. After every event it checks what must always hold: the switch has exactly the program, no command is
superfluous, the order of commands loses nothing. Must not hold expectations of a single state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from immutables import Map

from bgp.codec import nlri
from bgp.codec.update import Update
from bgp.table import Limits
from controller.agent import commands, core, disk, state
from controller.agent.core import Core, Result, Synced
from model.change import Part
from model.flow import Flow, FlowKey
from model.ids import PortKey, Uid
from model.intent import Binding
from model.inventory import Interface
from model.inventory import Switch as Bridge
from model.route import Route
from model.snapshot import Snapshot
from pipelines import accounts, cookies
from pipelines.compile import Program
from pipelines.compile import compile as compiled
from tests.fakes.switch import Switch
from tests.fakes.world import HERE, TUNNEL
from tests.scenarios.facts import (
    ONE,
    TWO,
    Back,
    Delivery,
    Fact,
    Heard,
    Lost,
    Passed,
    Row,
    Silent,
    Step,
    Wire,
    interface,
)

BRIDGE = Bridge("netdev", TUNNEL, "run-1")
LIMITS = Limits()
ORDER: tuple[type, ...] = (
    commands.Withdraw,
    commands.CloseAccounts,
    commands.Program,
    commands.OpenLinks,
    commands.Announce,
)
"""No packet and no byte is lost only in this order (see `controller.agent.core`)."""


@dataclass
class House:
    """What is really so: `rows` in the store, `wires` in the switch database, `rib` at each reflector."""

    rows: dict[tuple[Part, Any], Any] = field(default_factory=dict)
    wires: dict[Uid, Interface] = field(default_factory=dict)
    rib: dict[tuple[str, bytes], Route] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    switch: Switch = field(default_factory=Switch)
    announced: dict[bytes, Route] = field(default_factory=dict)
    now: float = 1000.0
    core: Core = field(default_factory=lambda: core.start(HERE, None, LIMITS))
    saved: Snapshot | None = None
    said: list[commands.Command] = field(default_factory=list)
    mended: list[Flow] = field(default_factory=list)
    """What audits had to put right: nothing, but after a reboot."""
    errands: list[commands.Bind | commands.Release] = field(default_factory=list)
    slow: str = ""
    """Why the store does not answer claims now; empty: it answers at once."""
    stale: set[bytes] = field(default_factory=set)
    """Routes of an earlier life that the speaker still announces, until it hears that ours are complete."""
    weary: str = ""
    """Why the data path may not be stilled now; empty: it may."""
    adopting: str = ""
    """Why flows may be put over themselves now; empty: they may not."""
    _wanted: tuple[Program, dict[FlowKey, Flow]] = (Program(), {})

    def boot(self) -> None:
        """A switch without flows, reflectors that have nothing to say; the store is not read yet."""
        self._become(lambda c: core.on_session(c, Map()))
        self._become(lambda c: core.on_inventory(c, state.Seen(BRIDGE, {})))
        self._hear_out((ONE, TWO))

    def run(self, step: Step) -> None:
        """Let the facts happen and hand them over."""
        kinds: dict[type, list[Any]] = {}
        for fact in step.facts:
            kinds.setdefault(type(fact), []).append(fact)
        for kind, facts in kinds.items():
            if kind is Row:
                self._rows(facts, step.delivery)
            elif kind is Wire:
                self._wires(facts)
            elif kind is Heard:
                self._heard(facts)
            else:
                for fact in facts:
                    self._happen(fact)

    def tick(self, synced: Synced) -> None:
        """A moment passed; `synced`: whether the reflectors have been heard out."""
        self._become(lambda c: core.on_tick(c, synced, self.now))

    def settle(self) -> None:
        """All sides are in sync: the tick that sweeps."""
        self.tick(Synced.YES)
        for key in self.stale:
            del self.announced[key]
        self.stale = set()
        self.adopting = ""
        self.check()

    def rest(self) -> None:
        """The data path may be stilled again."""
        self.weary = ""
        self._become(core.on_rested)
        assert not self.core.late, "nothing waits for ever"

    def answer(self) -> None:
        """The store answers what it was asked."""
        self.slow = ""
        while self.errands:
            errand = self.errands.pop(0)
            done = self._bind if isinstance(errand, commands.Bind) else self._release
            self._answer(errand.port, done(errand.port))

    def forget_all_of(self, step: Step) -> None:
        """What a step takes away goes while no agent is there to see it."""
        for fact in step.facts:
            match fact:
                case Row(part, key, None):
                    self.rows.pop((part, key), None)
                    if part is Part.PORT:
                        self.rows.pop((Part.BINDING, key), None)
                case Wire(uid, None):
                    self.wires.pop(uid, None)
                case Heard(peer, key, None):
                    self.rib.pop((peer, key), None)

    def reconnect_store(self) -> None:
        """Everything that the store holds, once more."""
        items = tuple((part, key, self.rows[part, key]) for part, key in self.rows)
        self._become(lambda c: core.on_store(c, items, (), state.Whole.YES))

    def reconnect_peers(self) -> None:
        """Both sessions break and come back with all their routes."""
        for peer in (ONE, TWO):
            if peer not in self.down:
                self._happen(Lost(peer))
                self._happen(Back(peer))

    def reconnect_switch(self) -> None:
        """The OpenFlow session breaks and comes back; the flows stayed."""
        self._become(core.on_session_lost)
        self._become(lambda c: core.on_session(c, self._epochs()))

    def restart(self, path: Path) -> None:
        """A new process from the snapshot on disk; nobody has spoken to it yet."""
        assert self.saved is not None
        assert self.saved == self.core.effective, "a change that was not saved"
        disk.save(self.saved, path)
        loaded = disk.load(path)
        assert loaded == replace(self.saved, switch=None)
        self._start(loaded)
        for route in self.core.routes.ordered():
            self._announce(route)

    def forget(self) -> None:
        """A new process, and no snapshot on disk."""
        self._start(None)

    def _start(self, loaded: Snapshot | None) -> None:
        self.core = core.start(HERE, loaded, LIMITS)
        self.stale = set(self.announced)
        self.errands = []
        self.adopting = "a new process does not know what the switch and the speaker kept"

    def reboot(self, path: Path) -> None:
        """The host went down and up: no flows, nothing announced."""
        self.switch = Switch()
        self.announced = {}
        self.restart(path)

    def inventory(self) -> None:
        """The local switch database is read."""
        self._become(lambda c: core.on_inventory(c, state.Seen(BRIDGE, dict(self.wires))))

    def session(self) -> None:
        """The OpenFlow session stands; counters of an earlier life are there."""
        self._become(lambda c: core.on_session(c, self._epochs()))

    def peers(self) -> None:
        """The reflectors are heard out."""
        self._hear_out(tuple(p for p in (ONE, TWO) if p not in self.down))

    def _epochs(self) -> Map[PortKey, int]:
        found = (cookies.parse(flow.cookie) for flow in self.switch.flows.values())
        kept = [c for c in found if c is not None and c.kind is cookies.Kind.ACCOUNT]
        return Map({c.port: c.epoch for c in kept})

    def _rows(self, facts: Iterable[Row], delivery: Delivery) -> None:
        items: list[state.Item] = []
        gone: list[tuple[Part, Any]] = []
        for fact in facts:
            if fact.value is not None:
                self.rows[fact.part, fact.key] = fact.value
                items.append((fact.part, fact.key, fact.value))
                continue
            gone.append((fact.part, fact.key))
            self.rows.pop((fact.part, fact.key), None)
            if fact.part is Part.PORT and self.rows.pop((Part.BINDING, fact.key), None) is not None:
                gone.append((Part.BINDING, fact.key))  # a strong reference: no port, no binding
        if delivery is Delivery.EVERYTHING or not self.core.store_complete:
            self.reconnect_store()
        else:
            self._become(lambda c: core.on_store(c, tuple(items), tuple(gone), state.Whole.NO))

    def _wires(self, facts: Iterable[Wire]) -> None:
        for fact in facts:
            if fact.ofport is None:
                self.wires.pop(fact.uid, None)
            else:
                self.wires[fact.uid] = interface(fact)
        self.inventory()

    def _heard(self, facts: Iterable[Heard]) -> None:
        updates: list[tuple[str, Update]] = []
        for fact in facts:
            if fact.route is None:
                self.rib.pop((fact.peer, fact.key), None)
                updates.append((fact.peer, Update(withdrawn=(fact.key,))))
            else:
                self.rib[fact.peer, fact.key] = fact.route
                updates.append((fact.peer, Update(announced=((fact.key, fact.route),))))
        self._become(lambda c: core.on_updates(c, updates, self.now))

    def _happen(self, fact: Fact) -> None:
        match fact:
            case Passed(seconds):
                self.now += seconds
                self._become(lambda c: core.on_tick(c, Synced.NO, self.now))
            case Silent(vtep):
                self._become(lambda c: core.on_probe_failed(c, vtep))
            case Lost(peer):
                self.down.add(peer)
                self._become(lambda c: core.on_peer_down(c, peer, self.now))
            case Back(peer):
                self.down.discard(peer)
                self._hear_out((peer,))
            case _:
                raise TypeError(f"{fact!r} has no moment")

    def _hear_out(self, peers: tuple[str, ...]) -> None:
        for peer in peers:
            self._become(lambda c, p=peer: core.on_peer_up(c, p, self.now))
            self._replay((peer,))
            end = [(peer, Update(end_of_rib=True))]
            self._become(lambda c, e=end: core.on_updates(c, e, self.now))

    def _replay(self, peers: Iterable[str]) -> None:
        told = [
            (peer, Update(announced=((key, route),)))
            for (peer, key), route in self.rib.items()
            if peer in peers
        ]
        self._become(lambda c: core.on_updates(c, told, self.now))

    def _become(self, event: Callable[[Core], Result]) -> None:
        """The next state of the core; its commands; and what the world answers."""
        before = replace(self.core, resting=bool(self.weary))
        result = event(before)
        self.core = result.core
        _in_order(result.commands)
        closed: set[PortKey] = set()
        for command in result.commands:
            self.said.append(command)
            self._carry_out(command, closed)
        if self.core.effective != before.effective:
            assert any(isinstance(c, commands.Save) for c in result.commands), "a change that is not saved"
        self.check()
        for command in result.commands:
            if isinstance(command, commands.Relearn):
                self._replay(sorted(self.core.table.peers))
            elif isinstance(command, commands.Bind | commands.Release):
                assert command not in self.errands, "asked again before the answer"
                self.errands.append(command)
        if not self.slow:
            self.answer()

    def _carry_out(self, command: commands.Command, closed: set[PortKey]) -> None:
        match command:
            case commands.Program():
                assert self.core.session, "flows for a switch that is not there"
                self._program(command, closed)
            case commands.Shift():
                assert self.core.session and command.ports, "nobody is counted there"
                self._program(command, closed)
            case commands.CloseAccounts():
                closed.update(command.ports)
            case commands.CloseCounters():
                closed.update(c.port for raw in command.cookies if (c := cookies.parse(raw)))
            case commands.Announce():
                for route in command.routes:
                    known = self.announced.get(_key(route)) == route
                    assert not known or self.adopting, f"announced twice: {route}"
                    self._announce(route)
            case commands.Withdraw():
                for route in command.routes:
                    assert self.announced.pop(_key(route)) == route
            case commands.Audit():
                self._audit(command.sweep)
            case commands.Save():
                self.saved = self.core.effective

    def _announce(self, route: Route) -> None:
        self.announced[_key(route)] = route
        self.stale.discard(_key(route))

    def _program(self, command: commands.Program | commands.Shift, closed: set[PortKey]) -> None:
        still = command.ports if isinstance(command, commands.Shift) else ()
        for put, drop in command.patch.groups:
            assert put or drop, "an empty group"
            for flow in (*put, *drop):
                self._moves_nothing(flow, still)
            for flow in drop:
                cookie = cookies.parse(flow.cookie)
                assert cookie is not None
                if cookie.kind is cookies.Kind.ACCOUNT:
                    assert cookie.port in closed, f"counter of port {cookie.port} deleted before it was read"
            known = [f for f in put if self.switch.flows.get(f.key()) == f]
            assert not known or self.adopting, f"put again for nothing: {known}"
            self.switch.apply(put, drop)

    def _moves_nothing(self, flow: Flow, still: tuple[PortKey, ...]) -> None:
        """The pass in which a port is counted that has traffic moves while nothing waits to be counted."""
        same = self.switch.flows.get(flow.key())
        coming = same is None or self.wanted().get(flow.key()) is None
        cookie = cookies.parse(flow.cookie)
        assert cookie is not None
        if coming and accounts.ends_pass(flow) and cookie.port not in still:
            entries = [
                f for f in self.switch.flows.values() if f.shape.table == 0 and f.cookie == flow.cookie
            ]
            assert not (entries and set(entries) <= set(self.wanted().values())), f"bill at risk: {flow}"

    def _audit(self, sweep: commands.Sweep) -> None:
        wanted = self.wanted()
        for key, flow in wanted.items():
            if self.switch.flows.get(key) != flow:
                self.mended.append(flow)
                self.switch.flows[key] = flow
        if sweep is commands.Sweep.ORPHANS:
            for key in self.switch.flows.keys() - wanted.keys():
                self.mended.append(self.switch.flows.pop(key))

    def wanted(self) -> dict[FlowKey, Flow]:
        """The program of the core, as a switch would hold it."""
        if self._wanted[0] is not self.core.program:  # asked at each flow that is put
            program = self.core.program
            self._wanted = program, {flow.key(): flow for flow in program.flows()}
        return self._wanted[1]

    def check(self) -> None:
        """What holds after each event: the switch has the program, the peers have the routes, and no more.

        Before the first sweep of a new process there may be more: what it does not know yet, it leaves.
        """
        wanted, routes = self.wanted(), dict(self.core.routes.routes.items())
        agree = _holds if self.adopting else dict.__eq__
        if self.core.session and self.core.effective.switch is not None:
            assert agree(self.switch.flows, wanted), "the switch does not hold the program"
        assert agree(self.announced, routes), "the peers do not hold the routes"

    def check_program(self) -> None:
        """The incremental program is that of the snapshot from nothing."""
        fresh = {flow.key(): flow for flow in compiled(self.core.effective).flows()}
        assert self.switch.flows == fresh

    def _bind(self, key: PortKey) -> Binding | str:
        """The rule of `controller.store.bindings`: the first holds; a move adds to the sequence."""
        port, old = self.rows.get((Part.PORT, key)), self.rows.get((Part.BINDING, key))
        if port is None or HERE not in port.hosts:
            return "no such port here"
        if old is not None and old.host != HERE and old.active and old.host in port.hosts:
            return f"bound on {old.host}"
        if old is None:
            return Binding(key, HERE, 0, True)
        return replace(old, host=HERE, sequence=old.sequence + (old.host != HERE), active=True)

    def _release(self, key: PortKey) -> None:
        old = self.rows.get((Part.BINDING, key))
        if old is not None and old.host == HERE:
            self.rows[Part.BINDING, key] = replace(old, active=False)

    def _answer(self, key: PortKey, answer: Binding | str | None) -> None:
        """The answer, and then the row as the store's watch tells it to everybody: no news for us."""
        if isinstance(answer, Binding):
            self.rows[Part.BINDING, key] = answer
        self._become(lambda c: core.on_answer(c, key, answer))
        row = self.rows.get((Part.BINDING, key))
        if row is not None and not isinstance(answer, str):
            mark = len(self.said)
            items = ((Part.BINDING, key, row),)
            self._become(lambda c: core.on_store(c, items, (), state.Whole.NO))
            assert self.said[mark:] == [], "the echo of an answer is news"


def _in_order(orders: Iterable[commands.Command]) -> None:
    ranks = [ORDER.index(type(c)) for c in orders if type(c) in ORDER]
    assert ranks == sorted(ranks), [type(c).__name__ for c in orders]


def _holds(whole: dict[Any, Any], part: dict[Any, Any]) -> bool:
    return part.items() <= whole.items()


def _key(route: Route) -> bytes:
    return nlri.key(nlri.encode(route.nlri))

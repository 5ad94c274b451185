"""Walk: executes flows on a packet as Open vSwitch would, step by step, and says what each flow did.

Place: under `ringfence trace`, and under the fake switch of the tests: there is one executor, and a contract
test compares it with ofproto/trace. Reads flows, never the pipeline's declarations, so that it can execute a
broken program as well. Must not send anything.

To teach it a new action: one function `_name(action, flow, run)`, and its case in `_execute`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

from model.flow import (
    Action,
    Back,
    CheckLarger,
    Conjunction,
    Copy,
    Ct,
    DecTtl,
    Field,
    Flow,
    Group,
    Match,
    Metered,
    Move,
    Output,
    OutputField,
    Recirculate,
    SetField,
    Special,
)
from pipelines.fields import FIELDS
from pipelines.tracking import TUPLE, Commit, Fresh, Tracker
from pipelines.tracking import Packet as Packet

CONTROLLER: Final = 0xFFFFFFFD
"""OFPP_CONTROLLER (OpenFlow 1.4.1 section 7.2.1)."""

HASH: Final = "dp_hash"
"""What the data path hashed of the packet, for groups."""
SIZE: Final = "packet_len"
"""Octets of the frame: no field, but a flow may ask for it."""


class Tables(Protocol):
    """Where a walk finds its flows; see `pipelines.lookup`."""

    def choose(self, table: int, packet: Packet) -> Flow | None:
        """The flow of highest priority that matches; None if there is none, not even a miss."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet that left through an OpenFlow port, as it was then."""

    port: int
    packet: Packet

    def has(self, name: str) -> int:
        return self.packet.get(name, 0)


@dataclass(frozen=True, slots=True)
class Wrote:
    """A field got a value."""

    field: Field
    value: int


@dataclass(frozen=True, slots=True)
class Remark:
    """What else happened, in words."""

    text: str


Effect = Wrote | Sent | Remark


@dataclass(frozen=True, slots=True)
class Step:
    """One table: the flow that won (None: there was none) and what its actions did, in order.

    `turn`: number of the walk's turn that it belongs to.
    """

    table: int
    flow: Flow | None
    effects: tuple[Effect, ...]
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a pass of the data path begins anew, and the packet as it is then: a trace of the switch ends
    where its pass does."""

    table: int
    packet: Packet


@dataclass(frozen=True, slots=True)
class Walk:
    """`packet`: as it was at the very end. `turns`: the first is the packet as it came."""

    steps: tuple[Step, ...]
    sent: tuple[Sent, ...]
    packet: Packet
    turns: tuple[Turn, ...]


@dataclass(slots=True)
class _Open:
    """A step under way."""

    table: int
    flow: Flow | None
    turn: int
    effects: list[Effect] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """A walk under way. `ended`: nothing more is done to this packet; `turning`: its next table begins a
    turn; `at`: the step under way."""

    tables: Tables
    packet: dict[str, int]
    tracker: Tracker
    steps: list[_Open] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    turn: int = 0
    ended: bool = False
    turning: bool = False
    at: _Open | None = None

    def enter(self, table: int, flow: Flow | None) -> None:
        self.at = _Open(table, flow, self.turn)
        self.steps.append(self.at)

    def begin(self, table: int) -> None:
        self.turning = False
        self.turn = len(self.turns)
        self.turns.append(Turn(table, dict(self.packet)))

    def note(self, effect: Effect) -> None:
        assert self.at is not None
        self.at.effects.append(effect)

    def write(self, target: Field, value: int) -> None:
        self.packet[target.name] = merged(target, value, self.packet.get(target.name, 0))
        self.note(Wrote(target, value))

    def send(self, port: int) -> None:
        sent = Sent(port, dict(self.packet))
        self.sent.append(sent)
        self.note(sent)


def walk(tables: Tables, packet: Packet, tracker: Tracker | None = None, start: int = 0) -> Walk:
    """From table `start` to the end; `in_port` says where the packet came in. Without a tracker all
    connections are new.

    Raises ValueError for a goto that does not go forward, which no switch would take (OpenFlow 1.4.1 section
    5.9).
    """
    run = _Run(tables, dict(packet), tracker or Fresh())
    run.begin(start)
    _pass(start, run)
    steps = tuple(Step(o.table, o.flow, tuple(o.effects), o.turn) for o in run.steps)
    return Walk(steps, tuple(run.sent), run.packet, tuple(run.turns))


def matches(flow: Flow, packet: Packet) -> bool:
    """Whether all terms of a flow's match hold for a packet."""
    return all(_holds(flow, term, packet) for term in flow.shape.match)


def read(field: Field, packet: Packet) -> int:
    """The value of a field, or of a part of one."""
    whole = packet.get(field.name, 0)
    return whole if field.low is None else whole >> field.low & (1 << field.bits) - 1


def merged(field: Field, value: int, whole: int) -> int:
    """The whole field, with this value in it."""
    if field.low is None:
        return value
    return whole & ~((1 << field.bits) - 1 << field.low) | value << field.low


def _holds(flow: Flow, term: Match, packet: Packet) -> bool:
    mask = -1 if term.mask is None else flow.fill(term.mask)
    return read(term.field, packet) & mask == flow.fill(term.value) & mask


def _pass(first: int, run: _Run) -> None:
    """The tables from `first` on, as far as the flows go."""
    table: int | None = first
    while table is not None and not run.ended:
        if run.turning:
            run.begin(table)
        flow = run.tables.choose(table, run.packet)
        run.enter(table, flow)
        if flow is None:
            return
        for action in flow.shape.actions:
            if not run.ended:
                _execute(action, flow, run)
        if flow.shape.goto is not None and flow.shape.goto <= table:
            raise ValueError(f"goto from table {table} to {flow.shape.goto}")
        table = flow.shape.goto


def _execute(action: Action, flow: Flow, run: _Run) -> None:
    match action:
        case SetField():
            run.write(action.field, flow.fill(action.value))
        case Move():
            run.write(action.target, _moved(action, run.packet))
        case DecTtl():
            _dec_ttl(run)
        case Ct():
            _track(action, flow, run)
        case Output():
            _output(flow.fill(action.port), run)
        case OutputField():
            _output(run.packet.get(action.field.name, 0), run)
        case Special.IN_PORT:
            run.send(run.packet.get("in_port", 0))
        case Special.CONTROLLER | Special.CONTROLLER_APART | Special.CONTROLLER_ASKED:
            run.send(CONTROLLER)
        case Back():
            _pass(action.table, run)
            run.ended = True
        case Group():
            _choose(action, run)
        case Metered():
            run.note(Remark(f"meter {flow.fill(action.meter)}, which may drop it"))
        case Recirculate():
            run.note(Remark("goes on in another pass of the data path"))
            run.turning = True
        case CheckLarger():
            _check_larger(action, flow, run)
        case Copy():
            _copy(action, flow, run)
        case Conjunction():
            raise ValueError(f"{flow.shape.name} is chosen together with the other clauses, or not at all")
        case _:
            assert_never(action)  # a new kind of action needs its case here


def _dec_ttl(run: _Run) -> None:
    """OVS hands a packet that has no hop left to the controller, and ends it."""
    left = run.packet.get("nw_ttl", 0)
    if left <= 1:
        run.send(CONTROLLER)
        run.ended = True
        return
    run.write(_TTL, left - 1)


def _track(action: Ct, flow: Flow, run: _Run) -> None:
    """The packet goes on in another table, and what follows here is for a copy: nothing does."""
    found = run.tracker.track(flow.fill(action.zone), _commit(action, flow, run.packet), dict(run.packet))
    for name in sorted(found):
        if name in _SILENT:
            run.packet[name] = found[name]
        elif run.packet.get(name, 0) != found[name]:
            run.write(_field(name), found[name])
    _pass(action.table, run)
    run.ended = True


def _commit(action: Ct, flow: Flow, packet: Packet) -> Commit | None:
    nat, label, mask = action.commit, 0, 0
    if nat is None and not action.remember:
        return None
    for each in action.remember:
        target = each.field if isinstance(each, SetField) else each.target
        value = flow.fill(each.value) if isinstance(each, SetField) else _moved(each, packet)
        label = merged(target, value, label)
        mask = merged(target, (1 << target.bits) - 1, mask)
    return Commit(None if nat is None else (nat.end, flow.fill(nat.address)), label, mask)


def _moved(action: Move, packet: Packet) -> int:
    return read(action.source, packet) & (1 << action.target.bits) - 1


def _choose(action: Group, run: _Run) -> None:
    """With buckets that weigh the same, a power of two of them, Open vSwitch takes the last bits of the hash.
    Whoever asks about a packet without a hash asks about the first bucket."""
    run.write(action.field, run.packet.get(HASH, 0) % action.buckets)
    _pass(action.table, run)
    run.ended = True


def _field(name: str) -> Field:
    """What connection tracking writes: its own fields, addresses, ports."""
    return next((field for field in FIELDS if field.name == name), Field(name, 16))


def _check_larger(action: CheckLarger, flow: Flow, run: _Run) -> None:
    """Whoever asks about a packet without a length asks about a short one."""
    if run.packet.get(SIZE, 0) > flow.fill(action.octets):
        run.write(action.field, 1)


def _copy(action: Copy, flow: Flow, run: _Run) -> None:
    """The packet itself is as it was, whatever becomes of its copy."""
    before, at, turn = dict(run.packet), run.at, run.turn
    run.note(
        Remark(f"a copy with {action.field.name} = {flow.fill(action.value)} goes on in a pass of its own")
    )
    run.packet[action.field.name] = flow.fill(action.value)
    run.begin(action.table)
    _pass(action.table, run)
    run.packet, run.at, run.turn, run.ended, run.turning = before, at, turn, False, False


def _output(port: int, run: _Run) -> None:
    """OpenFlow never sends back through the port of arrival, but for the reserved IN_PORT."""
    if port == run.packet.get("in_port", 0):
        run.note(Remark("nothing is sent back through the port of arrival"))
    elif port:
        run.send(port)


_TTL: Final = Field("nw_ttl", 8)
_SILENT: Final = frozenset(field.name for field in TUPLE)
"""What tracking writes of every packet, and nobody wants to be told."""

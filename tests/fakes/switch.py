"""A switch that executes flows on packets, as OVS would, as far as this pipeline uses it.

Place: under the property tests; a contract test compares its verdicts with those of a real OVS. It reads
flows, never the pipeline's declarations, so that it can execute a broken program as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from model.flow import DecTtl, Flow, FlowKey, Match, Move, Output, OutputField, SetField, Special
from tests.fakes.packets import Packet, received

CONTROLLER = 0xFFFFFFFD


@dataclass(frozen=True)
class Sent:
    """A packet that left through an OpenFlow port, as it was then."""

    port: int
    packet: Packet

    def has(self, name: str) -> int:
        return self.packet.get(name, 0)


@dataclass(frozen=True)
class Verdict:
    """What became of a packet: all that was sent, and the flow that each table chose (None: no flow)."""

    sent: tuple[Sent, ...]
    path: tuple[tuple[int, Flow | None], ...]

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(sent.port for sent in self.sent)

    @property
    def last(self) -> Flow | None:
        return self.path[-1][1]


@dataclass
class Switch:
    """Flows by table, highest first. `counts`: packets by flow key, as OVS counts them."""

    flows: dict[FlowKey, Flow] = field(default_factory=dict)
    counts: Counter[FlowKey] = field(default_factory=Counter)

    @classmethod
    def of(cls, flows: Iterable[Flow]) -> Switch:
        switch = cls()
        for flow in flows:
            switch.flows.setdefault(flow.key(), flow)
        return switch

    def apply(self, put: Iterable[Flow], drop: Iterable[Flow]) -> None:
        """A group of a patch: strict deletes, then adds (which replace)."""
        for flow in drop:
            del self.flows[flow.key()]
        for flow in put:
            self.flows[flow.key()] = flow

    def receive(self, packet: Packet) -> Verdict:
        """Run a packet from table 0. `in_port` says where it came in; a fragment hides its layer 4."""
        state = received(packet)
        sent: list[Sent] = []
        path: list[tuple[int, Flow | None]] = []
        table: int | None = 0
        while table is not None:
            if path and table <= path[-1][0]:
                raise ValueError(f"goto from table {path[-1][0]} to {table}")
            flow = self._choose(table, state)
            path.append((table, flow))
            if flow is None:
                break
            self.counts[flow.key()] += 1
            table = flow.shape.goto if _execute(flow, state, sent) else None
        return Verdict(tuple(sent), tuple(path))

    def _choose(self, table: int, state: Packet) -> Flow | None:
        best: Flow | None = None
        for flow in self.flows.values():
            if flow.shape.table != table or not all(matches(flow, m, state) for m in flow.shape.match):
                continue
            if best is None or flow.fill(flow.shape.priority) > best.fill(best.shape.priority):
                best = flow
        return best


def matches(flow: Flow, match: Match, state: Packet) -> bool:
    """Whether one term of a flow's match holds for a packet."""
    mask = -1 if match.mask is None else flow.fill(match.mask)
    return state.get(match.field.name, 0) & mask == flow.fill(match.value) & mask


def _execute(flow: Flow, state: Packet, sent: list[Sent]) -> bool:
    """Whether the packet goes on."""
    came = state.get("in_port", 0)
    for action in flow.shape.actions:
        match action:
            case SetField(target, number):
                state[target.name] = flow.fill(number)
            case Move(source, target):
                state[target.name] = state.get(source.name, 0)
            case DecTtl():
                if state.get("nw_ttl", 0) <= 1:
                    sent.append(Sent(CONTROLLER, dict(state)))
                    return False
                state["nw_ttl"] -= 1
            case Output(number):
                _send(flow.fill(number), came, state, sent)
            case OutputField(source):
                _send(state.get(source.name, 0), came, state, sent)
            case Special.IN_PORT:
                sent.append(Sent(came, dict(state)))
            case Special.CONTROLLER:
                sent.append(Sent(CONTROLLER, dict(state)))
    return True


def _send(port: int, came: int, state: Packet, sent: list[Sent]) -> None:
    """OpenFlow never sends back through the port of arrival, but for the reserved IN_PORT."""
    if port not in (came, 0):
        sent.append(Sent(port, dict(state)))

"""A switch that executes flows on packets, as OVS would, as far as this pipeline uses it.

Place: under the property tests; a contract test compares its verdicts with those of a real OVS. What a flow
does is the product's own `pipelines.walk` (a new action goes there); which flow it is, is found here, by
looking at all of them. It reads flows, never the pipeline's declarations, so that it can execute a broken
program as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from model.flow import Flow, FlowKey
from pipelines.conjunctions import clauses, conclude, height
from pipelines.walk import CONTROLLER, Sent, matches, walk
from pipelines.walk import Packet as Seen
from tests.fakes.conntrack import Conntrack
from tests.fakes.packets import Packet, received

__all__ = ["CONTROLLER", "Sent", "Switch", "Verdict"]


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
    tracker: Conntrack = field(default_factory=Conntrack)

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
        done = walk(self, received(packet), self.tracker)
        self.counts.update(step.flow.key() for step in done.steps if step.flow is not None)
        return Verdict(done.sent, tuple((step.table, step.flow) for step in done.steps))

    def choose(self, table: int, packet: Seen) -> Flow | None:
        """The flow of highest priority that matches."""
        mine = [flow for flow in self.flows.values() if flow.shape.table == table]
        parts = [flow for flow in mine if clauses(flow.shape) and matches(flow, packet)]
        hard = [flow for flow in mine if not clauses(flow.shape)]

        def plain(seen: Seen) -> Flow | None:
            return max((flow for flow in hard if matches(flow, seen)), key=height, default=None)

        return conclude(plain(packet), parts, plain, packet)

"""A switch's choice among flows with conjunctions, as classifier.c of Open vSwitch makes it.

Place: under the property tests of policy; a contract test asks a real switch for the same. Reads flows only.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.flow import Conjunction, Flow, SetField
from pipelines.walk import Packet, matches


class Table:
    """The flows of one table, highest first."""

    def __init__(self, flows: Iterable[Flow]) -> None:
        ordered = sorted(flows, key=_height, reverse=True)
        self._soft = [flow for flow in ordered if clauses(flow)]
        self._hard = [flow for flow in ordered if not clauses(flow)]

    def choose(self, packet: Packet) -> Flow | None:
        """A conjunction counts where its clauses stand, if they are all met and a flow has its number."""
        best = next((flow for flow in self._hard if matches(flow, packet)), None)
        met: dict[tuple[int, int], set[int]] = {}
        for flow in self._soft:
            if best is not None and _height(flow) <= _height(best):
                break
            if not matches(flow, packet):
                continue
            for clause in clauses(flow):
                key = (_height(flow), flow.fill(clause.number))
                met.setdefault(key, set()).add(clause.clause)
                if len(met[key]) == clause.clauses:
                    found = self._concluded(packet | {"conj_id": key[1]})
                    if found is not None:
                        return found
        return best

    def _concluded(self, packet: Packet) -> Flow | None:
        return next((flow for flow in self._hard if matches(flow, packet)), None)


def run(flows: Iterable[Flow], start: int, packet: Packet) -> tuple[int | None, Packet]:
    """From table `start` on: the last table that was reached, None if the packet was dropped."""
    tables: dict[int, list[Flow]] = {}
    for flow in flows:
        tables.setdefault(flow.shape.table, []).append(flow)
    ready = {number: Table(some) for number, some in tables.items()}
    packet, table = dict(packet), start
    while table in ready:
        flow = ready[table].choose(packet)
        if flow is None or flow.shape.goto is None:
            return None, packet
        for action in flow.shape.actions:
            assert isinstance(action, SetField)
            packet[action.field.name] = flow.fill(action.value)
        table = flow.shape.goto
    return table, packet


def _height(flow: Flow) -> int:
    return flow.fill(flow.shape.priority)


def clauses(flow: Flow) -> list[Conjunction]:
    return [action for action in flow.shape.actions if isinstance(action, Conjunction)]

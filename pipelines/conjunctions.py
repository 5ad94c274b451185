"""Conjunctions: a switch's choice in a table whose flows may be clauses, as classifier.c of Open vSwitch
makes it.

Place: under `pipelines.lookup`, and under the fake switch of the tests; a contract test asks a real switch
for the same. Reads flows only, and never looks for them: who asks hands in what the packet matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from model.flow import Conjunction, Flow, Shape
from pipelines.fields import CONJ_ID
from pipelines.tracking import Packet


@lru_cache(maxsize=4096)
def clauses(shape: Shape) -> tuple[Conjunction, ...]:
    """The conjunctions of which its flows are a part; none for a flow that does something itself."""
    return tuple(action for action in shape.actions if isinstance(action, Conjunction))


def conclude(
    best: Flow | None, parts: Iterable[Flow], plain: Callable[[Packet], Flow | None], packet: Packet
) -> Flow | None:
    """The flow that a packet meets. `best`: the highest of all plain flows that it matches; `parts`: all
    clauses that it matches; `plain`: the highest plain flow for a packet.

    A conjunction counts at the height of its clauses, if all are met and a flow has its number.
    """
    met: dict[tuple[int, int], set[int]] = {}
    for flow in sorted(parts, key=height, reverse=True):
        if best is not None and height(flow) <= height(best):
            break
        for clause in clauses(flow.shape):
            key = (height(flow), flow.fill(clause.number))
            met.setdefault(key, set()).add(clause.clause)
            if len(met[key]) == clause.clauses:
                found = plain({**packet, CONJ_ID.name: key[1]})
                if found is not None:
                    return found
    return best


def height(flow: Flow) -> int:
    """The priority of a flow."""
    return flow.fill(flow.shape.priority)

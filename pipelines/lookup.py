"""Lookup: finds the flow of a compiled program that a packet meets in a table, without looking at all flows.

Place: the tables of `pipelines.walk` for `ringfence trace`. Pure; reads the immutable program only.

Most shapes have a fixed priority and no mask of their own: the numbers of the packet and the shape give the
key under which the program already holds the flow. The rest (prefixes) is grouped by fields and masks, as
the classifier of a switch does. To build one costs a look at each flow's shape (9 ms for 84,000 flows, and
more for each prefix); a walk of eight tables through it took 0.25 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from model.flow import Flow, Shape, Slot
from pipelines.compile import Program, key
from pipelines.objects import Object
from pipelines.walk import Packet, matches

_Form = tuple[tuple[str, int], ...]
"""(field, mask) in order; -1 = all bits."""
_ALL: Final = -1


@dataclass(frozen=True, slots=True)
class Lookup:
    """`direct`: by table, the shapes whose flows are found by their key, highest first. `ranked`: by table,
    the others by form and masked values; of several in one place the highest."""

    program: Program
    direct: Mapping[int, tuple[Shape, ...]]
    ranked: Mapping[int, Mapping[_Form, Mapping[tuple[int, ...], Flow]]]

    def choose(self, table: int, packet: Packet) -> Flow | None:
        """The flow of highest priority that matches; None if there is none."""
        best = self._direct(table, packet)
        for form, flows in self.ranked.get(table, {}).items():
            found = flows.get(tuple(packet.get(name, 0) & mask for name, mask in form))
            if found is not None and (best is None or _priority(found) > _priority(best)):
                best = found
        return best

    def owner(self, flow: Flow) -> Object | None:
        """The object that has won this flow; None if the program has no such flow."""
        claimants = self.program.claims.get(key(flow))
        return claimants[0] if claimants else None

    def _direct(self, table: int, packet: Packet) -> Flow | None:
        for shape in self.direct.get(table, ()):
            found = self._find(shape, packet)
            if found is not None:
                return found
        return None

    def _find(self, shape: Shape, packet: Packet) -> Flow | None:
        """The program's flow of this form that matches; the numbers of the packet say which it must be."""
        filled: dict[Slot, int] = {}
        for term in shape.match:
            number = packet.get(term.field.name, 0)
            if isinstance(term.value, Slot):
                filled[term.value] = number
            elif (number ^ term.value) & (_ALL if not isinstance(term.mask, int) else term.mask):
                return None
        sought = key(Flow(shape, 0, tuple(filled.get(slot, 0) for slot in shape.slots)))
        claimants = self.program.claims.get(sought)
        if claimants is None:
            return None
        won = (flow for flow in self.program.groups[claimants[0]] if key(flow) == sought)
        return next((flow for flow in won if matches(flow, packet)), None)


def build(program: Program, besides: Iterable[Flow] = ()) -> Lookup:
    """The lookup of a program; `besides`: flows that the switch has, and that are part of no program."""
    direct: dict[int, dict[tuple[object, ...], Shape]] = {}
    ranked: dict[int, dict[_Form, dict[tuple[int, ...], Flow]]] = {}
    seen: dict[int, bool] = {}
    for subject, flows in program.groups.items():
        for flow in flows:
            shape = flow.shape
            plain = seen.get(id(shape))  # the program holds all of them: no id comes twice
            if plain is None:
                plain = seen[id(shape)] = _is_direct(shape)
                if plain:
                    direct.setdefault(shape.table, {}).setdefault((shape.priority, shape.match), shape)
            if not plain and program.claims[key(flow)][0] == subject:
                _rank(flow, ranked.setdefault(shape.table, {}))
    for flow in besides:
        _rank(flow, ranked.setdefault(flow.shape.table, {}))
    ordered = {table: tuple(sorted(found.values(), key=_height)) for table, found in direct.items()}
    return Lookup(program, ordered, ranked)


def _is_direct(shape: Shape) -> bool:
    """Whether its priority is fixed, and each slot of its match stands for a whole field."""
    slotted = any(
        isinstance(m.mask, Slot) or (isinstance(m.value, Slot) and m.mask is not None) for m in shape.match
    )
    return not slotted and isinstance(shape.priority, int)


def _rank(flow: Flow, places: dict[_Form, dict[tuple[int, ...], Flow]]) -> None:
    terms = [
        (m.field.name, _ALL if m.mask is None else flow.fill(m.mask), flow.fill(m.value))
        for m in flow.shape.match
    ]
    place = places.setdefault(tuple((name, mask) for name, mask, _ in terms), {})
    values = tuple(value & mask for _, mask, value in terms)
    held = place.get(values)
    if held is None or _priority(flow) > _priority(held):
        place[values] = flow


def _priority(flow: Flow) -> int:
    return flow.fill(flow.shape.priority)


def _height(shape: Shape) -> tuple[int, str]:
    return (-shape.priority if isinstance(shape.priority, int) else 0, shape.name)

"""Lookup: finds the flow of a compiled program that a packet meets in a table, without looking at all flows.

Place: the tables of `pipelines.walk` for `ringfence trace`. Pure; reads the immutable program only.

Most shapes have a fixed priority and no mask of their own: the numbers of the packet and the shape give the
key under which the program already holds the flow. The rest (prefixes, clauses of conjunctions) is grouped by
fields and masks, as the classifier of a switch does. To build one costs a look at each flow's shape (9 ms for
84,000 flows, and more for each prefix); a walk of eight tables through it took 0.25 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from model.flow import Flow, Shape, Slot
from pipelines.compile import Program, key
from pipelines.conjunctions import clauses, conclude, height
from pipelines.objects import Object
from pipelines.walk import Packet, matches, read

_Form = tuple[tuple[str, int], ...]
"""(field, mask) in order; -1 = all bits."""
_ALL: Final = -1
_Ranked = dict[int, dict[_Form, dict[tuple[int, ...], Flow]]]
_Parts = dict[int, dict[_Form, dict[tuple[int, ...], list[Flow]]]]


@dataclass(frozen=True, slots=True)
class Lookup:
    """`direct`: by table, the shapes whose flows are found by their key, highest first. `ranked`: by table,
    the others by form and masked values; of several in one place the highest. `parts`: all clauses."""

    program: Program
    direct: Mapping[int, tuple[Shape, ...]]
    ranked: Mapping[int, Mapping[_Form, Mapping[tuple[int, ...], Flow]]]
    parts: Mapping[int, Mapping[_Form, Mapping[tuple[int, ...], Sequence[Flow]]]]

    def choose(self, table: int, packet: Packet) -> Flow | None:
        """The flow of highest priority that matches; None if there is none."""
        best = self._plain(table, packet)
        if table not in self.parts:
            return best
        met = [
            flow for form, flows in self.parts[table].items() for flow in flows.get(_seen(form, packet), ())
        ]
        return conclude(best, met, partial(self._plain, table), packet)

    def _plain(self, table: int, packet: Packet) -> Flow | None:
        """The same among flows that are no clauses."""
        best = self._direct(table, packet)
        for form, flows in self.ranked.get(table, {}).items():
            found = flows.get(_seen(form, packet))
            if found is not None and (best is None or height(found) > height(best)):
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
            number = read(term.field, packet)
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
    ranked: _Ranked = {}
    parts: _Parts = {}
    seen: dict[int, bool] = {}
    for subject, flows in program.groups.items():
        for flow in flows:
            shape = flow.shape
            plain = seen.get(id(shape))  # the program holds all of them: no id comes twice
            if plain is None:
                plain = seen[id(shape)] = _is_direct(shape)
                if plain:
                    direct.setdefault(shape.table, {}).setdefault((shape.priority, shape.match), shape)
            if plain or program.claims[key(flow)][0] != subject:
                continue
            _hold(flow, ranked, parts)
    for flow in besides:
        _hold(flow, ranked, parts)
    ordered = {table: tuple(sorted(found.values(), key=_height)) for table, found in direct.items()}
    return Lookup(program, ordered, ranked, parts)


def _is_direct(shape: Shape) -> bool:
    """Whether its priority is fixed, each slot of its match stands for a whole field, and it is no clause."""
    slotted = any(
        isinstance(m.mask, Slot) or (isinstance(m.value, Slot) and m.mask is not None) for m in shape.match
    )
    return not slotted and isinstance(shape.priority, int) and not clauses(shape)


def _hold(flow: Flow, ranked: _Ranked, parts: _Parts) -> None:
    if clauses(flow.shape):
        _add(flow, parts.setdefault(flow.shape.table, {}))
    else:
        _rank(flow, ranked.setdefault(flow.shape.table, {}))


def _rank(flow: Flow, places: dict[_Form, dict[tuple[int, ...], Flow]]) -> None:
    form, values = _place(flow)
    place = places.setdefault(form, {})
    held = place.get(values)
    if held is None or height(flow) > height(held):
        place[values] = flow


def _add(flow: Flow, places: dict[_Form, dict[tuple[int, ...], list[Flow]]]) -> None:
    form, values = _place(flow)
    places.setdefault(form, {}).setdefault(values, []).append(flow)


def _place(flow: Flow) -> tuple[_Form, tuple[int, ...]]:
    """The form of a flow's match, and the bits that a packet must have in it."""
    form, values = [], []
    for term in flow.shape.match:
        mask = _ALL if term.mask is None else flow.fill(term.mask)
        if term.field.low is not None:
            mask = (mask & (1 << term.field.bits) - 1) << term.field.low
        form.append((term.field.name, mask))
        values.append(flow.fill(term.value) << term.field.shift & mask)
    return tuple(form), tuple(values)


def _seen(form: _Form, packet: Packet) -> tuple[int, ...]:
    return tuple(packet.get(name, 0) & mask for name, mask in form)


def _height(shape: Shape) -> tuple[int, str]:
    return (-shape.priority if isinstance(shape.priority, int) else 0, shape.name)

"""Overlap: pairs of flows of one table and priority that could match the same packet.

Place: used by check. OpenFlow leaves it open which of such flows wins, so there must be none. Costs about the
number of flows times the number of different forms of match at one priority, not its square.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations_with_replacement

from model.flow import Flow

Term = tuple[int, int]
"""(value, mask)"""
Form = tuple[tuple[str, int], ...]
"""(field, mask) of each term, sorted: flows of one form overlap only if they are equal."""


def overlaps(flows: Iterable[Flow]) -> Iterator[tuple[Flow, Flow]]:
    """Each pair that overlaps, or is the same match twice."""
    places: dict[tuple[int, int], dict[Form, list[tuple[Flow, dict[str, int]]]]] = {}
    for flow in flows:
        terms = _terms(flow)
        form = tuple(sorted((name, mask) for name, (_, mask) in terms.items()))
        values = {name: value for name, (value, _) in terms.items()}
        place = (flow.shape.table, flow.fill(flow.shape.priority))
        places.setdefault(place, {}).setdefault(form, []).append((flow, values))
    for place in sorted(places):
        forms = places[place]
        for one, two in combinations_with_replacement(sorted(forms), 2):
            yield from _between(forms[one], forms[two], _common(one, two))


def _terms(flow: Flow) -> dict[str, Term]:
    found = {}
    for m in flow.shape.match:
        whole = (1 << m.field.bits) - 1
        mask = whole if m.mask is None else flow.fill(m.mask)
        found[m.field.name] = ((flow.fill(m.value) & mask) << m.field.shift, mask << m.field.shift)
    return found


def _common(one: Form, two: Form) -> tuple[tuple[str, int], ...]:
    """The bits that both forms look at: only there can they disagree."""
    masks = dict(two)
    return tuple((name, mask & masks[name]) for name, mask in one if name in masks)


def _between(
    left: list[tuple[Flow, dict[str, int]]],
    right: list[tuple[Flow, dict[str, int]]],
    common: tuple[tuple[str, int], ...],
) -> Iterator[tuple[Flow, Flow]]:
    seen: dict[tuple[int, ...], list[Flow]] = {}
    if left is right:
        for flow, values in left:
            key = tuple(values[name] & mask for name, mask in common)
            yield from ((other, flow) for other in seen.get(key, ()))
            seen.setdefault(key, []).append(flow)
        return
    for flow, values in left:
        seen.setdefault(tuple(values[name] & mask for name, mask in common), []).append(flow)
    for flow, values in right:
        key = tuple(values[name] & mask for name, mask in common)
        yield from ((other, flow) for other in seen.get(key, ()))

"""Programs with one protection taken out: a test that passes with them proves nothing.

Place: property tests run against these and must fail; integration tests may program them. Each function maps
the flows of a program to those of a broken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from model.flow import Field, Flow
from pipelines import fields as f
from pipelines import tables as t
from pipelines.cookies import host
from pipelines.shapes.entry import TUNNEL4, TUNNEL6
from pipelines.shapes.terms import shape

Mutant = Callable[[Iterable[Flow]], Iterator[Flow]]


def without_spoof_guard(flows: Iterable[Flow]) -> Iterator[Flow]:
    """The guard lets everything through."""
    yield Flow(shape("open", t.GUARD, 1000, (), (), (), t.SERVICES), host())
    yield from flows


def without_vni_match(flows: Iterable[Flow]) -> Iterator[Flow]:
    """A known VTEP may send any VNI."""
    return _without(flows, f.TUN_ID)


def without_source_check(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Anybody may send a known VNI."""
    return _without(flows, f.TUN_SRC, f.TUN_IPV6_SRC)


MUTANTS: tuple[Mutant, ...] = (without_spoof_guard, without_vni_match, without_source_check)


def _without(flows: Iterable[Flow], *fields: Field) -> Iterator[Flow]:
    for flow in flows:
        if flow.shape in (TUNNEL4, TUNNEL6):
            match = tuple(m for m in flow.shape.match if m.field not in fields)
            yield replace(flow, shape=replace(flow.shape, name=f"{flow.shape.name}-open", match=match))
        else:
            yield flow

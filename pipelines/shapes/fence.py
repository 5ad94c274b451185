"""Shapes of the fence: how frames get to it on hosts that have a partner, and what lets them through.

Place: tables classify and fence. `PASSES` and `CLOSED` are sent by the agent's lease, never compiled: they
bear a hard timeout. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.flow import Flow, Match, Shape
from pipelines import cookies
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.entry import LOCAL, TUNNEL4, TUNNEL6, TUNNEL_VRF4, TUNNEL_VRF6
from pipelines.shapes.inward import BORDER4, BORDER6, LET_IN4, LET_IN6
from pipelines.shapes.terms import AT_GENERAL, AT_LAST, AT_OWN, shape


def _fenced(entry: Shape) -> Shape:
    return replace(entry, name=f"{entry.name}-fenced", goto=t.FENCE.number)


_OF_BRIDGES: Final = (LOCAL, TUNNEL4, TUNNEL6)
_OF_ROUTERS: Final = (TUNNEL_VRF4, TUNNEL_VRF6, BORDER4, BORDER6, LET_IN4, LET_IN6)
FENCED: Final = {one: _fenced(one) for one in (*_OF_BRIDGES, *_OF_ROUTERS)}
"""By the shape of a host without a partner."""

_OF_NOBODY_HERE: Final = Match(f.SOURCE.field, 0)
PASS_ROUTED: Final = shape(
    "pass-routed", t.FENCE, AT_OWN, (_OF_NOBODY_HERE, Match(f.NETWORK.field, 0)), goto=t.ARRIVAL
)
PASS_BRIDGED: Final = shape("pass-bridged", t.FENCE, AT_GENERAL, (_OF_NOBODY_HERE,), goto=t.DELIVERY)
PASS_OWN: Final = shape("pass-own", t.FENCE, AT_LAST, (), goto=t.GUARD)
PASSES: Final = (PASS_ROUTED, PASS_BRIDGED, PASS_OWN)
CLOSED: Final = tuple(replace(one, name=one.name.replace("pass", "armed"), goto=None) for one in PASSES)
"""The same places, dropping: what `PASSES` are made of by a modification, and by nothing else."""


def passes() -> tuple[Flow, ...]:
    """The flows that let pass, as the agent's lease keeps them in the switch."""
    return tuple(Flow(one, cookies.host(table=t.FENCE.number)) for one in PASSES)

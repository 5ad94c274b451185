"""Accounts: the counters among the flows, for those that read them and those that must not lose them.

Place: read by the agent's meter. An unbound port's counters may only be deleted after the last reading, so
its patch is cut in two. Must not read counters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.change import Patch
from model.flow import Flow
from pipelines.shapes.paths import COUNTER
from pipelines.tables import ACCOUNT

ACCOUNT_TABLE: Final = ACCOUNT.number
"""The table of the counters."""


def is_counter(flow: Flow) -> bool:
    """Whether a flow counts for the bill."""
    return flow.shape.name == COUNTER.name


def split(patch: Patch) -> tuple[Patch, Patch]:
    """(now, after the last reading): the second deletes counters and does nothing else.

    Send the first, which stops the traffic; purge, read and journal; then send the second.
    """
    now, later = [], []
    for put, drop in patch.groups:
        keep = tuple(flow for flow in drop if not is_counter(flow))
        counters = tuple(flow for flow in drop if is_counter(flow))
        if put or keep:
            now.append((put, keep))
        if counters:
            later.append(((), counters))
    return replace(patch, groups=tuple(now)), Patch(tuple(later))

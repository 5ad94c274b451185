"""All states, in the order of the pages.

Place: what the expanders multiply. Must not hold a state of its own.
"""

from __future__ import annotations

from tests.scenarios import holds, ports, remotes, stops, traffic
from tests.scenarios.state import State

STATES: tuple[State, ...] = (
    *ports.STATES,
    *remotes.STATES,
    *holds.STATES,
    *traffic.STATES,
    *stops.STATES,
)

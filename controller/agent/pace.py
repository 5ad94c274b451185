"""Pace: how often the loop does what it does again and again, and when each is next due.

Place: settings and clockwork of `controller.agent.loop`. Must not read a clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `tick`: holds, claims, sweeps; `save`: least time between snapshots on disk; `report`: least
    time between reports; `heartbeat`: most time; `sight`: between looks at interfaces' own counters, which
    bounds what a port loses that is pulled out; `read`: between readings of counters; `audit`: of the switch.
    """

    tick: float = 1.0
    save: float = 1.0
    report: float = 0.2
    heartbeat: float = 5.0
    sight: float = 0.5
    read: float = 10.0
    audit: float = 60.0
    again: float = 2.0
    """From an audit that found something to the one that shows that it was mended; then as usual."""


@dataclass(slots=True)
class Due:
    """When each periodic work is next due, on the monotonic clock."""

    tick: float = 0.0
    save: float = 0.0
    report: float = 0.0
    heartbeat: float = 0.0
    sight: float = 0.0
    read: float = 0.0
    audit: float = 0.0

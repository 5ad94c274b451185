"""Bounds: how many bytes of a port can be missing at most, by its interface's own counter. Pure.

Place: under `accounting.count`. Must not guess: what can't be bounded is None.

Why bytes can be missing: Open vSwitch pushes the counts of its data path to the flows every half second, and
what is pending when an interface is taken out of the bridge (or vswitchd ends) goes nowhere. The interface's
counter sees everything at once, but also what is never billed (ARP, refused frames): so no figure, a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from accounting.turns import ROWS, Turns
from model.ids import PortKey

LAG_MS: Final = 1_000
"""Flow statistics may lag behind the interface's by this (0.5 s measured): bounds reach back further."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What came in from a port by its own interface's counter, cumulative layer-2 bytes.

    `identity` changes when the interface is made anew (its counter starts at zero then).
    """

    identity: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """A port's wire: `newer` as read at `newer_ms`; `older` as read at least LAG_MS before a later reading.

    Every byte that `older` holds was in the flows' counters of that reading, however late they were.
    `counted`: layer-2 bytes of the port's intervals after that reading.
    """

    older: Wire
    newer: Wire
    newer_ms: int
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Departure:
    """A port's interface was taken out of the switch, and nobody had stopped the traffic before.

    `sure`: a count of which every byte is in the flows' counters; `last`: one that holds all that the switch
    took from it. None = not known.
    """

    sure: Wire | None = None
    last: Wire | None = None


def within(older: Wire | None, now: Wire | None) -> int | None:
    """Bytes that passed between two counts of the same interface; None = can't be told."""
    if older is None or now is None or older.identity != now.identity or now.bytes < older.bytes:
        return None
    return now.bytes - older.bytes


def unseen(now: Wire | None) -> Sighting | None:
    """Of a port whose interface no reading has seen: it began at zero, before anything was counted."""
    return None if now is None else Sighting(Wire(now.identity, 0), Wire(now.identity, 0), 0)


def since_reading(sighting: Sighting | None, now: Wire | None, counted: int) -> int | None:
    """What may be missing since the reading that `sighting` knows of, `counted` being new on top of it.

    What earlier intervals hold is not taken off: it may have passed the interface before `older`.
    """
    if sighting is None or now is None or within(sighting.newer, now) is None:
        return None
    passed = within(sighting.older, now)
    return None if passed is None else max(0, passed - sighting.counted - counted)


def at_departure(departure: Departure, sighting: Sighting | None, counted: int) -> int | None:
    """What was pending when a port left: the least that its sightings allow."""
    bounds = [within(departure.sure, departure.last), since_reading(sighting, departure.last, counted)]
    if sighting is None and departure.last is not None:
        bounds.append(departure.last.bytes)
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


def sights(
    seen: Mapping[PortKey, Sighting],
    wires: Mapping[PortKey, Wire],
    counted: Mapping[PortKey, int],
    at_ms: int,
    blind: frozenset[PortKey],
) -> Turns[dict[PortKey, Sighting]]:
    """The sightings after a reading, in turns. `wires`: those that changed; `counted`: layer-2 bytes of its
    intervals.

    An interface made anew began at zero, so that is its older sighting. A port in `blind` may have left the
    switch before the reading, which then proves nothing about it.
    """
    out: dict[PortKey, Sighting] = {}
    for at, port in enumerate(seen.keys() | wires.keys()):
        if not at % ROWS:
            yield
        old = seen.get(port)
        wire = wires.get(port) or (old.newer if old else None)
        if wire is None:
            continue
        if old is not None and port in blind:
            out[port] = replace(old, counted=old.counted + counted.get(port, 0))
        elif old is None or old.newer.identity != wire.identity:
            out[port] = Sighting(Wire(wire.identity, 0), wire, at_ms)
        elif at_ms < old.newer_ms:  # the clock was stepped back: the lag is waited for from here on
            out[port] = replace(old, newer_ms=at_ms, counted=old.counted + counted.get(port, 0))
        elif at_ms - old.newer_ms >= LAG_MS:
            out[port] = Sighting(old.newer, wire, at_ms)
        else:
            out[port] = replace(old, counted=old.counted + counted.get(port, 0))
    return out

"""Sightings: addresses of allowed pairs for which workloads of this host speak, as long as they do.

Place: pure; asked by `controller.agent.core`. An address moves to whoever announces it last, on any host;
its sequence rises with each move, so that the newest speaker wins everywhere (model.whereabouts). Must not
believe an announcement that the port's pairs do not allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from immutables import Map

from controller.agent import state
from controller.agent.announcements import Announced
from model.change import Change, Part
from model.route import Sighting
from model.snapshot import SightingKey, Snapshot
from model.whereabouts import owner, speakers, stands

REST: Final = 1.0
"""Seconds that an address stays before it may move to a port here again: every move is told to all hosts.
Twice as long after each move that comes soon, up to LONGEST (RFC 7432 section 15.1 stops it for good)."""
LONGEST: Final = 64.0
CALM: Final = 10.0
"""After so many rests without a move all is forgotten."""
_SEQUENCES: Final = 1 << 32
"""The mobility sequence has 32 bits (RFC 7432 section 7.7)."""


@dataclass(frozen=True, slots=True)
class Move:
    """The last move of an address to a port here: `at`, and for how long it rests. `late`: what was announced
    meanwhile, and counts when the rest is over, unless another host spoke since."""

    at: float
    rest: float = REST
    late: Announced | None = None


Moves = Map[SightingKey, Move]


def hear(snapshot: Snapshot, heard: Announced, moved: Moves, now: float) -> tuple[state.Step, Moves]:
    """The address is where it was announced, if that may be so and is news; with the moves."""
    nothing = state.Step(snapshot, frozenset())
    port = snapshot.ports.get(heard.port)
    if port is None or heard.address is None or heard.mac not in speakers(port, heard.address):
        return nothing, moved
    spot = (port.network, heard.address)
    here, there = snapshot.sightings.get(spot), snapshot.claimed.get(spot)
    sequence = max((known.sequence + 1 for known in (here, there) if known is not None), default=0)
    seen = Sighting(*spot, heard.mac, heard.port, sequence % _SEQUENCES)
    found = owner(snapshot, *spot)
    same = isinstance(found, Sighting) and (found.port, found.mac) == (seen.port, seen.mac)
    last = moved.get(spot)
    if same:
        return nothing, moved if last is None or last.late is None else moved.set(
            spot, replace(last, late=None)
        )
    if not stands(snapshot, seen):
        return nothing, moved
    if last is not None and now - last.at < last.rest:
        return nothing, moved.set(spot, replace(last, late=heard))
    soon = last is not None and now - last.at < CALM * last.rest
    rest = min(2 * last.rest, LONGEST) if last is not None and soon else REST
    return state.upsert(snapshot, [(Part.SIGHTING, spot, seen)]), moved.set(spot, Move(now, rest))


def due(moved: Moves, now: float) -> tuple[Announced, ...]:
    """What was announced while an address rested, and counts now."""
    ready = ((spot, m) for spot, m in moved.items() if m.late is not None and now - m.at >= m.rest)
    return tuple(m.late for _, m in sorted(ready, key=lambda one: str(one[0])) if m.late is not None)


def overtaken(moved: Moves, changes: Iterable[Change]) -> Moves:
    """Other hosts spoke of these addresses later than those that wait here."""
    for change in changes:
        last = moved.get(change.key) if change.part is Part.CLAIMED else None  # type: ignore[call-overload]
        if last is not None and last.late is not None:
            moved = moved.set(change.key, replace(last, late=None))  # type: ignore[arg-type]
    return moved


def forget(snapshot: Snapshot) -> state.Step:
    """Without what is no longer so: the port left or may not, or somebody else spoke later."""
    gone = [
        (Part.SIGHTING, spot)
        for spot, seen in snapshot.sightings.items()
        if not stands(snapshot, seen) or owner(snapshot, *spot) != seen
    ]
    return state.remove(snapshot, gone)

"""Sightings: addresses of allowed pairs for which workloads of this host speak, as long as they do.

Place: pure; asked by `controller.agent.core`. An address moves to whoever announces it last, on any host;
its sequence rises with each move, so that the newest speaker wins everywhere (model.whereabouts). Must not
believe an announcement that the port's pairs do not allow.
"""

from __future__ import annotations

from typing import Final

from immutables import Map

from controller.agent import state
from controller.agent.announcements import Announced
from model.change import Part
from model.route import Sighting
from model.snapshot import SightingKey, Snapshot
from model.whereabouts import owner, speakers, stands

REST: Final = 1.0
"""Seconds that an address stays before it may move to a port here again: every move is told to all hosts."""
_SEQUENCES: Final = 1 << 32
"""The mobility sequence has 32 bits (RFC 7432 section 7.7)."""


def hear(
    snapshot: Snapshot, heard: Announced, moved: Map[SightingKey, float], now: float
) -> tuple[state.Step, Map[SightingKey, float]]:
    """The address is where it was announced, if that may be so and is news; with the times of moves."""
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
    if same or not stands(snapshot, seen) or now - moved.get(spot, now - REST) < REST:
        return nothing, moved
    return state.upsert(snapshot, [(Part.SIGHTING, spot, seen)]), moved.set(spot, now)


def forget(snapshot: Snapshot) -> state.Step:
    """Without what is no longer so: the port left or may not, or somebody else spoke later."""
    gone = [
        (Part.SIGHTING, spot)
        for spot, seen in snapshot.sightings.items()
        if not stands(snapshot, seen) or owner(snapshot, *spot) != seen
    ]
    return state.remove(snapshot, gone)

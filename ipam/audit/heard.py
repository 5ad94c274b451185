"""Heard: what hosts and fabrics have said, and when; the second and third side of the audit.

Place: made by the API from reports and words, read by `ipam.audit.look`. Who is silent says nothing, neither
that something is there nor that it is not. Must not judge what is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from model.bearing import FabricWord, HostWord
from model.sighting import Sighting

T = TypeVar("T")
HOST_STALE_MS: Final = 15_000
"""A host says something every 5 s."""
FABRIC_STALE_MS: Final = 60_000
"""A fabric's process says something after each round, which asks all ports of gangs."""


@dataclass(frozen=True, slots=True)
class Told(Generic[T]):
    """`stamp`: Unix ms by the speaker's clock."""

    value: T
    stamp: int


@dataclass(frozen=True, slots=True)
class Heard:
    """`sightings`: hardware by host; `words` of hosts, and of fabrics, by name."""

    sightings: Mapping[str, Told[Sighting]] = field(default_factory=dict)
    words: Mapping[str, Told[HostWord]] = field(default_factory=dict)
    fabrics: Mapping[str, Told[FabricWord]] = field(default_factory=dict)


def fresh(told: Told[T] | None, now: int, stale: int) -> Told[T] | None:
    """The same, or None if nothing was said, or too long ago; `now`: Unix ms."""
    return told if told is not None and now - told.stamp <= stale else None

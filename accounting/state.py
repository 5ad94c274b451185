"""State: what the counting begins with, what it adds, and what it amounts to.

Place: the vocabulary of `accounting.count`; what is journalled of it, `accounting.encode` writes. Must not
compute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from accounting.balance import Tally
from accounting.bounds import Departure, Sighting, Wire
from accounting.records import Counter, Owner, Record, Run, Series
from model.ids import ClassId, PortKey


class Catalogue(Protocol):
    """Whose is what, now."""

    def owner(self, port: PortKey) -> Owner | None:
        """None = not known."""

    def class_name(self, class_id: ClassId) -> str:
        """The class's name; some name for an unknown one too."""


@dataclass(frozen=True, slots=True)
class Reading:
    """All accounting flows of the host, read at `at_ms` in `run`; `wires` may leave ports out.

    `pulled`: ports whose interfaces left the switch with their traffic running, since the last reading.
    `blind`: ports that may have left it before this reading without our knowledge.
    `doubted`: ports whose traffic may have been credited to a path that it did not take; `withheld`: those of
    them whose bytes may have been counted twice by that, or as another class.
    `moved`: if not None, all other counters are as the state has them; nobody looks at these then.
    """

    run: Run
    at_ms: int
    datapath: str
    counters: Mapping[Series, Counter]
    wires: Mapping[PortKey, Wire] = field(default_factory=dict)
    pulled: Mapping[PortKey, Departure] = field(default_factory=dict)
    blind: frozenset[PortKey] = frozenset()
    doubted: frozenset[PortKey] = frozenset()
    withheld: frozenset[PortKey] = frozenset()
    moved: Collection[Series] | None = None


class Standing(Enum):
    """CLOSED: read for the last time; its deletion is expected."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is journalled of a series."""

    counter: Counter
    owner: Owner
    standing: Standing = Standing.OPEN


@dataclass(frozen=True, slots=True)
class State:
    """What the journal amounts to."""

    next_sequence: int
    run: Run | None = None
    read_ms: int = 0
    baselines: Mapping[Series, Baseline] = field(default_factory=dict)
    sightings: Mapping[PortKey, Sighting] = field(default_factory=dict)
    tallies: Mapping[PortKey, Tally] = field(default_factory=dict)
    """Of every port with an open series of what it sends."""
    unsure: frozenset[PortKey] = frozenset()
    """Of which the next reading must withhold what it counted, unless whoever reads knows better."""


@dataclass(frozen=True, slots=True)
class Step:
    """One reading's worth of records: the unit that is journalled, whole or not at all."""

    run: Run
    at_ms: int
    records: tuple[Record, ...] = ()
    wires: Mapping[PortKey, Wire] = field(default_factory=dict)
    """Those that differ from what was sighted last."""
    blind: frozenset[PortKey] = frozenset()
    """See `Reading`; of the ports that have a sighting."""
    begun: Mapping[PortKey, Tally] = field(default_factory=dict)
    """Comparisons of ports with their interfaces that begin with this reading."""
    unsure: frozenset[PortKey] = frozenset()
    """A change follows at which nothing may be provable. A reading ends that."""

"""Balance: what a port's interface took in, beside what was counted of it, hour by hour. Pure.

Place: under `accounting.count`, which makes `Balance` records of it. Must not guess: a comparison in which an
interface was made anew, ovs-vswitchd ended, or no interface was seen, says that it is not known.

Flow statistics lag behind the interface's by up to half a second, so that what passed just before an hour's
comparison may be counted in the next one: each hour's difference is right but for that, their sum is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from accounting.bounds import Sighting, Wire, within
from accounting.classes import Direction, direction_of
from accounting.records import ETHERNET_HEADER, HOUR, Interval, Owner, Record, Series
from model.ids import PortKey


@dataclass(frozen=True, slots=True)
class Tally:
    """One comparison under way: the interface's counter as of `from_ms`, and what was counted since.

    `wire` None = not known. `counted`: layer-2 bytes of what the port sent, all classes.
    """

    owner: Owner
    from_ms: int
    wire: Wire | None
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What a reading knows of ports. `counted`: see `layer2`, of this reading's intervals.

    `left`: what the interfaces of those who left the switch had taken in then, None = not known. `lapsed`:
    ports that count no more after it. `strangers`: whose key is another port's now.
    """

    at_ms: int
    wires: Mapping[PortKey, Wire] = field(default_factory=dict)
    counted: Mapping[PortKey, int] = field(default_factory=dict)
    left: Mapping[PortKey, Wire | None] = field(default_factory=dict)
    lapsed: frozenset[PortKey] = frozenset()
    strangers: frozenset[PortKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Ending:
    """A comparison that ends: `wire` bytes were taken in (None = not known), `counted` bytes were counted."""

    port: PortKey
    wire: int | None
    counted: int

    @property
    def told(self) -> bool:
        """Whether there is anything to tell."""
        return self.wire is None or bool(self.wire or self.counted)


def is_sent(series: Series) -> bool:
    """Whether it counts what its port sent; not what was sent to it."""
    return direction_of(series[1]) is Direction.OUT


def layer2(interval: Interval) -> int:
    """An interval's bytes as an interface counts them. What TC has offloaded comes without headers."""
    return interval.bytes + ETHERNET_HEADER * interval.packets


def sent(records: Iterable[Record]) -> dict[PortKey, int]:
    """`layer2` of the intervals of what each port sent."""
    found: dict[PortKey, int] = {}
    for record in records:
        if isinstance(record, Interval) and is_sent(record.series):
            port = record.series[0]
            found[port] = found.get(port, 0) + layer2(record)
    return found


def carried(
    tallies: Mapping[PortKey, Tally], counted: Mapping[PortKey, int], begun: Mapping[PortKey, Tally]
) -> dict[PortKey, Tally]:
    """The tallies after a step that `counted` so much (see `sent`), and in which these began."""
    out = dict(tallies)
    for port, count in counted.items():
        old = out.get(port)
        if old is not None:
            out[port] = Tally(old.owner, old.from_ms, old.wire, old.counted + count)
    out.update(begun)
    return out


def endings(
    tallies: Mapping[PortKey, Tally], look: Look, seen: Mapping[PortKey, Sighting]
) -> Iterator[Ending | None]:
    """The comparisons that end with this reading, in order of ports; None for each that goes on. `seen`:
    sightings before it.

    An hour's waits for a reading that sees the interface, an hour at most.
    """
    hour = look.at_ms - look.at_ms % HOUR
    for port in sorted(tallies):
        tally = tallies[port]
        now = look.left[port] if port in look.left else look.wires.get(port)
        begun = tally.from_ms - tally.from_ms % HOUR
        counted = tally.counted + look.counted.get(port, 0)
        known = tally.wire is None or (now is not None and _continues(tally.wire, now, seen.get(port)))
        if port in look.strangers:
            yield Ending(port, None, counted)
        elif port in look.lapsed or port in look.left or not (known or now is None):
            yield Ending(port, within(tally.wire, now) if known else None, counted)
        elif tally.wire is None and now is not None:
            yield Ending(port, None if counted else 0, counted)
        elif hour != begun and (known or hour != begun + HOUR):
            yield Ending(port, within(tally.wire, now), counted)
        else:
            yield None


def _continues(begun: Wire, now: Wire, sighting: Sighting | None) -> bool:
    """Whether `now` is the same interface's counter, that only rose since."""
    if sighting is not None and sighting.newer.identity == now.identity:
        return within(begun, now) is not None and within(sighting.newer, now) is not None
    return within(begun, now) is not None

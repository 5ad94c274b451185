"""Residual: how much the interfaces of a host took in, and how much of it was counted, reading by reading.

Place: beside `accounting.count`, for a metric of the host: what is not counted shows within minutes, and not
when the hour's balance is made. Pure. Must not bill, nor guess: a port whose interface was not seen at both
ends adds to neither figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accounting.balance import Tally, sent
from accounting.bounds import Wire, within
from accounting.records import Record
from accounting.turns import ROWS, Turns, whole
from model.ids import PortKey


@dataclass(frozen=True, slots=True)
class Mark:
    """An interface as it was seen last, and what was counted of its port since."""

    wire: Wire
    counted: int = 0


@dataclass(frozen=True, slots=True)
class Residual:
    """`wire`, `counted`: layer-2 bytes since this began; both only rise. `unseen`: ports that send, and whose
    interfaces the last reading did not see.
    """

    wire: int = 0
    counted: int = 0
    unseen: int = 0
    marks: Mapping[PortKey, Mark] = field(default_factory=dict)


def followed(
    before: Residual,
    records: tuple[Record, ...],
    wires: Mapping[PortKey, Wire],
    tallies: Mapping[PortKey, Tally],
) -> Residual:
    """After one more reading of these records and interfaces. `tallies`: of the ports that send, after it."""
    return whole(following(before, records, wires, tallies))


def following(
    before: Residual,
    records: tuple[Record, ...],
    wires: Mapping[PortKey, Wire],
    tallies: Mapping[PortKey, Tally],
) -> Turns[Residual]:
    """`followed`, in turns."""
    new: dict[PortKey, int] = {}
    for start in range(0, len(records), ROWS):
        for port, count in sent(records[start : start + ROWS]).items():
            new[port] = new.get(port, 0) + count
        yield
    wire, counted, unseen = before.wire, before.counted, 0
    marks: dict[PortKey, Mark] = {}
    for at, port in enumerate(tallies.keys() | before.marks.keys()):
        if not at % ROWS:
            yield
        old, now = before.marks.get(port), wires.get(port)
        since = 0 if old is None else old.counted + new.get(port, 0)
        passed = None if old is None else within(old.wire, now)
        if passed is not None:
            wire, counted = wire + passed, counted + since
        if port not in tallies:
            continue
        if now is not None:
            marks[port] = Mark(now)
        else:
            unseen += 1
            if old is not None:
                marks[port] = Mark(old.wire, since)
    return Residual(wire, counted, unseen, marks)

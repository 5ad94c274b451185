"""Parts: the intervals behind a figure, as they are kept; what was refused beside them; and who is behind.

Place: reads for `accounting.explain`, in the transaction in which the figure was read. Must not read sums
where intervals are kept: that both agree is what is to be shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from accounting.explain import Amount, Life, Piece, Summed
from accounting.ledger.newest import BY_SWITCH, carries
from accounting.ledger.tables import (
    CONFLICTS,
    DAY,
    DROPPED,
    HOUR,
    HOURS,
    INTERVALS,
    UNITS,
    UnitState,
    hour_of,
)

CONFLICTS_READ: Final = 10_000
"""Refused records that are looked through, at most."""
_LIFE: Final = ("host", "boot_id", "vswitchd_start", "port", "class", "epoch")
_KIND: Final = ("port_uid", "port_name", "network_name", "class_name", "datapath", "header_bytes")
_PLACE: Final = ("to_ms", "host", "boot_id", "vswitchd_start", "sequence", "port", "class", "epoch")
"""The order of single intervals: no two are at one place."""
SHOWN: Final = (
    *_PLACE, "from_ms", "port_uid", "port_name", "network_name", "tenant_uid", "tenant_name", "class_name",
    "packets", "bytes", "datapath", "header_bytes", "counter_packets", "counter_bytes",
)  # fmt: skip
"""What is told of a single interval."""

Place = tuple[int, str, str, str, int, int, int, int]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which intervals: of these tenants (None: all), that end in [from_ms, to_ms), and fit `equals`.

    `equals`: (column, value). `numbers`: classes have this bit, or have not.
    """

    tenants: Sequence[str] | None
    from_ms: int
    to_ms: int
    equals: tuple[tuple[str, str | int], ...]
    inbound_bit: int
    inbound: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """What was refused since the ledger held other content under its key. `times`: how often it came."""

    key: str
    times: int
    content: Row
    held_bytes: int | None


def pieces(connection: sa.Connection, choice: Choice) -> list[Piece]:
    """Intervals, by life and by how they were counted."""
    table = INTERVALS.c
    layer2 = table.bytes + table.header_bytes * table.packets
    numbers = (
        sa.func.min(table.from_ms),
        sa.func.max(table.to_ms),
        sa.func.min(table.sequence),
        sa.func.max(table.sequence),
        sa.func.sum(table.packets),
        sa.func.sum(table.bytes),
        sa.func.count(),
        # A life's counter only rises: what it was before the first is the least, after the last the most.
        sa.func.min(table.counter_packets - table.packets),
        sa.func.min(table.counter_bytes - layer2),
        sa.func.max(table.counter_packets),
        sa.func.max(table.counter_bytes),
    )
    group = [table[name] for name in (*_LIFE, *_KIND)]
    statement = sa.select(*group, *numbers).where(_chosen(INTERVALS, choice, "to_ms")).group_by(*group)
    return [_piece(tuple(row)) for row in connection.execute(statement)]


def summed(connection: sa.Connection, choice: Choice) -> list[Summed]:
    """Sums of whole hours whose intervals are no longer kept, those of each host, port and class as one."""
    table = HOURS.c
    names = ("host", "port_uid", "port_name", "network_name", "class", "class_name", "datapath")
    group = [table[name] for name in names]
    numbers = (
        sa.func.min(table.hour_ms),
        sa.func.max(table.hour_ms),
        sa.func.count(),
        *(sa.func.sum(table[name]) for name in ("packets", "bytes", "intervals")),
    )
    statement = (
        sa.select(*group, *numbers)
        .where(_chosen(HOURS, choice, "hour_ms"), table.sealed == 1)
        .group_by(*group)
        .order_by(*group)
    )
    return [_summed(tuple(row)) for row in connection.execute(statement)]


def carried(connection: sa.Connection, choice: Choice) -> Amount:
    """Of the intervals that began before the time."""
    table = INTERVALS.c
    sums = (sa.func.sum(table.packets), sa.func.sum(table.bytes), sa.func.count())
    here = (_chosen(INTERVALS, choice, "to_ms"), table.from_ms < choice.from_ms)
    found = connection.execute(sa.select(*sums).where(*here)).one()
    return Amount(*(int(number or 0) for number in found))


def page(connection: sa.Connection, choice: Choice, after: Place | None, most: int) -> list[Row]:
    """Single intervals in order of their ends, those behind `after`."""
    place = [INTERVALS.c[name] for name in _PLACE]
    statement = (
        sa.select(*(INTERVALS.c[name] for name in SHOWN))
        .where(_chosen(INTERVALS, choice, "to_ms"))
        .order_by(*place)
        .limit(most)
    )
    if after is not None:
        # The first column once more by itself: an index finds that.
        behind = sa.and_(INTERVALS.c.to_ms >= after[0], sa.tuple_(*place) > sa.tuple_(*after))
        statement = statement.where(behind)
    return [dict(row) for row in connection.execute(statement).mappings()]


def place_of(row: Row) -> Place:
    """Where an interval stands in the order of pages."""
    return (
        row["to_ms"], row["host"], row["boot_id"], row["vswitchd_start"],
        row["sequence"], row["port"], row["class"], row["epoch"],
    )  # fmt: skip


def stale(connection: sa.Connection, choice: Choice) -> int:
    """Hours of hosts in this time whose sums lack something, so that a report reads their intervals."""
    here = (
        UNITS.c.state == UnitState.STALE,
        UNITS.c.hour_ms > choice.from_ms - HOUR,
        UNITS.c.hour_ms < choice.to_ms,
    )
    return int(connection.execute(sa.select(sa.func.count()).where(*here)).scalar_one())


def dropped(connection: sa.Connection, hosts: Sequence[str]) -> int:
    """How many intervals of these hosts, of whatever time, are known by their numbers only."""
    size = sa.func.sum(DROPPED.c.last_sequence - DROPPED.c.first_sequence + 1)
    return int(connection.execute(sa.select(size).where(DROPPED.c.host.in_(hosts))).scalar() or 0)


def conflicts(connection: sa.Connection, choice: Choice) -> list[Conflict]:
    """Refused intervals that would have been in the figure, by key."""
    statement = sa.select(CONFLICTS).order_by(CONFLICTS.c.key, CONFLICTS.c.digest).limit(CONFLICTS_READ)
    found = []
    for row in connection.execute(statement).mappings():
        content = json.loads(row["content"])
        if content["kind"] == "interval" and _fits(content, choice):
            found.append(Conflict(row["key"], int(row["times"]), content, _held(connection, content)))
    return found


def behind(connection: sa.Connection, choice: Choice) -> list[tuple[str, int]]:
    """(host, its newest interval's end) of those from which bytes of this figure may still come, by name."""
    states = UNITS.c.state.in_([int(state) for state in UnitState])
    recent = sa.select(UNITS.c.host).where(states, UNITS.c.hour_ms >= hour_of(choice.from_ms - DAY))
    hosts = recent.distinct().subquery()
    of_host = (INTERVALS.c.host == hosts.c.host, INTERVALS.c.to_ms >= choice.from_ms - DAY, BY_SWITCH)
    newest = sa.select(sa.func.max(INTERVALS.c.to_ms)).where(*of_host).scalar_subquery()
    statement = sa.select(hosts.c.host, newest).order_by(hosts.c.host)
    late = [(host, at) for host, at in connection.execute(statement) if at is not None and at < choice.to_ms]
    chosen = dict(choice.equals).get("host")
    return [
        (host, at)
        for host, at in late
        if chosen in (None, host)
        and (choice.tenants is None or carries(connection, host, at, choice.tenants))
    ]


def _chosen(table: sa.Table, choice: Choice, time: str) -> sa.ColumnElement[bool]:
    columns = table.c
    whose = sa.true() if choice.tenants is None else columns.tenant_uid.in_(choice.tenants)
    return sa.and_(
        whose,
        columns[time] >= choice.from_ms,
        columns[time] < choice.to_ms,
        columns["class"].bitwise_and(choice.inbound_bit) == choice.inbound,
        *(columns[name] == value for name, value in choice.equals),
    )


def _fits(content: Row, choice: Choice) -> bool:
    flat = {**content, **content["owner"]}
    return (
        (choice.tenants is None or flat["tenant_uid"] in choice.tenants)
        and choice.from_ms <= flat["to_ms"] < choice.to_ms
        and flat["class"] & choice.inbound_bit == choice.inbound
        and all(flat[name] == value for name, value in choice.equals)
    )


def _held(connection: sa.Connection, content: Row) -> int | None:
    """The bytes that are kept under the same key; None if they are in a sum only."""
    keys = [column.name for column in INTERVALS.primary_key.columns]
    same = (INTERVALS.c[name] == content[name] for name in keys)
    found = connection.execute(sa.select(INTERVALS.c.bytes).where(*same)).scalar()
    return None if found is None else int(found)


def _summed(row: tuple[Any, ...]) -> Summed:
    host, port_uid, port, network, number, name, datapath = row[:7]
    first, last, hours, packets, size, count = map(int, row[7:])
    amount = Amount(packets, size, count)
    return Summed(host, port_uid, port, network, number, name, datapath, first, last, hours, amount)


def _piece(row: tuple[Any, ...]) -> Piece:
    host, boot_id, started, port, number, epoch, uid, name, network, class_name, datapath, header = row[:12]
    numbers = [int(each) for each in row[12:]]
    from_ms, to_ms, first, last, packets, size, count, *counters = numbers
    return Piece(
        life=Life(host, boot_id, started, port, number, epoch),
        port_uid=uid,
        port_name=name,
        network_name=network,
        class_name=class_name,
        datapath=datapath,
        header_bytes=header,
        from_ms=from_ms,
        to_ms=to_ms,
        first_sequence=first,
        last_sequence=last,
        amount=Amount(packets, size, count),
        begins=(counters[0], counters[1]),
        ends=(counters[2], counters[3]),
    )

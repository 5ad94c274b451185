"""Explained: a figure of a report and its parts, all from one state of the ledger.

Place: behind the API's explanations; `accounting.explain` puts the parts together. Must not write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from accounting.classes import INBOUND, Direction
from accounting.explain import (
    Amount,
    Balance,
    Correction,
    Flow,
    HostPart,
    Summed,
    corrections,
    flows,
    hosts,
    total,
)
from accounting.ledger import Ledger, parts
from accounting.ledger.parts import Choice, Conflict
from accounting.ledger.sources import Window, observe
from accounting.ledger.spans import Spans
from accounting.report.answer import tenant_uids
from accounting.report.gaps import gap_lines
from accounting.report.query import GapLine, Grouping, Query, Row
from accounting.report.sums import order, sums
from accounting.report.times import days_of
from model.errors import Conflict as Refused
from model.errors import Fault, Invalid, NotFound

MOST_INTERVALS: Final = 2_000_000
"""Behind a figure that is explained: each is read."""
_COLUMNS: Final = {
    Grouping.NETWORK: "network_uid",
    Grouping.PORT: "port_uid",
    Grouping.HOST: "host",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of a report: its tenant (None = all), time, direction; `only`: (grouping, key or name)."""

    tenant: str | None
    from_ms: int
    to_ms: int
    direction: Direction
    only: tuple[tuple[Grouping, str], ...]

    @property
    def query(self) -> Query:
        """The report that it stands in."""
        by = tuple(grouping for grouping, _ in self.only) or (Grouping.TENANT,)
        return Query(self.tenant, self.from_ms, self.to_ms, by, self.direction)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`row`: of the report; None if all of its rows are meant. `known`: False: no such tenant.

    `straddling`: of the intervals that began before the time. `behind`: (host, its newest interval's end) of
    hosts from which more may come. `stale`: hours of hosts that are not summed up yet. `dropped`: intervals
    of these hosts that are known by their numbers only, so that they are not billed once more.
    """

    figure: Figure
    known: bool
    row: Row | None
    balance: Balance
    straddling: Amount
    flows: tuple[Flow, ...]
    summed: tuple[Summed, ...]
    corrections: tuple[Correction, ...]
    hosts: tuple[HostPart, ...]
    gaps: tuple[GapLine, ...]
    conflicts: tuple[Conflict, ...]
    behind: tuple[tuple[str, int], ...]
    stale: int
    dropped: int
    spans: Spans


@dataclass(frozen=True, slots=True)
class Page:
    """Single intervals of a figure, as they are kept. `after`: the last of them; None: no page follows."""

    intervals: tuple[parts.Row, ...]
    after: parts.Place | None


def explain(ledger: Ledger, figure: Figure) -> Explanation:
    """The figure and its parts. NotFound, Conflict: not one row fits. Invalid: too many intervals."""
    with ledger.reading() as connection:
        uids = tenant_uids(connection, figure.tenant)
        row, whole = _read(connection, figure, uids)
        if whole.intervals > MOST_INTERVALS:
            raise _too_many(whole.intervals)
        choice = _choice(figure, uids, row)
        pieces, summed = parts.pieces(connection, choice), parts.summed(connection, choice)
        made = flows(pieces)
        told = hosts(made, summed)
        window = Window(figure.from_ms, figure.to_ms, uids)
        return Explanation(
            figure=figure,
            known=uids is None or bool(uids),
            row=row,
            balance=Balance(
                whole, total(piece.amount for piece in pieces), total(each.amount for each in summed)
            ),
            straddling=parts.carried(connection, choice),
            flows=made,
            summed=tuple(summed),
            corrections=corrections(pieces),
            hosts=told,
            gaps=tuple(gap for gap in gap_lines(connection, figure.query, uids) if _touches(gap, choice)),
            conflicts=tuple(parts.conflicts(connection, choice)),
            behind=tuple(parts.behind(connection, choice)),
            stale=parts.stale(connection, choice),
            dropped=parts.dropped(connection, [each.host for each in told]),
            spans=observe(connection, window),
        )


def chosen(ledger: Ledger, figure: Figure) -> Choice:
    """What intervals a figure is of. NotFound, Conflict: not one row fits."""
    with ledger.reading() as connection:
        uids = tenant_uids(connection, figure.tenant)
        row, _ = _read(connection, figure, uids)
        return _choice(figure, uids, row)


def page(ledger: Ledger, choice: Choice, after: parts.Place | None, most: int) -> Page:
    """The next `most` intervals in order of their ends."""
    with ledger.reading() as connection:
        found = parts.page(connection, choice, after, most)
    return Page(tuple(found), parts.place_of(found[-1]) if len(found) == most else None)


def _read(connection: sa.Connection, figure: Figure, uids: Sequence[str] | None) -> tuple[Row | None, Amount]:
    """The row as a report has it."""
    query = figure.query
    rows, _ = sums(connection, query, days_of(query.zone, query.from_ms, query.to_ms), uids)
    if figure.only:
        row = _one(figure, rows)
        return row, Amount(row.packets, row.bytes, row.intervals)
    return None, total(Amount(row.packets, row.bytes, row.intervals) for row in rows)


def _one(figure: Figure, rows: Sequence[Row]) -> Row:
    """The one row that is meant."""
    rows = sorted(rows, key=lambda row: order(row, figure.query))
    fitting = [
        row
        for row in rows
        if all(
            wanted in (key, name)
            for (_, wanted), key, name in zip(figure.only, row.keys, row.names, strict=True)
        )
    ]
    if len(fitting) == 1:
        return fitting[0]
    words = ", ".join(f"{grouping.value} {value!a}" for grouping, value in figure.only)
    if not fitting:
        some = ", ".join(row.name for row in rows[:5]) or "no row at all"
        message = f"the report of this time has no row of {words}; it has {some}"
        raise NotFound(Fault("figure", "no-such-figure", message, "See: ringfence egress report"))
    found = ", ".join(f"{row.key} ({row.name})" for row in fitting[:10])
    message = f"{len(fitting)} rows are called {words}: {found}"
    raise Refused(Fault("figure", "figure-not-one", message, "Name it by its uid, or a class by its number."))


def _choice(figure: Figure, uids: Sequence[str] | None, row: Row | None) -> Choice:
    """The intervals that a row is of."""
    inbound = INBOUND if figure.direction is Direction.IN else 0
    equals: list[tuple[str, str | int]] = []
    if row is not None:
        for (grouping, _), key, name in zip(figure.only, row.keys, row.names, strict=True):
            if grouping is Grouping.CLASS:
                equals += [("class", int(key) | inbound), ("class_name", name)]
            else:
                equals.append((_COLUMNS[grouping], key))
    return Choice(uids, figure.from_ms, figure.to_ms, tuple(equals), INBOUND, inbound)


def _touches(gap: GapLine, choice: Choice) -> bool:
    """A gap's class is not known: it touches all of them."""
    here = {"host": gap.host, "port_uid": gap.port_uid, "network_uid": gap.network_uid}
    return all(here.get(name, value) == value for name, value in choice.equals)


def _too_many(count: int) -> Invalid:
    return Invalid(
        Fault(
            "figure",
            "too-many-intervals",
            f"{count:,} intervals are behind it, and {MOST_INTERVALS:,} are read at most",
            "Explain it in parts: of one host or port (ringfence egress report --by host), or day by day.",
            "to",
        )
    )

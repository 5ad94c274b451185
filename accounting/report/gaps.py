"""Gaps of a report: which there are, and at which rows they stand.

Place: behind `accounting.report.answer`. A gap is shown in every report that it touches, and there at every
row that it touches. Its class can't be known, so it touches every class. Its bound says what the port may
have sent: how much it may have got from outside is not known. Must not guess a share of a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import sqlalchemy as sa

from accounting.classes import Direction
from accounting.ledger import GAPS
from accounting.ledger.tables import DAY, HOUR, hour_of
from accounting.records import Cause
from accounting.report.query import UNATTRIBUTED, GapLine, Grouping, Query, Row
from accounting.report.sums import MOST_ROWS, too_large
from accounting.report.times import Days, day_text, hour_name, hour_text

Named = tuple[str, str]
"""(key, name)."""


def gap_lines(connection: sa.Connection, query: Query, uids: Sequence[str] | None) -> tuple[GapLine, ...]:
    """All gaps that touch the asked time, in order.

    What a port got does not enter by its interface: none of it is lost when that is pulled out.
    """
    table = GAPS.c
    columns = [table[name] for name in GapLine.__dataclass_fields__]
    whose = sa.true() if uids is None else table.tenant_uid.in_(uids)
    received = query.direction is Direction.IN
    causes = table.cause != Cause.PORT_REMOVED.value if received else sa.true()
    statement = (
        sa.select(*columns)
        .where(whose, causes, table.from_ms < query.to_ms, table.to_ms >= query.from_ms)
        .order_by(table.from_ms, table.host, table.port, table.sequence)
    )
    found = tuple(GapLine(*row) for row in connection.execute(statement))
    return tuple(replace(line, bound=None) for line in found) if received else found


def bound_of(gaps: Iterable[GapLine]) -> int | None:
    """The sum of the bounds; None as soon as one is unknown."""
    bounds = [gap.bound for gap in gaps]
    known = [b for b in bounds if b is not None]
    return sum(known) if len(known) == len(bounds) else None


def with_gaps(rows: Sequence[Row], gaps: Sequence[GapLine], query: Query, days: Days) -> tuple[Row, ...]:
    """Each row with the gaps that touch it; rows of their own for gaps without intervals.

    Invalid: a gap touches more rows than a report may have.
    """
    apart = [place for place, by in enumerate(query.by) if by is not Grouping.CLASS]
    touched: dict[tuple[str, ...], list[GapLine]] = {}
    bare: dict[tuple[str, ...], Row] = {}
    for gap in gaps:
        for named in product(*(_named(gap, by, query, days) for by in query.by)):
            row = Row(tuple(key for key, _ in named), tuple(name for _, name in named), 0, 0, 0)
            place = tuple(row.keys[at] for at in apart)
            touched.setdefault(place, []).append(gap)
            bare[place] = row
            if len(bare) > MOST_ROWS:
                raise too_large()
    found = []
    for row in rows:
        place = tuple(row.keys[at] for at in apart)
        bare.pop(place, None)
        mine = touched.get(place, ())
        found.append(replace(row, gaps=len(mine), gap_bound=bound_of(mine)))
    found += [replace(r, gaps=len(touched[p]), gap_bound=bound_of(touched[p])) for p, r in bare.items()]
    return tuple(found)


def _named(gap: GapLine, by: Grouping, query: Query, days: Days) -> Iterator[Named]:
    """What a gap touches."""
    first, last = max(gap.from_ms, query.from_ms), min(gap.to_ms, query.to_ms - 1)
    match by:
        case Grouping.TENANT:
            yield gap.tenant_uid, gap.tenant_name if gap.tenant_uid else UNATTRIBUTED
        case Grouping.NETWORK:
            yield gap.network_uid, gap.network_name
        case Grouping.PORT:
            yield gap.port_uid, gap.port_name
        case Grouping.CLASS:
            yield "", ""
        case Grouping.HOST:
            yield gap.host, gap.host
        case Grouping.HOUR:
            hours = range(hour_of(first), last + 1, HOUR)
            if len(hours) > MOST_ROWS:
                raise too_large()
            yield from ((hour_text(at), hour_name(at, days)) for at in hours)
        case Grouping.DAY:
            dates = range(days.day(first), days.day(last) + 1, DAY)
            if len(dates) > MOST_ROWS:
                raise too_large()
            yield from ((day_text(at), day_text(at)) for at in dates)

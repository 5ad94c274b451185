"""Current: rates of the newest intervals, all from one state of the ledger.

Place: behind the API's live rates; `accounting.live` works out the rates. Must not write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from accounting.classes import INBOUND, Direction
from accounting.ledger import INTERVALS, Ledger
from accounting.ledger.newest import Columns, carries, heard, sums
from accounting.live import HostLine, Live, Standing, bounds, live
from accounting.report.answer import tenant_uids
from accounting.report.gaps import gap_lines
from accounting.report.query import GapLine, Grouping, Query

GAPS_SHOWN: Final = 20
GAPS_OF_MS: Final = 60_000
"""Gaps are shown of at least so much time."""
_NAMED: Final[Mapping[Grouping, tuple[str, str]]] = {
    Grouping.TENANT: ("tenant_uid", "tenant_name"),
    Grouping.NETWORK: ("network_uid", "network_name"),
    Grouping.PORT: ("port_uid", "port_name"),
    Grouping.CLASS: ("class", "class_name"),
    Grouping.HOST: ("host", "host"),
}


@dataclass(frozen=True, slots=True)
class Question:
    """`tenant`: name or uid, None = all. `over_ms`: of each host's last time; `most`: lines."""

    tenant: str | None
    by: tuple[Grouping, ...]
    direction: Direction
    over_ms: int
    most: int


@dataclass(frozen=True, slots=True)
class Current:
    """`known`: False if the ledger never heard of the tenant. `gaps`: of the last minute at least."""

    known: bool
    live: Live
    gaps: tuple[GapLine, ...]


def current(ledger: Ledger, question: Question, words: Mapping[str, int | None], now_ms: int) -> Current:
    """`words`: see `accounting.ledger.newest.heard`. Conflict if several tenants bore this name."""
    columns: Columns = [_NAMED[by] for by in question.by]
    with ledger.reading() as connection:
        uids = tenant_uids(connection, question.tenant)
        known = heard(connection, now_ms, words)
        begins = bounds(known, question.over_ms)
        spans = {host: (begin, begin + question.over_ms) for host, begin in begins.items()}
        found = sums(connection, spans, columns, _chosen(question, uids))
        rates = live(known, found, question.over_ms, now_ms, question.most)
        hosts = _concerned(connection, rates.hosts, {each.host for each in found}, uids)
        since = now_ms - max(question.over_ms, GAPS_OF_MS)
        query = Query(question.tenant, since, now_ms + 1, question.by)
        gaps = gap_lines(connection, query, uids)[:GAPS_SHOWN]
    return Current(uids is None or bool(uids), replace(rates, hosts=hosts), gaps)


def _chosen(question: Question, uids: Sequence[str] | None) -> sa.ColumnElement[bool]:
    inbound = INTERVALS.c["class"].bitwise_and(INBOUND) != 0
    way = inbound if question.direction is Direction.IN else ~inbound
    return way if uids is None else sa.and_(way, INTERVALS.c.tenant_uid.in_(uids))


def _concerned(
    connection: sa.Connection, hosts: Sequence[HostLine], senders: Set[str], uids: Sequence[str] | None
) -> tuple[HostLine, ...]:
    """Without the hosts that have nothing to do with these tenants, as far as that is known."""
    if uids is None:
        return tuple(hosts)
    return tuple(
        host
        for host in hosts
        if host.host in senders
        or (
            host.standing is Standing.SILENT
            and host.to_ms is not None
            and carries(connection, host.host, host.to_ms, uids)
        )
    )

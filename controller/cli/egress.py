"""`ringfence egress report`: bytes that a tenant's ports sent, by port, class, host or network.

Place: one GET /v1/usage/report. Must not add up or round what JSON and CSV show: only the table is for eyes.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import OK

if TYPE_CHECKING:
    from controller.cli.session import Session

GROUPINGS: Final = ("port", "class", "host", "network")
HEADER: Final = (
    "tenant", "from", "to", "by", "key", "name", "packets", "bytes", "intervals", "gaps", "gap_bound_bytes",
)  # fmt: skip
"""Columns of the CSV. They are never renamed or moved; new ones go to the right."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_RELATIVE: Final = re.compile(r"-?(\d{1,6})([smhdw])")
_SPANS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_GAPS_LISTED: Final = 10


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.description = (
        "What a tenant's ports sent: layer-3 bytes, exact to the byte. Times are UTC; --from is included, "
        "--to is not; an interval counts where it ends. What could not be known is shown as a gap."
    )
    parser.epilog = (
        "examples:\n  ringfence egress report --tenant blue\n"
        "  ringfence egress report --tenant blue --from -1h --by class\n"
        "  ringfence egress report --tenant blue --from 2026-11-01 --to 2026-12-01 -o csv\n\n"
        "times: 2026-11-01, 2026-11-01T12:30:00Z, -90s, -15m, -1h, -7d, -2w (before now), now, today"
    )
    # `-1h` is a value, not an option: argparse decides by this pattern, which knows numbers only.
    parser._negative_number_matcher = _RELATIVE
    # CSV is a form that only reports have.
    parser.conflict_handler = "resolve"
    parser.add_argument("action", metavar="report", choices=("report",), help="report: sums of the ledger")
    parser.add_argument("--tenant", required=True, metavar="T", help="the tenant's name or uid")
    parser.add_argument("--from", dest="start", default="today", metavar="TIME", help="default: today")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="default: now")
    parser.add_argument("--by", choices=GROUPINGS, default="port", help="one row per ... (default: port)")
    parser.add_argument(
        "-o", "--output", choices=("table", "json", "yaml", "csv"), default="table", help="form of the result"
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Ask and print."""
    now = datetime.now(UTC)
    start, end = parse_time(arguments.start, now), parse_time(arguments.end, now)
    if arguments.end == "now":
        # Half open: what ended in this very millisecond belongs to a report up to now.
        end += timedelta(milliseconds=1)
    if start >= end:
        raise Wrong(f"--from {arguments.start} ({_iso(start)}) is not before --to ({_iso(end)})")
    query = {"tenant": arguments.tenant, "from": _ms(start), "to": _ms(end), "by": arguments.by}
    found = session.api.get("/v1/usage/report", query)
    if not found["known"]:
        session.note(f"The ledger holds nothing of tenant {arguments.tenant!a}: see `ringfence get tenants`.")
    if arguments.output == "csv":
        _print_csv(found, session)
    else:
        session.show(found, _table(session))
    return OK


def parse_time(text: str, now: datetime) -> datetime:
    """ISO 8601 (UTC unless it says otherwise), `now`, `today`, or `-1h` and the like; Wrong for others."""
    if text == "now":
        return now
    if text == "today":
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative:
            return now - timedelta(**{_SPANS[relative[2]]: int(relative[1])})
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Wrong(f"{text!a} is no time: write 2026-11-01, 2026-11-01T12:30:00Z, -1h, -7d or now") from None
    whole = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    if whole.year < 1970:
        raise Wrong(f"{text!a} is before 1970: nothing was counted then")
    return whole


def human(size: int) -> str:
    """Decimal units with three digits: 999 B, 1.23 kB, 45.6 GB. For eyes only."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{size} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def _table(session: Session) -> Callable[[Any], None]:
    def show(found: Any) -> None:
        span = f"{_iso_ms(found['fromMs'])} to {_iso_ms(found['toMs'])}"
        rows = [_cells(row) for row in found["rows"]]
        total = ["total", f"{found['packets']:,}", f"{found['bytes']:,}", human(found["bytes"])]
        rows.append([*total, _gap_text(found["gapCount"], found["gapBound"])])
        heads = [found["by"], "packets", "bytes", "about", "gaps"]
        session.table(f"Egress of tenant {found['tenant']}, {span} (UTC)", heads, _align(heads, rows))
        _explain(found, session)

    return show


def _align(heads: list[str], rows: list[list[str]]) -> list[list[str]]:
    """Numbers end at the same column."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in (1, 2, 3)]
    return [
        [row[0], *(cell.rjust(width) for cell, width in zip(row[1:4], widths, strict=True)), row[4]]
        for row in rows
    ]


def _cells(row: Any) -> list[str]:
    size = row["bytes"]
    gaps = _gap_text(row["gaps"], row["gapBound"])
    return [row["name"] or row["key"] or "(unknown)", f"{row['packets']:,}", f"{size:,}", human(size), gaps]


def _gap_text(count: int, bound: int | None) -> str:
    if not count:
        return "-"
    return f"{count}: " + ("of unknown size" if bound is None else f"at most {bound:,} B more")


def _explain(found: Any, session: Session) -> None:
    """What the sums leave open, in words."""
    if found["straddlingBytes"]:
        session.note(
            f"{found['straddlingBytes']:,} bytes are of intervals that began before --from and ended after it"
        )
    for gap in found["gaps"][:_GAPS_LISTED]:
        bound = "unknown" if gap["bound"] is None else f"at most {gap['bound']:,} bytes"
        session.note(
            f"gap: port {gap['portName']} on {gap['host']}, {_iso_ms(gap['fromMs'])} to "
            f"{_iso_ms(gap['toMs'])}: {gap['cause']}, {bound}"
        )
    if found["gapCount"] > _GAPS_LISTED:
        session.note(f"and {found['gapCount'] - _GAPS_LISTED} gaps more: see -o json")


def _print_csv(found: Any, session: Session) -> None:
    """One line a row, no total. An unknown bound is empty."""
    out = csv.writer(session.out, lineterminator="\n")
    out.writerow(HEADER)
    span = (_iso_ms(found["fromMs"]), _iso_ms(found["toMs"]))
    for row in found["rows"]:
        bound = "" if row["gapBound"] is None else row["gapBound"]
        out.writerow(
            [found["tenant"], *span, found["by"], row["key"], row["name"],
             row["packets"], row["bytes"], row["intervals"], row["gaps"], bound]
        )  # fmt: skip


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _iso_ms(milliseconds: int) -> str:
    return _iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds))


def _iso(moment: datetime) -> str:
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")

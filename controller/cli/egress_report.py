"""`ringfence egress report`: bytes that tenants' ports sent or got, by any combination of groupings.

Place: one GET /v1/usage/report. Must not add up or round what machines read: only the table is for eyes.
"""

from __future__ import annotations

import argparse
import io
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from accounting.sizes import human
from controller.cli.client import Wrong
from controller.cli.commands import OK
from controller.cli.egress_file import kept
from controller.cli.egress_rows import write_csv
from controller.cli.egress_times import iso, iso_ms, milliseconds_of, parse_time, zone_of
from controller.cli.session import Session

FORMS: Final = ("table", "json", "yaml", "csv", "parquet")
GROUPINGS: Final = ("tenant", "network", "port", "class", "host", "hour", "day")
DIRECTIONS: Final = ("out", "in")
_GAPS_LISTED: Final = 10


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "What tenants' ports sent (or got, --direction in): layer-3 bytes, exact to the byte. Times are UTC "
        "unless --zone or an offset says otherwise; --from is included, --to is not; an interval counts "
        "where it ends. What could not be known is shown as a gap, at every row that it touches."
    )
    parser.epilog = (
        "examples:\n  ringfence egress report                                  every tenant, today\n"
        "  ringfence egress report --tenant blue --from -1h --by class\n"
        "  ringfence egress report --tenant blue --from -7d --by day,class\n"
        "  ringfence egress report --tenant blue --from 2026-11-01 --to 2026-12-01 -o csv\n"
        "  ringfence egress report --from 2026-11-01 --to 2026-12-01 --zone Europe/Berlin \\\n"
        "      --by tenant,class,day -o parquet --file november.parquet\n\n"
        "times: 2026-11-01, 2026-11-01T12:30:00Z, -90s, -15m, -1h, -7d, -2w (before now), now, today"
    )
    parser.add_argument("--tenant", metavar="T", help="the tenant's name or uid (default: all tenants)")
    parser.add_argument("--from", dest="start", default="today", metavar="TIME", help="default: today")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="default: now")
    parser.add_argument(
        "--by",
        type=_groupings,
        metavar="BY",
        help=f"one row per ...: {', '.join(GROUPINGS)}, or several with commas (default: port; without "
        "--tenant: tenant)",
    )
    parser.add_argument(
        "--zone",
        default="UTC",
        metavar="ZONE",
        help="whose days (Europe/Berlin), also of times without an offset; hours stay those of UTC "
        "(default: UTC)",
    )
    parser.add_argument(
        "--file",
        metavar="PATH",
        help="write the result there, whole or not at all",
    )
    parser.add_argument(
        "--direction",
        choices=DIRECTIONS,
        default="out",
        help="what ports sent, or what they got from outside",
    )


def _groupings(text: str) -> str:
    words = text.split(",")
    wrong = [word for word in words if word not in GROUPINGS]
    if wrong:
        known = ", ".join(GROUPINGS)
        raise argparse.ArgumentTypeError(f"there are no rows by {wrong[0]!a}: choose from {known}")
    if len(set(words)) < len(words):
        raise argparse.ArgumentTypeError(f"{text!a} names one twice")
    return text


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Ask and print."""
    found = session.api.get("/v1/usage/report", _query(arguments, datetime.now(UTC)))
    if not found["known"] and arguments.tenant:
        session.note(f"The ledger holds nothing of tenant {arguments.tenant!a}: see `ringfence get tenants`.")
    if arguments.output == "parquet":
        _write_parquet(found, arguments.file, session)
    elif arguments.file:
        with kept(arguments.file) as raw:
            out = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
            _print(found, Session(session.api, session.form, out, session.err))
            out.detach()  # writes what is left, and leaves the file open
    else:
        _print(found, session)
    return OK


def _query(arguments: argparse.Namespace, now: datetime) -> dict[str, Any]:
    zone = zone_of(arguments.zone)
    start, end = parse_time(arguments.start, now, zone), parse_time(arguments.end, now, zone)
    if arguments.end == "now":
        # Half open: what ended in this very millisecond belongs to a report up to now.
        end += timedelta(milliseconds=1)
    if start >= end:
        raise Wrong(f"--from {arguments.start} ({iso(start)}) is not before --to ({iso(end)})")
    query = {
        "from": milliseconds_of(start),
        "to": milliseconds_of(end),
        "by": arguments.by or ("port" if arguments.tenant else "tenant"),
        "direction": arguments.direction,
        "zone": arguments.zone,
    }
    return query | ({"tenant": arguments.tenant} if arguments.tenant else {})


def _print(found: Any, session: Session) -> None:
    if session.form == "csv":
        write_csv(found, session.out)
    else:
        session.show(found, lambda value: _table(value, session))


def _write_parquet(found: Any, path: str | None, session: Session) -> None:
    try:
        from controller.cli.egress_parquet import write_parquet
    except ModuleNotFoundError as error:
        raise Wrong(f"-o parquet needs {error.name}: install ringfence[parquet]") from error
    if path:
        with kept(path) as out:
            write_parquet(found, out)
    elif session.out.isatty():
        raise Wrong("Parquet is not for a terminal: write --file report.parquet, or > report.parquet")
    else:
        write_parquet(found, session.out.buffer)


def _table(found: Any, session: Session) -> None:
    span = f"{iso_ms(found['fromMs'])} to {iso_ms(found['toMs'])} (UTC)"
    by = found["by"].split(",")
    counted = any(row["residual"] is not None for row in found["rows"])
    heads = [*by, "packets", "bytes", "about", "residual", "gaps"]
    rows = [_cells(_labels(row), row, row["gaps"]) for row in found["rows"]]
    rows.append(_cells(["total", *[""] * (len(by) - 1)], found, found["gapCount"]))
    if not counted:
        for cells in (heads, *rows):
            del cells[-2]
    what = "Egress" if found["direction"] == "out" else "Ingress"
    whose = "all tenants" if found["tenant"] is None else f"tenant {found['tenant']}"
    days = f", days of {found['zone']}" if found["zone"] != "UTC" else ""
    session.table(f"{what} of {whose}, {span}{days}", heads, _align(heads, rows, len(by)))
    _explain(found, session)


def _align(heads: list[str], rows: list[list[str]], first: int) -> list[list[str]]:
    """Numbers end at the same column: those from `first` on, but for the last, which is words."""
    numbers = range(first, len(heads) - 1)
    widths = {column: max(len(row[column]) for row in (heads, *rows)) for column in numbers}
    return [[cell.rjust(widths.get(column, 0)) for column, cell in enumerate(row)] for row in rows]


def _labels(row: Any) -> list[str]:
    return [name or key or "(unknown)" for name, key in zip(row["names"], row["keys"], strict=True)]


def _cells(labels: list[str], numbers: Any, gaps: int) -> list[str]:
    size, residual = numbers["bytes"], numbers["residual"]
    about = [human(size), "?" if residual is None else f"{residual:,}"]
    return [*labels, f"{numbers['packets']:,}", f"{size:,}", *about, _gap_text(gaps, numbers)]


def _gap_text(gaps: int, numbers: Any) -> str:
    if not gaps:
        return "-"
    bound = numbers["gapBound"]
    return f"{gaps}: " + ("of unknown size" if bound is None else f"at most {bound:,} B more")


def _explain(found: Any, session: Session) -> None:
    """What the sums leave open, in words."""
    if found["straddlingBytes"]:
        session.note(
            f"{found['straddlingBytes']:,} bytes are of intervals that began before --from and ended after it"
        )
    for gap in found["gaps"][:_GAPS_LISTED]:
        bound = "unknown" if gap["bound"] is None else f"at most {gap['bound']:,} bytes"
        session.note(
            f"gap: port {gap['portName']} on {gap['host']}, {iso_ms(gap['fromMs'])} to "
            f"{iso_ms(gap['toMs'])}: {gap['cause']}, {bound}"
        )
    if found["gapCount"] > _GAPS_LISTED:
        session.note(f"and {found['gapCount'] - _GAPS_LISTED} gaps more: see -o json")

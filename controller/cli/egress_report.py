"""`ringfence egress report`: bytes that tenants' ports sent or got, by any combination of groupings.

Place: one GET /v1/usage/report. Must not add up or round what JSON and CSV show: only the table is for eyes.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import OK
from controller.cli.egress_times import human, iso, iso_ms, milliseconds_of, parse_time

if TYPE_CHECKING:
    from controller.cli.session import Session

FORMS: Final = ("table", "json", "yaml", "csv")
GROUPINGS: Final = ("tenant", "network", "port", "class", "host", "hour", "day")
DIRECTIONS: Final = ("out", "in")
HEADER: Final = (
    "tenant", "from", "to", "by", "key", "name", "packets", "bytes", "intervals", "gaps", "gap_bound_bytes",
    "direction", "residual_bytes",
)  # fmt: skip
"""Columns of the CSV. They are never renamed or moved; new ones go to the right."""
_GAPS_LISTED: Final = 10


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "What tenants' ports sent (or got, --direction in): layer-3 bytes, exact to the byte. Times are UTC; "
        "--from is included, --to is not; an interval counts where it ends. What could not be known is shown "
        "as a gap, at every row that it touches."
    )
    parser.epilog = (
        "examples:\n  ringfence egress report                                  every tenant, today\n"
        "  ringfence egress report --tenant blue --from -1h --by class\n"
        "  ringfence egress report --tenant blue --from -7d --by day,class\n"
        "  ringfence egress report --tenant blue --from 2026-11-01 --to 2026-12-01 -o csv\n\n"
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
    now = datetime.now(UTC)
    start, end = parse_time(arguments.start, now), parse_time(arguments.end, now)
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
    }
    if arguments.tenant:
        query["tenant"] = arguments.tenant
    found = session.api.get("/v1/usage/report", query)
    if not found["known"] and arguments.tenant:
        session.note(f"The ledger holds nothing of tenant {arguments.tenant!a}: see `ringfence get tenants`.")
    if arguments.output == "csv":
        _print_csv(found, session)
    else:
        session.show(found, _table(session))
    return OK


def _table(session: Session) -> Callable[[Any], None]:
    def show(found: Any) -> None:
        span = f"{iso_ms(found['fromMs'])} to {iso_ms(found['toMs'])}"
        rows = [_cells(row) for row in found["rows"]]
        total = ["total", f"{found['packets']:,}", f"{found['bytes']:,}", human(found["bytes"])]
        rows.append([*total, _gap_text(found["gapCount"], found["gapBound"])])
        heads = [found["by"].replace(",", "/"), "packets", "bytes", "about", "gaps"]
        what = "Egress" if found["direction"] == "out" else "Ingress"
        whose = "all tenants" if found["tenant"] is None else f"tenant {found['tenant']}"
        session.table(f"{what} of {whose}, {span} (UTC)", heads, _align(heads, rows))
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
    return [_label(row), f"{row['packets']:,}", f"{size:,}", human(size), gaps]


def _label(row: Any) -> str:
    pairs = zip(row["names"], row["keys"], strict=True)
    return "/".join(name or key or "(unknown)" for name, key in pairs)


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
            f"gap: port {gap['portName']} on {gap['host']}, {iso_ms(gap['fromMs'])} to "
            f"{iso_ms(gap['toMs'])}: {gap['cause']}, {bound}"
        )
    if found["gapCount"] > _GAPS_LISTED:
        session.note(f"and {found['gapCount'] - _GAPS_LISTED} gaps more: see -o json")


def _print_csv(found: Any, session: Session) -> None:
    """One line a row, no total. An unknown bound is empty."""
    out = csv.writer(session.out, lineterminator="\n")
    out.writerow(HEADER)
    span = (iso_ms(found["fromMs"]), iso_ms(found["toMs"]))
    for row in found["rows"]:
        out.writerow(
            [found["tenant"] or "", *span, found["by"], row["key"], row["name"],
             row["packets"], row["bytes"], row["intervals"], row["gaps"], _blank(row["gapBound"]),
             found["direction"], _blank(row["residual"])]
        )  # fmt: skip


def _blank(number: int | None) -> int | str:
    """What is not known is empty."""
    return "" if number is None else number

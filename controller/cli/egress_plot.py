"""`ringfence egress plot`: a picture of a tenant's egress over time, gaps shaded.

Place: two GET /v1/usage/report. Must not import matplotlib before there is something to draw: it takes half a
second. The same ledger gives the same bytes of a file, by the same version of matplotlib.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from accounting.sizes import human
from controller.cli.client import Wrong
from controller.cli.commands import OK
from controller.cli.egress_times import iso_ms, milliseconds_of, parse_time

if TYPE_CHECKING:
    from accounting.curves import Chart
    from controller.cli.session import Session

FORMS: Final = ("table", "json", "yaml")
_GROUPINGS: Final = ("class", "network", "port", "host")
_KINDS: Final = (".png", ".svg")
_CURVES: Final = 8
_LONGEST: Final = timedelta(days=1100)


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "A picture of what a tenant sent (or got, --direction in) over time: by hours up to four days, by "
        "days beyond. Times are UTC, sizes decimal. Where something could not be counted the picture is "
        "shaded. -o json prints what would be drawn."
    )
    parser.epilog = (
        "examples:\n  ringfence egress plot --tenant blue --from -3d --file blue.png\n"
        "  ringfence egress plot --tenant blue --from 2026-11-01 --to 2026-12-01 --file blue.svg\n"
        "  ringfence egress plot --tenant blue --from -7d --by port --file ports.png"
    )
    parser.add_argument("--tenant", required=True, metavar="T", help="the tenant's name or uid")
    parser.add_argument("--from", dest="start", default="-1d", metavar="TIME", help="default: -1d")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="default: now")
    parser.add_argument(
        "--by", choices=_GROUPINGS, default="class", help="one colour per ... (default: class)"
    )
    parser.add_argument("--direction", choices=("out", "in"), default="out", help="sent, or got from outside")
    parser.add_argument("--file", metavar="FILE", help="FILE.png or FILE.svg; written anew if it exists")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Ask, add up, draw."""
    now = datetime.now(UTC)
    start, end = parse_time(arguments.start, now), parse_time(arguments.end, now)
    if not timedelta(0) < end - start <= _LONGEST:
        raise Wrong(f"--from {arguments.start} is not before --to, or further than {_LONGEST.days} days")
    if session.form == "table" and not (arguments.file or "").endswith(_KINDS):
        raise Wrong("add --file with a name that ends in .png or .svg")
    found = _observe(session, arguments, milliseconds_of(start), milliseconds_of(end))
    if not found["known"]:
        session.note(f"The ledger holds nothing of tenant {arguments.tenant!a}: see `ringfence get tenants`.")
    if arguments.file:
        try:
            from controller.cli.picture import draw
        except ImportError:
            raise Wrong("pictures need the package matplotlib: install ringfence[plot]") from None
        try:
            draw(arguments.file, found["chart"], found["gaps"], _words(arguments, found))
        except OSError as error:
            raise Wrong(f"{arguments.file} can't be written: {error.strerror or error}") from None
    chart = found.pop("chart")
    session.show({**found, **asdict(chart)}, lambda _: session.line(_summary(arguments, chart)))
    return OK


def _observe(session: Session, arguments: argparse.Namespace, from_ms: int, to_ms: int) -> dict[str, Any]:
    """`chart`, `gaps` (spans, Unix milliseconds), `gapCount`, `gapBound`, `known`."""
    from accounting.curves import HOUR, Point, chart, step_of

    step = "hour" if step_of(from_ms, to_ms) == HOUR else "day"
    query = {"tenant": arguments.tenant, "from": from_ms, "to": to_ms, "direction": arguments.direction}
    answer = session.api.get("/v1/usage/report", {**query, "by": f"{arguments.by},{step}"})
    points = [
        Point(row["keys"][0], row["names"][0], _moment(row["keys"][1]), row["bytes"])
        for row in answer["rows"]
        if row["intervals"]
    ]
    spans = [(max(gap["fromMs"], from_ms), min(gap["toMs"], to_ms)) for gap in answer["gaps"]]
    if answer["gapCount"] > len(spans):
        # More than the answer lists: the steps that they touch are all told.
        rows = session.api.get("/v1/usage/report", {**query, "by": step})["rows"]
        length = step_of(from_ms, to_ms)
        spans = [(at, at + length) for row in rows if row["gaps"] for at in (_moment(row["keys"][0]),)]
    return {
        "known": answer["known"],
        "fromMs": from_ms,
        "toMs": to_ms,
        "gapCount": answer["gapCount"],
        "gapBound": answer["gapBound"],
        "gaps": spans,
        "chart": chart(points, from_ms, to_ms, _CURVES),
    }


def _moment(text: str) -> int:
    """Unix milliseconds of an hour or a day, as a report names it."""
    moment = datetime.fromisoformat(text)
    return milliseconds_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _words(arguments: argparse.Namespace, found: Any) -> tuple[str, str]:
    """Title, and the line below it."""
    what = "Egress" if arguments.direction == "out" else "Ingress"
    parts = [
        f"{iso_ms(found['fromMs'])} to {iso_ms(found['toMs'])}",
        f"{human(found['chart'].total)} in all",
    ]
    if found["gapCount"]:
        bound = "of unknown size" if found["gapBound"] is None else f"at most {human(found['gapBound'])}"
        parts.append(f"{found['gapCount']} gap{'s' if found['gapCount'] > 1 else ''}, {bound}")
    return f"{what} of tenant {arguments.tenant} by {arguments.by}", "   ·   ".join(parts)


def _summary(arguments: argparse.Namespace, chart: Chart) -> str:
    return f"{arguments.file}: {len(chart.curves)} curves, {chart.total:,} bytes"

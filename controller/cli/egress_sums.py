"""`ringfence egress sums`: how far hours and days are summed up, whether rightly, and making them anew.

Place: /v1/usage/sums. Reports need none of it. Must not judge: the API compares.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import OK, REFUSED
from controller.cli.egress_times import iso, iso_ms, milliseconds_of, parse_time

if TYPE_CHECKING:
    from controller.cli.session import Session

Value = dict[str, Any]
FORMS: Final = ("table", "json", "yaml")
_LONGEST: Final = 31 * 86_400_000
"""Milliseconds of one question; a longer time is asked in parts."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "Sums of hours and days, which reports read where they are current: how far they have come "
        "(standing), whether they are those of the intervals (check: exit code 1 if one differs), and making "
        "all of them anew in the background (rebuild). Reports are right meanwhile."
    )
    parser.epilog = (
        "examples:\n  ringfence egress sums\n  ringfence egress sums check --from -7d\n"
        "  ringfence egress sums rebuild --yes"
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("standing", "check", "rebuild"),
        default="standing",
        help="default: standing",
    )
    parser.add_argument("--from", dest="start", default="-1d", metavar="TIME", help="check: default -1d")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="check: default now")
    parser.add_argument("--yes", action="store_true", help="rebuild: it is meant")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if a check finds a difference."""
    if arguments.what == "check":
        return _check(arguments, session)
    if arguments.what == "rebuild":
        if not arguments.yes:
            raise Wrong(
                "rebuild reads every interval again, for minutes to hours: write --yes if it is meant"
            )
        session.show(
            session.api.post("/v1/usage/sums/rebuild", None, {}), lambda found: _rebuilt(found, session)
        )
        return OK
    session.show(session.api.get("/v1/usage/sums"), lambda found: _standing(found, session))
    return OK


def _standing(found: Value, session: Session) -> None:
    heads = ("hours of hosts", "count")
    rows = [
        ["summed up", f"{found['rolled']:,}"],
        ["to be summed up", f"{found['stale']:,}"],
        ["sums only, intervals no longer kept", f"{found['sealed']:,}"],
    ]
    session.table("", heads, rows)
    if found["oldestStaleMs"] is not None:
        session.note(f"the earliest hour that is to be summed up: {iso_ms(found['oldestStaleMs'])}")


def _check(arguments: argparse.Namespace, session: Session) -> int:
    now = datetime.now(UTC)
    start, end = parse_time(arguments.start, now), parse_time(arguments.end, now)
    if start >= end:
        raise Wrong(f"--from {arguments.start} ({iso(start)}) is not before --to ({iso(end)})")
    found: Value = {"hours": 0, "hoursThatDiffer": [], "daysThatDiffer": []}
    last = milliseconds_of(end)
    for at in range(milliseconds_of(start), last, _LONGEST):
        part = session.api.get("/v1/usage/sums/check", {"from": at, "to": min(at + _LONGEST, last)})
        found["hours"] += part["hours"]
        found["hoursThatDiffer"] += part["hoursThatDiffer"]
        found["daysThatDiffer"] += [
            day for day in part["daysThatDiffer"] if day not in found["daysThatDiffer"]
        ]
    session.show(found, lambda value: _checked(value, session))
    return REFUSED if found["hoursThatDiffer"] or found["daysThatDiffer"] else OK


def _checked(found: Value, session: Session) -> None:
    for name, what in (("hoursThatDiffer", "hour"), ("daysThatDiffer", "day")):
        for place in found[name]:
            session.line(
                f"{what} {iso_ms(place['beginMs'])} of {place['host']}: the sum is not that of its parts"
            )
    count = len(found["hoursThatDiffer"]) + len(found["daysThatDiffer"])
    verdict = (
        "all agree"
        if not count
        else f"{count} differ; to make them anew: ringfence egress sums rebuild --yes"
    )
    session.line(
        f"{found['hours']:,} hours of hosts compared with their intervals, and days with hours: {verdict}"
    )


def _rebuilt(found: Value, session: Session) -> None:
    session.line(f"{found['hours']:,} hours of hosts will be summed up anew; see: ringfence egress sums")

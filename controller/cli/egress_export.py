"""`ringfence egress export`: what tenants pay for, as FOCUS rows, plain or chained.

Place: asks GET /v1/usage/report for each day and GET /v1/usage/ledger once; `accounting.statement` makes rows
of it. Must not leave half a file behind, nor overwrite one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from accounting.sizes import human
from controller.cli.client import Refused, Wrong
from controller.cli.commands import OK
from controller.cli.egress_times import iso, milliseconds_of, parse_time
from model.errors import Fault, Invalid

if TYPE_CHECKING:
    from accounting.classes import Direction
    from accounting.focus import Blind, Period, Row, Usage
    from accounting.prices import PriceList
    from accounting.statement import Statement
    from controller.cli.session import Session

FORMS: Final = ("table", "csv", "json", "parquet")
_FORMATS: Final = ("focus", "chain")
_ROWS: Final = ("port", "network")


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked: `query` as it stands in a chain's header."""

    span: Period
    prices: PriceList
    digest: str
    query: dict[str, Any]
    corrects: list[str]
    now: datetime


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "What tenants pay for: one row per tenant, port (or network), class, direction and day (UTC), with "
        "the columns of FOCUS 1.2 and the prices of a file. Rows are exact; each invoice's total is rounded "
        "once, and the difference is a row. Gaps are rows that cost nothing. Without -o: totals only."
    )
    parser.epilog = (
        "examples:\n"
        "  ringfence egress export --prices prices.yaml --from 2026-11-01 --to 2026-12-01\n"
        "  ringfence egress export --prices prices.yaml --from 2026-11-01 --to 2026-12-01 -o parquet \\\n"
        "    --file 2026-11.parquet\n"
        "  ringfence egress export --prices prices.yaml --from 2026-11-01 --to 2026-12-01 --format chain \\\n"
        "    --after 2026-10.jsonl --file 2026-11.jsonl\n"
        "  ringfence egress export --prices prices.yaml --from 2026-11-01 --to 2026-12-01 --format chain \\\n"
        "    --corrects 2026-11.jsonl --billing-period 2026-12 --file 2026-11-late.jsonl\n\n"
        "See docs/billing.md for a month's close, step by step."
    )
    parser.add_argument(
        "--prices", required=True, metavar="FILE", help="price list (docs/prices.yaml is one)"
    )
    parser.add_argument("--from", dest="start", required=True, metavar="DAY", help="the first day, UTC")
    parser.add_argument("--to", dest="end", required=True, metavar="DAY", help="the day after the last one")
    parser.add_argument("--tenant", metavar="T", help="name or uid (default: all tenants)")
    parser.add_argument("--rows", choices=_ROWS, default="port", help="one row per ... (default: port)")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="focus",
        help="focus: a table for billing systems; chain: JSON lines of which none can be changed unseen",
    )
    parser.add_argument("--after", metavar="FILE", help="chain: go on from the last hash of this file")
    parser.add_argument(
        "--corrects",
        action="append",
        default=[],
        metavar="FILE",
        help="chained export of the same query: write only what differs from it (again for each correction)",
    )
    parser.add_argument("--billing-period", metavar="MONTH", help="with --corrects: invoice it in this month")
    parser.add_argument(
        "--file", metavar="FILE", help="write here (default: standard output); must not exist"
    )
    parser.add_argument(
        "--metadata", metavar="FILE", help="write FOCUS's metadata of the columns here, as JSON"
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Ask, price and write."""
    job, statement = _job(arguments)
    form = _form(arguments, session.form)
    rows = _rows(session, job, statement)
    ledger = session.api.get("/v1/usage/ledger")
    if form == "table":
        _preview(session, job, rows)
    else:
        with _file(arguments.file) as out:
            if form == "chain":
                session.note(f"last hash: {_write_chain(out, job, rows, ledger, arguments.after)}")
            else:
                _writer(form)(out, rows, _metadata(job))
    if arguments.metadata:
        _write_metadata(arguments.metadata, job)
    _remind(session, statement, ledger)
    return OK


def _job(arguments: argparse.Namespace) -> tuple[Job, Statement]:
    from accounting.focus import Period
    from accounting.statement import Statement
    from controller.cli.chain_files import earlier
    from controller.cli.prices_file import read_prices

    now = datetime.now(UTC)
    span = Period(_day(arguments.start, "--from", now), _day(arguments.end, "--to", now))
    if span.first >= span.end:
        raise Wrong(f"--from {arguments.start} is not before --to {arguments.end}")
    if datetime(span.end.year, span.end.month, span.end.day, tzinfo=UTC) > now:
        raise Wrong(f"--to {arguments.end}: these days are not over yet")
    if bool(arguments.corrects) != bool(arguments.billing_period):
        raise Wrong("--corrects and --billing-period go together")
    prices, digest = read_prices(arguments.prices)
    query = {
        "tenant": arguments.tenant,
        "from": span.first.isoformat(),
        "to": span.end.isoformat(),
        "rows": arguments.rows,
    }
    corrects, lasts = None, []
    if arguments.corrects:
        paid, lasts = earlier(arguments.corrects, query, prices.currency)
        corrects = (paid, _month(arguments.billing_period))
    return Job(span, prices, digest, query, lasts, now), Statement(prices, span, corrects)


def _day(text: str, option: str, now: datetime) -> date:
    moment = parse_time(text, now)
    if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
        raise Wrong(f"{option} {text}: rows are of whole days, so name a day (UTC) like 2026-11-01")
    return moment.date()


def _month(text: str) -> Period:
    from accounting.focus import month_of

    try:
        return month_of(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date())
    except ValueError:
        raise Wrong(f"--billing-period {text!a} is no month: write 2026-12") from None


def _form(arguments: argparse.Namespace, form: str) -> str:
    """What is written: chain, csv, json, parquet, or table (nothing)."""
    if arguments.format == "chain":
        if form not in ("table", "json"):
            raise Wrong(f"a chain is JSON lines, not {form}: leave -o out")
        return "chain"
    if arguments.after:
        raise Wrong("--after is for --format chain")
    if form == "table" and arguments.file:
        raise Wrong("--file needs a form: -o csv, json or parquet")
    if form == "parquet" and not arguments.file:
        raise Wrong("Parquet needs a file: add --file")
    return form


def _rows(session: Session, job: Job, statement: Statement) -> Iterator[Row]:
    """All rows, day by day; Refused where something has no price."""
    from accounting.focus import Usage

    try:
        for found in _counted(session, job):
            row = statement.usage(found) if isinstance(found, Usage) else statement.blind(found)
            if row is not None:
                yield row
        yield from statement.close()
    except Invalid as error:
        raise Refused(422, [asdict(fault) for fault in error.faults]) from None


def _counted(session: Session, job: Job) -> Iterator[Usage | Blind]:
    """What the ledger holds, each day in the directions that have prices; gaps once.

    A day is a question of its own: so names are as of that day, and no answer is larger than one day's.
    """
    from accounting.focus import Period, Usage

    directions = job.prices.directions()
    by = "tenant,network,port,class" if job.query["rows"] == "port" else "tenant,network,class"
    held = {d: _days(session, job, d) for d in directions}
    for day in sorted(set().union(*held.values())):
        for direction in directions:
            if day in held[direction]:
                for rows in _of(session, job, Period(day, day + timedelta(days=1)), by, direction):
                    found = _of_day(rows, day, direction)
                    yield from (one for one in found if direction is directions[0] or isinstance(one, Usage))


def _days(session: Session, job: Job, direction: Direction) -> set[date]:
    """Days on which there is anything."""
    answer = _ask(session, job, job.span, "day", direction)
    if not answer["known"] and job.query["tenant"]:
        message = f"the ledger holds nothing of tenant {job.query['tenant']!a}"
        fault = Fault("export", "export-tenant", message, "see `ringfence get tenants`", "--tenant")
        raise Refused(422, [asdict(fault)])
    return {date.fromisoformat(row["keys"][0]) for row in answer["rows"]}


def _of(session: Session, job: Job, day: Period, by: str, direction: Direction) -> Iterator[Any]:
    """The rows of a day, together or, where they are too many for one answer, tenant by tenant."""
    try:
        yield _ask(session, job, day, by, direction)["rows"]
        return
    except Refused as error:
        if job.query["tenant"] or not any(fault.get("rule") == "report-too-large" for fault in error.faults):
            raise
    for row in _ask(session, job, day, "tenant", direction)["rows"]:
        whose = replace(job, query={**job.query, "tenant": row["keys"][0] or "(unattributed)"})
        yield _ask(session, whose, day, by, direction)["rows"]


def _ask(session: Session, job: Job, span: Period, by: str, direction: Direction) -> Any:
    whose = {"tenant": job.query["tenant"]} if job.query["tenant"] else {}
    query = {"from": _ms(span.first), "to": _ms(span.end), "by": by, "direction": direction.value, **whose}
    return session.api.get("/v1/usage/report", query)


def _ms(day: date) -> int:
    return milliseconds_of(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _of_day(rows: Iterable[Any], day: date, direction: Direction) -> Iterator[Usage | Blind]:
    from accounting.focus import Account, Blind, Resource, Usage

    seen = set()
    for row in rows:
        tenant, *place, class_id = zip(row["keys"], row["names"], strict=True)
        (network, network_name), (port, port_name) = place if len(place) == 2 else (*place, ("", ""))
        account, resource = Account(*tenant), Resource(network, network_name, port, port_name)
        if row["intervals"]:
            yield Usage(account, resource, *class_id, direction, day, row["packets"], row["bytes"])
        whose = (account.uid, network, port)
        if row["gaps"] and whose not in seen:
            seen.add(whose)
            yield Blind(account, resource, day, row["gaps"], row["gapBound"])


def _write_chain(out: BinaryIO, job: Job, rows: Iterable[Row], ledger: Any, after: str | None) -> str:
    """The last hash."""
    from accounting.chain import NOTHING, Link, Writing
    from accounting.focus import SUMMED, VERSION
    from accounting.money import PRICE_SCALE, decimal
    from controller.cli.chain_files import last_of

    prices = job.prices
    writing = Writing(Link(0, last_of(after) if after else NOTHING))
    header = {
        "made": iso(job.now.replace(microsecond=0)),
        "focus": VERSION,
        "query": job.query,
        "corrects": job.corrects,
        "ledger": ledger,
        "prices": {
            "name": prices.name,
            "sha256": job.digest,
            "currency": prices.currency,
            "rounding": {"to": decimal(prices.step, PRICE_SCALE), "mode": prices.mode.value},
            "directions": [direction.value for direction in prices.directions()],
        },
    }
    out.write(writing.open(header, SUMMED))
    for row in rows:
        out.write(writing.row(row))
    out.write(writing.close({}))
    return writing.at.before


def _writer(form: str) -> Callable[[BinaryIO, Iterable[Row], dict[str, Any]], None]:
    if form == "parquet":
        try:
            from controller.cli.focus_parquet import write_parquet
        except ImportError:
            raise Wrong("Parquet needs the package pyarrow: install ringfence[parquet]") from None
        return write_parquet
    from controller.cli.focus_files import write_csv, write_json

    return write_csv if form == "csv" else write_json


def _metadata(job: Job) -> dict[str, Any]:
    from accounting.focus import metadata

    return metadata(job.now)


def _write_metadata(path: str, job: Job) -> None:
    import json

    with _file(path) as out:
        out.write(json.dumps(_metadata(job), indent=2).encode() + b"\n")


def _preview(session: Session, job: Job, rows: Iterable[Row]) -> None:
    """What each invoice would say."""
    totals: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        name = str(row["BillingAccountName"] or row["BillingAccountId"])
        total = totals.setdefault((name, str(row["InvoiceId"])), [0, 0, Decimal(0)])
        total[0] += 1
        total[1] += int(row["ConsumedQuantity"] or 0)
        total[2] = _sum(total[2], row["BilledCost"])
    lines = [
        [name, invoice, f"{count:,}", human(size), f"{cost:f}"]
        for (name, invoice), (count, size, cost) in sorted(totals.items())
    ]
    title = f"To be billed, {job.query['from']} to {job.query['to']} (UTC), by {job.prices.name}"
    session.table(title, ["tenant", "invoice", "rows", "about", job.prices.currency], lines)


def _sum(total: Decimal, more: Any) -> Decimal:
    from accounting.money import SCALE, decimal, units

    return decimal(units(total, SCALE) + units(more, SCALE), SCALE)


def _remind(session: Session, statement: Statement, ledger: Any) -> None:
    """What a month's close should know."""
    if statement.unattributed:
        session.note(
            f"{statement.unattributed:,} bytes are on no account: see "
            "`ringfence egress report --tenant '(unattributed)'`"
        )
    if ledger["conflicts"]:
        session.note(
            f"the ledger refused {ledger['conflicts']} records: see docs/accounting.md, From counter to bill"
        )


@contextmanager
def _file(path: str | None) -> Iterator[BinaryIO]:
    """Whole or not at all; on disk when it has its name. Standard output without a path."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = f"{path}.part"
    try:
        if os.path.lexists(path):
            raise Wrong(f"{path} exists: name another file, or take it away")
        with open(part, "xb") as out:
            try:
                yield out
                out.flush()
                os.fsync(out.fileno())
                os.link(part, path)
            finally:
                os.unlink(part)
    except OSError as error:
        raise Wrong(f"{path} can't be written: {error.strerror or error}") from None

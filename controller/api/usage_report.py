"""Usage report: people ask the egress ledger for sums.

Place: below /v1/usage. Must not add up: `accounting.report` does, and integers stay exact.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from accounting.ledger import Ledger
from accounting.report import Direction, Grouping, Report, report
from accounting.report import Query as Question
from model.errors import Fault, Invalid

LAST_MS: Final = 253_402_300_800_000
"""The year 10000: times have four digits for it."""
_KNOWN: Final = {each.value: each for each in Grouping}


def usage_report(ledger: Ledger) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1/usage", tags=["usage"])

    @routes.get("/report", response_model=None)
    def ask(
        from_ms: Annotated[int, Query(alias="from", ge=0, lt=LAST_MS)],
        to_ms: Annotated[int, Query(alias="to", ge=0, lt=LAST_MS)],
        tenant: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
        by: Annotated[str, Query(max_length=255)] = Grouping.PORT.value,
        direction: Direction = Direction.OUT,
        zone: Annotated[str, Query(min_length=1, max_length=64)] = "UTC",
    ) -> JSONResponse:
        """Egress of a tenant (name or uid; of all without), `from` <= time < `to` in Unix milliseconds.

        `by`: tenant, network, port, class, host, hour, day, or several with commas. `zone`: whose days.
        """
        if from_ms >= to_ms:
            fault = Fault("report", "time-order", "`from` is not before `to`", "Exchange them.", "from")
            raise Invalid(fault)
        question = Question(tenant, from_ms, to_ms, groupings(by), direction, zone)
        return JSONResponse(plain_report(report(ledger, question)))

    return routes


def groupings(text: str) -> tuple[Grouping, ...]:
    """`class,day`: Invalid for others than Grouping knows, and for one that stands twice."""
    words = text.split(",")
    for word in words:
        if word not in _KNOWN:
            remedy = f"Write some of {', '.join(_KNOWN)}, with commas between."
            raise Invalid(Fault("report", "unknown-grouping", f"there are no rows by {word!a}", remedy, "by"))
    if len(set(words)) < len(words):
        raise Invalid(Fault("report", "grouping-twice", f"{text!a} names one twice", "Name each once.", "by"))
    return tuple(_KNOWN[word] for word in words)


def plain_report(found: Report) -> dict[str, Any]:
    """The report as JSON: integers stay exact, times are Unix milliseconds."""
    query = found.query
    return {
        "tenant": query.tenant,
        "fromMs": query.from_ms,
        "toMs": query.to_ms,
        "by": ",".join(by.value for by in query.by),
        "direction": query.direction.value,
        "zone": query.zone,
        "known": found.known,
        "rows": [{"key": row.key, "name": row.name, **camel(asdict(row))} for row in found.rows],
        "packets": found.packets,
        "bytes": found.bytes,
        "straddlingBytes": found.straddling_bytes,
        "gapCount": found.gap_count,
        "gapBound": found.gap_bound,
        "residual": found.residual,
        "gaps": [camel(asdict(gap)) for gap in found.gaps],
    }


def camel(raw: dict[str, Any]) -> dict[str, Any]:
    """Keys as elsewhere in this API: `from_ms` -> `fromMs`."""
    words = ((key.split("_"), value) for key, value in raw.items())
    return {first + "".join(w.title() for w in rest): value for (first, *rest), value in words}

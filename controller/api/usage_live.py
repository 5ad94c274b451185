"""Usage live: who sends how much right now.

Place: below /v1/usage, for `ringfence egress top` and `watch`. Brings together what the ledger got last and
up to when each host says that this is all. Must not call a host that says nothing zero.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from accounting.ledger import Ledger
from accounting.live import HostLine, Line, Part, Rate, Standing
from accounting.report import Direction, Grouping
from accounting.report.current import Current, Question, current
from controller.api.service import Service
from controller.api.usage_report import camel, groupings
from model.errors import Fault, Invalid, Unavailable
from model.ids import HostName

_LOG: Final = logging.getLogger(__name__)
MOST_LINES: Final = 10_000
LONGEST: Final = 3_600
"""Seconds that a rate may be of."""
_TIMES: Final = (Grouping.HOUR, Grouping.DAY)

Words = Callable[[], Mapping[str, int | None] | None]
"""Up to when all that each declared host counted is in the ledger, None where it does not say. None: the
store does not answer."""


@dataclass(frozen=True, slots=True)
class HostWords:
    """What the hosts' reports say; None while the store does not answer: rates are shown all the same."""

    service: Service

    def __call__(self) -> Mapping[str, int | None] | None:
        try:
            declared = self.service.store.contents().hypervisors
            hosts = [HostName(name) for name, record in declared.items() if not record.value.external]
            heads = self.service.heads(hosts)
        except Unavailable as error:
            _LOG.warning("hosts' words not read: %s", error)
            return None
        return {host: (heads[host].counted_ms or None) if host in heads else None for host in hosts}


def usage_live(ledger: Ledger, words: Words, clock: Callable[[], int]) -> APIRouter:
    """All routes of this file. `clock`: Unix ms."""
    routes = APIRouter(prefix="/v1/usage", tags=["usage"])

    @routes.get("/live", response_model=None)
    def ask(
        tenant: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
        by: Annotated[str, Query(max_length=255)] = Grouping.TENANT.value,
        direction: Direction = Direction.OUT,
        over: Annotated[int, Query(ge=1, le=LONGEST)] = 10,
        limit: Annotated[int, Query(ge=1, le=MOST_LINES)] = 100,
    ) -> JSONResponse:
        """Rates of the last `over` seconds of each host, the fastest first.

        `by`: tenant, network, port, class, host, or several with commas between. A host that is silent is
        named with its age; `last` is what was known of it then, and no part of `now`.
        """
        grouped = groupings(by)
        for each in grouped:
            if each in _TIMES:
                message, remedy = f"there are none by {each.value}", "Ask a report for hours and days."
                raise Invalid(Fault("live rates", "unknown-grouping", message, remedy, "by"))
        said = words()
        question = Question(tenant, grouped, direction, over * 1_000, limit)
        found = current(ledger, question, said or {}, clock())
        return JSONResponse(_plain(found, question) | {"hostsAsked": said is not None})

    return routes


def _plain(found: Current, question: Question) -> dict[str, Any]:
    """As JSON: rates are rounded to thousandths, what they are made of is exact."""
    live = found.live
    return {
        "atMs": live.at_ms,
        "tenant": question.tenant,
        "known": found.known,
        "by": ",".join(each.value for each in question.by),
        "direction": question.direction.value,
        "overMs": question.over_ms,
        "lines": [_line(line) for line in live.lines],
        "omitted": live.omitted,
        "omittedNow": _rate(live.omitted_rate),
        "total": _rate(live.total),
        "last": _rate(live.last),
        "hosts": [_host(host) for host in live.hosts],
        "gaps": [camel(asdict(gap)) for gap in found.gaps],
    }


def _line(line: Line) -> dict[str, Any]:
    unknown = [part.host for part in line.parts if part.standing is not Standing.FRESH]
    return {
        "keys": line.keys,
        "names": line.names,
        "now": _rate(line.now) if line.age_ms is not None else None,
        "ageMs": line.age_ms,
        "unknownHosts": unknown,
        "last": _rate(line.last) if unknown else None,
        "parts": [_part(part) for part in line.parts],
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "host": part.host,
        "standing": part.standing.value,
        "packets": part.packets,
        "bytes": part.bytes,
        "fromMs": part.from_ms,
        "toMs": part.to_ms,
    }


def _host(host: HostLine) -> dict[str, Any]:
    return {
        "host": host.host,
        "standing": host.standing.value,
        "ageMs": host.age_ms,
        "fromMs": host.from_ms,
        "toMs": host.to_ms,
        "rate": _rate(host.rate) if host.to_ms is not None else None,
        "aheadMs": host.ahead_ms,
    }


def _rate(rate: Rate) -> dict[str, float]:
    return {
        "bitsPerSecond": round(8 * rate.bytes, 3),
        "bytesPerSecond": round(rate.bytes, 3),
        "packetsPerSecond": round(rate.packets, 3),
    }

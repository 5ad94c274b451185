"""Sums: how far the ledger has summed up what it holds, whether the sums are right, and making them anew.

Place: for operators, below /v1/usage. Reports need none of it: where sums lack something they read single
intervals. Must not change an interval.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from accounting.ledger import Ledger
from accounting.ledger.check import check, standing
from accounting.ledger.rollup import rebuild
from accounting.records import DAY
from model.errors import Fault, Invalid

LONGEST_MS: Final = 31 * DAY
"""Of one check: it reads every interval of its time."""
_LAST_MS: Final = 1 << 53


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class StandingBody(_Body):
    """Hours of hosts: to be summed up, summed up, kept as sums only. The earliest of the first, or null."""

    stale: int
    rolled: int
    sealed: int
    oldest_stale_ms: Annotated[int | None, Field(alias="oldestStaleMs")]


class PlaceBody(_Body):
    """A host's hour or day that differs."""

    host: str
    begin_ms: Annotated[int, Field(alias="beginMs")]


class CheckedBody(_Body):
    """`hours`: of hosts, that were compared with their intervals. What differs is empty if all is well."""

    hours: int
    hours_that_differ: Annotated[list[PlaceBody], Field(alias="hoursThatDiffer")]
    days_that_differ: Annotated[list[PlaceBody], Field(alias="daysThatDiffer")]


class RebuiltBody(_Body):
    """How many hours of hosts will be summed up anew, in the background."""

    hours: int


def sums(ledger: Ledger) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1/usage/sums", tags=["usage"])

    @routes.get("", response_model=StandingBody)
    def ask() -> StandingBody:
        """How far sums have come."""
        found = standing(ledger)
        return StandingBody(
            stale=found.stale,
            rolled=found.rolled,
            sealed=found.sealed,
            oldest_stale_ms=found.oldest_stale_ms,
        )

    @routes.get("/check", response_model=CheckedBody)
    def compare(
        from_ms: Annotated[int, Query(alias="from", ge=0, lt=_LAST_MS)],
        to_ms: Annotated[int, Query(alias="to", ge=0, lt=_LAST_MS)],
    ) -> CheckedBody:
        """Compare sums with the intervals that they are of, and days with hours; changes nothing."""
        if not 0 < to_ms - from_ms <= LONGEST_MS:
            message = "it is not a time of up to 31 days"
            raise Invalid(Fault("check of sums", "time-span", message, "Ask for less, in order.", "to"))
        found = check(ledger, from_ms, to_ms)
        return CheckedBody(
            hours=found.units,
            hours_that_differ=[PlaceBody(host=host, begin_ms=at) for host, at in found.hours],
            days_that_differ=[PlaceBody(host=host, begin_ms=at) for host, at in found.days],
        )

    @routes.post("/rebuild", response_model=RebuiltBody)
    def anew() -> RebuiltBody:
        """Make all sums anew from intervals, within minutes to hours; reports stay right meanwhile."""
        return RebuiltBody(hours=rebuild(ledger))

    return routes

"""Usage export: what an export says of the ledger that it was made from.

Place: below /v1/usage; the rows themselves are reports. Must not change anything.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from accounting.ledger import Ledger
from accounting.ledger.check import standing
from accounting.ledger.schema import HEAD


class LedgerBody(BaseModel):
    """`revision`: of its tables. Hours of hosts that are to be summed up, and records that were refused."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    revision: str
    stale: int
    oldest_stale_ms: Annotated[int | None, Field(alias="oldestStaleMs")]
    conflicts: int


def usage_export(ledger: Ledger) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1/usage", tags=["usage"])

    @routes.get("/ledger", response_model=LedgerBody)
    def ask() -> LedgerBody:
        """Which ledger this is, and whether it has something to say before a month is closed."""
        found = standing(ledger)
        return LedgerBody(
            revision=HEAD,
            stale=found.stale,
            oldest_stale_ms=found.oldest_stale_ms,
            conflicts=ledger.conflicts(),
        )

    return routes

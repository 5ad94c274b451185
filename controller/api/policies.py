"""Routes of policies: what their rules do and hit, and their promotion.

Place: thin: entrance -> service -> JSON. Must not decide anything.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from controller.api import policy_status
from controller.api.entrance import printable, ticket
from controller.api.envelope import Applied
from controller.api.objects import REFUSALS
from controller.api.promoting import Asked
from controller.api.service import Mode, Service
from controller.manifest.schema import API_VERSION
from model.errors import Fault, Invalid
from model.policy import Direction

_LONGEST: Final = 24 * 366.0
_Name = Annotated[str | None, Query(max_length=253)]
_Words = Annotated[list[str], Query(max_length=1_000)]
_ALL: Final = "all"


class Promoted(Applied):
    """`promotion`: what was enforced, where first, and what it will drop as far as it was seen."""

    promotion: dict[str, Any]


def policies(service: Service) -> APIRouter:
    """GET /v1/evidence and POST /v1/promotions."""
    routes = APIRouter(prefix="/v1", tags=["policies"], responses=REFUSALS)

    @routes.get("/evidence", response_model=None)
    def status(tenant: _Name = None, policy: _Name = None) -> JSONResponse:
        """Each rule and default with its state, its evidence and its hits."""
        contents, words = service.store.contents(), service.store.evidence()
        whose, which = (None if one is None else printable(one) for one in (tenant, policy))
        items = policy_status.status(contents, words, whose, which, service.clock())
        return JSONResponse({"apiVersion": API_VERSION, "kind": "List", "items": items})

    @routes.post("/promotions", response_model=Promoted)
    def promote(
        request: Request,
        hours: Annotated[float, Query(ge=0, le=_LONGEST)],
        policy: Annotated[str, Query(max_length=253)] = "",
        tenant: _Name = None,
        rule: _Words = [],  # noqa: B006 - FastAPI copies defaults
        default: Annotated[list[Direction], Query(max_length=2)] = [],  # noqa: B006
        share: Annotated[int, Query(ge=1, le=100)] = 100,
        accept: Annotated[str, Query(pattern="^(all|[0-9]{1,15})$")] = "0",
        dryRun: Literal["true", "false"] = "false",
    ) -> JSONResponse:
        """Enforce what counts, if every port was watched for so many hours. Without `policy`: the defaults of
        the tenant itself. `accept`: packets of each rule that may be dropped, or `all`.

        Header `Idempotency-Key`: the same key and address again gives the first answer again.
        """
        if not policy and not tenant:
            message = "neither a policy nor a tenant is named"
            raise Invalid(Fault("request", "promotion-of-whom", message, "Name one of them.", "policy"))
        asked = Asked(
            None if tenant is None else printable(tenant),
            printable(policy),
            tuple(printable(one) for one in rule),
            tuple(default),
            hours,
            share,
            None if accept == _ALL else int(accept),
        )
        mode = Mode.TRY if dryRun == "true" else Mode.WRITE
        return JSONResponse(service.promote(asked, mode, ticket(request)))

    return routes

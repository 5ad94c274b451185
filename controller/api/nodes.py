"""Routes of the inventory: GET of what nodes should have, beside what their hosts see.

Place: thin: service -> JSON. Must not decide anything.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from controller.api.objects import REFUSALS
from controller.api.service import Service


def nodes(service: Service) -> APIRouter:
    """GET /v1/inventory and /v1/inventory/NODE."""
    routes = APIRouter(prefix="/v1", tags=["hardware"], responses=REFUSALS)

    @routes.get("/inventory", response_model=None)
    def find() -> JSONResponse:
        """Every node, with its differences."""
        return JSONResponse({"nodes": service.inventory(None)})

    @routes.get("/inventory/{name}", response_model=None)
    def read(name: str) -> JSONResponse:
        """One node."""
        return JSONResponse({"nodes": service.inventory(name)})

    return routes

"""Routes of objects: apply, delete, get.

Place: thin: entrance -> service -> JSON. The routes are plain functions, which Starlette runs in worker
threads. Must not decide anything.
"""

from __future__ import annotations

import threading
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from controller.api.entrance import BODY, Posted, named_kind, named_object, posted, ticket
from controller.api.envelope import Applied, Faults, Listed
from controller.api.service import Mode, Service
from controller.manifest.manifest import Manifest
from controller.manifest.schema import API_VERSION
from model.errors import Invalid

_READERS: Final = 2
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": Faults} for code in (400, 404, 409, 413, 422, 503)
}


def writes(service: Service) -> APIRouter:
    """POST /v1/apply and /v1/delete, DELETE of one object."""
    routes = APIRouter(prefix="/v1", tags=["objects"], responses=REFUSALS)

    # Reading a large manifest takes memory many times its size: a few at once are enough.
    gate = threading.BoundedSemaphore(_READERS)

    def read(request: Posted) -> Manifest:
        with gate:
            return request.manifest()

    @routes.post("/apply", response_model=Applied, openapi_extra=BODY)
    def apply(request: Annotated[Posted, Depends(posted)]) -> JSONResponse:
        """Create or change all objects, or none. Never deletes. `dryRun`: only show what would happen.

        Header `Idempotency-Key`: the same key and body again gives the first answer again.
        """
        return JSONResponse(service.apply(read(request), request.mode, request.ticket))

    @routes.post("/delete", response_model=Applied, openapi_extra=BODY)
    def delete(request: Annotated[Posted, Depends(posted)]) -> JSONResponse:
        """Delete all objects that the manifests name, or none; their specs are not looked at."""
        manifest = read(request)
        unreadable = [f for f in manifest.faults if not f.path.startswith(("spec", "metadata.labels"))]
        if unreadable:
            raise Invalid(*unreadable)
        return JSONResponse(service.delete(manifest.references, request.mode, request.ticket))

    @routes.delete("/{kind}/{name}", response_model=Applied)
    def delete_one(request: Request, kind: str, name: str, tenant: str | None = None) -> JSONResponse:
        """Delete one object. Refused while others need it."""
        reference = named_object(kind, name, tenant)
        return JSONResponse(service.delete([reference], Mode.WRITE, ticket(request)))

    return routes


def reads(service: Service) -> APIRouter:
    """GET of kinds and objects; include it last: its addresses take any word."""
    routes = APIRouter(prefix="/v1", tags=["objects"], responses=REFUSALS)

    @routes.get("/{kind}", response_model=Listed)
    def find(kind: str, tenant: str | None = None) -> JSONResponse:
        """All objects of a kind: tenants, networks, ports, egressclasses, hypervisors."""
        items = service.find(named_kind(kind).kind, tenant)
        return JSONResponse({"apiVersion": API_VERSION, "kind": "List", "items": items})

    @routes.get("/{kind}/{name}", response_model=None)
    def read(kind: str, name: str, tenant: str | None = None) -> JSONResponse:
        """One object as a manifest, with its status."""
        return JSONResponse(service.read(named_object(kind, name, tenant)))

    return routes

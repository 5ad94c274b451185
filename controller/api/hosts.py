"""Routes of hosts: health, status, wait, freeze, confirm, what audits mended.

Place: thin: entrance -> service -> JSON. Must not decide anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from controller.api.books import Books
from controller.api.entrance import named_object, printable, ticket
from controller.api.envelope import Applied, Waited
from controller.api.migration import Moment
from controller.api.objects import REFUSALS
from controller.api.service import Service
from model.errors import Fault, NotFound
from model.report import DriftReceipt, Report

LONGEST_WAIT: Final = 30.0
"""Seconds that one request to /v1/wait may take; clients ask again."""
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.25
_SLOWER: Final = 1.2


def hosts(service: Service, books: Books | None = None) -> APIRouter:
    """All routes of this file."""
    routes = APIRouter(prefix="/v1", tags=["hosts"], responses=REFUSALS)
    _add_status(routes, service, books)
    _add_wait(routes, service)
    _add_brakes(routes, service)
    _add_pairs(routes, service)
    _add_migration(routes, service)
    _add_drift(routes, service)
    return routes


def _add_status(routes: APIRouter, service: Service, books: Books | None) -> None:
    @routes.get("/health", response_model=None)
    def health() -> JSONResponse:
        """200 if API and store answer; 503 if the store does not."""
        cluster = service.store.contents().cluster
        return JSONResponse({"api": "ok", "store": "ok", "cluster": cluster.uid if cluster else ""})

    @routes.get("/status", response_model=None)
    def status() -> JSONResponse:
        """Cluster, hosts, pools and alarms."""
        found = service.status()
        found["alarms"] += [] if books is None else books.alarms()
        return JSONResponse(found)


def _add_wait(routes: APIRouter, service: Service) -> None:
    @routes.get("/wait", response_model=Waited)
    async def wait(
        generation: Annotated[int, Query(ge=0, lt=1 << 53)],
        host: Annotated[list[str], Query(max_length=10_000)] = [],  # noqa: B006 - FastAPI copies defaults
        timeout: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0,
    ) -> JSONResponse:
        """Until each `host` has programmed `generation` and has its routes, or the timeout.

        Take `generation` and the hosts (`concerned`) from the answer of apply; no host: all that have agents.
        """
        loop = asyncio.get_running_loop()
        names = host or await run_in_threadpool(service.agents)
        end, pause = loop.time() + timeout, _FIRST_PAUSE
        seen = None
        while True:
            # Reports are long: they are read only if one is new, and at the end for what is said of silence.
            versions = await run_in_threadpool(service.versions, names)
            left = end - loop.time()
            if versions != seen or left <= 0:
                seen = versions
                missing = await run_in_threadpool(service.waiting, names, generation)
            if not missing or left <= 0:
                break
            await asyncio.sleep(min(pause, left))
            pause = min(pause * _SLOWER, _LONGEST_PAUSE)
        return JSONResponse(
            {"reached": not missing, "generation": generation, "pending": [asdict(p) for p in missing]}
        )


def _add_brakes(routes: APIRouter, service: Service) -> None:
    @routes.post("/freeze/{name}", response_model=Applied)
    def freeze(request: Request, name: str) -> JSONResponse:
        """The host's agent changes nothing until confirmed; the data plane goes on."""
        return JSONResponse(service.freeze(printable(name), ticket(request)))

    @routes.post("/unfreeze/{name}", response_model=Applied)
    def unfreeze(request: Request, name: str) -> JSONResponse:
        """End a freeze; a stop of the host's own stays until it is confirmed."""
        return JSONResponse(service.unfreeze(printable(name), ticket(request)))

    @routes.post("/confirm/{name}", response_model=None)
    def confirm(
        request: Request, name: str, token: Annotated[str, Query(max_length=2000)] = ""
    ) -> JSONResponse:
        """End a freeze, and let the stop that the host reports pass. `token` names the stop that is meant."""
        return JSONResponse(service.confirm(printable(name), token, ticket(request)))


def _add_pairs(routes: APIRouter, service: Service) -> None:
    @routes.post("/switchover/{name}", response_model=None)
    def switchover(name: str) -> JSONResponse:
        """The host is to serve the ports that it shares with its partner, as soon as it is ready."""
        return JSONResponse(service.switch_over(printable(name)))


def _add_migration(routes: APIRouter, service: Service) -> None:
    @routes.post("/ports/{tenant}/{name}/migration", response_model=Applied)
    def migrate(
        request: Request,
        tenant: str,
        name: str,
        to: Annotated[str, Query(max_length=200)],
        moment: Moment = Moment.ANNOUNCED,
    ) -> JSONResponse:
        """The port moves to host `to`: when its workload announces itself there, or now."""
        port = named_object("port", name, tenant)
        return JSONResponse(service.migrate(port, printable(to), moment, ticket(request)))

    @routes.post("/ports/{tenant}/{name}/migration/cancel", response_model=Applied)
    def stay(request: Request, tenant: str, name: str) -> JSONResponse:
        """The port stays where it is bound."""
        return JSONResponse(service.stay(named_object("port", name, tenant), ticket(request)))

    @routes.post("/ports/{tenant}/{name}/migration/forget", response_model=Applied)
    def forget(
        request: Request, tenant: str, name: str, host: Annotated[str, Query(max_length=200)]
    ) -> JSONResponse:
        """The port may not be on `host` any more, and does not move there."""
        port = named_object("port", name, tenant)
        return JSONResponse(service.forget(port, printable(host), ticket(request)))


def _add_drift(routes: APIRouter, service: Service) -> None:
    @routes.get("/drift", response_model=None)
    def drift(host: str | None = None) -> JSONResponse:
        """What the hosts' audits found and mended: the last receipts, oldest first, and counts of all."""
        chosen = _chosen(service, host)
        items = [_receipt(name, receipt) for name, report in chosen for receipt in report.receipts]
        counts = [{"host": name} | asdict(report.drift) for name, report in chosen]
        return JSONResponse({"kind": "List", "items": items, "counts": counts})


def _receipt(host: str, receipt: DriftReceipt) -> dict[str, Any]:
    return {
        "host": host,
        "atMs": receipt.at_ms,
        "finding": receipt.finding.value,
        "action": receipt.action.value,
        "flow": receipt.flow,
        "packets": receipt.packets,
        "octets": receipt.octets,
    }


def _chosen(service: Service, host: str | None) -> list[tuple[str, Report]]:
    reports = service.reports(None if host is None else frozenset({host}))
    if host is None:
        return sorted(reports.readable.items())
    if host not in reports.readable:
        name = printable(host)
        why = reports.broken.get(host, "it has never reported")
        raise NotFound(Fault(f"Hypervisor {name}", "no-report", why, "See: ringfence status"))
    return [(host, reports.readable[host])]

"""Routes of sight: where a packet goes, and what flows a switch has.

Place: thin: entrance -> tracing, asking -> JSON. Each request waits for agents, so only a few may at once.
Must not decide anything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from controller.api import tracing
from controller.api.asking import Document, ask, declared, listed, number, text
from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from controller.manifest.suggest import remedy
from controller.store.records import Contents
from model.errors import Fault, Invalid, NotFound, Unavailable
from pipelines.tables import TABLES

MOST_FLOWS: Final = 2_000
_AT_ONCE: Final = 8
_QUEUE: Final = 20.0
"""Seconds that a request waits for its turn."""
_Name = Annotated[str, Query(min_length=1, max_length=253)]
_Port = Annotated[int, Query(ge=0, lt=1 << 16)]
_OLDEST: Final = 1e12
_WORDS: Final = ("table", "match", "actions", "owner", "cookie")
_NUMBERS: Final = ("number", "priority", "packets", "octets")


def sight(service: Service) -> APIRouter:
    """GET /v1/trace and /v1/flows/HOST."""
    routes = APIRouter(prefix="/v1", tags=["sight"], responses=REFUSALS)
    gate = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def turn() -> Iterator[None]:
        if not gate.acquire(timeout=_QUEUE):
            message = f"{_AT_ONCE} traces and listings are under way"
            raise Unavailable(Fault("API", "questions-many", message, "Try again later."))
        try:
            yield
        finally:
            gate.release()

    @routes.get("/trace", response_model=None)
    def trace(
        tenant: _Name,
        port: _Name,
        to: Annotated[str, Query(max_length=100)],
        proto: Literal["icmp", "tcp", "udp"] = "icmp",
        sport: _Port = 0,
        dport: _Port = 0,
        size: _Port = 0,
    ) -> JSONResponse:
        """The walk of a packet from a port to an address on every host involved; nothing is sent."""
        with turn():
            asked = tracing.Asked(tenant, port, to, proto, sport, dport, size)
            return JSONResponse(tracing.trace(service, asked))

    @routes.get("/flows/{host}", response_model=None)
    def flows(
        host: str,
        tenant: str = "",
        port: str = "",
        network: str = "",
        table: str = "",
        limit: Annotated[int, Query(ge=1, le=MOST_FLOWS)] = MOST_FLOWS,
    ) -> JSONResponse:
        """The flows that a host's switch really has, with names for numbers; `port`, `network`: T/NAME."""
        declared(service, host)
        body = _choice(service.store.contents(), tenant, port, network, table) | {"limit": limit}
        with turn():
            return JSONResponse({"host": host} | _listed(ask(service, host, "flows", body)))

    return routes


def _choice(contents: Contents, tenant: str, port: str, network: str, table: str) -> Document:
    """Names to keys. NotFound for a name of nothing, Invalid for a table that is none."""
    body: Document = {"table": None, "port": 0, "network": 0, "tenant": 0}
    if table:
        numbers = {each.name: each.number for each in TABLES}
        if table not in numbers:
            message = f'"{printable(table)}" is no table'
            raise Invalid(Fault("request", "unknown-table", message, remedy(table, numbers), "table"))
        body["table"] = numbers[table]
    if tenant:
        found = contents.tenants.get(tenant)
        if found is None:
            raise _unknown("Tenant", tenant, contents.tenants)
        body["tenant"] = found.value.key
    if port:
        one = contents.ports.get(_split(port, tenant))
        if one is None:
            raise _unknown("Port", port, (f"{t}/{n}" for t, n in contents.ports))
        body["port"] = one.value.key
    if network:
        net = contents.networks.get(_split(network, tenant))
        if net is None:
            raise _unknown("Network", network, (f"{t}/{n}" for t, n in contents.networks))
        body["network"] = net.value.key
    return body


def _split(word: str, tenant: str) -> tuple[str, str]:
    before, slash, after = word.partition("/")
    return (before, after) if slash else (tenant, before)


def _unknown(kind: str, name: str, known: Any) -> NotFound:
    names = [each for each, _ in zip(sorted(known), range(20), strict=False)]
    return NotFound(Fault(f"{kind} {printable(name)}", "not-found", "it does not exist", remedy(name, names)))


def _listed(answer: Document) -> Document:
    """What an agent said, in its bounds."""
    return {
        "flows": [_flow(each) for each in listed(answer.get("flows"), MOST_FLOWS)],
        "counts": [_count(each) for each in listed(answer.get("counts"), 256)],
        "left": number(answer.get("left")),
        "unseen": number(answer.get("unseen")),
    }


def _flow(plain: Document) -> Document:
    seconds = plain.get("seconds")
    age = seconds if isinstance(seconds, (int, float)) and 0 <= seconds < _OLDEST else 0
    shown = {key: text(plain.get(key)) for key in _WORDS} | {key: number(plain.get(key)) for key in _NUMBERS}
    return shown | {"ours": plain.get("ours") is True, "seconds": age}


def _count(plain: Document) -> Document:
    numbers = ("flows", "strangers", "packets", "octets")
    return {"table": text(plain.get("table"), 50)} | {key: number(plain.get(key)) for key in numbers}

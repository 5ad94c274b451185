"""Routes of the looking glass: what hosts know of EVPN, asked of their agents now.

Place: thin: names -> keys, asking -> JSON. Several hosts are asked at once; those that do not answer are
named. Must not decide anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from controller.api.asking import Document, ask, declared, listed, number, text
from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from controller.manifest.suggest import remedy
from controller.manifest.tree import show
from controller.store.records import Contents
from model.addresses import format_mac, parse_mac
from model.errors import Fault, Invalid, NotFound, Unavailable

MOST_ROWS: Final = 2_000
_AT_ONCE: Final = 4
"""Requests; each asks so many hosts at once:"""
_HOSTS: Final = 8
_QUEUE: Final = 20.0
_WORDS: Final = (
    *("peer", "state", "replayed", "error", "verdict"),
    *("kind", "network", "vtep", "mac", "port", "route", "use", "code", "reason"),
    *("segment", "mode"),
)
_NUMBERS: Final = (
    "moves",
    *("seconds", "sessions", "received", "withdrawn", "accepted", "refused", "malformed"),
    *("type", "sequence", "preference", "label"),
)
_LISTS: Final = ("addresses", "peers", "targets", "contenders")
_MOST_ITEMS: Final = 1_000


class What(Enum):
    """What to list."""

    NEIGHBORS = "neighbors"
    ROUTES = "routes"
    PATHS = "paths"
    ADVERTISED = "advertised"
    REJECTED = "rejected"
    DUPLICATES = "duplicates"


def glass(service: Service) -> APIRouter:
    """GET /v1/evpn/WHAT, POST /v1/evpn/release."""
    routes = APIRouter(prefix="/v1/evpn", tags=["evpn"], responses=REFUSALS)
    gate = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def turn() -> Iterator[None]:
        if not gate.acquire(timeout=_QUEUE):
            message = f"{_AT_ONCE} looks at EVPN are under way"
            raise Unavailable(Fault("API", "questions-many", message, "Try again later."))
        try:
            yield
        finally:
            gate.release()

    @routes.get("/{what}", response_model=None)
    def look(
        what: What,
        host: Annotated[str, Query(max_length=253)] = "",
        tenant: Annotated[str, Query(max_length=253)] = "",
        kind: Annotated[int, Query(alias="type", ge=0, le=5)] = 0,
        mac: Annotated[str, Query(max_length=100)] = "",
        ip: Annotated[str, Query(max_length=100)] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS,
    ) -> JSONResponse:
        """Rows of every host, or of one. `left`: rows that are not shown; `silent`: who did not answer."""
        body: Document = {"what": what.value, "type": kind, "mac": _mac(mac), "ip": _ip(ip), "limit": limit}
        body["tenant"] = _tenant(service.store.contents(), tenant)
        with turn():
            if host:
                declared(service, host)
                return JSONResponse(_joined({host: ask(service, host, "evpn", body)}, {}, limit))
            return JSONResponse(_joined(*_everywhere(service, "evpn", body), limit))

    @routes.post("/release", response_model=None)
    def release(
        network: Annotated[str, Query(max_length=253)],
        what: Annotated[str, Query(max_length=100)],
        host: Annotated[str, Query(max_length=253)] = "",
    ) -> JSONResponse:
        """End the damping of a MAC or an address in a network (T/NAME), on every host or on one.

        NotFound if no host that answers damps it.
        """
        body = {"network": _network(service.store.contents(), network), "what": _what(what)}
        with turn():
            if host:
                declared(service, host)
                told = _joined({host: ask(service, host, "evpn-release", body)}, {}, MOST_ROWS)
            else:
                told = _joined(*_everywhere(service, "evpn-release", body), MOST_ROWS)
        if not told["items"] and not told["silent"]:
            message = f"no host damps it in {printable(network)}"
            advice = "See: ringfence evpn duplicates"
            raise NotFound(Fault(printable(what), "not-damped", message, advice))
        return JSONResponse(told)

    return routes


def _everywhere(
    service: Service, kind: str, body: Document
) -> tuple[dict[str, Document], dict[str, Unavailable]]:
    """The answers of all hosts with agents, and why others gave none."""
    names = service.agents()

    def one(name: str) -> Document | Unavailable:
        try:
            return ask(service, name, kind, body)
        except Unavailable as error:
            return error

    with ThreadPoolExecutor(max_workers=min(_HOSTS, len(names)) or 1) as pool:
        found = dict(zip(names, pool.map(one, names), strict=True))
    answers = {name: each for name, each in found.items() if not isinstance(each, Unavailable)}
    return answers, {name: each for name, each in found.items() if isinstance(each, Unavailable)}


def _joined(answers: dict[str, Document], silent: dict[str, Unavailable], limit: int) -> Document:
    items: list[Document] = []
    left = 0
    for host, answer in sorted(answers.items()):
        rows = [{"host": host} | _row(each) for each in listed(answer.get("rows"), MOST_ROWS)]
        left += number(answer.get("left")) + max(len(rows) - (limit - len(items)), 0)
        items += rows[: limit - len(items)]
    why = [
        {"host": host, "reason": error.faults[0].message, "remedy": error.faults[0].remedy}
        for host, error in sorted(silent.items())
    ]
    return {"kind": "List", "items": items, "left": left, "silent": why}


def _row(plain: Document) -> Document:
    """The parts of an agent's row that we know, within bounds."""
    takes: tuple[tuple[tuple[str, ...], Callable[[Any], Any]], ...] = (
        (_WORDS, text),
        (_NUMBERS, number),
        (_LISTS, _texts),
    )
    row = {name: take(plain[name]) for names, take in takes for name in names if name in plain}
    if "became" in plain:
        each = listed(plain["became"], _MOST_ITEMS)
        row["became"] = [
            {"cookie": text(one.get("cookie"), 20), "flows": number(one.get("flows"))} for one in each
        ]
    return row


def _texts(value: Any) -> list[str]:
    return [text(one, 200) for one in value[:_MOST_ITEMS]] if isinstance(value, list) else []


def _tenant(contents: Contents, name: str) -> int:
    if not name:
        return 0
    found = contents.tenants.get(name)
    if found is None:
        known = sorted(contents.tenants)
        advice = remedy(name, known)
        raise NotFound(Fault(f"Tenant {printable(name)}", "not-found", "it does not exist", advice))
    return int(found.value.key)


def _network(contents: Contents, name: str) -> int:
    tenant, _, network = name.partition("/")
    found = contents.networks.get((tenant, network))
    if found is None:
        known = [f"{t}/{n}" for t, n in sorted(contents.networks)]
        advice = remedy(name, known)
        raise NotFound(Fault(f"Network {printable(name)}", "not-found", "it does not exist", advice))
    return int(found.value.key)


def _what(word: str) -> str:
    try:
        return format_mac(parse_mac(word))
    except ValueError:
        pass
    try:
        return str(ip_address(word))
    except ValueError as error:
        message, advice = f"{show(word)} is neither a MAC nor an address", "See: ringfence evpn duplicates"
        raise Invalid(Fault("request", "address-syntax", message, advice, "what")) from error


def _mac(word: str) -> str:
    try:
        return format_mac(parse_mac(word)) if word else ""
    except ValueError as error:
        advice = "Write six hex pairs joined by colons: 02:00:00:00:00:01."
        raise Invalid(Fault("request", "mac-syntax", f"{show(word)} is no MAC", advice, "mac")) from error


def _ip(word: str) -> str:
    try:
        return str(ip_network(word, strict=False)) if word else ""
    except ValueError as error:
        message, advice = f"{show(word)} is no address", "Write an IPv4 or IPv6 address, or a prefix."
        raise Invalid(Fault("request", "address-syntax", message, advice, "ip")) from error

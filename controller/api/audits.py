"""Routes of the audit: what store, hosts and fabrics say of each VF; and taking back what nobody bears.

Place: thin: contents, reports and words -> `ipam.audit` -> JSON. Trails of orphans are this process's own and
begin with it, as the memory of pools does. Must not take anything back that was not named by who asks.
"""

from __future__ import annotations

import threading
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from controller.api.audit_forms import document, hear, orphans
from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from controller.store.gangs import reservation
from controller.store.records import Contents
from controller.store.writer import Writing
from ipam.audit.findings import Audit, Orphan
from ipam.audit.look import audit
from ipam.audit.orphans import LOOKS, Trail, adopt, follow, hindrance, ripe, title
from model.errors import Conflict, Fault

_MOST: Final = 4096
_ALL: Final = Query(alias="all")


class ReclaimBody(BaseModel):
    """`orphans`: by name, as the audit gave them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    orphans: Annotated[tuple[Annotated[str, Field(max_length=300)], ...], Field(max_length=_MOST)]


class Watch:
    """The trails of orphans, for all threads of the API."""

    def __init__(self) -> None:
        self._trails: dict[Orphan, Trail] = {}
        self._lock = threading.Lock()

    def look(self, service: Service) -> tuple[Audit, Contents, dict[Orphan, Trail], int]:
        """An audit, which counts as a look."""
        # One at a time: they are long, and looks have an order.
        with self._lock:
            contents, now = service.store.contents(), service.clock()
            hosts = {record.value.host for record in contents.nodes.values()}
            reports = service.reports(frozenset(hosts)).readable if hosts else {}
            heard = hear(reports, service.store.host_words(hosts), service.store.fabric_words())
            seen = audit(contents, heard, now)
            self._trails = follow(self._trails, seen, now)
            return seen, contents, self._trails, now


def audits(service: Service) -> APIRouter:
    """GET /v1/ipam/audit, POST /v1/ipam/reclaim."""
    routes = APIRouter(prefix="/v1/ipam", tags=["gangs"], responses=REFUSALS)
    watch = Watch()

    @routes.get("/audit", response_model=None)
    def find(every: Annotated[bool, _ALL] = False) -> JSONResponse:  # noqa: FBT002 - a query
        """Store, hosts and fabrics beside each other; `all`: also what is as it should be."""
        seen, contents, trails, now = watch.look(service)
        return JSONResponse(document(seen, contents, trails, now, every=every))

    @routes.post("/reclaim", response_model=None)
    def reclaim(body: ReclaimBody) -> JSONResponse:
        """Take orphans back: those that are named, if they were seen often enough, or nothing."""
        seen, contents, trails, _ = watch.look(service)
        there = {title(each.orphan): each.orphan for each in seen.findings if each.orphan is not None}
        names = tuple(dict.fromkeys(body.orphans))
        faults = [fault for name in names if (fault := _objection(contents, there.get(name), trails, name))]
        if faults:
            raise Conflict(*faults)
        made = _take(service, {there[name] for name in names})
        left = [each for each in orphans(seen, contents, trails) if each["name"] not in names]
        return JSONResponse({"taken": list(names), "gangs": made, "left": left})

    return routes


def _objection(
    contents: Contents, orphan: Orphan | None, trails: dict[Orphan, Trail], name: str
) -> Fault | None:
    if orphan is None:
        remedy = "Look again: ringfence ipam audit"
        return Fault(printable(name), "orphan-gone", "no side shows it now", remedy)
    trail = trails.get(orphan)
    if not ripe(trail):
        message = f"{0 if trail is None else trail.looks} of {LOOKS} looks have shown it to this API"
        return Fault(name, "orphan-young", message, "Look again: ringfence ipam audit --reclaim does.")
    return hindrance(contents, orphan)


def _take(service: Service, wanted: set[Orphan]) -> list[dict[str, Any]]:
    """A gang that is being undone for each fabric and bearer, each in a write of its own."""
    made: list[dict[str, Any]] = []
    while wanted:
        told, covered = _take_some(service, wanted)
        made.append(told)
        wanted = wanted - covered
    return made


def _take_some(service: Service, wanted: set[Orphan]) -> tuple[dict[str, Any], frozenset[Orphan]]:
    done: list[tuple[str, str, frozenset[Orphan]]] = []

    def build(contents: Contents) -> Writing:
        faults = [fault for each in sorted(wanted) if (fault := hindrance(contents, each))]
        if faults or contents.cluster is None:
            raise Conflict(*faults)
        now = service.clock()
        gang, covered = adopt(contents, wanted, contents.cluster.generation + 1, now)
        done[:] = [(gang.request.tenant, gang.request.name, covered)]
        return Writing(tuple(reservation(contents, gang, now)), str(gang.generation), now)

    outcome = service.store.write(build, "", "")
    tenant, name, covered = done[0]
    return {"tenant": tenant, "name": name, "generation": int(outcome.result)}, covered

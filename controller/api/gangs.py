"""Routes of gangs: request (or only try), list, show, release.

Place: thin: body -> `ipam.gangs.booking` -> one write of the store -> JSON. What follows a reservation is
moved on by `ringfenced fabric`. Must not say of a gang what nobody has written or said of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse

from controller.api import gang_life
from controller.api.entrance import printable, ticket
from controller.api.gang_forms import GangBody, gang_document, placement_document
from controller.api.objects import REFUSALS
from controller.api.pools import Memory
from controller.api.service import Service
from controller.api.turns import Turns
from controller.store.gangs import parting, reservation
from controller.store.records import Contents, Outcome
from controller.store.writer import Writing
from ipam.gangs.booking import book, leave, no_tenant, survey
from ipam.gangs.refusal import Refusal
from model.bearing import FabricWord
from model.errors import Fault, NotFound
from model.fabric import Fabric
from model.gang import Gang, GangRequest, GangState

QUEUE: Final = 24
"""Requests that wait for their turn; more are refused at once. Each has one of the 40 threads that answer all
requests: the others go on answering whoever asks for something else."""
_PATIENCE: Final = 60.0
"""Seconds that a release may wait."""
_DRY: Final = Query(alias="dryRun")
_WITHOUT: Final = Query(max_length=4096)


def gangs(service: Service, memory: Memory, turns: Turns) -> APIRouter:
    """All routes of this file. `memory`: is told how full pools are after each write. `turns`: of writes."""
    routes = APIRouter(prefix="/v1", tags=["gangs"], responses=REFUSALS)
    _add_writes(routes, service, turns, memory)
    _add_reads(routes, service)
    return routes


def _add_writes(routes: APIRouter, service: Service, turns: Turns, memory: Memory) -> None:
    @routes.post("/tenants/{tenant}/gangs", response_model=None)
    def ask(
        request: Request,
        tenant: str,
        body: GangBody,
        dry: Annotated[bool, _DRY] = False,  # noqa: FBT002 - a query
    ) -> JSONResponse:
        """All interfaces of a job, or none. `dryRun`: only where they would be, and why not elsewhere.

        Header `Idempotency-Key`: the same key and body again gives the gang that it made.
        """
        tenant = printable(tenant)
        wanted = body.request(tenant, _fabric(service.store.contents(), body.fabric), service.clock())
        if dry:
            return JSONResponse(_try(service, wanted))
        # The digest is of what is asked for, however it was written; a later deadline is no other request.
        slip = ticket(request, body.model_dump_json(exclude={"within"}).encode())
        with turns.turn(f"Gang {tenant}/{wanted.name}", body.within):
            outcome = service.store.write(
                lambda contents: _reserve(contents, wanted, service.clock()),
                slip.key,
                slip.digest,
                body.within,
            )
        memory.note(service.store.contents(), service.clock())
        return JSONResponse(_answer(service, outcome, tenant, wanted.name))

    @routes.delete("/tenants/{tenant}/gangs/{name}", response_model=None)
    def release(
        request: Request,
        tenant: str,
        name: str,
        generation: Annotated[int, Query(ge=0, lt=1 << 53)] = 0,
        without: Annotated[list[str] | None, _WITHOUT] = None,
    ) -> JSONResponse:
        """Give everything of a gang back: at once (`released`) if devices and fabric bear nothing of it, else
        as they let go. `generation`: the gang that is meant: if another one has its name by now, nothing is
        released. `without`: nodes that are gone for good, and are waited for no more."""
        slip = ticket(request)
        with turns.turn(f"Gang {printable(tenant)}/{printable(name)}", _PATIENCE):
            outcome = service.store.write(
                lambda contents: _release(service, contents, tenant, name, generation, tuple(without or ())),
                slip.key,
                slip.digest,
            )
        memory.note(service.store.contents(), service.clock())
        return JSONResponse(_left(service, outcome, tenant, name))


def _add_reads(routes: APIRouter, service: Service) -> None:
    @routes.get("/gangs", response_model=None)
    def find(tenant: str | None = None) -> JSONResponse:
        """All gangs, of one tenant if given, by tenant and name; without their interfaces."""
        return JSONResponse(_list(service, service.store.contents(), tenant))

    @routes.get("/tenants/{tenant}/gangs", response_model=None)
    def find_of_tenant(tenant: str) -> JSONResponse:
        """All gangs of a tenant, by name, without their interfaces; 404 if there is no such tenant."""
        contents = service.store.contents()
        if tenant not in contents.tenants:
            raise no_tenant(printable(tenant))
        return JSONResponse(_list(service, contents, tenant))

    @routes.get("/tenants/{tenant}/gangs/{name}", response_model=None)
    def read(tenant: str, name: str) -> JSONResponse:
        """One gang with all its interfaces; the last one of its name while what it had cools down."""
        return JSONResponse(_read(service, tenant, name))


def _reserve(contents: Contents, wanted: GangRequest, now: int) -> Writing:
    made = replace(book(contents, wanted, now), since=now)
    return Writing(tuple(reservation(contents, made, now)), str(made.generation), now)


def _release(
    service: Service, contents: Contents, tenant: str, name: str, generation: int, without: tuple[str, ...]
) -> Writing:
    now = service.clock()
    gone, progress = leave(contents, tenant, name, generation)
    if without:
        hosts = [berth.host for berth in gone.berths if berth.node in without]
        gang_life.check_vouched(gone, without, service.store.host_words(hosts), now)
    until = now + 1000 * contents.fabrics[gone.request.fabric].value.cool_down
    changes = parting(contents, gone, progress, without, until, now)
    return Writing(tuple(changes), str(gone.generation), now)


def _left(service: Service, outcome: Outcome, tenant: str, name: str) -> dict[str, Any]:
    """How the gang stands after it was released: gone, or on its way."""
    gang = service.store.contents().ledger.gangs.get((tenant, name))
    going = gang is not None and str(gang.generation) == outcome.result
    state = gang.progress.state if gang is not None and going else GangState.RELEASED
    return {
        "kind": "Gang",
        "metadata": {"name": name, "tenant": tenant, "generation": int(outcome.result)},
        "status": {"state": state.value},
        "released": not going,
        "replayed": outcome.replayed,
    }


def _try(service: Service, wanted: GangRequest) -> dict[str, Any]:
    contents = service.store.contents()
    placed = survey(contents, wanted, service.clock())
    if isinstance(placed, Refusal):
        raise placed.error()
    return placement_document(placed, contents.fabrics[wanted.fabric].value) | {"dryRun": True}


def _answer(service: Service, outcome: Outcome, tenant: str, name: str) -> dict[str, Any]:
    """The gang as it is now. One that was reserved with this key and has gone since is not the one of its
    name."""
    contents = service.store.contents()
    gang = contents.ledger.gangs.get((tenant, name))
    if gang is None or str(gang.generation) != outcome.result:
        raise NotFound(_missing(tenant, name, f"generation {outcome.result} of it was released"))
    found = _document(contents, gang, _said(service))
    return found | {"dryRun": False, "replayed": outcome.replayed}


def _list(service: Service, contents: Contents, tenant: str | None) -> dict[str, Any]:
    """By tenant and name; `tenant` None = of all."""
    said = _said(service)
    items = [
        _brief(_document(contents, gang, said))
        for (owner, _), gang in sorted(contents.ledger.gangs.items())
        if tenant in (None, owner)
    ]
    return {"kind": "List", "items": items}


def _read(service: Service, tenant: str, name: str) -> dict[str, Any]:
    contents = service.store.contents()
    gang = contents.ledger.gangs.get((tenant, name))
    if gang is not None:
        return _document(contents, gang, _said(service))
    departed = gang_life.departed(contents, tenant, name)
    if departed is None or departed[1] <= service.clock():
        raise NotFound(_missing(tenant, name, "it does not exist"))
    gang, until = departed
    found = gang_document(gang, _fabric(contents, gang.request.fabric))
    return found | {"status": found["status"] | gang_life.farewell(gang, until)}


def _said(service: Service) -> dict[str, FabricWord | None]:
    return gang_life.said(service.store.fabric_words(), service.clock())


def _document(contents: Contents, gang: Gang, said: dict[str, FabricWord | None]) -> dict[str, Any]:
    found = gang_document(gang, _fabric(contents, gang.request.fabric))
    return found | {"status": found["status"] | gang_life.status(gang, said)}


def _brief(document: dict[str, Any]) -> dict[str, Any]:
    status = document["status"]
    return document | {"status": status | {"nodes": [berth["node"] for berth in status["nodes"]]}}


def _fabric(contents: Contents, name: str) -> Fabric | None:
    record = contents.fabrics.get(name)
    return None if record is None else record.value


def _missing(tenant: str, name: str, why: str) -> Fault:
    title = f"Gang {printable(tenant)}/{printable(name)}"
    return Fault(title, "not-found", why, "See those that exist: ringfence gang get")

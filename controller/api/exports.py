"""Route of exports: what a gang has on its nodes, written down for libvirt, cloud-init, NCCL or a program.

Place: thin: contents and hosts' reports -> `ipam.exports` -> JSON. Must not decide anything, nor say that a
gang is ready: its state is told.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from controller.api.entrance import printable
from controller.api.objects import REFUSALS
from controller.api.service import Service
from controller.store.records import Contents
from ipam.exports.cloud_init import cloud_init
from ipam.exports.document import document
from ipam.exports.kit import Kit, kit
from ipam.exports.libvirt import Element, Managed, libvirt
from ipam.exports.nccl import nccl
from model.errors import Fault, NotFound, Unavailable
from model.gang import Berth, Gang
from model.ids import HostName
from model.sighting import Sighting


class Form(Enum):
    """In whose words."""

    LIBVIRT = "libvirt"
    LIBVIRT_HOSTDEV = "libvirt-hostdev"
    CLOUD_INIT = "cloud-init"
    NCCL = "nccl"
    JSON = "json"


def exports(service: Service) -> APIRouter:
    """GET /v1/tenants/TENANT/gangs/NAME/export."""
    routes = APIRouter(prefix="/v1", tags=["gangs"], responses=REFUSALS)

    @routes.get("/tenants/{tenant}/gangs/{name}/export", response_model=None)
    def export(
        tenant: str,
        name: str,
        form: Annotated[Form, Query(alias="as")] = Form.JSON,
        node: Annotated[str, Query(max_length=63)] = "",
        managed: Managed = Managed.NO,
        mtu: Annotated[int | None, Query(ge=1280, le=65_520)] = None,
    ) -> JSONResponse:
        """Of each node, or of one: what the gang has there (PCI addresses of VFs as hosts report them), and
        a `text` in the words of libvirt (`managed`: whether libvirt binds drivers), cloud-init (`mtu`: of
        all interfaces; left out: their drivers') or NCCL."""
        contents = service.store.contents()
        gang = contents.ledger.gangs.get((tenant, name))
        if gang is None:
            title, advice = f"Gang {printable(tenant)}/{printable(name)}", "See: ringfence gang get"
            raise NotFound(Fault(title, "not-found", "it does not exist", advice))
        kits = _kits(service, contents, gang, _berths(gang, node))
        items = [document(one) | _text(one, form, managed, mtu) for one in kits]
        named = {"tenant": tenant, "name": name, "generation": gang.generation}
        return JSONResponse({"kind": "GangExport", "metadata": named, "as": form.value, "items": items})

    return routes


def _berths(gang: Gang, node: str) -> list[Berth]:
    found = [berth for berth in gang.berths if node in ("", berth.node)]
    if not found:
        title = f"Gang {gang.request.tenant}/{gang.request.name}"
        names = ", ".join(berth.node for berth in gang.berths[:20])
        message = f"it has nothing on a node {printable(node)}"
        raise NotFound(Fault(title, "not-found", message, f"Its nodes are {names}.", "node"))
    return found


def _kits(service: Service, contents: Contents, gang: Gang, berths: list[Berth]) -> list[Kit]:
    reports = service.reports(frozenset(berth.host for berth in berths)).readable
    fabric = contents.fabrics.get(gang.request.fabric)
    found = []
    for berth in berths:
        node = contents.nodes.get(berth.node)
        sku = None if node is None else contents.skus.get(node.value.sku)
        if fabric is None or sku is None:
            message = "its Fabric, Node or Sku can't be read"
            raise Unavailable(
                Fault(f"Node {berth.node}", "row-unreadable", message, "Look at the log of the API.")
            )
        report = reports.get(HostName(berth.host))
        seen = Sighting() if report is None else report.devices
        found.append(kit(gang, berth, fabric.value, sku.value, seen))
    return found


def _text(one: Kit, form: Form, managed: Managed, mtu: int | None) -> dict[str, Any]:
    match form:
        case Form.LIBVIRT:
            return {"text": libvirt(one, managed)}
        case Form.LIBVIRT_HOSTDEV:
            return {"text": libvirt(one, managed, Element.HOSTDEV)}
        case Form.CLOUD_INIT:
            return {"text": cloud_init(one, mtu)}
        case Form.NCCL:
            return {"text": nccl(one)}
        case _:
            return {}

"""Salvage of hardware: from a draft of a Sku, Fabric or Node to the wanted object.

Place: part of `controller.manifest.salvage`. Must not judge. A list with a broken item gives no object: the
numbers of what follows would be wrong.
"""

from __future__ import annotations

from controller.manifest.draft import Draft
from model.fabric import Rail, RailIndex
from model.gang import Use
from model.hardware import Gpu, PfSlot
from model.outlet import Outlet
from model.wanted import Kind, Wanted, WantedFabric, WantedNode, WantedSku


def salvage_hardware(draft: Draft, name: str) -> Wanted | None:
    """The wanted object; None if what it is about is unreadable."""
    match draft.kind:
        case Kind.SKU:
            return _sku(draft, name)
        case Kind.FABRIC:
            return _fabric(draft, name)
        case _:
            return _node(draft, name)


def salvage_vf(draft: Draft) -> tuple[Outlet, ...] | None:
    """A port's VF; () for `{}`, None if nothing is written of it, or half of it."""
    found = draft.get("spec.vf")
    if found is None or found == (None, None, None):
        return found and ()
    pf, index, use = found
    return None if pf is None or index is None else (Outlet(pf, index, use or Use.CONTAINER),)


def _sku(draft: Draft, name: str) -> WantedSku | None:
    if not draft.broken.isdisjoint({"spec.gpus", "spec.pfs"}):
        return None
    gpus = tuple(Gpu(pci, numa) for pci, numa in draft.get("spec.gpus") or ())
    pfs = tuple(
        PfSlot(title, pci, kind, rail, numa, gpu, vfs or 0, pkeys or 0, eswitch)
        for title, pci, kind, rail, numa, gpu, vfs, pkeys, eswitch in draft.get("spec.pfs")
    )
    return WantedSku(name, gpus, pfs, draft.get("metadata.labels"), draft.where)


def _fabric(draft: Draft, name: str) -> WantedFabric | None:
    get = draft.get
    kind = get("spec.kind")
    if kind is None or not draft.broken.isdisjoint({"spec.rails", "spec.guids", "spec.pkeys"}):
        return None
    rails = tuple(
        Rail(RailIndex(index), title, tuple(s for s in (ipv4, ipv6) if s is not None), leaf or "")
        for index, (title, ipv4, ipv6, leaf) in enumerate(get("spec.rails"))
    )
    return WantedFabric(
        name,
        kind,
        rails,
        get("spec.pkeys"),
        get("spec.guids"),
        get("spec.addressing"),
        get("spec.block4"),
        get("spec.block6"),
        get("spec.excluded"),
        get("spec.coolDown"),
        get("metadata.labels"),
        draft.where,
        get("spec.reserved"),
        get("spec.reservedPkeys"),
    )


def _node(draft: Draft, name: str) -> WantedNode | None:
    get = draft.get
    sku, fabric, host = get("spec.sku"), get("spec.fabric"), get("spec.host")
    if sku is None or fabric is None or host is None:
        return None
    return WantedNode(name, sku, fabric, host, get("spec.leaves"), get("metadata.labels"), draft.where)

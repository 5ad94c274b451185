"""Views of hardware: SKUs, fabrics and nodes as the documents that `get` shows and `apply` takes back.

Place: part of `controller.api.view`. Pure. Must not decide anything.
"""

from __future__ import annotations

from typing import Any

from controller.store.hardware import gpu_document, guids_text, slot_document
from controller.store.records import Contents, FabricRecord, NodeRecord, SkuRecord
from ipam.needs import of_fabric, of_sku
from model.fabric import Rail, format_pkey

Parts = tuple[dict[str, Any], dict[str, Any]]
"""Spec and status."""


def sku(record: SkuRecord, contents: Contents) -> Parts:
    """`nodes`: how many are of it."""
    value = record.value
    spec: dict[str, Any] = {"gpus": [gpu_document(gpu) for gpu in value.gpus]} if value.gpus else {}
    spec["pfs"] = [slot_document(slot) for slot in value.pfs]
    return spec, {"nodes": len(contents.needed.get(of_sku(value.name), ()))}


def fabric(record: FabricRecord, contents: Contents) -> Parts:
    """`nodes`: how many are on it."""
    value = record.value
    spec: dict[str, Any] = {"kind": value.kind.value, "rails": [_rail(rail) for rail in value.rails]}
    if value.pkeys:
        spec["pkeys"] = _pkeys(value.pkeys)
    if value.guids:
        spec["guids"] = [guids_text(span) for span in value.guids]
    spec |= {"addressing": value.addressing.value, "block4": value.blocks[0], "block6": value.blocks[1]}
    if value.excluded:
        spec["excluded"] = [str(p) for p in value.excluded]
    if value.reserved:
        spec["reserved"] = [str(p) for p in value.reserved]
    if value.reserved_pkeys:
        spec["reservedPkeys"] = [_pkeys(span) for span in value.reserved_pkeys]
    spec["coolDown"] = value.cool_down
    return spec, {"nodes": len(contents.needed.get(of_fabric(value.name), ()))}


def _pkeys(span: range) -> str:
    return f"{format_pkey(span.start)}-{format_pkey(span.stop - 1)}"


def _rail(rail: Rail) -> dict[str, Any]:
    found: dict[str, Any] = {"name": rail.name}
    found |= {f"ipv{subnet.version}": str(subnet) for subnet in rail.subnets}
    return found | ({"leaf": rail.leaf} if rail.leaf else {})


def node(record: NodeRecord, contents: Contents) -> Parts:
    """`leaves`: what was written; the rest meets the rail's own."""
    value = record.value
    spec: dict[str, Any] = {"sku": value.sku, "fabric": value.fabric, "host": value.host}
    # A plan is shown beside what there was before it: a fabric that comes with its nodes is not there yet.
    fabric = contents.fabrics.get(value.fabric)
    names = [rail.name for rail in fabric.value.rails] if fabric else []
    names += [f"{index}" for index in range(len(names), len(value.leaves))]
    leaves = [{"rail": name, "leaf": leaf} for name, leaf in zip(names, value.leaves, strict=False) if leaf]
    if leaves:
        spec["leaves"] = leaves
    return spec, {"key": value.key}

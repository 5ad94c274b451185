"""Hardware: rows of SKUs, fabrics and nodes to model values and back.

Place: as `controller.store.rows`, whose readers it uses. Layouts are JSON texts in one fixed form, because
their order counts and a set has none. Pure. Must not do I/O.
"""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from controller.store.rows import ABSENT, Columns, Row, label_map, optional, text_set, texts
from model.fabric import Addressing, Fabric, FabricKind, Rail, RailIndex, format_guid, parse_guid
from model.hardware import Eswitch, Gpu, Node, NodeKey, PfSlot, Sku, format_pci, parse_pci
from model.ids import HostName, Uid
from model.order import prefix_rank
from model.wanted import Labels


def sku(row: Row) -> Sku:
    """Table Sku."""
    gpus = tuple(Gpu(parse_pci(each["pci"]), each.get("numa")) for each in json.loads(str(row["gpus"])))
    return Sku(str(row["name"]), gpus, tuple(_slot(each) for each in json.loads(str(row["pfs"]))))


def _slot(each: dict[str, Any]) -> PfSlot:
    eswitch = each.get("eswitch")
    return PfSlot(
        name=str(each["name"]),
        pci=parse_pci(each["pci"]),
        kind=FabricKind(each["kind"]),
        rail=each.get("rail"),
        numa=each.get("numa"),
        gpu=each.get("gpu"),
        vfs=int(each.get("vfs", 0)),
        pkeys=int(each.get("pkeys", 0)),
        eswitch=None if eswitch is None else Eswitch(eswitch),
    )


def slot_document(slot: PfSlot) -> dict[str, Any]:
    """A PF as manifests write it; what is not said is left out."""
    found: dict[str, Any] = {"name": slot.name, "pci": format_pci(slot.pci), "kind": slot.kind.value}
    said = {
        "rail": slot.rail,
        "numa": slot.numa,
        "gpu": slot.gpu,
        "vfs": slot.vfs or None,
        "pkeys": slot.pkeys or None,
        "eswitch": None if slot.eswitch is None else slot.eswitch.value,
    }
    return found | {key: value for key, value in said.items() if value is not None}


def gpu_document(gpu: Gpu) -> dict[str, Any]:
    """A GPU, likewise."""
    return {"pci": format_pci(gpu.pci)} | ({} if gpu.numa is None else {"numa": gpu.numa})


def sku_columns(value: Sku, tags: Labels) -> Columns:
    """Inverse of sku."""
    return {
        "name": value.name,
        "gpus": _text([gpu_document(gpu) for gpu in value.gpus]),
        "pfs": _text([slot_document(slot) for slot in value.pfs]),
        "labels": label_map(tags),
    }


def fabric(row: Row) -> Fabric:
    """Table Fabric. The order of rails and of GUID spans counts."""
    rails = tuple(
        Rail(
            RailIndex(index),
            str(each["name"]),
            tuple(ip_network(subnet) for subnet in each.get("subnets", ())),
            str(each.get("leaf", "")),
        )
        for index, each in enumerate(json.loads(str(row["rails"])))
    )
    first, stop = row["pkey_first"], row["pkey_last"]
    return Fabric(
        name=str(row["name"]),
        kind=FabricKind(str(row["kind"])),
        rails=rails,
        pkeys=range(0) if optional(first) is None else range(int(first), int(stop) + 1),
        guids=tuple(parse_guids(each) for each in json.loads(str(row["guids"]))),
        addressing=Addressing(str(row["addressing"])),
        blocks=(int(row["block4"]), int(row["block6"])),
        excluded=tuple(sorted((ip_network(p) for p in texts(row["excluded"])), key=prefix_rank)),
        cool_down=int(row["cool_down"]),
        reserved=tuple(sorted((ip_network(p) for p in texts(row["reserved"])), key=prefix_rank)),
        reserved_pkeys=tuple(sorted(map(_parse_span, texts(row["reserved_pkeys"])), key=lambda s: s.start)),
    )


def _parse_span(text: str) -> range:
    """`17-31`, both in it."""
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)


def parse_guids(text: str) -> range:
    """Inverse of guids_text; ValueError if it is none."""
    first, _, last = text.partition("-")
    return range(parse_guid(first), parse_guid(last) + 1)


def guids_text(span: range) -> str:
    """`FIRST-LAST`, both in it."""
    return f"{format_guid(span.start)}-{format_guid(span.stop - 1)}"


def fabric_columns(value: Fabric, tags: Labels) -> Columns:
    """Inverse of fabric."""
    return {
        "name": value.name,
        "kind": value.kind.value,
        "rails": _text([_rail(rail) for rail in value.rails]),
        "pkey_first": value.pkeys.start if value.pkeys else ABSENT,
        "pkey_last": value.pkeys.stop - 1 if value.pkeys else ABSENT,
        "guids": _text([guids_text(span) for span in value.guids]),
        "addressing": value.addressing.value,
        "block4": value.blocks[0],
        "block6": value.blocks[1],
        "excluded": text_set(str(p) for p in value.excluded),
        "cool_down": value.cool_down,
        "reserved": text_set(str(p) for p in value.reserved),
        "reserved_pkeys": text_set(f"{s.start}-{s.stop - 1}" for s in value.reserved_pkeys),
        "labels": label_map(tags),
    }


def _rail(rail: Rail) -> dict[str, Any]:
    found: dict[str, Any] = {"name": rail.name}
    if rail.subnets:
        found["subnets"] = [str(subnet) for subnet in rail.subnets]
    return found | ({"leaf": rail.leaf} if rail.leaf else {})


def node(row: Row, sku_name: str, fabric_name: str, host: str) -> Node:
    """Table Node; the names of the SKU, the fabric and the hypervisor that the row refers to."""
    return Node(
        name=str(row["name"]),
        key=NodeKey(int(row["key"])),
        sku=sku_name,
        fabric=fabric_name,
        host=HostName(host),
        leaves=tuple(str(leaf) for leaf in json.loads(str(row["leaves"]))),
    )


def node_columns(value: Node, tags: Labels, parents: tuple[Uid, Uid, Uid]) -> Columns:
    """Inverse of node; `parents`: uids of SKU, fabric and hypervisor."""
    made, net, host = parents
    return {
        "name": value.name,
        "key": value.key,
        "sku": ["uuid", made],
        "fabric": ["uuid", net],
        "host": ["uuid", host],
        "leaves": _text(list(value.leaves)),
        "labels": label_map(tags),
    }


def _text(value: Any) -> str:
    """One value has one text: `wait`s compare it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

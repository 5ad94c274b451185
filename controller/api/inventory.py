"""Inventory: nodes as their SKUs have them, beside what their hosts see, as JSON.

Place: the store's contents and the hosts' reports -> `ipam.inventory` -> what people see. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from controller.api.concern import DEAD_AFTER_MS
from controller.store.hardware import slot_document
from controller.store.records import Contents
from ipam.inventory import Compared, Difference, compare
from model.addresses import format_mac
from model.fabric import format_guid
from model.hardware import Node, format_pci
from model.report import Report
from model.sighting import SeenPf, SeenVf, Sighting

_MATCHES: Final = "matches"
_DIFFERS: Final = "differs"
_UNSEEN: Final = "unseen"


def listing(
    contents: Contents, nodes: Iterable[Node], reports: Mapping[str, Report], now: int
) -> list[dict[str, Any]]:
    """Each node; `now`: Unix ms."""
    return [_node(contents, node, reports.get(node.host), now) for node in nodes]


def alarms(contents: Contents, reports: Mapping[str, Report]) -> Iterator[dict[str, str]]:
    """One for each node whose host told of other hardware than its SKU has; hosts that are silent have their
    own."""
    for name, record in sorted(contents.nodes.items()):
        report, sku = reports.get(record.value.host), contents.skus.get(record.value.sku)
        if report is None or sku is None or report.devices == Sighting():
            continue
        count = compare(sku.value, report.devices).count
        if count:
            places = f"{count} place{'s' if count != 1 else ''}"
            yield {
                "object": f"Node {name}",
                "message": f"its hardware differs from Sku {record.value.sku} in {places}",
                "remedy": f"See ringfence ipam inventory --node {name}",
            }


def brief(node: Mapping[str, Any]) -> dict[str, Any]:
    """What `get nodes` shows of it."""
    return {"state": node["state"], "differences": node["differences"]}


def _node(contents: Contents, node: Node, report: Report | None, now: int) -> dict[str, Any]:
    """`ageMs`: of the report. A host that has never looked says nothing: `unseen`."""
    record = contents.skus.get(node.sku)
    seen = Sighting() if report is None else report.devices
    found: dict[str, Any] = {"node": node.name, "host": node.host, "sku": node.sku, "fabric": node.fabric}
    found["ageMs"] = None if report is None else max(now - report.stamp_ms, 0)
    found["silent"] = report is None or now - report.stamp_ms > DEAD_AFTER_MS
    if record is None or seen == Sighting():
        remedy = f"Is the agent of {node.host} running? See: ringfence status"
        if record is None:
            remedy = f"The row of Sku {node.sku} can't be read: apply it again."
        return found | {"state": _UNSEEN, "differences": 0, "remedy": remedy, "pfs": [], "gpus": []}
    compared = compare(record.value, seen)
    return found | {
        "state": _DIFFERS if compared.count else _MATCHES,
        "differences": compared.count,
        "pfs": [_pf(each) for each in compared.pfs],
        "gpus": [asdict(each) for each in compared.gpus],
        "strangers": [_seen(each) for each in compared.strangers],
        "oddities": [asdict(each) for each in seen.oddities],
    }


def _pf(each: Compared) -> dict[str, Any]:
    return {
        "name": each.slot.name,
        "expected": slot_document(each.slot),
        "found": None if each.seen is None else _seen(each.seen),
        "differences": [_difference(one) for one in each.differences],
    }


def _difference(one: Difference) -> dict[str, Any]:
    return asdict(one)


def _seen(pf: SeenPf) -> dict[str, Any]:
    """What was told; the rest is left out."""
    told: dict[str, Any] = {
        "pci": format_pci(pf.pci),
        "id": pf.id,
        "driver": pf.driver,
        "numa": pf.numa,
        "gpus": [format_pci(pci) for pci in pf.gpus],
        "netdev": pf.netdev,
        "mac": format_mac(pf.mac) if pf.mac else "",
        "rdma": pf.rdma,
        "link": pf.link,
        "nodeGuid": format_guid(pf.node_guid) if pf.node_guid else "",
        "portGuid": format_guid(pf.port_guid) if pf.port_guid else "",
        "pkeys": pf.pkeys,
        "totalVfs": pf.total,
        "vfs": pf.made,
        "eswitch": pf.eswitch,
        "functions": [_vf(vf) for vf in pf.vfs],
    }
    return {key: value for key, value in told.items() if value not in ("", None, [])}


def _vf(vf: SeenVf) -> dict[str, Any]:
    told: dict[str, Any] = {
        "index": vf.index,
        "pci": format_pci(vf.pci),
        "driver": vf.driver,
        "mac": format_mac(vf.mac) if vf.mac else "",
        "nodeGuid": format_guid(vf.node_guid) if vf.node_guid else "",
        "portGuid": format_guid(vf.port_guid) if vf.port_guid else "",
    }
    return {key: value for key, value in told.items() if value != ""}

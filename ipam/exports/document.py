"""Document: a kit as JSON, for programs.

Place: a renderer of `ipam.exports`. Everything that the other renderers know, and nothing that they don't.
"""

from __future__ import annotations

from typing import Any

from ipam.exports.kit import Card, Kit, Route
from model.addresses import format_mac
from model.fabric import format_guid, format_pkey
from model.hardware import format_pci


def document(kit: Kit) -> dict[str, Any]:
    """What is not known is left out."""
    found: dict[str, Any] = {
        "node": kit.node,
        "host": kit.host,
        "fabric": kit.fabric,
        "kind": kit.kind.value,
        "state": kit.state.value,
        "for": kit.use.value,
        "generation": kit.generation,
    }
    if kit.pkey:
        found |= {"pkey": format_pkey(kit.pkey), "pkeyIndex": 0, "membership": kit.membership.value}
    if kit.gpus:
        found["gpus"] = list(kit.gpus)
    return found | {"interfaces": [_card(card) for card in kit.cards]}


def _route(route: Route) -> dict[str, Any]:
    metric = {"metric": route.metric} if route.metric else {}
    return {"to": str(route.to), "via": str(route.via)} | metric


def _card(card: Card) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": card.name,
        "rail": card.rail_name,
        "railIndex": int(card.rail),
        "pf": card.pf,
        "vf": card.vf,
        "pci": None if card.pci is None else format_pci(card.pci),
        "mac": format_mac(card.mac) if card.mac else None,
        "nodeGuid": format_guid(card.node_guid) if card.node_guid else None,
        "portGuid": format_guid(card.port_guid) if card.port_guid else None,
        "addresses": [str(one) for one in card.addresses],
        "routes": [_route(route) for route in card.routes],
        "gpu": card.gpu,
        "gpuPci": None if card.gpu_pci is None else format_pci(card.gpu_pci),
        "numa": card.numa,
    }
    return {key: value for key, value in told.items() if value is not None}

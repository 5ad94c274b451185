"""Laws of hardware: what must hold between SKUs, fabrics and nodes once a plan is in place.

Place: part of `ipam.laws`. Looks at what the plan touches only. Must not change anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipam.contents import FabricRecord, NodeRecord, SkuRecord
from ipam.needs import of_fabric, of_sku
from ipam.steps import Step
from ipam.trial import Trial
from model.errors import Conflict
from model.fabric import Fabric, meet
from model.wanted import Kind, Reference, title


def check_hardware(trial: Trial, steps: Iterable[Step]) -> None:
    """Spans of fabrics are apart; each node's PFs fit the rails that they are on."""
    nodes: set[str] = set()
    for step in steps:
        match step.after:
            case NodeRecord(value):
                nodes.add(value.name)
            case SkuRecord(value):
                nodes.update(r.name for r in trial.draft.dependants(of_sku(value.name)))
            case FabricRecord(value):
                _check_spans(trial, value)
                nodes.update(r.name for r in trial.draft.dependants(of_fabric(value.name)))
            case _:
                pass
    for name in sorted(nodes):
        _check_node(trial, name)


def _check_spans(trial: Trial, fabric: Fabric) -> None:
    """One PKey, one GUID: one fabric. Of two in one request the later name is told."""
    mine = Reference(Kind.FABRIC, fabric.name)
    for name in sorted(trial.draft.fabrics):
        other = trial.draft.fabrics[name].value
        if name == fabric.name or (name > fabric.name and Reference(Kind.FABRIC, name) in trial.asked):
            continue
        if meet(fabric.pkeys, other.pkeys):
            trial.refuse(
                Conflict,
                trial.written(mine),
                "pkey-overlap",
                f"its PKeys overlap those of Fabric {name}",
                "Give each fabric PKeys of its own: 0x0001-0x3fff and 0x4000-0x7ffe, for example.",
                "spec.pkeys",
            )
        for index, span in enumerate(fabric.guids):
            if any(meet(span, theirs) for theirs in other.guids):
                trial.refuse(
                    Conflict,
                    trial.written(mine),
                    "guid-overlap",
                    f"its GUIDs overlap those of Fabric {name}",
                    "Give each fabric GUIDs of its own.",
                    f"spec.guids[{index}]",
                )


def _check_node(trial: Trial, name: str) -> None:
    node = trial.draft.nodes[name].value
    sku, fabric = trial.draft.skus.get(node.sku), trial.draft.fabrics.get(node.fabric)
    if sku is None or fabric is None:
        return  # told already
    mine = Reference(Kind.NODE, name)
    theirs = (Reference(Kind.SKU, node.sku), Reference(Kind.FABRIC, node.fabric))
    for slot in sku.value.pfs:
        if slot.rail is None:
            continue
        if fabric.value.rail(slot.rail) is None:
            message = f"PF {slot.name} of Sku {node.sku} is on rail {slot.rail}, and Fabric {node.fabric} has"
            message += f" {len(fabric.value.rails)}, from 0"
            rule, remedy = "rail-unknown", "Add rails to the fabric, or choose another SKU or fabric."
        elif slot.kind is not fabric.value.kind:
            message = f"PF {slot.name} of Sku {node.sku} speaks {slot.kind.value}, Fabric {node.fabric}"
            message += f" {fabric.value.kind.value}"
            rule, remedy = "rail-kind", "Choose another SKU or fabric, or take the PF off its rail."
        else:
            continue
        blamed = trial.blame(mine, *theirs)
        shown = message if blamed is trial.written(mine) else f"{title(mine)}: {message}"
        trial.refuse(Conflict, blamed, rule, shown, remedy)
        return

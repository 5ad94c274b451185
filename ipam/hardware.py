"""Hardware: planning of SKUs, fabrics and nodes.

Place: one part of `ipam.plan`; what must hold between them stands in `ipam.laws_hardware`. Must not write
anything but the trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ipam import laws_gangs
from ipam.contents import FabricRecord, NodeRecord, SkuRecord
from ipam.laws_gangs import Objection
from ipam.needs import of_fabric, of_sku
from ipam.pools import NODE_HOST, NODE_KEY, node_pool
from ipam.spaces.extent import merge
from ipam.trial import Trial
from model.errors import Conflict, Invalid
from model.fabric import Addressing, Fabric, FabricKind, meet
from model.hardware import Eswitch, Node, NodeKey, Sku
from model.ids import HostName
from model.order import prefix_rank
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedFabric,
    WantedNode,
    WantedSku,
    refer,
    title,
)


def plan_skus(trial: Trial, wanted: Sequence[WantedSku]) -> None:
    """A SKU as it is written; while nodes are of it, its PFs keep their places."""
    for want in wanted:
        before = trial.draft.skus.get(want.name)
        value = Sku(want.name, want.gpus, want.pfs)
        faults = list(_of_sku(value))
        used = trial.draft.dependants(of_sku(want.name))
        if before is not None and used:
            faults += _moved_pfs(before.value, value, title(used[0]))
            faults += laws_gangs.check_sku(trial, before.value, value, {each.name for each in used})
        if _refuse(trial, want, faults):
            continue
        labels = want.labels if want.labels is not None else () if before is None else before.labels
        trial.settle(want, before, SkuRecord(value, labels))


def _of_sku(sku: Sku) -> Iterator[Objection]:
    """What is wrong with a layout by itself."""
    names: dict[str, int] = {}
    places = {gpu.pci: f"GPU {number}" for number, gpu in enumerate(sku.gpus)}
    if len(places) < len(sku.gpus):
        yield "pci-twice", "two GPUs have one PCI address", "Give each its own.", "spec.gpus"
    for index, slot in enumerate(sku.pfs):
        path = f"spec.pfs[{index}]"
        if slot.name in names:
            yield "pf-twice", f"{slot.name} is the name of two PFs", "Give each its own.", path
        names.setdefault(slot.name, index)
        if slot.pci in places:
            message = f"PF {slot.name} has the PCI address of {places[slot.pci]}"
            yield "pci-twice", message, "Give each its own.", path
        places.setdefault(slot.pci, f"PF {slot.name}")
        gpu = None
        if slot.gpu is not None and slot.gpu >= len(sku.gpus):
            message = f"PF {slot.name} is next to GPU {slot.gpu}, and there are {len(sku.gpus)}, from 0"
            yield "gpu-unknown", message, "Count the SKU's gpus from 0.", path
        elif slot.gpu is not None:
            gpu = sku.gpus[slot.gpu]
        if gpu is not None and None not in {gpu.numa, slot.numa} and gpu.numa != slot.numa:
            message = f"PF {slot.name} is at NUMA node {slot.numa}, its GPU {slot.gpu} at {gpu.numa}"
            yield "numa-mismatch", message, "What is under one PCI switch has one NUMA node.", path
        if slot.kind is not FabricKind.INFINIBAND and slot.pkeys:
            message = f"PF {slot.name} is no InfiniBand port"
            yield "infiniband-only", message, "Leave pkeys out.", path
        if slot.kind is FabricKind.INFINIBAND and not slot.pkeys:
            message = f"PF {slot.name} does not say how many PKeys its port has room for"
            yield "pkeys-missing", message, "Add pkeys: 128, or what the device has.", path
        if slot.kind is FabricKind.INFINIBAND and slot.eswitch is Eswitch.SWITCHDEV:
            message = f"PF {slot.name} is an InfiniBand port"
            yield "ethernet-only", message, "Write eswitch: legacy, or leave it out.", path


def _moved_pfs(before: Sku, after: Sku, user: str) -> Iterator[Objection]:
    """What VFs of its nodes have is derived from a PF's place."""
    for index, old in enumerate(before.pfs):
        new = after.pfs[index] if index < len(after.pfs) else None
        if new is None or (new.name, new.rail, new.kind) != (old.name, old.rail, old.kind):
            message = f"PF {old.name} would lose its place, rail or kind, and {user} is of this SKU"
            advice = "Add PFs behind the others; for another layout declare another Sku."
            yield "sku-in-use", message, advice, f"spec.pfs[{index}]" if new else "spec.pfs"


def plan_fabrics(trial: Trial, wanted: Sequence[WantedFabric]) -> None:
    """A fabric as it is written; while nodes are on it, its spaces only grow."""
    for want in wanted:
        before = trial.draft.fabrics.get(want.name)
        value = _fabric(want, None if before is None else before.value)
        faults = list(_of_fabric(value))
        used = trial.draft.dependants(of_fabric(want.name))
        if before is not None:
            if before.value.kind is not want.kind:
                message = f"it is {before.value.kind.value} and can't become {want.kind.value}"
                advice = "Delete it and make it again, or declare another one."
                trial.refuse(Conflict, want, "immutable", message, advice, "spec.kind")
                continue
            user = laws_gangs.whose(trial, want.name) or (f"{title(used[0])} is on it" if used else "")
            faults += _shrunk(before.value, value, user) if user else ()
            faults += laws_gangs.check_fabric(trial, before.value, value)
        if _refuse(trial, want, faults):
            continue
        labels = want.labels if want.labels is not None else () if before is None else before.labels
        trial.settle(want, before, FabricRecord(value, labels))


def _fabric(want: WantedFabric, before: Fabric | None) -> Fabric:
    usual = Addressing.TENANT if want.kind is FabricKind.INFINIBAND else Addressing.LINK
    old = Fabric(want.name, want.kind, (), addressing=usual) if before is None else before
    return Fabric(
        name=want.name,
        kind=want.kind,
        rails=want.rails,
        pkeys=old.pkeys if want.pkeys is None else want.pkeys,
        guids=old.guids if want.guids is None else want.guids,
        addressing=old.addressing if want.addressing is None else want.addressing,
        blocks=(want.block4 or old.blocks[0], want.block6 or old.blocks[1]),
        excluded=old.excluded
        if want.excluded is None
        else tuple(sorted(set(want.excluded), key=prefix_rank)),
        cool_down=old.cool_down if want.cool_down is None else want.cool_down,
        reserved=old.reserved
        if want.reserved is None
        else tuple(sorted(set(want.reserved), key=prefix_rank)),
        reserved_pkeys=old.reserved_pkeys if want.reserved_pkeys is None else merge(want.reserved_pkeys),
    )


def _of_fabric(fabric: Fabric) -> Iterator[Objection]:
    """What is wrong with a fabric by itself."""
    infiniband = fabric.kind is FabricKind.INFINIBAND
    for present, field, rule in (
        (bool(fabric.pkeys), "pkeys", "pkeys-missing"),
        (bool(fabric.guids), "guids", "guids-missing"),
    ):
        if infiniband and not present:
            yield rule, f"an InfiniBand fabric needs {field}", f"Add {field} to spec.", f"spec.{field}"
        if present and not infiniband:
            message = f"a fabric of kind {fabric.kind.value} has no {field}"
            yield "infiniband-only", message, "Leave it out.", f"spec.{field}"
    for index, span in enumerate(fabric.reserved_pkeys):
        if span.start not in fabric.pkeys or span.stop - 1 not in fabric.pkeys:
            message = "PKeys are reserved that are none of the fabric's"
            yield "reserved-outside", message, "Reserve a part of spec.pkeys.", f"spec.reservedPkeys[{index}]"
    for index, span in enumerate(fabric.guids):
        if any(meet(span, earlier) for earlier in fabric.guids[:index]):
            yield "guid-overlap", "two spans of GUIDs overlap", "Join them.", f"spec.guids[{index}]"
    names: set[str] = set()
    for index, rail in enumerate(fabric.rails):
        path = f"spec.rails[{index}]"
        if rail.name in names:
            yield "rail-twice", f"{rail.name} is the name of two rails", "Give each its own.", path
        names.add(rail.name)
        for subnet in rail.subnets:
            block = fabric.blocks[0 if subnet.version == 4 else 1]
            if block < subnet.prefixlen:
                message = f"no block of /{block} fits into {subnet} of {rail.name}"
                field = f"block{subnet.version}"
                yield "block-size", message, "Write a longer block, or a larger subnet.", f"spec.{field}"
            for earlier in fabric.rails[:index]:
                for other in earlier.subnets:
                    if other.version == subnet.version and other.overlaps(subnet):
                        message = f"{subnet} overlaps {other} of {earlier.name}"
                        yield "subnet-overlap", message, "Rails need subnets of their own.", path


def _shrunk(before: Fabric, after: Fabric, user: str) -> Iterator[Objection]:
    """What nodes on it have is derived from the beginning of each space, or may lie anywhere in it."""
    advice = "Only add behind what is there; for another layout declare another Fabric."
    for index, old in enumerate(before.rails):
        new = after.rail(index)
        if new is None or (new.name, new.subnets) != (old.name, old.subnets):
            message = f"rail {old.name} would go or change its place or subnets, and {user}"
            yield "fabric-in-use", message, advice, f"spec.rails[{index}]" if new else "spec.rails"
    if before.pkeys and not (
        after.pkeys.start <= before.pkeys.start and before.pkeys.stop <= after.pkeys.stop
    ):
        yield "fabric-in-use", f"PKeys would go, and {user}", advice, "spec.pkeys"
    for index, span in enumerate(before.guids):
        kept = after.guids[index] if index < len(after.guids) else range(0)
        if kept.start != span.start or kept.stop < span.stop:
            yield "fabric-in-use", f"GUIDs would go, and {user}", advice, "spec.guids"
            break
    if (before.addressing, before.blocks) != (after.addressing, after.blocks):
        yield "fabric-in-use", f"addresses would change, and {user}", advice, "spec.addressing"


def plan_nodes(trial: Trial, wanted: Sequence[WantedNode]) -> None:
    """A key from the pool, for the node's life; a hypervisor is one node's alone."""
    for want in wanted:
        before = trial.draft.nodes.get(want.name)
        if before is not None and before.value.host != want.host:
            trial.release(refer(want), [(NODE_HOST, before.value.host)])
    for want in wanted:
        before = trial.draft.nodes.get(want.name)
        fabric = _find(trial, want, Reference(Kind.FABRIC, want.fabric), "spec.fabric")
        sku = _find(trial, want, Reference(Kind.SKU, want.sku), "spec.sku")
        host = _find_host(trial, want)
        leaves = None
        if isinstance(fabric, FabricRecord):
            leaves = _leaves(trial, want, fabric.value, None if before is None else before.value)
        if sku is None or leaves is None or not host:
            continue
        held = trial.hold(want, (NODE_HOST, want.host), f"hypervisor {want.host}", "spec.host")
        if not held:
            continue
        key = (
            trial.allocate(want, node_pool(), f"pool {NODE_KEY}", "") if before is None else before.value.key
        )
        if key is not None:
            labels = want.labels if want.labels is not None else () if before is None else before.labels
            value = Node(want.name, NodeKey(key), want.sku, want.fabric, want.host, leaves)
            held_fast = () if before is None else laws_gangs.check_node(trial, before.value, value)
            if _refuse(trial, want, tuple(held_fast)):
                continue
            trial.settle(want, before, NodeRecord(value, labels))


def _find(trial: Trial, want: WantedNode, reference: Reference, path: str) -> object | None:
    found = trial.draft.find(reference)
    if found is None and reference not in trial.asked:
        kind, rule = reference.kind, "unknown-sku" if reference.kind is Kind.SKU else "unknown-fabric"
        advice = f"Add the {kind.value} to the manifest, or correct {path}."
        trial.refuse(Conflict, want, rule, f"there is no {title(reference)}", advice, path)
    return found


def _find_host(trial: Trial, want: WantedNode) -> bool:
    reference = Reference(Kind.HYPERVISOR, want.host)
    found = trial.draft.hypervisors.get(HostName(want.host))
    if found is None:
        if reference not in trial.asked:
            advice = "Add the Hypervisor to the manifest, or correct spec.host."
            message = f"there is no {title(reference)}"
            trial.refuse(Conflict, want, "unknown-host", message, advice, "spec.host")
        return False
    if found.value.external:
        message = f"{want.host} is external: no agent of ours sees its devices"
        advice = "Name a hypervisor with an agent."
        trial.refuse(Conflict, want, "external-host", message, advice, "spec.host")
        return False
    return True


def _leaves(trial: Trial, want: WantedNode, fabric: Fabric, before: Node | None) -> tuple[str, ...] | None:
    """By rail, "" = the rail's own; () = all are; None (and a fault) for a rail that is not there."""
    if want.leaves is None:
        return () if before is None or before.fabric != fabric.name else before.leaves
    numbers = {rail.name: rail.index for rail in fabric.rails}
    found = [""] * len(fabric.rails)
    sound = True
    for index, (rail, leaf) in enumerate(want.leaves):
        if rail in numbers and not found[numbers[rail]]:
            found[numbers[rail]] = leaf
            continue
        sound = False
        message = f"Fabric {fabric.name} has no rail {rail}"
        if rail in numbers:
            message = f"rail {rail} stands twice"
        advice = f"Its rails are {', '.join(numbers)}."
        trial.refuse(Invalid, want, "rail-unknown", message, advice, f"spec.leaves[{index}]")
    if not sound:
        return None
    return tuple(found) if any(found) else ()


def _refuse(trial: Trial, want: Wanted, faults: Sequence[Objection]) -> bool:
    for rule, message, remedy, path in faults:
        error = Conflict if rule in {"sku-in-use", "fabric-in-use", laws_gangs.RULE} else Invalid
        trial.refuse(error, want, rule, message, remedy, path)
    return bool(faults)

"""Fit: what a gang would get on one node, or what the node lacks.

Place: asked by `place` for each node. Reads the books only. Must not compare nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ipam.gangs.ledger import Books
from ipam.gangs.refusal import Lack
from ipam.gangs.slots import derived, guids, serial
from model.addresses import Address
from model.fabric import Addressing, FabricKind, PKey, Rail
from model.gang import Align, Berth, GangRequest, Interface
from model.hardware import Node, PfSlot, Sku

_DEFAULT_ENTRIES: Final = 1
"""Entries of a port's PKey table that are not for tenants: the default partition's."""

Excluded = Mapping[int, Sequence[range]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What is the same for all nodes of one request. `pkey`: the tenant's, 0 = it has none yet."""

    books: Books
    request: GangRequest
    rails: tuple[Rail, ...]
    excluded: Excluded
    pkey: PKey


def fit(ground: Ground, node: Node, sku: Sku) -> Berth | tuple[Lack, ...]:
    """Slots, GUIDs and derived addresses, without MACs and addresses of a tenant's block."""
    chosen = _choose_gpus(ground, node, sku)
    if isinstance(chosen, Lack):
        return (chosen,)
    interfaces: list[Interface] = []
    lacks: list[Lack] = []
    for rail in ground.rails:
        wanted = _ports(ground, sku, rail, chosen)
        if not wanted:
            lacks.append(Lack(node.name, _absent(ground, chosen), 1, 0, rail.name))
        for group in wanted:
            found = _take_first(ground, node, sku, rail, group)
            if isinstance(found, Lack):
                lacks.append(found)
            else:
                interfaces.extend(found)
    if ground.request.align is not Align.ANY and chosen:
        # Rails far from its GPUs are no lack: a part of a host has a part of its rails.
        lacks = [lack for lack in lacks if lack.there or lack.what != _absent(ground, chosen)]
    if lacks or not interfaces:
        return tuple(lacks) or (Lack(node.name, "rails next to its GPUs", 1, 0),)
    return Berth(node.name, node.host, chosen, tuple(interfaces))


def _absent(ground: Ground, chosen: tuple[int, ...]) -> str:
    kind = ground.books.fabric.kind.value
    beside = {Align.GPU: " next to its GPUs", Align.NUMA: " on its GPUs' NUMA nodes", Align.ANY: ""}
    return f"PF of kind {kind}{beside[ground.request.align] if chosen else ''}"


def _ports(
    ground: Ground, sku: Sku, rail: Rail, chosen: tuple[int, ...]
) -> list[tuple[tuple[int, PfSlot], ...]]:
    """Groups of PFs of a rail, each with its place: one PF of each group is used."""
    ports = [
        (place, slot)
        for place, slot in enumerate(sku.pfs)
        if slot.rail == rail.index and slot.kind is ground.books.fabric.kind
    ]
    if not chosen or ground.request.align is Align.ANY:
        return [tuple(ports)] if ports else []
    if ground.request.align is Align.GPU:
        groups = [tuple(port for port in ports if port[1].gpu == gpu) for gpu in chosen]
        return [group for group in groups if group]
    near = {sku.gpus[gpu].numa for gpu in chosen}
    ports = [port for port in ports if port[1].numa in near]
    return [tuple(ports)] if ports else []


def _take_first(
    ground: Ground, node: Node, sku: Sku, rail: Rail, group: tuple[tuple[int, PfSlot], ...]
) -> list[Interface] | Lack:
    """All interfaces of the rail from the first PF that has them; what the best one lacks if none has."""
    best: Lack | None = None
    for place, slot in group:
        found = _take(ground, node, sku, rail, place, slot)
        if not isinstance(found, Lack):
            return found
        best = found if best is None or found.there > best.there else best
    assert best is not None
    return best


def _take(
    ground: Ground, node: Node, sku: Sku, rail: Rail, place: int, slot: PfSlot
) -> list[Interface] | Lack:
    books, each = ground.books, ground.request.each
    entries = [key for key, _ in books.tables.get((node.name, slot.name), ())]
    if slot.pkeys and ground.pkey not in entries and len(entries) + _DEFAULT_ENTRIES >= slot.pkeys:
        return Lack(node.name, "room in its PKey table", 1, 0, rail.name, slot.name)
    found: list[Interface] = []
    what = "free VFs"
    for vf, number in _free(books, node, place, slot):
        made = _interface(ground, node, sku, rail, slot, vf, number)
        if isinstance(made, str):
            what = made
            continue
        found.append(made)
        if len(found) == each:
            return found
    return Lack(node.name, what, each, len(found), rail.name, slot.name)


def _free(books: Books, node: Node, place: int, slot: PfSlot) -> Iterator[tuple[int, int]]:
    """(VF, number) of those that nobody has, the lowest first."""
    first = serial(node.key, place, 0)
    number = books.slots.next_free(first)
    while number is not None and number < first + slot.vfs:
        yield number - first, number
        number = books.slots.next_free(number + 1)


def _interface(
    ground: Ground, node: Node, sku: Sku, rail: Rail, slot: PfSlot, vf: int, number: int
) -> Interface | str:
    """A text says what follows from the slot and is not to be had."""
    fabric, books = ground.books.fabric, ground.books
    addresses: tuple[Address, ...] = ()
    if fabric.addressing is not Addressing.TENANT:
        ports = sku.on_rail(rail.index)
        # Slot by slot, so that more VFs of a PF move no other's addresses.
        index = vf * len(ports) + ports.index(slot)
        made = derived(fabric, rail, node.key, index, ground.excluded)
        if made is None or any(a in books.links.get(node.name, ()) for a in made):
            return "addresses in the node's block of the rail's subnets"
        addresses = made
    if fabric.kind is not FabricKind.INFINIBAND:
        return Interface(number, slot.name, vf, rail.index, addresses)
    pair = guids(fabric, number)
    if pair is None:
        return "GUIDs in the fabric's spans for this place"
    return Interface(number, slot.name, vf, rail.index, addresses, node_guid=pair[0], port_guid=pair[1])


def _choose_gpus(ground: Ground, node: Node, sku: Sku) -> tuple[int, ...] | Lack:
    """GPUs that no other gang has, from one NUMA node if one has enough: the fullest of those."""
    wanted = ground.request.gpus
    if not wanted:
        return ()
    busy = {gpu for gpu, _ in ground.books.gpus.get(node.name, ())}
    free = [gpu for gpu in range(len(sku.gpus)) if gpu not in busy and _reaches(ground, sku, gpu)]
    if len(free) < wanted:
        return Lack(node.name, "free GPUs with a PF on the rails", wanted, len(free))
    groups: dict[int, list[int]] = {}
    for gpu in free:
        numa = sku.gpus[gpu].numa
        groups.setdefault(-1 if numa is None else numa, []).append(gpu)
    enough = [numa for numa in groups if len(groups[numa]) >= wanted]
    if enough:
        tightest = min(enough, key=lambda numa: (len(groups[numa]), numa))
        return tuple(groups[tightest][:wanted])
    # The emptiest first, so that the fewest NUMA nodes are torn.
    order = sorted(groups, key=lambda numa: (-len(groups[numa]), numa))
    return tuple(sorted([gpu for numa in order for gpu in groups[numa]][:wanted]))


def _reaches(ground: Ground, sku: Sku, gpu: int) -> bool:
    """Whether a PF on the rails stands next to a GPU, where that is asked for."""
    if ground.request.align is not Align.GPU:
        return True
    rails, kind = {rail.index for rail in ground.rails}, ground.books.fabric.kind
    return any(slot.gpu == gpu and slot.rail in rails and slot.kind is kind for slot in sku.pfs)

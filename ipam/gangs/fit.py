"""Fit: which slots a gang would get on one node, or what the node lacks; and the interfaces of a node that
was chosen.

Place: asked by `place`: `fit` for each node, `build` only for those that are taken. Reads the books only.
Must not compare nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ipam.gangs.ledger import Books
from ipam.gangs.refusal import Lack
from ipam.gangs.slots import derived, guids, rows, serial
from model.addresses import Address
from model.fabric import Addressing, FabricKind, PKey, Rail
from model.gang import Align, Berth, GangRequest, Interface, Static
from model.hardware import Node, PfSlot, Sku

_DEFAULT_ENTRIES: Final = 1
"""Entries of a port's PKey table that are not for tenants: the default partition's."""
_NO_ADDRESS: Final = "addresses in the node's block of the rail's subnets"

Spans = Mapping[int, Sequence[range]]
"""By IP version."""
Lines = tuple[tuple[range, Sequence[range]], ...]
"""Addresses by number of the interface, and what is not given of them; of each subnet of a rail."""


@dataclass(frozen=True, slots=True)
class Port:
    """A PF on a rail. `place`: in its SKU; `order`: among the `abreast` PFs of that rail."""

    place: int
    slot: PfSlot
    order: int
    abreast: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What is the same for all nodes of one request. `ports`: by SKU and rail, those of the fabric's kind.

    `excluded`: addresses that nobody gets; `closed`: those, and what is only given by value. `pkey`: the
    tenant's, 0 = it has none yet. `statics`: by node and PF. `reach`: slots below it have GUIDs, or need
    none.
    """

    books: Books
    request: GangRequest
    rails: tuple[Rail, ...]
    ports: Mapping[tuple[str, int], tuple[Port, ...]]
    excluded: Spans
    closed: Spans
    pkey: PKey
    statics: Mapping[tuple[str, str], tuple[Static, ...]]
    reach: int


@dataclass(frozen=True, slots=True)
class Seat:
    """A VF that a gang would have. `number`: of its slot. `addresses`: those that were asked for."""

    rail: Rail
    port: Port
    vf: int
    number: int
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """What a gang would have on a node."""

    node: Node
    gpus: tuple[int, ...]
    seats: tuple[Seat, ...]


def ports(sku: Sku, rail: int, kind: FabricKind) -> tuple[Port, ...]:
    """The PFs of a rail that speak what its fabric does."""
    row = [(place, slot) for place, slot in enumerate(sku.pfs) if slot.rail == rail]
    return tuple(
        Port(place, slot, order, len(row)) for order, (place, slot) in enumerate(row) if slot.kind is kind
    )


def fit(ground: Ground, node: Node, sku: Sku) -> Fit | tuple[Lack, ...]:
    """The slots, without what follows from them."""
    chosen = _choose_gpus(ground, node, sku)
    if isinstance(chosen, Lack):
        return (chosen,)
    seats: list[Seat] = []
    lacks: list[Lack] = []
    for rail in ground.rails:
        wanted = _groups(ground, sku, rail, chosen)
        if not wanted:
            lacks.append(Lack(node.name, _absent(ground, chosen), 1, 0, rail.name))
        for group in wanted:
            found = _take_first(ground, node, rail, group)
            if isinstance(found, Lack):
                lacks.append(found)
            else:
                seats.extend(found)
    if ground.request.align is not Align.ANY and chosen:
        # Rails far from its GPUs are no lack: a part of a host has a part of its rails.
        lacks = [lack for lack in lacks if lack.there or lack.what != _absent(ground, chosen)]
    if ground.statics and not lacks:
        lacks.extend(_unserved(ground, node, seats))
    if lacks or not seats:
        return tuple(lacks) or (Lack(node.name, "rails next to its GPUs", 1, 0),)
    return Fit(node, chosen, tuple(seats))


def _unserved(ground: Ground, node: Node, seats: Sequence[Seat]) -> Iterator[Lack]:
    """PFs that were asked for, and are not among those that the gang would have there."""
    there = {seat.port.slot.name for seat in seats}
    for name, pf in sorted(ground.statics):
        if name == node.name and pf not in there:
            yield Lack(name, "that PF, which is asked for, among those that it would have", 1, 0, "", pf)


def build(ground: Ground, found: Fit) -> Berth:
    """The interfaces, with GUIDs and derived addresses, without MACs. By tenant: with the addresses that were
    asked for alone.
    """
    fabric, node = ground.books.fabric, found.node
    made: list[Interface] = []
    for seat in found.seats:
        addresses, slot = seat.addresses, seat.port.slot
        if fabric.addressing is not Addressing.TENANT:
            # What was seen to be there: `excluded` would only be looked at again.
            index = _index(seat.port, seat.vf)
            addresses = derived(fabric, seat.rail, node.key, index, ground.excluded) or ()
        pair = guids(fabric, seat.number) if fabric.kind is FabricKind.INFINIBAND else None
        plain = Interface(seat.number, slot.name, seat.vf, seat.rail.index, addresses)
        made.append(
            plain
            if pair is None
            else Interface(
                seat.number,
                slot.name,
                seat.vf,
                seat.rail.index,
                addresses,
                node_guid=pair[0],
                port_guid=pair[1],
            )
        )
    return Berth(node.name, node.host, found.gpus, tuple(made))


def _absent(ground: Ground, chosen: tuple[int, ...]) -> str:
    kind = ground.books.fabric.kind.value
    beside = {Align.GPU: " next to its GPUs", Align.NUMA: " on its GPUs' NUMA nodes", Align.ANY: ""}
    return f"PF of kind {kind}{beside[ground.request.align] if chosen else ''}"


def _groups(ground: Ground, sku: Sku, rail: Rail, chosen: tuple[int, ...]) -> list[tuple[Port, ...]]:
    """Groups of PFs of a rail: one PF of each group is used."""
    found = ground.ports[sku.name, rail.index]
    if not chosen or ground.request.align is Align.ANY:
        return [found] if found else []
    if ground.request.align is Align.GPU:
        groups = [tuple(port for port in found if port.slot.gpu == gpu) for gpu in chosen]
        return [group for group in groups if group]
    near = {sku.gpus[gpu].numa for gpu in chosen}
    close = tuple(port for port in found if port.slot.numa in near)
    return [close] if close else []


def _take_first(ground: Ground, node: Node, rail: Rail, group: tuple[Port, ...]) -> list[Seat] | Lack:
    """All seats of the rail from the first PF that has them; what the best one lacks if none has."""
    asked = tuple(port for port in group if (node.name, port.slot.name) in ground.statics)
    best: Lack | None = None
    for port in asked or group:
        found = _take(ground, node, rail, port)
        if not isinstance(found, Lack):
            return found
        best = found if best is None or found.there > best.there else best
    assert best is not None
    return best


def _take(ground: Ground, node: Node, rail: Rail, port: Port) -> list[Seat] | Lack:
    books, each, slot = ground.books, ground.request.each, port.slot
    if slot.pkeys:
        entries = [key for key, _ in books.tables.get((node.name, slot.name), ())]
        if ground.pkey not in entries and len(entries) + _DEFAULT_ENTRIES >= slot.pkeys:
            return Lack(node.name, "room in its PKey table", 1, 0, rail.name, slot.name)
    found: list[Seat] = []
    if ground.statics:
        asked = _take_statics(ground, node, rail, port)
        if isinstance(asked, Lack):
            return asked
        found = asked
    mine = {seat.vf for seat in found}
    what = "free VFs"
    lines = _lines(ground, node, rail, ground.closed)
    for vf, number in _free(books, node, port) if len(found) < each else ():
        why = what if vf in mine else _objection(ground, node, port, lines, vf, number)
        if why:
            what = why
            continue
        found.append(Seat(rail, port, vf, number))
        if len(found) == each:
            break
    if len(found) < each:
        return Lack(node.name, what, each, len(found), rail.name, slot.name)
    return sorted(found, key=lambda seat: seat.vf) if mine else found


def _take_statics(ground: Ground, node: Node, rail: Rail, port: Port) -> list[Seat] | Lack:
    """Those that are asked for by value: VFs that are named first, so that no address takes one of them."""
    asked = ground.statics.get((node.name, port.slot.name), ())
    found: list[Seat] = []
    for one in sorted(asked, key=lambda s: (s.vf is None, s.vf or 0)):
        made = _take_static(ground, node, rail, port, one, {seat.vf for seat in found})
        if isinstance(made, Lack):
            return made
        found.append(made)
    return found


def _take_static(
    ground: Ground, node: Node, rail: Rail, port: Port, one: Static, mine: Collection[int]
) -> Seat | Lack:
    fabric = ground.books.fabric
    wanted = "a free VF" if one.vf is None else f"VF {one.vf} (free)"
    what = wanted + (f" with {' and '.join(map(str, one.addresses))}" if one.addresses else "")
    lines = _lines(ground, node, rail, ground.excluded)
    for vf, number in _free(ground.books, node, port):
        if vf in mine or one.vf not in (None, vf):
            continue
        why = _objection(ground, node, port, lines, vf, number)
        if why and one.vf is not None:
            return Lack(node.name, why, 1, 0, rail.name, port.slot.name)
        if why:
            continue
        if fabric.addressing is Addressing.TENANT:
            return Seat(rail, port, vf, number, one.addresses)
        has = derived(fabric, rail, node.key, _index(port, vf), ground.excluded)
        if has is not None and set(one.addresses) <= set(has):
            return Seat(rail, port, vf, number)
    return Lack(node.name, what, 1, 0, rail.name, port.slot.name)


def _free(books: Books, node: Node, port: Port) -> Iterator[tuple[int, int]]:
    """(VF, number) of those that nobody has, the lowest first."""
    first = serial(node.key, port.place, 0)
    number = books.slots.next_free(first)
    while number is not None and number < first + port.slot.vfs:
        yield number - first, number
        number = books.slots.next_free(number + 1)


def _index(port: Port, vf: int) -> int:
    """Slot by slot, so that more VFs of a PF move no other's addresses."""
    return vf * port.abreast + port.order


def _lines(ground: Ground, node: Node, rail: Rail, closed: Spans) -> Lines | None:
    """What a node's interfaces have on a rail by their number there; None if the rail has nothing for it."""
    fabric = ground.books.fabric
    if fabric.addressing is Addressing.TENANT:
        return ()
    there = rows(fabric, rail, node.key)
    if there is None:
        return None
    return tuple((row, closed[s.version]) for s, row in zip(rail.subnets, there, strict=True))


def _objection(ground: Ground, node: Node, port: Port, lines: Lines | None, vf: int, number: int) -> str:
    """What follows from the slot and is not to be had; empty if all is."""
    if lines is None:
        return _NO_ADDRESS
    index, used = _index(port, vf), ground.books.links.get(node.name, ())
    for row, closed in lines:
        if index >= len(row):
            return _NO_ADDRESS
        found = row[index]
        if found in used or (closed and any(found in span for span in closed)):
            return _NO_ADDRESS
    if number >= ground.reach:
        return "GUIDs in the fabric's spans for this place"
    return ""


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

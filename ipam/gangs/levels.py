"""Levels: how full everything is that gangs get: of each fabric and rail, and of what ports share.

Place: asked by the API for `ringfence ipam pools`. Pure. Costs a look at each interface that is held or cools
down, at each node, and at a bounded number of free stretches. Must not know time: forecasts are
`ipam.spaces.outlook`'s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from ipam.contents import Contents
from ipam.gangs.fit import ports
from ipam.gangs.ledger import ROUTERS, Books, macs
from ipam.gangs.slots import block_length, rows, spans
from ipam.pools import MAC, VNI, capacity
from ipam.spaces.extent import merge
from ipam.spaces.outlook import Usage, survey, survey_bitmap
from ipam.subnets import WINDOW
from model.addresses import Prefix
from model.fabric import Addressing, Fabric, FabricKind, Rail, size
from model.gang import Gang
from model.hardware import Node, Sku
from model.ids import PROBE_VNI

Key = tuple[str, str, str]
"""Fabric (empty = shared by all), what, rail (empty = of all)."""


class What(Enum):
    """BLOCK: a tenant's part of each rail's subnets."""

    VF = "vf"
    PKEY = "pkey"
    GUID = "guid"
    BLOCK = "block"
    IPV4 = "ipv4"
    IPV6 = "ipv6"
    MAC = "mac"
    VNI = "vni"


@dataclass(frozen=True, slots=True)
class Level:
    """`size`: what can be handed out by itself. `free`: what is neither held nor cools down, not below 0.

    `fragmentation`: share, 0..1, of what is free that is not in one piece; of VFs: that is on PFs in use.
    None = it can't be torn, or is so torn that nobody counted.
    """

    fabric: str
    what: What
    rail: str
    size: int
    held: int
    cooling: int
    free: int
    fragmentation: float | None = None

    @property
    def key(self) -> Key:
        return self.fabric, self.what.value, self.rail


@dataclass(slots=True)
class _Tally:
    """Of one fabric. `vfs`: rail -> VFs; `addresses`: (rail, IP version) -> addresses: held, cooling.

    `ports`: (node, PF) -> VFs that are not free.
    """

    vfs: dict[int, list[int]] = field(default_factory=dict)
    addresses: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, gang: Gang, place: int) -> None:
        """`place` 0: held, 1: cooling."""
        for berth in gang.berths:
            for interface in berth.interfaces:
                self.vfs.setdefault(interface.rail, [0, 0])[place] += 1
                port = (berth.node, interface.pf)
                self.ports[port] = self.ports.get(port, 0) + 1
                for address in interface.addresses:
                    self.addresses.setdefault((interface.rail, address.version), [0, 0])[place] += 1


_NONE: Final = (0, 0)


def levels(contents: Contents, fabric: str = "") -> tuple[Level, ...]:
    """By fabric, what, rail; of one fabric, or "" = of all, and of what they share with ports."""
    tallies = {name: _Tally() for name in contents.fabrics if fabric in ("", name)}
    ledger = contents.ledger
    for place, gangs in ((0, ledger.gangs.values()), (1, [gang for gang, _ in ledger.cooling.values()])):
        for gang in gangs:
            if gang.request.fabric in tallies:
                tallies[gang.request.fabric].count(gang, place)
    nodes: dict[str, list[Node]] = {name: [] for name in tallies}
    for record in contents.nodes.values():
        if record.value.fabric in nodes:
            nodes[record.value.fabric].append(record.value)
    skus = {name: record.value for name, record in contents.skus.items()}
    found: list[Level] = []
    for name in sorted(tallies):
        shape = contents.fabrics[name].value
        if shape.kind is not FabricKind.ETHERNET and name in ledger.books:
            found += _of_fabric(shape, ledger.books[name], tallies[name], nodes[name], skus)
    return tuple(found) if fabric else (*found, *_shared(contents))


def _of_fabric(
    fabric: Fabric, books: Books, tally: _Tally, nodes: Sequence[Node], skus: Mapping[str, Sku]
) -> Iterator[Level]:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.sku] = counts.get(node.sku, 0) + 1
    torn = _torn(fabric, tally, nodes, skus)
    for rail in fabric.rails:
        there = sum(
            count * slot.vfs
            for sku, count in counts.items()
            for slot in skus[sku].on_rail(rail.index)
            if slot.kind is fabric.kind
        )
        held, cooling = tally.vfs.get(rail.index, _NONE)
        free = max(there - held - cooling, 0)
        share = torn.get(rail.index, 0) / free if free else 0.0
        yield Level(fabric.name, What.VF, rail.name, there, held, cooling, free, min(share, 1.0))
    if fabric.kind is FabricKind.INFINIBAND:
        yield _surveyed(fabric.name, What.PKEY, survey(books.pkeys))
        held, cooling = (2 * sum(pair[place] for pair in tally.vfs.values()) for place in (0, 1))
        total = sum(size(span) // 2 * 2 for span in fabric.guids)
        yield Level(fabric.name, What.GUID, "", total, held, cooling, max(total - held - cooling, 0))
    tenants = fabric.addressing is Addressing.TENANT
    if tenants and any(rail.subnets for rail in fabric.rails):
        yield _surveyed(fabric.name, What.BLOCK, survey(books.blocks))
    closed = {version: merge(found) for version, found in spans(fabric.excluded).items()}
    for rail in fabric.rails:
        for subnet in rail.subnets:
            if tenants:
                total = _of_tenants(fabric, subnet, books.blocks.extent.capacity)
            else:
                total = _of_nodes(fabric, rail, subnet, nodes, skus, closed[subnet.version])
            held, cooling = tally.addresses.get((rail.index, subnet.version), _NONE)
            what = What.IPV4 if subnet.version == 4 else What.IPV6
            yield Level(fabric.name, what, rail.name, total, held, cooling, max(total - held - cooling, 0))


def _torn(fabric: Fabric, tally: _Tally, nodes: Iterable[Node], skus: Mapping[str, Sku]) -> dict[int, int]:
    """Rail -> free VFs of PFs that others are taken of."""
    kinds = {node.name: skus[node.sku] for node in nodes}
    found: dict[int, int] = {}
    for (name, pf), taken in tally.ports.items():
        slot = kinds[name].slot(pf) if name in kinds else None
        if slot is not None and slot.rail is not None and slot.kind is fabric.kind:
            found[slot.rail] = found.get(slot.rail, 0) + max(slot.vfs - taken, 0)
    return found


def _of_tenants(fabric: Fabric, subnet: Prefix, blocks: int) -> int:
    """Addresses of all tenants' blocks. A little less than there are, if a block's ends are excluded."""
    length = block_length(fabric, subnet.version)
    ends = 1 + ROUTERS + (1 if subnet.version == 4 else 0)
    each = max(min(1 << subnet.max_prefixlen - length, WINDOW) - ends, 0)
    total = blocks * each
    for prefix in fabric.excluded:
        if prefix.version == subnet.version and prefix.subnet_of(subnet):  # type: ignore[arg-type]
            whole = prefix.prefixlen <= length
            total -= (1 << length - prefix.prefixlen) * each if whole else min(prefix.num_addresses, each)
    return max(total, 0)


def _of_nodes(
    fabric: Fabric,
    rail: Rail,
    subnet: Prefix,
    nodes: Iterable[Node],
    skus: Mapping[str, Sku],
    closed: Sequence[range],
) -> int:
    """Addresses that follow from the VFs that nodes are to have, as `slots.derived` gives them."""
    alone = replace(rail, subnets=(subnet,))
    pfs = {name: ports(sku, rail.index, fabric.kind) for name, sku in skus.items()}
    total = 0
    for node in nodes:
        for row in rows(fabric, alone, node.key) or ():
            for port in pfs[node.sku]:
                given = row[port.order : port.order + port.abreast * port.slot.vfs : port.abreast]
                total += len(given) - _barred(closed, given)
    return total


def _barred(closed: Sequence[range], given: range) -> int:
    """How many of the given numbers lie in closed stretches, which are sorted and apart."""
    index = max(bisect_right(closed, given.start, key=lambda span: span.start) - 1, 0)
    total = 0
    while index < len(closed) and closed[index].start < given.stop:
        inside = range(max(closed[index].start, given.start), min(closed[index].stop, given.stop))
        behind = inside.start + (given.start - inside.start) % given.step
        total += len(range(behind, inside.stop, given.step)) if inside else 0
        index += 1
    return total


def _shared(contents: Contents) -> Iterator[Level]:
    """MACs and VNIs, which ports, networks and tenants have too."""
    chilled = [mac for gang, _ in contents.ledger.cooling.values() for mac in macs(gang)]
    for name, what, extra in ((MAC, What.MAC, len(chilled)), (VNI, What.VNI, 0)):
        pool = contents.pools.get(name)
        if pool is None:
            continue
        taken, total = contents.taken.get(name), capacity(pool)
        if taken is None:
            yield Level("", what, "", total, 0, 0, total, 0.0)
            continue
        cooling = extra + sum(
            scope == name and (scope, value) not in contents.owners for scope, value in contents.tombstones
        )
        seen = survey_bitmap(taken, total)
        # The VNI of the probes is in the bitmap, and nobody's.
        ours = 1 if name == VNI and pool.first <= PROBE_VNI <= pool.last else 0
        held = max(taken.used - cooling - ours, 0)
        yield Level("", what, "", total - ours, held, cooling, seen.free, seen.fragmentation)


def _surveyed(fabric: str, what: What, seen: Usage) -> Level:
    return Level(fabric, what, "", seen.capacity, seen.held, seen.cooling, seen.free, seen.fragmentation)

"""Claims: what the store says of each VF of a fabric, whether it is declared, held, going or cooling down.

Place: first side of the audit. Must not look at what anybody else says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ipam.audit.findings import Hold
from ipam.contents import Contents
from ipam.gangs.slots import guids, serial
from model.fabric import Fabric, FabricKind, Guid
from model.gang import Gang, GangState, Interface
from model.hardware import Node, PciAddress, Sku

_NO_GUID = Guid(0)
_GOING = frozenset({GangState.RELEASING, GangState.FAILED})


@dataclass(frozen=True, slots=True)
class Claim:
    """An interface that a gang has, or that cools down until `until` (Unix ms)."""

    gang: Gang
    node: str
    host: str
    interface: Interface
    until: int = 0

    @property
    def hold(self) -> Hold:
        if self.until:
            return Hold.COOLING
        return Hold.GOING if self.gang.progress.state in _GOING else Hold.HELD


@dataclass(frozen=True, slots=True)
class Berthing:
    """A VF that a node is to have, and who claims it. `guids`: of node and port, by its place; 0 unless
    InfiniBand. `declared`: it is one that Sku and Node say."""

    node: str
    host: str
    rail: str
    pf: str
    pci: PciAddress
    vf: int
    node_guid: Guid
    port_guid: Guid
    claim: Claim | None
    declared: bool = True


def gangs(contents: Contents, fabric: str) -> Iterator[tuple[Gang, int]]:
    """Those of a fabric that hold something, by name; then those of which something cools down."""
    ledger = contents.ledger
    for _, gang in sorted(ledger.gangs.items()):
        if gang.request.fabric == fabric:
            yield gang, 0
    for _, (gang, until) in sorted(ledger.cooling.items()):
        if gang.request.fabric == fabric:
            yield gang, until


def berthings(contents: Contents, fabric: Fabric) -> Iterator[Berthing]:
    """Every VF of a fabric's nodes, by node, PF and number; then those that gangs claim and nobody says."""
    claims = _claims(contents, fabric.name)
    for name, record in sorted(contents.nodes.items()):
        sku = contents.skus.get(record.value.sku)
        if record.value.fabric == fabric.name and sku is not None:
            yield from _of_node(fabric, name, record.value, sku.value, claims)
    for (node, pf, vf), claim in sorted(claims.items()):
        i = claim.interface
        yield Berthing(
            node, claim.host, _rail(fabric, i.rail), pf, PciAddress(0), vf, i.node_guid, i.port_guid, claim,
            declared=False,
        )  # fmt: skip


def _of_node(
    fabric: Fabric, name: str, node: Node, sku: Sku, claims: dict[tuple[str, str, int], Claim]
) -> Iterator[Berthing]:
    for place, slot in enumerate(sku.pfs):
        if slot.rail is None or slot.kind is not fabric.kind:
            continue
        rail = _rail(fabric, slot.rail)
        for vf in range(slot.vfs):
            pair = None
            if fabric.kind is FabricKind.INFINIBAND:
                pair = guids(fabric, serial(node.key, place, vf))
            mine = (_NO_GUID, _NO_GUID) if pair is None else pair
            claim = claims.pop((name, slot.name, vf), None)
            yield Berthing(name, node.host, rail, slot.name, slot.pci, vf, *mine, claim)


def _claims(contents: Contents, fabric: str) -> dict[tuple[str, str, int], Claim]:
    """By node, PF and VF. Who holds one comes before what cools down."""
    found: dict[tuple[str, str, int], Claim] = {}
    for gang, until in gangs(contents, fabric):
        for berth in gang.berths:
            for interface in berth.interfaces:
                place = (berth.node, interface.pf, interface.vf)
                found.setdefault(place, Claim(gang, berth.node, berth.host, interface, until))
    return found


def _rail(fabric: Fabric, index: int) -> str:
    found = fabric.rail(index)
    return str(index) if found is None else found.name


def keepers(contents: Contents, fabric: str) -> Mapping[int, str]:
    """Partition key -> the tenant that has it on a fabric."""
    return {
        gang.pkey: gang.request.tenant for gang, until in gangs(contents, fabric) if gang.pkey and not until
    }

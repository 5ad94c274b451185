"""Kit: everything that a gang has on one node, as values that renderers write down.

Place: first step of `ipam.exports`; the gang from the store, the PCI addresses of its VFs from what the host
saw. Must not decide whether the gang is ready: its state is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from ipam.gangs.wiring import gateway, prefix_length
from model.addresses import Address, Prefix
from model.errors import Conflict, Fault
from model.fabric import Fabric, FabricKind, Guid, PKey, Rail
from model.gang import Berth, Gang, GangState, Interface, Membership, Use
from model.hardware import PciAddress, Sku
from model.ids import Mac
from model.sighting import Sighting

WithLength = IPv4Interface | IPv6Interface
_GOING: Final = frozenset({GangState.RELEASING, GangState.FAILED, GangState.RELEASED})
_METRIC: Final = 2000
"""Behind what networkd (1024) and others give by themselves."""


@dataclass(frozen=True, slots=True)
class Route:
    """`to` is reached through `via`, which is on the card's own link. `metric`: two cards of a rail reach the
    same, and a kernel takes one route of each metric only; 0 = as usual."""

    to: Prefix
    via: Address
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Card:
    """One interface. `name`: what it is to be called where it is used: `rail3`, the second one of a rail
    `rail3v1`; of digits and these letters only, whatever the rail is called.

    `pci`: of the VF on its host; None = the host has not told of it. `gpu`, `gpu_pci`, `numa`: of its PF, as
    the SKU says, None = it does not.
    """

    name: str
    rail: int
    rail_name: str
    pf: str
    vf: int
    pci: PciAddress | None
    mac: Mac
    node_guid: Guid
    port_guid: Guid
    addresses: tuple[WithLength, ...]
    routes: tuple[Route, ...]
    gpu: int | None = None
    gpu_pci: PciAddress | None = None
    numa: int | None = None


@dataclass(frozen=True, slots=True)
class Kit:
    """Of one node. `pkey`: 0 unless InfiniBand; at index 0 of each port's table. `gpus`: numbers of those
    that are the gang's; () = it did not ask for GPUs."""

    tenant: str
    gang: str
    generation: int
    state: GangState
    fabric: str
    kind: FabricKind
    node: str
    host: str
    pkey: PKey
    membership: Membership
    use: Use
    gpus: tuple[int, ...]
    cards: tuple[Card, ...]


def kit(gang: Gang, berth: Berth, fabric: Fabric, sku: Sku, seen: Sighting) -> Kit:
    """By rail, then PF and VF. Conflict if the gang is on its way out, or if what the host says can't be."""
    request = gang.request
    if gang.progress.state in _GOING:
        message = f"it is {gang.progress.state.value}: its interfaces are no longer its own"
        raise Conflict(
            Fault(f"Gang {request.tenant}/{request.name}", "gang-going", message, "Request a new gang.")
        )
    count: Counter[int] = Counter()
    cards = []
    for interface in sorted(berth.interfaces, key=lambda each: (each.rail, each.pf, each.vf)):
        cards.append(_card(interface, count[interface.rail], fabric, sku, seen))
        count[interface.rail] += 1
    _check(berth, sku, cards)
    return Kit(
        request.tenant,
        request.name,
        gang.generation,
        gang.progress.state,
        fabric.name,
        fabric.kind,
        berth.node,
        berth.host,
        gang.pkey,
        request.membership,
        request.use,
        berth.gpus,
        tuple(cards),
    )


def _card(interface: Interface, number: int, fabric: Fabric, sku: Sku, seen: Sighting) -> Card:
    slot, rail = sku.slot(interface.pf), fabric.rail(interface.rail)
    gpu = None if slot is None or slot.gpu is None or slot.gpu >= len(sku.gpus) else slot.gpu
    return Card(
        name=f"rail{int(interface.rail)}" + (f"v{number}" if number else ""),
        rail=interface.rail,
        rail_name="" if rail is None else rail.name,
        pf=interface.pf,
        vf=interface.vf,
        pci=None if slot is None else _place(seen, slot.pci, interface.vf),
        mac=interface.mac,
        node_guid=interface.node_guid,
        port_guid=interface.port_guid,
        addresses=tuple(_with_length(each, fabric) for each in interface.addresses),
        routes=() if rail is None else tuple(_routes(interface, number, fabric, rail)),
        gpu=gpu,
        gpu_pci=None if gpu is None else sku.gpus[gpu].pci,
        numa=None if slot is None else slot.numa,
    )


def _place(seen: Sighting, pf: int, vf: int) -> PciAddress | None:
    found = seen.pf(pf)
    return next((each.pci for each in found.vfs if each.index == vf), None) if found is not None else None


def _check(berth: Berth, sku: Sku, cards: list[Card]) -> None:
    """A host may be compromised, or its report garbled: no VF is given out that is another device."""
    own = {slot.pci for slot in sku.pfs} | {gpu.pci for gpu in sku.gpus}
    places = Counter(card.pci for card in cards if card.pci is not None)
    faults = [
        Fault(
            f"Node {berth.node}, PF {card.pf}, VF {card.vf}",
            "vf-place",
            f"host {berth.host} says that it is where another device is",
            f"Look at the host: ringfence ipam inventory --node {berth.node}",
        )
        for card in cards
        if card.pci is not None and (card.pci in own or places[card.pci] > 1)
    ]
    if faults:
        raise Conflict(*faults)


def _with_length(one: Address, fabric: Fabric) -> WithLength:
    length = prefix_length(one, fabric)
    return IPv4Interface((int(one), length)) if one.version == 4 else IPv6Interface((int(one), length))


def _routes(interface: Interface, number: int, fabric: Fabric, rail: Rail) -> list[Route]:
    """To the rest of its rail, through the leaf; a tenant's own block is one link, and other blocks are other
    tenants'. Never a default route, and no other rail: see docs/exports.md."""
    found = []
    for one in interface.addresses:
        via = gateway(one, fabric)
        for subnet in rail.subnets:
            if via is not None and one.version == subnet.version and one in subnet:
                found.append(Route(subnet, via, _METRIC + number if number else 0))
    return found

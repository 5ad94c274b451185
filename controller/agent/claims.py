"""Claims: which of this host's VFs are whose, for the ledger: from what the store says of gangs.

Place: pure; before `controller.agent.gauging`. The uid of an interface follows from its gang and its place:
whoever works it out gets the same. Must not know what the devices are like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from accounting.bypass.count import Holding
from accounting.records import Owner
from controller.store.gangs import gang_uid
from controller.store.identity import row_uid
from controller.store.moorings import Mooring, Moorings
from ipam.devices.desired import begun, going, held
from ipam.devices.tallies import BY_PF, Subject
from model.fabric import FabricKind
from model.gang import GangState, Interface, Use
from model.hardware import VFS, PciAddress, Sku, format_pci, parse_pci
from model.ids import PortKey, Uid
from model.tally import Medium, Tally

_INTERFACE: Final = "Gang_Interface"


@dataclass(frozen=True, slots=True)
class Claim:
    """Of one VF: whose it is, and how it is read."""

    holding: Holding
    subject: Subject


def name(pf: PciAddress, vf: int) -> str:
    """How the journal calls a VF."""
    return f"{format_pci(pf)}/{vf}"


def interface_uid(generation: int, node: str, pf: str, vf: int) -> Uid:
    """Of an interface of a gang: no other one has it, ever."""
    return row_uid(_INTERFACE, str(generation), node, pf, str(vf))


def claims(found: Moorings) -> Mapping[str, Claim]:
    """By name of the VF. Of two gangs that claim one the first one has it, as in `ipam.devices.standing`."""
    if len(found.nodes) != 1:
        return {}  # devices of a host that is no node, or two, are not touched either
    sku = found.skus[found.nodes[0].sku]
    made: dict[str, Claim] = {}
    for gang in sorted(found.gangs, key=lambda gang: gang.generation):
        progress = gang.progress
        if not begun(progress) or not (held(progress) or going(progress)):
            continue
        for interface in gang.berth.interfaces:
            claim = _claim(found, sku, gang, interface)
            if claim is not None:
                made.setdefault(name(*claim.subject.place), claim)
    return made


def recall(name: str, tally: Tally) -> Subject:
    """How a VF was read of which the store says nothing any more."""
    pf, _, vf = name.rpartition("/")
    kind = FabricKind.INFINIBAND if tally.medium is Medium.INFINIBAND else FabricKind.ETHERNET
    use = Use.VM if tally.life.startswith(BY_PF) else Use.CONTAINER
    return Subject(parse_pci(pf), int(vf), kind, use)


def _claim(found: Moorings, sku: Sku, gang: Mooring, interface: Interface) -> Claim | None:
    slot = sku.slot(interface.pf)
    if slot is None:
        return None
    number = 1 + sku.pfs.index(slot) * len(VFS) + interface.vf
    up = gang.progress.begun is GangState.ACTIVE
    holding = Holding(
        PortKey(number), gang.generation, _owner(found, gang, interface), up, going(gang.progress)
    )
    kind = FabricKind.INFINIBAND if slot.kind is FabricKind.INFINIBAND else FabricKind.ETHERNET
    return Claim(holding, Subject(slot.pci, interface.vf, kind, gang.request.use))


def _owner(found: Moorings, gang: Mooring, interface: Interface) -> Owner:
    request, node = gang.request, gang.berth.node
    fabric = found.fabrics.get(request.fabric)
    rail = None if fabric is None else fabric.rail(interface.rail)
    where = interface.pf if rail is None else rail.name
    return Owner(
        port_uid=interface_uid(gang.generation, node, interface.pf, interface.vf),
        port_name=f"{request.name}/{node}/{where}-{interface.vf}",
        tenant_uid=found.tenants.get(request.tenant, ""),
        tenant_name=request.tenant,
        network_uid=gang_uid(gang.generation),
        network_name=request.name,
    )

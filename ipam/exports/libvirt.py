"""Libvirt: the VFs of a kit as devices of a libvirt domain.

Place: a renderer of `ipam.exports`. Each value comes from a number, so that no name can change the document.
See https://libvirt.org/formatdomain.html: "SR-IOV", "Host device assignment", "Element alias".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from ipam.exports.kit import Card, Kit
from ipam.exports.remarks import heading, place
from model.addresses import format_mac
from model.errors import Conflict, Fault
from model.fabric import FabricKind
from model.gang import Use


class Managed(Enum):
    """NO: the VF has vfio-pci already, and keeps it. YES: libvirt binds it, and gives it back to the driver
    of before."""

    NO = "no"
    YES = "yes"


class Element(Enum):
    """What an Ethernet VF becomes. INTERFACE: a network card that libvirt knows, with its MAC. HOSTDEV: a
    bare PCI device, whose MAC is the agent's affair alone; what an InfiniBand VF always is."""

    INTERFACE = "interface"
    HOSTDEV = "hostdev"


def libvirt(kit: Kit, managed: Managed = Managed.NO, element: Element = Element.INTERFACE) -> str:
    """A `<devices>` element. Conflict with each VF whose PCI address the host has not told, and for a gang
    for containers: its agent would take the VFs back from vfio-pci, under the VM."""
    if kit.use is not Use.VM:
        raise Conflict(_not_for_vms(kit))
    unseen = [_unseen(kit, card) for card in kit.cards if card.pci is None]
    if unseen:
        raise Conflict(*unseen)
    lines = [f"<!-- {heading(kit)} -->", "<devices>"]
    if kit.kind is FabricKind.INFINIBAND:
        # Its GUIDs are the agent's affair; of an interface libvirt would set a MAC.
        element = Element.HOSTDEV
    for card in kit.cards:
        lines += [f"  <!-- {place(card)} -->", *(f"  {line}" for line in _device(card, managed, element))]
    return "\n".join([*lines, "</devices>", ""])


def _device(card: Card, managed: Managed, element: Element) -> Iterator[str]:
    hostdev, type_ = element is Element.HOSTDEV, " type='pci'"
    if hostdev:
        yield f"<hostdev mode='subsystem' type='pci' managed='{managed.value}'>"
    else:
        yield f"<interface type='hostdev' managed='{managed.value}'>"
        yield f"  <mac address='{format_mac(card.mac)}'/>"
    yield "  <driver name='vfio'/>"
    yield "  <source>"
    # Of a hostdev libvirt's schema refuses the type, of an interface it asks for it.
    yield f"    <address{'' if hostdev else type_} {_where(card.pci or 0)}/>"
    yield "  </source>"
    yield f"  <alias name='ua-{card.name}'/>"
    yield "</hostdev>" if hostdev else "</interface>"


def _where(pci: int) -> str:
    domain, bus, device, function = pci >> 16, pci >> 8 & 0xFF, pci >> 3 & 0x1F, pci & 7
    return f"domain='0x{domain:04x}' bus='0x{bus:02x}' slot='0x{device:02x}' function='0x{function:x}'"


def _not_for_vms(kit: Kit) -> Fault:
    return Fault(
        f"Gang {kit.tenant}/{kit.gang}",
        "gang-not-for-vms",
        "its VFs have the host's own driver, for containers",
        "Release it, and request it with for: vm.",
    )


def _unseen(kit: Kit, card: Card) -> Fault:
    return Fault(
        f"Node {kit.node}, PF {card.pf}, VF {card.vf}",
        "vf-unseen",
        f"host {kit.host} has not told of this VF, so that its PCI address is not known",
        f"Have its agent run, and see: ringfence ipam inventory --node {kit.node}",
    )

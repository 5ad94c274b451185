"""Desired: what a host's PFs and VFs are to be, for the gangs that have something there.

Place: pure; first step of `ipam.devices`, before `operations`. Knows each device by the PCI address of its PF
and the VF's number. Must not name a PF or VF that bears no gang of ours: what is not named is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from model.fabric import FabricKind
from model.gang import Berth, GangState, Interface, Progress
from model.hardware import Eswitch, PciAddress, PfSlot, Sku

Value = int | str | tuple[int, int]
"""Of a setting: see `Setting`."""


class Setting(Enum):
    """Of a PF: AUTOPROBE (0, 1), ESWITCH (`legacy`, `switchdev`), VFS (how many).

    Of a VF: MAC, NODE_GUID, PORT_GUID (integers), VLAN (number, priority), RATES (least, most Mbit/s, 0 = no
    limit), SPOOF, TRUST (0, 1), LINK (`LINK_...`), OVERRIDE and DRIVER (name, "" = none).
    """

    AUTOPROBE = "autoprobe"
    ESWITCH = "eswitch mode"
    VFS = "number of VFs"
    MAC = "MAC"
    NODE_GUID = "node GUID"
    PORT_GUID = "port GUID"
    VLAN = "VLAN"
    RATES = "rates"
    SPOOF = "spoof check"
    TRUST = "trust"
    LINK = "link state"
    OVERRIDE = "driver override"
    DRIVER = "driver"


IDENTITY: Final = (Setting.MAC, Setting.NODE_GUID, Setting.PORT_GUID)
"""What a driver reads once, when it is bound."""
LINK_AUTO, LINK_ENABLE, LINK_DISABLE = 0, 1, 2
"""linux/if_link.h: IFLA_VF_LINK_STATE_*. AUTO: as the PF's own link."""


class VfDriver(Enum):
    """Who gets a VF. NATIVE: the kernel's own driver, for containers. VFIO: a VM. NONE: nobody."""

    NATIVE = "native"
    VFIO = "vfio-pci"
    NONE = ""


@dataclass(frozen=True, slots=True)
class DesiredVf:
    """`settings`: those that are asked for; any other is left as it is. Never OVERRIDE or DRIVER: these
    follow from `driver`."""

    index: int
    driver: VfDriver
    settings: Mapping[Setting, Value]


@dataclass(frozen=True, slots=True)
class DesiredPf:
    """`count`: VFs to make if it has none yet. `eswitch` None: whatever it is. `vfs` by index: only ours."""

    pci: PciAddress
    count: int
    eswitch: Eswitch | None
    vfs: tuple[DesiredVf, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What no gang says itself. `vlan`, `priority`: 0 = untagged. `rates`: least and most Mbit/s, 0 = no
    limit."""

    driver: VfDriver = VfDriver.NATIVE
    vlan: int = 0
    priority: int = 0
    rates: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Stay:
    """What a gang has on this node, and how far the gang is. `policy` None: the host's. `linkless`: PFs whose
    driver lowers no link: a VF there is parked without, since it was never raised either.
    """

    berth: Berth
    progress: Progress
    generation: int = 0
    policy: Policy | None = None
    linkless: frozenset[PciAddress] = frozenset()


_HELD: Final = frozenset({GangState.RESERVED, GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE})
_GOING: Final = frozenset({GangState.RELEASING, GangState.FAILED})
_UNTOUCHED: Final = frozenset({GangState.PLANNED, GangState.RESERVED})
_DEFAULT: Final = Policy()


def desired(sku: Sku, stays: Iterable[Stay], policy: Policy = _DEFAULT) -> tuple[DesiredPf, ...]:
    """By PCI address. A gang that is going has its VFs parked: no driver, no link, no address, no right; one
    that is gone, or of which nothing was begun, is not named (what is done before the store says so is never
    undone). Of two stays that claim a VF the first one has it (the store
    lets no second one be).
    """
    slots = {slot.name: slot for slot in sku.pfs}
    found: dict[str, dict[int, DesiredVf]] = {}
    for stay in stays:
        for interface in stay.berth.interfaces:
            slot = slots.get(interface.pf)
            one = _vf(interface, slot, stay, policy) if slot is not None else None
            if one is not None:
                found.setdefault(interface.pf, {}).setdefault(interface.vf, one)
    pfs = [
        DesiredPf(
            slots[name].pci, slots[name].vfs, slots[name].eswitch, tuple(v for _, v in sorted(vfs.items()))
        )
        for name, vfs in found.items()
    ]
    return tuple(sorted(pfs, key=lambda pf: pf.pci))


def going(progress: Progress) -> bool:
    """Whether what it has here is to be parked, or was never begun."""
    return progress.state in _GOING


def held(progress: Progress) -> bool:
    """Whether it is to have what it was given here: set, if that was begun."""
    return progress.state in _HELD


def begun(progress: Progress) -> bool:
    """Whether anything may have been done outside of the store."""
    return progress.begun not in _UNTOUCHED


def raised(progress: Progress) -> bool:
    """Whether its links are to be up."""
    return progress.begun is GangState.ACTIVE and progress.state in {GangState.VERIFIED, GangState.ACTIVE}


def _vf(interface: Interface, slot: PfSlot, stay: Stay, usual: Policy) -> DesiredVf | None:
    progress, policy = stay.progress, stay.policy or usual
    if not begun(progress):
        return None
    if held(progress):
        # Links are raised when everything else has been read back, never before.
        link = LINK_AUTO if raised(progress) else LINK_DISABLE
        return DesiredVf(interface.vf, policy.driver, _settings(interface, slot, policy, link))
    if going(progress):
        return DesiredVf(interface.vf, VfDriver.NONE, _parked(slot, stay.linkless))
    return None


def _settings(interface: Interface, slot: PfSlot, policy: Policy, link: int) -> Mapping[Setting, Value]:
    found: dict[Setting, Value] = {Setting.LINK: link}
    if slot.kind is FabricKind.INFINIBAND:
        found[Setting.NODE_GUID], found[Setting.PORT_GUID] = interface.node_guid, interface.port_guid
    else:
        found[Setting.MAC] = interface.mac
        found[Setting.RATES] = policy.rates
        if slot.eswitch is not Eswitch.SWITCHDEV:
            # With representors it is OVS that tags and checks, and drivers refuse to do it besides.
            found[Setting.VLAN] = (policy.vlan, policy.priority)
            found[Setting.SPOOF], found[Setting.TRUST] = 1, 0
    return MappingProxyType(found)


def _parked(slot: PfSlot, linkless: frozenset[PciAddress]) -> Mapping[Setting, Value]:
    """GUIDs stay: they are the VF's, whoever has it. A MAC goes back to the pool, and so leaves the VF."""
    found: dict[Setting, Value] = {} if slot.pci in linkless else {Setting.LINK: LINK_DISABLE}
    if slot.kind is not FabricKind.INFINIBAND:
        found |= {Setting.MAC: 0, Setting.RATES: (0, 0)}
        if slot.eswitch is not Eswitch.SWITCHDEV:
            found |= {Setting.VLAN: (0, 0), Setting.SPOOF: 1, Setting.TRUST: 0}
    return MappingProxyType(found)

"""Serving: what VFs are to be for ports that they serve, and when a representor may come and go.

Place: pure; beside `desired`, which does this for gangs, and before `plugs`. A VF's link is up only while its
representor is in the bridge for the same port. A port that goes leaves its VF parked first, and the
interface when it has been quiet for a while: then nothing that it sent is missing in the bill.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ipam.devices.desired import (
    LINK_AUTO,
    LINK_DISABLE,
    DesiredPf,
    DesiredVf,
    Setting,
    Value,
    VfDriver,
)
from ipam.devices.found import FoundPf
from ipam.devices.plugs import Attached, Changes, Plug
from model.errors import Fault
from model.fabric import FabricKind
from model.gang import Use
from model.hardware import Eswitch, PciAddress, PfSlot, Sku
from model.ids import Mac
from model.outlet import Served

QUIET: Final = 3.0
"""Seconds from the moment that a VF's link was read back as down until its representor leaves the bridge.
Open vSwitch tells what it counted every half second, and an interface through which nothing passed for 1.5 s
leaves no gap (docs/accounting.md, "An interface that is pulled out")."""

Place = tuple[PciAddress, int]


@dataclass(frozen=True, slots=True)
class Fitted:
    """An interface of the bridge. `at`: the VF that our mark names, None = it has no mark of ours."""

    netdev: str
    uid: str
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A VF for a port. `slot`: its PF."""

    slot: PfSlot
    plug: Plug
    mac: Mac
    driver: VfDriver


def services(sku: Sku | None, served: Iterable[Served]) -> tuple[tuple[Service, ...], tuple[Fault, ...]]:
    """What can be served, and what can't: the store's laws hold it, unless it was written past them."""
    found, faults = [], []
    for port in served:
        slot = None if sku is None else sku.slot(port.outlet.pf)
        if slot is None or not _fits(slot, port.outlet.index):
            message = f"VF {port.outlet.index} of PF {port.outlet.pf} can serve no port of this host"
            advice = "It must be of an Ethernet PF on no rail, with eswitch: switchdev."
            faults.append(Fault(f"port {port.uid}", "vf-unfit", message, advice))
            continue
        driver = VfDriver.VFIO if port.outlet.use is Use.VM else VfDriver.NATIVE
        found.append(Service(slot, Plug(slot.pci, port.outlet.index, port.uid), port.mac, driver))
    return tuple(found), tuple(faults)


def _fits(slot: PfSlot, index: int) -> bool:
    return (
        slot.rail is None
        and slot.kind is FabricKind.ETHERNET
        and slot.eswitch is Eswitch.SWITCHDEV
        and index < slot.vfs
    )


def leaving(wanted: Iterable[Service], there: Iterable[Fitted]) -> tuple[Fitted, ...]:
    """Interfaces of ours whose VF serves their port no more."""
    keep = {(each.plug.pf, each.plug.vf, each.plug.uid) for each in wanted}
    return tuple(one for one in there if one.at is not None and (*one.at, one.uid) not in keep)


def plugged(there: Iterable[Fitted]) -> frozenset[tuple[PciAddress, int, str]]:
    """PF, VF and port of our interfaces."""
    return frozenset((*one.at, one.uid) for one in there if one.at is not None)


def by_others(there: Iterable[Fitted]) -> frozenset[str]:
    """Ports that somebody else has plugged in: that is theirs to change."""
    return frozenset(one.uid for one in there if one.at is None)


def desired(wanted: Iterable[Service], there: Iterable[Fitted]) -> tuple[DesiredPf, ...]:
    """By PCI address: VFs that serve, and parked ones of interfaces that leave."""
    services, fitted = tuple(wanted), tuple(there)
    ours, theirs = plugged(fitted), by_others(fitted)
    vfs: dict[PciAddress, dict[int, DesiredVf]] = {}
    for each in services:
        plug = each.plug
        here = (plug.pf, plug.vf, plug.uid) in ours or plug.uid in theirs
        link = LINK_AUTO if here else LINK_DISABLE
        settings: dict[Setting, Value] = {
            Setting.LINK: link,
            Setting.MAC: each.mac,
            Setting.RATES: (0, 0),
        }
        one = DesiredVf(plug.vf, each.driver, MappingProxyType(settings))
        vfs.setdefault(plug.pf, {}).setdefault(plug.vf, one)
    for gone in leaving(services, fitted):
        assert gone.at is not None
        pf, index = gone.at
        parked: dict[Setting, Value] = {
            Setting.LINK: LINK_DISABLE,
            Setting.MAC: 0,
            Setting.RATES: (0, 0),
        }
        one = DesiredVf(index, VfDriver.NONE, MappingProxyType(parked))
        vfs.setdefault(pf, {}).setdefault(index, one)
    counts = {each.plug.pf: each.slot.vfs for each in services}
    return tuple(
        DesiredPf(
            pf, counts.get(pf, 0), Eswitch.SWITCHDEV if pf in counts else None,
            tuple(one for _, one in sorted(ones.items())),
        )
        for pf, ones in sorted(vfs.items())
    )  # fmt: skip


def merge(first: Iterable[DesiredPf], second: Iterable[DesiredPf]) -> tuple[DesiredPf, ...]:
    """Both together. On a PF of both, which no law of the store lets be, the first alone."""
    found = {pf.pci: pf for pf in second} | {pf.pci: pf for pf in first}
    return tuple(pf for _, pf in sorted(found.items()))


def still(one: Fitted, wanted: Iterable[Service], found: Iterable[FoundPf]) -> bool:
    """Whether nothing comes through the VF of an interface that leaves, and nothing is left to be done with
    it: it is parked, or another port's by now and its link down, or not there."""
    assert one.at is not None
    pci, index = one.at
    vf = next((pf.vf(index) for pf in found if pf.pci == pci), None)
    if vf is None:
        return True
    taken = any((each.plug.pf, each.plug.vf) == one.at for each in wanted)
    free = not vf.settings.get(Setting.DRIVER) and not vf.settings.get(Setting.MAC)
    return vf.settings.get(Setting.LINK) == LINK_DISABLE and (taken or free)


def ready(wanted: Iterable[Service], found: Iterable[FoundPf]) -> frozenset[Place]:
    """VFs that are set as their port needs, but for the link: their representors may be put in."""
    there = {pf.pci: pf for pf in found}
    ok = set()
    for each in wanted:
        pf = there.get(each.plug.pf)
        vf = None if pf is None else pf.vf(each.plug.vf)
        if vf is None or vf.settings.get(Setting.MAC) != each.mac or not vf.settings.get(Setting.DRIVER):
            continue
        ok.add((each.plug.pf, each.plug.vf))
    return frozenset(ok)


def attached(there: Iterable[Fitted]) -> tuple[Attached, ...]:
    """As `plugs` compares them."""
    return tuple(Attached(one.netdev, one.uid, one.at is not None) for one in there)


def due(made: Changes, gone: Iterable[Fitted], there: Iterable[Fitted], rested: Iterable[str]) -> Changes:
    """What of the changes may be done now. `gone`: of `leaving`; `rested`: netdevs of those that were still
    for `QUIET` seconds. An interface whose port is served as before stays, also if its representor is not
    found just now, unless another one takes its place. No port has two interfaces, and no netdev is put in
    before it was taken out."""
    there = tuple(there)
    uids = {one.netdev: one.uid for one in there}
    going = {one.netdev for one in gone}
    moving = {uid for _, uid in made.attach}
    rested = frozenset(rested)
    detach = tuple(n for n in made.detach if n in rested or (n not in going and uids[n] in moving))
    waiting = set(made.detach) - set(detach)
    busy = {uids[netdev] for netdev in waiting} | by_others(there)
    attach = tuple((n, uid) for n, uid in made.attach if n not in waiting and uid not in busy)
    return Changes(detach, attach, made.faults)

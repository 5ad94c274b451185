"""Plugs: which representors are to be interfaces of which ports of ours, and what is missing for it.

Place: pure; after `netdevs`, before Open vSwitch's database. An interface that bears a port's uid as iface-id
is bound like any other, so that a VF's traffic takes the same pipeline. Must not touch one without our mark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipam.devices.netdevs import Representor
from ipam.devices.operations import place
from model.errors import Fault
from model.hardware import PciAddress
from model.ids import Uid


@dataclass(frozen=True, slots=True)
class Plug:
    """A VF that serves a port."""

    pf: PciAddress
    vf: int
    uid: Uid


@dataclass(frozen=True, slots=True)
class Attached:
    """An Interface of the bridge by its netdev's name. `marked`: we made it."""

    netdev: str
    uid: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """`detach` first, netdevs; then `attach`, netdev and uid. By name."""

    detach: tuple[str, ...]
    attach: tuple[tuple[str, Uid], ...]
    faults: tuple[Fault, ...]


def changes(
    plugs: Iterable[Plug], representors: Iterable[Representor], attached: Iterable[Attached]
) -> Changes:
    """What makes the bridge hold exactly the representors that serve ports, of what is ours to change."""
    wanted = tuple(plugs)
    ends = {(one.pf, one.vf): one.netdev for one in representors}
    there = {one.netdev: one for one in attached}
    faults = [*_twice(wanted)]
    uids = {uid for uid, count in Counter(plug.uid for plug in wanted).items() if count == 1}
    places = {at for at, count in Counter((plug.pf, plug.vf) for plug in wanted).items() if count == 1}
    due: dict[str, Uid] = {}
    for plug in sorted(wanted, key=lambda plug: (plug.pf, plug.vf, plug.uid)):
        if plug.uid not in uids or (plug.pf, plug.vf) not in places:
            continue
        fault = _obstacle(plug, ends.get((plug.pf, plug.vf)), there)
        if fault is not None:
            faults.append(fault)
        else:
            due[ends[plug.pf, plug.vf]] = plug.uid
    detach = sorted(n for n, one in there.items() if one.marked and due.get(n) != one.uid)
    attach = sorted((n, uid) for n, uid in due.items() if n not in there or n in detach)
    return Changes(tuple(detach), tuple(attach), tuple(faults))


def _twice(wanted: tuple[Plug, ...]) -> list[Fault]:
    """A port on two VFs, or two ports on one: neither is plugged, whoever is right."""
    found = []
    for uid, count in sorted(Counter(plug.uid for plug in wanted).items()):
        if count > 1:
            found.append(_fault(f"port {uid}", "port-twice", f"{count} VFs serve it", "Let one VF serve it."))
    for (pf, vf), count in sorted(Counter((plug.pf, plug.vf) for plug in wanted).items()):
        if count > 1:
            found.append(
                _fault(place(pf, vf), "vf-twice", f"it serves {count} ports", "Let it serve one port.")
            )
    return found


def _obstacle(plug: Plug, netdev: str | None, there: Mapping[str, Attached]) -> Fault | None:
    if netdev is None:
        return _fault(
            place(plug.pf, plug.vf),
            "representor-missing",
            "no netdev stands for it",
            "Its PF's switch must be in mode switchdev: set eswitch in the Sku, see `devlink port show`.",
        )
    held = there.get(netdev)
    if held is not None and not held.marked and held.uid != plug.uid:
        return _fault(
            place(plug.pf, plug.vf),
            "not-ours",
            f"its representor {netdev} is in the bridge already, and not marked as ours",
            f"Take it out with `ovs-vsctl del-port {netdev}`; the rest follows.",
        )
    return None


def _fault(who: str, rule: str, message: str, remedy: str) -> Fault:
    return Fault(who, rule, message, remedy)

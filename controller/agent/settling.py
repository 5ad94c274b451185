"""Settling: a look at this host's devices, what is missing for its gangs, and what can be said of them.

Place: effect, called in the thread of `controller.agent.bearing`; all rules are in `ipam.devices`. Remembers
only what makes it polite: devices that refused are tried again after growing pauses, and what went astray is
told for a while. Must not touch a device of which no gang is begun, nor any while the store is not believed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from controller.agent.credence import Credence
from controller.agent.outlets import Outlets, Turn
from controller.store.moorings import Mooring, Moorings
from ipam.devices import carrying, reading, serving
from ipam.devices.desired import DesiredPf, DesiredVf, Policy, Stay, VfDriver, desired, held
from ipam.devices.found import FoundPf
from ipam.devices.kernel import Kernel
from ipam.devices.operations import Operation, place, plan
from ipam.devices.standing import astray, obstacles, part
from model.bearing import HostPart, Reached
from model.errors import Fault
from model.gang import GangState, Progress, Use
from model.hardware import Node, PciAddress, Sku

LOG: Final = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a device that refused is asked again; twice as many each time."""
_BREATH: Final = 0.5
TOLD: Final = 3600.0
"""Seconds for which it is told that VFs went astray."""
LINKLESS: Final = "link-unsupported"
"""What `carrying` calls it when a PF's driver has no link state of VFs."""
_PARKED: Final = Progress(GangState.RELEASING, GangState.ACTIVE)

_NO_SKU: Final = Sku("", (), ())

_Device = tuple[PciAddress, int | None]
Follow = Callable[[Moorings], None]


def nobody(moorings: Moorings) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class Settled:
    """After a round. `parts` by generation; `found`: the PFs that were looked at; `retry`: seconds until a
    device may be tried again, None = none waits."""

    parts: tuple[HostPart, ...] = ()
    found: tuple[FoundPf, ...] = ()
    retry: float | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """`wanted`: what was asked for; something else may be asked for at once."""

    faults: tuple[Fault, ...]
    wanted: object
    pause: float
    until: float


@dataclass(frozen=True, slots=True)
class _Round:
    """What holds during one round."""

    sku: Sku
    stays: tuple[Stay, ...]
    wanted: tuple[DesiredPf, ...]
    blocked: Mapping[int, tuple[Fault, ...]]
    stop: Fault | None
    outlets: Turn


class Settler:
    """`clock`: seconds that only rise. `outlets` None: no VF here serves a port. `follow`: who counts what
    VFs carry; told of a store that is believed, before anything is changed."""

    def __init__(
        self,
        kernel: Kernel,
        credence: Credence,
        clock: Callable[[], float],
        outlets: Outlets | None = None,
        follow: Follow = nobody,
    ) -> None:
        self._kernel, self._credence, self._clock, self._outlets = kernel, credence, clock, outlets
        self._follow = follow
        self._refusals: dict[_Device, _Refusal] = {}
        self._reached: dict[int, Reached] = {}
        self._astray: dict[int, tuple[tuple[Fault, ...], float]] = {}
        self._linkless: frozenset[PciAddress] = frozenset()
        self._stopped = ""
        self.doing: tuple[float, str] | None = None
        """Since when it is at which device; read from other threads."""

    def round(self, moorings: Moorings) -> Settled:
        """Look, do, look again. Raises OSError if what must be remembered can't be; nothing was done then."""
        now = self._round(moorings)
        if now is None:
            self._forget(())
            return Settled()
        found, unread = self._look(now.wanted)
        self._compare(now, found, unread)
        if now.stop is None and (operations := self._due(now, found, unread)):
            self._credence.keep()
            self._carry(now.wanted, operations)
            found, unread = self._look(now.wanted)
        self._log_stop(now.stop)
        faults = self._faults(now, found, unread)
        parts = tuple(p for stay in now.stays if (p := self._part(now, stay, found, faults)) is not None)
        self._reached = {each.generation: each.reached for each in parts}
        self._forget(parts)
        waits = [each.until - self._clock() for each in self._refusals.values()]
        if self._outlets is not None and now.stop is None:
            dumb = frozenset(fault.object for fault in unread)
            again = self._outlets.finish(now.outlets, found, self._credence.keep, dumb)
            waits += [] if again is None else [again]
        return Settled(parts, found, max(min(waits), _BREATH) if waits else None)

    def _round(self, moorings: Moorings) -> _Round | None:
        """None for a host that is no node, and has no VF in its bridge: nothing of it is looked at."""
        node = moorings.nodes[0] if moorings.nodes else None
        outlets = self._turn(moorings, None if node is None else moorings.skus[node.sku])
        if node is None and not outlets.wanted:
            return None
        stop = self._credence.judge(moorings)
        if stop is None:
            self._credence.obey(moorings)
            self._follow(moorings)
        if node is None:
            return _Round(_NO_SKU, (), outlets.wanted, {}, stop, outlets)
        sku = moorings.skus[node.sku]
        stays = tuple(_stay(gang, self._linkless) for gang in moorings.gangs)
        blocked = dict(obstacles(sku, stays)) | _strangers(moorings.nodes, stays)
        alive = [stay for stay in stays if stay.generation not in blocked]
        alive += _left_behind(moorings.gangs, node, self._linkless)
        wanted = serving.merge(desired(sku, alive), outlets.wanted)
        return _Round(sku, stays, wanted, blocked, stop, outlets)

    def _turn(self, moorings: Moorings, sku: Sku | None) -> Turn:
        return Turn() if self._outlets is None else self._outlets.begin(sku, moorings.served)

    def _look(self, wanted: Iterable[DesiredPf]) -> tuple[tuple[FoundPf, ...], tuple[Fault, ...]]:
        """The PFs, and why some can't be read."""
        found, faults = [], []
        for want in wanted:
            self.doing = (self._clock(), f"reading {place(want.pci, None)}")
            try:
                pf = reading.observe(self._kernel, want.pci)
            except OSError as error:
                message = f"it can't be read: {error.strerror or error}"
                remedy = "See the kernel's log; the rest follows by itself."
                faults.append(Fault(place(want.pci, None), "pf-unreadable", message, remedy))
            else:
                found += [] if pf is None else [pf]
            finally:
                self.doing = None
        return tuple(found), tuple(faults)

    def _compare(self, now: _Round, found: tuple[FoundPf, ...], unread: tuple[Fault, ...]) -> None:
        """Notice what is not as it was left."""
        if unread:
            return
        for stay in now.stays:
            done = self._reached.get(stay.generation) in {Reached.SET, Reached.UP}
            if not held(stay.progress) or stay.generation in now.blocked:
                continue
            if done or stay.progress.state is GangState.ACTIVE:
                faults = astray(now.sku, stay, found)
                if faults and faults != self._astray.get(stay.generation, ((), 0.0))[0]:
                    LOG.warning("VFs went astray generation=%d: %s", stay.generation, faults[0].message)
                if faults:
                    self._astray[stay.generation] = faults, self._clock() + TOLD

    def _due(
        self, now: _Round, found: tuple[FoundPf, ...], unread: tuple[Fault, ...]
    ) -> tuple[Operation, ...]:
        """What is to be done now. A refusal of what nobody wants any more is forgotten."""
        made = plan(_read(now.wanted, unread), found)
        there = {(one.pf, one.vf) for one in made.operations}
        self._refusals = {key: each for key, each in self._refusals.items() if key in there}
        return made.operations if any(self._may(now.wanted, *key) for key in there) else ()

    def _may(self, wanted: Iterable[DesiredPf], pf: PciAddress, vf: int | None) -> bool:
        known = self._refusals.get((pf, vf))
        return known is None or known.until <= self._clock() or known.wanted != _wish(wanted, pf, vf)

    def _carry(self, wanted: tuple[DesiredPf, ...], operations: tuple[Operation, ...]) -> None:
        tried: dict[str, _Device] = {}

        def may(pf: PciAddress, vf: int | None) -> bool:
            if not self._may(wanted, pf, vf):
                return False
            tried[place(pf, vf)] = pf, vf
            self.doing = (self._clock(), place(pf, vf))
            return True

        try:
            outcome = carrying.carry(self._kernel, operations, may)
        finally:
            self.doing = None
        for one in outcome.done:
            LOG.info("device set %s", one)
        refused: dict[_Device, list[Fault]] = {}
        for fault in outcome.faults:
            refused.setdefault(tried[fault.object], []).append(fault)
            if fault.rule == LINKLESS:
                self._linkless |= {tried[fault.object][0]}
        for key in tried.values():
            former = self._refusals.pop(key, None)
            if key in refused:
                self._refuse(key, tuple(refused[key]), _wish(wanted, *key), former)

    def _refuse(
        self, key: _Device, faults: tuple[Fault, ...], wanted: object, former: _Refusal | None
    ) -> None:
        again = former is not None and former.wanted == wanted
        if former is None or former.faults != faults:
            LOG.warning("device refused %s: %s", faults[0].object, faults[0].message)
        pause = min(former.pause * 2, LONGEST_PAUSE) if again and former is not None else FIRST_PAUSE
        self._refusals[key] = _Refusal(faults, wanted, pause, self._clock() + pause)

    def _faults(
        self, now: _Round, found: tuple[FoundPf, ...], unread: tuple[Fault, ...]
    ) -> tuple[Fault, ...]:
        """What keeps devices from being as wanted, of all gangs: once for each round."""
        refused = (fault for each in self._refusals.values() for fault in each.faults)
        return (*plan(_read(now.wanted, unread), found).faults, *unread, *refused)

    def _part(
        self, now: _Round, stay: Stay, found: tuple[FoundPf, ...], faults: tuple[Fault, ...]
    ) -> HostPart | None:
        made = part(now.sku, stay, found, faults)
        if made is None:
            return None
        blocked = now.blocked.get(stay.generation, ())
        told, until = self._astray.get(stay.generation, ((), 0.0))
        more = (*blocked, *(told if until > self._clock() and held(stay.progress) else ()))
        more += () if now.stop is None else (now.stop,)
        reached = Reached.NOTHING if blocked else made.reached
        return replace(made, reached=reached, faults=(*more, *made.faults))

    def _forget(self, parts: Iterable[HostPart]) -> None:
        known = {each.generation for each in parts}
        self._astray = {g: each for g, each in self._astray.items() if g in known}
        self._reached = {g: each for g, each in self._reached.items() if g in known}

    def _log_stop(self, stop: Fault | None) -> None:
        said = "" if stop is None else stop.message
        if said != self._stopped:
            self._stopped = said
            if stop is None:
                LOG.info("the store is believed again")
            else:
                LOG.error(
                    "devices are left as they are rule=%s: %s; %s", stop.rule, stop.message, stop.remedy
                )


def _stay(gang: Mooring, linkless: frozenset[PciAddress]) -> Stay:
    driver = VfDriver.VFIO if gang.request.use is Use.VM else VfDriver.NATIVE
    return Stay(gang.berth, gang.progress, gang.generation, Policy(driver), linkless)


def _strangers(nodes: tuple[Node, ...], stays: Iterable[Stay]) -> dict[int, tuple[Fault, ...]]:
    """Gangs of a node that this host is not, or all of them if it is to be two nodes."""
    names = [node.name for node in nodes]
    found = {}
    for stay in stays:
        if len(names) == 1 and stay.berth.node == names[0]:
            continue
        message = f"host {stay.berth.host} is node {' and '.join(names)} in the store"
        fault = Fault(f"node {stay.berth.node}", "node-unclear", message, "Let each host be one Node.")
        found[stay.generation] = (fault,)
    return found


def _left_behind(gangs: Iterable[Mooring], node: Node, linkless: frozenset[PciAddress]) -> list[Stay]:
    """Gangs that were released while an operator vouched for this node: whatever it has of them is parked
    once it is back. They are last: who has a VF by now keeps it."""
    return [
        Stay(gang.berth, _PARKED, gang.generation, None, linkless)
        for gang in gangs
        if gang.progress.state is GangState.RELEASED and node.name in gang.vouched
    ]


def _read(wanted: Iterable[DesiredPf], unread: Iterable[Fault]) -> list[DesiredPf]:
    """Without the PFs that can't be read: nothing is known of them."""
    dumb = {fault.object for fault in unread}
    return [want for want in wanted if place(want.pci, None) not in dumb]


def _wish(wanted: Iterable[DesiredPf], pf: PciAddress, vf: int | None) -> DesiredPf | DesiredVf | None:
    want = next((each for each in wanted if each.pci == pf), None)
    if want is None or vf is None:
        return want
    return next((each for each in want.vfs if each.index == vf), None)

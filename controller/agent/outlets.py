"""Outlets: VFs of this host that serve ports: what they are to be, and their representors in the bridge.

Place: effect, called by `controller.agent.settling` in the thread of the device half; the rules are in
`ipam.devices.serving` and `plugs`. The bridge's interfaces are its memory: each bears our mark with its VF,
so that an agent that was killed, or a host that was started anew, knows what to take back. Must not touch an
interface without our mark, nor any while the store is not believed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from ipam.devices import serving
from ipam.devices.desired import DesiredPf
from ipam.devices.found import FoundPf
from ipam.devices.kernel import Kernel
from ipam.devices.netdevs import representors
from ipam.devices.operations import place, plan
from ipam.devices.plugs import Changes, changes
from ipam.devices.serving import QUIET, Fitted, Place, Service
from ipam.devices.tree import Tree
from model.errors import Fault, RingfenceError
from model.hardware import Sku
from model.ids import Mac, Uid
from model.outlet import Served

LOG: Final = logging.getLogger(__name__)
SOON: Final = 0.5
"""Seconds until the next look, while something waits."""


class Bridge(Protocol):
    """As `controller.southbound.ovsdb.plugging.Plugging`. Raises RingfenceError."""

    def look(self) -> tuple[Fitted, ...]: ...

    def change(self, changes: Changes, macs: dict[Uid, Mac], places: dict[str, Place]) -> None: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What holds during one round."""

    services: tuple[Service, ...] = ()
    fitted: tuple[Fitted, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def wanted(self) -> tuple[DesiredPf, ...]:
        """PFs to look at, and what is to be of them."""
        return serving.desired(self.services, self.fitted)


class Outlets:
    """`clock`: seconds that only rise."""

    def __init__(self, kernel: Kernel, bridge: Bridge, clock: Callable[[], float]) -> None:
        self._kernel, self._bridge, self._clock = kernel, bridge, clock
        self._still: dict[str, float] = {}
        self._told: frozenset[Fault] = frozenset()
        self._idle = False

    def begin(self, sku: Sku | None, served: Iterable[Served]) -> Turn:
        """What is to be done this time; nothing if Open vSwitch does not answer: then links stay as they
        are. A bridge in which nothing of ours is, for a host that serves nothing, is looked at once."""
        found, faults = serving.services(sku, served)
        if self._idle and not found:
            return Turn(faults=faults)
        try:
            fitted = self._bridge.look()
        except RingfenceError as error:
            return Turn(faults=(*faults, *(error.faults if found else ())))
        self._idle = not found and all(one.at is None for one in fitted)
        return Turn(found, fitted, faults)

    def finish(
        self,
        turn: Turn,
        found: tuple[FoundPf, ...],
        keep: Callable[[], None],
        unread: frozenset[str] = frozenset(),
    ) -> float | None:
        """After the VFs were set and looked at. `keep`: called before anything is changed. `unread`: PFs of
        which nobody knows how they are. Seconds until there is more to do, None = nothing waits."""
        gone = serving.leaving(turn.services, turn.fitted)
        made = self._made(turn, found)
        known = tuple(one for one in gone if one.at is not None and place(one.at[0], None) not in unread)
        rested = self._rested(turn, known, found)
        now = serving.due(made, gone, turn.fitted, rested)
        faults = [*turn.faults, *plan(turn.wanted, found).faults, *made.faults]
        if now.detach or now.attach:
            keep()
            try:
                self._bridge.change(now, *self._of(turn, now))
            except RingfenceError as error:
                faults += error.faults
            else:
                _log(now)
        self._tell(faults)
        return SOON if self._still or now.detach or now.attach else None

    def _made(self, turn: Turn, found: tuple[FoundPf, ...]) -> Changes:
        ok, plugged = serving.ready(turn.services, found), serving.plugged(turn.fitted)
        plugs = [
            plug
            for plug in (each.plug for each in turn.services)
            if (plug.pf, plug.vf) in ok or (plug.pf, plug.vf, plug.uid) in plugged
        ]
        tree = Tree(self._kernel.root)
        ends = [each for pci in sorted({plug.pf for plug in plugs}) for each in representors(tree, pci)]
        return changes(plugs, ends, serving.attached(turn.fitted))

    def _rested(self, turn: Turn, gone: tuple[Fitted, ...], found: tuple[FoundPf, ...]) -> frozenset[str]:
        """Of those that leave, the ones that have been still for long enough."""
        now = self._clock()
        self._still = {
            one.netdev: self._still.get(one.netdev, now)
            for one in gone
            if serving.still(one, turn.services, found)
        }
        return frozenset(netdev for netdev, since in self._still.items() if now - since >= QUIET)

    def _of(self, turn: Turn, now: Changes) -> tuple[dict[Uid, Mac], dict[str, Place]]:
        macs = {each.plug.uid: each.mac for each in turn.services}
        at = {each.plug.uid: (each.plug.pf, each.plug.vf) for each in turn.services}
        return macs, {netdev: at[uid] for netdev, uid in now.attach}

    def _tell(self, faults: Iterable[Fault]) -> None:
        """Each once, until it is gone."""
        new = frozenset(faults)
        for fault in sorted(new - self._told, key=lambda fault: (fault.object, fault.rule)):
            LOG.warning("port not served %s: %s; %s", fault.object, fault.message, fault.remedy)
        self._told = new


def _log(now: Changes) -> None:
    for netdev in now.detach:
        LOG.info("representor taken out interface=%s", netdev)
    for netdev, uid in now.attach:
        LOG.info("representor put in interface=%s port=%s", netdev, uid)

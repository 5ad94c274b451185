"""Fitting: whether what the networks of this host carry fits into the devices below, with VXLAN around it.

Place: an effect; the loop says once a tick which VTEPs and networks count, a thread of its own asks the
kernel how they are reached, and the report names what does not fit. Must not change an MTU: which one is
wrong, the operator knows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from model.errors import RingfenceError
from model.underlay import Way, overhead

LOG: Final = logging.getLogger(__name__)
GLANCE: Final = 2.0
"""Seconds between two glances at the devices that were found; a new MTU, or a new VTEP, calls for a look."""
GLANCES: Final = 15
"""Of them until the next look at all ways, which costs a question for each VTEP."""
SHOWN: Final = 3
"""Networks that are named at most; the largest."""


@dataclass(frozen=True, slots=True)
class Load:
    """What leaves this host. `vteps`: where to, in order; `networks`: (MTU, name) of the largest that have
    ports here."""

    vteps: tuple[Address, ...] = ()
    networks: tuple[tuple[int, str], ...] = ()


class Fitting:
    """`want`, `alarms` and `least` may be called from any thread, and none waits."""

    def __init__(
        self,
        observe: Callable[[tuple[Address, ...]], tuple[Way, ...]],
        glance: Callable[[frozenset[str]], Mapping[str, int]],
    ) -> None:
        """See `controller.southbound.netlink.ways`: all ways, and the MTUs of some devices."""
        self._observe, self._glance = observe, glance
        self._load = Load()
        self._ways: tuple[Way, ...] = ()
        self._changed = threading.Condition()
        self._stopping = self._fresh = False
        self._thread = threading.Thread(target=self._run, name="fitting", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def want(self, load: Load) -> None:
        """This is to fit from now on."""
        with self._changed:
            before, self._load = self._load, load
            if load.vteps != before.vteps:
                self._fresh = True
                self._changed.notify()

    def alarms(self) -> tuple[str, ...]:
        """In words; empty if all fits, or nothing is known."""
        with self._changed:
            return misfits(self._load.networks, self._ways)

    def least(self) -> int:
        """The smallest MTU below, 0 = not known."""
        with self._changed:
            return min((way.mtu for way in self._ways), default=0)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                self._fresh, vteps = False, self._load.vteps
            try:
                self._follow(vteps)
            except RingfenceError as error:
                LOG.warning("underlay not seen: %s", error)
                with self._changed:
                    self._ways = ()
                    self._rest()

    def _follow(self, vteps: tuple[Address, ...]) -> None:
        """One look, and glances until there is reason for the next."""
        ways = self._observe(vteps) if vteps else ()
        devices = frozenset(way.device for way in ways)
        known = self._glance(devices)
        with self._changed:
            self._ways = ways
        for _ in range(GLANCES):
            with self._changed:
                if self._rest():
                    return
            if self._glance(devices) != known:
                return

    def _rest(self) -> bool:
        """Whether there is something to do at once."""
        return self._changed.wait_for(lambda: self._fresh or self._stopping, GLANCE)


def misfits(networks: tuple[tuple[int, str], ...], ways: tuple[Way, ...]) -> tuple[str, ...]:
    """A sentence for each device that is too small: object, rule and remedy."""
    narrowest: dict[str, Way] = {}
    for way in ways:
        known = narrowest.get(way.device)
        if known is None or way.mtu - overhead(way.vtep) < known.mtu - overhead(known.vtep):
            narrowest[way.device] = way
    return tuple(
        _words(way, large)
        for _, way in sorted(narrowest.items())
        if (large := [one for one in networks if one[0] + overhead(way.vtep) > way.mtu])
    )


def _words(way: Way, large: list[tuple[int, str]]) -> str:
    more = overhead(way.vtep)
    names = ", ".join(f"{name} (MTU {mtu})" for mtu, name in large)
    return (
        f"underlay-mtu: device {way.device} passes {way.mtu} octets to {way.vtep}, VXLAN over"
        f" IPv{way.vtep.version} adds {more}: packets of network {names} get lost; give the device an MTU of"
        f" {large[0][0] + more}, or the network spec.mtu: {way.mtu - more}"
    )

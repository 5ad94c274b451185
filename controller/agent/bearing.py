"""Bearing: the device half of an agent: sets this host's VFs for its gangs, and says what was read back.

Place: two threads of its own between the store's Lookout and the kernel: one is at the devices, where a
driver may take its time, the other speaks, so that a slow device is told of. Must not know the rest of the
agent: a lab runs it on simulated NICs, with another Kernel.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from controller.agent.credence import Credence
from controller.agent.outlets import Bridge, Outlets
from controller.agent.settling import Follow, Settled, Settler, nobody
from controller.store.moorings import Moorings
from ipam.devices.kernel import Kernel
from model.bearing import HostPart, HostWord, Reached
from model.errors import Fault, RingfenceError
from model.ids import HostName

LOG: Final = logging.getLogger(__name__)
EVERY: Final = 5.0
"""Seconds between two looks, and between two words."""
LATE: Final = 10.0
"""Seconds at one device after which it is told to be slow."""
_JOIN: Final = 2.0

Say = Callable[[HostWord], None]
"""Raises RingfenceError if the store can't be reached: it is said again at the next turn."""
Publish = Callable[[Moorings, Settled], None]
"""What the workloads of this host may read. Raises OSError."""


class Bearing:
    """`moor` is what a Lookout calls. `bridge` None: VFs serve gangs alone. `follow`: see `Settler`."""

    def __init__(
        self,
        host: HostName,
        kernel: Kernel,
        credence: Credence,
        say: Say,
        publish: Publish,
        clock: Callable[[], float] = time.monotonic,
        bridge: Bridge | None = None,
        follow: Follow = nobody,
    ) -> None:
        self._host, self._say, self._publish, self._clock = host, say, publish, clock
        outlets = None if bridge is None else Outlets(kernel, bridge, clock)
        self._settler = Settler(kernel, credence, clock, outlets, follow)
        self._changed = threading.Condition()
        self._moorings: Moorings | None = None
        self._turn = 0
        self._parts: tuple[HostPart, ...] | None = None
        self._stopping = False
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("bearing", self._settle), ("bearing-word", self._speak))
        ]

    def start(self) -> None:
        """Begin; nothing is touched before the store has spoken."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; one that waits for a driver is left behind. Devices stay as they are."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN)

    def moor(self, moorings: Moorings | None) -> None:
        """What the store says now; None: it is not known. Writes of others, that only raise the generation,
        are no reason to look at devices."""
        with self._changed:
            news = _undated(moorings) != _undated(self._moorings)
            self._moorings = moorings
            if news:
                self._turn += 1
                self._changed.notify_all()

    def word(self) -> HostWord | None:
        """What there is to say now; None: nothing, since the store is not known or this host is no node."""
        with self._changed:
            if self._moorings is None or self._parts is None:
                return None
            parts, doing = self._parts, self._settler.doing
        if doing is None or self._clock() - doing[0] < LATE:
            return HostWord(parts)
        slow = Fault(
            f"devices of {self._host}",
            "device-slow",
            f"{doing[1]} takes longer than {LATE:.0f} s",
            "A VF of a VM goes when the VM lets go of it; else see the kernel's log.",
        )
        return HostWord(tuple(replace(part, faults=(slow, *part.faults)) for part in parts))

    def _settle(self) -> None:
        while not self._stopping:
            with self._changed:
                moorings, turn = self._moorings, self._turn
            pause = None if moorings is None else self._round(moorings)
            self._wait(lambda: self._turn != turn, pause)  # noqa: B023 - it is called in this turn

    def _round(self, moorings: Moorings) -> float | None:
        """Seconds until the next one, None: not before the store says something else."""
        try:
            settled = self._settler.round(moorings)
        except Exception as error:  # a defect must neither end the thread nor let old words stand
            LOG.exception("devices not settled host=%s", self._host)
            self._set(tuple(_doubtful(part, error) for part in self._parts or ()))
            return EVERY
        if not moorings.nodes:
            self._set(() if self._parts else None)
            return settled.retry
        self._set(settled.parts)
        try:
            self._publish(moorings, settled)
        except OSError as error:
            LOG.error("berths not written host=%s: %s", self._host, error)
        return EVERY if settled.retry is None else min(EVERY, settled.retry)

    def _set(self, parts: tuple[HostPart, ...] | None) -> None:
        with self._changed:
            if parts != self._parts:
                self._parts = parts
                self._changed.notify_all()

    def _speak(self) -> None:
        said: HostWord | None = None
        trouble = ""
        while not self._stopping:
            word = self.word()
            if word is not None:
                try:
                    self._say(word)
                    trouble = ""
                except RingfenceError as error:
                    if str(error) != trouble:
                        trouble = str(error)
                        LOG.warning("word not said host=%s reason=%s", self._host, error)
                except Exception:  # as above
                    LOG.exception("word not said host=%s", self._host)
                said = word
            self._wait(lambda: self._news(said), EVERY)  # noqa: B023 - likewise

    def _wait(self, holds: Callable[[], bool], seconds: float | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or holds(), seconds)

    def _news(self, said: HostWord | None) -> bool:
        """Whether the parts are others than those that were said."""
        if self._moorings is None or self._parts is None:
            return False
        return said is None or tuple(map(_bare, said.parts)) != tuple(map(_bare, self._parts))


def _undated(moorings: Moorings | None) -> Moorings | None:
    return None if moorings is None else replace(moorings, generation=0)


def _bare(part: HostPart) -> HostPart:
    return replace(part, faults=tuple(fault for fault in part.faults if fault.rule != "device-slow"))


def _doubtful(part: HostPart, error: Exception) -> HostPart:
    message = f"{type(error).__name__}: {error}"
    fault = Fault("agent", "devices-unknown", message[:200], "See the agent's log; report it with the log.")
    return replace(part, reached=Reached.NOTHING, faults=(fault,))

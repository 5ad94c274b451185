"""Pathing: sends path probes on a thread of its own, and says which VTEPs stop and begin to answer.

Place: an effect over `controller.agent.paths`. The loop says which VTEPs are of interest, the session hands
answers in, verdicts go to the loop as events. Must not wait while it holds the lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from controller.agent.paths import Paths, probe
from model.addresses import Address
from model.ids import PROBE_VNI, Mac

LOG: Final = logging.getLogger(__name__)
_IDLE: Final = 1.0
_NOBODY: Final = Mac(0)


class Launcher(Protocol):
    """Sends a frame out of an OpenFlow port with fields set: `controller.southbound.openflow.session`."""

    def launch(self, port: int, fields: tuple[tuple[str, int | str], ...], frame: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class PathsDown:
    """An event: the VTEPs that path probes do not reach now, all of them."""

    vteps: frozenset[Address]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be probed: `tunnel` is the OpenFlow port, 0 = nothing can be sent now; `source` our MAC.
    `strangers`: others that traffic goes to; they would answer no probe."""

    vteps: frozenset[Address] = frozenset()
    tunnel: int = 0
    source: Mac = _NOBODY
    strangers: frozenset[Address] = frozenset()


class Pathing:
    """`want`, `hear` and `alarms` may be called from any thread."""

    def __init__(
        self,
        launcher: Launcher,
        token: int,
        on_change: Callable[[PathsDown], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launcher = launcher
        self._token = token
        self._on_change = on_change
        self._clock = clock
        self._paths = Paths(token)
        self._wish = Wish()
        self._said: frozenset[Address] = frozenset()
        self._cut_off = False
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pathing", daemon=True)

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

    def want(self, wish: Wish) -> None:
        """This is to be probed from now on."""
        with self._changed:
            if wish == self._wish:
                return
            self._wish = wish
            self._paths.want(wish.vteps, self._clock())
            if not wish.tunnel:
                self._paths.pause()
            self._changed.notify()

    def hear(self, path: int, frame: bytes) -> None:
        """An answer came home."""
        with self._changed:
            self._paths.hear(path, frame)
        self._tell()

    def cut_off(self) -> bool:
        """Whether none of the VTEPs that are asked answers any more."""
        with self._changed:
            return self._paths.silent()

    def unanswered(self) -> frozenset[Address]:
        """The VTEPs whose last probes all stayed without an answer, also of those that never gave one."""
        with self._changed:
            return self._paths.unanswered()

    def alarms(self) -> tuple[str, ...]:
        """In words, by VTEP; empty if all is well."""
        with self._changed:
            losses, cut_off = self._paths.losses(), self._cut_off
        if cut_off:
            return ("no other VTEP answers path probes: look at this host's own tunnel and underlay",)
        return tuple(_words(vtep, *losses[vtep]) for vtep in sorted(losses, key=str))

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                now = self._clock()
                wish, due = self._wish, self._paths.due()
                if not wish.tunnel or due is None or due > now:
                    idle = _IDLE if not wish.tunnel or due is None else min(_IDLE, due - now)
                    self._changed.wait(idle)
                    continue
                self._paths.expire(now)
                sent = self._paths.send(now)
            for vtep, number in sent:
                frame = probe(wish.source, self._token, number)
                self._launcher.launch(wish.tunnel, outer(vtep), frame)
            self._tell()

    def _tell(self) -> None:
        """What has changed, once."""
        with self._changed:
            down = self._paths.down()
            self._cut_off = down is None
            if down is None or down == self._said:
                return
            fresh, back, self._said = down - self._said, self._said - down, down
        for vtep in sorted(fresh, key=str):
            LOG.warning("path down vtep=%s", vtep)
        for vtep in sorted(back, key=str):
            LOG.info("path up vtep=%s", vtep)
        self._on_change(PathsDown(down))


def outer(vtep: Address) -> tuple[tuple[str, int | str], ...]:
    """The fields of a probe's tunnel."""
    return (("tun_id", PROBE_VNI), ("tun_dst" if vtep.version == 4 else "tun_ipv6_dst", str(vtep)))


def _words(vtep: Address, lost: int, sent: int, broken: tuple[int, ...]) -> str:
    ports = ", ".join(map(str, broken))
    where = f", and all on source ports {ports}: one of several underlay paths is broken" if broken else ""
    return f"path to {vtep}: {lost} of the last {sent} probes lost{where}"

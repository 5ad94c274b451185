"""Resolving: with the userspace data path, sees to it that Open vSwitch knows the MACs that its tunnels need,
and that what it learns by itself does not leave wrong flows in its cache.

Place: an effect over `controller.agent.neighbours`, on a thread of its own. The loop says which VTEPs traffic
goes to, `controller.agent.pathing` which of them do not answer. Must not change configuration.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.agent.neighbours import Neighbours
from controller.agent.pathing import Launcher, Wish, outer
from controller.agent.paths import probe
from controller.southbound import megaflows, neighbours, unixctl
from model.addresses import Address
from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)
RHYTHM: Final = 1.0
"""Seconds from one look to the next."""


class Resolving:
    """`want` may be called from any thread, and does not wait."""

    def __init__(
        self,
        rundir: Path,
        datapath: str,
        launcher: Launcher,
        silent: Callable[[], frozenset[Address]],
        on_stir: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`silent`: VTEPs whose last probes stayed without an answer; `on_stir`: Open vSwitch brought its
        cache in line for another reason than a change of flows."""
        self._rundir = rundir
        self._concerned = datapath == "netdev"
        self._launcher = launcher
        self._silent = silent
        self._on_stir = on_stir
        self._clock = clock
        self._neighbours = Neighbours()
        self._wish = Wish()
        self._stirs = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resolving", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to do with this data path."""
        if self._concerned:
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def want(self, wish: Wish) -> None:
        """These are the VTEPs that traffic goes to."""
        self._wish = wish

    def _run(self) -> None:
        while not self._over.wait(RHYTHM):
            try:
                self.look()
            except (RingfenceError, OSError) as error:  # no ovs-vswitchd just now: the loop says so
                LOG.debug("neighbours not seen: %s", error)

    def look(self) -> None:
        """Once."""
        stirs = megaflows.stirs(self._rundir)
        if stirs != self._stirs:
            self._stirs = stirs
            self._on_stir()
        wish = self._wish
        wanted = (wish.strangers | (self._silent() & wish.vteps)) if wish.tunnel else frozenset()
        if not wanted:
            return
        known = neighbours.resolved(self._rundir)
        steps = self._neighbours.look(wanted, known, self._next_hop, self._clock())
        if steps.purge:
            LOG.warning("no MAC of VTEPs %s: cached flows purged", ", ".join(map(str, steps.purge)))
            unixctl.revalidate_purge(self._rundir)
        for vtep in steps.asked:
            self._launcher.launch(wish.tunnel, outer(vtep), probe(wish.source, 0, 0))

    def _next_hop(self, vtep: Address) -> Address | None:
        return neighbours.next_hop(self._rundir, vtep)

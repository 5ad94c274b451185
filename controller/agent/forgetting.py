"""Forgetting: after flows were changed, the data path's cache of them is emptied, where Open vSwitch would
otherwise go on by what was before.

Place: effects, told by `controller.agent.switching` of each change; a thread of its own: nobody waits. Only
where `megaflows.mistakes` says so, and only with the userspace data path. Must not change configuration.

Some releases, when they bring the cache in line with the tables, may change another cached flow than the one
that is meant. That one then keeps forwarding, or dropping, as long as packets come (docs/decisions/0066).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.southbound import megaflows, unixctl
from model.errors import Invalid, RingfenceError

LOG: Final = logging.getLogger(__name__)
PURGES: Final = 2
"""The first passes over a flow that a revalidator is at just then."""
LEAST: Final = 0.2
"""Seconds between two times, at least."""
EACH: Final = 1e-3
"""Seconds to rest for each flow that was forgotten: to learn it anew takes ovs-vswitchd a tenth of that."""
AGAIN: Final = 1.0
"""Seconds until it is tried again if it failed."""


class Forgetting:
    """`rundir`: of this host's Open vSwitch; `datapath`: `netdev` or `system`."""

    def __init__(self, rundir: Path, datapath: str) -> None:
        self._rundir = rundir
        self._concerned = datapath == "netdev"
        self._changed = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def changed(self) -> None:
        """Flows have been changed, and the switch has acknowledged it. Returns at once."""
        if not self._concerned:
            return
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="forgetting", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Forget no more; what is due is left undone."""
        self._over.set()
        self._changed.set()

    def _run(self) -> None:
        while not self._over.is_set():
            self._changed.wait()
            self._changed.clear()  # before: what is changed meanwhile needs a look of its own
            if self._over.is_set():
                return
            self._over.wait(self._attempt())

    def _attempt(self) -> float:
        """Seconds to rest."""
        try:
            return rest(forget(self._rundir))
        except (RingfenceError, OSError) as error:
            LOG.warning("cached flows not forgotten: %s", error)
            self._changed.set()
            return AGAIN


def forget(rundir: Path, pause: Callable[[float], object] = time.sleep) -> int:
    """Empty the cache, if it may hold what is not in the tables any more; how many flows it had.

    After Open vSwitch's own look: while that lasts, changes of before may still be put on what is new.
    """
    if not megaflows.mistakes(rundir):
        return 0
    try:
        unixctl.revalidate_wait(rundir)
    except Invalid:  # with data paths of two types it says nothing of either
        pause(2 * megaflows.rhythm(rundir))
    flows = megaflows.population(rundir).flows
    for _ in range(PURGES):
        unixctl.revalidate_purge(rundir)
    return flows


def rest(flows: int) -> float:
    """Seconds for which so many flows may be learnt anew before they are forgotten again."""
    return max(LEAST, EACH * flows)

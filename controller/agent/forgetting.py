"""Forgetting: after flows were changed, the data path is seen to go by them; where Open vSwitch would go on
by what was before, its cache is emptied.

Place: effects, told by `controller.agent.switching` of each change; a thread of its own: the loop never
waits. What it has seen is what a host's word on its generation waits for, and so does `--wait`. Must not
change configuration.

A committed bundle changes the tables; cached flows go by it once Open vSwitch has looked at all of them anew.
Some releases may then change another cached flow of their own data path than the one that is meant. That one
keeps forwarding, or dropping, as long as packets come (docs/decisions/0066).
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
LOOKS: Final = 2
"""The end of the first may be of one that began before the change; the next has then begun after it."""
PURGES: Final = 2
"""The first passes over a flow that a revalidator is at just then."""
LEAST: Final = 0.2
"""Seconds between two times, at least."""
EACH: Final = 1e-3
"""Seconds to rest for each flow that was forgotten: to learn it anew takes ovs-vswitchd a tenth of that."""
AGAIN: Final = 1.0
"""Seconds until it is tried again if it failed."""


class Forgetting:
    """`rundir`: of this host's Open vSwitch; `datapath`: `netdev` or `system`; `tell`: called, in the thread,
    whenever more of the changes are followed."""

    def __init__(self, rundir: Path, datapath: str, tell: Callable[[], object] = lambda: None) -> None:
        self._rundir = rundir
        self._own = datapath == "netdev"
        self._tell = tell
        self._made = self._followed = 0
        self._trouble = ""
        self._changed = threading.Event()
        self._over = threading.Event()
        self._first = threading.Lock()
        self._thread: threading.Thread | None = None

    def turns(self) -> tuple[int, int]:
        """How many changes there were, and how many of them the data path goes by for sure."""
        followed = self._followed
        return self._made, followed

    def changed(self) -> None:
        """Flows have been changed, and the switch has acknowledged it. Returns at once."""
        self._made += 1
        self.stirred()

    def stirred(self) -> None:
        """Open vSwitch has looked at its cached flows for a reason of its own. Returns at once."""
        self._changed.set()
        with self._first:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="forgetting", daemon=True)
                self._thread.start()

    def alarms(self) -> tuple[str, ...]:
        """In words, while it is not known what the data path goes by: no generation is said meanwhile."""
        trouble = self._trouble
        return (f"changes are not confirmed, and --wait waits: {trouble}",) if trouble else ()

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
        made = self._made
        try:
            flows = self._follow(made)
        except (RingfenceError, OSError) as error:
            if not self._trouble:
                LOG.warning("cached flows not looked at: %s", error)
            self._trouble = str(error)
            self._changed.set()
            return AGAIN
        self._trouble = ""
        if made != self._followed:
            self._followed = made
            self._tell()
        return rest(flows)

    def _follow(self, made: int) -> int:
        """How many flows were forgotten, to go by so many changes."""
        if self._own and megaflows.mistakes(self._rundir):
            return forget(self._rundir)
        if made != self._followed:
            look(self._rundir, LOOKS)
        return 0


def look(rundir: Path, times: int, pause: Callable[[float], object] = time.sleep) -> None:
    """Wait until Open vSwitch has ended so many looks at its cached flows."""
    try:
        for _ in range(times):
            unixctl.revalidate_wait(rundir)
    except Invalid:  # with data paths of two types it says nothing of either
        pause(2 * megaflows.rhythm(rundir))


def forget(rundir: Path, pause: Callable[[float], object] = time.sleep) -> int:
    """Empty the cache; how many flows it had.

    After Open vSwitch's own look: while that lasts, changes of before may still be put on what is new.
    """
    look(rundir, 1, pause)
    flows = megaflows.population(rundir).flows
    for _ in range(PURGES):
        unixctl.revalidate_purge(rundir)
    return flows


def rest(flows: int) -> float:
    """Seconds for which so many flows may be learnt anew before they are forgotten again."""
    return max(LEAST, EACH * flows)

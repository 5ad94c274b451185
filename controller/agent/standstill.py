"""Standstill: a moment in which the data path holds no flow, so that nothing waits to be counted.

Place: effects, called by `controller.agent.metering` around the bundle that moves the pass of the data path
in which a port is counted, or the class as which (docs/decisions/0026, 0043). Must not change configuration,
nor leave behind what would not mend itself if the agent died within: Open vSwitch undoes all of it within
half a second.

Open vSwitch pushes what its data path has counted to the OpenFlow flows now and then, along the path that a
packet would take *now*. So what is pending when a path changes is credited to the new one. Here nothing is:
each packet comes up to ovs-vswitchd, is forwarded there, and counted at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

from controller.southbound import megaflows, unixctl
from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)
TRIES: Final = 5
"""Purges at most: one is enough unless something makes Open vSwitch look at its flows just then."""
QUIET: Final = 0.8
"""The share of the time between two looks of Open vSwitch that a standstill may last. It begins right after
a look, and takes 5 to 40 ms of usually 500."""


HOLDS: Final = 3
"""Standstills that are begun at most, if the machine is so busy that most of one is over once it is there."""
LEAST: Final = 0.25
"""The share of the time that a standstill may last which must be left when the work begins."""


class Stillness(Enum):
    """Whether all was still while the work was done."""

    PROVEN = "proven"
    DOUBTFUL = "doubtful"
    """Flows may have come between: a few packets may be credited to a path that they did not take."""


@dataclass(frozen=True, slots=True)
class _Held:
    """`until`: when Open vSwitch may look at its flows the next time, on the clock; `least`: seconds before
    that in which the work has to begin. `reasons`: that it had had for looks before. `empty`: whether no flow
    was left, and none could come."""

    limit: int
    until: float
    least: float
    reasons: int
    empty: bool


def still(
    rundir: Path,
    work: Callable[[], object],
    clock: Callable[[], float] = time.monotonic,
    ready: Callable[[], object] = lambda: None,
) -> Stillness:
    """Do `work`, one bundle, while the data path is empty. It is done in any case, and its errors passed on.

    Waits for the end of Open vSwitch's next look at its flows first (half a second at most); until then
    nothing is different for anybody's packets. Begins again while too little time is left for the work.
    `ready`: done once before that, when it has come so far; it may take long: then it begins again as well.
    """
    held = _tried(lambda: _hold(rundir, clock, megaflows.population(rundir).limit))
    ready()
    for _ in range(HOLDS - 1):
        if held is None or not held.empty or held.until - clock() >= held.least:
            break
        held = _tried(partial(_hold, rundir, clock, held.limit))
    try:
        work()
    finally:
        stillness = Stillness.DOUBTFUL if held is None else _release(rundir, held, clock)
    return stillness


def _tried(hold: Callable[[], _Held]) -> _Held | None:
    try:
        return hold()
    except (RingfenceError, OSError) as error:
        LOG.warning("data path not stilled: %s", error)
        return None


def _hold(rundir: Path, clock: Callable[[], float], known: int) -> _Held:
    """`known`: the limit to give back."""
    quiet = QUIET * megaflows.rhythm(rundir)
    unixctl.revalidate_wait(rundir)
    looked = clock()
    for _ in range(TRIES):
        reasons = megaflows.revalidations(rundir)
        megaflows.limit(rundir, 0)
        unixctl.revalidate_purge(rundir)
        seen = megaflows.population(rundir)
        if not seen.limit and not seen.flows:
            until = looked + quiet - seen.milliseconds / 1e3
            return _Held(known, until, LEAST * quiet, reasons, True)
    return _Held(known, looked, 0.0, 0, False)


def _release(rundir: Path, held: _Held, clock: Callable[[], float]) -> Stillness:
    """Give the limit back, and tell whether any look at the flows may have ended before the work was done."""
    left = held.until - clock()
    try:
        megaflows.limit(rundir, held.limit)  # a thousand would be too few for a while, on a busy host
        reasons = megaflows.revalidations(rundir) - held.reasons
        if (
            megaflows.population(rundir).limit < held.limit
        ):  # the look that the work asked for has ended since
            megaflows.limit(rundir, held.limit)
    except (RingfenceError, OSError) as error:
        LOG.warning("data path not seen after a standstill: %s", error)
        return Stillness.DOUBTFUL
    if held.empty and left > 0 and reasons <= 1:  # the work itself is one
        return Stillness.PROVEN
    LOG.warning("data path did not stand still empty=%s left=%.3f reasons=%d", held.empty, left, reasons)
    return Stillness.DOUBTFUL

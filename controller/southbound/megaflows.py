"""The data path's flows, as ovs-vswitchd says over its control socket: how many, how many at most, and how
often it has looked at all of them anew; and whether it may mistake one for another.

Place: beside `unixctl`, for `controller.agent.standstill`, `.forgetting` and `.resolving`. Must not decide
when. Of Open vSwitch's commands only those are used that do no harm if the caller dies after them.
`revalidator/pause` is none of those: with one `resume` too many, ovs-vswitchd blocks for ever.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controller.southbound import rpc, unixctl

_LIMIT: Final = re.compile(r"\(limit (\d+)\)")
_KEYS: Final = re.compile(r"\(keys (\d+)\)")
_DURATION: Final = re.compile(r"dump duration : (\d+)ms")
_CAUSES: Final = (
    *("rev_reconfigure", "rev_stp", "rev_rstp", "rev_bond"),
    *("rev_port_toggled", "rev_flow_table", "rev_mac_learning", "rev_mcast_snooping"),
)
"""Coverage counters of ovs-vswitchd: one rises whenever it decides to look at all flows anew, by why."""
_STIRS: Final = re.compile(r"^(rev_\w+) .*total: (\d+)", re.MULTILINE)
_RHYTHM: Final = {"max-revalidator": 500, "max-idle": 10_000}
"""Settings of Open vSwitch (ovs-vswitchd.conf.db(5)) and their defaults, in milliseconds."""
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_RIGHT_FROM: Final = {(2, 17): 8, (3, 0): 5, (3, 1): 3}
"""The first release of each series whose userspace data path changes the flow that is meant."""
_RIGHT_SERIES: Final = (3, 2)
_ROOT: Final = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["other_config"]}


@dataclass(frozen=True, slots=True)
class Population:
    """`limit`: so many flows ovs-vswitchd installs at most; `flows`: that it keeps now; `milliseconds`: that
    its last look at all of them took. With several data paths the largest limit and duration, and the sum."""

    limit: int
    flows: int
    milliseconds: int


def population(rundir: Path) -> Population:
    """The flows of all data paths now."""
    text = unixctl.call(rundir, "upcall/show")
    limits = [int(found) for found in _LIMIT.findall(text)]
    durations = [int(found) for found in _DURATION.findall(text)]
    flows = sum(int(found) for found in _KEYS.findall(text))
    return Population(max(limits, default=0), flows, max(durations, default=0))


def limit(rundir: Path, flows: int) -> None:
    """Let ovs-vswitchd install no more than so many flows, until it has looked at all of them the next time:
    then it allows a thousand at least. What is not installed comes up packet by packet, counted at once."""
    unixctl.call(rundir, "upcall/set-flow-limit", str(flows))


def revalidations(rundir: Path) -> int:
    """How often ovs-vswitchd had a reason to look at all flows anew, since it started; what it does in a
    fixed rhythm is not in it."""
    return sum(int(unixctl.call(rundir, "coverage/read-counter", cause)) for cause in _CAUSES)


def stirs(rundir: Path) -> int:
    """The same without changes of flows: what comes by itself, such as a MAC that is learnt."""
    found = _STIRS.findall(unixctl.call(rundir, "coverage/show"))
    return sum(int(total) for cause, total in found if cause != "rev_flow_table")


def mistakes(rundir: Path) -> bool:
    """Whether this ovs-vswitchd's own data path may change another flow than the one that is meant, where two
    overlap: docs/decisions/0066. What no version can be read of passes for one."""
    return mistaken(unixctl.call(rundir, "version"))


def mistaken(version: str) -> bool:
    """The same, of what it says as its version."""
    found = _VERSION.search(version)
    if found is None:
        return True
    major, minor, patch = (int(part) for part in found.groups())
    first = _RIGHT_FROM.get((major, minor))
    return (major, minor) < _RIGHT_SERIES if first is None else patch < first


def rhythm(rundir: Path) -> float:
    """Seconds from one look at all flows to the next, if there is no reason for one in between."""
    answer: Any = rpc.call(rundir / "db.sock", "transact", ["Open_vSwitch", _ROOT], unixctl.TIMEOUT)
    settings = dict(answer[0]["rows"][0]["other_config"][1])
    return min(int(settings.get(name, usual)) for name, usual in _RHYTHM.items()) / 1e3

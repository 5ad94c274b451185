"""Connections: flushes and bounds the conntrack zones of the local data path.

Place: called by the agent's hands on the switch. Speaks to ovs-vswitchd over its control socket (the commands
of ovs-appctl dpctl, which work on the kernel's conntrack and on that of the userspace data path alike). Must
not decide which zones.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from controller.southbound import unixctl


def flush(rundir: Path, zone: int) -> None:
    """Forget all connections of a zone. Unavailable or Invalid if ovs-vswitchd does not do it.

    Open vSwitch 3.1 takes no name of a data path here, against its manual: the host has to have one only.
    """
    unixctl.call(rundir, "dpctl/flush-conntrack", f"zone={zone}")


def limit(rundir: Path, datapath: str, limits: Iterable[tuple[int, int]]) -> None:
    """Bound the connections of zones, or unbound those whose limit is 0."""
    listed = tuple(limits)
    bounded = [f"zone={zone},limit={most}" for zone, most in listed if most]
    free = ",".join(str(zone) for zone, most in listed if not most)
    if bounded:
        unixctl.call(rundir, "dpctl/ct-set-limits", _name(datapath), *bounded)
    if free:
        unixctl.call(rundir, "dpctl/ct-del-limits", _name(datapath), f"zone={free}")


def _name(datapath: str) -> str:
    """Of the data path of that kind."""
    return f"{datapath}@ovs-{datapath}"

"""Evidence: wires together what reads the counters of rules: a channel to the switch, the file, the store.

Place: started by `ringfenced agent` beside its loop. Must not hold logic.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.agent.core import Core
from controller.agent.meter import read_boot_id
from controller.agent.watching import Watching
from controller.daemon.bypass import CLOCKS
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.store.wire import Connection
from model.ids import HostName

FILE: Final = "evidence"


def watching(
    connect: Callable[[], Connection],
    host: HostName,
    look: Callable[[], Core],
    rundir: Path,
    bridge: str,
    state: Path,
    every: float,
) -> Watching:
    """`state`: the agent's directory; `every`: seconds between readings."""
    channel = Channel(rundir / f"{bridge}.mgmt", Encoder())
    return Watching(connect, host, look, channel, rundir, state / FILE, read_boot_id(), CLOCKS, every)

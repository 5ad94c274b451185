"""Commands of the running ovs-vswitchd over its control socket, without forking ovs-appctl.

Place: called by accounting (exact counters), by tests after changing flows, and by `ovsdb` to see restarts.
Must not change configuration.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.southbound import rpc

TIMEOUT: Final = 10.0


def find(rundir: Path) -> Path:
    """The control socket of the ovs-vswitchd that runs now; sockets of killed ones may lie beside it."""
    for candidate in _candidates(rundir):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(candidate))
            return candidate
    raise rpc.unavailable(rundir / "ovs-vswitchd.*.ctl", "no control socket there accepts a connection")


def call(rundir: Path, command: str, *arguments: str, timeout: float = TIMEOUT) -> str:
    """Run a command; its output. Unavailable without an answer in time, Invalid if it refuses."""
    path = find(rundir)
    result = rpc.call(path, command, arguments, timeout)
    if result is not None and not isinstance(result, str):
        raise rpc.unavailable(path, f"{command} answers something else than text")
    return result or ""


def revalidate_purge(rundir: Path, timeout: float = TIMEOUT) -> None:
    """Take all flows out of the data path, so that their counts are in the OpenFlow counters."""
    call(rundir, "revalidator/purge", timeout=timeout)


def revalidate_wait(rundir: Path, timeout: float = TIMEOUT) -> None:
    """Wait till the data path agrees with the flow tables and its counts are in the OpenFlow counters."""
    call(rundir, "revalidator/wait", timeout=timeout)


def trace(rundir: Path, bridge: str, flow: str, timeout: float = TIMEOUT) -> str:
    """What `flow` (ovs-ofctl syntax of a packet) would meet: the text of ofproto/trace. Sends nothing."""
    return call(rundir, "ofproto/trace", bridge, flow, timeout=timeout)


def resume(rundir: Path, bridge: str, flow: str, table: int, timeout: float = TIMEOUT) -> str:
    """As `trace`, of a packet that begins in `table`, with its registers as `flow` says."""
    return call(rundir, "ofproto/trace-packet-out", bridge, flow, f"resubmit(,{table})", timeout=timeout)


def _candidates(rundir: Path) -> list[Path]:
    """The likeliest first: the one of the pid file, a fixed name, then all."""
    found: list[Path] = []
    with suppress(OSError, ValueError):
        pid = int((rundir / "ovs-vswitchd.pid").read_text())
        found.append(rundir / f"ovs-vswitchd.{pid}.ctl")
    found.append(rundir / "vswitchd.ctl")
    found.extend(sorted(rundir.glob("ovs-vswitchd.*.ctl")))
    return list(dict.fromkeys(found))

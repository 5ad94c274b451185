"""Room: what the sockets of a switch may hold while it waits for a processor, beyond what they are made with.

Place: under the hypervisors of a lab. The data path in ovs-vswitchd reads frames from sockets that hold
about 90 of them by default, so on a busy machine a tenth of a second loses what nobody touched. Neither Open
vSwitch nor a network namespace can be told another size (net.core.rmem_default is read-only there), so the
sockets are borrowed (pidfd_getfd(2)) and widened as they appear. Must not touch a process but the lab's own
switch.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from topologies.traffic.endpoint import SO_RCVBUFFORCE

ROOM = 1 << 20
"""Octets; the kernel doubles it. About 900 frames of 1,000 octets, with what they take in memory."""
_SO_DOMAIN = 39
_PIDFD_GETFD = 438
_EVERY = 0.25
_libc = ctypes.CDLL(None, use_errno=True)


def make_room(pid: int, known: set[str]) -> None:
    """Widen the packet sockets of a process that are not among `known`; then they are.

    OSError if it ends meanwhile, or if its sockets may not be borrowed here.
    """
    holder = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name = os.readlink(entry)
            except FileNotFoundError:  # closed since
                continue
            if name.startswith("socket:") and name not in known:
                _widen(holder, int(entry.name))
                known.add(name)
    finally:
        os.close(holder)


def keep_room(switch: subprocess.Popen[bytes]) -> None:
    """Do it in the background until the switch ends."""
    threading.Thread(target=_follow, args=(switch,), name="lab-room", daemon=True).start()


def _follow(switch: subprocess.Popen[bytes]) -> None:
    known: set[str] = set()
    while switch.poll() is None:
        try:
            make_room(switch.pid, known)
        except OSError:  # a socket that has just been closed, or the whole switch: the next look tells
            pass
        time.sleep(_EVERY)


def _widen(holder: int, number: int) -> None:
    borrowed = _libc.syscall(_PIDFD_GETFD, holder, number, 0)
    if borrowed < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"file {number} of the switch can't be borrowed: {os.strerror(code)}")
    with socket.socket(fileno=borrowed) as found:
        if found.getsockopt(socket.SOL_SOCKET, _SO_DOMAIN) == socket.AF_PACKET:
            found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)

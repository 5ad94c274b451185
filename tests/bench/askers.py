"""Ports that ask for an address, each at a steady pace, and how long each answer takes.

Place: used by `answers`. Sockets in the VMs' namespaces, one loop in this process; kernels of VMs do nothing.
Must not judge.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fakes import askers
from topologies.nodes.vm import INTERFACE, Vm
from topologies.traffic.endpoint import open_socket

_SUM, _PORTS, _XID = slice(40, 42), slice(34, 38), slice(46, 50)
"""Of DHCP in UDP over IPv4 without options: the checksum, the ports, the client's number of a question."""
_ANSWER = b"\x00\x43\x00\x44"
_ALL = 3
"""ETH_P_ALL."""
_LATE = 2.0
"""Seconds for which the last answers are waited for."""


@dataclass(slots=True)
class Heard:
    """`waited`: seconds, of each answer that came; `asked`: questions."""

    asked: int = 0
    waited: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.asked - len(self.waited)


class Askers:
    """A context manager. `vms` have a MAC."""

    def __init__(self, vms: Sequence[Vm]) -> None:
        self._selector = selectors.DefaultSelector()
        self._links: list[tuple[socket.socket, bytearray]] = []
        for vm in vms:
            link = open_socket(vm, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            link.bind((INTERFACE, _ALL))
            link.setblocking(False)
            self._links.append((link, _discover(vm.mac)))
            self._selector.register(link, selectors.EVENT_READ)

    def __enter__(self) -> Askers:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for link, _ in self._links:
            link.close()

    def ask(self, rate: float, seconds: float) -> Heard:
        """So many questions a second of all of them, in turns."""
        heard, sent = Heard(), {}
        began = time.perf_counter()
        number, count = 0, round(rate * seconds)
        while number < count or (sent and time.perf_counter() < began + seconds + _LATE):
            due = began + number / rate
            while number < count and due <= time.perf_counter():
                link, frame = self._links[number % len(self._links)]
                xid = struct.pack("!I", number)
                frame[_XID] = xid
                sent[xid] = time.perf_counter()
                link.send(frame)
                number += 1
                due = began + number / rate
            self._listen(heard, sent, max(0.0, due - time.perf_counter()) if number < count else 0.1)
        heard.asked = count
        return heard

    def _listen(self, heard: Heard, sent: dict[bytes, float], wait: float) -> None:
        for key, _ in self._selector.select(wait):
            assert isinstance(key.fileobj, socket.socket)
            frame = key.fileobj.recv(2048)
            if frame[_PORTS] == _ANSWER and (asked := sent.pop(frame[_XID], None)) is not None:
                heard.waited.append(time.perf_counter() - asked)


def _discover(mac: str) -> bytearray:
    """Without a checksum of UDP, which IPv4 lets it have: the number in it changes."""
    wanted = ("param_req_list", askers.ALL)
    chaddr = bytes.fromhex(mac.replace(":", ""))
    frame = bytearray(askers.dhcp4(("message-type", "discover"), wanted, mac=mac, chaddr=chaddr))
    frame[_SUM] = b"\x00\x00"
    return frame

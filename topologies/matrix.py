"""Matrix: who can reach whom, measured: every cell comes from packets that were sent for it.

Place: the demo's table, and the test that cuts a link. Within a tenant a VM sends a UDP datagram to the
other's
address; across tenants it sends an Ethernet frame straight to the other's MAC and address, since the
address alone
means a VM of its own tenant. Each packet bears a marker of its own, and every VM's interface is captured:
so the
matrix says where a packet really came out, not who answered. Must not fill a cell by inference.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from topologies.traffic.capture import Capture, Direction, beacon
from topologies.traffic.endpoint import Endpoint, family_of, open_socket
from topologies.traffic.frames import inject

PORT = 9
_TRIES = 3
_ONE_TRY = 3.0
_PAUSE = 0.05
_MARK = 16


class Party(Protocol):
    """A VM in the matrix (see `topologies.scenarios.two_tenants.Workload`)."""

    @property
    def name(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def mac(self) -> str: ...
    @property
    def addresses(self) -> tuple[str, ...]: ...
    @property
    def vm(self) -> Endpoint: ...


Cell = tuple[str, str, int]
"""(source, destination, IP version)."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """`seen`: for each cell the VMs at which its packet came out. `sent`: packets in all."""

    parties: tuple[Party, ...]
    seen: dict[Cell, frozenset[str]]
    sent: int

    def reached(self, source: str, target: str) -> tuple[int, ...]:
        """IP versions in which the destination got the packet that was meant for it."""
        return tuple(v for v in (4, 6) if target in self.seen.get((source, target, v), frozenset()))

    def reach(self) -> frozenset[Cell]:
        """All cells in which the packet came out where it should."""
        return frozenset(cell for cell, places in self.seen.items() if cell[1] in places)

    def leaks(self) -> tuple[tuple[Cell, str], ...]:
        """Packets of one tenant that came out at a VM of another: (cell, where)."""
        tenant = {p.name: p.tenant for p in self.parties}
        found = [
            (cell, place)
            for cell, places in sorted(self.seen.items())
            for place in sorted(places)
            if tenant[place] != tenant[cell[0]]
        ]
        return tuple(found)


def measure(parties: Sequence[Party], say: Callable[[str], None] = lambda _: None) -> Matrix:
    """Send a packet for every ordered pair and IP version, and look at every interface.

    LabError if a capture does not see a control packet of its own VM before and after: then it proves
    nothing.
    """
    sent = 0
    with ExitStack() as stack:
        captures = {p.name: stack.enter_context(Capture(p.vm)) for p in parties}
        _control(parties, captures)
        marks = {cell: os.urandom(_MARK) for cell in _cells(parties)}
        named = {p.name: p for p in parties}
        for attempt in range(_TRIES):
            missing = [c for c in marks if _across(named, c) or not _arrived(captures[c[1]], marks[c])]
            if attempt:
                missing = [c for c in missing if not _across(named, c)]
            sent += _send(named, marks, missing)
            _settle(captures, named, marks, missing)
        say(f"{sent} packets sent for {len(marks)} cells")
        _control(parties, captures)
        seen = {cell: _places(captures, mark) for cell, mark in marks.items()}
    return Matrix(tuple(parties), seen, sent)


def _cells(parties: Sequence[Party]) -> Iterator[Cell]:
    for source in parties:
        for target in parties:
            if source.name != target.name:
                yield from ((source.name, target.name, version) for version in (4, 6))


def _across(named: dict[str, Party], cell: Cell) -> bool:
    return named[cell[0]].tenant != named[cell[1]].tenant


def _address(party: Party, version: int) -> str:
    return next(a for a in party.addresses if ip_address(a).version == version)


def _control(parties: Sequence[Party], captures: dict[str, Capture]) -> None:
    """Each capture sees a packet that its own VM sends now: it is awake, and what came before was read."""
    for party in parties:
        marker = os.urandom(_MARK)
        other = next(p for p in parties if p.tenant == party.tenant and p.name != party.name)
        captures[party.name].confirm(
            beacon(party.vm, _address(other, 4), marker, PORT), lambda f, m=marker: m in f.raw
        )


def _send(named: dict[str, Party], marks: dict[Cell, bytes], cells: Sequence[Cell]) -> int:
    for cell in cells:
        source, target, version = named[cell[0]], named[cell[1]], cell[2]
        if source.tenant == target.tenant:
            address = _address(target, version)
            with open_socket(source.vm, family_of(address), socket.SOCK_DGRAM) as sender:
                try:
                    sender.sendto(marks[cell], (address, PORT))
                except OSError:
                    continue  # no neighbour, no route: the cell says that nothing arrived
        else:
            inject(source.vm, "eth0", [_frame(source, target, version, marks[cell])])
    return len(cells)


def _frame(source: Party, target: Party, version: int, marker: bytes) -> bytes:
    layer = IP if version == 4 else IPv6
    header = layer(src=_address(source, version), dst=_address(target, version))
    return bytes(Ether(src=source.mac, dst=target.mac) / header / UDP(sport=PORT, dport=PORT) / marker)


def _settle(
    captures: dict[str, Capture], named: dict[str, Party], marks: dict[Cell, bytes], cells: Sequence[Cell]
) -> None:
    """Until every packet within a tenant has arrived, or the time for one try is over."""
    waiting = [c for c in cells if not _across(named, c)]
    end = time.monotonic() + _ONE_TRY
    while time.monotonic() < end:
        waiting = [c for c in waiting if not _arrived(captures[c[1]], marks[c])]
        if not waiting:
            return
        time.sleep(_PAUSE)  # a poll under the deadline above


def _arrived(capture: Capture, marker: bytes) -> bool:
    return any(f.direction is Direction.IN and marker in f.raw for f in capture.frames())


def _places(captures: dict[str, Capture], marker: bytes) -> frozenset[str]:
    return frozenset(name for name, capture in captures.items() if _arrived(capture, marker))

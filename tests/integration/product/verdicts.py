"""Verdicts: single packets of any protocol, and which of them came out where they were sent to.

Place: shared by the tests of security policy. A packet that did not come proves something only between two
controls on the same way, which policies of these tests let pass (`CONTROL`). Must not know any policy.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from topologies.errors import LabError
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.capture import Capture, Frame, Test, beacon, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket

CONTROL = 9
"""UDP port of controls."""
PATIENCE = 10.0
_ETHERNET, _SYN = 14, 0x02
_MARK = 16
_IP_HEADER = {4: 20, 6: 40}
_PROTOCOL = {4: 23, 6: 20}
"""Where an Ethernet frame has the protocol of IP, without options and extension headers."""


@dataclass(frozen=True, slots=True)
class What:
    """`port` is the destination's, or the type of ICMP. `size`: octets of a datagram at least; above the
    MTU it goes in fragments."""

    protocol: int
    port: int = 0
    code: int = 0
    size: int = 0


def tcp(port: int) -> What:
    """A SYN."""
    return What(socket.IPPROTO_TCP, port)


def udp(port: int, size: int = 0) -> What:
    """A datagram."""
    return What(socket.IPPROTO_UDP, port, size=size)


def icmp(kind: int, code: int = 0) -> What:
    """Of ICMP; over IPv6 of ICMPv6."""
    return What(socket.IPPROTO_ICMP, kind, code)


PING = {4: icmp(8), 6: icmp(128)}


@dataclass(frozen=True, slots=True)
class Probe:
    """From a workload to an address of another."""

    here: Workload
    there: Workload
    family: int
    what: What

    @property
    def address(self) -> str:
        return self.there.addresses[self.family // 6]

    def __str__(self) -> str:
        names = {1: "icmp", 6: "tcp", 17: "udp"}
        kind = names.get(self.what.protocol, str(self.what.protocol))
        return f"{self.here.name} to {self.there.name} {self.address} {kind} {self.what.port}"


def probes(
    here: Workload, there: Workload | Iterable[Workload], *whats: What, families: Iterable[int] = (4, 6)
) -> list[Probe]:
    """To each of them, in each family."""
    targets = [there] if isinstance(there, Workload) else list(there)
    return [Probe(here, target, family, what) for target in targets for family in families for what in whats]


def pings(here: Workload, there: Workload | Iterable[Workload]) -> list[Probe]:
    return [probe for family in (4, 6) for probe in probes(here, there, PING[family], families=(family,))]


@contextmanager
def sent(probe: Probe) -> Iterator[Test]:
    """Send it; the test knows it where it arrives. A SYN is repeated as long as the context lasts."""
    family, what = family_of(probe.address), probe.what
    mark = os.urandom(_MARK)
    if what.protocol == socket.IPPROTO_TCP:
        with open_socket(probe.here.vm, family, socket.SOCK_STREAM) as one:
            one.setblocking(False)
            one.bind(("", 0))
            one.connect_ex((probe.address, what.port))
            yield _opens(one.getsockname(), (probe.address, what.port), family)
        return
    if what.protocol == socket.IPPROTO_UDP:
        with open_socket(probe.here.vm, family, socket.SOCK_DGRAM) as one:
            # of what is cut in pieces, the last one bears the mark
            one.sendto(bytes(max(0, what.size - _MARK)) + mark, (probe.address, what.port))
    else:
        protocol, body = _raw(probe, mark)
        with open_socket(probe.here.vm, family, socket.SOCK_RAW, protocol) as one:
            one.sendto(body, (probe.address, 0))
    yield incoming(contains(mark))


def _raw(probe: Probe, mark: bytes) -> tuple[int, bytes]:
    """(protocol, what stands behind the IP header)."""
    what = probe.what
    if what.protocol != socket.IPPROTO_ICMP:
        return what.protocol, mark
    # RFC 792; of ICMPv6 the kernel writes the checksum (RFC 3542 section 3.1)
    message = struct.pack("!BBHHH", what.port, what.code, 0, 7, 7) + mark
    if probe.family == 6:
        return socket.IPPROTO_ICMPV6, message
    return what.protocol, message[:2] + _checksum(message) + message[4:]


def _checksum(message: bytes) -> bytes:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def _opens(source: tuple[Any, ...], target: tuple[str, int], family: int) -> Test:
    """A SYN from one to the other. Of ports alone two senders may have the same."""
    version = 6 if family == socket.AF_INET6 else 4
    start, protocol = _ETHERNET + _IP_HEADER[version], _PROTOCOL[version]
    addresses = b"".join(socket.inet_pton(family, end[0]) for end in (source, target))
    ends = addresses + struct.pack("!HH", source[1], target[1])

    def test(frame: Frame) -> bool:
        raw = frame.raw
        if len(raw) < start + 20 or raw[protocol] != socket.IPPROTO_TCP:
            return False
        return raw[start - len(addresses) : start + 4] == ends and bool(raw[start + 13] & _SYN)

    return incoming(test)


def wrong(
    passes: Iterable[Probe] = (), drops: Iterable[Probe] = (), control: Workload | None = None
) -> list[str]:
    """Probes with another end than they should have.

    `control`: who sends the controls, where the senders themselves can't reach the target at all.
    """
    wanted = [(probe, True) for probe in passes] + [(probe, False) for probe in drops]
    found: list[str] = []
    with ExitStack() as stack:
        captures = {
            name: stack.enter_context(Capture(vm))
            for name, vm in {probe.there.name: probe.there.vm for probe, _ in wanted}.items()
        }
        for here, there, address in dict.fromkeys((p.here.name, p.there.name, p.address) for p, _ in wanted):
            some = [
                (p, w) for p, w in wanted if (p.here.name, p.there.name, p.address) == (here, there, address)
            ]
            found += _together(some, captures[there], control)
    return found


def _together(some: list[tuple[Probe, bool]], capture: Capture, control: Workload | None) -> Iterator[str]:
    """Probes of one way, between two controls."""
    first = some[0][0]
    mark = os.urandom(_MARK)
    controlled = beacon((control or first.here).vm, first.address, mark, CONTROL), incoming(contains(mark))
    capture.confirm(*controlled)
    with ExitStack() as stack:
        tests = [(probe, want, stack.enter_context(sent(probe))) for probe, want in some]
        for probe, _, test in (one for one in tests if one[1]):
            try:
                capture.await_frame(test, PATIENCE)
            except LabError:
                yield f"{probe}: should pass, and did not"
        capture.confirm(*controlled)
        for probe, _, test in (one for one in tests if not one[1]):
            if capture.leaks(test):
                yield f"{probe}: should be dropped, and came"

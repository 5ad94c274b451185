"""The stage of the tests of quality: workloads with and without limits, their meters, bills and marks.

Place: shared by the tests of one lab (test_quality). Must not judge, but for what a meter may let through and
what a port may be billed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.product.bill import all_settled, billed
from topologies.deadline import until
from topologies.nodes.hypervisor import UPLINK, Hypervisor
from topologies.scenarios.routed import Routed
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, Frame, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket
from topologies.traffic.udp import UdpResult, UdpStream

LIMIT, LIMIT_IN = 800, 2000
"""kbit/s: a twentieth of what a stream offers, and a sixth."""
BURST = 1050
"""kbit: the least that docs/decisions/0016 gives a meter."""
COUNT, RATE, SIZE = 1200, 2000, 1000
ETHERNET = 14
_IPV6_TCLASS = 67
NONE = "none"
_METER = re.compile(r"meter=(\d+) .*?\n\s*type=drop rate=(\d+) burst_size=(\d+)")
_DROPPED = re.compile(r"meter:(\d+) .*?\n\s*0: packet_count:(\d+)")


Bounds = tuple[tuple[int, int], ...]
Look = Callable[[TwoTenants, tuple[Workload, ...]], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Bill:
    """What some ports had been billed, in layer-3 bytes, at the beginning of something."""

    base: TwoTenants
    who: tuple[Workload, ...]
    before: tuple[int, ...]

    def expect(self, *bounds: tuple[int, int]) -> None:
        """Each of them has been billed so much more, (at least, at most), and no more follows.

        The two differ by what a lab's own queues lost, which stand on both sides of the account.
        """
        until("enough is billed", lambda: all(m >= b[0] for m, b in self._more(bounds, billed)), 30)
        more = self._more(bounds, all_settled)
        print("billed, of at least and at most:", more)
        assert all(low <= found <= high for found, (low, high) in more), more

    def _more(self, bounds: Bounds, look: Look) -> list[tuple[int, tuple[int, int]]]:
        now = look(self.base, self.who)
        return [(n - b, bound) for n, b, bound in zip(now, self.before, bounds, strict=True)]


@dataclass(frozen=True, slots=True)
class Stage:
    """Two hypervisors: `here` of red sends; `near` is on its own, `there` and `beside` are on the other."""

    routed: Routed
    here: Workload
    near: Workload
    there: Workload
    beside: Workload

    @property
    def base(self) -> TwoTenants:
        return self.routed.base

    def host(self, who: Workload) -> Hypervisor:
        return next(h for h in self.base.lab.hypervisors if str(h.name) == who.host)

    def change(self, kind: str, name: str, tenant: str, **spec: object) -> None:
        """Apply an object with some of its fields changed."""
        (document,) = self.base.control.get(kind, name, "--tenant", tenant)
        document.pop("status", None)
        self.base.control.apply([document | {"spec": document["spec"] | spec}])

    def number(self, who: Workload, way: str) -> int:
        """The id of a port's meter (docs/decisions/0016)."""
        ofport = int(self.host(who).vsctl("get", "Interface", who.ifname, "ofport"))
        return 2 * ofport + (way == "rateIn")

    def set_limit(self, who: Workload, way: str, rate: int | str) -> None:
        self.change("port", who.port, who.tenant, **{way: rate})

    def limit(self, who: Workload, way: str, rate: int | str) -> int:
        """Give a port a limit, or take it away; waits for meter and flows. The meter's id."""
        number = self.number(who, way)
        self.set_limit(who, way, rate)
        self.await_limit(who, way, rate)
        return number

    def await_limit(self, who: Workload, way: str, rate: int | str) -> None:
        host, number = self.host(who), self.number(who, way)
        if rate == NONE:
            until("no meter", lambda: number not in meters(host), 20)
        else:
            until("the meter", lambda: meters(host).get(number, (0, 0))[0] == rate, 20)
            until("its flow", lambda: metered(host, number), 20)
        host.settle()

    @contextmanager
    def billing(self, *who: Workload) -> Iterator[Bill]:
        """What these ports are billed from here on; what came before stands in the ledger already."""
        yield Bill(self.base, who, all_settled(self.base, who))

    @contextmanager
    def limited(self, who: Workload, way: str, rate: int = LIMIT) -> Iterator[int]:
        number = self.limit(who, way, rate)
        try:
            yield number
        finally:
            self.limit(who, way, NONE)

    def drift(self, host: Hypervisor) -> dict[str, Any]:
        done = self.base.control.run("drift", "--host", str(host.name), "-o", "json")
        assert done.ok, done.stderr
        return dict(json.loads(done.stdout))

    def audits(self, host: Hypervisor) -> int:
        return int(self.drift(host)["counts"][0]["audits"])

    def await_audit(self, host: Hypervisor) -> None:
        """Until an audit that began after now has ended."""
        known = self.audits(host)
        until("an audit", lambda: self.audits(host) > known + 1, 60)


def meters(host: Hypervisor) -> dict[int, tuple[int, int]]:
    """Rate (kbit/s) and burst (kbit) of all meters of a switch, by id."""
    text = host.ofctl("dump-meters", host.management)
    return {int(m[1]): (int(m[2]), int(m[3])) for m in _METER.finditer(text)}


def metered(host: Hypervisor, number: int) -> list[str]:
    """The flows that a meter stands in."""
    listed = host.ofctl("dump-flows", host.management).splitlines()
    return [line for line in listed if re.search(rf"meter:{number}\b", line)]


def dropped(host: Hypervisor, number: int) -> int:
    """Packets that a meter dropped since it was made or changed."""
    text = host.ofctl("meter-stats", host.management)
    return next((int(m[2]) for m in _DROPPED.finditer(text) if int(m[1]) == number), 0)


@dataclass(frozen=True, slots=True)
class Shot:
    """A stream, what the receiver's interface saw of it, and how long all that took in seconds."""

    stream: UdpResult
    captured: int
    seconds: float

    @property
    def each(self) -> int:
        """Layer-3 bytes of a datagram."""
        return self.stream.size + self.stream.headers

    @property
    def arrived(self) -> int:
        """Layer-3 bytes that came out at the receiver."""
        assert self.captured == self.stream.received and not self.stream.duplicates
        return arrived(self.stream)

    def within(self, rate: int) -> bool:
        """Whether no more came through than rate x time + burst, with a quarter on top."""
        kbits = self.captured * (self.each + ETHERNET) * 8 / 1000
        taken = f"{self.captured} of {self.stream.sent} in {self.seconds:.2f} s"
        print(f"{taken}: {kbits:.0f} kbit at {rate} kbit/s")
        return kbits <= 1.25 * (rate * self.seconds + max(BURST, rate / 10))


def arrived(result: UdpResult) -> int:
    """Layer-3 bytes that came out at the receiver."""
    return result.received * (result.size + result.headers)


def shoot(here: Workload, there: Workload, address: str, count: int = COUNT, rate: int = RATE) -> Shot:
    """Counted datagrams, and a capture where they arrive."""
    began = time.monotonic()
    with Capture(there.vm) as capture:
        with UdpStream(here.vm, there.vm, address, rate=rate, size=SIZE, limit=count) as stream:
            result = stream.finish()
        seconds = time.monotonic() - began
        length = ETHERNET + result.size + result.headers
        test = incoming(lambda frame: len(frame.raw) == length)
        # the socket of the capture is read by another thread than that of the stream
        until("the capture has what came", lambda: len(capture.matching(test)) >= result.received, 10)
        seen = len(capture.matching(test))
    assert result.sent == count, result
    return Shot(result, seen, seconds)


@dataclass(frozen=True, slots=True)
class Way:
    """From a workload to an address of another; captures where packets arrive and, if they go through the
    underlay, on the way out."""

    here: Workload
    address: str
    there: Capture
    uplink: Capture | None

    def marks(self, octet: int) -> tuple[int, int | None]:
        """Send a datagram with this traffic class: the one that it has where it arrives, and the DSCP of the
        outer header if it goes through the underlay."""
        sign, family = os.urandom(16), family_of(self.address)
        level, option = (
            (socket.IPPROTO_IP, socket.IP_TOS)
            if family == socket.AF_INET
            else (socket.IPPROTO_IPV6, _IPV6_TCLASS)
        )
        with open_socket(self.here.vm, family, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(level, option, octet)
            sender.sendto(sign, (self.address, 9))
        arrived = traffic_class(self.there.await_frame(incoming(contains(sign))), ETHERNET)
        if self.uplink is None:
            return arrived, None
        return arrived, traffic_class(self.uplink.await_frame(contains(sign)), ETHERNET) >> 2

    def expects(self, octet: int) -> tuple[int, int | None]:
        """What `marks` gives if this traffic class arrives: the outer header inherits its DSCP."""
        return octet, None if self.uplink is None else octet >> 2


@contextmanager
def ways(stage: Stage, here: Workload, targets: Iterable[Workload]) -> Iterator[list[Way]]:
    """The ways to each address of some targets."""
    with ExitStack() as stack:
        uplink = stack.enter_context(Capture(stage.host(here), UPLINK))
        made: list[Way] = []
        for target in targets:
            there = stack.enter_context(Capture(target.vm))
            used = None if target.host == here.host else uplink
            made += [Way(here, address, there, used) for address in target.addresses]
        yield made


def traffic_class(frame: Frame, start: int) -> int:
    """The octet of DSCP and ECN of the IP header at an offset (RFC 791 section 3.1, RFC 8200 section 3)."""
    (head,) = struct.unpack_from("!H", frame.raw, start)
    return head & 0xFF if head >> 12 == 4 else head >> 4 & 0xFF

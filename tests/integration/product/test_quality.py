"""Quality of service with real packets: limits of what is sent and got, what they cost, and who mends them.

Two hypervisors. `here` of red sends; `there` and `beside` are on the other host, `near` on its own. What a
limit may let through is bounded from above only: the machine may be slow, never the meter generous.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.product.bill import counted, settled
from tests.integration.product.witness import Guest, seat
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.routed import Routed
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload
from topologies.traffic.capture import Capture, incoming
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpResult, UdpStream

pytestmark = pytest.mark.integration

LIMIT = 800
"""kbit/s: a twentieth of what a stream offers."""
BURST = 1050
"""kbit: the least that docs/decisions/0016 gives a meter."""
COUNT, RATE, SIZE = 2500, 2000, 1000
AUDIT_EVERY = 4
ETHERNET = 14
NONE = "none"
_METER = re.compile(r"meter=(\d+) .*?\n\s*type=drop rate=(\d+) burst_size=(\d+)")
_DROPPED = re.compile(r"meter:(\d+) .*?\n\s*0: packet_count:(\d+)")


@dataclass(frozen=True, slots=True)
class Stage:
    """See the module's docstring; `far` is in another network of red, `stranger` is blue's neighbour."""

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

    def limit(self, who: Workload, way: str, rate: int | str) -> int:
        """Give a port a limit, or take it away; waits for meter and flows. The meter's id."""
        host, number = self.host(who), self.number(who, way)
        self.change("port", who.port, who.tenant, **{way: rate})
        if rate == NONE:
            until("no meter", lambda: number not in meters(host), 20)
        else:
            until("the meter", lambda: meters(host).get(number, (0, 0))[0] == rate, 20)
            until("its flow", lambda: metered(host, number), 20)
        host.settle()
        return number

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


@pytest.fixture(scope="module")
def stage(routing_lab: Routed) -> Stage:
    base = routing_lab.base
    first, second = (str(h.name) for h in base.lab.hypervisors[:2])
    near, beside = seat(
        base, [Guest("red", NETWORK, "near", 50, (first,)), Guest("red", NETWORK, "beside", 51, (second,))]
    )
    made = Stage(routing_lab, base.at("red", first), near, base.at("red", second), beside)
    base.control.audit_every(made.host(made.here), AUDIT_EVERY)
    for target in (near, made.there, beside):
        for address in target.addresses:
            until(
                f"reaches {target.name} at {address}",
                lambda address=address: ping(made.here.vm, address, 1, wait=0.5).reached,
                30,
            )
    return made


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
        return self.captured * self.each

    def within(self, rate: int) -> bool:
        """Whether no more came through than rate x time + burst, with a quarter on top."""
        kbits = self.captured * (self.each + ETHERNET) * 8 / 1000
        taken = f"{self.captured} of {self.stream.sent} in {self.seconds:.2f} s"
        print(f"{taken}: {kbits:.0f} kbit at {rate} kbit/s")
        return kbits <= 1.25 * (rate * self.seconds + max(BURST, rate / 10))


def shoot(here: Workload, there: Workload, address: str, count: int = COUNT, rate: int = RATE) -> Shot:
    """Counted datagrams, and a capture where they arrive."""
    began = time.monotonic()
    with Capture(there.vm) as capture:
        with UdpStream(here.vm, there.vm, address, rate=rate, size=SIZE, limit=count) as stream:
            result = stream.finish()
        seconds = time.monotonic() - began
        length = ETHERNET + result.size + result.headers

        def seen() -> int:
            return len(capture.matching(incoming(lambda frame: len(frame.raw) == length)))

        until("the capture has them too", lambda: seen() >= result.received, 10)
    assert result.sent == count, result
    return Shot(result, seen(), seconds)


@pytest.mark.parametrize("place", ["near", "there"])
def test_a_port_pays_for_what_its_limit_let_through(stage: Stage, place: str) -> None:
    here, target = stage.here, getattr(stage, place)
    before = settled(stage.base, here)
    expected = 0
    for address in target.addresses:
        free = shoot(here, target, address, 500, 1000)
        assert free.stream.lost == 0, "without a limit all arrives"
        expected += free.arrived
    with stage.limited(here, "rateOut") as number:
        for address in target.addresses:
            shot = shoot(here, target, address)
            assert 0 < shot.stream.received < shot.stream.sent
            assert shot.within(LIMIT)
            expected += shot.arrived
        assert dropped(stage.host(here), number) > 0
        until("all is counted", lambda: counted(stage.base, here) - before >= expected, 30)
        assert settled(stage.base, here) - before == expected

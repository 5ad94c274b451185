"""Quality of service with real packets: limits of what is sent and got, what they cost, and who mends them.

Two hypervisors. `here` of red sends; `there` and `beside` are on the other host, `near` on its own. What a
limit may let through is bounded from above only: the machine may be slow, never the meter generous.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from model.ids import METERS
from tests.integration.product.bill import counted
from tests.integration.product.stage import (
    BURST,
    LIMIT,
    LIMIT_IN,
    NONE,
    SIZE,
    Stage,
    arrived,
    dropped,
    metered,
    meters,
    shoot,
    ways,
)
from tests.integration.product.witness import Guest, seat
from topologies import faults
from topologies.deadline import until
from topologies.scenarios.routed import FAR, Routed
from topologies.scenarios.two_tenants import NETWORK, Workload
from topologies.traffic.capture import Capture, contains, incoming
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

CHANGES, WIDE = {"near": 4, "there": 12}, 100_000
"""So often a limit comes or goes under traffic, and kbit/s that nobody reaches."""
LOST = 10
"""One packet of so many a lab may lose in its own queues, on a machine that does a lot besides."""
PLACES = ("near", pytest.param("there", marks=pytest.mark.long))
AUDIT_EVERY = 2
PINGS = 84, 104
"""Layer-3 bytes of a ping over IPv4 and over IPv6."""


@pytest.fixture(scope="module")
def stage(routing_lab: Routed) -> Stage:
    base = routing_lab.base
    first, second = (str(h.name) for h in base.lab.hypervisors[:2])
    near, beside = seat(
        base, [Guest("red", NETWORK, "near", 50, (first,)), Guest("red", NETWORK, "beside", 51, (second,))]
    )
    made = Stage(routing_lab, base.at("red", first), near, base.at("red", second), beside)
    base.control.audit_every(made.host(made.here), AUDIT_EVERY)
    known = counted(base, made.here)
    for target in (near, made.there, beside):
        for address in target.addresses:
            until(
                f"reaches {target.name} at {address}",
                lambda address=address: ping(made.here.vm, address, 1, wait=0.5).reached,
                30,
            )
    until("pings are billed", lambda: counted(base, made.here) - known >= 3 * sum(PINGS), 30)
    return made


@pytest.mark.parametrize("place", PLACES)
def test_a_port_pays_for_what_its_limit_let_through(stage: Stage, place: str) -> None:
    here, target, least, lost = stage.here, getattr(stage, place), 0, 0
    with stage.billing(here) as bill:
        for address in target.addresses:
            free = shoot(here, target, address, 300, 1000)
            assert free.stream.lost < free.stream.sent // LOST, "without a limit what is sent arrives"
            least, lost = least + free.arrived, lost + free.stream.lost * free.each
        with stage.limited(here, "rateOut") as number:
            for address in target.addresses:
                shot = shoot(here, target, address)
                assert 0 < shot.stream.received < shot.stream.sent
                assert shot.within(LIMIT)
                least += shot.arrived
            assert dropped(stage.host(here), number) > 0
            bill.expect((least, least + lost))


@pytest.mark.parametrize("place", PLACES)
def test_a_limit_that_comes_and_goes_under_traffic_bills_what_arrived(stage: Stage, place: str) -> None:
    here, near, beside, target = stage.here, stage.near, stage.beside, getattr(stage, place)
    agent = stage.base.control.agents[here.host]
    with stage.billing(here, near) as bill:
        with (
            UdpStream(here.vm, target.vm, target.ipv4, rate=1000) as stream,
            UdpStream(near.vm, beside.vm, beside.ipv6, rate=300, port=9998) as other,
        ):
            for _ in range(CHANGES[place] // 2):
                stage.limit(here, "rateOut", WIDE)
                stage.limit(here, "rateOut", NONE)
            if place == "there":
                for rate in (WIDE, NONE):  # changed while no agent runs
                    agent.kill()
                    stage.set_limit(here, "rateOut", rate)
                    agent.start()
                    stage.await_limit(here, "rateOut", rate)
            results = stream.stop(), other.stop()
        assert all(result.lost < result.sent // LOST for result in results), results
        bill.expect(*((arrived(result), result.layer3_bytes) for result in results))


def test_who_is_sent_too_much_loses_it_and_the_sender_pays(stage: Stage) -> None:
    here, there, beside, sent = stage.here, stage.there, stage.beside, 0
    with stage.billing(here) as bill, stage.limited(there, "rateIn", LIMIT_IN) as number:
        for mine, other in zip(there.addresses, beside.addresses, strict=True):
            shot = shoot(here, there, mine, 1000, 1500)
            assert 0 < shot.stream.received < shot.stream.sent * 3 // 4
            assert shot.within(LIMIT_IN)
            free = shoot(here, beside, other, 300, 1000)
            assert free.stream.lost < free.stream.sent // LOST, "another port of the network has no limit"
            sent += shot.stream.layer3_bytes + free.stream.layer3_bytes
        assert dropped(stage.host(there), number) > 0
        bill.expect((sent - sent // LOST, sent))


def test_the_limit_of_one_receiver_is_nobody_elses(stage: Stage) -> None:
    here, sign = stage.here, os.urandom(16)
    body = UDP(sport=7, dport=7) / (sign + bytes(SIZE))
    four = Ether(src=here.mac, dst="ff:ff:ff:ff:ff:ff") / IP(src=here.ipv4, dst="10.0.0.255") / body
    six = Ether(src=here.mac, dst="33:33:00:00:00:01") / IPv6(src=here.ipv6, dst="ff02::1") / body
    stage.change("network", NETWORK, "red", replicate=True)
    try:
        with stage.limited(stage.there, "rateIn", 64):
            for frame in (bytes(four), bytes(six)):
                with Capture(stage.near.vm) as near, Capture(stage.beside.vm) as beside:
                    with Capture(stage.there.vm) as there:
                        group(here, frame, sign, (near, beside, there))
    finally:
        stage.change("network", NETWORK, "red", replicate=False)


def group(here: Workload, frame: bytes, sign: bytes, captures: tuple[Capture, Capture, Capture]) -> None:
    """Send a group frame many times; the last capture's owner has a limit, the others have none."""
    near, beside, there = captures
    test, count = incoming(contains(sign)), 500
    for capture in captures:
        capture.confirm(lambda: inject(here.vm, "eth0", [frame]) and None, test)
    known = [len(capture.matching(test)) for capture in captures]
    began = time.monotonic()
    inject(here.vm, "eth0", [frame] * count)
    for capture, old in zip((near, beside), known, strict=False):
        until(
            f"{capture.name} has what was sent",
            lambda capture=capture, old=old: len(capture.matching(test)) - old >= count - count // LOST,
            10,
        )
    took, got = time.monotonic() - began, len(there.matching(test)) - known[2]
    print(f"group frames: {got} of {count} in {took:.2f} s at 64 kbit/s")
    assert got * len(frame) * 8 / 1000 <= 1.25 * (64 * took + BURST)
    assert got < count


def test_a_rate_changes_under_traffic_and_no_count_is_lost(stage: Stage) -> None:
    here, near, host = stage.here, stage.near, stage.host(stage.here)
    receipts = stage.drift(host)["items"]
    with stage.billing(here) as bill, stage.limited(here, "rateOut") as number:
        (since,) = ages(metered(host, number))
        with UdpStream(here.vm, near.vm, near.ipv6, rate=1000, size=SIZE) as stream:
            bills = list(bill.before)
            for rate in (1600, 64, 3200):
                got = stream.received
                assert stage.limit(here, "rateOut", rate) == number
                assert meters(host)[number] == (rate, BURST)
                until("more arrives", lambda got=got: stream.received > got, 20)
                bills.append(counted(stage.base, here))
            result = stream.stop()
        assert bills == sorted(bills), "counters only grow"
        assert 0 < result.received < result.sent
        (age,) = ages(metered(host, number))
        assert age > since, "the flow is the same one still"
        bill.expect((arrived(result), arrived(result)))
        stage.await_audit(host)
        assert stage.drift(host)["items"] == receipts, "a change of the rate is no drift"


def ages(lines: list[str]) -> list[float]:
    """Seconds that flows have been there."""
    return [float(found[1]) for line in lines if (found := re.search(r"duration=([\d.]+)s", line))]


@pytest.mark.long
def test_limits_outlive_the_switch_and_whoever_deletes_them(stage: Stage) -> None:
    here, there, host = stage.here, stage.there, stage.host(stage.here)
    with stage.limited(here, "rateOut") as number:
        before = meters(host)
        assert before[number] == (LIMIT, BURST)
        faults.restart_switch(host)
        until("meters are there again", lambda: meters(host) == before and metered(host, number), 60)
        reached(here, there)
        again = shoot(here, there, there.ipv4)
        assert again.within(LIMIT) and again.stream.lost > 0

        stage.await_audit(host)
        missing = [r for r in stage.drift(host)["items"] if r["finding"] == "missing"]
        host.ofctl("del-meter", host.management, f"meter={number}")
        until(
            "the audit tells of the flow that went with its meter",
            lambda: len([r for r in stage.drift(host)["items"] if r["finding"] == "missing"]) > len(missing),
            30,
        )
        assert meters(host) == before and metered(host, number)
        reached(here, there)
        again = shoot(here, there, there.ipv6)
        assert again.within(LIMIT) and again.stream.lost > 0


def test_a_strange_meter_is_left_alone_and_one_in_our_range_is_swept(stage: Stage) -> None:
    host, alien, stale = stage.host(stage.here), METERS.stop, 9_999
    bands = "kbps,burst,stats,bands=type=drop,rate=100,burst_size=100"
    for number in (alien, stale):
        host.ofctl("add-meter", host.management, f"meter={number},{bands}")
    assert alien in meters(host)
    until("what nobody wants is swept", lambda: stale not in meters(host), 30)
    stage.await_audit(host)
    assert meters(host)[alien] == (100, 100), "it is none of our business"
    host.ofctl("del-meter", host.management, f"meter={alien}")


def reached(here: Workload, there: Workload) -> None:
    for address in there.addresses:
        until(
            f"reached at {address}", lambda address=address: ping(here.vm, address, 1, wait=0.5).reached, 60
        )


VOICE = 46
OTHER = 10
"""DSCPs: what the network asks for, and what the sender writes (RFC 2474)."""


def test_a_network_marks_what_its_ports_send_and_leaves_congestion_bits(stage: Stage) -> None:
    one, two = stage.base.of("blue")[:2]
    targets = (stage.near, stage.there, stage.routed.extra["red", FAR])
    with ways(stage, stage.here, targets) as reds, ways(stage, one, (two,)) as blues:
        for way in reds:
            assert way.marks(OTHER << 2 | 1) == way.expects(OTHER << 2 | 1), "without a mark they keep theirs"
        stage.change("network", NETWORK, "red", dscp=VOICE)
        try:
            until("marked", lambda: reds[0].marks(0)[0] == VOICE << 2, 20)
            for way in reds:
                for ecn in range(4):
                    assert way.marks(OTHER << 2 | ecn) == way.expects(VOICE << 2 | ecn), way.address
            for way in blues:
                assert way.marks(OTHER << 2 | 2) == way.expects(OTHER << 2 | 2), "another network"
        finally:
            stage.change("network", NETWORK, "red", dscp=NONE)
        until("unmarked", lambda: reds[0].marks(0)[0] == 0, 20)


@pytest.mark.parametrize("family", [4, pytest.param(6, marks=pytest.mark.long)])
def test_a_connection_lives_with_its_limit(stage: Stage, family: int) -> None:
    here, there, rate, seconds = stage.here, stage.there, 8000, 2
    address = there.addresses[family == 6]
    with stage.limited(here, "rateOut", rate) as number:
        there.vm.run("iperf3 --server --one-off --daemon")
        words = f"iperf3 --client {address} --time {seconds} --json"
        began = time.monotonic()
        answer = until("iperf3 ends well", lambda: tried(here, words), 60)
        took = time.monotonic() - began
        got = answer["end"]["sum_received"]
        print(
            f"iperf3 over IPv{family}: {got['bits_per_second'] / 1e6:.2f} Mbit/s at a limit of {rate} kbit/s"
        )
        assert 0 < got["bytes"] * 8 / 1000 <= 1.25 * (rate * took + BURST)
        assert dropped(stage.host(here), number) > 0


def tried(here: Workload, words: str) -> dict[str, Any] | None:
    """What iperf3 tells in the end; None if its server did not listen yet."""
    done = here.vm.attempt(words, 40.0)
    return dict(json.loads(done.stdout)) if done.ok else None

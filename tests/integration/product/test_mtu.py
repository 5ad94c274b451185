"""Workloads whose interface has a larger MTU than their network: told the MTU, bridged and routed, unbilled.

Red's VMs of the routed scenario get interfaces of 1500 octets in networks of 1450; blue's stay as they are,
but for blue's network `far`, whose MTU becomes smaller than that of `net`.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.product.extra import network
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.nodes.link import UNDERLAY_MTU
from topologies.scenarios.routed import FAR, SUBNETS, Routed
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.tcp import transfer

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
MTU = 1450
LARGE = 1500
COUNT = 10
HEADERS = {4: 28, 6: 48}
"""Octets of IP and ICMP headers."""
TOLD = {4: f"mtu = {MTU}", 6: f"mtu={MTU}"}
_ACCOUNT = re.compile(r"table=60, n_packets=(\d+), n_bytes=(\d+)")


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def hypervisor(lab: Routed, workload: Workload) -> Hypervisor:
    return next(host for host in lab.base.lab.hypervisors if host.name == workload.host)


def checks(host: Hypervisor) -> int:
    return host.ofctl("dump-flows", host.management).count("check_pkt_larger")


def forget(workload: Workload) -> None:
    """The MTUs of paths that the VM has learned."""
    workload.vm.run("ip -4 route flush cache\nip -6 route flush cache")


def asked(here: Workload, there: Workload, family: int, size: int, wait: int = 1) -> list[str]:
    """What each ping shows of packets of `size` octets that none may fragment, nothing learned before; for an
    answer it waits so many seconds."""
    payload = str(size - HEADERS[family])
    words = ["ping", "-n", "-M", "do", "-c", "1", "-W", str(wait), "-s", payload, at(there, family)]
    shown = []
    for _ in range(COUNT):
        forget(here)
        outcome = here.vm.attempt(words)
        shown.append(outcome.stdout + outcome.stderr)
    return shown


def told(shown: list[str], family: int) -> bool:
    """None came through, and somebody else said why (what the VM knows itself is a local error), as often as
    the pace of answers allows."""
    return any(TOLD[family] in one for one in shown) and all(
        "local error" not in one and " 0 received" in one for one in shown
    )


def answered(here: Workload, there: Workload, family: int, size: int) -> bool:
    """Whether all came through."""
    shown = asked(here, there, family, size, 20)
    print(shown)
    return all("mtu" not in one and "1 received" in one for one in shown)


@pytest.fixture(scope="module")
def cast(routing_lab: Routed) -> tuple[Workload, Workload, Workload]:
    """(here, bridged, routed): on another host than `here` the one, in another network the other."""
    far = routing_lab.extra["red", FAR]
    near = next(w for w in routing_lab.base.of("red") if w.host == far.host)
    away = next(w for w in routing_lab.base.of("red") if w.host != far.host and w.host.startswith("hv"))
    for workload in (near, far, away):
        host = hypervisor(routing_lab, workload)
        before = checks(host)
        host.run(f"ip link set {workload.ifname} mtu {LARGE}")
        workload.vm.run(f"ip link set eth0 mtu {LARGE}")
        until("the agent has the port checked", lambda h=host, b=before: checks(h) == b + 2, 20)
    return away, near, far


@pytest.mark.parametrize("family", FAMILIES)
def test_ping_is_told_the_mtu(cast: tuple[Workload, Workload, Workload], family: int) -> None:
    here, *others = cast
    for there in others:
        shown = asked(here, there, family, LARGE)
        assert told(shown, family), shown
        assert answered(here, there, family, MTU)


@pytest.mark.parametrize("family", FAMILIES)
def test_tracepath_finds_the_mtu(cast: tuple[Workload, Workload, Workload], family: int) -> None:
    here, *others = cast
    for there in others:
        forget(here)
        outcome = here.vm.attempt(["tracepath", "-n", f"-{family}", at(there, family)], 120.0)
        assert f"pmtu {MTU}" in outcome.stdout.splitlines()[-1], outcome.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_tcp_gets_through(cast: tuple[Workload, Workload, Workload], family: int) -> None:
    """Both ends announce a segment size that their network can't carry."""
    here, *others = cast
    for there in others:
        forget(here)
        result = transfer(here.vm, there.vm, at(there, family), 2_000_000)
        assert result.intact, result


def billed(host: Hypervisor) -> int:
    """Octets that the accounts of a host have counted."""
    host.settle()
    lines = host.ofctl("dump-flows", host.management)
    return sum(int(found[2]) for found in _ACCOUNT.finditer(lines))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_answered_is_not_billed(
    routing_lab: Routed, cast: tuple[Workload, Workload, Workload], family: int
) -> None:
    here, there, _ = cast
    host = hypervisor(routing_lab, here)
    start = billed(host)
    assert told(asked(here, there, family, LARGE), family)
    refused = billed(host)
    assert answered(here, there, family, MTU)
    passed = billed(host)
    assert refused - start < MTU, "no single large packet was counted"
    assert passed - refused >= COUNT * MTU


NARROW = 1400
TOO_BIG = f"too big: MTU {NARROW} of network blue/{FAR}"
TOLD_NARROW = {4: f"mtu = {NARROW}", 6: f"mtu={NARROW}"}


@pytest.fixture(scope="module")
def narrow(routing_lab: Routed) -> tuple[Workload, Workload]:
    """(in `net`, in `far` on another host), once blue's `far` has less than `net` has."""
    far = routing_lab.extra["blue", FAR]
    here = next(w for w in routing_lab.base.of("blue") if w.host != far.host and w.host.startswith("hv"))
    wide = tracepath(here, far, 4)
    assert f"pmtu {MTU}" in wide, wide
    document = network("blue", FAR, SUBNETS[FAR])
    document["spec"]["mtu"] = NARROW
    hosts = [hypervisor(routing_lab, one) for one in (here, far)]
    routing_lab.base.control.apply([document])
    limit = f"check_pkt_larger({NARROW + 14})"
    until(
        "the agents have ways to it checked",
        lambda: all(limit in h.ofctl("dump-flows", h.management) for h in hosts),
        20,
    )
    return here, far


def tracepath(here: Workload, there: Workload, family: int) -> str:
    """The last line of what it shows."""
    forget(here)
    outcome = here.vm.attempt(["tracepath", "-n", f"-{family}", at(there, family)], 120.0)
    return outcome.stdout.splitlines()[-1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_narrower_network_is_told(narrow: tuple[Workload, Workload], family: int) -> None:
    here, there = narrow
    shown = asked(here, there, family, MTU)
    assert any(TOLD_NARROW[family] in one for one in shown), shown
    assert all(" 0 received" in one for one in shown), shown
    assert answered(here, there, family, NARROW)


@pytest.mark.parametrize("family", FAMILIES)
def test_tracepath_finds_the_narrower_network(narrow: tuple[Workload, Workload], family: int) -> None:
    found = tracepath(*narrow, family)
    assert f"pmtu {NARROW}" in found, found


def test_who_may_be_fragmented_is_told_as_well(narrow: tuple[Workload, Workload]) -> None:
    """Open vSwitch fragments nothing: the first packet is lost, then the sender fragments by itself."""
    here, there = narrow
    forget(here)
    words = ["ping", "-n", "-M", "dont", "-c", "1", "-W", "1", "-s", str(MTU - HEADERS[4]), there.ipv4]

    def passes() -> bool:
        return "1 received" in here.vm.attempt(words).stdout

    assert not passes()
    until("the sender has learned to fragment", passes, 20)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_names_the_narrower_network(
    routing_lab: Routed, narrow: tuple[Workload, Workload], family: int
) -> None:
    here, there = narrow
    for octets, code, words in ((NARROW, 0, "delivered to port blue/far"), (NARROW + 1, 6, TOO_BIG)):
        port, frame = f"{here.tenant}/{here.port}", str(octets + 14)
        done = routing_lab.base.control.run(
            "trace", "--from", port, "--to", at(there, family), "--size", frame, "-o", "json"
        )
        answer = json.loads(done.stdout)
        assert (done.code, answer["switch"]) == (code, "agrees"), answer
        assert words in answer["ends"][0]["text"]


@pytest.mark.parametrize("family", FAMILIES)
def test_bridged_packets_of_the_same_size_pass(
    routing_lab: Routed, narrow: tuple[Workload, Workload], family: int
) -> None:
    here, _ = narrow
    beside = next(w for w in routing_lab.base.of("blue") if w.host != here.host and w.host.startswith("hv"))
    assert answered(here, beside, family, MTU)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_narrower_way_bills_what_passed(
    routing_lab: Routed, narrow: tuple[Workload, Workload], family: int
) -> None:
    here, there = narrow
    host = hypervisor(routing_lab, here)
    start = billed(host)
    asked(here, there, family, MTU)
    refused = billed(host)
    assert answered(here, there, family, NARROW)
    assert refused - start < MTU, "no single large packet was counted"
    assert billed(host) - refused >= COUNT * NARROW


def test_a_device_below_that_is_too_small_is_named(routing_lab: Routed) -> None:
    host, control = routing_lab.lab.hypervisors[0], routing_lab.base.control
    device = host.underlay_interface

    def reason() -> str:
        shown = json.loads(control.run("status", "-o", "json").stdout)
        return str(next(h["reason"] for h in shown["hosts"] if h["name"] == host.name))

    def said() -> bool:
        return f"underlay-mtu: device {device} passes {MTU + 40} octets" in reason()

    assert "underlay-mtu" not in reason()
    host.run(f"ip link set {device} mtu {MTU + 40}")
    until("status names the device", said, 40)
    assert "red/net (MTU 1450)" in reason() and f"an MTU of {MTU + 50}" in reason()
    host.run(f"ip link set {device} mtu {UNDERLAY_MTU}")
    until("it fits again", lambda: "underlay-mtu" not in reason(), 40)

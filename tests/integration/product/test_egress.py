"""Egress: the ledger against counted traffic, also when a port is unbound at once, and when parts die."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.product.bill import QUIET, counted, ledger, settled
from topologies import faults
from topologies.deadline import until
from topologies.nodes.hypervisor import attach, detach, plug, unplug
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

OVER = 10
"""Seconds that live rates are of."""
LAG = 0.5
"""Seconds by which counters may lag behind what was sent, at either end of such a time."""
ABOUT_IT = 20_000
"""Bytes: of the pings and discovery around counted traffic, which a bound may hold as well."""


@pytest.fixture
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability()
    return made


def send(here: Workload, there: Workload, address: str, count: int, size: int) -> int:
    """Counted datagrams; the layer-3 bytes that they are. None may be lost on the way."""
    with UdpStream(here.vm, there.vm, address, rate=1000, size=size, limit=count) as stream:
        result = stream.finish()
    assert result.sent == count and result.lost == 0, result
    return result.layer3_bytes


@pytest.mark.parametrize("family", [4, 6])
def test_bytes_in_the_ledger_are_bytes_sent(scenario: TwoTenants, family: int) -> None:
    here, there = scenario.of("red")[:2]
    before = settled(scenario, here)
    other = settled(scenario, scenario.of("blue")[0])
    address = there.ipv4 if family == 4 else there.ipv6
    expected = send(here, there, address, 1000, 100) + send(here, there, address, 1, 1400)
    until("all is counted", lambda: counted(scenario, here) - before >= expected, 30)
    assert settled(scenario, here) - before == expected
    assert counted(scenario, scenario.of("blue")[0]) == other


def test_a_port_deleted_at_once_after_is_counted_to_the_byte(scenario: TwoTenants) -> None:
    here, there = scenario.of("blue")[:2]
    before, gaps = settled(scenario, here), ledger(scenario, "blue")[here.port]["gaps"]
    expected = send(here, there, there.ipv4, 500, 300)
    # no waiting: the host may not have the port any more, while its last counters are still on the way
    document = scenario.control.run("get", "port", here.port, "--tenant", "blue", "-o", "json")
    port = json.loads(document.stdout)
    port.pop("status", None)
    scenario.control.apply([{**port, "spec": {**port["spec"], "hosts": []}}])
    until("all is counted", lambda: counted(scenario, here) - before >= expected, 30)
    row = ledger(scenario, "blue")[here.port]
    assert row["bytes"] - before == expected
    assert row["gaps"] == gaps
    scenario.control.apply([{**port, "spec": {**port["spec"], "hosts": [here.host]}}])
    scenario.control.await_bound()
    scenario.await_reachability()
    again = settled(scenario, here)
    assert send(here, there, there.ipv4, 100, 100) == settled(scenario, here) - again


@dataclass(frozen=True)
class Loss:
    """What pulling a port out cost: `missing` bytes, the gaps it left, and the sum of their bounds."""

    missing: int
    gaps: int
    bound: int | None


def pull_out(
    scenario: TwoTenants, here: Workload, pull: Callable[[], None], sending: Callable[[], int]
) -> Loss:
    """Send, `pull`, and look at the ledger once the port is released. Prints the figures."""
    before, old = settled(scenario, here), ledger(scenario, here.tenant)[here.port]
    expected = sending()
    pull()
    until("released", lambda: host_of(scenario, here) == "", 30)
    missing = expected - (settled(scenario, here) - before)
    row = ledger(scenario, here.tenant)[here.port]
    known = row["gapBound"] is not None and old["gapBound"] is not None
    bound = row["gapBound"] - old["gapBound"] if known else None
    loss = Loss(missing, row["gaps"] - old["gaps"], bound)
    print(f"pulled out: {expected} bytes sent, {loss}")
    assert loss.missing >= 0, "billed more than was sent"
    return loss


def test_a_port_pulled_out_at_once_after_is_counted_or_a_bounded_gap(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    host = scenario.lab.node(here.host)
    for _ in range(3):
        loss = pull_out(
            scenario,
            here,
            lambda: detach(host, here.ifname),
            lambda: send(here, there, there.ipv4, 500, 300),
        )
        assert loss.bound is not None, "the interface is still there to be asked"
        assert loss.bound >= loss.missing
        assert loss.gaps == (1 if loss.bound else 0)
        # 500 frames with their headers are all that there was to lose, and a few of ARP and discovery
        assert loss.bound <= 500 * (300 + 28 + 14) + ABOUT_IT
        attach(host, here.ifname, here.uid, here.mac)
        scenario.control.await_bound()
        scenario.await_reachability()


def test_a_quiet_port_pulled_out_is_exact_and_leaves_no_gap(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    host = scenario.lab.node(here.host)

    def sent_and_quiet() -> int:
        expected = send(here, there, there.ipv4, 500, 300)
        await_silence(here)
        return expected

    loss = pull_out(scenario, here, lambda: detach(host, here.ifname), sent_and_quiet)
    assert loss == Loss(0, 0, 0)
    attach(host, here.ifname, here.uid, here.mac)
    scenario.control.await_bound()


def test_a_port_destroyed_with_its_interface_is_counted_or_a_gap(scenario: TwoTenants) -> None:
    here, there = scenario.of("blue")[:2]
    host = scenario.lab.node(here.host)
    loss = pull_out(
        scenario,
        here,
        lambda: unplug(host, here.ifname),
        lambda: send(here, there, there.ipv4, 500, 300),
    )
    assert loss.gaps == (0 if loss.bound == 0 else 1)
    # Open vSwitch let the interface go before it was deleted, and the kernel told its count as of then
    assert loss.bound is not None
    assert loss.missing <= loss.bound <= 500 * (300 + 28 + 14) + ABOUT_IT
    plug(host, here.vm, here.ifname, here.uid, here.mac, here.cidrs)
    scenario.control.await_bound()
    scenario.await_reachability()


def await_silence(here: Workload) -> None:
    """Until a VM has sent nothing for QUIET seconds, by its own interface."""

    def frames() -> str:
        return here.vm.run("cat /sys/class/net/eth0/statistics/tx_packets")

    known, since = frames(), time.monotonic()

    def quiet() -> bool:
        nonlocal known, since
        now = frames()
        if now != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since > QUIET

    until("silence", quiet, 40)


def host_of(scenario: TwoTenants, port: Workload) -> str:
    outcome = scenario.control.run("get", "port", port.port, "--tenant", port.tenant, "-o", "json")
    return str(json.loads(outcome.stdout)["status"].get("host", ""))


def test_nothing_is_lost_or_billed_twice_while_the_centre_is_away(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    before, gaps = settled(scenario, here), ledger(scenario, "red")[here.port]["gaps"]
    scenario.control.api.kill()
    expected = send(here, there, there.ipv4, 400, 500)
    agent = scenario.control.agents[here.host]
    agent.kill()
    expected += send(here, there, there.ipv4, 300, 200)
    agent.start()
    scenario.control.api.start()
    until("all is counted", lambda: counted(scenario, here) - before >= expected, 60)
    assert settled(scenario, here) - before == expected
    assert ledger(scenario, "red")[here.port]["gaps"] == gaps


def test_a_killed_switch_bills_no_byte_twice_and_declares_what_it_lost(scenario: TwoTenants) -> None:
    here, there = scenario.of("blue")[:2]
    host = scenario.lab.node(here.host)
    before = settled(scenario, here)
    gaps = ledger(scenario, "blue")[here.port]["gapBound"]
    expected = send(here, there, there.ipv4, 600, 400)
    faults.kill_switch(host)
    faults.revive_switch(host)
    scenario.await_reachability()
    expected += send(here, there, there.ipv4, 200, 400)
    known = settled(scenario, here) - before
    row = ledger(scenario, "blue")[here.port]
    # pings of await_reachability go on the bill as well: at most a few hundred packets of 84 or 104 bytes
    assert known <= expected + 500 * 104
    assert known + row["gapBound"] - gaps >= expected


def live(scenario: TwoTenants, tenant: str) -> dict[str, Any]:
    """One line of `ringfence egress watch -o json`, by port."""
    words = ("egress", "watch", "--tenant", tenant, "--by", "port", "--over", f"{OVER}s", "--count", "1")
    outcome = scenario.control.run(*words, "-o", "json")
    assert outcome.ok, outcome.stderr
    (line,) = outcome.stdout.splitlines()
    return dict(json.loads(line))


def of_port(found: dict[str, Any], port: Workload) -> dict[str, Any] | None:
    return next((line for line in found["lines"] if line["names"] == [port.port]), None)


@pytest.mark.long
def test_a_sender_is_seen_as_fast_as_it_sends_and_a_silent_host_is_not_called_quiet(
    scenario: TwoTenants,
) -> None:
    here, there = scenario.of("red")[:2]
    sent: list[tuple[float, int]] = []

    with UdpStream(here.vm, there.vm, there.ipv4, rate=500, size=1000) as stream:

        def seen() -> dict[str, Any] | None:
            """The line, once all of its time is one in which was sent."""
            sent.append((time.time() * 1000, stream.sent))
            line = of_port(live(scenario, "red"), here)
            sent.append((time.time() * 1000, stream.sent))
            if line is None or not line["parts"] or line["parts"][0]["fromMs"] < sent[0][0]:
                return None
            return line

        line = until("the sender is seen", seen, 60)
        stream.stop()
    (part,) = line["parts"]
    rate = packets_a_second(sent, part["fromMs"], part["toMs"])
    told = line["now"]["packetsPerSecond"]
    print(f"sent {rate:.1f} packets/s, seen {told:.1f} in {part['toMs'] - part['fromMs']} ms")
    assert told == pytest.approx(rate, rel=LAG / OVER)
    assert line["now"]["bytesPerSecond"] == pytest.approx(told * 1028, rel=0.01)
    assert part["standing"] == "fresh"

    agent = scenario.control.agents[here.host]
    agent.kill()
    try:

        def silent() -> dict[str, Any] | None:
            found = live(scenario, "red")
            return found if any(host["standing"] == "silent" for host in found["hosts"]) else None

        found = until("the host is named as silent", silent, 60)
        lost = {host["host"] for host in found["hosts"] if host["standing"] == "silent"}
        assert lost == {here.host}, "the other host sends next to nothing, and says so"
        line = of_port(found, here)
        assert line is None or line["now"] is None, "what is not known is not shown as a rate"
    finally:
        agent.start()
    until("all are heard", lambda: all(h["standing"] == "fresh" for h in live(scenario, "red")["hosts"]), 60)


def packets_a_second(sent: list[tuple[float, int]], from_ms: float, to_ms: float) -> float:
    """Of the looks at a sender that are nearest to these moments."""
    first = min(sent, key=lambda look: abs(look[0] - from_ms))
    last = min(sent, key=lambda look: abs(look[0] - to_ms))
    return 1000 * (last[1] - first[1]) / (last[0] - first[0])


@pytest.mark.long
def test_a_figure_is_explained_by_the_flow_that_the_switch_has(scenario: TwoTenants) -> None:
    here, there = scenario.of("blue")[:2]
    send(here, there, there.ipv4, 300, 300)
    figure = settled(scenario, here)
    words = ("egress", "explain", "--tenant", "blue", "--port", here.port, "-o", "json")
    outcome = scenario.control.run(*words)
    assert outcome.ok, outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["exact"] and found["intervalsComplete"]
    assert found["figure"]["bytes"] == figure
    assert sum(row["bytes"] for row in found["intervals"]) == figure
    host = scenario.lab.node(here.host)
    alive = 0
    for flow in found["flows"]:
        assert flow["beyond"] == 0, "its counter rose by what its intervals hold"
        match = f"table={flow['table']},cookie={flow['cookie']}/-1"
        lines = host.ofctl("--no-names", "dump-flows", host.management, match.replace("account", "60"))
        rows = [line for line in lines.splitlines() if "n_packets" in line]
        for row in rows:
            alive += 1
            assert flow["match"] in row
            assert (
                f"n_packets={flow['counterEnds']['packets']}, n_bytes={flow['counterEnds']['bytes']}," in row
            )
    assert alive, "at least the flow that counts now is there"

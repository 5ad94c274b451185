"""Egress classes on the bill, while they change under traffic: each byte in the class that it was sent as.

The workload sends to an address outside of its network's subnets that its neighbour has besides its own, so
that the packets arrive, are counted on the way, and have the class of a prefix.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.product.bill import await_counted, ledger
from topologies.deadline import until
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.udp import UdpResult, UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

BEYOND = {4: "198.51.100.7", 6: "2001:db8:7::7"}
PREFIXES = ["198.51.100.0/24", "2001:db8:7::/48"]
ROUNDS = 4
Bill = dict[str, int]


@pytest.fixture
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability()
    here, there = made.of("red")[:2]
    there.vm.run(
        f"ip addr replace {BEYOND[4]}/32 dev eth0\nip -6 addr replace {BEYOND[6]}/128 dev eth0 nodad"
    )
    for address in BEYOND.values():
        here.vm.run(f"ip route replace {address} dev eth0")
        here.vm.run(f"ip neigh replace {address} lladdr {there.mac} dev eth0 nud permanent")
    return made


def tell(scenario: TwoTenants, *classes: tuple[str, dict[str, Any]]) -> None:
    """Apply classes and wait until the hosts have them."""
    kind = {"apiVersion": "ringfence/v1", "kind": "EgressClass"}
    listed = [{**kind, "metadata": {"name": name}, "spec": spec} for name, spec in classes]
    text = "".join(f"---\n{json.dumps(document)}\n" for document in listed)
    outcome = scenario.control.run("apply", "-f", "-", "--wait", stdin=text)
    assert outcome.ok, outcome.stdout + outcome.stderr


def by_class(scenario: TwoTenants) -> Bill:
    """By name: a class that was deleted and made anew has another id, and a row for each."""
    outcome = scenario.control.run("egress", "report", "--tenant", "red", "--by", "class", "-o", "json")
    assert outcome.ok, outcome.stderr
    sums: Bill = {}
    for row in json.loads(outcome.stdout)["rows"]:
        sums[row["name"]] = sums.get(row["name"], 0) + row["bytes"]
    return sums


def settled(scenario: TwoTenants) -> Bill:
    """The bill by class, of all that was sent up to now."""
    await_counted(scenario)
    return by_class(scenario)


def gap_bound(scenario: TwoTenants, port: Workload) -> int:
    """What changes that could not be proven exact may have moved."""
    bound: int | None = ledger(scenario, "red")[port.port]["gapBound"]
    assert bound is not None
    return bound


def burst(scenario: TwoTenants, family: int, change: Callable[[], None]) -> UdpResult:
    """Counted datagrams, and `change` right behind the last of them."""
    here, there = scenario.of("red")[:2]
    with UdpStream(here.vm, there.vm, BEYOND[family], rate=2000, size=200, limit=400) as stream:
        until("all have come", lambda: stream.received == 400, 20)
        change()
        result = stream.finish()
    assert result.sent == 400 and result.lost == 0, result
    return result


@pytest.mark.parametrize("family", [4, 6])
def test_a_byte_stays_in_the_class_that_it_was_sent_as(scenario: TwoTenants, family: int) -> None:
    here = scenario.of("red")[0]
    names = ("storage", "partner")
    tell(scenario, ("storage", {"prefixes": PREFIXES}), ("partner", {"prefixes": ["192.0.2.0/24"]}))
    before, bound = settled(scenario), gap_bound(scenario, here)
    sent = dict.fromkeys(names, 0)
    for number in range(ROUNDS):
        now, then = names if number % 2 == 0 else names[::-1]

        def change(now: str = now, then: str = then) -> None:
            tell(scenario, (now, {"prefixes": ["192.0.2.0/24"]}), (then, {"prefixes": PREFIXES}))

        sent[now] += burst(scenario, family, change).layer3_bytes
    after, doubt = settled(scenario), gap_bound(scenario, here) - bound
    found = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    print(f"sent {sent}, billed {found}, in doubt up to {doubt}")
    assert sum(found.values()) == sum(sent.values()), "none is lost, none is billed twice"
    assert abs(found["storage"] - sent["storage"]) <= doubt
    assert found["storage"] and found["partner"]


def test_no_byte_is_lost_while_classes_come_and_go_under_traffic(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    tell(scenario, ("storage", {"prefixes": PREFIXES}), ("partner", {"prefixes": ["192.0.2.0/24"]}))
    before, gaps = settled(scenario), ledger(scenario, "red")[here.port]["gaps"]
    with UdpStream(here.vm, there.vm, BEYOND[4], rate=1000, size=300) as stream:
        for _ in range(3):
            tell(scenario, ("passing", {"prefixes": [BEYOND[4]]}))
            begun = stream.received
            until("some pass", lambda begun=begun: stream.received > begun + 200, 20)
            outcome = scenario.control.run("delete", "egressclass", "passing", "--wait")
            assert outcome.ok, outcome.stderr
        result = stream.stop()
    assert result.lost == 0, result
    after = settled(scenario)
    found = {name: after[name] - before.get(name, 0) for name in ("storage", "passing")}
    print(f"sent {result.layer3_bytes}, billed {found}")
    assert sum(found.values()) == result.layer3_bytes or ledger(scenario, "red")[here.port]["gaps"] > gaps
    assert found["passing"] >= 3 * 200 * (300 + 28)


def test_a_version_comes_into_force_at_its_moment(scenario: TwoTenants) -> None:
    here = scenario.of("red")[0]
    tell(scenario, ("storage", {"prefixes": PREFIXES}), ("partner", {"prefixes": ["192.0.2.0/24"]}))
    before, bound = settled(scenario), gap_bound(scenario, here)
    due = datetime.now(UTC) + timedelta(seconds=15)
    moment = {"effective": due.isoformat()}
    tell(
        scenario,
        ("storage", {"prefixes": PREFIXES[1:], **moment}),
        ("dated", {"prefixes": PREFIXES[:1], **moment}),
    )
    (listed,) = scenario.control.get("egressclass", "dated")
    host, marks = scenario.lab.node(here.host), (f"{listed['status']['id']:#x}->reg3", "198.51.100.0/24")

    def turned() -> bool:
        lines = host.ofctl("dump-flows", host.management, "table=56").splitlines()
        return any(all(mark in line for mark in marks) for line in lines)

    early = burst(scenario, 4, lambda: None).layer3_bytes
    assert not turned(), "it comes later"
    until("the version is in force", turned, 30)
    late = burst(scenario, 4, lambda: None).layer3_bytes
    after, doubt = settled(scenario), gap_bound(scenario, here) - bound
    found = {name: after.get(name, 0) - before.get(name, 0) for name in ("storage", "dated")}
    assert sum(found.values()) == early + late
    assert abs(found["storage"] - early) <= doubt and found["dated"] > 0


def test_who_changes_his_own_ways_all_the_time_is_billed_all_the_same(scenario: TwoTenants) -> None:
    """Each change of a port's allowed pairs moves what is counted of it. Were that in doubt each time, he
    could send for nothing: the changes that come too soon wait instead."""
    here, there = scenario.of("red")[:2]
    before, bound = settled(scenario), gap_bound(scenario, here)
    done = threading.Event()
    (port,) = scenario.control.get("ports", here.port, "--tenant", "red")
    port.pop("status")
    changes: list[int] = []

    def change_again_and_again() -> None:
        while not done.is_set():
            prefix = f"10.0.0.{100 + len(changes) % 2}/32"
            scenario.control.apply(
                [{**port, "spec": {**port["spec"], "allowedAddresses": [{"prefix": prefix}]}}]
            )
            changes.append(1)

    with UdpStream(here.vm, there.vm, there.ipv4, rate=1000, size=300) as stream:
        threads = [threading.Thread(target=change_again_and_again) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            until("many changes were made", lambda: len(changes) >= 25, 90)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        result = stream.stop()
    after, doubt = settled(scenario), gap_bound(scenario, here) - bound
    billed, sent = sum(after.values()) - sum(before.values()), result.layer3_bytes
    print(f"{len(changes)} changes, sent {sent}, billed {billed}, in doubt up to {doubt}")
    assert result.lost == 0
    assert sent - doubt <= billed <= sent and billed > 0.8 * sent

"""Eight hypervisors on leaves and spines: all of a tenant reach each other, nobody else, in all weathers.

Two routed tenants with the same addresses, a VM of each on every host, one in a second network.
The whole matrix is measured as built, over one spine alone, after an agent was killed, and after a change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.integration.product.test_isolation import in_sync
from tests.integration.product.witness import document
from topologies.deadline import until
from topologies.faults import link_down
from topologies.matrix import Matrix, measure
from topologies.scenarios.routed import FAR, Routed
from topologies.scenarios.two_tenants import NETWORK, TENANTS, TwoTenants, Workload
from topologies.traffic.udp import UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

HOSTS = 8
LEAVES, SPINE = ("leaf1", "leaf2"), "spine1"


@pytest.fixture(scope="module")
def scenario(routing_fabric: Routed) -> TwoTenants:
    until("all in sync", lambda: in_sync(routing_fabric.base), 60)
    return routing_fabric.base


@pytest.fixture(scope="module")
def parties(routing_fabric: Routed) -> tuple[Workload, ...]:
    """A VM of each tenant on each host, and one of each in a network to which these have to be routed."""
    return (*routing_fabric.base.workloads, *(routing_fabric.extra[t, FAR] for t in TENANTS))


def settled(parties: tuple[Workload, ...]) -> Matrix:
    """The matrix, once measured; every cell within a tenant has to be there, and none across."""
    found = measure(parties)
    wanted = {
        (a.name, b.name, version)
        for a in parties
        for b in parties
        if a is not b and a.tenant == b.tenant
        for version in (4, 6)
    }
    assert found.leaks() == ()
    assert sorted(wanted - found.reach()) == []
    return found


@contextmanager
def one_spine(scenario: TwoTenants) -> Iterator[None]:
    """Its links to all leaves are down: what is left goes over the other."""
    with ExitStack() as stack:
        for leaf in LEAVES:
            stack.enter_context(link_down(scenario.lab.node(leaf), SPINE))
            stack.enter_context(link_down(scenario.lab.node(SPINE), leaf))
        yield


def test_everybody_of_a_tenant_and_nobody_else(scenario: TwoTenants, parties: tuple[Workload, ...]) -> None:
    assert len(scenario.lab.hypervisors) == HOSTS
    matrix = settled(parties)
    print(f"{matrix.sent} packets for {len(matrix.seen)} cells of {len(matrix.parties)} VMs")
    assert len(matrix.seen) == 2 * (2 * HOSTS + 2) * (2 * HOSTS + 1)


def test_a_lost_spine_changes_nothing(scenario: TwoTenants, parties: tuple[Workload, ...]) -> None:
    """The underlay's routes are static, over both spines: what fails is seen by its carrier."""
    with one_spine(scenario):
        settled(parties)
        assert in_sync(scenario)
    settled(parties)


def test_an_agent_that_restarts_loses_no_packet(scenario: TwoTenants, parties: tuple[Workload, ...]) -> None:
    """Between hosts on different leaves, both families, both tenants."""
    first, last = scenario.lab.hypervisors[0].name, scenario.lab.hypervisors[-1].name
    streams = []
    with ExitStack() as stack:
        for number, tenant in enumerate(TENANTS):
            here, there = scenario.at(tenant, first), scenario.at(tenant, last)
            for address in there.addresses:
                port = 9100 + 10 * number + (":" in address)
                made = UdpStream(here.vm, there.vm, address, 200, port=port)
                streams.append(stack.enter_context(made))
        until("under way", lambda: all(s.received > 20 for s in streams), 20)
        scenario.control.agents[first].kill()
        scenario.control.agents[first].start()
        until("in sync again", lambda: in_sync(scenario), 60)
        results = [stream.stop() for stream in streams]
    assert [(r.lost, r.refused) for r in results] == [(0, 0)] * 4
    settled(parties)


def test_a_change_for_all_hosts_is_waited_for(scenario: TwoTenants, parties: tuple[Workload, ...]) -> None:
    """A network more for each tenant, with a port on every host; and a mark for the one that is there, of
    which every host has bound ports: so all are waited for, and have programmed it when the wait ends."""
    spec = {"subnets": ["10.3.0.0/24", "fd00:13::/64"]}
    networks = [document("Network", {"name": "more", "tenant": t}, spec) for t in TENANTS]
    networks += [document("Network", {"name": NETWORK, "tenant": t}, {"dscp": 10}) for t in TENANTS]
    ports = [
        document("Port", {"name": f"more{n}", "tenant": t}, {"network": "more", "hosts": [str(h.name)]})
        for t in TENANTS
        for n, h in enumerate(scenario.lab.hypervisors)
    ]
    text = "".join(f"---\n{json.dumps(one)}\n" for one in (*networks, *ports))
    began = time.monotonic()
    words = ("apply", "-f", "-", "--wait", "--timeout", "60", "-o", "json")
    outcome = scenario.control.run(*words, stdin=text, timeout=90)
    assert outcome.ok, outcome.stdout + outcome.stderr
    answer = json.loads(outcome.stdout)
    assert answer["concerned"] == sorted(str(host.name) for host in scenario.lab.hypervisors)
    heads = json.loads(scenario.control.run("status", "-o", "json").stdout)["hosts"]
    assert all(head["generation"] >= answer["generation"] for head in heads), "at once, not a moment later"
    took = time.monotonic() - began
    print(f"apply --wait of {text.count('---')} objects on {HOSTS} hosts: {took:.2f} s")
    until("all in sync", lambda: in_sync(scenario), 60)  # what they say of peers comes a moment later
    settled(parties)

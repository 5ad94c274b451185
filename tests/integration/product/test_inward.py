"""What comes from outside on the bill: each byte once, at the port that got it; none of the cluster's own."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator

import pytest

from tests.integration.product.bill import account
from topologies.deadline import until
from topologies.nodes.hypervisor import detach, plug
from topologies.nodes.vm import INTERFACE
from topologies.scenarios.outside import SERVER, Outside
from topologies.scenarios.two_tenants import SUBNETS, Workload
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream, count_udp

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

FAMILIES = pytest.mark.parametrize("family", [4, 6])
ECHO = {4: 20 + 8 + 56, 6: 40 + 8 + 56}
"""Layer-3 bytes of an echo reply to ping's own size."""


@pytest.fixture(scope="module")
def lab(outside_lab: Outside) -> Iterator[Outside]:
    """With a class for where the server is; the lab may be others' as well, so that goes in the end."""
    document = {
        "apiVersion": "ringfence/v1",
        "kind": "EgressClass",
        "metadata": {"name": "world"},
        "spec": {"prefixes": ["198.51.100.0/24", "2001:db8:5::/64"]},
    }
    done = outside_lab.base.control.run("apply", "-f", "-", "--wait", stdin=json.dumps(document))
    assert done.ok, done.stdout + done.stderr
    yield outside_lab
    done = outside_lab.base.control.run("delete", "egressclass", "world", "--wait")
    assert done.ok, done.stdout + done.stderr


def vm(lab: Outside, tenant: str, port: str) -> Workload:
    return next(w for w in lab.base.workloads if (w.tenant, w.port) == (tenant, port))


@FAMILIES
def test_by_floating_ips(lab: Outside, family: int) -> None:
    """Of a tenant with another way out, and of one with none; the other one has nothing of it."""
    red, blue = vm(lab, "red", "vm1"), vm(lab, "blue", "vm2")
    before = {tenant: account(lab.base, tenant) for tenant in ("red", "blue")}
    sent = {}
    for one, count in ((red, 200), (blue, 300)):
        result = count_udp(lab.server, one.vm, lab.floating(one, family), count, size=200)
        assert (result.sent, result.lost, result.duplicates) == (count, 0, 0)
        sent[one.tenant] = result.layer3_bytes
    for one in (red, blue):
        grown = account(lab.base, one.tenant).less(before[one.tenant])
        assert grown.came == {one.port: sent[one.tenant]}, grown
        assert grown.classes == {"world": sent[one.tenant]}


@FAMILIES
def test_what_ports_send_each_other_is_not_counted_a_second_time(lab: Outside, family: int) -> None:
    """Beside it is what came from outside meanwhile, so that a counter that stood still would be seen."""
    one, two, other = vm(lab, "blue", "vm1"), vm(lab, "blue", "vm2"), vm(lab, "blue", "vm3")
    before = account(lab.base, "blue")
    within = count_udp(one.vm, other.vm, other.ipv4 if family == 4 else other.ipv6, 200, size=300)
    across = count_udp(one.vm, two.vm, lab.floating(two, family), 200, size=400)
    assert within.lost == across.lost == 0
    control = count_udp(lab.server, one.vm, lab.floating(one, family), 50, size=100)
    assert control.lost == 0
    grown = account(lab.base, "blue").less(before)
    assert grown.came == {one.port: control.layer3_bytes}, grown
    assert grown.out[one.port] >= within.layer3_bytes + across.layer3_bytes


@FAMILIES
def test_answers_for_the_egress_address_are_counted_at_their_ports(lab: Outside, family: int) -> None:
    """Also on hosts that are no gateway, by the gateway's mark; and not what comes from beside it."""
    ports = [vm(lab, "red", name) for name in ("vm2", "vm3")]
    before = account(lab.base, "red")
    for number, one in enumerate(ports, 1):
        assert ping(one.vm, SERVER[family // 6], 10 * number).complete
    inside = vm(lab, "red", "vm1")
    for one in ports:
        address = one.ipv4 if family == 4 else one.ipv6
        assert count_udp(inside.vm, one.vm, address, 100, size=100).lost == 0
    grown = account(lab.base, "red").less(before)
    expected = {one.port: 10 * number * ECHO[family] for number, one in enumerate(ports, 1)}
    assert grown.came == expected, grown
    assert grown.classes == {"world": sum(expected.values())}


@FAMILIES
def test_nothing_that_came_is_lost_with_the_interface_that_is_pulled_out(lab: Outside, family: int) -> None:
    """What a port sent and Open vSwitch has not told yet is lost so; what it got is not."""
    one = vm(lab, "blue", "vm2")
    host = next(h for h in lab.lab.hypervisors if h.name == one.host)
    before, limit = account(lab.base, "blue"), 300
    address = lab.floating(one, family)
    with UdpStream(lab.server, one.vm, address, rate=1000, size=200, limit=limit) as stream:
        until("all have come", lambda: stream.received == limit, 20)
        detach(host, one.ifname)
        result = stream.finish()
    assert (result.sent, result.lost) == (limit, 0)
    grown = account(lab.base, "blue").less(before)
    assert grown.came == {one.port: result.layer3_bytes}, grown
    host.run(f"ip link delete {one.ifname}")
    plug(host, one.vm, one.ifname, one.uid, one.mac, one.cidrs)
    for subnet in SUBNETS:
        first = ipaddress.ip_network(subnet).network_address + 1
        one.vm.run(f"ip route replace default via {first} dev {INTERFACE}")
    until("it is back", lambda: ping(lab.server, address, 1, wait=0.5).reached, 60)

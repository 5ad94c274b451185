"""Ways out, by a FRR border to a server behind it: floating IPs, egress addresses, limits, and no leaks."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.southbound import connections, unixctl
from topologies.datapath import Datapath
from topologies.deadline import until
from topologies.faults import silence
from topologies.nodes.hypervisor import Hypervisor, plug, unplug
from topologies.scenarios.outside import BORDER, NARROW, SERVER, Outside
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.announce import gratuitous
from topologies.traffic.capture import Capture, Frame, beacon, contains, incoming
from topologies.traffic.endpoint import Endpoint, family_of, open_socket
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.route import traceroute
from topologies.traffic.tcp import transfer

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
PRIVATE = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "fd00::/8")]


def vm(lab: Outside, tenant: str, port: str) -> Workload:
    return next(w for w in lab.base.workloads if (w.tenant, w.port) == (tenant, port))


def server(family: int) -> str:
    return SERVER[family // 6]


def ends(frame: Frame) -> tuple[str, str] | None:
    """Source and destination of an IP packet."""
    if frame.raw[12:14] == b"\x08\x00":
        return str(ipaddress.ip_address(frame.raw[26:30])), str(ipaddress.ip_address(frame.raw[30:34]))
    if frame.raw[12:14] == b"\x86\xdd":
        return str(ipaddress.ip_address(frame.raw[22:38])), str(ipaddress.ip_address(frame.raw[38:54]))
    return None


def is_private(frame: Frame) -> bool:
    """Whether a packet has an address of a tenant as its source or destination."""
    both = ends(frame)
    if both is None:
        return False
    seen = [ipaddress.ip_address(address) for address in both]
    return any(a in n for a in seen for n in PRIVATE if n.version == a.version)


def seen_from(source: Endpoint, target: Endpoint, address: str) -> str:
    """The address that a datagram to `address` bears as its source where it arrives."""
    marker = os.urandom(16)
    with Capture(target) as capture:
        capture.confirm(beacon(source, address, marker), incoming(contains(marker)))
        both = ends(capture.matching(incoming(contains(marker)))[0])
    assert both is not None
    return both[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_out_and_in_by_a_floating_ip(outside_lab: Outside, family: int) -> None:
    for tenant, port in (("red", "vm1"), ("blue", "vm1"), ("blue", "vm2")):
        one = vm(outside_lab, tenant, port)
        address = outside_lab.floating(one, family)
        assert seen_from(one.vm, outside_lab.server, server(family)) == address
        assert ping(one.vm, server(family), 3).complete
        assert ping(outside_lab.server, address, 3).complete
        assert seen_from(outside_lab.server, one.vm, address) == server(family)
        for source, target, to in ((one.vm, outside_lab.server, server(family)),
                                   (outside_lab.server, one.vm, address)):  # fmt: skip
            sent = transfer(source, target, to, 1 << 19)
            assert sent.intact and sent.received == 1 << 19, sent.error


@pytest.mark.parametrize("family", FAMILIES)
def test_icmp_errors_find_their_way_in(outside_lab: Outside, family: int) -> None:
    """Traceroute shows the border, a packet too big for the link behind it is told of, fragments pass."""
    for port, hops in (("vm1", 3), ("vm3", 4)):
        one = vm(outside_lab, "red", port)
        seen = traceroute(one.vm, server(family))
        assert len(seen) == hops and seen[-1] == server(family), seen
        assert hops == 3 or seen[1] == outside_lab.egress(family), seen
        told = one.vm.attempt(
            ["ping", f"-{family}", "-n", "-M", "do", "-s", "1380", "-c", "2", "-W", "10", server(family)]
        ).stdout
        assert f"mtu = {NARROW}" in told or f"mtu={NARROW}" in told, told
        assert f"mtu {NARROW}" in one.vm.run(["ip", "route", "get", server(family)])
        whole = one.vm.attempt(
            ["ping", f"-{family}", "-n", "-s", "3000", "-c", "3", "-W", "10", server(family)]
        )
        assert "3 received" in whole.stdout, whole.stdout


def traced(lab: Outside, here: Workload, to: str) -> dict[str, Any]:
    """A trace with which each switch agrees (ofproto/trace), without the question for the gateway."""
    words = ("trace", "--from", f"{here.tenant}/{here.port}", "--to", to, "--proto", "udp", "--dport", "53")
    done = lab.base.control.run(*words, "--sport", "999", "-o", "json")
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (done.code, told["switch"]) == (0, "agrees"), told
    assert {leg["switch"]["verdict"] for leg in told["legs"]} == {"agrees"}, told
    assert told["legs"].pop(0)["ends"][0]["what"] == "answered", told
    return told


def steps(leg: dict[str, Any]) -> list[str]:
    return [step["table"] for step in leg["steps"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_walks_to_the_gateway_and_out_to_the_border(outside_lab: Outside, family: int) -> None:
    """And the packet really does: the same address is seen by the server."""
    one, gateway = vm(outside_lab, "red", "vm3"), outside_lab.gateways()[0]
    assert seen_from(one.vm, outside_lab.server, server(family)) == outside_lab.egress(family)
    told = traced(outside_lab, one, server(family))
    here, there = told["legs"]
    assert [leg["host"] for leg in told["legs"]] == [one.host, gateway]
    assert told["verdict"] == "left" and "border1" in told["ends"][0]["text"], told
    assert f"({gateway})" in here["ends"][0]["text"] and "tenant red" in here["ends"][0]["text"]
    assert steps(here)[:2] == ["classify", "guard"] and "route" in steps(here)
    ways = steps(there)
    assert ways.index("arrival") < ways.index("translated") < ways.index("outside") < ways.index("output")
    assert "external internet" in there["ends"][0]["text"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_walks_over_three_hosts_and_two_translations(outside_lab: Outside, family: int) -> None:
    """Behind the gateway's address to the floating IP of a port on a third host."""
    one, gateway = vm(outside_lab, "red", "vm3"), outside_lab.gateways()[0]
    other = next(w for w in outside_lab.base.of("blue") if w.host in {"hv1", "hv2"} - {gateway})
    to = outside_lab.floating(other, family)
    assert seen_from(one.vm, other.vm, to) == outside_lab.egress(family)
    told = traced(outside_lab, one, to)
    assert [leg["host"] for leg in told["legs"]] == [one.host, gateway, other.host]
    assert told["verdict"] == "delivered"
    assert told["ends"][0]["text"] == f"delivered to port blue/{other.port} on {other.host}"
    assert "translated" in steps(told["legs"][1])
    assert steps(told["legs"][2])[-3:] == [
        "landing",
        "origin",
        "limit",
    ]  # not counted: sent by a port of ours


@pytest.mark.parametrize("family", FAMILIES)
def test_two_floating_ips_talk(outside_lab: Outside, family: int) -> None:
    """On the same host and on two, of two tenants that have the same addresses inside."""
    one = vm(outside_lab, "red", "vm1")
    for other in (vm(outside_lab, "blue", "vm1"), vm(outside_lab, "blue", "vm2")):
        to, back = outside_lab.floating(other, family), outside_lab.floating(one, family)
        assert seen_from(one.vm, other.vm, to) == back
        assert seen_from(other.vm, one.vm, back) == to
        assert ping(one.vm, to, 3).complete and ping(other.vm, back, 3).complete
        sent = transfer(one.vm, other.vm, to, 1 << 19)
        assert sent.intact and sent.received == 1 << 19, sent.error


@pytest.mark.parametrize("family", FAMILIES)
def test_behind_the_gateway(outside_lab: Outside, family: int) -> None:
    """From another host, and from a port of a gateway host that has no floating IP."""
    for port in ("vm2", "vm3"):
        one = vm(outside_lab, "red", port)
        assert seen_from(one.vm, outside_lab.server, server(family)) == outside_lab.egress(family)
        sent = transfer(one.vm, outside_lab.server, server(family), 1 << 19)
        assert sent.intact and sent.received == 1 << 19, sent.error
        floating = vm(outside_lab, "blue", "vm2")
        to = outside_lab.floating(floating, family)
        assert seen_from(one.vm, floating.vm, to) == outside_lab.egress(family)
        assert ping(one.vm, to, 3).complete


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_untranslated_reaches_the_border(outside_lab: Outside, family: int) -> None:
    """Nobody's private address is seen outside, whatever is tried, and red's traffic never with blue."""
    red, blue = vm(outside_lab, "red", "vm3"), vm(outside_lab, "blue", "vm3")
    control, attack, stray = b"this-is-a-control", os.urandom(16), os.urandom(16)
    there = incoming(contains(control))
    with Capture(outside_lab.server) as capture, Capture(blue.vm) as blues:
        capture.confirm(beacon(red.vm, server(family), control), there)
        blues.confirm(beacon(vm(outside_lab, "blue", "vm1").vm, blue.addresses[family // 6], control), there)
        for address in (server(family), BORDER[family // 6], outside_lab.egress(family)):
            beacon(blue.vm, address, attack)()  # blue vm3 has neither a floating IP nor a gateway
            assert not ping(blue.vm, address, 2, wait=0.5).reached
        for address in (outside_lab.egress(family), blue.addresses[family // 6]):
            beacon(red.vm, address, stray)()
        beacon(outside_lab.server, outside_lab.egress(family), attack)()  # nobody began that
        transfer(red.vm, outside_lab.server, server(family), 1 << 16)
        capture.confirm(beacon(red.vm, server(family), control), there)
        blues.confirm(beacon(vm(outside_lab, "blue", "vm1").vm, blue.addresses[family // 6], control), there)
        assert capture.leaks(is_private) == ()
        assert capture.leaks(incoming(contains(attack))) == ()
        assert capture.leaks(incoming(contains(stray))) == ()
        assert blues.leaks(incoming(contains(stray))) == ()


def zone_of(host: Hypervisor, address: str) -> int:
    """The conntrack zone in which this host gives an address to somebody."""
    flows = unixctl.call(host.rundir, "bridge/dump-flows", "br-int")
    line = next(line for line in flows.splitlines() if f"nat(src={address})" in line)
    return int(line.partition("zone=")[2].split(",")[0])


def limits(host: Hypervisor) -> dict[int, int]:
    found = {}
    for line in unixctl.call(host.rundir, "dpctl/ct-get-limits").splitlines():
        if line.startswith("zone="):
            words = dict(word.split("=") for word in line.split(","))
            found[int(words["zone"])] = int(words["limit"])
    return found


def billed(host: Hypervisor, port: int) -> int:
    """Packets that the account has of a port, by its key, whatever their class."""
    host.settle()
    flows = unixctl.call(host.rundir, "bridge/dump-flows", "br-int").splitlines()
    mine = [line for line in flows if "table_id=60," in line and f"reg1=0x{port:x},reg3=" in line]
    assert mine, flows
    return sum(int(line.partition("n_packets=")[2].split(",")[0]) for line in mine)


def key_of(host: Hypervisor, address: str) -> int:
    """The key of the port that has a floating IP."""
    flows = unixctl.call(host.rundir, "bridge/dump-flows", "br-int").splitlines()
    line = next(line for line in flows if f"nat(src={address})" in line)
    return int(line.partition("reg1=0x")[2].split(",")[0], 16)


def test_a_full_zone_stops_its_port_and_no_other(outside_lab: Outside) -> None:
    host = outside_lab.lab.hypervisors[0]
    red, blue = vm(outside_lab, "red", "vm1"), vm(outside_lab, "blue", "vm1")
    zone = zone_of(host, outside_lab.floating(red, 4))
    usual, key = limits(host)[zone], key_of(host, outside_lab.floating(red, 4))
    assert usual == 16384 and zone_of(host, outside_lab.floating(blue, 4)) in limits(host)
    connections.flush(host.rundir, zone)
    connections.limit(host.rundir, outside_lab.lab.datapath.value, [(zone, 20)])
    try:
        marker, before = os.urandom(16), billed(host, key)
        with Capture(outside_lab.server) as capture:
            for port in range(40_000, 40_060):
                with open_socket(red.vm, socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.bind(("", port))
                    sender.sendto(marker, (SERVER[0], 9))
            capture.confirm(beacon(blue.vm, SERVER[0], b"a-control"), incoming(contains(b"a-control")))
            capture.confirm(beacon(blue.vm, SERVER[0], b"a-control"), incoming(contains(b"a-control")))
            frames = capture.matching(incoming(contains(marker)))
            arrived = {int.from_bytes(frame.raw[34:36], "big") for frame in frames}
            assert capture.leaks(is_private) == ()
        assert 0 < len(arrived) <= 20
        assert billed(host, key) - before == len(frames), "what the zone dropped was billed"
        assert not ping(red.vm, SERVER[0], 2, wait=0.5).reached
        assert ping(blue.vm, SERVER[0], 3).complete
        assert ping(vm(outside_lab, "red", "vm3").vm, SERVER[0], 3).complete
        flows = unixctl.call(host.rundir, "bridge/dump-flows", "br-int")
        refused = [s for s in flows.splitlines() if "table_id=34" in s and "priority=100" in s]
        if outside_lab.lab.datapath is Datapath.USERSPACE:  # the kernel drops them before any flow sees them
            assert any(f"ct_zone={zone}" in s and "n_packets=0" not in s for s in refused), refused
    finally:
        connections.limit(host.rundir, outside_lab.lab.datapath.value, [(zone, usual)])
    until("red has room again", lambda: ping(red.vm, SERVER[0], 1, wait=0.5).reached, 10)


@contextmanager
def connected(lab: Outside, one: Workload) -> Iterator[tuple[socket.socket, socket.socket, str]]:
    """A TCP connection from a VM to the server: its two ends, and the address that the server sees.

    The port is the server's choice: one that was used lately is not free again for a while.
    """
    with (
        open_socket(lab.server, socket.AF_INET, socket.SOCK_STREAM) as listener,
        open_socket(one.vm, socket.AF_INET, socket.SOCK_STREAM) as caller,
    ):
        listener.bind((SERVER[0], 0))
        listener.listen(1)
        for each in (listener, caller):
            each.settimeout(60)
        caller.connect(listener.getsockname())
        taken, (seen, _) = listener.accept()
        with taken:
            taken.settimeout(60)
            yield caller, taken, seen


def test_connections_outlive_the_agent(outside_lab: Outside) -> None:
    red, control = vm(outside_lab, "red", "vm1"), outside_lab.base.control
    zones = limits(outside_lab.lab.hypervisors[0])
    with connected(outside_lab, red) as (caller, taken, _):
        caller.sendall(b"before")
        assert taken.recv(99) == b"before"
        control.agents["hv1"].kill()
        control.agents["hv1"].start()
        taken.sendall(b"after")
        assert caller.recv(99) == b"after"
        until("the agent has set the limits", lambda: limits(outside_lab.lab.hypervisors[0]) == zones, 30)
        caller.sendall(b"at last")
        assert taken.recv(99) == b"at last"


def test_limits_are_set_again_when_the_switch_is_back(outside_lab: Outside) -> None:
    host = outside_lab.lab.hypervisors[0]
    before, one = limits(host), vm(outside_lab, "red", "vm1")
    assert before
    with connected(outside_lab, one) as (caller, taken, _):
        host.daemons["ovs-vswitchd"].kill()
        host.daemons["ovs-vswitchd"].start()
        until("limits are there", lambda: limits(host) == before, 60)
        until("the server is reached", lambda: ping(one.vm, SERVER[0], 1, wait=0.5).reached, 60)
        until("and by IPv6", lambda: ping(one.vm, SERVER[1], 1, wait=0.5).reached, 60)
        # its state was lost with the switch, but a floating IP keeps addresses and ports as they were
        for source, target in ((taken, caller), (caller, taken)):
            source.sendall(b"still there")
            assert target.recv(99) == b"still there"


def test_the_standby_takes_over_from_a_gateway_that_is_silent(outside_lab: Outside) -> None:
    """Its BGP session stands still for a while; that the standby's probes fail is what counts."""
    one = vm(outside_lab, "red", "vm3")
    for family in FAMILIES:
        assert seen_from(one.vm, outside_lab.server, server(family)) == outside_lab.egress(family)
    with silence(outside_lab.lab, outside_lab.gateways()[0]):
        for family in FAMILIES:
            assert family == 6 or not ping(one.vm, server(family), 1, wait=0.5).reached
            until(
                f"the standby translates IPv{family}",
                lambda family=family: ping(one.vm, server(family), 1, wait=0.5).reached,
                60,
            )
            assert seen_from(one.vm, outside_lab.server, server(family)) == outside_lab.egress(family)
            assert transfer(one.vm, outside_lab.server, server(family), 1 << 18).intact
    until("the first one is back", lambda: ping(one.vm, server(4), 5).complete, 90)


def test_another_gateway_takes_over_with_the_same_address(outside_lab: Outside) -> None:
    """The operator takes the first one out: connections break, new ones work and look the same outside."""
    one, first = vm(outside_lab, "red", "vm3"), outside_lab.gateways()[0]
    addresses = [outside_lab.egress(family) for family in FAMILIES]
    host = next(h for h in outside_lab.lab.hypervisors if h.name == first)
    document = {
        "apiVersion": "ringfence/v1",
        "kind": "Hypervisor",
        "metadata": {"name": first},
        "spec": {"vtep": host.vtep_address, "gateway": False},
    }
    outside_lab.base.control.apply([document])
    assert first not in outside_lab.gateways() and outside_lab.gateways()
    assert [outside_lab.egress(family) for family in FAMILIES] == addresses
    gone = f"nat(src={addresses[0]})"
    until(
        "the first one translates no more",
        lambda: gone not in unixctl.call(host.rundir, "bridge/dump-flows", "br-int"),
        30,
    )
    for family in FAMILIES:
        until(
            f"the server is reached by IPv{family}",
            lambda family=family: ping(one.vm, server(family), 1, wait=0.5).reached,
            60,
        )
        assert family_of(server(family))
        assert seen_from(one.vm, outside_lab.server, server(family)) == outside_lab.egress(family)
        sent = transfer(one.vm, outside_lab.server, server(family), 1 << 18)
        assert sent.intact, sent.error


def test_a_connection_by_a_floating_ip_moves_with_its_port(outside_lab: Outside) -> None:
    """The state stays behind: the new host picks the connection up in the middle, under the same address."""
    one, control = vm(outside_lab, "blue", "vm1"), outside_lab.base.control
    old, new = (h for h in outside_lab.lab.hypervisors if str(h.name) in ("hv1", "hv2"))
    with connected(outside_lab, one) as (caller, taken, seen):
        assert seen == outside_lab.floating(one, 4)
        moving = control.run("migrate", one.port, "--tenant", "blue", "--to", str(new.name))
        assert moving.ok, moving.stderr
        unplug(old, one.ifname)
        plug(new, one.vm, "tap-moved", one.uid, one.mac, one.cidrs)
        gateway = "ip route replace default via 10.0.0.1 dev eth0"
        one.vm.run(gateway)

        def moved() -> bool:
            inject(one.vm, "eth0", [gratuitous(one.mac, one.ipv4)])
            (port,) = control.get("ports", one.port, "--tenant", "blue")
            return bool(port["status"]["host"] == str(new.name))

        until("the port lives there", moved, 30)
        caller.sendall(b"from the new place")
        assert taken.recv(99) == b"from the new place"
        taken.sendall(b"and back")
        assert caller.recv(99) == b"and back"

"""Prefixes behind VMs that route: one on the same host or another, and two that share the load. Real packets.

Red's `net` VM on hv1 and its `far` VM on hv2 are routers: behind both is one more namespace, which has the
prefix. Blue has the same addresses and none of it.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from topologies.deadline import until, within
from topologies.nodes.hypervisor import attach, detach
from topologies.nodes.link import VM_MTU, End, link
from topologies.nodes.vm import Vm
from topologies.scenarios import two_tenants
from topologies.scenarios.routed import FAR, Routed, gateways
from topologies.scenarios.two_tenants import API_VERSION, Document, Workload
from topologies.traffic.capture import Capture, Frame, beacon, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.route import traceroute

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
PREFIXES = ("10.50.0.0/16", "fd50::/48")
INSIDE = ("10.50.0.9", "fd50::9")
FLOWS, FIRST, PORT = 120, 20000, 7777
UPLINKS = ("up0", "up1")


@dataclass(frozen=True)
class Behind:
    """`routers`: on hv1 in `net`, on hv2 in `far`; `asker`: red's third VM, in `net` on hv2. What `inner`
    answers goes by hv2's router, which is a next hop in each of these tests."""

    lab: Routed
    routers: tuple[Workload, Workload]
    asker: Workload
    inner: Vm


@pytest.fixture(scope="module")
def behind(routing_lab: Routed) -> Behind:
    red = [w for w in routing_lab.base.of("red") if w.host.startswith("hv")]
    routers = (red[0], routing_lab.extra["red", FAR])
    inner = routing_lab.lab.vm("inner")
    for number, router in enumerate(routers):
        ours, theirs = f"192.168.{number}.1", f"192.168.{number}.2"
        ours6, theirs6 = f"fd99:{number}::1", f"fd99:{number}::2"
        link(End(router.vm, "eth1"), End(inner, UPLINKS[number]), VM_MTU)
        router.vm.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0\n"
            f"ip address add {ours}/24 dev eth1\nip address add {ours6}/64 dev eth1 nodad\n"
            f"ip route add {PREFIXES[0]} via {theirs}\nip -6 route add {PREFIXES[1]} via {theirs6}"
        )
        inner.run(
            f"ip address add {theirs}/24 dev {UPLINKS[number]}\n"
            f"ip address add {theirs6}/64 dev {UPLINKS[number]} nodad\n"
            f"ip route add default via {ours} metric {20 - number}\n"
            f"ip -6 route add default via {ours6} metric {20 - number}"
        )
    inner.run(
        "sysctl -qw net.ipv4.conf.all.rp_filter=0\n"
        f"ip address add {INSIDE[0]}/32 dev lo\nip address add {INSIDE[1]}/128 dev lo nodad"
    )
    return Behind(routing_lab, routers, red[1], inner)


def route(behind: Behind, *routers: Workload) -> None:
    """Red's routes lead over these, in both families."""
    documents: list[Document] = [
        {
            "apiVersion": API_VERSION,
            "kind": "Route",
            "metadata": {"name": f"behind-{number}", "tenant": "red"},
            "spec": {"prefix": prefix, "nextHops": [r.addresses[number] for r in routers]},
        }
        for number, prefix in enumerate(PREFIXES)
    ]
    behind.lab.base.control.apply(documents)


def reached(workload: Workload, family: int) -> bool:
    return ping(workload.vm, INSIDE[family // 6], 1, wait=0.5).reached


@pytest.mark.parametrize("family", FAMILIES)
def test_a_router_on_the_same_host_and_on_another(behind: Behind, family: int) -> None:
    """Over the VM on hv2: from hv2 itself, in another network, and from hv1, whose own router is none."""
    router, inside = behind.routers[1], INSIDE[family // 6]
    route(behind, router)
    for asker, hops in ((behind.asker, 1), (behind.routers[0], 2)):
        asker.vm.run(f"ip {'-6 ' if family == 6 else ''}route flush cache")
        if asker is behind.routers[0]:  # it has a way of its own, which is not asked
            asker.vm.run(f"ip {'-6 ' if family == 6 else ''}route del {PREFIXES[family // 6]}")
        until(f"{asker.name} reaches {inside}", lambda a=asker: reached(a, family), 60)
        ends = (two_tenants.NETWORK, FAR)[:hops]
        wanted = [*(gateways(one)[family // 6] for one in ends), router.addresses[family // 6], inside]
        assert list(traceroute(asker.vm, inside)) == wanted
        if asker is behind.routers[0]:
            via = ("192.168.0.2", "fd99:0::2")[family // 6]
            asker.vm.run(f"ip {'-6 ' if family == 6 else ''}route add {PREFIXES[family // 6]} via {via}")


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_tenant_gets_there(behind: Behind, family: int) -> None:
    route(behind, behind.routers[1])
    inside, marker, control = INSIDE[family // 6], os.urandom(16), b"this-is-a-control"
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    sees = beacon(behind.asker.vm, inside, control), incoming(contains(control))
    with Capture(behind.inner, UPLINKS[1]) as capture, Capture(behind.inner, UPLINKS[0]) as other:
        capture.confirm(*sees)
        for blue in (*behind.lab.base.of("blue")[:2], behind.lab.extra["blue", FAR]):
            beacon(blue.vm, inside, marker)()
            assert not ping(blue.vm, inside, 2, wait=0.5).reached
        capture.confirm(*sees)
        assert capture.leaks(contains(marker)) == ()
        assert other.matching(contains(marker)) == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_router_speaks_only_for_its_prefix(behind: Behind, family: int) -> None:
    """From behind it, to red's other VM: the prefix passes, what is not of it never does."""
    route(behind, behind.routers[1])
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    to, marker, control = behind.asker.addresses[family // 6], os.urandom(16), b"this-is-a-control"
    foreign = ("10.77.0.9", "fd77::9")[family // 6]
    length = (32, 128)[family // 6]
    behind.inner.run(
        f"ip address replace {foreign}/{length} dev lo{' nodad' if family == 6 else ''}\n"
        f"ip {'-6 ' if family == 6 else ''}route replace {to}/{length} via "
        f"{('192.168.1.1', 'fd99:1::1')[family // 6]}"
    )

    def send(source: str, payload: bytes) -> None:
        with closing(open_socket(behind.inner, family_of(to), socket.SOCK_DGRAM)) as sender:
            sender.bind((source, 0))
            sender.sendto(payload, (to, 9))

    with Capture(behind.asker.vm) as capture:
        capture.confirm(lambda: send(INSIDE[family // 6], control), incoming(contains(control)))
        send(foreign, marker)
        capture.confirm(lambda: send(INSIDE[family // 6], control), incoming(contains(control)))
        assert capture.leaks(contains(marker)) == ()


def flow_of(frame: Frame, family: int) -> int | None:
    """The number of the flow that a packet of the asker is of; None for any other frame."""
    at = 34 if family == 4 else 54
    if frame.raw[12:14] != (b"\x08\x00" if family == 4 else b"\x86\xdd"):
        return None
    source, target = (int.from_bytes(frame.raw[at + n : at + n + 2], "big") for n in (0, 2))
    return source - FIRST if target == PORT and FIRST <= source < FIRST + FLOWS else None


def frames_of(behind: Behind, family: int, kind: type[Packet]) -> Iterator[Packet]:
    """The first packet of each of FLOWS connections of the asker, each by its own port.

    As a VM's frames come off a tap: chosen for by what is in them. A packet of a socket of this very machine
    would bear a hash that its kernel draws by lot for each socket, and the kernel's data path goes by that.
    """
    asker, inside = behind.asker, INSIDE[family // 6]
    near = asker.vm.run(["ip", "-o", "neigh", "show", gateways(two_tenants.NETWORK)[family // 6]])
    ether = Ether(src=asker.mac, dst=near.partition("lladdr ")[2].split()[0])
    network = (IP, IPv6)[family // 6](src=asker.addresses[family // 6], dst=inside)
    for number in range(FLOWS):
        yield ether / network / kind(sport=FIRST + number, dport=PORT) / b"one"


def spread(behind: Behind, family: int, kind: type[Packet]) -> dict[int, str]:
    """By which uplink each connection of the asker comes in. Nobody listens."""
    found: dict[int, str] = {}
    frames = list(frames_of(behind, family, kind))
    with Capture(behind.inner, UPLINKS[0]) as one, Capture(behind.inner, UPLINKS[1]) as two:

        def seen() -> bool:
            gather(found, (one, two), family)
            return len(found) == FLOWS

        def all_there() -> bool:
            """Those that a lab's queues lost are sent again."""
            missing = [frame for number, frame in enumerate(frames) if number not in found]
            inject(behind.asker.vm, "eth0", missing)
            return within(seen, 5)

        until("every flow has come", all_there, 30)
    return found


def gather(found: dict[int, str], captures: tuple[Capture, ...], family: int) -> int:
    """Which uplink each flow came by, so far, none by both; gives how many packets came."""
    count = 0
    for name, capture in zip(UPLINKS, captures, strict=True):
        for frame in capture.matching(incoming(lambda frame: flow_of(frame, family) is not None)):
            number = flow_of(frame, family)
            assert number is not None
            assert found.setdefault(number, name) == name, f"flow {number} came by both"
            count += 1
    return count


def shared(behind: Behind) -> bool:
    """Whether the asker's switch chooses, in both families: it knows both next hops."""
    switch = behind.lab.lab.node(behind.asker.host)
    return switch.ofctl("dump-flows", switch.management, "table=24").count("group:") == len(FAMILIES)


@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_routers_share_the_load_and_one_that_goes_moves_its_own_flows(
    behind: Behind, family: int, kind: type[Packet]
) -> None:
    away, here = behind.routers
    route(behind, away, here)
    host = behind.lab.lab.node(away.host)
    until("both next hops are known", lambda: shared(behind), 60)
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    before = spread(behind, family, kind)
    counts = Counter(before.values())
    assert min(counts[name] for name in UPLINKS) > FLOWS // 5, counts
    assert spread(behind, family, kind) == before  # the same connections the same way
    detach(host, away.ifname)
    try:
        until("the router that went is forgotten", lambda: not shared(behind), 60)
        assert set(spread(behind, family, kind).values()) == {UPLINKS[1]}
    finally:
        attach(host, away.ifname, away.uid, away.mac)
    until("both again", lambda: shared(behind), 60)
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    assert spread(behind, family, kind) == before  # each where it was: nothing else had moved


@pytest.mark.parametrize("family", FAMILIES)
def test_what_one_socket_sends_goes_one_way(behind: Behind, family: int) -> None:
    """Whatever the sender's kernel notes beside its packets, those of one connection stay together."""
    route(behind, *behind.routers)
    until("both next hops are known", lambda: shared(behind), 60)
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    inside, found = INSIDE[family // 6], dict[int, str]()
    with ExitStack() as stack:

        def opened(vm: Vm) -> socket.socket:
            return stack.enter_context(open_socket(vm, family_of(inside), socket.SOCK_DGRAM))

        opened(behind.inner).bind(("", PORT))  # nobody answers, nobody refuses
        captures = tuple(stack.enter_context(Capture(behind.inner, name)) for name in UPLINKS)
        callers = [opened(behind.asker.vm) for _ in range(FLOWS)]
        for number, caller in enumerate(callers):
            caller.bind(("", FIRST + number))
            caller.connect((inside, PORT))
        for turn in range(1, 4):
            for caller in callers:
                caller.send(b"one of several")

            def all_there(turn: int = turn) -> bool:
                return gather(found, captures, family) == FLOWS * turn

            until(f"every flow has come {turn} times", all_there, 30)
    assert set(found.values()) == set(UPLINKS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_route_without_a_next_hop_says_so(behind: Behind, family: int) -> None:
    """Bound nowhere, it is neither a way nor silence; and what a router sends to its prefix stays out."""
    route(behind, behind.routers[1])
    until("red reaches it", lambda: reached(behind.asker, family), 60)
    host, router = behind.lab.lab.node(behind.routers[1].host), behind.routers[1]
    words = ("Destination Net Unreachable", "Destination unreachable: No route")[family // 6]
    detach(host, router.ifname)
    try:

        def said() -> bool:
            command = ["ping", f"-{family}", "-n", "-c", "1", "-W", "1", INSIDE[family // 6]]
            return words in behind.asker.vm.attempt(command).stdout

        until("the gateway says that there is no way", said, 60)
    finally:
        attach(host, router.ifname, router.uid, router.mac)
    until("red reaches it again", lambda: reached(behind.asker, family), 60)

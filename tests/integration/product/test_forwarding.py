"""Names outside, all the way: a port asks us through Open vSwitch, and its host asks a resolver beyond the
underlay; what is kept of that, and for whom; what becomes of a question that nobody answers.

Two tenants with the same addresses. On one host the first of two resolvers is away, on the other the only
one. That no port gets to a resolver but by us, and no tenant to another's, captures there say, between
questions that do get there. What is believed of answers, tests/contract/test_outside.py says.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import dns.message
import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from model.addresses import format_mac
from model.serving import SERVICES_MAC
from tests.fakes.resolvers import Resolver
from tests.integration.product.extra import lead_out
from tests.integration.product.test_names import GATEWAY_MAC, NAMES, told
from topologies.deadline import until
from topologies.fabrics import BRIDGE
from topologies.nodes.link import UNDERLAY_MTU, End, link
from topologies.nodes.node import LabNode
from topologies.nodes.router import Bridge
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, Frame, Test, contains, incoming
from topologies.traffic.endpoint import Endpoint, open_socket
from topologies.traffic.frames import inject

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.datapaths]

OUTSIDE, AWAY = "172.16.0.53", "172.16.0.54"
ADDRESS, OTHERS = "198.51.100.1", "198.51.100.2"
_PORT = 53
_POLL, _JOIN = 0.2, 30.0
_FRESH: Final = itertools.count()


@contextmanager
def resolving(where: Endpoint, at: str, record: str) -> Iterator[Resolver]:
    """A resolver on a node, which knows one record, of each name."""
    resolver, over = Resolver(record), threading.Event()
    with open_socket(where, socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.settimeout(_POLL)
        own.bind((at, _PORT))

        def serve() -> None:
            while not over.is_set():
                try:
                    wire, asker = own.recvfrom(4096)
                except TimeoutError:
                    continue
                for octets in resolver.answers(wire, "udp"):
                    own.sendto(octets, asker)

        thread = threading.Thread(target=serve, name=f"resolver-{at}", daemon=True)
        thread.start()
        try:
            yield resolver
        finally:
            over.set()
            thread.join(_JOIN)


@dataclass(frozen=True, slots=True)
class Stage:
    scenario: TwoTenants
    node: LabNode
    """Where the resolver outside is."""

    def here(self, tenant: str) -> Workload:
        return self.scenario.at(tenant, "hv1")

    def there(self, tenant: str) -> Workload:
        return self.scenario.at(tenant, "hv2")


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    scenario = two_tenants_lab()
    scenario.await_reachability()
    lab, control = scenario.lab, scenario.control
    node, segment = LabNode("dns", lab.cell, lab.directory), lab.node(BRIDGE)
    assert isinstance(segment, Bridge)
    lab.add(node)
    link(End(node, "eth0"), End(segment, "p53"), UNDERLAY_MTU)
    segment.attach("p53")
    node.run(f"ip address add {OUTSIDE}/24 dev eth0")
    here, there = lab.hypervisors
    control.serve(here, "--resolver", AWAY, "--resolver", OUTSIDE)
    control.serve(there, "--resolver", AWAY)
    for workload in scenario.workloads:
        for cidr in workload.cidrs:
            lead_out(workload.vm, cidr)
    for workload in scenario.workloads:
        until("names are served", lambda w=workload: told(w, f"vm1.{w.tenant}.internal"), 30)
    with resolving(node, OUTSIDE, f"600 A {ADDRESS}"):
        asker = scenario.at("red", "hv1")
        until("the second resolver answers", lambda: told(asker, "first.example") == [ADDRESS], 30)
        yield Stage(scenario, node)
    for host in lab.hypervisors:
        control.unserve(host)


def asks(label: str) -> Test:
    """Questions that come in, for a name that begins so: the case of its letters is left to chance."""
    marker = label.encode()

    def test(frame: Frame) -> bool:
        return marker in frame.raw.lower()

    return incoming(test)


def controlled(wire: Capture, asker: Workload, server: str = NAMES[0]) -> None:
    """A question that nobody has asked before comes through."""

    def ask() -> None:
        told(asker, f"control-{next(_FRESH)}.example", server=server)

    wire.confirm(ask, asks("control-"))


def test_what_was_asked_outside_is_kept_for_its_tenant(stage: Stage) -> None:
    red, blue = stage.here("red"), stage.here("blue")
    with Capture(stage.node) as wire:
        assert told(red, "kept.example") == [ADDRESS]
        seen = wire.await_frame(asks("kept"))
        assert IP(seen.raw[14:]).src == "172.16.0.1", "the host asks, and no port"
    with Capture(stage.node) as wire:
        controlled(wire, red)
        for server in NAMES:
            for way in ("+notcp", "+tcp"):
                assert told(red, "KEPT.example", way, server=server) == [ADDRESS]
        assert told(red, "vm1.blue.internal") == []
        controlled(wire, red)
        assert wire.leaks(asks("kept")) == wire.leaks(asks("internal")) == ()
        assert told(blue, "kept.example") == [ADDRESS]
        wire.await_frame(asks("kept"))  # nobody sees by its haste what the other has asked


@pytest.mark.parametrize("way", ["+notcp", "+tcp"])
def test_who_hears_nothing_is_told_so_while_it_still_waits(stage: Stage, way: str) -> None:
    """And is answered meanwhile what we know ourselves."""
    asker, name = stage.there("red"), f"away-{way[1:]}.example"
    command = ["dig", f"@{NAMES[0]}", "+tries=1", "+time=5", way, name]  # as long as glibc waits
    assert "status: SERVFAIL" in asker.vm.attempt(command, 30).stdout
    assert told(asker, "vm1.red.internal") == [stage.here("red").ipv4]
    assert told(stage.here("red"), name) == [ADDRESS], "its neighbour's host has one that answers"


def test_a_resolver_outside_is_asked_by_us_alone(stage: Stage) -> None:
    """Whatever a port sends to its address itself, and to whichever MAC."""
    red, near = stage.here("red"), stage.there("red")
    question = dns.message.make_query("straight.example", "A").to_wire()

    def straight(to: str, address: str) -> bytes:
        head = Ether(src=red.mac, dst=to) / IP(src=red.ipv4, dst=address)
        return bytes(head / UDP(sport=40053, dport=_PORT) / Raw(question))

    arrived = incoming(contains(b"straight"))
    with Capture(stage.node) as wire, Capture(near.vm) as beside:
        controlled(wire, red)
        beside.confirm(lambda: inject(red.vm, "eth0", [straight(near.mac, near.ipv4)]), arrived)
        for to in (GATEWAY_MAC, format_mac(SERVICES_MAC), "ff:ff:ff:ff:ff:ff"):
            inject(red.vm, "eth0", [straight(to, OUTSIDE)] * 3)
        assert told(red, "straight.example", server=OUTSIDE) == []
        beside.confirm(lambda: inject(red.vm, "eth0", [straight(near.mac, near.ipv4)]), arrived)
        controlled(wire, red)
        assert wire.leaks(arrived) == ()


def test_a_resolver_of_a_tenants_own_hears_nobody_elses(stage: Stage) -> None:
    """A VM of red's that resolves; blue has another at that address, and may know the MAC of red's."""
    red, blue, own = stage.here("red"), stage.here("blue"), stage.there("red")
    assert own.addresses == stage.there("blue").addresses, "the scenario is about equal addresses"
    question = dns.message.make_query("theirs.example", "A").to_wire()
    frames = [
        bytes(
            Ether(src=blue.mac, dst=to) / IP(src=blue.ipv4, dst=own.ipv4) / UDP(dport=_PORT) / Raw(question)
        )
        for to in (own.mac, GATEWAY_MAC, "ff:ff:ff:ff:ff:ff")
    ]
    with resolving(own.vm, own.ipv4, f"60 A {OTHERS}") as resolver, Capture(own.vm) as wire:
        assert told(red, "own.example", server=own.ipv4) == [OTHERS]
        controlled(wire, red, own.ipv4)
        assert told(blue, "theirs.example", server=own.ipv4) == []
        inject(blue.vm, "eth0", frames * 3)
        controlled(wire, red, own.ipv4)
        assert wire.leaks(asks("theirs")) == ()
        assert not [m for _, m in resolver.asked if b"theirs" in m.question[0].name.labels]

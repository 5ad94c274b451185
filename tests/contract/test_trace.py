"""What `ringfence trace` says of a real switch: drawn packets agree, whatever passes they take.

Through meters, size checks, copies to limited ports and select groups, where a trace of the switch ends and
another one must begin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from immutables import Map

from bgp.table import Limits
from controller.agent import core, tracing
from controller.agent.core import Core
from controller.agent.inquiry import arrival, sending
from controller.agent.naming import names
from controller.agent.questioning import Questioning
from controller.agent.verdict import judge
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import BROADCAST, router_mac
from model.flow import Copy, Metered, Recirculate
from model.snapshot import Snapshot
from pipelines import lookup
from pipelines.compile import compile, install
from pipelines.lookup import Lookup
from pipelines.walk import Packet, Walk, walk
from tests.contract.ovs import PrivateOvs
from tests.contract.test_packets import EXAMPLES, MACS, received
from tests.fakes import outward, packets, world

A1, A2 = (int(ip_address(f"10.0.0.{n}")) for n in (1, 2))


@dataclass(frozen=True)
class Stage:
    """A real switch with the flows of a program, and the agent's eyes on it."""

    ovs: PrivateOvs
    state: Core
    found: Lookup
    asking: Questioning

    def walked(self, packet: Packet) -> Walk:
        return walk(self.found, packet)

    def verdict(self, done: Walk) -> dict[str, str]:
        said = judge(
            done, names(self.state.effective), lambda p, table: self.asking._real(self.state, p, table)
        )
        return dict(said)


@contextmanager
def staged(ovs: PrivateOvs, snapshot: Snapshot, ports: tuple[int, ...] = ()) -> Iterator[Stage]:
    """The switch with the flows of a snapshot; `ports`: OpenFlow ports beside those that it has."""
    ovs.ofctl("del-flows")
    ovs.ofctl("del-meters")
    for number in ports:
        new = ("add-port", "br-int", f"t{number}", "--", "set", "Interface", f"t{number}", "type=internal")
        ovs.vsctl(*new, f"ofport_request={number}")
    program = compile(snapshot)
    channel = Channel(ovs.management, Encoder())
    assert channel.send(install(program)).refused == ()
    channel.close()
    start = core.start(world.HERE, None, Limits())
    state = replace(start, effective=snapshot, program=program, session=True)
    asking = Questioning(lambda: None, world.HERE, lambda: state, print, ovs.rundir, "br-int")  # type: ignore[arg-type, return-value]
    yield Stage(ovs, state, lookup.build(program), asking)
    ovs.ofctl("del-flows")
    ovs.ofctl("del-meters")
    for number in ports:
        ovs.vsctl("del-port", f"t{number}")


@pytest.fixture(scope="module")
def stage(shared_ovs: PrivateOvs) -> Iterator[Stage]:
    with staged(shared_ovs, world.qualified()) as made:
        yield made


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(packet=received())
def test_a_switch_that_has_the_flows_agrees(stage: Stage, packet: Packet) -> None:
    assume(not packet.get("ip_frag"))  # nobody traces a fragment
    packet = {name: number for name, number in packet.items() if number}
    assume("in_port" in packet)
    done = stage.walked(packet)
    assert stage.verdict(done)["verdict"] == "agrees", (stage.verdict(done), done)


def sent_by_11(dst_mac: int, dst: int) -> Packet:
    return packets.echo(packets.ipv4(MACS[0], dst_mac, A1, dst)) | {"in_port": 1}


@pytest.mark.parametrize(
    ("to", "dst", "turns", "kinds"),
    [
        (MACS[1], A2, 2, (Metered, Recirculate)),
        (BROADCAST, int(ip_address("10.0.0.255")), 3, (Metered, Recirculate, Copy)),
    ],
)
def test_the_passes_are_there(stage: Stage, to: int, dst: int, turns: int, kinds: tuple[type, ...]) -> None:
    """The control: these packets do take the ways that the drawn ones shall take."""
    done = stage.walked(sent_by_11(to, dst))
    assert len(done.turns) >= turns
    met = {type(a) for step in done.steps if step.flow for a in step.flow.shape.actions}
    assert set(kinds) <= met
    assert stage.verdict(done)["verdict"] == "agrees"


@pytest.mark.parametrize("table", ["account", "limit"])
def test_a_difference_behind_a_pass_is_found(stage: Stage, table: str) -> None:
    done = stage.walked(sent_by_11(MACS[1], A2))
    step = next(s for s in done.steps if name_of(stage, s.table) == table)
    stage.ovs.ofctl("add-flow", f"cookie=0xa11e,table={step.table},priority=60000,actions=drop")
    try:
        said = stage.verdict(done)
        assert said["verdict"] == "differs" and f"in {table} another flow" in said["text"], said
    finally:
        stage.ovs.ofctl("del-flows", "cookie=0xa11e/-1")
    assert stage.verdict(done)["verdict"] == "agrees"


def name_of(stage: Stage, table: int) -> str:
    return names(stage.state.effective).table(table)


@pytest.fixture(scope="module")
def leaving(shared_ovs: PrivateOvs, stage: Stage) -> Iterator[Stage]:
    """After `stage`, whose tests come first."""
    with staged(shared_ovs, outward.leaving(), (11, 12, 51)) as made:
        yield made


@pytest.mark.parametrize(
    ("key", "to", "end"),
    [
        (11, "198.51.100.1", "to VTEP 192.0.2.9 (hv9) under VNI 5009 (external internet)"),
        (12, "198.51.100.1", "to VTEP 192.0.2.9 (hv9) under VNI 5009 (external internet)"),
        (12, "2001:db8:ffff::1", "to VTEP 192.0.2.9 (hv9) under VNI 5009 (external internet)"),
        (11, "203.0.113.51", "delivered to port t2/p51 on hv1"),
        (12, "2001:db8:f::11", "delivered to port t1/p11 on hv1"),
        (12, "10.0.1.13", "to VTEP 192.0.2.2 (hv2) under VNI 1001 (t1/n1)"),
    ],
)
def test_ways_out_are_walked_through_connection_tracking(leaving: Stage, key: int, to: str, end: str) -> None:
    asked = sending(json.dumps({"port": f"port-{key}", "to": to, "proto": "udp", "sport": 999, "dport": 53}))
    on = tracing.ground(leaving.state, leaving.found)
    legs = tracing.trace(asked, on, lambda p, table: leaving.asking._real(leaving.state, p, table))["legs"]
    assert [leg["switch"]["verdict"] for leg in legs] == ["agrees"] * 2, legs
    assert end in legs[1]["ends"][0]["text"]


@pytest.mark.parametrize(
    ("to", "what", "words"),
    [
        ("203.0.113.11", "delivered", "to port t1/p11"),
        ("2001:db8:f::51", "delivered", "to port t2/p51"),
        ("203.0.113.100", "dropped", "nobody of the tenant began this connection"),
    ],
)
def test_what_comes_from_outside_is_walked(leaving: Stage, to: str, what: str, words: str) -> None:
    address = ip_address(to)
    four = address.version == 4
    source = int(ip_address("198.51.100.1" if four else "2001:db8:ffff::1"))
    make = packets.ipv4 if four else packets.ipv6
    inner = packets.udp(make(router_mac(9), router_mac(1), source, int(address)), 999, 53)
    came = arrival(json.dumps({"vtep": "192.0.2.9", "vni": 5009, "packet": inner}))
    on = tracing.ground(leaving.state, leaving.found)
    (leg,) = tracing.arrive(came, on, lambda p, table: leaving.asking._real(leaving.state, p, table))["legs"]
    assert leg["switch"]["verdict"] == "agrees", leg
    assert leg["ends"][0]["what"] == what and words in leg["ends"][0]["text"]


@pytest.fixture(scope="module")
def narrow(shared_ovs: PrivateOvs, leaving: Stage) -> Iterator[Stage]:
    """After `leaving`, whose tests come before, and which has the other ports. Only default routes are left
    of the static ones: the others would need groups."""
    whole = world.narrowed()
    rest = {uid: route for uid, route in whole.static_routes.items() if not route.prefix.prefixlen}
    snapshot = replace(whole, static_routes=Map(rest), prefixes=Map())
    with staged(shared_ovs, snapshot, (13, 21, 41)) as made:
        yield made


@pytest.mark.parametrize(
    ("key", "to", "mtu", "words"),
    [
        (11, "10.0.1.12", 1450, "MTU 1450 of network t1/n1"),
        (13, "10.0.2.11", 1400, "MTU 1400 of network t1/n2, where it is routed to"),
        (13, "fd00:0:0:3::c", 1300, "MTU 1300 of network t1/n3, where it is routed to"),
        (13, "198.51.100.1", 1400, "MTU 1400 of network t1/n2, where it is routed to"),
    ],
)
def test_sizes_are_walked_through_the_check(narrow: Stage, key: int, to: str, mtu: int, words: str) -> None:
    on = tracing.ground(narrow.state, narrow.found)

    def traced(octets: int) -> dict[str, Any]:
        asked = sending(json.dumps({"port": f"port-{key}", "to": to, "size": octets + 14}))
        real = narrow.asking._real
        return tracing.trace(asked, on, lambda p, table: real(narrow.state, p, table))["legs"][1]

    large, fits = traced(mtu + 1), traced(mtu)
    assert words in large["ends"][0]["text"]
    assert fits["ends"][0]["what"] in ("delivered", "tunnelled", "dropped") and "too big" not in str(
        fits["ends"]
    )
    for leg in (large, fits):
        assert "oversize" in [step["table"] for step in leg["steps"]]
        assert leg["switch"]["verdict"] == "agrees", leg

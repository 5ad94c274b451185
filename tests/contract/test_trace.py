"""What `ringfence trace` says of a real switch: drawn packets agree, whatever passes they take.

Through meters, size checks, copies to limited ports and select groups, where a trace of the switch ends and
another one must begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, assume, given, settings

from bgp.table import Limits
from controller.agent import core
from controller.agent.core import Core
from controller.agent.naming import names
from controller.agent.questioning import Questioning
from controller.agent.verdict import judge
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import BROADCAST
from model.flow import Copy, Metered, Recirculate
from pipelines import lookup
from pipelines.compile import compile, install
from pipelines.lookup import Lookup
from pipelines.walk import Packet, Walk, walk
from tests.contract.ovs import PrivateOvs
from tests.contract.test_packets import EXAMPLES, MACS, received
from tests.fakes import packets, world

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


@pytest.fixture(scope="module")
def stage(shared_ovs: PrivateOvs) -> Iterator[Stage]:
    shared_ovs.ofctl("del-flows")
    shared_ovs.ofctl("del-meters")
    snapshot = world.qualified()
    program = compile(snapshot)
    channel = Channel(shared_ovs.management, Encoder())
    assert channel.send(install(program)).refused == ()
    channel.close()
    start = core.start(world.HERE, None, Limits())
    state = replace(start, effective=snapshot, program=program, session=True)
    asking = Questioning(lambda: None, world.HERE, lambda: state, shared_ovs.rundir, "br-int")  # type: ignore[arg-type, return-value]
    yield Stage(shared_ovs, state, lookup.build(program), asking)
    shared_ovs.ofctl("del-flows")
    shared_ovs.ofctl("del-meters")


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

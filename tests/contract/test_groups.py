"""The standing groups on a real switch: there before any flow, held as declared, back after a crash."""

from __future__ import annotations

import pytest

from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.tracing import parse, question
from pipelines.compile import compile, install
from pipelines.groups import GROUPS, NEXTHOP, SLOTS
from tests.contract.ovs import PrivateOvs, accepts, eventually
from tests.contract.test_channel import plain, put
from tests.contract.test_packets import agree
from tests.fakes import world
from tests.fakes.switch import Switch
from tests.unit.pipelines.test_prefixes import SHARED, inside, sent

OURS = tuple(group.number for group in GROUPS)


@pytest.fixture
def bare(ovs: PrivateOvs) -> PrivateOvs:
    """Nobody has made a group yet."""
    ovs.ofctl("del-groups")
    return ovs


def dumped(ovs: PrivateOvs) -> str:
    return ovs.ofctl("dump-groups")


def test_they_stand_before_any_flow(bare: PrivateOvs) -> None:
    refused = Channel(bare.management, Encoder())
    assert refused.send(install(compile(world.hopped()))).refused != ()
    refused.close()
    channel = Channel(bare.management, Encoder(), standing=GROUPS)
    assert channel.send(install(compile(world.hopped()))).refused == ()
    assert dumped(bare).count("type=select") == len(GROUPS)
    assert channel.ensure_groups() == ()  # what the switch reads back is what was declared
    channel.close()


@pytest.mark.parametrize(
    "tampering",
    [
        ("del-groups",),
        ("del-groups", f"group_id={NEXTHOP.number}"),
        ("mod-group", f"group_id={NEXTHOP.number},type=select,bucket=actions=drop"),
        ("mod-group", f"group_id={NEXTHOP.number},type=all,bucket=actions=drop"),
    ],
)
def test_what_somebody_does_to_them_is_mended(bare: PrivateOvs, tampering: tuple[str, ...]) -> None:
    channel = Channel(bare.management, Encoder(), standing=GROUPS)
    assert [(one.number, one.stood) for one in channel.ensure_groups()] == [(n, False) for n in OURS]
    good = dumped(bare)
    bare.ofctl("add-group", "group_id=7,type=all,bucket=actions=output:1")
    program = compile(world.hopped())
    assert channel.send(install(program)).refused == ()
    bare.ofctl(*tampering)
    righted = channel.ensure_groups()
    assert {one.number for one in righted} <= set(OURS) and channel.ensure_groups() == ()
    assert {one.stood for one in righted} == {tampering[0] != "del-groups"}
    assert set(good.splitlines()[1:]) <= set(dumped(bare).splitlines())
    assert ("group_id=7" in dumped(bare)) == (len(tampering) > 1)  # another's is left alone
    findings = channel.audit(program.flows())  # a group that goes takes its flows along
    assert bool(findings.missing) == (tampering[0] == "del-groups")
    assert channel.send(put(*findings.missing)).refused == ()
    assert not channel.audit(program.flows())
    channel.close()
    bare.ofctl("del-groups", "group_id=7")


def test_they_are_back_with_the_switch(own_ovs: PrivateOvs) -> None:
    own_ovs.lay_bridge()
    channel = Channel(own_ovs.management, Encoder(), standing=GROUPS)
    channel.send(put(plain(1)))
    own_ovs.kill("vswitchd")
    own_ovs.start_vswitchd()
    eventually(lambda: accepts(own_ovs.management), "no management socket")
    assert channel.send(install(compile(world.hopped()))).refused == ()
    assert channel.ensure_groups() == ()
    channel.close()


@pytest.mark.parametrize("family", [4, 6])
def test_each_hash_has_its_slot(bare: PrivateOvs, family: int) -> None:
    """The fake takes the last bits of the hash; so does Open vSwitch."""
    program = compile(world.hopped())
    channel = Channel(bare.management, Encoder(), standing=GROUPS)
    assert channel.send(install(program)).refused == ()
    fake, ports = Switch.of(program.flows()), set[int]()
    for hash_ in (*range(1, SLOTS + 1), 0xDEADBEEF):
        packet = sent(13, inside(SHARED, family), family, hash_)
        verdict = fake.receive(packet)
        agree(parse(unixctl.trace(bare.rundir, "br-int", question(packet)), 13), verdict)
        ports.update(verdict.ports)
    assert ports == {11, 21, world.TUNNEL}
    channel.close()

"""Egress classes in a real Open vSwitch: what each destination is, and 10,000 prefixes that change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.agent import commands, core, state
from controller.agent.standstill import Stillness, still
from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.tracing import parse, question
from model.change import Part, Patch
from model.ids import ClassId
from model.intent import EgressClass
from model.snapshot import Snapshot
from pipelines.compile import Program, compile, install
from tests.contract.ovs import PrivateOvs
from tests.contract.test_packets import agree
from tests.fakes import classes, world
from tests.fakes.switch import Switch
from tests.unit.agent.test_core import running


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return classes.open_to_all()


@pytest.fixture(scope="module")
def program(snapshot: Snapshot) -> Program:
    return compile(snapshot)


@pytest.fixture(scope="module")
def programmed(shared_ovs: PrivateOvs, snapshot: Snapshot, program: Program) -> Iterator[PrivateOvs]:
    """The flows, and the ports that they name."""
    shared_ovs.ofctl("del-flows")
    numbers = sorted({interface.ofport for interface in snapshot.interfaces.values()} - {1, 2, 3, 4})
    for number in numbers:
        new = ("add-port", "br-int", f"c{number}", "--", "set", "Interface", f"c{number}", "type=internal")
        shared_ovs.vsctl(*new, f"ofport_request={number}")
    channel = Channel(shared_ovs.management, Encoder())
    assert channel.send(install(program)).refused == ()
    findings = channel.audit(program.flows())
    assert not findings and findings.right == len(tuple(program.flows()))
    channel.close()
    yield shared_ovs
    shared_ovs.ofctl("del-flows")
    for number in numbers:
        shared_ovs.vsctl("del-port", "br-int", f"c{number}")


@pytest.mark.parametrize(("to", "cls"), classes.DESTINATIONS)
def test_a_real_switch_counts_as_the_fake_one_does(
    programmed: PrivateOvs, snapshot: Snapshot, program: Program, to: str, cls: int
) -> None:
    packet = classes.packet(snapshot, to)
    verdict = Switch.of(program.flows()).receive(packet)
    assert classes.billed(verdict) == cls
    traced = parse(unixctl.trace(programmed.rundir, "br-int", question(packet)), packet["in_port"])
    agree(traced, verdict)


def exchanged(snapshot: Snapshot) -> tuple[Snapshot, Patch]:
    """Two classes exchange all their prefixes: the world then, and what the agent sends."""
    one, other, third = (snapshot.classes[ClassId(n)] for n in (2, 3, 4))
    swapped = (replace(one, prefixes=other.prefixes), replace(other, prefixes=one.prefixes))

    def told(now: core.Core, *values: EgressClass) -> core.Result:
        return core.on_store(now, tuple((Part.CLASS, v.id, v) for v in values), (), state.Whole.NO)

    found = told(told(running(1), one, other, third).core, *swapped).commands
    (only,) = [c for c in found if isinstance(c, commands.Shift)]
    return world.added(snapshot, *swapped), only.patch


def test_ten_thousand_prefixes_change_in_one_bundle_within_a_standstill(ovs: PrivateOvs) -> None:
    before = classes.crowd(1, classes.MANY)
    after, patch = exchanged(before)
    wanted = tuple(compile(after).flows())
    channel = Channel(ovs.management, Encoder())
    assert channel.send(install(compile(before))).refused == ()
    assert len(channel.audit(wanted).wrong) > 6_000, "the control"
    found = still(ovs.rundir, lambda: bool(channel.send(patch)))
    there = channel.audit(wanted)
    channel.close()
    assert not there and there.right == len(wanted) > 10_000
    assert found is Stillness.PROVEN, "one bundle, before Open vSwitch looks at its flows again"

"""Egress classes in a real Open vSwitch: what each destination is, and 10,000 prefixes that change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

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
from tests.contract.ovs import PrivateOvs, eventually
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


def exchanged(snapshot: Snapshot) -> tuple[Snapshot, Patch, Patch]:
    """Two classes exchange all their prefixes: the world then, what the agent sends, and what it sends when
    they take them back."""
    one, other, third = (snapshot.classes[ClassId(n)] for n in (2, 3, 4))
    swapped = (replace(one, prefixes=other.prefixes), replace(other, prefixes=one.prefixes))

    def told(now: core.Core, *values: EgressClass) -> core.Result:
        return core.on_store(now, tuple((Part.CLASS, v.id, v) for v in values), (), state.Whole.NO)

    def sent(result: core.Result) -> Patch:
        (only,) = [c for c in result.commands if isinstance(c, commands.Shift)]
        return only.patch

    forth = told(told(running(1), one, other, third).core, *swapped)
    return world.added(snapshot, *swapped), sent(forth), sent(told(forth.core, one, other))


def test_ten_thousand_prefixes_change_in_one_bundle_within_a_standstill(ovs: PrivateOvs) -> None:
    before = classes.crowd(1, classes.MANY)
    after, forth, back = exchanged(before)
    turns = cycle(((forth, tuple(compile(after).flows())), (back, tuple(compile(before).flows()))))
    channel = Channel(ovs.management, Encoder())
    assert channel.send(install(compile(before))).refused == ()

    def proven() -> bool:
        """One bundle, before Open vSwitch looks at its flows again; not if the machine is elsewhere."""
        patch, wanted = next(turns)
        assert len(channel.audit(wanted).wrong) > 6_000, "the control"
        found = still(ovs.rundir, lambda: bool(channel.send(patch)))
        there = channel.audit(wanted)
        assert not there and there.right == len(wanted) > 10_000
        return found is Stillness.PROVEN

    # so that nobody asks how fast this machine is; a look that a change asks for comes at once all the same
    ovs.vsctl("set", "Open_vSwitch", ".", "other_config:max-revalidator=4000")
    try:
        eventually(proven, "ten thousand prefixes never change within a standstill")
    finally:
        ovs.vsctl("remove", "Open_vSwitch", ".", "other_config", "max-revalidator")
        channel.close()

"""The fence's flows on a real switch: they go by themselves, and nothing but arming brings them back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.gate import Gate
from pipelines.shapes.fence import PASSES
from pipelines.tables import FENCE
from tests.contract.ovs import WAIT, PrivateOvs, eventually

TIMEOUT = 2
"""Seconds; Open vSwitch looks for what is over once a second."""


@pytest.fixture
def gate(ovs: PrivateOvs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """With patience: a busy machine is not what is asked about here."""
    monkeypatch.setattr("controller.southbound.openflow.gate.PATIENCE", WAIT)
    gate = Gate(ovs.management, Encoder())
    yield gate
    gate.close()


def test_armed_it_is_closed_and_a_renewal_opens_it(gate: Gate) -> None:
    gate.arm(60)
    assert not gate.opened()
    assert gate.renew() and gate.opened()
    gate.arm(60)
    assert not gate.opened(), "arming closes"
    assert gate.renew()
    gate.shut()
    assert not gate.opened() and not gate.renew()


def kept(gate: Gate) -> bool:
    """Whether it stays open for longer than its timeout, since each renewal begins that anew. It proves
    nothing if the machine was at something else for so long that a renewal came too late."""
    began = before = time.monotonic()
    gate.arm(TIMEOUT)
    while before < began + 2 * TIMEOUT:
        asked = time.monotonic()
        if not gate.renew():
            assert time.monotonic() - before > TIMEOUT / 2, "renewed in time it went"
            return False
        before = asked
    return True


def test_what_nobody_renews_goes_and_a_late_renewal_opens_nothing(gate: Gate, channel: Channel) -> None:
    eventually(lambda: kept(gate), "renewed all the time it goes nevertheless")
    assert len(channel.dump(FENCE.number).counters().cookie) == len(PASSES)
    eventually(lambda: not gate.opened(), "gone")
    assert not gate.renew() and not gate.opened()
    assert not len(channel.dump(FENCE.number).counters().cookie)

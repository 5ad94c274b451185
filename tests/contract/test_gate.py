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
from tests.contract.ovs import PrivateOvs, eventually


@pytest.fixture
def gate(ovs: PrivateOvs) -> Iterator[Gate]:
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


def test_what_nobody_renews_goes_and_a_late_renewal_opens_nothing(gate: Gate, channel: Channel) -> None:
    gate.arm(2)
    end = time.monotonic() + 4.0  # longer than its timeout: each renewal begins it anew
    eventually(lambda: not gate.renew() or time.monotonic() > end, "four seconds")
    assert gate.renew()
    assert len(channel.dump(FENCE.number).counters().cookie) == len(PASSES)
    eventually(lambda: not gate.opened(), "gone")
    assert not gate.renew() and not gate.opened()
    assert not len(channel.dump(FENCE.number).counters().cookie)

"""Meters: made, changed in their place, read back, and taken away after their flows; aliens stay."""

from __future__ import annotations

import pytest

from controller.southbound.openflow import meters
from controller.southbound.openflow.channel import Channel
from model.change import Patch
from model.flow import Field as FlowField
from model.flow import Flow, Match, Meter, Metered, Recirculate, Shape, Slot
from model.ids import COOKIE_MARK, METERS
from pipelines import limits
from pipelines.limits import Kind
from tests.contract.ovs import PrivateOvs

ID = Slot("meter", 32)
KEY = FlowField("reg1", 32)
METERED = Shape("metered", 9, 5, (Match(KEY, ID),), (Metered(ID), Recirculate()), 10, (ID,))
ALIEN = METERS[-1] + 1


@pytest.fixture
def bare(ovs: PrivateOvs, channel: Channel) -> Channel:
    """Without meters."""
    ovs.ofctl("del-meters")
    return channel


def flow(number: int) -> Flow:
    return Flow(METERED, COOKIE_MARK << 48, (number,))


def test_meters_come_before_their_flows_and_go_after_them(bare: Channel) -> None:
    some = (Meter(2, 1000, 1100), Meter(3, 4_000_000_000, 4_000_000), Meter(METERS[-1], 1, 1))
    made = bare.send(Patch((((flow(2), flow(3)), ()),), some))
    assert (made.flows, made.refused) == (2, ())
    assert bare.meters() == {meter.id: meter for meter in some}
    gone = bare.send(Patch((((), (flow(2),)),), (), (2,)))
    assert gone.flows == 1
    assert sorted(bare.meters()) == [3, METERS[-1]]
    assert len(bare.dump(9)) == 1


def test_a_meter_is_changed_in_its_place(bare: Channel) -> None:
    bare.send(Patch((((flow(2),), ()),), (Meter(2, 1000, 1100),)))
    before = bare.dump(9).entry(0)
    bare.send(Patch((), (Meter(2, 500, 1100),)))
    assert bare.meters() == {2: Meter(2, 500, 1100)}
    after = bare.dump(9).entry(0)
    assert after.cookie == before.cookie and after.seconds >= before.seconds


def test_a_flow_without_its_meter_is_refused(bare: Channel) -> None:
    outcome = bare.send(Patch((((flow(9),), ()),)))
    assert outcome.flows == 0 and len(outcome.refused) == 1


def test_a_meter_of_somebody_else_is_not_seen_and_stays(bare: Channel, ovs: PrivateOvs) -> None:
    ovs.ofctl("add-meter", f"meter={ALIEN},pktps,band=type=drop,rate=5")
    ovs.ofctl("add-meter", "meter=4,pktps,band=type=drop,rate=5")
    assert bare.meters() == {4: None}
    assert meters.compare({}, bare.meters()) == meters.Gauge((), (4,))
    assert meters.compare({4: Meter(4, 7, 7)}, bare.meters()) == meters.Gauge((Meter(4, 7, 7),), ())
    bare.send(Patch((), (Meter(4, 7, 7),), ()))
    assert bare.meters() == {4: Meter(4, 7, 7)}
    bare.send(Patch((), (), (4,)))
    assert f"meter={ALIEN}" in ovs.ofctl("dump-meters")


def test_drops_are_told_by_meter(bare: Channel) -> None:
    bare.send(Patch((), (Meter(5, 10, 10), Meter(2, 10, 10))))
    assert bare.meter_drops() == (meters.Dropped(2, 0, 0), meters.Dropped(5, 0, 0))


def test_the_switch_has_room_for_the_meters_of_the_ports_that_it_may_have(bare: Channel) -> None:
    """And takes them, whatever their ids: of a port in each block of ids, and of the last there can be."""
    assert bare.meter_room() >= limits.meter_id(Kind.SERVED, limits.PORTS - 1)
    ports = (1, 3_393, 4_100, limits.PORTS - 1, 3 * limits.PORTS - 1, 65_279)
    some = tuple(make(port) for port in ports for make in (limits.meter_asked, limits.meter_served))
    bare.send(Patch((), some))
    assert bare.meters() == {meter.id: meter for meter in some}

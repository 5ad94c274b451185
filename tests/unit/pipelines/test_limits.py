"""Ids of meters: each its own, as small as the switch's room wants, and those of limits where they were."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from model.change import Change, Part
from model.ids import METERS, PortKey
from pipelines.compile import compile, recompile
from pipelines.limits import PORTS, Kind, meter_asked, meter_id, meter_in, meter_out, meter_served
from tests.fakes import world

LAST = 65_279
"""The last OpenFlow port of Open vSwitch (0xfeff)."""
MADE = {Kind.ASKED: meter_asked, Kind.SERVED: meter_served}


def test_no_two_ports_share_a_meter_and_all_of_them_are_ours() -> None:
    ids = [meter_id(kind, ofport) for ofport in range(1, LAST + 1) for kind in Kind]
    assert len(set(ids)) == len(ids) and min(ids) in METERS and max(ids) in METERS


def test_so_many_ports_have_room_on_either_data_path() -> None:
    assert max(meter_id(kind, ofport) for ofport in range(1, PORTS) for kind in Kind) < 65_536
    assert max(meter_id(kind, ofport) for ofport in range(1, 3 * PORTS) for kind in Kind) < 200_000


@given(st.integers(1, LAST))
def test_each_meter_of_a_port_has_its_id(ofport: int) -> None:
    out, into = meter_out(ofport, 1_000), meter_in(ofport, 1_000)
    assert out is not None and into is not None
    assert (out.id, into.id) == (meter_id(Kind.OUT, ofport), meter_id(Kind.IN, ofport))
    for kind, make in MADE.items():
        assert make(ofport).id == meter_id(kind, ofport)


@given(st.integers(1, PORTS - 1))
def test_those_of_limits_are_where_releases_before_had_them(ofport: int) -> None:
    assert [meter_id(kind, ofport) for kind in (Kind.OUT, Kind.IN)] == [2 * ofport, 2 * ofport + 1]


def test_a_meter_stays_while_another_port_has_the_number() -> None:
    """Open vSwitch gives the number of a port that went to the next one: the agent may hear of that first."""
    alone = world.two_tenants()
    uid = alone.ports[PortKey(12)].uid
    both = world.with_part(alone, Part.INTERFACE, uid, replace(alone.interfaces[uid], ofport=1))
    gone = world.with_part(both, Part.BINDING, PortKey(11), None)
    program, changes = compile(alone), ([Change(Part.INTERFACE, uid)], [Change(Part.BINDING, PortKey(11))])
    meters = {meter.id: meter for meter in program.meters()}
    for old, new, named in zip((alone, both), (both, gone), changes, strict=True):
        program, patch = recompile(program, old, new, named)
        assert program == compile(new)
        meters.update((meter.id, meter) for meter in patch.meters)
        for number in patch.stale_meters:
            del meters[number]
        assert tuple(meters[number] for number in sorted(meters)) == program.meters()
    assert meter_id(Kind.ASKED, 1) in meters and meter_id(Kind.ASKED, 2) not in meters

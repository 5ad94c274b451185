"""Gangs on their way into and out of partitions: nothing is said of one that its ports did not show."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.fabric.course import Stand, judge, plan
from ipam.fabric.opensm import Alarm, Verdict
from ipam.fabric.partitions import joins, ports
from ipam.fabric.tables import compare
from model.fabric import FULL_MEMBER, Guid, PKey, RailIndex
from model.gang import Berth, Gang, GangRequest, GangState, Interface, Membership, Progress
from model.ids import HostName
from tests.fakes.estate import GUIDS, infiniband

FABRIC = infiniband(2)
SM = Guid(0x0002C90300000001)
KEYS = (0x10, 0x11)
QUIET = frozenset({Alarm.FILE, Alarm.PORTS, Alarm.LEFT})


def guid(place: int) -> Guid:
    return Guid(GUIDS.start + 2 * place + 1)


@st.composite
def gangs(draw: st.DrawFn) -> list[Gang]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        tenant = draw(st.integers(0, 1))
        places = draw(st.sets(st.integers(0, 5), min_size=1, max_size=3))
        each = tuple(
            Interface(p, "mlx0", p, RailIndex(0), (), node_guid=Guid(guid(p) - 1), port_guid=guid(p))
            for p in sorted(places)
        )
        state, begun = draw(st.sampled_from(GangState)), draw(st.sampled_from(GangState))
        request = GangRequest(f"t{tenant}", f"g{number}", "ib", membership=draw(st.sampled_from(Membership)))
        berths = (Berth("n1", HostName("h1"), (), each),)
        made.append(Gang(request, number + 1, Progress(state, begun), berths, PKey(KEYS[tenant])))
    return made


ENTRY = st.sampled_from([0, 0x7FFF, 0xFFFF, 0x10, 0x8010, 0x11, 0x8011])
TABLE = st.one_of(st.none(), st.lists(ENTRY, max_size=3).map(tuple))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Gang], dict[Guid, tuple[int, ...] | None], tuple[Alarm, ...]]:
    """Ports are as wanted, but for some."""
    held = draw(gangs())
    course = plan(held, FABRIC, [])
    own = {g: p.pkey | FULL_MEMBER for p in course.wanted.tenants for g in p.full}
    own |= {g: int(p.pkey) for p in course.wanted.tenants for g in p.limited}
    tables: dict[Guid, tuple[int, ...] | None] = {
        guid(p): (own[guid(p)], 0x7FFF) if guid(p) in own else (0x7FFF,) for p in range(6)
    }
    for place, table in draw(st.dictionaries(st.integers(0, 5), TABLE, max_size=3)).items():
        tables[guid(place)] = table
    return held, tables, tuple(draw(st.sets(st.sampled_from(Alarm), max_size=2)))


@settings(max_examples=150)
@given(rounds())
def test_nothing_is_said_that_ports_do_not_show(
    given_: tuple[list[Gang], dict[Guid, tuple[int, ...] | None], tuple[Alarm, ...]],
) -> None:
    held, tables, alarms = given_
    course = plan(held, FABRIC, [])
    verdict = Verdict(alarms, (), compare(course.wanted, tables, SM), tables, ())
    for account in judge(course, verdict):
        gang, seen = account.gang, [tables[port] for port in ports(account.gang)]
        level = FULL_MEMBER if gang.request.membership is Membership.FULL else 0
        if account.stand is Stand.JOINED:
            assert joins(gang)
            assert all(table is not None and table[0] == gang.pkey | level for table in seen)
            assert all({e for e in table or () if e} == {gang.pkey | level, 0x7FFF} for table in seen)
            mates = {p for g in held if g.pkey == gang.pkey for p in ports(g)}
            strangers = {p for g in held for p in ports(g)} - mates
            assert not any(
                e in (0xFFFF, 0x8000 | gang.pkey, gang.pkey) for p in strangers for e in tables[p] or ()
            )
            assert not set(alarms) - QUIET
        elif account.stand is Stand.GONE:
            assert not joins(gang)
            assert all(table is not None for table in seen)
            assert not any(entry & 0x7FFF == gang.pkey for table in seen for entry in table or ())
            assert not set(alarms) - QUIET
        elif account.stand in (Stand.JOINING, Stand.LEAVING):
            assert account.by or set(alarms) - QUIET
        else:
            assert not joins(gang)
            others = {port for each in held if each is not gang for port in ports(each)}
            assert set(ports(gang)) & set(course.ask) <= others


@given(gangs())
def test_who_has_nothing_to_do_with_it_is_not_spoken_of(held: list[Gang]) -> None:
    """And no gang that may be in a partition is forgotten."""
    told = {gang.generation for gang in plan(held, FABRIC, []).gangs}
    begun = {GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE}
    for gang in held:
        out = gang.progress.state in (GangState.RELEASED, GangState.PLANNED) and not joins(gang)
        may_be_in = joins(gang) or (
            gang.progress.state in (GangState.RELEASING, GangState.FAILED) and gang.progress.begun in begun
        )
        assert not (out and gang.generation in told)
        assert not may_be_in or gang.generation in told

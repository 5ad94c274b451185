"""What workloads announce, whatever the bytes: nothing raises, and nothing is believed that may not be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from bgp.table import Limits
from controller.agent import announcements, core, heralds
from controller.agent.announcements import Announced
from model.change import Change, Part
from model.ids import Mac, PortKey
from model.intent import Pair
from model.whereabouts import stands
from pipelines import cookies
from tests.fakes import world

VIP4, VIP6 = ip_address("10.0.0.100"), ip_address("fd00:10::100")
MACS = (Mac(0x020000000001), Mac(0x020000000002), Mac(world.VIRTUAL_MAC))
PAIRS = (Pair(ip_network(VIP4)), Pair(ip_network(VIP6)), Pair(ip_network("10.0.0.101/32"), MACS[2]))
SNAPSHOT = world.allowing(world.allowing(world.two_tenants(), 11, PAIRS), 12, PAIRS)
START = replace(core.start(SNAPSHOT.host, SNAPSHOT, Limits()), session=True)
GOOD = tuple(heralds.announcement(mac, address) for mac in MACS for address in (VIP4, VIP6))
COOKIES = st.sampled_from(
    [cookies.announced(PortKey(key)) for key in (11, 12, 13, 21, 99)] + [cookies.port(PortKey(11)), 0]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An announcement, cut, extended, with bytes written over."""
    good = draw(st.sampled_from(GOOD))
    raw = bytearray(
        good[: draw(st.integers(0, len(good)) | st.just(len(good)))] + draw(st.binary(max_size=8))
    )
    for at, value in draw(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=6)):
        if at < len(raw):
            raw[at] = value
    return bytes(raw)


def test_what_is_whole_is_read() -> None:
    """The control: damage begins at frames that are believed."""
    read = [announcements.read(cookies.announced(PortKey(11)), frame) for frame in GOOD]
    assert read == [Announced(PortKey(11), mac, address) for mac in MACS for address in (VIP4, VIP6)]
    heard = core.on_announced(START, Announced(PortKey(11), MACS[0], VIP4), 9.0)
    assert len(heard.core.effective.sightings) == 1


@given(st.lists(st.tuples(COOKIES, damaged() | st.binary(max_size=200)), max_size=12))
def test_nothing_that_a_workload_writes_raises_or_is_believed_unduly(said: list[tuple[int, bytes]]) -> None:
    state, now = START, 0.0
    for cookie, frame in said:
        now += 2.0
        heard = announcements.read(cookie, frame)
        if heard is None:
            continue
        state = core.on_announced(state, heard, now).core
        for seen in state.effective.sightings.values():
            assert stands(state.effective, seen)
    assert len(state.effective.sightings) <= len(PAIRS)  # never more than pairs allow, however much is said
    assert len(state.moved) <= len(PAIRS)


@given(st.integers(0, 2**64 - 1), st.binary(max_size=1600))
def test_any_cookie_with_any_bytes(cookie: int, frame: bytes) -> None:
    heard = announcements.read(cookie, frame)
    assert heard is None or heard.port == cookies.parse(cookie).port  # type: ignore[union-attr]


def test_a_herald_speaks_of_allowed_addresses_alone() -> None:
    """Agents say to neighbours only what the pairs of a port here allow it to say."""
    stranger = Announced(PortKey(11), MACS[0], ip_address("10.0.0.1"))
    said = core.on_announced(START, stranger, 9.0)
    assert said.commands == () and said.core.effective.sightings == Map()
    spot = (SNAPSHOT.ports[PortKey(11)].network, VIP4)
    assert heralds.herald(SNAPSHOT, SNAPSHOT, [Change(Part.SIGHTING, spot)]) == ()

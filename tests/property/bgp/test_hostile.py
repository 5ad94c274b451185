"""A hostile peer's bytes: a value or Malformed, within bounds; what can be read of them is withdrawn, and
nothing of them is believed that was not said whole (RFC 7606).
"""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from bgp.codec import attributes, nlri, update
from bgp.codec.malformed import Malformed
from bgp.interest import Interest
from bgp.speaker.ribs import Incoming
from model.route import Attributes, MacRoute, Route
from tests.property.bgp.strategies import ADDRESSES, HARD, MACS, NLRI, ROUTE, VNIS, attribute_sets

CODE = st.sampled_from((*attributes.FLAGS, attributes.MP_REACH, attributes.MP_UNREACH, 0, 128, 255))
LENGTH = st.sampled_from((0, 1, 2, 3, 5, 7, 9, 12, 254, 255))


@st.composite
def damaged(draw, raw):
    """Bytes with a few things done to them that a length field, a label or an address may suffer."""
    data = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(("set", "zero", "ones", "cut", "insert", "repeat", "length"))):
            case "set" if data:
                data[at] = draw(st.integers(0, 255))
            case "zero":
                data[at : at + 6] = bytes(len(data[at : at + 6]))
            case "ones":
                data[at : at + 6] = b"\xff" * len(data[at : at + 6])
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "length" if data:
                data[at] = draw(LENGTH)
    return bytes(data)


@st.composite
def bodies(draw, routes=ROUTE):
    """Bodies of UPDATEs whose lengths agree, with attributes that are right, wrong, repeated or unknown."""
    route = draw(routes)
    parts = update.split(update.encode(route))
    reach = update.join(update.Parts(parts.reach, parts.next_hop))[4:]
    pieces = [one.raw for one in attributes.split(parts.rest)] + [reach]
    for _ in range(draw(st.integers(0, 3))):
        pieces = [one for one in pieces if one]
        match draw(st.sampled_from(("twice", "less", "other", "flags", "damage", "gone"))):
            case "twice" if pieces:
                pieces.append(draw(st.sampled_from(pieces)))
            case "less" if pieces:
                pieces.remove(draw(st.sampled_from(pieces)))
            case "other":
                flags = draw(st.sampled_from((0x00, 0x40, 0x80, 0xC0, 0xE0)))
                pieces.append(attributes.field(flags, draw(CODE), draw(st.binary(max_size=300))))
            case "flags" if pieces:
                at = draw(st.integers(0, len(pieces) - 1))
                pieces[at] = (
                    bytes([pieces[at][0] ^ draw(st.sampled_from((0x80, 0x40, 0x20)))]) + pieces[at][1:]
                )
            case "damage" if pieces:
                at = draw(st.integers(0, len(pieces) - 1))
                pieces[at] = draw(damaged(pieces[at]))
            case "gone":
                some = b"".join(nlri.encode(one) for one in draw(st.lists(NLRI, max_size=2)))
                pieces.append(attributes.optional(attributes.MP_UNREACH, update.FAMILY + some))
            case _:
                pass
    if draw(st.booleans()):
        pieces.reverse()
    fields = b"".join(pieces)[:4000]
    return route, bytes(2) + len(fields).to_bytes(2, "big") + fields


@HARD
@given(NLRI.flatmap(lambda one: damaged(nlri.encode(one))))
def test_a_damaged_nlri_is_malformed_or_reads_back_as_it_stood(raw):
    try:
        value = nlri.decode(raw)
    except Malformed as fault:
        assert fault.rule
        return
    assert nlri.encode(value) == raw
    assert nlri.key(raw)
    assert len(nlri.label(raw)) in (0, 3)
    nlri.check(raw)


@HARD
@given(attribute_sets().flatmap(lambda one: damaged(attributes.encode(one)).map(lambda raw: (one, raw))))
def test_damaged_attributes_are_malformed_or_have_one_normal_form(drawn):
    values, raw = drawn
    try:
        read = attributes.read(raw, values.next_hop)
    except Malformed as fault:
        assert fault.rule
        return
    assert attributes.read(attributes.encode(read), values.next_hop) == read


@HARD
@given(bodies())
def test_an_update_is_read_whole_or_its_routes_are_withdrawn(drawn):
    _, body = drawn
    try:
        parts = update.split(body)
    except Malformed:
        return
    read = update.read(parts)
    announced = dict(read.announced)
    readable = {nlri.key(raw) for raw in (*parts.reach, *parts.unreach) if _is_whole(raw)}
    assert {*announced, *read.withdrawn} == readable
    if parts.fault:
        assert not announced
        assert read.faults
    for key, one in announced.items():
        assert nlri.key(nlri.encode(one.nlri)) == key
        update.decode(update.encode(one))


TARGETS = tuple(bytes((0, 2, 0, 0, 0, 0, 0, number)) for number in range(3))
FEW = st.builds(
    Route,
    st.builds(MacRoute, st.just(bytes(8)), st.sampled_from(MACS[:2]), st.none(), st.sampled_from(VNIS)),
    st.builds(
        Attributes,
        st.just(ADDRESSES[0]),
        st.sets(st.sampled_from(TARGETS)).map(sorted).map(tuple),
        st.none() | st.integers(0, 2),
    ),
)
"""Few keys, so that they replace and withdraw each other."""


@given(st.lists(bodies(FEW), max_size=6), st.booleans())
def test_the_relay_tells_the_agent_what_it_keeps(drawn, choosy):
    """Whatever comes: the agent's view, by what it is told, is that of an agent that reads everything itself,
    cut down to what concerns it."""
    interest = Interest(frozenset(TARGETS[:1])) if choosy else None
    rib, mine, all_of_it = Incoming(1000), {}, {}
    for _, body in drawn:
        try:
            parts = update.split(body)
        except Malformed:
            continue
        told = rib.take(parts, interest)
        _hear(all_of_it, update.read(parts))
        if told is not None:
            _hear(mine, update.decode(told))
    assert mine == {
        key: route
        for key, route in all_of_it.items()
        if interest is None or TARGETS[0] in route.attributes.route_targets
    }
    again = {}
    for body in rib.replay(None, interest):
        _hear(again, update.decode(body))
    assert again == mine


def _hear(view, read):
    for key in read.withdrawn:
        view.pop(key, None)
    view.update(read.announced)


def _is_whole(raw):
    try:
        nlri.check(raw)
    except Malformed:
        return False
    return True


def test_attributes_that_are_forgotten_are_nobody_s():
    """One route of three says something new 3,000 times: what the others said is still theirs."""
    rib, last = Incoming(2000), {}
    raws = [bytes((9, 40)) + number.to_bytes(40, "big") for number in range(3)]
    most = 0
    for number in range(3000):
        raw = raws[min(number, 1) if number % 1000 else number // 1000]
        rest = attributes.field(0xC0, attributes.EXTENDED_COMMUNITIES, number.to_bytes(8, "big"))
        rib.take(update.Parts((raw,), number.to_bytes(4, "big"), (), rest), None)
        last[raw] = (number.to_bytes(4, "big"), rest)
        most = max(most, len(rib.hung))
    assert len(last) == 3 and 1024 < most <= 2 * 3 + 1024 and len(rib.hung) < 1024
    said = {}
    for body in rib.replay(None, None):
        parts = update.split(body)
        said |= dict.fromkeys(parts.fresh, (parts.next_hop, parts.rest))
    assert said == last


def test_memory_is_bounded_whatever_a_peer_repeats():
    """The longest message over and over, each a little different: there is room for two thousand."""
    rib, interest = Incoming(2000), Interest(frozenset((bytes(8),)))
    tracemalloc.start()
    try:
        for number in range(6000):
            raw = bytes((9, 40)) + number.to_bytes(40, "big")
            rest = attributes.field(0xC0, attributes.EXTENDED_COMMUNITIES, number.to_bytes(8, "big") * 100)
            rib.take(update.Parts((raw,), bytes(4), (), rest), interest)
            if number == 3000:
                then = tracemalloc.get_traced_memory()[0]
        grown = tracemalloc.get_traced_memory()[0] - then
    finally:
        tracemalloc.stop()
    assert len(rib.routes) == 2000
    assert rib.over == 4000
    assert len(rib.hung) == len(rib.numbers) <= 2 * 2000 + 1024
    assert len(rib.verdicts) <= 2 * 2000 + 1025
    assert grown < 4 << 20

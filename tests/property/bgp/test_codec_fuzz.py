"""Whatever the bytes: a value, or Malformed; and what is encoded is read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bgp.codec import attributes, communities, nlri, update
from bgp.codec.malformed import Malformed
from tests.property.bgp.strategies import ADDRESS, HARD, NLRI, ROUTE, attribute_sets


@given(NLRI)
def test_nlri_round_trip(value):
    raw = nlri.encode(value)
    assert nlri.decode(raw) == value
    assert nlri.split(raw + raw) == (raw, raw)


@given(attribute_sets())
def test_attributes_round_trip(values):
    assert attributes.decode(attributes.split(attributes.encode(values)), values.next_hop) == values


@given(ROUTE)
def test_update_round_trip(route):
    body = update.encode(route)
    read = update.decode(body)
    assert read.faults == ()
    assert [value for _, value in read.announced] == [route]
    assert update.join(update.split(body)) == body


@given(st.lists(NLRI, max_size=5), st.lists(NLRI, max_size=5), ADDRESS, attribute_sets())
def test_parts_round_trip(reach, unreach, hop, values):
    raws = [tuple(nlri.encode(one) for one in some) for some in (reach, unreach)]
    parts = update.Parts(raws[0], hop.packed if reach else b"", raws[1], attributes.encode(values))
    assert update.split(update.join(parts)) == parts


@HARD
@given(st.binary(max_size=120))
def test_any_bytes_give_a_value_or_malformed(data):
    for decode in (nlri.decode, nlri.split, attributes.split, communities.decode, update.decode):
        try:
            decode(data)
        except Malformed as fault:
            assert fault.rule


@HARD
@given(ROUTE, st.data())
def test_damaged_updates_give_a_value_or_malformed(route, data):
    body = bytearray(update.encode(route))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        how = data.draw(st.sampled_from(("set", "cut", "insert")))
        if how == "set":
            body[at] = data.draw(st.integers(0, 255))
        elif how == "insert":
            body[at:at] = data.draw(st.binary(max_size=8))
        elif len(body) > 1:
            del body[at:]
            break
    try:
        read = update.decode(bytes(body))
    except Malformed:
        return
    for key, one in read.announced:
        assert nlri.key(nlri.encode(one.nlri)) == key

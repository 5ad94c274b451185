"""Templates and encoder: filled copies equal os-ken's bytes, singly and in bulk, or the shape is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow.encoder import BULK, Encoder
from controller.southbound.openflow.reference import Command, serialise
from controller.southbound.openflow.templates import BUNDLE_ADD_SIZE, learn
from model.errors import Invalid
from model.flow import Ct, Field, Flow, Match, Move, Output, SetField, Shape, Slot

ETH = Match(Field("eth_type", 16), 0x0800)
IP = Slot("ip", 32)
MASK = Slot("mask", 32)
MAC = Slot("mac", 48)
IP6 = Slot("ip6", 128)
PRIORITY = Slot("priority", 16)
LABEL = Field("ct_label", 32, 0)
BIT = Slot("bit", 9)

MIXED = Shape(
    "mixed",
    9,
    PRIORITY,
    (ETH, Match(Field("ip_dst", 32), IP, MASK), Match(Field("reg0", 32), BIT)),
    (SetField(Field("tun_ipv6_dst", 128), IP6), SetField(Field("eth_src", 48), MAC), Output(BIT)),
    10,
    (PRIORITY, IP, MASK, BIT, IP6, MAC),
)


EPOCH = Slot("epoch", 32)
PARTED = Shape(
    "parted",
    9,
    PRIORITY,
    (ETH, Match(Field("ct_label", 32, 32), IP, MASK), Match(Field("reg0", 32), BIT)),
    (
        SetField(Field("reg9", 16, 8), PRIORITY),
        Ct(7, 4, None, (SetField(Field("ct_label", 32, 64), EPOCH), Move(Field("reg1", 32), LABEL))),
    ),
    None,
    (PRIORITY, IP, MASK, BIT, EPOCH),
)


def masks() -> st.SearchStrategy[int]:
    prefixes = st.integers(0, 32).map(lambda n: ((1 << n) - 1) << (32 - n))
    return st.one_of(prefixes, st.integers(0, (1 << 32) - 1))


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    shape = draw(st.sampled_from((MIXED, PARTED)))
    numbers = [
        draw(masks()) if slot is MASK else draw(st.integers(0, (1 << slot.bits) - 1)) for slot in shape.slots
    ]
    return Flow(shape, draw(st.integers(0, (1 << 64) - 1)), tuple(numbers))


@given(flow=flows(), command=st.sampled_from(Command))
def test_a_filled_template_is_what_os_ken_says(flow: Flow, command: Command) -> None:
    wrapped = Encoder().encode(flow, command, 7, 0)
    assert wrapped[BUNDLE_ADD_SIZE:] == serialise(flow, command)


@given(made=st.lists(flows(), min_size=1, max_size=8), times=st.sampled_from((1, BULK)))
def test_bulk_is_the_same_as_one_by_one(made: list[Flow], times: int) -> None:
    many, encoder = made * times, Encoder()
    batch = encoder.batch(many, Command.ADD, 3, 100)
    assert sorted(batch.order) == list(range(len(many)))
    single = [encoder.encode(many[index], Command.ADD, 3, 100 + k) for k, index in enumerate(batch.order)]
    assert b"".join(batch.chunks) == b"".join(single)
    assert encoder.rows(many) == [encoder.row(flow) for flow in many]


@pytest.mark.parametrize("amount", [1, BULK * 2])
@pytest.mark.parametrize("wrong", [-1, 1 << 9, 1 << 70])
def test_a_number_that_does_not_fit_is_refused(amount: int, wrong: int) -> None:
    draw = random.Random(1)
    good = [Flow(MIXED, 0, (1, 2, 0xFFFFFF00, draw.randrange(512), 4, 5)) for _ in range(amount)]
    bad = Flow(MIXED, 0, (1, 2, 0xFFFFFF00, wrong, 4, 5))
    with pytest.raises(Invalid, match="does not fit into the 9 bits"):
        Encoder().batch([*good, bad], Command.ADD, 0, 0)
    assert len(Encoder().batch(good, Command.ADD, 0, 0).order) == amount


@pytest.mark.parametrize("amount", [1, BULK * 2])
def test_too_few_values_are_refused(amount: int) -> None:
    with pytest.raises(Invalid, match="2 values for 6 slots"):
        Encoder().batch([Flow(MIXED, 0, (1, 2))] * amount, Command.ADD, 0, 0)


def test_a_slot_in_two_widths_is_refused() -> None:
    """Its octets differ from place to place: the copy would not be os-ken's."""
    shape = Shape("two-widths", 1, 1, (ETH, Match(Field("ip_dst", 32), IP, 0xFF0000FF)), (), 2, (IP,))
    with pytest.raises(Invalid, match="not contiguous"):
        learn(shape, ())


def test_a_slot_masked_in_one_place_alone_is_refused() -> None:
    """What goes on the wire is one number per slot; here it would have to be two."""
    match = (ETH, Match(Field("ip_dst", 32), IP, 0xFFFFFF00))
    shape = Shape("masked-and-whole", 1, 1, match, (SetField(Field("tun_dst", 32), IP),), 2, (IP,))
    with pytest.raises(Invalid, match="differs from os-ken"):
        learn(shape, ())


def test_undeclared_and_double_slots_are_refused() -> None:
    with pytest.raises(Invalid, match="slots ip are used but not declared"):
        learn(Shape("stray", 1, 1, (ETH, Match(Field("ip_dst", 32), IP)), (), 2), ())
    with pytest.raises(Invalid, match="declared twice"):
        learn(Shape("double", 1, 1, (ETH, Match(Field("ip_dst", 32), IP)), (), 2, (IP, IP)), ())


def test_a_field_that_is_matched_in_two_parts_is_refused() -> None:
    parts = (Match(Field("ct_label", 32, 64), EPOCH), Match(LABEL, 7))
    with pytest.raises(Invalid, match="a field is matched twice"):
        learn(Shape("twice", 1, 1, parts, (), 2, (EPOCH,)), ())


def test_what_os_ken_cannot_serialise_is_refused() -> None:
    with pytest.raises(Invalid, match="does not fit into the 2 octets of eth_type"):
        learn(Shape("too-wide", 1, 1, (Match(Field("eth_type", 16), 1 << 20),)), ())
    with pytest.raises(Invalid, match="vlan_tci can only be matched as 0"):
        learn(Shape("tagged", 1, 1, (Match(Field("vlan_tci", 16), 5),)), ())


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(Invalid, match="no wire form"):
        learn(Shape("unknown", 1, 1, (Match(Field("colour", 8), 1),)), ())
    with pytest.raises(Invalid, match="rewrites this field"):
        learn(Shape("wide", 1, 1, (Match(Field("xxreg0", 128), 1),)), ())


def test_delete_takes_only_flows_that_are_ours() -> None:
    flow = Flow(MIXED, 5, (1, 2, 0, 3, 4, 5))
    message = serialise(flow, Command.DELETE_STRICT)
    assert message[8:24].hex() == "52f1000000000000" + "ffff000000000000"

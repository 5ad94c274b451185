"""What was sent to a switch is what is read out of its listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow.decode import Done, Matched, done, matched
from controller.southbound.openflow.dump import Observed, parse
from controller.southbound.openflow.encoder import Encoder
from model.flow import (
    Back,
    Ct,
    DecTtl,
    Field,
    Flow,
    Group,
    Match,
    Metered,
    Move,
    Output,
    OutputField,
    Recirculate,
    SetField,
    Shape,
    Slot,
    Special,
)
from model.ids import COOKIE_MARK
from pipelines.shapes import SHAPES

SIMPLE = (SetField, Move, Output, OutputField, DecTtl, Special, Ct, Back, Group, Metered, Recirculate)
KNOWN = tuple(shape for shape in SHAPES if all(isinstance(action, SIMPLE) for action in shape.actions))


def filled(shape: Shape) -> Flow:
    """Each slot has a number of its own; masks are those of prefixes."""
    masks = {m.mask for m in shape.match if isinstance(m.mask, Slot)}
    numbers = [
        ((1 << slot.bits) - 1) ^ ((1 << slot.bits // 2) - 1) if slot in masks else 3 + place
        for place, slot in enumerate(shape.slots)
    ]
    values = [
        number << slot.bits // 2 if any(m.value == slot and m.mask in masks for m in shape.match) else number
        for slot, number in zip(shape.slots, numbers, strict=True)
    ]
    return Flow(shape, 0x52F1 << 48, tuple(values))


def listed(flow: Flow) -> Observed:
    return parse([Encoder().row(flow)]).entry(0)


@pytest.mark.parametrize("shape", KNOWN, ids=lambda shape: shape.name)
def test_every_shape_is_read_back(shape: Shape) -> None:
    flow = filled(shape)
    seen = listed(flow)
    expected = {
        Matched(m.field.name, flow.fill(m.value) << m.field.shift, _mask(flow, m)) for m in shape.match
    }
    assert set(matched(seen)) == expected
    assert list(done(seen)) == [
        *(d for action in shape.actions for d in _expected(flow, action)),
        *_goto(shape),
    ]


def _mask(flow: Flow, term: Match) -> int | None:
    """A part of a field is the whole one, masked."""
    if term.field.low is None:
        return None if term.mask is None else flow.fill(term.mask)
    whole = (1 << term.field.bits) - 1
    return (whole if term.mask is None else flow.fill(term.mask)) << term.field.low


def _named(field: Field, bits: int) -> str:
    whole = field.low is None and field.bits == bits
    return field.name if whole else f"{field.name}[{field.shift}..{field.shift + bits - 1}]"


def _goto(shape: Shape) -> list[Done]:
    return [] if shape.goto is None else [Done("goto", number=shape.goto)]


def _expected(flow: Flow, action: object) -> tuple[Done, ...]:
    match action:
        case SetField():
            name = _named(action.field, action.field.bits)
            return (Done("set_field", name, flow.fill(action.value)),)
        case Move():
            bits = action.target.bits
            return (Done("move", _named(action.target, bits), source=_named(action.source, bits)),)
        case Output():
            return (Done("output", number=flow.fill(action.port)),)
        case OutputField():
            return (Done("output_field", action.field.name),)
        case DecTtl():
            return (Done("dec_ttl"),)
        case Ct():
            return (Done("ct", number=action.table, source=str(flow.fill(action.zone))),)
        case Back():
            return (Done("resubmit", number=action.table),)
        case Group():
            return (Done("group", number=action.number),)
        case Metered():
            return (Done("meter", number=flow.fill(action.meter)),)
        case Recirculate():
            return (Done("push_mpls"), Done("pop_mpls"))
        case Special.IN_PORT:
            return (Done("IN_PORT", number=0xFFFFFFF8),)
        case Special.CONTROLLER_APART | Special.CONTROLLER_ASKED:
            return (Done("CONTROLLER", number=0xFFFFFFFD),)
    return (Done("CONTROLLER", number=0xFFFFFFFD),)


def test_parts_of_a_field_are_named_by_their_bits() -> None:
    epoch, noted = Field("ct_label", 32, 32), Field("ct_label", 32, 64)
    reg = Field("reg9", 32)
    actions = (SetField(epoch, 5), Move(noted, reg), Move(reg, noted))
    seen = listed(Flow(Shape("parts", 3, 9, (Match(epoch, 7),), actions), COOKIE_MARK << 48))
    assert matched(seen) == (Matched("ct_label", 7 << 32, 0xFFFFFFFF << 32),)
    assert done(seen) == (
        Done("set_field", "ct_label[32..63]", 5),
        Done("move", "reg9", source="ct_label[64..95]"),
        Done("move", "ct_label[64..95]", source="reg9"),
    )


def test_there_is_something_to_read() -> None:
    assert len(KNOWN) > 80


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_a_switch_lists_ends_in_words_or_a_value_error(match: bytes, instructions: bytes) -> None:
    seen = Observed(
        0, 0, 0, 0.0, 0, 0, b"\x00\x01" + len(match + b"1234").to_bytes(2, "big") + match, instructions
    )
    for read in (matched, done):
        try:
            assert isinstance(read(seen), tuple)
        except ValueError:
            continue

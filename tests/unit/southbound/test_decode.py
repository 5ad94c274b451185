"""What was sent to a switch is what is read out of its listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow.decode import Done, Matched, done, matched
from controller.southbound.openflow.dump import Observed, parse
from controller.southbound.openflow.encoder import Encoder
from model.flow import (
    Ct,
    DecTtl,
    Flow,
    Group,
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
from pipelines.shapes import SHAPES

SIMPLE = (SetField, Move, Output, OutputField, DecTtl, Special, Ct, Group, Metered, Recirculate)
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
        Matched(m.field.name, flow.fill(m.value), None if m.mask is None else flow.fill(m.mask))
        for m in shape.match
    }
    assert set(matched(seen)) == expected
    assert list(done(seen)) == [
        *(d for action in shape.actions for d in _expected(flow, action)),
        *_goto(shape),
    ]


def _goto(shape: Shape) -> list[Done]:
    return [] if shape.goto is None else [Done("goto", number=shape.goto)]


def _expected(flow: Flow, action: object) -> tuple[Done, ...]:
    match action:
        case SetField():
            return (Done("set_field", action.field.name, flow.fill(action.value)),)
        case Move():
            return (Done("move", action.target.name, source=action.source.name),)
        case Output():
            return (Done("output", number=flow.fill(action.port)),)
        case OutputField():
            return (Done("output_field", action.field.name),)
        case DecTtl():
            return (Done("dec_ttl"),)
        case Ct():
            return (Done("ct", number=action.table, source=str(flow.fill(action.zone))),)
        case Group():
            return (Done("group", number=action.number),)
        case Metered():
            return (Done("meter", number=flow.fill(action.meter)),)
        case Recirculate():
            return (Done("push_mpls"), Done("pop_mpls"))
        case Special.IN_PORT:
            return (Done("IN_PORT", number=0xFFFFFFF8),)
        case Special.CONTROLLER_APART:
            return (Done("CONTROLLER", number=0xFFFFFFFD),)
    return (Done("CONTROLLER", number=0xFFFFFFFD),)


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

"""Templates: the bytes of a flow shape with holes, learned once from os-ken, then filled without it.

Place: `encoder` keeps one Template per shape and form. Learning serialises the shape twice per slot and looks
which bytes differ; the result is proved against os-ken with drawn values, and a shape that does not prove is
refused. Must not do I/O.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from controller.southbound.openflow.reference import Command, MaskForm, mask_form, serialise
from model.errors import Fault, Invalid, RingfenceError
from model.flow import Ct, Flow, Match, SetField, Shape, Slot

COOKIE: Final = -1
XID: Final = -2
BUNDLE: Final = -3

BUNDLE_ADD: Final = struct.Struct("!BBHIIHH")
BUNDLE_ADD_TYPE: Final = 34
BUNDLE_ADD_SIZE: Final = BUNDLE_ADD.size
"""Octets of ofp_bundle_add_msg before the message that it wraps (OpenFlow 1.4.1 section 7.3.9.6)."""
FLOW_MOD_MATCH: Final = 48
"""Offset of the match in a flow_mod (section 7.3.4.2)."""
_COOKIE_AT: Final = 8
_XID_AT: Final = 4
ATOMIC_ORDERED: Final = 3
_STATS_HEAD: Final = struct.Struct("!HBxIIHHHHH2xQQQ")
_STATS_COOKIE_AT: Final = 24
_STATS_PRIORITY_AT: Final = 12
_PRIORITY_AT: Final = 30
_PROOFS: Final = 4
_PATTERN: Final = 0x55555555555555555555555555555555

Column = Callable[[int, int], npt.NDArray[np.uint8]]
"""From source and octets to a (flows, octets) matrix of big-endian bytes."""


@dataclass(frozen=True, slots=True)
class Hole:
    """`octets` bytes at `offset` that take a number: slot index, or COOKIE, XID or BUNDLE."""

    source: int
    offset: int
    octets: int


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes with holes."""

    blank: bytes
    holes: tuple[Hole, ...]

    def fill(self, number: Callable[[int], int]) -> bytes:
        """One copy; `number` gives the value of each source."""
        copy = bytearray(self.blank)
        for hole in self.holes:
            copy[hole.offset : hole.offset + hole.octets] = number(hole.source).to_bytes(hole.octets, "big")
        return bytes(copy)

    def fill_rows(self, rows: int, column: Column) -> npt.NDArray[np.uint8]:
        """`rows` copies as a (rows, length) matrix."""
        matrix = np.empty((rows, len(self.blank)), np.uint8)
        matrix[:] = np.frombuffer(self.blank, np.uint8)
        for hole in self.holes:
            matrix[:, hole.offset : hole.offset + hole.octets] = column(hole.source, hole.octets)
        return matrix


@dataclass(frozen=True, slots=True)
class Template:
    """All byte forms of one shape whose masks have the same forms.

    `put`: bundle-wrapped ADD; `drop`: bundle-wrapped DELETE_STRICT; `modify`: bundle-wrapped MODIFY_STRICT;
    `row`: the ofp_flow_stats entry in which OVS dumps it, with duration and counters zero.
    `masked`: (value slot, mask: slot or number) pairs whose value OVS wants and dumps with the mask applied.
    """

    shape: Shape
    put: Block
    drop: Block
    modify: Block
    row: Block
    masked: tuple[tuple[int, Slot | int], ...]

    def block(self, command: Command) -> Block:
        """The wrapped flow_mod of a command."""
        match command:
            case Command.ADD:
                return self.put
            case Command.DELETE_STRICT:
                return self.drop
            case Command.MODIFY_STRICT:
                return self.modify

    def numbers(self, values: Sequence[int]) -> list[int]:
        """The values as they go onto the wire."""
        wire = list(values)
        for index, mask in self.masked:
            wire[index] &= mask if isinstance(mask, int) else values[self.shape.slots.index(mask)]
        return wire


def mask_slots(shape: Shape) -> tuple[tuple[int, int], ...]:
    """(slot index, field bits) of each mask that flows fill: their values decide the form of the bytes."""
    return tuple((shape.slots.index(m.mask), m.field.bits) for m in shape.match if isinstance(m.mask, Slot))


def forms(masks: Sequence[tuple[int, int]], values: Sequence[int]) -> tuple[MaskForm, ...]:
    """The forms of these masks with these values."""
    return tuple(mask_form(values[index], bits) for index, bits in masks)


def learn(shape: Shape, wanted: tuple[MaskForm, ...]) -> Template:
    """Serialise, find the slots, prove. `wanted` has one form per `mask_slots(shape)`."""
    _check_slots(shape)
    fixed = _fixed_masks(shape, wanted)
    masked = tuple(pair for m in shape.match if (pair := _masked_pair(shape, m)) is not None)
    add = _learn_block(shape, Command.ADD, fixed)
    drop = _learn_block(shape, Command.DELETE_STRICT, fixed)
    modify = _learn_block(shape, Command.MODIFY_STRICT, fixed)
    template = Template(shape, _wrap(add), _wrap(drop), _wrap(modify), _row(shape, add), masked)
    _prove(template, fixed)
    return template


def _refuse(shape: Shape, message: str) -> Invalid:
    return Invalid(
        Fault(
            f"flow shape {shape.name}",
            "shape-not-encodable",
            message,
            "change the shape in pipelines, or the field's wire form in controller.southbound.openflow",
        )
    )


def _check_slots(shape: Shape) -> None:
    used = [m.value for m in shape.match] + [m.mask for m in shape.match] + [shape.priority]
    tracked = [a for a in shape.actions if isinstance(a, Ct)]
    used += [a.zone for a in tracked] + [a.commit.address for a in tracked if a.commit is not None]
    used += [each.value for a in tracked for each in a.remember if isinstance(each, SetField)]
    holders = ("value", "port", "meter", "octets", "number")
    used += [getattr(action, name, None) for action in shape.actions for name in holders]
    stray = [s.name for s in used if isinstance(s, Slot) and s not in shape.slots]
    if stray:
        raise _refuse(shape, f"slots {', '.join(stray)} are used but not declared in its slots")
    if len(set(shape.slots)) != len(shape.slots):
        raise _refuse(shape, "a slot is declared twice")


def _masked_pair(shape: Shape, match: Match) -> tuple[int, Slot | int] | None:
    if match.mask is None or not isinstance(match.value, Slot):
        return None
    return shape.slots.index(match.value), match.mask


def _fixed_masks(shape: Shape, wanted: tuple[MaskForm, ...]) -> dict[int, tuple[int, int]]:
    """Per mask slot two values of the wanted form that differ in every octet where they may."""
    fixed = {}
    for (index, bits), form in zip(mask_slots(shape), wanted, strict=True):
        full = (1 << bits) - 1
        match form:
            case MaskForm.EXACT:
                fixed[index] = (full, full)
            case MaskForm.ABSENT:
                fixed[index] = (0, 0)
            case MaskForm.MASKED:
                fixed[index] = (_PATTERN & full, ~_PATTERN & full)
    return fixed


def _learn_block(shape: Shape, command: Command, fixed: dict[int, tuple[int, int]]) -> Block:
    base = [fixed.get(i, (0, 0))[0] for i in range(len(shape.slots))]
    blank = _serialise(Flow(shape, 0, tuple(base)), command)
    holes = [Hole(XID, _XID_AT, 4)]
    if command is not Command.DELETE_STRICT:
        holes.append(Hole(COOKIE, _COOKIE_AT, 8))
    for index, slot in enumerate(shape.slots):
        flipped = list(base)
        flipped[index] = fixed[index][1] if index in fixed else (1 << slot.bits) - 1
        if flipped == base:
            continue
        other = _serialise(Flow(shape, 0, tuple(flipped)), command)
        if len(other) != len(blank):
            raise _refuse(shape, f"slot {slot.name} changes the length of the flow")
        holes.extend(_holes(shape, index, slot, blank, other))
    return Block(blank, tuple(holes))


def _serialise(flow: Flow, command: Command) -> bytes:
    try:
        return serialise(flow, command)
    except RingfenceError:
        raise
    except Exception as error:
        raise _refuse(flow.shape, f"os-ken cannot serialise it: {error!r}") from error


def _holes(shape: Shape, index: int, slot: Slot, blank: bytes, other: bytes) -> list[Hole]:
    octets = (slot.bits + 7) // 8
    differing = [i for i, (a, b) in enumerate(zip(blank, other, strict=True)) if a != b]
    holes = []
    while differing:
        start = differing[0]
        run = [i for i in differing if i < start + octets]
        # a prefix as a constant mask hides low octets, nothing else may be missing
        if run != list(range(start, start + len(run))):
            raise _refuse(shape, f"the octets of slot {slot.name} are not contiguous")
        holes.append(Hole(index, start, octets))
        differing = differing[len(run) :]
    return holes


def _wrap(block: Block) -> Block:
    """The same message inside an ofp_bundle_add_msg, whose xid must equal the inner one's."""
    size = BUNDLE_ADD_SIZE + len(block.blank)
    head = BUNDLE_ADD.pack(5, BUNDLE_ADD_TYPE, size, 0, 0, 0, ATOMIC_ORDERED)
    holes = tuple(Hole(h.source, h.offset + BUNDLE_ADD_SIZE, h.octets) for h in block.holes)
    return Block(head + block.blank, (Hole(XID, 4, 4), Hole(BUNDLE, 8, 4), *holes))


def _row(shape: Shape, add: Block) -> Block:
    """The ofp_flow_stats entry (section 7.3.5.2) of the flow that `add` puts."""
    tail = add.blank[FLOW_MOD_MATCH:]
    priority = int.from_bytes(add.blank[_PRIORITY_AT : _PRIORITY_AT + 2], "big")
    size = _STATS_HEAD.size + len(tail)
    head = _STATS_HEAD.pack(size, shape.table, 0, 0, priority, 0, 0, 0, 0, 0, 0, 0)
    holes = [Hole(COOKIE, _STATS_COOKIE_AT, 8)]
    for hole in add.holes:
        if hole.offset >= FLOW_MOD_MATCH:
            holes.append(Hole(hole.source, hole.offset - FLOW_MOD_MATCH + _STATS_HEAD.size, hole.octets))
        elif hole.offset in (_PRIORITY_AT, _PRIORITY_AT + 1):
            holes.append(Hole(hole.source, hole.offset - _PRIORITY_AT + _STATS_PRIORITY_AT, hole.octets))
    return Block(head + tail, tuple(holes))


def _prove(template: Template, fixed: dict[int, tuple[int, int]]) -> None:
    shape = template.shape
    draw = random.Random(shape.name)
    for proof in range(_PROOFS):
        drawn = [(1 << s.bits) - 1 if proof == 0 else draw.getrandbits(s.bits) for s in shape.slots]
        for index, values in fixed.items():
            drawn[index] = values[proof % 2]
        flow = Flow(shape, draw.getrandbits(64), tuple(drawn))
        numbers = dict(enumerate(template.numbers(drawn))) | {COOKIE: flow.cookie, XID: 0, BUNDLE: 0}
        for command in Command:
            made = template.block(command).fill(numbers.__getitem__)
            if made[BUNDLE_ADD_SIZE:] != _serialise(flow, command):
                raise _refuse(shape, f"its template differs from os-ken's {command.name} of the same values")

"""Flows to bytes and back-expectation: what to send, and what Open vSwitch will then dump.

Place: used by `channel` (messages) and `audit` (rows). Holds the learned templates; one per agent is enough.
Must not do I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from controller.southbound.openflow.reference import Command, MaskForm
from controller.southbound.openflow.templates import (
    BUNDLE,
    COOKIE,
    XID,
    Block,
    Template,
    forms,
    learn,
    mask_slots,
)
from controller.southbound.openflow.text import describe
from model.errors import Fault, Invalid
from model.flow import Flow, Shape

BULK: Final = 64
"""From this many flows of a shape on, filling them with numpy is the faster way."""
_SOME: Final = 4096
"""Rows that are made at once: their numbers take more room than their bytes."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Bytes of many messages; message number k (xid = first xid + k) is flow `order[k]` of the input."""

    chunks: tuple[bytes, ...]
    order: tuple[int, ...]


@dataclass(slots=True)
class _Known:
    """What was learned of one shape: its mask slots, and a template per combination of mask forms."""

    masks: tuple[tuple[int, int], ...]
    templates: dict[tuple[MaskForm, ...], Template] = field(default_factory=dict)


class Encoder:
    """Learns each shape when it first appears. Not for concurrent use: one per thread, or hold a lock."""

    def __init__(self) -> None:
        self._known: dict[Shape, _Known] = {}

    def encode(self, flow: Flow, command: Command, bundle: int, xid: int) -> bytes:
        """One bundle-wrapped flow_mod."""
        template = self._template(flow)
        return _fill(template, template.block(command), flow, bundle, xid)

    def row(self, flow: Flow) -> bytes:
        """The ofp_flow_stats entry in which OVS dumps it, duration and counters zero."""
        template = self._template(flow)
        return _fill(template, template.row, flow, 0, 0)

    def batch(self, flows: Sequence[Flow], command: Command, bundle: int, xid: int) -> Batch:
        """All flows as bundle-wrapped flow_mods with consecutive xids, shape by shape."""
        chunks: list[bytes] = []
        order: list[int] = []
        for template, indices in self._sorted(flows):
            block, first = template.block(command), xid + len(order)
            order.extend(indices)
            members = [flows[i] for i in indices]
            if len(members) < BULK:
                chunks.extend(_fill(template, block, f, bundle, first + k) for k, f in enumerate(members))
            else:
                chunks.append(_Columns(template, members, bundle, first).rows(block).tobytes())
        return Batch(tuple(chunks), tuple(order))

    def rows(self, flows: Sequence[Flow]) -> list[bytes]:
        """`row` of each flow, in the order given."""
        rows: list[bytes] = [b""] * len(flows)
        for indices, matrix in self.matrices(flows):
            flat, size = matrix.tobytes(), matrix.shape[1]
            for k, index in enumerate(indices):
                rows[index] = flat[k * size : (k + 1) * size]
        return rows

    def matrices(self, flows: Sequence[Flow]) -> Iterator[tuple[list[int], npt.NDArray[np.uint8]]]:
        """`row` of each flow, some of one form at a time: (which flows, a row of bytes for each)."""
        for template, found in self._sorted(flows):
            for start in range(0, len(found), _SOME):
                indices = found[start : start + _SOME]
                members = [flows[i] for i in indices]
                if len(members) < BULK:
                    made = b"".join([_fill(template, template.row, f, 0, 0) for f in members])
                    yield indices, np.frombuffer(made, np.uint8).reshape(len(members), -1)
                else:
                    yield indices, _Columns(template, members, 0, 0).rows(template.row)

    def _sorted(self, flows: Sequence[Flow]) -> list[tuple[Template, list[int]]]:
        """Indices by template, in order of first appearance."""
        by_shape: dict[int, list[int]] = {}
        for index, flow in enumerate(flows):
            # the flows hold their shapes, so no id is reused meanwhile; equal shapes merely make two runs
            by_shape.setdefault(id(flow.shape), []).append(index)
        found: list[tuple[Template, list[int]]] = []
        for indices in by_shape.values():
            shape = flows[indices[0]].shape
            known = self._learned(shape)
            if not known.masks:
                found.append((self._of_form(shape, known, ()), indices))
                continue
            by_form: dict[tuple[MaskForm, ...], list[int]] = {}
            for index in indices:
                by_form.setdefault(_forms(known, flows[index]), []).append(index)
            found.extend((self._of_form(shape, known, form), members) for form, members in by_form.items())
        return found

    def _template(self, flow: Flow) -> Template:
        known = self._learned(flow.shape)
        return self._of_form(flow.shape, known, _forms(known, flow))

    def _learned(self, shape: Shape) -> _Known:
        known = self._known.get(shape)
        if known is None:
            known = self._known[shape] = _Known(mask_slots(shape))
        return known

    def _of_form(self, shape: Shape, known: _Known, form: tuple[MaskForm, ...]) -> Template:
        template = known.templates.get(form)
        if template is None:
            template = known.templates[form] = learn(shape, form)
        return template


def _refuse(flow: Flow, message: str) -> Invalid:
    return Invalid(
        Fault(
            f"flow {describe(flow)}",
            "flow-values-out-of-range",
            message,
            "correct the feature in pipelines that emits this shape",
        )
    )


def _forms(known: _Known, flow: Flow) -> tuple[MaskForm, ...]:
    if len(flow.values) != len(flow.shape.slots):
        raise _miscounted(flow)
    return forms(known.masks, flow.values)


def _miscounted(flow: Flow) -> Invalid:
    return _refuse(flow, f"{len(flow.values)} values for {len(flow.shape.slots)} slots")


def _fill(template: Template, block: Block, flow: Flow, bundle: int, xid: int) -> bytes:
    slots = template.shape.slots
    if len(flow.values) != len(slots):
        raise _miscounted(flow)
    for slot, value in zip(slots, flow.values, strict=True):
        if value < 0 or value >> slot.bits:
            raise _refuse(flow, f"{value} does not fit into the {slot.bits} bits of {slot.name}")
    # a list indexed by source: slots from the front, BUNDLE, XID and COOKIE (-3, -2, -1) from the back
    numbers = [*template.numbers(flow.values), bundle, xid, flow.cookie]
    return block.fill(numbers.__getitem__)


class _Columns:
    """The values of many flows of one template, as big-endian bytes per source."""

    def __init__(self, template: Template, flows: Sequence[Flow], bundle: int, xid: int) -> None:
        self._template = template
        self._flows = flows
        self._bundle = bundle
        self._xid = xid
        values = [f.values for f in flows]
        width = len(template.shape.slots)
        if any(len(v) != width for v in values):
            raise _miscounted(next(f for f in flows if len(f.values) != width))
        if template.masked:
            values = [tuple(template.numbers(v)) for v in values]
        self._numbers: list[tuple[int, ...]] = list(zip(*values, strict=True))

    def rows(self, block: Block) -> npt.NDArray[np.uint8]:
        """One row of bytes per flow."""
        made: dict[tuple[int, int], npt.NDArray[np.uint8]] = {}

        def column(source: int, octets: int) -> npt.NDArray[np.uint8]:
            if (source, octets) not in made:
                made[source, octets] = self._bytes(source, octets)
            return made[source, octets]

        return block.fill_rows(len(self._flows), column)

    def _bytes(self, source: int, octets: int) -> npt.NDArray[np.uint8]:
        count = len(self._flows)
        if source == BUNDLE:
            return _big_endian(np.full(count, self._bundle, np.uint64), octets)
        if source == XID:
            return _big_endian(np.arange(self._xid, self._xid + count, dtype=np.uint64), octets)
        if source == COOKIE:
            return _big_endian(np.array([f.cookie for f in self._flows], np.uint64), octets)
        return self._slot(source, octets)

    def _slot(self, source: int, octets: int) -> npt.NDArray[np.uint8]:
        slot, numbers = self._template.shape.slots[source], self._numbers[source]
        low, high = min(numbers), max(numbers)
        if low < 0 or high >> slot.bits:
            wrong = self._flows[numbers.index(low if low < 0 else high)]
            raise _refuse(wrong, f"a value does not fit into the {slot.bits} bits of {slot.name}")
        if octets > 8:
            flat = b"".join([n.to_bytes(octets, "big") for n in numbers])
            return np.frombuffer(flat, np.uint8).reshape(len(numbers), octets)
        return _big_endian(np.array(numbers, np.uint64), octets)


def _big_endian(numbers: npt.NDArray[np.uint64], octets: int) -> npt.NDArray[np.uint8]:
    return numbers.astype(">u8").view(np.uint8).reshape(len(numbers), 8)[:, 8 - octets :]

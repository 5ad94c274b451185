"""OpenFlow flows as values: a *shape* (table, match, actions with slots) and the numbers that fill it.

Place: emitted by `pipelines`, encoded by `controller.southbound.openflow` from one template per shape,
executed by the fake switch in tests. Must not know the wire format.

Values are unsigned integers as wide as their field; IPv4/IPv6/MAC addresses are their integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """A matchable or writable OVS field, named as in ovs-fields(7), `bits` wide; or, with `low`, so many bits
    of it from there on (0 = the lowest), matched, written and moved alone. A flow matches no field twice, in
    parts neither."""

    name: str
    bits: int
    low: int | None = None

    @property
    def shift(self) -> int:
        """How far left its value stands within the whole field."""
        return self.low or 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A hole in a shape that each flow fills with its own number."""

    name: str
    bits: int


Value = int | Slot


@dataclass(frozen=True, slots=True)
class Match:
    """`field` = `value`; `mask` None = all bits."""

    field: Field
    value: Value
    mask: Value | None = None


@dataclass(frozen=True, slots=True)
class SetField:
    """Write a field, or that part of it."""

    field: Field
    value: Value


@dataclass(frozen=True, slots=True)
class Move:
    """Copy a field, or the part, into another of the same width, or the lower bits of a wider one."""

    source: Field
    target: Field


@dataclass(frozen=True, slots=True)
class Output:
    """Send to an OpenFlow port number."""

    port: Value


@dataclass(frozen=True, slots=True)
class OutputField:
    """Send to the port number that a register holds."""

    field: Field


@dataclass(frozen=True, slots=True)
class DecTtl:
    """Take one from the TTL or hop limit. OVS ends a packet that has only 0 or 1 left, so that a flow before
    must have taken those away."""


class End(Enum):
    """Which end of a new connection network address translation replaces."""

    SOURCE = "src"
    DESTINATION = "dst"


@dataclass(frozen=True, slots=True)
class Nat:
    """A new connection gets `address` (32 or 128 bits) as its `end`; packets of a known one get what that one
    got, whatever stands here."""

    end: End
    address: Value


@dataclass(frozen=True, slots=True)
class Ct:
    """Look the packet up among the connections of `zone` (16 bits), and begin again in `table` with
    `ct_state` and `ct_zone` set; registers stay. The last action of its flow; it and `Back` alone may lead
    backward.

    With `commit` a new connection is remembered and translated as it says. None: the packet is only looked
    up: translated as its connection is if it has one, and not remembered if it has none.

    With `remember` a connection is remembered, with or without a translation, and these are written into its
    label; what they leave out of it stays. A known one gets another label, by packets of either direction.
    """

    zone: Value
    table: int
    commit: Nat | None = None
    remember: tuple[SetField | Move, ...] = ()


@dataclass(frozen=True, slots=True)
class Back:
    """Go on in `table`, which stands before this one, in the same pass of the data path. The last action of
    its flow."""

    table: int


@dataclass(frozen=True, slots=True)
class Group:
    """Hand the packet to the select group of this number, in a pass of its own: the data path chooses one of
    its `buckets` by a hash of the packet's addresses and ports; it writes its place (0, 1, ..) into `field`
    and goes on in `table`. The last action of its flow."""

    number: int
    field: Field
    buckets: int
    table: int


@dataclass(frozen=True, slots=True)
class Metered:
    """Drop what exceeds the meter of this id, before anything else: the first action of its shape."""

    meter: Value


@dataclass(frozen=True, slots=True)
class Recirculate:
    """End this pass of the data path and go on in another, with all registers and tunnel fields: what this
    pass has dropped, the flows of the next never count."""


@dataclass(frozen=True, slots=True)
class CheckLarger:
    """Set the lowest bit of `field`, which was 0, if the frame is longer than `octets`, its Ethernet header
    included. Flows behind it in the same pass are credited with both outcomes."""

    octets: Value
    field: Field


@dataclass(frozen=True, slots=True)
class Copy:
    """Hand a copy of the packet, with `value` in `field`, to `table`, in a pass of its own: what drops the
    copy drops nothing else."""

    field: Field
    value: Value
    table: int


@dataclass(frozen=True, slots=True)
class Conjunction:
    """What the flow matches is `clause` (from 0) of the `clauses` (two or more) of conjunction `number`: a
    packet that meets a flow of each clause is looked up again, with that number in `conj_id`. Its flow has no
    other action; all flows of a conjunction have the same priority (ovs-fields(7))."""

    number: Value
    clause: int
    clauses: int


class Special(Enum):
    """Outputs that are no port number. CONTROLLER_APART: to the controller, by a queue of its own, which the
    others do not fill. CONTROLLER_ASKED: to whoever answers ports' questions, by a connection of its own."""

    IN_PORT = "in_port"
    CONTROLLER = "controller"
    CONTROLLER_APART = "controller_apart"
    CONTROLLER_ASKED = "controller_asked"


TO_CONTROLLER: Final = frozenset({Special.CONTROLLER, Special.CONTROLLER_APART, Special.CONTROLLER_ASKED})


Action = (
    SetField
    | Move
    | Output
    | OutputField
    | DecTtl
    | Ct
    | Back
    | Group
    | Metered
    | Recirculate
    | CheckLarger
    | Copy
    | Conjunction
    | Special
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A family of flows. `actions` are applied in order, then `goto`; neither = drop.

    `slots` is the order of a flow's `values`. Shapes are compared by value and hash quickly by name.
    """

    name: str
    table: int
    priority: Value
    match: tuple[Match, ...]
    actions: tuple[Action, ...] = ()
    goto: int | None = None
    slots: tuple[Slot, ...] = ()

    def __hash__(self) -> int:
        return hash((self.name, self.table))


class Unit(Enum):
    """What a meter counts: kbit, of octets of layer 2, or packets."""

    KBITS = "kbits"
    PACKETS = "packets"


@dataclass(frozen=True, slots=True)
class Meter:
    """Drops what exceeds `rate` of its unit a second, but for `burst` of them at once."""

    id: int
    rate: int
    burst: int
    unit: Unit = Unit.KBITS


FlowKey = tuple[int, int, tuple[tuple[str, int, int | None], ...]]
"""(table, priority, sorted (field, value, mask)): what OpenFlow holds one flow for."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow: `values` fill `shape.slots` in order; `cookie` is 64 bits (see pipelines.cookies)."""

    shape: Shape
    cookie: int
    values: tuple[int, ...] = field(default=())

    def fill(self, value: Value) -> int:
        """The number that stands where the shape says `value`."""
        return self.values[self.shape.slots.index(value)] if isinstance(value, Slot) else value

    def key(self) -> FlowKey:
        """The identity that a switch gives it (OpenFlow 1.4.1 section 6.4: table, priority, match)."""
        terms = sorted(
            (m.field.name, self.fill(m.value), None if m.mask is None else self.fill(m.mask))
            for m in self.shape.match
        )
        return (self.shape.table, self.fill(self.shape.priority), tuple(terms))

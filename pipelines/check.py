"""Check: declarations against themselves, and flows against declarations.

Place: run by tests over all declarations and over compiled programs; `python -m pipelines.document` runs it
before it writes. Must not repair anything. Each fault names the table, shape or register.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from model.errors import Fault, RingfenceError
from model.flow import (
    Action,
    Back,
    CheckLarger,
    Copy,
    Ct,
    DecTtl,
    Field,
    Flow,
    Group,
    Match,
    Metered,
    Move,
    OutputField,
    SetField,
    Shape,
    Slot,
    Value,
)
from pipelines.fields import CT_ZONE, ETH_TYPE, FIELDS, NW_TTL, PARTS, REGISTERS, Register
from pipelines.needs import IS_IP, prerequisites
from pipelines.overlap import overlaps
from pipelines.shapes import SHAPES
from pipelines.tables import CHAINS, TABLES, Table

_CHAINED: Final = frozenset(table.number for table in CHAINS)
"""Clauses of conjunctions overlap, and rules of two tenants may stand at one height: the property tests of
`pipelines.policy` hold these tables to the verdict."""


class Broken(RingfenceError):
    """The pipeline contradicts its own declarations."""


def check_declarations(
    tables: tuple[Table, ...] = TABLES,
    registers: tuple[Register, ...] = REGISTERS,
    shapes: tuple[Shape, ...] = SHAPES,
) -> None:
    """Raise Broken with every fault of tables, registers and shapes."""
    found = [
        *_tables(tables),
        *_filled(tables, shapes),
        *_registers(tables, registers, shapes),
        *(fault for shape in shapes for fault in _shape(tables, registers, shape)),
        *_names(shapes),
    ]
    if found:
        raise Broken(*found)


def check_flows(
    flows: Iterable[Flow],
    tables: tuple[Table, ...] = TABLES,
    registers: tuple[Register, ...] = REGISTERS,
) -> None:
    """Raise Broken with every fault of a program's flows: undeclared, overlapping, or badly filled."""
    every = tuple(flows)
    used = {flow.shape.name: flow.shape for flow in every}
    found = [fault for shape in used.values() for fault in _shape(tables, registers, shape)]
    found += [fault for flow in every for fault in _values(flow)]
    for one, other in overlaps(flow for flow in every if flow.shape.table not in _CHAINED):
        names = f"{one.shape.name} {one.values} and {other.shape.name} {other.values}"
        found.append(
            _fault(names, "overlap", "match the same packets at one priority", "part their priorities")
        )
    if found:
        raise Broken(*found)


def check_filled(flows: Iterable[Flow], tables: tuple[Table, ...] = TABLES) -> None:
    """Raise Broken with every table that a program leaves empty. Only a host without ports, IPv6,
    or prefixes of several next hops may do that."""
    found = tuple(_filled(tables, tuple(flow.shape for flow in flows)))
    if found:
        raise Broken(*found)


def _fault(name: str, rule: str, message: str, remedy: str) -> Fault:
    return Fault(name, rule, message, remedy)


def _tables(tables: tuple[Table, ...]) -> Iterator[Fault]:
    numbers = {table.name: table.number for table in tables}
    if len(numbers) != len(tables):
        yield _fault("TABLES", "unique-name", "two tables have one name", "rename one")
    for one, two in pairwise(tables):
        if one.number >= two.number:
            yield _fault(two.name, "order", f"does not stand behind {one.name}", "renumber the tables")
    for table in tables:
        for name in table.again:
            if name not in numbers:
                yield _fault(table.name, "declared", f"starts again in {name}", "declare that table")
        for name in table.next:
            if numbers.get(name, -1) <= table.number:
                yield _fault(table.name, "forward", f"may go to {name}, which is not behind it", "go forward")
    for table in tables:
        if table.name not in _reached(tables):
            yield _fault(table.name, "reachable", "no table leads to it", "add it to the next of another")


def _reached(tables: tuple[Table, ...]) -> set[str]:
    """All that a frame can get to, forward, or back: by connection tracking, or in the same pass."""
    reached, more = {tables[0].name}, True
    while more:
        ways = {name for table in tables if table.name in reached for name in (*table.next, *table.again)}
        more = not ways <= reached
        reached |= ways
    return reached


def _filled(tables: tuple[Table, ...], shapes: tuple[Shape, ...]) -> Iterator[Fault]:
    for table in tables:
        mine = [shape for shape in shapes if shape.table == table.number]
        misses = [shape for shape in mine if shape.priority == 0]
        if len(misses) != 1 or misses[0].match:
            yield _fault(table.name, "miss", "has not one flow for what no other takes", "add a miss shape")
        if len(mine) == len(misses):
            yield _fault(table.name, "filled", "has no flow but its miss", "fill or remove the table")


def _registers(
    tables: tuple[Table, ...], registers: tuple[Register, ...], shapes: tuple[Shape, ...]
) -> Iterator[Fault]:
    names = [table.name for table in tables]
    if len({register.field for register in registers}) != len(registers):
        yield _fault("REGISTERS", "one-meaning", "a register has two meanings", "take another register")
    for register in registers:
        if register.start not in names or register.end not in names:
            yield _fault(register.name, "life", "lives in tables that do not exist", "name declared tables")
            continue
        start, end = names.index(register.start), names.index(register.end)
        life, writers = names[start : end + 1], [tables[start]]
        for table in tables:
            used = register.field in (*table.matches, *table.writes)
            # a table behind a look-up has a number of its own, but goes back into the life
            back = bool(table.again) and {*table.again} <= {*life} and register.field not in table.matches
            writers += [table] if register.start in table.again else []
            if used and not back and table.name not in life:
                yield _fault(
                    register.name, "life", f"is used in {table.name}", "extend its life or leave it out"
                )
        if all(register.field not in table.writes for table in writers):
            yield _fault(register.name, "life", f"is not written in {register.start}", "start its life later")
        last = tables[end]
        read = register.field in last.matches or _reads(shapes, last, register)
        if not read:
            yield _fault(register.name, "life", f"is not read in {last.name}", "end its life earlier")


def _reads(shapes: tuple[Shape, ...], table: Table, register: Register) -> bool:
    actions = (a for shape in shapes if shape.table == table.number for a in _every(shape))
    return any(
        (isinstance(a, OutputField) and a.field == register.field)
        or (isinstance(a, Move) and a.source == register.field)
        for a in actions
    )


def _names(shapes: tuple[Shape, ...]) -> Iterator[Fault]:
    seen: set[str] = set()
    for shape in shapes:
        if shape.name in seen:
            yield _fault(shape.name, "unique-name", "two shapes have one name", "rename one")
        seen.add(shape.name)


def _shape(tables: tuple[Table, ...], registers: tuple[Register, ...], shape: Shape) -> Iterator[Fault]:
    table = next((t for t in tables if t.number == shape.table), None)
    if table is None:
        yield _fault(shape.name, "declared", f"stands in table {shape.table}", "declare the table")
        return
    for term in shape.match:
        if term.field not in table.matches:
            yield _fault(
                shape.name, "matches", f"matches {term.field.name} in {table.name}", "declare the match"
            )
    yield from _tracked(tables, table, shape)
    yield from _grouped(tables, table, shape)
    for action in _every(shape):
        target = _written(action)
        if target is not None and target not in table.writes:
            yield _fault(shape.name, "writes", f"writes {target.name} in {table.name}", "declare the write")
        if isinstance(action, OutputField):
            yield from _alive(tables, registers, shape, table, action.field)
    following = {t.number for t in tables if t.name in table.next}
    for action in shape.actions:
        if isinstance(action, Copy) and action.table not in following:
            yield _fault(
                shape.name, "next", f"copies from {table.name} to {action.table}", "declare it as next"
            )
    yield from _meter_first(shape)
    if shape.goto is not None and shape.goto not in following:
        yield _fault(shape.name, "next", f"goes from {table.name} to {shape.goto}", "declare it as next")
    yield from _prerequisites(shape)
    yield from _slots(shape)


def _tracked(tables: tuple[Table, ...], table: Table, shape: Shape) -> Iterator[Fault]:
    """A packet that connection tracking has taken is gone from here: what followed would be for a copy. So is
    one that goes back."""
    named = {t.number for t in tables if t.name in table.again}
    for at, action in enumerate(shape.actions):
        if not isinstance(action, Ct | Back):
            continue
        if action.table not in named:
            message = f"starts again in {action.table} from {table.name}"
            yield _fault(shape.name, "again", message, "declare it in the table's again")
        if at + 1 < len(shape.actions) or shape.goto is not None:
            yield _fault(shape.name, "again", "does something after tracking", "track last")


def _meter_first(shape: Shape) -> Iterator[Fault]:
    """In OpenFlow 1.4 a meter is an instruction, and executed before the actions (section 5.9)."""
    if any(isinstance(action, Metered) for action in shape.actions[1:]):
        yield _fault(shape.name, "meter", "has a meter behind other actions", "put it first")


def _grouped(tables: tuple[Table, ...], table: Table, shape: Shape) -> Iterator[Fault]:
    """A group ends its flow, and leads forward as a goto does."""
    named = {t.number for t in tables if t.name in table.next}
    for at, action in enumerate(shape.actions):
        if not isinstance(action, Group):
            continue
        if action.table not in named:
            message = f"goes from {table.name} to {action.table} by a group"
            yield _fault(shape.name, "next", message, "declare it as next")
        if at + 1 < len(shape.actions) or shape.goto is not None:
            yield _fault(shape.name, "group", "does something after a group", "choose last")


def _written(action: object) -> Field | None:
    match action:
        case SetField(target, _) | Move(_, target) | CheckLarger(_, target) | Copy(target, _, _):
            return target
        case DecTtl():
            return NW_TTL
        case Group():
            return action.field
        case _:
            return None


def _alive(
    tables: tuple[Table, ...], registers: tuple[Register, ...], shape: Shape, table: Table, field: Field
) -> Iterator[Fault]:
    names = [t.name for t in tables]
    for register in registers:
        if register.field == field:
            life = names[names.index(register.start) : names.index(register.end) + 1]
            if table.name not in life:
                yield _fault(shape.name, "life", f"reads {register.name} in {table.name}", "extend its life")


def _prerequisites(shape: Shape) -> Iterator[Fault]:
    known: dict[Field, Match] = {}
    for term in shape.match:
        yield from _needs(shape, term.field, known)
        if term.field.name in {seen.name for seen in known}:
            yield _fault(shape.name, "once", f"matches {term.field.name} twice", "match it as a whole")
        known[term.field] = term
    for action in _every(shape):
        if isinstance(action, Move):
            yield from _needs(shape, action.source, known)
        if isinstance(action, Ct) and _commits(action) and not IS_IP.met(known.get(ETH_TYPE)):
            message = f"remembers a connection before eth_type in {IS_IP.values}"
            yield _fault(shape.name, "prerequisite", message, "match that first")
        target = _written(action)
        if target is not None:
            # OVS judges prerequisites by the flow's match, not by what earlier actions wrote.
            yield from _needs(shape, target, known)


def _every(shape: Shape) -> Iterator[Action]:
    """Its actions, and what they do within."""
    for action in shape.actions:
        yield action
        if isinstance(action, Ct):
            yield from action.remember


def _commits(action: Ct) -> bool:
    return action.commit is not None or bool(action.remember)


def _needs(shape: Shape, field: Field, known: dict[Field, Match]) -> Iterator[Fault]:
    if field not in FIELDS and field not in PARTS:
        yield _fault(shape.name, "declared", f"uses {field.name}", "add it to pipelines.fields.FIELDS")
    for need in prerequisites(field):
        if not need.met(known.get(need.field)):
            message = f"uses {field.name} before {need.field.name} in {need.values}"
            yield _fault(shape.name, "prerequisite", message, "match that first")


def _slots(shape: Shape) -> Iterator[Fault]:
    used: list[tuple[Value, int]] = [(shape.priority, 16)]
    for term in shape.match:
        used.append((term.value, term.field.bits))
        if term.mask is not None:
            used.append((term.mask, term.field.bits))
    for action in _every(shape):
        if isinstance(action, SetField | Copy):
            used.append((action.value, action.field.bits))
        if isinstance(action, Metered):
            used.append((action.meter, 32))
        if isinstance(action, CheckLarger):
            used.append((action.octets, 16))
        if isinstance(action, Ct):
            used.append((action.zone, CT_ZONE.bits))
            if action.commit is not None and isinstance(action.commit.address, Slot):
                used.append((action.commit.address, 128 if action.commit.address.bits > 32 else 32))
    for value, bits in used:
        if isinstance(value, Slot) and (value not in shape.slots or value.bits != bits):
            yield _fault(shape.name, "slot", f"{value.name} is no slot of {bits} bits", "declare the slot")
        if isinstance(value, int) and not 0 <= value < 1 << bits:
            yield _fault(shape.name, "width", f"{value:#x} does not fit into {bits} bits", "mend the value")


def _values(flow: Flow) -> Iterator[Fault]:
    shape = flow.shape
    if len(flow.values) != len(shape.slots):
        yield _fault(
            shape.name, "slot", f"{len(flow.values)} values for {len(shape.slots)} slots", "fill all"
        )
        return
    for slot, value in zip(shape.slots, flow.values, strict=True):
        if not 0 <= value < 1 << slot.bits:
            yield _fault(shape.name, "width", f"{slot.name}={value:#x} exceeds {slot.bits} bits", "mend it")
    for term in shape.match:
        yield from _mask(flow, term)


def _mask(flow: Flow, term: Match) -> Iterator[Fault]:
    if term.mask is None:
        return
    value, mask = flow.fill(term.value), flow.fill(term.mask)
    if value & ~mask:
        yield _fault(flow.shape.name, "mask", f"{term.field.name} has bits outside its mask", "clear them")
    if mask in (0, (1 << term.field.bits) - 1):
        message = f"{term.field.name} has a mask that OVS reads back as another match"
        yield _fault(flow.shape.name, "mask", message, "use the shape without it, or the exact one")

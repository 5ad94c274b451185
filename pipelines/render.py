"""Render: flows in the language of ovs-ofctl, for people, golden tests and benchmarks.

Place: an end of the road; the product never programs a switch with it. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import format_mac
from model.flow import (
    Action,
    Back,
    CheckLarger,
    Conjunction,
    Copy,
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
    Value,
)
from model.ids import ANSWERING
from pipelines import tables
from pipelines.fields import (
    ANY_FRAGMENT,
    CT_FLAGS,
    CT_STATE,
    CT_ZONE,
    IN_PORT,
    IP_DST,
    IP_FRAG,
    IPV6_DST,
    LATER_FRAGMENT,
)

Show = Callable[[Field, Value], str]

_MACS = ("eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll")
_FOURS = ("ip_src", "ip_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst", "ct_nw_src", "ct_nw_dst")
_SIXES = (
    *("ipv6_src", "ipv6_dst", "nd_target", "tun_ipv6_src", "tun_ipv6_dst"),
    *("ct_ipv6_src", "ct_ipv6_dst"),
)
_HEX = ("eth_type", "vlan_tci", "nd_reserved", "ct_label", "metadata")
NEW_PASS = "push_mpls:0x8847,pop_mpls:0x0800"
"""What ends a pass of the data path and changes nothing (docs/decisions/0016)."""


_IN_FULL: Final = {
    Special.CONTROLLER_APART: "controller(reason=no_match)",
    Special.CONTROLLER_ASKED: f"controller(id={ANSWERING})",
}
"""Of outputs that people know by a name, what ovs-ofctl calls them."""


def text(flow: Flow) -> str:
    """One line that `ovs-ofctl add-flow` takes."""
    whole = replace(flow.shape, match=tuple(_whole(flow, term) for term in flow.shape.match))
    line = _line(replace(flow, shape=whole), str)
    for special, words in _IN_FULL.items():
        line = line.replace(special.name, words)
    return line


def named(flow: Flow) -> str:
    """The same with names of tables; ovs-ofctl does not take it."""
    return _line(flow, lambda number: tables.table(number).name)


def value(field: Field, number: int) -> str:
    """A field's number as OVS writes it."""
    if field.name in _MACS:
        return format_mac(number)
    if field.name in _FOURS:
        return str(IPv4Address(number))
    if field.name in _SIXES:
        return str(IPv6Address(number))
    return f"{number:#x}" if field.name in _HEX else str(number)


_FRAGMENTS: Final[dict[tuple[Value, Value | None], str]] = {
    (ANY_FRAGMENT, ANY_FRAGMENT): "yes",
    (ANY_FRAGMENT, None): "first",
    (LATER_FRAGMENT, LATER_FRAGMENT): "later",
}


def terms(shape: Shape, show: Show) -> tuple[str, ...]:
    """The match of a shape, a text for each term; `show` gives the text of a value. ovs-ofctl does not take
    those of parts of a field."""
    made = []
    for m in shape.match:
        if m.field == IP_FRAG:
            made.append(f"ip_frag={_FRAGMENTS[m.value, m.mask]}")  # words that stand for value and mask
            continue
        if m.field == CT_STATE:
            made.append(f"ct_state={_flags(m)}")
            continue
        mask = "" if m.mask is None else "/" + show(m.field, m.mask)
        made.append(f"{_name(m.field)}={show(m.field, m.value)}{mask}")
    return tuple(made)


def actions(shape: Shape, show: Show, table: Callable[[int], str]) -> tuple[str, ...]:
    """The actions of a shape, with where it goes; `table` gives the text of a table's number."""
    made = [_action(action, show, table) for action in shape.actions]
    if shape.goto is not None:
        made.append(f"goto_table:{table(shape.goto)}")
    return tuple(made) or ("drop",)


def _flags(term: Match) -> str:
    """The flags of a masked ct_state, each with its sign; masks are constants of shapes."""
    assert isinstance(term.value, int) and isinstance(term.mask, int)
    looked = ((bit, name) for bit, name in CT_FLAGS if term.mask & bit)
    return "".join(f"{'+' if term.value & bit else '-'}{name}" for bit, name in looked)


def _action(action: Action, show: Show, table: Callable[[int], str]) -> str:
    match action:
        case SetField(field, number):
            verb = "set_field" if field.low is None else "load"
            return f"{verb}:{show(field, number)}->{_name(field)}"
        case Move(source, target):
            lower = f"[0..{target.bits - 1}]" if source.low is None and source.bits > target.bits else ""
            return f"move:{_name(source)}{lower}->{_name(target)}"
        case Output(port):
            return f"output:{show(IN_PORT, port)}"
        case OutputField(field):
            return f"output:{field.name}"
        case DecTtl():
            return "dec_ttl"
        case Ct():
            return _tracking(action, show, table)
        case Back(number):
            return f"resubmit(,{table(number)})"
        case Group(number):
            return f"group:{number}"
        case Metered(meter):
            return f"meter:{show(IN_PORT, meter)}"
        case Recirculate():
            return NEW_PASS
        case CheckLarger(octets, field):
            return f"check_pkt_larger({show(IN_PORT, octets)})->{field.name}[0]"
        case Copy(field, number, number_of_table):
            load = f"set_field:{show(field, number)}->{field.name}"
            return f"clone({load},{NEW_PASS},resubmit(,{number_of_table}))"
        case Conjunction(number, clause, clauses):
            return f"conjunction({show(IN_PORT, number)},{clause + 1}/{clauses})"
        case Special():
            return action.name


def _tracking(action: Ct, show: Show, table: Callable[[int], str]) -> str:
    where = f"table={table(action.table)},zone={show(CT_ZONE, action.zone)}"
    if action.commit is None and not action.remember:
        return f"ct({where},nat)"
    inner = []
    if action.commit is not None:
        address = action.commit.address
        wide = address.bits > 32 if isinstance(address, Slot) else address >> 32 > 0
        inner.append(f"nat({action.commit.end.value}={show(IPV6_DST if wide else IP_DST, address)})")
    if action.remember:
        inner.append(f"exec({','.join(_action(each, show, table) for each in action.remember)})")
    return f"ct(commit,{where},{','.join(inner)})"


def _name(field: Field) -> str:
    """With its bits, if it is a part."""
    return field.name if field.low is None else f"{field.name}[{field.low}..{field.low + field.bits - 1}]"


def _whole(flow: Flow, term: Match) -> Match:
    """A part as the match of its whole field that ovs-ofctl takes."""
    field = term.field
    if field.low is None:
        return term
    mask = (1 << field.bits) - 1 if term.mask is None else flow.fill(term.mask)
    whole = Field(field.name, field.bits + field.low)
    return Match(whole, flow.fill(term.value) << field.low, mask << field.low)


def _line(flow: Flow, table: Callable[[int], str]) -> str:
    def show(field: Field, number: Value) -> str:
        return value(field, flow.fill(number))

    shape = flow.shape
    head = (
        f"cookie={flow.cookie:#x}",
        f"table={table(shape.table)}",
        f"priority={flow.fill(shape.priority)}",
    )
    return f"{','.join((*head, *terms(shape, show)))} actions={','.join(actions(shape, show, table))}"

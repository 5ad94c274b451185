"""Render: flows in the language of ovs-ofctl, for people, golden tests and benchmarks.

Place: an end of the road; the product never programs a switch with it. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from model.addresses import format_mac
from model.flow import Action, Field, Flow, Move, Output, OutputField, SetField, Special
from pipelines import tables

_MACS = ("eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll")
_FOURS = ("ip_src", "ip_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst")
_SIXES = ("ipv6_src", "ipv6_dst", "nd_target", "tun_ipv6_src", "tun_ipv6_dst")
_HEX = ("eth_type", "vlan_tci", "nd_reserved")


def text(flow: Flow) -> str:
    """One line that `ovs-ofctl add-flow` takes."""
    return _line(flow, str(flow.shape.table), str)


def named(flow: Flow) -> str:
    """The same with names of tables; ovs-ofctl does not take it."""
    return _line(flow, tables.table(flow.shape.table).name, lambda number: tables.table(number).name)


def value(field: Field, number: int) -> str:
    """A field's number as OVS writes it."""
    if field.name in _MACS:
        return format_mac(number)
    if field.name in _FOURS:
        return str(IPv4Address(number))
    if field.name in _SIXES:
        return str(IPv6Address(number))
    if field.name == "ip_frag":
        return {0: "no", 1: "yes", 3: "later"}.get(number, str(number))
    return f"{number:#x}" if field.name in _HEX else str(number)


def _match(flow: Flow) -> list[str]:
    terms = []
    for m in flow.shape.match:
        shown = value(m.field, flow.fill(m.value))
        # ip_frag is a word and stands for its mask: `yes` is any fragment.
        if m.mask is not None and m.field.name != "ip_frag":
            shown += "/" + value(m.field, flow.fill(m.mask))
        terms.append(f"{m.field.name}={shown}")
    return terms


def _action(flow: Flow, action: Action) -> str:
    match action:
        case SetField(field, number):
            return f"set_field:{value(field, flow.fill(number))}->{field.name}"
        case Move(source, target):
            return f"move:{source.name}->{target.name}"
        case Output(port):
            return f"output:{flow.fill(port)}"
        case OutputField(field):
            return f"output:{field.name}"
        case Special():
            return action.name


def _line(flow: Flow, table: str, goto: Callable[[int], str]) -> str:
    shape = flow.shape
    head = [f"cookie={flow.cookie:#x}", f"table={table}", f"priority={flow.fill(shape.priority)}"]
    actions = [_action(flow, action) for action in shape.actions]
    if shape.goto is not None:
        actions.append(f"goto_table:{goto(shape.goto)}")
    return f"{','.join([*head, *_match(flow)])} actions={','.join(actions) or 'drop'}"

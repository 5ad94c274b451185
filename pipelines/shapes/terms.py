"""Terms: the slots, matches and heights of which the shapes are made.

Place: used by the other files of this folder; features and check read the slots. Must not hold a shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.flow import Action, Match, Output, SetField, Shape, Slot
from pipelines import fields as f
from pipelines import tables as t

NET: Final = Slot("network", 32)
SRC: Final = Slot("source", 32)
PORT: Final = Slot("port", 32)
VRF: Final = Slot("vrf", 32)
MAC: Final = Slot("mac", 48)
LLA: Final = Slot("lla", 48)
IP4: Final = Slot("ip4", 32)
IP6: Final = Slot("ip6", 128)
MASK4: Final = Slot("mask4", 32)
MASK6: Final = Slot("mask6", 128)
VNI: Final = Slot("vni", 64)
VTEP4: Final = Slot("vtep4", 32)
VTEP6: Final = Slot("vtep6", 128)
CLS: Final = Slot("class", 32)
PRIORITY: Final = Slot("priority", 16)
RECEIVER: Final = Slot("receiver", 32)
SCOPE: Final = Slot("scope", 32)

IS_NET = Match(f.NETWORK.field, NET)
IS_VRF = Match(f.VRF.field, VRF)
IS_SRC = Match(f.SOURCE.field, SRC)
IS_UNTAGGED = Match(f.VLAN_TCI, 0)
IS_GROUP = Match(f.ETH_DST, f.GROUP, f.GROUP)
IS_SINGLE = Match(f.ETH_DST, 0, f.GROUP)
IS_ARP = Match(f.ETH_TYPE, f.ARP)
IS_IPV4 = Match(f.ETH_TYPE, f.IPV4)
IS_IPV6 = Match(f.ETH_TYPE, f.IPV6)
IS_ICMPV6 = (IS_IPV6, Match(f.IP_PROTO, f.ICMPV6))
IS_ONE_HOP = Match(f.NW_TTL, f.HOP_LIMIT)
IS_SOLICIT = (Match(f.ICMPV6_TYPE, f.NEIGHBOR_SOLICITATION), Match(f.ICMPV6_CODE, 0))
IS_ADVERT = (Match(f.ICMPV6_TYPE, f.NEIGHBOR_ADVERTISEMENT), Match(f.ICMPV6_CODE, 0))

# Heights that recur: local beats remote for the same MAC or IP, and both beat a table's general rules.
AT_OWN: Final = 300
AT_LOCAL: Final = 210
AT_REMOTE: Final = 200
AT_GATEWAY: Final = 150
"""Below all ports: should the store give a port the gateway's address, the port has it."""
AT_GENERAL: Final = 100
AT_LAST: Final = 50
AT_PEERED: Final = 900
"""What is in a peering's VRF goes to the other tenant, whatever its address is on this side."""
NETWORK_PREFIXES: Final = 500
"""Added to the length of a prefix: the subnets of a network stand above all declared prefixes,"""
TENANT_PREFIXES: Final = 300
"""and so do the tenant's other subnets, if a class has that relation,"""
DECLARED_PREFIXES: Final = 100
"""since what stays inside the network is never anything else."""
AT_NOT_PUBLIC: Final = 30
"""Below all declared prefixes: what is nobody's is the internet's where it is public,"""
AT_PUBLIC: Final = 20
"""and in no class of its own where it is not."""


def shape(
    name: str,
    table: t.Table,
    priority: int | Slot,
    match: tuple[Match, ...],
    slots: tuple[Slot, ...] = (),
    actions: tuple[Action, ...] = (),
    goto: t.Table | None = None,
) -> Shape:
    """A shape whose name begins with its table's; without `goto` and actions it drops."""
    return Shape(
        f"{table.name}-{name}",
        table.number,
        priority,
        match,
        actions,
        None if goto is None else goto.number,
        slots,
    )


def into_limit(plain: Shape) -> Shape:
    """The same way to a local port that has a limit: by table limit, which sends it out instead."""
    return replace(plain, name=f"{plain.name}-limited", actions=_led(plain), goto=t.LIMIT.number)


def into_origin(plain: Shape) -> Shape:
    """The same way to a local port that is reached from outside, too: by the tables that count for it."""
    noted = (*_led(plain), SetField(f.RECEIVER.field, RECEIVER))
    slots = (*plain.slots, RECEIVER)
    return replace(plain, name=f"{plain.name}-open", actions=noted, slots=slots, goto=t.ORIGIN.number)


def into_door(plain: Shape) -> Shape:
    """The same way to a local port under policy: by its door, whether it ended there or was counted next."""
    actions = plain.actions if plain.goto == t.ORIGIN.number else _led(plain)
    return replace(plain, name=f"{plain.name}-judged", actions=actions, goto=t.DOOR.number)


def _led(plain: Shape) -> tuple[Action, ...]:
    """Its actions, but that the port at their end is noted instead."""
    ends = tuple(action for action in plain.actions if isinstance(action, Output))
    if len(ends) != 1 or plain.actions[-1] is not ends[0]:
        raise ValueError(f"{plain.name} does not end at one port")
    return (*plain.actions[:-1], SetField(f.EXIT.field, ends[0].port))

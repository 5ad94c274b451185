"""Shapes of addressees: what a port that is forbidden to send may send within its network.

Place: tables gateway and addressee. See pipelines.shapes for the rules of all shapes. The longer a prefix the
higher it stands, for two ports may have one MAC, as virtual routers, and share some of their addresses only.
"""

from __future__ import annotations

from typing import Final

from model.addresses import BROADCAST
from model.flow import Field, Match, Shape, Slot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_LAST,
    AT_OWN,
    IP4,
    IP6,
    IS_GROUP,
    IS_IPV4,
    IS_IPV6,
    IS_NET,
    IS_SRC,
    MAC,
    MASK4,
    MASK6,
    NET,
    PRIORITY,
    SRC,
    shape,
)

PREFIXES: Final = 100
"""Added to the length of a prefix."""
_FAMILIES: Final = (("4", IS_IPV4), ("6", IS_IPV6))

HELD: Final = tuple(
    shape(f"held{name}", t.GATEWAY, AT_LAST, (IS_SRC, kind), (SRC,), goto=t.ADDRESSEE)
    for name, kind in _FAMILIES
)
"""A port that is forbidden to send, and what is not for the gateway."""


def _has(family: str, kind: Match, field: Field, address: Slot, mask: Slot) -> tuple[Shape, Shape]:
    """For one address, and for a prefix of them."""
    match, slots = (IS_NET, Match(f.ETH_DST, MAC), kind), (PRIORITY, NET, MAC, address)
    exact = shape(
        f"has{family}", t.ADDRESSEE, PRIORITY, (*match, Match(field, address)), slots, (), t.RESOLVE
    )
    within = (*match, Match(field, address, mask))
    return exact, shape(f"has{family}-within", t.ADDRESSEE, PRIORITY, within, (*slots, mask), (), t.RESOLVE)


HAS4: Final = _has("4", IS_IPV4, f.IP_DST, IP4, MASK4)
HAS6: Final = _has("6", IS_IPV6, f.IPV6_DST, IP6, MASK6)

GROUPS: Final = (
    # RFC 1112 section 6.4, RFC 2464 section 7: what is for a group goes to one, and nothing else does
    shape(
        "group4",
        t.ADDRESSEE,
        AT_OWN,
        (IS_GROUP, IS_IPV4, Match(f.IP_DST, 0xE0 << 24, 0xF0 << 24)),
        goto=t.RESOLVE,
    ),
    shape(
        "group6",
        t.ADDRESSEE,
        AT_OWN,
        (IS_GROUP, IS_IPV6, Match(f.IPV6_DST, 0xFF << 120, 0xFF << 120)),
        goto=t.RESOLVE,
    ),
    shape(
        "broadcast",
        t.ADDRESSEE,
        AT_OWN,
        (Match(f.ETH_DST, BROADCAST), IS_IPV4, Match(f.IP_DST, 0xFFFFFFFF)),
        goto=t.RESOLVE,
    ),
)
DIRECTED: Final = shape(
    "directed",  # RFC 919: the last address of the subnet
    t.ADDRESSEE,
    AT_OWN,
    (IS_SRC, Match(f.ETH_DST, BROADCAST), IS_IPV4, Match(f.IP_DST, IP4)),
    (SRC, IP4),
    goto=t.RESOLVE,
)
STRAY: Final = shape("stray", t.ADDRESSEE, AT_LAST, (IS_SRC,), (SRC,))
STRAY_COUNTED: Final = shape("stray-counted", t.ADDRESSEE, AT_LAST, (IS_SRC,), (SRC,), goto=t.RESOLVE)
"""For a port of which nothing is enforced that forbids it to send, and something counts."""

ADDRESSEES: Final = (*HELD, *HAS4, *HAS6, *GROUPS, DIRECTED, STRAY, STRAY_COUNTED)
"""All shapes of this file."""

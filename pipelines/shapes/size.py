"""Shapes of size: the check of a packet against an MTU, and what becomes of one too large.

Place: tables size and oversize, for ports whose interface could send larger packets than their network has,
and for the ways of a network that are narrower than itself (docs/decisions/0016). These come in six forms, of
which `pipelines.shapes.prefixes.place` picks one. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Action, CheckLarger, Match, Recirculate, Shape, Slot, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_GENERAL,
    IP4,
    IP6,
    IS_IPV4,
    IS_IPV6,
    IS_NET,
    IS_SRC,
    MASK4,
    MASK6,
    NET,
    PRIORITY,
    SRC,
    shape,
)

OCTETS: Final = Slot("octets", 16)
"""The longest frame that may pass, with its Ethernet header."""

SIZE_CHECKED: Final = tuple(
    shape(
        f"checked{family}",
        t.SIZE,
        AT_GENERAL,
        (IS_SRC, kind),
        (SRC, OCTETS),
        (CheckLarger(OCTETS, f.LARGER.field), Recirculate()),
        t.OVERSIZE,
    )
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)
OVERSIZE_TOLD: Final = shape(
    "told", t.OVERSIZE, AT_GENERAL, (IS_SRC, Match(f.LARGER.field, 1)), (SRC,), (Special.CONTROLLER,)
)

NARROW_WAYS: Final = 150
"""Added to the length of a prefix: above the port's own check, which is no stricter."""


def _narrow(
    table: t.Table,
    name: str,
    terms: tuple[Match, ...],
    slots: tuple[Slot, ...],
    actions: tuple[Action, ...],
    goto: t.Table | None,
) -> tuple[Shape, ...]:
    """(masked, exact, any) of IPv4, then of IPv6: to the gateway, from one network."""
    made = []
    for family, kind, field, ip, mask in (
        ("4", IS_IPV4, f.IP_DST, IP4, MASK4),
        ("6", IS_IPV6, f.IPV6_DST, IP6, MASK6),
    ):
        for form, more, found in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            match = (IS_NET, *terms, Match(f.ETH_DST, GATEWAY_MAC), kind, *more)
            every = (PRIORITY, NET, *found, *slots)
            made.append(shape(f"{name}{family}-{form}", table, PRIORITY, match, every, actions, goto))
    return tuple(made)


SIZE_NARROW: Final = _narrow(
    t.SIZE, "narrow", (), (OCTETS,), (CheckLarger(OCTETS, f.LARGER.field), Recirculate()), t.OVERSIZE
)
OVERSIZE_NARROW: Final = _narrow(
    t.OVERSIZE, "narrow", (Match(f.LARGER.field, 1),), (), (Special.CONTROLLER,), None
)

SIZED: Final = (*SIZE_CHECKED, OVERSIZE_TOLD, *SIZE_NARROW, *OVERSIZE_NARROW)
"""All shapes of this file."""

"""Shapes of prefixes behind next hops: guard, route, nexthop, arrival and spread.

Place: see pipelines.shapes for the rules of all shapes. Each comes in six forms: masked, exact and any, of
IPv4, then of IPv6; `place` picks the one for a prefix. What decrements the TTL stands behind flows that have
taken the TTLs 0 and 1 away.
"""

from __future__ import annotations

from typing import Final

from model.addresses import GATEWAY_MAC, Prefix
from model.flow import Action, DecTtl, Field, Match, Output, SetField, Shape, Slot, Special
from pipelines import fields as f
from pipelines import groups
from pipelines import tables as t
from pipelines.shapes.routes import NEXT, ROUTER
from pipelines.shapes.terms import (
    IP4,
    IP6,
    IS_IPV4,
    IS_IPV6,
    IS_SRC,
    IS_VRF,
    MAC,
    MASK4,
    MASK6,
    PORT,
    PRIORITY,
    SRC,
    VNI,
    VRF,
    VTEP4,
    VTEP6,
    into_door,
    into_limit,
    shape,
)

Forms = tuple[Shape, ...]
SLOT: Final = Slot("slot", 32)
ONWARD: Final = t.MARK
"""Where a packet goes that has found its next hop."""
_IS_SLOT = Match(f.SLOT.field, SLOT)
_IS_ROUTER = Match(f.ETH_DST, ROUTER)
_FAMILIES = (("4", IS_IPV4, f.IP_DST, IP4, MASK4), ("6", IS_IPV6, f.IPV6_DST, IP6, MASK6))
_TO_LOCAL: Final[tuple[Action, ...]] = (
    SetField(f.ETH_SRC, GATEWAY_MAC),
    SetField(f.ETH_DST, MAC),
    DecTtl(),
)
_TO_ROUTER: Final[tuple[Action, ...]] = (SetField(f.ETH_SRC, ROUTER), SetField(f.ETH_DST, NEXT), DecTtl())
_EXIT = SetField(f.EXIT.field, PORT)
_OVER4 = (SetField(f.TUN_ID, VNI), SetField(f.TUN_DST, VTEP4), _EXIT)
_OVER6 = (SetField(f.TUN_ID, VNI), SetField(f.TUN_IPV6_DST, VTEP6), _EXIT)


def _forms(
    name: str,
    table: t.Table,
    terms: tuple[Match, ...],
    slots: tuple[Slot, ...],
    actions: tuple[Action, ...],
    goto: t.Table | None = None,
) -> Forms:
    """`slots`: all but priority, VRF, address and mask, which `place` fills; VRF is matched first."""
    made = []
    for family, kind, field, ip, mask in _FAMILIES:
        for form, term, more in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            match = (IS_VRF, *terms, kind, *term)
            every = (PRIORITY, VRF, *more, *slots)
            made.append(shape(f"{name}{family}-{form}", table, PRIORITY, match, every, actions, goto))
    return tuple(made)


def place(forms: Forms, priority: int, vrf: int, prefix: Prefix) -> tuple[Shape, tuple[int, ...]]:
    """The shape for a prefix and its first values."""
    masked, exact, anything = forms[:3] if prefix.version == 4 else forms[3:]
    if prefix.prefixlen == 0:
        return anything, (priority, vrf)
    head = (priority, vrf, int(prefix.network_address))
    if prefix.prefixlen == prefix.max_prefixlen:
        return exact, head
    return masked, (*head, int(prefix.netmask))


# route: one next hop is taken at once, several by a group. What comes from a next hop never goes back there.
BACK: Final = _forms("back", t.ROUTE, (IS_SRC,), (SRC,), ())
DEAD: Final = _forms("dead", t.ROUTE, (), (), (Special.CONTROLLER,), ONWARD)
VIA_LOCAL: Final = _forms("via-local", t.ROUTE, (), (MAC, PORT), (*_TO_LOCAL, _EXIT), ONWARD)
_FAR = (ROUTER, NEXT, VNI)
VIA_REMOTE4: Final = _forms("via-vtep4-to", t.ROUTE, (), (*_FAR, VTEP4, PORT), (*_TO_ROUTER, *_OVER4), ONWARD)
VIA_REMOTE6: Final = _forms("via-vtep6-to", t.ROUTE, (), (*_FAR, VTEP6, PORT), (*_TO_ROUTER, *_OVER6), ONWARD)
VIA_GROUP: Final = _forms("via-group", t.ROUTE, (), (), (groups.NEXTHOP,))

# nexthop
_SLOTTED = (_IS_SLOT,)
NEXTHOP_LOCAL: Final = _forms("local", t.NEXTHOP, _SLOTTED, (SLOT, MAC, PORT), (*_TO_LOCAL, _EXIT), ONWARD)
NEXTHOP_REMOTE4: Final = _forms(
    "vtep4-to", t.NEXTHOP, _SLOTTED, (SLOT, *_FAR, VTEP4, PORT), (*_TO_ROUTER, *_OVER4), ONWARD
)
NEXTHOP_REMOTE6: Final = _forms(
    "vtep6-to", t.NEXTHOP, _SLOTTED, (SLOT, *_FAR, VTEP6, PORT), (*_TO_ROUTER, *_OVER6), ONWARD
)

# arrival and spread: to next hops on this host only
ARRIVAL_VIA: Final = _forms(
    "via-local", t.ARRIVAL, (_IS_ROUTER,), (ROUTER, MAC, PORT), (*_TO_LOCAL, Output(PORT))
)
ARRIVAL_GROUP: Final = _forms("via-group", t.ARRIVAL, (_IS_ROUTER,), (ROUTER,), (groups.SPREAD,))
SPREAD_LOCAL: Final = _forms("local", t.SPREAD, _SLOTTED, (SLOT, MAC, PORT), (*_TO_LOCAL, Output(PORT)))
ARRIVAL_VIA_LIMITED: Final = tuple(into_limit(each) for each in ARRIVAL_VIA)
SPREAD_LIMITED: Final = tuple(into_limit(each) for each in SPREAD_LOCAL)
ARRIVAL_VIA_JUDGED: Final = tuple(into_door(each) for each in ARRIVAL_VIA)
SPREAD_JUDGED: Final = tuple(into_door(each) for each in SPREAD_LOCAL)

# guard: a next hop may send packets out of what is routed to it
_AT_FORWARDED = 180


def _forwarded(kind: Match, field: Field, ip: Slot, mask: Slot, goto: t.Table) -> tuple[Shape, Shape]:
    """For one address, and for a prefix of them."""
    by = (IS_SRC, Match(f.ETH_SRC, MAC), kind)
    name, slots = f"forwarded{4 if field.bits == 32 else 6}", (SRC, MAC, ip)
    exact = shape(name, t.GUARD, _AT_FORWARDED, (*by, Match(field, ip)), slots, (), goto)
    within = (*by, Match(field, ip, mask))
    return exact, shape(f"{name}-within", t.GUARD, _AT_FORWARDED, within, (*slots, mask), (), goto)


FORWARDED4: Final = _forwarded(IS_IPV4, f.IP_SRC, IP4, MASK4, t.SIZE)
FORWARDED6: Final = _forwarded(IS_IPV6, f.IPV6_SRC, IP6, MASK6, t.NEIGHBOURS)

PREFIXED: Final = (
    *FORWARDED4,
    *FORWARDED6,
    *BACK,
    *DEAD,
    *VIA_LOCAL,
    *VIA_REMOTE4,
    *VIA_REMOTE6,
    *VIA_GROUP,
    *NEXTHOP_LOCAL,
    *NEXTHOP_REMOTE4,
    *NEXTHOP_REMOTE6,
    *ARRIVAL_VIA,
    *ARRIVAL_GROUP,
    *SPREAD_LOCAL,
    *ARRIVAL_VIA_LIMITED,
    *SPREAD_LIMITED,
    *ARRIVAL_VIA_JUDGED,
    *SPREAD_JUDGED,
)
"""All shapes of this file."""

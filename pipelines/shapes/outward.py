"""Shapes of the ways out: floating IPs one to one, tenants behind an address of their own, external networks.

Place: tables returned, translate, translated, outside and landing, and what these need in output and arrival.
See pipelines.shapes for the rules of all shapes.

Whoever tracks checks afterwards that the packet really bears the new address: a zone that is full, or out of
ports, lets it on as it was.
"""

from __future__ import annotations

from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Action, Ct, DecTtl, End, Field, Match, Nat, Output, SetField, Shape, Slot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.routes import NEXT, PREFIX_STEP, PREFIXES, ROUTER
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_LOCAL,
    AT_OWN,
    AT_REMOTE,
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
    into_origin,
    shape,
)

ZONE: Final = Slot("zone", 16)
EXT: Final = Slot("external", 32)
TO4: Final = Slot("to4", 32)
TO6: Final = Slot("to6", 128)
"""What an address is translated to."""

IS_EXT: Final = Match(f.EXTERNAL.field, EXT)
IS_ZONE: Final = Match(f.CT_ZONE, ZONE)
IS_INVALID: Final = Match(f.CT_STATE, f.CT_TRACKED | f.CT_INVALID, f.CT_TRACKED | f.CT_INVALID)
IS_VALID: Final = Match(f.CT_STATE, f.CT_TRACKED, f.CT_TRACKED | f.CT_INVALID)
IS_KNOWN: Final = Match(f.CT_STATE, f.CT_TRACKED, f.CT_TRACKED | f.CT_INVALID | f.CT_NEW)
_TO_ROUTER: Final = Match(f.ETH_DST, ROUTER)
_FROM_OUTSIDE: Final = SetField(f.SCOPE.field, 0)
"""Whoever sent it is nobody's peer, whatever its address (docs/decisions/0058)."""
_LEAVE_ANYWHERE: Final = SetField(f.IN_PORT, 0)
"""OVS sends nothing back through the port it came from; what is translated here may leave by the tunnel."""

AT_SELF: Final = 310
AT_HERE: Final = 300
POOLS: Final = 20
"""Added to twice the length: what nobody has of a pool is nowhere else,"""
OUTER: Final = 21
"""and a learned prefix of that length stands just above."""
INSIDE: Final = 10
"""Added to the length of a prefix that is the tenant's own: below its addresses on this host,"""
ANYWHERE: Final = 5
"""and above everything else, which is translated."""

Family = tuple[str, Match, Field, Field, Slot, Slot, Slot]
FAMILIES: Final[tuple[Family, ...]] = (
    ("4", IS_IPV4, f.IP_SRC, f.IP_DST, IP4, MASK4, TO4),
    ("6", IS_IPV6, f.IPV6_SRC, f.IPV6_DST, IP6, MASK6, TO6),
)


def _track(zone: Slot, table: t.Table, commit: Nat | None = None) -> Ct:
    return Ct(zone, table.number, commit)


# route: a floating IP is a better way out than a default route of the tenant
ROUTE_FLOATING: Final = tuple(
    shape(
        f"floating{name}",
        t.ROUTE,
        PREFIXES + PREFIX_STEP - 1,
        (IS_SRC, kind, Match(source, ip)),
        (SRC, ip),
        goto=t.TRANSLATE,
    )
    for name, kind, source, _, ip, _, _ in FAMILIES
)

# translate: a local port that has a floating IP goes by it, what is left of a translated tenant by its own
TRANSLATE_FLOATING: Final = tuple(
    shape(
        f"floating{name}",
        t.TRANSLATE,
        AT_LOCAL,
        (IS_SRC, kind, Match(source, ip)),
        (SRC, ip, ZONE, to),
        (_track(ZONE, t.TRANSLATED, Nat(End.SOURCE, to)),),
    )
    for name, kind, source, _, ip, _, to in FAMILIES
)
TRANSLATE_EGRESS: Final = tuple(
    shape(
        f"egress{name}",
        t.TRANSLATE,
        AT_GENERAL,
        (IS_VRF, Match(f.EXTERNAL.field, 0), kind),  # what came back from outside never goes there again
        (VRF, ZONE, to),
        (_track(ZONE, t.TRANSLATED, Nat(End.SOURCE, to)),),
    )
    for name, kind, _, _, _, _, to in FAMILIES
)

# returned, translated, landing: the verdict on what tracking gave back
RETURNED: Final = tuple(
    shape(
        f"known{name}",
        t.RETURNED,
        AT_REMOTE,
        (IS_ZONE, IS_KNOWN, kind),
        (ZONE, VRF, EXT),
        (
            SetField(f.NETWORK.field, 0),
            SetField(f.SOURCE.field, 0),
            SetField(f.VRF.field, VRF),
            SetField(f.EXTERNAL.field, EXT),
            _FROM_OUTSIDE,
            _LEAVE_ANYWHERE,
        ),
        t.ROUTE,
    )
    for name, kind, *_ in FAMILIES
)
TRANSLATED: Final = tuple(
    shape(
        f"leaving{name}",
        t.TRANSLATED,
        AT_REMOTE,
        (IS_ZONE, IS_VALID, kind, Match(source, ip)),
        (ZONE, ip, EXT),
        (SetField(f.EXTERNAL.field, EXT),),
        t.OUTSIDE,
    )
    for name, kind, source, _, ip, _, _ in FAMILIES
)
_LANDED: Final = tuple(
    shape(
        f"local{name}",
        t.LANDING,
        AT_REMOTE,
        (IS_ZONE, IS_VALID, kind, Match(target, ip)),
        (ZONE, ip, MAC, PORT),
        (_FROM_OUTSIDE, SetField(f.ETH_SRC, GATEWAY_MAC), SetField(f.ETH_DST, MAC), DecTtl(), Output(PORT)),
    )
    for name, kind, _, target, ip, _, _ in FAMILIES
)
LANDING: Final = tuple(into_origin(each) for each in _LANDED)
"""Whoever has a floating IP is reached from outside."""
LANDING_JUDGED: Final = tuple(into_door(each) for each in LANDING)
_VERDICTS: Final = (t.RETURNED, t.TRANSLATED, t.LANDING)
INVALID: Final = tuple(shape("invalid", table, AT_OWN, (IS_INVALID,)) for table in _VERDICTS)
REFUSED: Final = tuple(shape("refused", table, AT_GENERAL, (IS_ZONE,), (ZONE,)) for table in _VERDICTS)
"""Of a zone, but neither known nor translated: it is full, or nobody asked."""

# outside
OUTSIDE_SELF: Final = tuple(
    shape(f"self{name}", t.OUTSIDE, AT_SELF, (IS_EXT, IS_SRC, kind, Match(target, ip)), (EXT, SRC, ip))
    for name, kind, _, target, ip, _, _ in FAMILIES
)
OUTSIDE_HERE: Final = tuple(
    shape(
        f"here{name}",
        t.OUTSIDE,
        AT_HERE,
        (IS_EXT, kind, Match(target, ip)),
        (EXT, ip, ROUTER),
        (SetField(f.ETH_SRC, ROUTER), SetField(f.ETH_DST, ROUTER), SetField(f.EXIT.field, 0)),
        t.MARK,
    )
    for name, kind, _, target, ip, _, _ in FAMILIES
)


def _prefixed(name: str, family: Family) -> tuple[tuple[str, tuple[Match, ...], tuple[Slot, ...]], ...]:
    """(name, terms, slots) of a destination prefix: masked, exact, any."""
    version, kind, _, target, ip, mask, _ = family
    return (
        (f"{name}{version}-masked", (kind, Match(target, ip, mask)), (ip, mask)),
        (f"{name}{version}-exact", (kind, Match(target, ip)), (ip,)),
        (f"{name}{version}-any", (kind,), ()),
    )


def _away(vtep: Slot, field: Field) -> tuple[Shape, ...]:
    """A learned prefix: (masked, exact, any) of IPv4, then of IPv6; `vtep` decides the outer version."""
    sent: tuple[Action, ...] = (
        SetField(f.ETH_SRC, ROUTER),
        SetField(f.ETH_DST, NEXT),
        DecTtl(),
        SetField(f.TUN_ID, VNI),
        SetField(field, vtep),
        SetField(f.EXIT.field, PORT),
    )
    return tuple(
        shape(
            f"{name}-over-{vtep.name}",
            t.OUTSIDE,
            PRIORITY,
            (IS_EXT, *terms),
            (PRIORITY, EXT, *slots, ROUTER, NEXT, VNI, vtep, PORT),
            sent,
            t.MARK,
        )
        for family in FAMILIES
        for name, terms, slots in _prefixed("away", family)
    )


OUTSIDE_AWAY4: Final = _away(VTEP4, f.TUN_DST)
OUTSIDE_AWAY6: Final = _away(VTEP6, f.TUN_IPV6_DST)
OUTSIDE_POOL: Final = tuple(
    shape(name, t.OUTSIDE, PRIORITY, (IS_EXT, *terms), (PRIORITY, EXT, *slots))
    for family in FAMILIES
    for name, terms, slots in _prefixed("pool", family)
)

# output and arrival: to an address of an external network that is on this host
OUTPUT_FLOATING: Final = tuple(
    shape(
        f"floating{name}",
        t.OUTPUT,
        AT_REMOTE,
        (IS_EXT, Match(f.EXIT.field, 0), kind, Match(target, ip)),
        (EXT, ip, ZONE, to),
        (_track(ZONE, t.LANDING, Nat(End.DESTINATION, to)),),
    )
    for name, kind, _, target, ip, _, to in FAMILIES
)
OUTPUT_EGRESS: Final = tuple(
    shape(
        f"egress{name}",
        t.OUTPUT,
        AT_REMOTE - 1,
        (IS_EXT, Match(f.EXIT.field, 0), kind, Match(target, ip)),
        (EXT, ip, ZONE),
        (_track(ZONE, t.RETURNED),),
    )
    for name, kind, _, target, ip, _, _ in FAMILIES
)
ARRIVAL_FLOATING: Final = tuple(
    shape(
        f"floating{name}",
        t.ARRIVAL,
        AT_LOCAL,
        (IS_VRF, _TO_ROUTER, kind, Match(target, ip)),
        (VRF, ROUTER, ip, ZONE, to),
        (_track(ZONE, t.LANDING, Nat(End.DESTINATION, to)),),
    )
    for name, kind, _, target, ip, _, to in FAMILIES
)
ARRIVAL_EGRESS: Final = tuple(
    shape(
        f"egress{name}",
        t.ARRIVAL,
        AT_REMOTE,
        (IS_VRF, _TO_ROUTER, kind, Match(target, ip)),
        (VRF, ROUTER, ip, ZONE),
        (_track(ZONE, t.RETURNED),),
    )
    for name, kind, _, target, ip, _, _ in FAMILIES
)
ARRIVAL_INSIDE: Final = tuple(
    shape(name, t.ARRIVAL, PRIORITY, (IS_VRF, *terms), (PRIORITY, VRF, *slots))
    for family in FAMILIES
    for name, terms, slots in _prefixed("inside", family)[:2]
)
ARRIVAL_OUTWARD: Final = tuple(
    shape(
        f"outward{name}",
        t.ARRIVAL,
        ANYWHERE,
        (IS_VRF, _TO_ROUTER, kind),
        (VRF, ROUTER, ZONE, to),
        (_LEAVE_ANYWHERE, _track(ZONE, t.TRANSLATED, Nat(End.SOURCE, to))),
    )
    for name, kind, _, _, _, _, to in FAMILIES
)

OUTWARD: Final = (
    *RETURNED,
    *ROUTE_FLOATING,
    *TRANSLATE_FLOATING,
    *TRANSLATE_EGRESS,
    *TRANSLATED,
    *INVALID,
    *REFUSED,
    *OUTSIDE_SELF,
    *OUTSIDE_HERE,
    *OUTSIDE_AWAY4,
    *OUTSIDE_AWAY6,
    *OUTSIDE_POOL,
    *OUTPUT_FLOATING,
    *OUTPUT_EGRESS,
    *LANDING,
    *LANDING_JUDGED,
    *ARRIVAL_FLOATING,
    *ARRIVAL_EGRESS,
    *ARRIVAL_INSIDE,
    *ARRIVAL_OUTWARD,
)
"""All shapes of this file."""

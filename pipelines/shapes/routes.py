"""Shapes of routes: gateway, route and arrival, which make a router of the host for each tenant.

Place: tables gateway, route and arrival. See pipelines.shapes for the rules of all shapes. What decrements
the TTL stands behind flows that have taken the TTLs 0 and 1 away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Action, DecTtl, Field, Match, Move, Output, SetField, Shape, Slot, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_OWN,
    IP4,
    IP6,
    IS_ICMPV6,
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
    shape,
)

ROUTER: Final = Slot("router", 48)
"""This host's router MAC."""
NEXT: Final = Slot("next", 48)
"""The router MAC of the next hop."""
TTL: Final = Slot("ttl", 8)
EXPIRED_TTLS: Final = (0, 1)
"""A router that gets these may not forward (RFC 1812 section 5.3.1, RFC 8200 section 3)."""
ANSWER_TTL: Final = 64

# gateway
_TO_GATEWAY = Match(f.ETH_DST, GATEWAY_MAC)
_AT_ECHO = 400
_AT_NEVER_TO = 290
_AT_NEVER_FROM = 280
_AT_EXPIRED = 200
# OVS corrects the ICMP checksum when it writes type or code; an address that is swapped changes no sum.
ECHO4: Final = shape(
    "echo4",
    t.GATEWAY,
    _AT_ECHO,
    (
        IS_VRF,
        _TO_GATEWAY,
        IS_IPV4,
        Match(f.IP_DST, IP4),
        Match(f.IP_PROTO, f.ICMP),
        Match(f.ICMP_TYPE, f.ECHO_REQUEST),
        Match(f.ICMP_CODE, 0),
    ),
    (VRF, IP4),
    (
        Move(f.ETH_SRC, f.ETH_DST),
        SetField(f.ETH_SRC, GATEWAY_MAC),
        Move(f.IP_SRC, f.IP_DST),
        SetField(f.IP_SRC, IP4),
        SetField(f.NW_TTL, ANSWER_TTL),
        SetField(f.ICMP_TYPE, f.ECHO_REPLY),
        Special.IN_PORT,
    ),
)
ECHO6: Final = shape(
    "echo6",
    t.GATEWAY,
    _AT_ECHO,
    (
        IS_VRF,
        _TO_GATEWAY,
        *IS_ICMPV6,
        Match(f.IPV6_DST, IP6),
        Match(f.ICMPV6_TYPE, f.ECHO_REQUEST6),
        Match(f.ICMPV6_CODE, 0),
    ),
    (VRF, IP6),
    (
        Move(f.ETH_SRC, f.ETH_DST),
        SetField(f.ETH_SRC, GATEWAY_MAC),
        Move(f.IPV6_SRC, f.IPV6_DST),
        SetField(f.IPV6_SRC, IP6),
        SetField(f.NW_TTL, ANSWER_TTL),
        SetField(f.ICMPV6_TYPE, f.ECHO_REPLY6),
        Special.IN_PORT,
    ),
)
OWN4: Final = shape(
    "own4", t.GATEWAY, AT_OWN, (IS_VRF, _TO_GATEWAY, IS_IPV4, Match(f.IP_DST, IP4)), (VRF, IP4)
)
OWN6: Final = shape(
    "own6", t.GATEWAY, AT_OWN, (IS_VRF, _TO_GATEWAY, IS_IPV6, Match(f.IPV6_DST, IP6)), (VRF, IP6)
)


WATCH_OWN4, WATCH_OWN6 = (
    replace(own, name=f"watch-own{family}", table=t.WATCH.number, goto=t.GATEWAY.number)
    for family, own in (("4", OWN4), ("6", OWN6))
)
"""What ends in the table gateway, whatever it is, is not judged: it has the same match."""


def _never(name: str, priority: int, kind: Match, field: Field, value: int, mask: int) -> Shape:
    return shape(name, t.GATEWAY, priority, (_TO_GATEWAY, kind, Match(field, value, mask)))


_BYTE4 = 0xFF << 24
_BYTE6 = 0xFF << 120
NEVER_ROUTED: Final = (
    # RFC 1812 section 5.3.7 (this network, loopback), RFC 3927 section 7; groups in unicast frames
    _never("never-this", _AT_NEVER_TO, IS_IPV4, f.IP_DST, 0, _BYTE4),
    _never("never-loopback4", _AT_NEVER_TO, IS_IPV4, f.IP_DST, 0x7F << 24, _BYTE4),
    _never("never-link4", _AT_NEVER_TO, IS_IPV4, f.IP_DST, 0xA9FE0000, 0xFFFF0000),
    _never("never-group4", _AT_NEVER_TO, IS_IPV4, f.IP_DST, 0xE0 << 24, 0xE0 << 24),
    _never("never-from-link4", _AT_NEVER_FROM, IS_IPV4, f.IP_SRC, 0xA9FE0000, 0xFFFF0000),
    # RFC 4291 sections 2.5.2, 2.5.3 (:: and ::1), 2.5.6 and 2.7
    _never("never-loopback6", _AT_NEVER_TO, IS_IPV6, f.IPV6_DST, 0, (1 << 128) - 2),
    _never("never-link6", _AT_NEVER_TO, IS_IPV6, f.IPV6_DST, 0xFE80 << 112, 0xFFC0 << 112),
    _never("never-group6", _AT_NEVER_TO, IS_IPV6, f.IPV6_DST, _BYTE6, _BYTE6),
    _never("never-from-link6", _AT_NEVER_FROM, IS_IPV6, f.IPV6_SRC, 0xFE80 << 112, 0xFFC0 << 112),
)
EXPIRED4: Final = shape(
    "expired4",
    t.GATEWAY,
    _AT_EXPIRED,
    (IS_VRF, _TO_GATEWAY, IS_IPV4, Match(f.NW_TTL, TTL)),
    (VRF, TTL),
    (Special.CONTROLLER,),
)
EXPIRED6: Final = shape(
    "expired6",
    t.GATEWAY,
    _AT_EXPIRED,
    (IS_VRF, _TO_GATEWAY, IS_IPV6, Match(f.NW_TTL, TTL)),
    (VRF, TTL),
    (Special.CONTROLLER,),
)
ROUTED4: Final = shape("routed4", t.GATEWAY, AT_GENERAL, (IS_VRF, _TO_GATEWAY, IS_IPV4), (VRF,), goto=t.ROUTE)
ROUTED6: Final = shape("routed6", t.GATEWAY, AT_GENERAL, (IS_VRF, _TO_GATEWAY, IS_IPV6), (VRF,), goto=t.ROUTE)

# route
_AT_NOWHERE = 5
_AT_HOST_OWN = 500
_AT_HOST_LOCAL = 410
_AT_HOST_REMOTE = 400
"""Host routes stand above all prefixes."""
PREFIXES: Final = 10
"""Added to the length of a prefix by `PREFIX_STEP`: the longest wins, with two exceptions to each."""
PREFIX_STEP: Final = 3
_FAMILIES = (("4", IS_IPV4, f.IP_DST, IP4, MASK4), ("6", IS_IPV6, f.IPV6_DST, IP6, MASK6))


def _by_family(
    name: str, table: t.Table, priority: int, terms: tuple[Match, ...], slots: tuple[Slot, ...]
) -> tuple[tuple[str, t.Table, int, tuple[Match, ...], tuple[Slot, ...]], ...]:
    """The head of a shape for one address, for IPv4 and for IPv6."""
    return tuple(
        (f"{name}{family}", table, priority, (*terms, kind, Match(field, ip)), (*slots, ip))
        for family, kind, field, ip, _ in _FAMILIES
    )


def _rewritten(source: int | Slot, target: Slot) -> tuple[Action, ...]:
    return (SetField(f.ETH_SRC, source), SetField(f.ETH_DST, target), DecTtl())


# OVS sends nothing back through the port it came from: counted, it would be billed unsent.
ROUTE_SELF: Final = tuple(
    shape(*head) for head in _by_family("self", t.ROUTE, _AT_HOST_OWN, (IS_VRF, IS_SRC), (VRF, SRC))
)


def hosts_here(table: t.Table) -> tuple[Shape, ...]:
    """Addresses of local ports in a VRF, IPv4 and IPv6: with the gateway's MAC to the port's."""
    return tuple(
        shape(
            name,
            table,
            priority,
            match,
            (*slots, MAC, PORT),
            (*_rewritten(GATEWAY_MAC, MAC), SetField(f.EXIT.field, PORT)),
            t.MARK,
        )
        for name, table, priority, match, slots in _by_family(
            "local", table, _AT_HOST_LOCAL, (IS_VRF,), (VRF,)
        )
    )


ROUTE_LOCAL: Final = hosts_here(t.ROUTE)


def hosts_behind(table: t.Table) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Addresses behind a tunnel in a VRF, over IPv4 and over IPv6: see `_remote`."""
    return _remote(table, VTEP4, f.TUN_DST), _remote(table, VTEP6, f.TUN_IPV6_DST)


def _remote(table: t.Table, vtep: Slot, field: Field) -> tuple[Shape, ...]:
    """IPv4, IPv6 inside; `vtep` decides the outer version."""
    return tuple(
        shape(
            f"{name}-over-{vtep.name}",
            table,
            priority,
            match,
            (*slots, ROUTER, NEXT, VNI, vtep, PORT),
            (
                *_rewritten(ROUTER, NEXT),
                SetField(f.TUN_ID, VNI),
                SetField(field, vtep),
                SetField(f.EXIT.field, PORT),
            ),
            t.MARK,
        )
        for name, table, priority, match, slots in _by_family(
            "remote", table, _AT_HOST_REMOTE, (IS_VRF,), (VRF,)
        )
    )


ROUTE_REMOTE4, ROUTE_REMOTE6 = hosts_behind(t.ROUTE)


def _connected() -> tuple[Shape, ...]:
    """(masked, exact, any) of IPv4, then of IPv6: nobody known lives there, and its sender is told."""
    made = []
    for family, kind, field, ip, mask in _FAMILIES:
        for form, terms, more in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            name, slots = f"connected{family}-{form}", (PRIORITY, VRF, *more)
            match = (IS_VRF, kind, *terms)
            made.append(shape(name, t.ROUTE, PRIORITY, match, slots, (Special.CONTROLLER,), t.MARK))
    return tuple(made)


CONNECTED: Final = _connected()
NOWHERE: Final = tuple(
    shape(
        f"nowhere{family}",
        t.TRANSLATE,
        _AT_NOWHERE,
        (IS_VRF, Match(f.EXTERNAL.field, 0), kind),  # who sent what came back from outside is not told
        (VRF,),
        (Special.CONTROLLER,),
    )
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)

# arrival
_AT_TOLD = 500
_AT_EXPIRED_AFAR = 490
ARRIVAL_TOLD: Final = tuple(
    shape(
        f"told{family}",
        t.ARRIVAL,
        _AT_TOLD,
        (IS_VRF, kind, Match(f.NW_TTL, TTL), Match(f.ETH_DST, ROUTER)),
        (VRF, TTL, ROUTER),
        # OVS paces what goes to the agent by port of entry: a sender afar must not use up the tunnel's share,
        # out of which come the answers to path probes, of all tenants
        (SetField(f.IN_PORT, 0), Special.CONTROLLER),
    )
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)
ARRIVAL_EXPIRED: Final = tuple(
    shape(f"expired{family}", t.ARRIVAL, _AT_EXPIRED_AFAR, (kind, Match(f.NW_TTL, TTL)), (TTL,))
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)
ARRIVAL_LOCAL: Final = tuple(
    shape(
        name,
        table,
        priority,
        (*match, Match(f.ETH_DST, ROUTER)),
        (*slots, ROUTER, MAC, PORT),
        (*_rewritten(GATEWAY_MAC, MAC), Output(PORT)),
    )
    for name, table, priority, match, slots in _by_family(
        "local", t.ARRIVAL, _AT_HOST_LOCAL, (IS_VRF,), (VRF,)
    )
)

ROUTING: Final = (
    ECHO4,
    ECHO6,
    OWN4,
    OWN6,
    WATCH_OWN4,
    WATCH_OWN6,
    *NEVER_ROUTED,
    EXPIRED4,
    EXPIRED6,
    ROUTED4,
    ROUTED6,
    *ROUTE_SELF,
    *ROUTE_LOCAL,
    *ROUTE_REMOTE4,
    *ROUTE_REMOTE6,
    *CONNECTED,
    *NOWHERE,
    *ARRIVAL_TOLD,
    *ARRIVAL_EXPIRED,
    *ARRIVAL_LOCAL,
)
"""All shapes of this file."""

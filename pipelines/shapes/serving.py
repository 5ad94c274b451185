"""Shapes of serving: questions for names and metadata, to whoever answers them and back.

Place: tables served to restored, what leads to them from classify and services, and what keeps everybody else
from speaking as those who answer, in guard and neighbours. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Action, Field, Match, Metered, Move, Output, SetField, Shape, Slot, Special
from model.serving import SERVICES_MAC
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.quality import METER
from pipelines.shapes.terms import (
    AT_GENERAL,
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_SRC,
    IS_UNTAGGED,
    MAC,
    PORT,
    SRC,
    shape,
)

ALIAS4: Final = Slot("alias4", 32)
ALIAS6: Final = Slot("alias6", 128)
L4: Final = Slot("l4", 16)
AT_SERVED: Final = 400
"""Above whatever a port, a pair of it or a network could say or have."""
AT_ASKED: Final = 80
"""Below neighbour discovery, which goes to these addresses, too."""
_UDP, _TCP = Match(f.IP_PROTO, f.UDP), Match(f.IP_PROTO, f.TCP)

Twice = tuple[Shape, Shape]
"""For IPv4 and for IPv6."""

# classify: what comes from whoever answers
CLASSIFY_SERVED: Final = shape(
    "services", t.CLASSIFY, AT_GENERAL, (Match(f.IN_PORT, PORT), IS_UNTAGGED), (PORT,), goto=t.REPLIED
)

# guard, neighbours: nobody speaks as those who answer, whatever its tenant allowed it
GUARD_POSES: Final = (
    shape("poses4", t.GUARD, AT_SERVED, (IS_IPV4, Match(f.IP_SRC, IP4)), (IP4,)),
    shape("poses6", t.GUARD, AT_SERVED, (IS_IPV6, Match(f.IPV6_SRC, IP6)), (IP6,)),
)
GUARD_POSES_ARP: Final = shape("poses-arp", t.GUARD, AT_SERVED, (IS_ARP, Match(f.ARP_SPA, IP4)), (IP4,))
NEIGHBOURS_POSES: Final = shape(
    "poses", t.NEIGHBOURS, AT_SERVED, (*IS_ICMPV6, *IS_ADVERT, Match(f.ND_TARGET, IP6)), (IP6,)
)

# services, advertise: on a link without a gateway they are asked for, too
ARP_SERVED: Final = shape(
    "arp-served",
    t.SERVICES,
    AT_SERVED,
    (IS_ARP, Match(f.ARP_OP, f.ARP_REQUEST), Match(f.ARP_TPA, IP4)),
    (IP4,),
    (
        Move(f.ETH_SRC, f.ETH_DST),
        SetField(f.ETH_SRC, GATEWAY_MAC),
        SetField(f.ARP_OP, f.ARP_REPLY),
        Move(f.ARP_SHA, f.ARP_THA),
        Move(f.ARP_SPA, f.ARP_TPA),
        SetField(f.ARP_SHA, GATEWAY_MAC),
        SetField(f.ARP_SPA, IP4),
        Special.IN_PORT,
    ),
)
ND_SERVED: Final = shape(
    "served",
    t.ADVERTISE,
    AT_SERVED,
    (*IS_ICMPV6, *IS_ADVERT, Match(f.ND_TARGET, IP6)),
    (IP6,),
    (
        SetField(f.ETH_SRC, GATEWAY_MAC),
        SetField(f.IPV6_SRC, IP6),
        SetField(f.ND_TLL, GATEWAY_MAC),
        Special.IN_PORT,
    ),
)
TO_SERVED: Final[Twice] = (
    shape("served4", t.SERVICES, AT_ASKED, (IS_IPV4, Match(f.IP_DST, IP4)), (IP4,), goto=t.SERVED),
    shape("served6", t.SERVICES, AT_ASKED, (IS_IPV6, Match(f.IPV6_DST, IP6)), (IP6,), goto=t.SERVED),
)


def _served(name: str, kind: Match, port: Field) -> Twice:
    four = (IS_IPV4, kind, Match(port, L4), Match(f.IP_DST, IP4))
    six = (IS_IPV6, kind, Match(port, L4), Match(f.IPV6_DST, IP6))
    return (
        shape(f"{name}4", t.SERVED, AT_GENERAL, four, (IP4, L4), goto=t.ALIASED),
        shape(f"{name}6", t.SERVED, AT_GENERAL, six, (IP6, L4), goto=t.ALIASED),
    )


def _replied(name: str, kind: Match, port: Field) -> Twice:
    four = (IS_IPV4, kind, Match(port, L4), Match(f.IP_SRC, IP4))
    six = (IS_IPV6, kind, Match(port, L4), Match(f.IPV6_SRC, IP6))
    return (
        shape(f"{name}4", t.REPLIED, AT_GENERAL, four, (IP4, L4), goto=t.RESTORED),
        shape(f"{name}6", t.REPLIED, AT_GENERAL, six, (IP6, L4), goto=t.RESTORED),
    )


SERVED_UDP: Final = _served("udp", _UDP, f.UDP_DST)
SERVED_TCP: Final = _served("tcp", _TCP, f.TCP_DST)
REPLIED_UDP: Final = _replied("udp", _UDP, f.UDP_SRC)
REPLIED_TCP: Final = _replied("tcp", _TCP, f.TCP_SRC)
# Its second half would never come, since it bears no port; the first would take room from others.
_FIRST = Match(f.IP_FRAG, f.ANY_FRAGMENT, f.ANY_FRAGMENT)
SERVED_FRAGMENT: Final[Twice] = (
    shape("fragment4", t.SERVED, AT_SERVED, (IS_IPV4, _FIRST)),
    shape("fragment6", t.SERVED, AT_SERVED, (IS_IPV6, _FIRST)),
)


def _aliased(name: str, kind: Match, field: Field, own: Slot, other: Slot) -> Shape:
    return shape(
        name,
        t.ALIASED,
        AT_GENERAL,
        (IS_SRC, kind, Match(field, own)),
        (SRC, own, other, METER, PORT),
        (Metered(METER), SetField(field, other), SetField(f.ETH_DST, SERVICES_MAC), Output(PORT)),
    )


def _restored(name: str, kind: Match, field: Field, own: Slot, other: Slot) -> Shape:
    actions: tuple[Action, ...] = (
        SetField(field, own),
        SetField(f.ETH_SRC, GATEWAY_MAC),
        SetField(f.ETH_DST, MAC),
        Output(PORT),
    )
    return shape(name, t.RESTORED, AT_GENERAL, (kind, Match(field, other)), (other, own, MAC, PORT), actions)


ALIASED: Final[Twice] = (
    _aliased("ipv4", IS_IPV4, f.IP_SRC, IP4, ALIAS4),
    _aliased("ipv6", IS_IPV6, f.IPV6_SRC, IP6, ALIAS6),
)
RESTORED: Final[Twice] = (
    _restored("ipv4", IS_IPV4, f.IP_DST, IP4, ALIAS4),
    _restored("ipv6", IS_IPV6, f.IPV6_DST, IP6, ALIAS6),
)

SERVING: Final = (
    CLASSIFY_SERVED,
    *GUARD_POSES,
    GUARD_POSES_ARP,
    NEIGHBOURS_POSES,
    ARP_SERVED,
    ND_SERVED,
    *TO_SERVED,
    *SERVED_UDP,
    *SERVED_TCP,
    *SERVED_FRAGMENT,
    *REPLIED_UDP,
    *REPLIED_TCP,
    *ALIASED,
    *RESTORED,
)
"""All shapes of this file."""

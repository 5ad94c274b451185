"""Shapes of answers: services and advertise, which answer ARP and neighbour discovery from the flow itself.

Place: tables services and advertise. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import Action, Field, Match, Move, SetField, Shape, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_GATEWAY,
    AT_GENERAL,
    AT_LAST,
    AT_LOCAL,
    AT_OWN,
    AT_REMOTE,
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_NET,
    IS_SOLICIT,
    IS_SRC,
    MAC,
    NET,
    SRC,
    shape,
)

# services
ARP_OWN: Final = shape(
    "arp-own",
    t.SERVICES,
    AT_OWN,
    (IS_SRC, IS_ARP, Match(f.ARP_OP, f.ARP_REQUEST), Match(f.ARP_TPA, IP4)),
    (SRC, IP4),
)
_ARP_REPLY = (
    Move(f.ETH_SRC, f.ETH_DST),
    SetField(f.ETH_SRC, MAC),
    SetField(f.ARP_OP, f.ARP_REPLY),
    Move(f.ARP_SHA, f.ARP_THA),
    Move(f.ARP_SPA, f.ARP_TPA),
    SetField(f.ARP_SHA, MAC),
    SetField(f.ARP_SPA, IP4),
    Special.IN_PORT,
)


def _arp_answer(name: str, priority: int) -> Shape:
    match = (IS_NET, IS_ARP, Match(f.ARP_OP, f.ARP_REQUEST), Match(f.ARP_TPA, IP4))
    return shape(name, t.SERVICES, priority, match, (NET, IP4, MAC), _ARP_REPLY)


ARP_LOCAL: Final = _arp_answer("arp-local", AT_LOCAL)
ARP_REMOTE: Final = _arp_answer("arp-remote", AT_REMOTE)
ARP_GATEWAY: Final = _arp_answer("arp-gateway", AT_GATEWAY)
ARP_UNKNOWN: Final = shape("arp-unknown", t.SERVICES, AT_GENERAL, (IS_ARP, Match(f.ARP_OP, f.ARP_REQUEST)))
ARP_REPLIES: Final = shape(
    "arp-reply", t.SERVICES, AT_GENERAL, (IS_ARP, Match(f.ARP_OP, f.ARP_REPLY)), goto=t.RESOLVE
)
ND_OWN: Final = shape(
    "nd-own", t.SERVICES, AT_OWN, (IS_SRC, *IS_ICMPV6, *IS_SOLICIT, Match(f.ND_TARGET, IP6)), (SRC, IP6)
)
# Without the option there is no room for the answer's own: the target's owner answers such a solicitation.
ND_PLAIN: Final = shape(
    "nd-plain", t.SERVICES, AT_REMOTE, (*IS_ICMPV6, *IS_SOLICIT, Match(f.ND_SLL, 0)), goto=t.RESOLVE
)
SOLICITED_OVERRIDE: Final = 0x60000000
"""Flags of the answer: R 0, S 1, O 1 (RFC 4861 section 4.4)."""
ROUTER: Final = 0x80000000
"""The flag R, which a router's advertisements must bear (RFC 4861 section 7.2.4)."""
TARGET_LINK_LAYER: Final = 2
"""Option type of the target's link-layer address (RFC 4861 section 4.6.1)."""


def _moved(field: Field, value: int) -> tuple[Action, ...]:
    """Write a field that Open vSwitch refuses to set where the kernel's data path is.

    It judges by what the kernel can do, yet hands every packet of which such a field changes to
    ovs-vswitchd, which can. A move is not judged, and comes to the same on both data paths.
    """
    return (SetField(f.NOTICE.field, value), Move(f.NOTICE.field, field))


ND_TURN: Final = shape(
    "nd-turn",
    t.SERVICES,
    AT_GENERAL,
    (*IS_ICMPV6, *IS_SOLICIT),
    (),
    (
        Move(f.ETH_SRC, f.ETH_DST),
        Move(f.IPV6_SRC, f.IPV6_DST),
        SetField(f.ICMPV6_TYPE, f.NEIGHBOR_ADVERTISEMENT),
        *_moved(f.ND_RESERVED, SOLICITED_OVERRIDE),
        *_moved(f.ND_OPTIONS_TYPE, TARGET_LINK_LAYER),
    ),
    t.ADVERTISE,
)
SERVICES_IPV4: Final = shape("ipv4", t.SERVICES, AT_LAST, (IS_IPV4,), goto=t.ACROSS)
SERVICES_IPV6: Final = shape("ipv6", t.SERVICES, AT_LAST, (IS_IPV6,), goto=t.ACROSS)


# advertise
def _nd_answer(name: str, priority: int, *flags: Action) -> Shape:
    actions = (
        *flags,
        SetField(f.ETH_SRC, MAC),
        SetField(f.IPV6_SRC, IP6),
        SetField(f.ND_TLL, MAC),
        Special.IN_PORT,
    )
    match = (IS_NET, *IS_ICMPV6, *IS_ADVERT, Match(f.ND_TARGET, IP6))
    return shape(name, t.ADVERTISE, priority, match, (NET, IP6, MAC), actions)


ND_LOCAL: Final = _nd_answer("local", AT_LOCAL)
ND_REMOTE: Final = _nd_answer("remote", AT_REMOTE)
ND_GATEWAY: Final = _nd_answer("gateway", AT_GATEWAY, *_moved(f.ND_RESERVED, ROUTER | SOLICITED_OVERRIDE))

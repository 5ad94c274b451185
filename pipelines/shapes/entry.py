"""Shapes of entry: classify, guard and neighbours, which say whose frame it is and whether it is honest.

Place: tables classify to neighbours. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import Field, Match, SetField, Shape
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_LAST,
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_ONE_HOP,
    IS_SOLICIT,
    IS_SRC,
    IS_UNTAGGED,
    LLA,
    MAC,
    NET,
    PORT,
    SCOPE,
    SRC,
    VNI,
    VRF,
    VTEP4,
    VTEP6,
    shape,
)

# classify
LOCAL: Final = shape(
    "local",
    t.CLASSIFY,
    AT_GENERAL,
    (Match(f.IN_PORT, PORT), IS_UNTAGGED),
    (PORT, NET, SRC, VRF, SCOPE),
    (
        SetField(f.NETWORK.field, NET),
        SetField(f.SOURCE.field, SRC),
        SetField(f.VRF.field, VRF),
        SetField(f.SCOPE.field, SCOPE),
    ),
    t.GUARD,
)
TUNNEL4: Final = shape(
    "tunnel4",
    t.CLASSIFY,
    AT_GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_SRC, VTEP4), IS_UNTAGGED),
    (PORT, VNI, VTEP4, NET, SCOPE),
    (SetField(f.NETWORK.field, NET), SetField(f.SCOPE.field, SCOPE)),
    t.DELIVERY,
)
TUNNEL6: Final = shape(
    "tunnel6",
    t.CLASSIFY,
    AT_GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_IPV6_SRC, VTEP6), IS_UNTAGGED),
    (PORT, VNI, VTEP6, NET, SCOPE),
    (SetField(f.NETWORK.field, NET), SetField(f.SCOPE.field, SCOPE)),
    t.DELIVERY,
)
TUNNEL_VRF4: Final = shape(
    "vrf4",
    t.CLASSIFY,
    AT_GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_SRC, VTEP4), IS_UNTAGGED),
    (PORT, VNI, VTEP4, VRF, SCOPE),
    (SetField(f.VRF.field, VRF), SetField(f.SCOPE.field, SCOPE)),
    t.ARRIVAL,
)
TUNNEL_VRF6: Final = shape(
    "vrf6",
    t.CLASSIFY,
    AT_GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_IPV6_SRC, VTEP6), IS_UNTAGGED),
    (PORT, VNI, VTEP6, VRF, SCOPE),
    (SetField(f.VRF.field, VRF), SetField(f.SCOPE.field, SCOPE)),
    t.ARRIVAL,
)
CLASSIFY_REFUSED: Final = shape("refused", t.CLASSIFY, AT_LAST, (Match(f.IN_PORT, PORT),), (PORT,))


# guard. A DHCP client listens on port 68 (RFC 2131 section 4.1) or 546 (RFC 8415 section 7.2) whatever port
# the answer comes from, so both ends are refused.
def _dhcp(name: str, priority: int, kind: Match, field: Field, port: int) -> Shape:
    return shape(name, t.GUARD, priority, (kind, Match(f.IP_PROTO, f.UDP), Match(field, port)))


DHCP: Final = (
    _dhcp("dhcp4-to-client", 310, IS_IPV4, f.UDP_DST, 68),
    _dhcp("dhcp4-by-server", 300, IS_IPV4, f.UDP_SRC, 67),
    _dhcp("dhcp6-to-client", 310, IS_IPV6, f.UDP_DST, 546),
    _dhcp("dhcp6-by-server", 300, IS_IPV6, f.UDP_SRC, 547),
)
GUARD_ARP: Final = shape(
    "arp",
    t.GUARD,
    200,
    (IS_SRC, Match(f.ETH_SRC, MAC), IS_ARP, Match(f.ARP_SPA, IP4), Match(f.ARP_SHA, MAC)),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
GUARD_PROBE: Final = shape(
    "arp-probe",  # RFC 5227 section 2.1.1: sender address all zero
    t.GUARD,
    200,
    (
        IS_SRC,
        Match(f.ETH_SRC, MAC),
        IS_ARP,
        Match(f.ARP_OP, f.ARP_REQUEST),
        Match(f.ARP_SPA, 0),
        Match(f.ARP_TPA, IP4),
        Match(f.ARP_SHA, MAC),
    ),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
GUARD_IPV4: Final = shape(
    "ipv4",
    t.GUARD,
    200,
    (IS_SRC, Match(f.ETH_SRC, MAC), IS_IPV4, Match(f.IP_SRC, IP4)),
    (SRC, MAC, IP4),
    (),
    t.SIZE,
)
GUARD_IPV6: Final = shape(
    "ipv6",
    t.GUARD,
    200,
    (IS_SRC, Match(f.ETH_SRC, MAC), IS_IPV6, Match(f.IPV6_SRC, IP6)),
    (SRC, MAC, IP6),
    (),
    t.NEIGHBOURS,
)
GUARD_DAD: Final = shape(
    "dad",  # RFC 4862 section 5.4.2, RFC 4861 section 7.1.1: unspecified source, no link-layer option
    t.GUARD,
    200,
    (
        IS_SRC,
        Match(f.ETH_SRC, MAC),
        *IS_ICMPV6,
        Match(f.IPV6_SRC, 0),
        IS_ONE_HOP,
        *IS_SOLICIT,
        Match(f.ND_TARGET, IP6),
        Match(f.ND_SLL, 0),
    ),
    (SRC, MAC, IP6),
    (),
    t.SERVICES,
)
GUARD_REFUSED: Final = shape("refused", t.GUARD, AT_GENERAL, (IS_SRC,), (SRC,))

# neighbours. OVS sees the ports and types of a fragment as zero. Receivers drop fragmented discovery (RFC
# 6980), but not all of them do; the hop limit tells it from other fragments (RFC 4861 section 7.1).
ND_FRAGMENT: Final = shape(
    "fragment",
    t.NEIGHBOURS,
    310,
    (*IS_ICMPV6, Match(f.IP_FRAG, f.ANY_FRAGMENT, f.ANY_FRAGMENT), IS_ONE_HOP),
)
# OVS reads the target as zero where an option stands twice or has a bad length: nobody can vouch for it.
ND_GARBLED: Final = shape("garbled", t.NEIGHBOURS, 300, (*IS_ICMPV6, *IS_SOLICIT, Match(f.ND_TARGET, 0)))
ND_SOLICIT: Final = shape(
    "solicit",
    t.NEIGHBOURS,
    200,
    (IS_SRC, *IS_ICMPV6, IS_ONE_HOP, *IS_SOLICIT, Match(f.ND_SLL, LLA)),
    (SRC, LLA),
    (),
    t.SERVICES,
)
ND_ADVERTISE: Final = shape(
    "advertise",
    t.NEIGHBOURS,
    200,
    (IS_SRC, *IS_ICMPV6, IS_ONE_HOP, *IS_ADVERT, Match(f.ND_TARGET, IP6), Match(f.ND_TLL, LLA)),
    (SRC, IP6, LLA),
    (),
    t.SERVICES,
)
ND_REFUSED: Final = tuple(
    shape(f"refused-{kind}", t.NEIGHBOURS, AT_GENERAL, (*IS_ICMPV6, Match(f.ICMPV6_TYPE, kind)))
    for kind in (
        f.ROUTER_SOLICITATION,
        f.ROUTER_ADVERTISEMENT,
        f.NEIGHBOR_SOLICITATION,
        f.NEIGHBOR_ADVERTISEMENT,
        f.REDIRECT,
    )
)
ND_OTHER: Final = shape("other", t.NEIGHBOURS, AT_LAST, (IS_IPV6,), goto=t.SIZE)

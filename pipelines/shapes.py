"""Every shape of flow that the pipeline emits: table, priority, match and actions, with slots for numbers.

Place: the one list from which the southbound learns its templates; features fill the slots. Must not know
objects or addresses.

Priorities of one table never let two flows overlap at the same height (pipelines.check holds that). A shape
with a masked slot is never filled with a mask of all ones or of zero, since OVS would read it back as another
match: such prefixes have shapes of their own.
"""

from __future__ import annotations

from typing import Final

from model.flow import (
    Action,
    Field,
    Match,
    Move,
    Output,
    OutputField,
    SetField,
    Shape,
    Slot,
    Special,
)
from model.ids import EVERYTHING_ELSE, SAME_NETWORK
from pipelines import fields as f
from pipelines import tables as t

NET: Final = Slot("network", 32)
SRC: Final = Slot("source", 32)
PORT: Final = Slot("port", 32)
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

_NET = Match(f.NETWORK.field, NET)
_SRC = Match(f.SOURCE.field, SRC)
_UNTAGGED = Match(f.VLAN_TCI, 0)
_GROUP = Match(f.ETH_DST, f.GROUP, f.GROUP)
_SINGLE = Match(f.ETH_DST, 0, f.GROUP)
_ARP = Match(f.ETH_TYPE, f.ARP)
_IPV4 = Match(f.ETH_TYPE, f.IPV4)
_IPV6 = Match(f.ETH_TYPE, f.IPV6)
_ICMPV6 = (_IPV6, Match(f.IP_PROTO, f.ICMPV6))
_ONE_HOP = Match(f.NW_TTL, f.HOP_LIMIT)
_SOLICIT = (Match(f.ICMPV6_TYPE, f.NEIGHBOR_SOLICITATION), Match(f.ICMPV6_CODE, 0))
_ADVERT = (Match(f.ICMPV6_TYPE, f.NEIGHBOR_ADVERTISEMENT), Match(f.ICMPV6_CODE, 0))

# Heights that recur: local beats remote for the same MAC or IP, and both beat a table's general rules.
_OWN, _LOCAL, _REMOTE, _GENERAL, _LAST = 300, 210, 200, 100, 50
NETWORK_PREFIXES: Final = 500
"""Added to the length of a prefix: the subnets of a network stand above all declared prefixes,"""
DECLARED_PREFIXES: Final = 100
"""since what stays inside the network is never anything else."""


def _shape(
    name: str,
    table: t.Table,
    priority: int | Slot,
    match: tuple[Match, ...],
    slots: tuple[Slot, ...] = (),
    actions: tuple[Action, ...] = (),
    goto: t.Table | None = None,
) -> Shape:
    return Shape(
        f"{table.name}-{name}",
        table.number,
        priority,
        match,
        actions,
        None if goto is None else goto.number,
        slots,
    )


# classify
LOCAL: Final = _shape(
    "local",
    t.CLASSIFY,
    _GENERAL,
    (Match(f.IN_PORT, PORT), _UNTAGGED),
    (PORT, NET, SRC),
    (SetField(f.NETWORK.field, NET), SetField(f.SOURCE.field, SRC)),
    t.GUARD,
)
TUNNEL4: Final = _shape(
    "tunnel4",
    t.CLASSIFY,
    _GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_SRC, VTEP4), _UNTAGGED),
    (PORT, VNI, VTEP4, NET),
    (SetField(f.NETWORK.field, NET),),
    t.DELIVERY,
)
TUNNEL6: Final = _shape(
    "tunnel6",
    t.CLASSIFY,
    _GENERAL,
    (Match(f.IN_PORT, PORT), Match(f.TUN_ID, VNI), Match(f.TUN_IPV6_SRC, VTEP6), _UNTAGGED),
    (PORT, VNI, VTEP6, NET),
    (SetField(f.NETWORK.field, NET),),
    t.DELIVERY,
)
CLASSIFY_REFUSED: Final = _shape("refused", t.CLASSIFY, _LAST, (Match(f.IN_PORT, PORT),), (PORT,))


# guard. A DHCP client listens on port 68 (RFC 2131 section 4.1) or 546 (RFC 8415 section 7.2) whatever port the
# answer comes from, so both ends are refused.
def _dhcp(name: str, priority: int, kind: Match, field: Field, port: int) -> Shape:
    return _shape(name, t.GUARD, priority, (kind, Match(f.IP_PROTO, f.UDP), Match(field, port)))


DHCP: Final = (
    _dhcp("dhcp4-to-client", 310, _IPV4, f.UDP_DST, 68),
    _dhcp("dhcp4-by-server", 300, _IPV4, f.UDP_SRC, 67),
    _dhcp("dhcp6-to-client", 310, _IPV6, f.UDP_DST, 546),
    _dhcp("dhcp6-by-server", 300, _IPV6, f.UDP_SRC, 547),
)
GUARD_ARP: Final = _shape(
    "arp",
    t.GUARD,
    200,
    (_SRC, Match(f.ETH_SRC, MAC), _ARP, Match(f.ARP_SPA, IP4), Match(f.ARP_SHA, MAC)),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
GUARD_PROBE: Final = _shape(
    "arp-probe",  # RFC 5227 section 2.1.1: sender address all zero
    t.GUARD,
    200,
    (
        _SRC,
        Match(f.ETH_SRC, MAC),
        _ARP,
        Match(f.ARP_OP, f.ARP_REQUEST),
        Match(f.ARP_SPA, 0),
        Match(f.ARP_TPA, IP4),
        Match(f.ARP_SHA, MAC),
    ),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
GUARD_IPV4: Final = _shape(
    "ipv4",
    t.GUARD,
    200,
    (_SRC, Match(f.ETH_SRC, MAC), _IPV4, Match(f.IP_SRC, IP4)),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
GUARD_IPV6: Final = _shape(
    "ipv6",
    t.GUARD,
    200,
    (_SRC, Match(f.ETH_SRC, MAC), _IPV6, Match(f.IPV6_SRC, IP6)),
    (SRC, MAC, IP6),
    (),
    t.NEIGHBOURS,
)
GUARD_DAD: Final = _shape(
    "dad",  # RFC 4862 section 5.4.2, RFC 4861 section 7.1.1: unspecified source, no link-layer option
    t.GUARD,
    200,
    (
        _SRC,
        Match(f.ETH_SRC, MAC),
        *_ICMPV6,
        Match(f.IPV6_SRC, 0),
        _ONE_HOP,
        *_SOLICIT,
        Match(f.ND_TARGET, IP6),
        Match(f.ND_SLL, 0),
    ),
    (SRC, MAC, IP6),
    (),
    t.SERVICES,
)
GUARD_REFUSED: Final = _shape("refused", t.GUARD, _GENERAL, (_SRC,), (SRC,))

# neighbours. OVS sees the ports and types of a fragment as zero. Receivers drop fragmented discovery (RFC 6980),
# but not all of them do; the hop limit tells it from other fragments (RFC 4861 section 7.1).
ND_FRAGMENT: Final = _shape(
    "fragment",
    t.NEIGHBOURS,
    310,
    (*_ICMPV6, Match(f.IP_FRAG, f.ANY_FRAGMENT, f.ANY_FRAGMENT), _ONE_HOP),
)
# OVS reads the target as zero where an option stands twice or has a bad length: nobody can vouch for the rest.
ND_GARBLED: Final = _shape("garbled", t.NEIGHBOURS, 300, (*_ICMPV6, *_SOLICIT, Match(f.ND_TARGET, 0)))
ND_SOLICIT: Final = _shape(
    "solicit",
    t.NEIGHBOURS,
    200,
    (_SRC, *_ICMPV6, _ONE_HOP, *_SOLICIT, Match(f.ND_SLL, LLA)),
    (SRC, LLA),
    (),
    t.SERVICES,
)
ND_ADVERTISE: Final = _shape(
    "advertise",
    t.NEIGHBOURS,
    200,
    (_SRC, *_ICMPV6, _ONE_HOP, *_ADVERT, Match(f.ND_TARGET, IP6), Match(f.ND_TLL, LLA)),
    (SRC, IP6, LLA),
    (),
    t.SERVICES,
)
ND_REFUSED: Final = tuple(
    _shape(f"refused-{kind}", t.NEIGHBOURS, _GENERAL, (*_ICMPV6, Match(f.ICMPV6_TYPE, kind)))
    for kind in (
        f.ROUTER_SOLICITATION,
        f.ROUTER_ADVERTISEMENT,
        f.NEIGHBOR_SOLICITATION,
        f.NEIGHBOR_ADVERTISEMENT,
        f.REDIRECT,
    )
)
ND_OTHER: Final = _shape("other", t.NEIGHBOURS, _LAST, (_IPV6,), goto=t.SERVICES)

# services
ARP_OWN: Final = _shape(
    "arp-own",
    t.SERVICES,
    _OWN,
    (_SRC, _ARP, Match(f.ARP_OP, f.ARP_REQUEST), Match(f.ARP_TPA, IP4)),
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
    match = (_NET, _ARP, Match(f.ARP_OP, f.ARP_REQUEST), Match(f.ARP_TPA, IP4))
    return _shape(name, t.SERVICES, priority, match, (NET, IP4, MAC), _ARP_REPLY)


ARP_LOCAL: Final = _arp_answer("arp-local", _LOCAL)
ARP_REMOTE: Final = _arp_answer("arp-remote", _REMOTE)
ARP_UNKNOWN: Final = _shape("arp-unknown", t.SERVICES, _GENERAL, (_ARP, Match(f.ARP_OP, f.ARP_REQUEST)))
ARP_REPLIES: Final = _shape(
    "arp-reply", t.SERVICES, _GENERAL, (_ARP, Match(f.ARP_OP, f.ARP_REPLY)), goto=t.RESOLVE
)
ND_OWN: Final = _shape(
    "nd-own", t.SERVICES, _OWN, (_SRC, *_ICMPV6, *_SOLICIT, Match(f.ND_TARGET, IP6)), (SRC, IP6)
)
# Without the option there is no room for the answer's own: the target's owner answers such a solicitation.
ND_PLAIN: Final = _shape(
    "nd-plain", t.SERVICES, _REMOTE, (*_ICMPV6, *_SOLICIT, Match(f.ND_SLL, 0)), goto=t.RESOLVE
)
SOLICITED_OVERRIDE: Final = 0x60000000
"""Flags of the answer: R 0, S 1, O 1 (RFC 4861 section 4.4)."""
TARGET_LINK_LAYER: Final = 2
"""Option type of the target's link-layer address (RFC 4861 section 4.6.1)."""
ND_TURN: Final = _shape(
    "nd-turn",
    t.SERVICES,
    _GENERAL,
    (*_ICMPV6, *_SOLICIT),
    (),
    (
        Move(f.ETH_SRC, f.ETH_DST),
        Move(f.IPV6_SRC, f.IPV6_DST),
        SetField(f.ICMPV6_TYPE, f.NEIGHBOR_ADVERTISEMENT),
        SetField(f.ND_RESERVED, SOLICITED_OVERRIDE),
        SetField(f.ND_OPTIONS_TYPE, TARGET_LINK_LAYER),
    ),
    t.ADVERTISE,
)
SERVICES_IPV4: Final = _shape("ipv4", t.SERVICES, _LAST, (_IPV4,), goto=t.RESOLVE)
SERVICES_IPV6: Final = _shape("ipv6", t.SERVICES, _LAST, (_IPV6,), goto=t.RESOLVE)


# advertise
def _nd_answer(name: str, priority: int) -> Shape:
    actions = (
        SetField(f.ETH_SRC, MAC),
        SetField(f.IPV6_SRC, IP6),
        SetField(f.ND_TLL, MAC),
        Special.IN_PORT,
    )
    match = (_NET, *_ICMPV6, *_ADVERT, Match(f.ND_TARGET, IP6))
    return _shape(name, t.ADVERTISE, priority, match, (NET, IP6, MAC), actions)


ND_LOCAL: Final = _nd_answer("local", _LOCAL)
ND_REMOTE: Final = _nd_answer("remote", _REMOTE)

# resolve
RESOLVE_SELF: Final = _shape(
    # OVS sends nothing back through the port it came from: counted here, it would be billed unsent.
    "self",
    t.RESOLVE,
    _OWN,
    (_SRC, Match(f.ETH_DST, MAC)),
    (SRC, MAC),
)
RESOLVE_LOCAL: Final = _shape(
    "local",
    t.RESOLVE,
    _LOCAL,
    (_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, PORT),
    (SetField(f.EXIT.field, PORT),),
    t.CLASSES,
)
RESOLVE_REMOTE4: Final = _shape(
    "remote4",
    t.RESOLVE,
    _REMOTE,
    (_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, VNI, VTEP4, PORT),
    (SetField(f.TUN_ID, VNI), SetField(f.TUN_DST, VTEP4), SetField(f.EXIT.field, PORT)),
    t.CLASSES,
)
RESOLVE_REMOTE6: Final = _shape(
    "remote6",
    t.RESOLVE,
    _REMOTE,
    (_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, VNI, VTEP6, PORT),
    (SetField(f.TUN_ID, VNI), SetField(f.TUN_IPV6_DST, VTEP6), SetField(f.EXIT.field, PORT)),
    t.CLASSES,
)
RESOLVE_GROUP: Final = _shape("group", t.RESOLVE, _GENERAL, (_NET, _GROUP), (NET,), goto=t.CLASSES)
RESOLVE_REFUSED: Final = _shape("group-refused", t.RESOLVE, _LAST, (_GROUP,))

# class
_STAY = (SetField(f.CLASS.field, SAME_NETWORK),)
CLASS_GROUP: Final = _shape("group", t.CLASSES, 1010, (_GROUP,), (), _STAY, t.ACCOUNT)
CLASS_ARP: Final = _shape("arp", t.CLASSES, 1000, (_ARP,), (), _STAY, t.ACCOUNT)
CLASS_LINK4: Final = _shape(
    "link4",  # 169.254.0.0/16, never routed (RFC 3927 section 2.7)
    t.CLASSES,
    1000,
    (_IPV4, Match(f.IP_DST, 0xA9FE0000, 0xFFFF0000)),
    (),
    _STAY,
    t.ACCOUNT,
)
CLASS_LINK6: Final = _shape(
    "link6",  # fe80::/10, never routed (RFC 4291 section 2.5.6)
    t.CLASSES,
    1000,
    (_IPV6, Match(f.IPV6_DST, 0xFE80 << 112, 0xFFC0 << 112)),
    (),
    _STAY,
    t.ACCOUNT,
)


def _prefixes(name: str, scope: tuple[Match, ...], slots: tuple[Slot, ...]) -> tuple[Shape, ...]:
    """Shapes for a prefix: (masked, exact, any) of IPv4, then of IPv6."""
    made = []
    for family, kind, field, ip, mask in (
        ("4", _IPV4, f.IP_DST, IP4, MASK4),
        ("6", _IPV6, f.IPV6_DST, IP6, MASK6),
    ):
        for form, terms, more in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            made.append(
                _shape(
                    f"{name}{family}-{form}",
                    t.CLASSES,
                    PRIORITY,
                    (*scope, kind, *terms),
                    (PRIORITY, CLS, *slots, *more),
                    (SetField(f.CLASS.field, CLS),),
                    t.ACCOUNT,
                )
            )
    return tuple(made)


CLASS_SUBNET: Final = _prefixes("subnet", (_NET,), (NET,))
CLASS_DECLARED: Final = _prefixes("declared", (), ())

# account
COUNTER: Final = _shape(
    "counter",
    t.ACCOUNT,
    _GENERAL,
    (_SRC, Match(f.CLASS.field, CLS)),
    (SRC, CLS),
    (),
    t.OUTPUT,
)

# output, delivery
OUTPUT_SINGLE: Final = _shape("single", t.OUTPUT, _LAST, (_SINGLE,), (), (OutputField(f.EXIT.field),))
DELIVERY_SINGLE: Final = _shape(
    "single", t.DELIVERY, _REMOTE, (_NET, Match(f.ETH_DST, MAC)), (NET, MAC, PORT), (Output(PORT),)
)
DELIVERY_REFUSED: Final = _shape("group-refused", t.DELIVERY, _LAST, (_GROUP,))


def output_group(ports: int, vteps: int, version: int) -> Shape:
    """A group frame of a local port: to `ports` local ports, then to `vteps` VTEPs of IP `version` 4 or 6.

    Slots: network, port0.., and if there are VTEPs: vni, tunnel, vtep0... OVS itself leaves out the port
    through which the frame came.
    """
    locals_ = tuple(Slot(f"port{i}", 32) for i in range(ports))
    target = f.TUN_DST if version == 4 else f.TUN_IPV6_DST
    ends = tuple(Slot(f"vtep{i}", target.bits) for i in range(vteps))
    tunnel = Slot("tunnel", 32)
    actions: list[Action] = [Output(p) for p in locals_]
    slots = [NET, *locals_]
    if ends:
        actions.append(SetField(f.TUN_ID, VNI))
        slots += [VNI, tunnel, *ends]
    for end in ends:
        actions += [SetField(target, end), Output(tunnel)]
    name = f"group-{ports}-{vteps}-v{version}"
    return _shape(name, t.OUTPUT, _GENERAL, (_NET, _GROUP), tuple(slots), tuple(actions))


def delivery_group(ports: int) -> Shape:
    """A group frame of the tunnel: to `ports` local ports. Slots: network, port0, port1..."""
    locals_ = tuple(Slot(f"port{i}", 32) for i in range(ports))
    actions = tuple(Output(p) for p in locals_)
    return _shape(f"group-{ports}", t.DELIVERY, _GENERAL, (_NET, _GROUP), (NET, *locals_), actions)


def _miss(table: t.Table) -> Shape:
    """Priority 0 and no match: what comes here is counted under a cookie of ours."""
    if table is t.CLASSES:
        other = (SetField(f.CLASS.field, EVERYTHING_ELSE),)
        return _shape("miss", table, 0, (), (), other, t.ACCOUNT)
    return _shape("miss", table, 0, ())


MISSES: Final = tuple(_miss(table) for table in t.TABLES)

SHAPES: Final[tuple[Shape, ...]] = (
    LOCAL,
    TUNNEL4,
    TUNNEL6,
    CLASSIFY_REFUSED,
    *DHCP,
    GUARD_ARP,
    GUARD_PROBE,
    GUARD_IPV4,
    GUARD_IPV6,
    GUARD_DAD,
    GUARD_REFUSED,
    ND_FRAGMENT,
    ND_GARBLED,
    ND_SOLICIT,
    ND_ADVERTISE,
    *ND_REFUSED,
    ND_OTHER,
    ARP_OWN,
    ARP_LOCAL,
    ARP_REMOTE,
    ARP_UNKNOWN,
    ARP_REPLIES,
    ND_OWN,
    ND_PLAIN,
    ND_TURN,
    SERVICES_IPV4,
    SERVICES_IPV6,
    ND_LOCAL,
    ND_REMOTE,
    RESOLVE_SELF,
    RESOLVE_LOCAL,
    RESOLVE_REMOTE4,
    RESOLVE_REMOTE6,
    RESOLVE_GROUP,
    RESOLVE_REFUSED,
    CLASS_GROUP,
    CLASS_ARP,
    CLASS_LINK4,
    CLASS_LINK6,
    *CLASS_SUBNET,
    *CLASS_DECLARED,
    COUNTER,
    OUTPUT_SINGLE,
    DELIVERY_SINGLE,
    DELIVERY_REFUSED,
    *MISSES,
)
"""All shapes of fixed length. Those of replication are made by `output_group` and `delivery_group`."""

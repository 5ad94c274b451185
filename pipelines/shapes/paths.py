"""Shapes of paths: resolve, class, account, output and delivery, which send the frame on and count it.

Place: tables resolve to delivery. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Action, Copy, Match, Output, OutputField, SetField, Shape, Slot
from model.ids import SAME_NETWORK
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_LAST,
    AT_LOCAL,
    AT_OWN,
    AT_PEERED,
    AT_REMOTE,
    CLS,
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_GROUP,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_NET,
    IS_SINGLE,
    IS_SOLICIT,
    IS_SRC,
    IS_VRF,
    MAC,
    MASK4,
    MASK6,
    NET,
    PORT,
    PRIORITY,
    SRC,
    VNI,
    VRF,
    VTEP4,
    VTEP6,
    shape,
)

# resolve
RESOLVE_SELF: Final = shape(
    # OVS sends nothing back through the port it came from: counted here, it would be billed unsent.
    "self",
    t.RESOLVE,
    AT_OWN,
    (IS_SRC, Match(f.ETH_DST, MAC)),
    (SRC, MAC),
)
RESOLVE_LOCAL: Final = shape(
    "local",
    t.RESOLVE,
    AT_LOCAL,
    (IS_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, PORT),
    (SetField(f.EXIT.field, PORT),),
    t.MARK,
)
RESOLVE_REMOTE4: Final = shape(
    "remote4",
    t.RESOLVE,
    AT_REMOTE,
    (IS_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, VNI, VTEP4, PORT),
    (SetField(f.TUN_ID, VNI), SetField(f.TUN_DST, VTEP4), SetField(f.EXIT.field, PORT)),
    t.MARK,
)
RESOLVE_REMOTE6: Final = shape(
    "remote6",
    t.RESOLVE,
    AT_REMOTE,
    (IS_NET, Match(f.ETH_DST, MAC)),
    (NET, MAC, VNI, VTEP6, PORT),
    (SetField(f.TUN_ID, VNI), SetField(f.TUN_IPV6_DST, VTEP6), SetField(f.EXIT.field, PORT)),
    t.MARK,
)
RESOLVE_GROUP: Final = shape("group", t.RESOLVE, AT_GENERAL, (IS_NET, IS_GROUP), (NET,), goto=t.MARK)
RESOLVE_REFUSED: Final = shape("group-refused", t.RESOLVE, AT_LAST, (IS_GROUP,))

# class
_STAY = (SetField(f.CLASS.field, SAME_NETWORK),)
CLASS_GROUP: Final = shape("group", t.CLASSES, 1010, (IS_GROUP,), (), _STAY, t.ACCOUNT)
CLASS_ARP: Final = shape("arp", t.CLASSES, 1000, (IS_ARP,), (), _STAY, t.ACCOUNT)
CLASS_LINK4: Final = shape(
    "link4",  # 169.254.0.0/16, never routed (RFC 3927 section 2.7)
    t.CLASSES,
    1000,
    (IS_IPV4, Match(f.IP_DST, 0xA9FE0000, 0xFFFF0000)),
    (),
    _STAY,
    t.ACCOUNT,
)
CLASS_LINK6: Final = shape(
    "link6",  # fe80::/10, never routed (RFC 4291 section 2.5.6)
    t.CLASSES,
    1000,
    (IS_IPV6, Match(f.IPV6_DST, 0xFE80 << 112, 0xFFC0 << 112)),
    (),
    _STAY,
    t.ACCOUNT,
)


def _prefixes(name: str, scope: tuple[Match, ...], slots: tuple[Slot, ...]) -> tuple[Shape, ...]:
    """Shapes for a prefix: (masked, exact, any) of IPv4, then of IPv6."""
    made = []
    for family, kind, field, ip, mask in (
        ("4", IS_IPV4, f.IP_DST, IP4, MASK4),
        ("6", IS_IPV6, f.IPV6_DST, IP6, MASK6),
    ):
        for form, terms, more in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            made.append(
                shape(
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


CLASS_SUBNET: Final = _prefixes("subnet", (IS_NET,), (NET,))
CLASS_TENANT: Final = _prefixes("tenant", (IS_VRF,), (VRF,))
CLASS_DECLARED: Final = _prefixes("declared", (), ())
CLASS_PEERED: Final = shape(
    "peered", t.CLASSES, AT_PEERED, (IS_VRF,), (VRF, CLS), (SetField(f.CLASS.field, CLS),), t.ACCOUNT
)

# account
COUNTER: Final = shape(
    "counter",
    t.ACCOUNT,
    AT_GENERAL,
    (IS_SRC, Match(f.CLASS.field, CLS)),
    (SRC, CLS),
    (),
    t.OUTPUT,
)

ACCOUNT_ROUTER: Final = shape("router", t.ACCOUNT, AT_LAST, (Match(f.SOURCE.field, 0),), goto=t.OUTPUT)
"""No port has key 0."""

# output, delivery
OUTPUT_NOWHERE: Final = shape(
    # Nobody has the address: the frame ends behind its counter, so that none is credited to another way when
    # somebody comes or goes (docs/decisions/0051).
    "nowhere",
    t.OUTPUT,
    AT_GENERAL,
    (IS_SINGLE, Match(f.EXIT.field, 0)),
)
OUTPUT_SINGLE: Final = shape("single", t.OUTPUT, AT_LAST, (IS_SINGLE,), (), (OutputField(f.EXIT.field),))
DELIVERY_SINGLE: Final = shape(
    "single", t.DELIVERY, AT_REMOTE, (IS_NET, Match(f.ETH_DST, MAC)), (NET, MAC, PORT), (Output(PORT),)
)
DELIVERY_FALSE_GATEWAY: Final = shape("false-gateway", t.DELIVERY, 400, (Match(f.ETH_SRC, GATEWAY_MAC),))
DELIVERY_ARP_BY: Final = shape(
    "arp-by-gateway", t.DELIVERY, 390, (IS_NET, IS_ARP, Match(f.ARP_SPA, IP4)), (NET, IP4)
)
DELIVERY_ARP_FOR: Final = shape(
    "arp-for-gateway", t.DELIVERY, 380, (IS_NET, IS_ARP, Match(f.ARP_TPA, IP4)), (NET, IP4)
)
DELIVERY_SOLICIT: Final = shape(
    "solicit-gateway",
    t.DELIVERY,
    390,
    (IS_NET, *IS_ICMPV6, *IS_SOLICIT, Match(f.ND_TARGET, IP6)),
    (NET, IP6),
)
DELIVERY_ADVERT: Final = shape(
    "advertise-gateway",
    t.DELIVERY,
    390,
    (IS_NET, *IS_ICMPV6, *IS_ADVERT, Match(f.ND_TARGET, IP6)),
    (NET, IP6),
)
DELIVERY_REFUSED: Final = shape("group-refused", t.DELIVERY, AT_LAST, (IS_GROUP,))


def _copied(limited: int, judged: int) -> tuple[str, tuple[Slot, ...], tuple[Action, ...]]:
    """For the name, the slots, and the copies: of ports with a limit, then of those under policy."""
    name, slots, copies = "", list[Slot](), list[Action]()
    for what, count, table in (("limited", limited, t.LIMIT), ("judged", judged, t.DOOR)):
        ports = tuple(Slot(f"port-{what}{i}", 32) for i in range(count))
        name += f"-{what}{count}" if count else ""
        slots += ports
        copies += (Copy(f.EXIT.field, port, table.number) for port in ports)
    return name, tuple(slots), tuple(copies)


RESOLVE_ROUTERS: Final = shape(
    "routers", t.RESOLVE, AT_LOCAL, (IS_NET, Match(f.ETH_DST, MAC)), (NET, MAC), goto=t.MARK
)


def for_routers(group: Shape) -> Shape:
    """A shape of replication for one group MAC alone, that of VRRP. Slots: network, MAC, and its others."""
    return replace(
        group,
        name=f"{group.name}-routers",
        priority=AT_LOCAL,
        match=(IS_NET, Match(f.ETH_DST, MAC)),
        slots=(NET, MAC, *group.slots[1:]),
    )


def output_group(ports: int, vteps: int, version: int, limited: int = 0, judged: int = 0) -> Shape:
    """A group frame of a local port: to `ports` local ports, then to `vteps` VTEPs of IP `version` 4 or 6.

    Slots: network, port0.., and if there are VTEPs: vni, tunnel, vtep0..., at last the `limited` ports, and
    the `judged` ones. OVS itself leaves out the port through which the frame came.
    """
    locals_ = tuple(Slot(f"port{i}", 32) for i in range(ports))
    tail, bounded, copies = _copied(limited, judged)
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
    actions += copies
    slots += bounded
    name = f"group-{ports}-{vteps}-v{version}{tail}"
    return shape(name, t.OUTPUT, AT_GENERAL, (IS_NET, IS_GROUP), tuple(slots), tuple(actions))


def delivery_group(ports: int, limited: int = 0, judged: int = 0) -> Shape:
    """A group frame of the tunnel: to `ports` local ports, then to `limited` ones, which have a limit, and to
    `judged` ones, which are under policy.

    Slots: network, port0, port1..., then those with a limit, then those under policy.
    """
    locals_ = tuple(Slot(f"port{i}", 32) for i in range(ports))
    tail, bounded, copies = _copied(limited, judged)
    actions = (*(Output(p) for p in locals_), *copies)
    name = f"group-{ports}{tail}"
    return shape(name, t.DELIVERY, AT_GENERAL, (IS_NET, IS_GROUP), (NET, *locals_, *bounded), actions)

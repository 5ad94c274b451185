"""The tables of the ways out: floating IPs, egress addresses, external networks.

Place: listed in `pipelines.tables`, at their places in the order. Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table

_NET = f.NETWORK.field
_SRC = f.SOURCE.field
_EXIT = f.EXIT.field
_VRF = f.VRF.field
_EXT = f.EXTERNAL.field
_TO = f.RECEIVER.field

RETURNED: Final = Table(
    number=22,
    name="returned",
    purpose="Takes what conntrack knows as part of a connection that a tenant began from behind its egress"
    " address: from here on it is routed as that tenant's.",
    matches=(f.CT_STATE, f.CT_ZONE, f.ETH_TYPE),
    writes=(_NET, _SRC, _VRF, _EXT, f.SCOPE.field, f.IN_PORT),
    next=("route",),
    miss="drop: no zone of a tenant",
)
TRANSLATE: Final = Table(
    number=32,
    name="translate",
    purpose="Takes what has no route in its tenant: conntrack gives it the port's floating IP or, where this"
    " host translates for the tenant, the tenant's egress address. The agent gets what has no way out.",
    matches=(_SRC, _VRF, _EXT, f.ETH_TYPE, f.IP_SRC, f.IPV6_SRC),
    writes=(),
    next=(),
    miss="drop: came from outside, and has no route in its tenant",
    again=("translated",),
)
TRANSLATED: Final = Table(
    number=34,
    name="translated",
    purpose="Lets on what bears the address that it should have got, for a zone that is full or out of ports"
    " leaves packets as they were.",
    matches=(f.CT_STATE, f.CT_ZONE, f.ETH_TYPE, f.IP_SRC, f.IPV6_SRC),
    writes=(_EXT,),
    next=("outside",),
    miss="drop: no zone of ours",
)
OUTSIDE: Final = Table(
    number=36,
    name="outside",
    purpose="Finds the next hop within an external network: addresses of it that are on this host, learned"
    " prefixes by their length, and below each length pools of ours, where nobody else lives.",
    matches=(_EXT, _SRC, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, f.ETH_SRC, f.ETH_DST, f.NW_TTL, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("mark",),
    miss="drop: no border knows the way",
)
LANDING: Final = Table(
    number=65,
    name="landing",
    purpose="Hands what came for a floating IP to its port, if conntrack gave it the port's own address.",
    matches=(f.CT_STATE, f.CT_ZONE, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, _TO, f.SCOPE.field, f.ETH_SRC, f.ETH_DST, f.NW_TTL),
    next=("door", "origin"),
    miss="drop: no zone of ours",
)

"""The tables that bring frames to those who get them: local ports, and the tunnel.

Place: listed in `pipelines.tables`, behind all that a port's sending costs. Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table

_NET = f.NETWORK.field
_EXIT = f.EXIT.field
_VRF = f.VRF.field
_SLOT = f.SLOT.field
_EXT = f.EXTERNAL.field
_TO = f.RECEIVER.field

OUTPUT: Final = Table(
    number=61,
    name="output",
    purpose="Sends a unicast frame where resolve said, and copies of a group frame to all other local ports"
    " and to the VTEPs of the network. For an external address on this host it goes back through conntrack,"
    " as if it had come from another host. What a gateway lets in from outside is counted for a port here,"
    " and marked for the host of any other.",
    matches=(_NET, _EXIT, _EXT, f.OUTSIDE.field, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, _TO, f.ETH_SRC, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("door", "origin", "limit"),
    again=("landing", "returned"),
    miss="drop: never reached, resolve lets no group frame by that has no flow here",
)
DELIVERY: Final = Table(
    number=62,
    name="delivery",
    purpose="Hands frames of the tunnel to local ports of their network, and never back to a tunnel (split"
    " horizon). Nobody out there speaks as the gateway, which is on every host, or asks for it.",
    matches=(
        _NET,
        f.ETH_SRC,
        f.ETH_DST,
        f.ETH_TYPE,
        f.ARP_SPA,
        f.ARP_TPA,
        f.IP_PROTO,
        f.ICMPV6_TYPE,
        f.ICMPV6_CODE,
        f.ND_TARGET,
    ),
    writes=(_EXIT,),
    next=("door", "limit"),
    miss="drop: unknown unicast",
)
ARRIVAL: Final = Table(
    number=63,
    name="arrival",
    purpose="Routes packets that another VTEP routed here (RFC 9135 section 5.2) to local ports of the"
    " tenant, if they are sent to this host's router MAC, and never back to a tunnel. Those whose TTL is used"
    " up go to the agent. What is for a floating IP or an egress address, or leaves a tenant that is"
    " translated here, goes through conntrack.",
    matches=(_VRF, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST, f.NW_TTL),
    writes=(_EXIT, _TO, _SLOT, f.ETH_SRC, f.ETH_DST, f.NW_TTL, f.IN_PORT),
    next=("spread", "door", "origin", "limit"),
    again=("returned", "translated", "landing"),
    miss="drop: no local port's address, or not for this router",
)
SPREAD: Final = Table(
    number=64,
    name="spread",
    purpose="As nexthop, for packets that another VTEP routed here: to next hops on this host only.",
    matches=(_VRF, _SLOT, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, _TO, f.ETH_SRC, f.ETH_DST, f.NW_TTL),
    next=("door", "origin", "limit"),
    miss="drop: never reached, all slots of a prefix are given out",
)
LIMIT: Final = Table(
    number=80,
    name="limit",
    purpose="Drops what a local port gets above its limit, and hands it the rest.",
    matches=(_EXIT,),
    writes=(),
    next=(),
    miss="drop: never reached, each port that may come here has a flow",
)

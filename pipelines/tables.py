"""The tables of the pipeline, a declaration each, in the order in which a frame meets them.

Place: numbers stand here once, with room between them; shapes, features, check and docs/pipeline.md read
them. Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table as Table
from pipelines.tables_entering import ARRIVAL as ARRIVAL
from pipelines.tables_entering import DELIVERY as DELIVERY
from pipelines.tables_entering import LIMIT as LIMIT
from pipelines.tables_entering import OUTPUT as OUTPUT
from pipelines.tables_entering import SPREAD as SPREAD
from pipelines.tables_fence import FENCE as FENCE
from pipelines.tables_inward import ORIGIN as ORIGIN
from pipelines.tables_inward import RECEIVED as RECEIVED
from pipelines.tables_outward import LANDING as LANDING
from pipelines.tables_outward import OUTSIDE as OUTSIDE
from pipelines.tables_outward import RETURNED as RETURNED
from pipelines.tables_outward import TRANSLATE as TRANSLATE
from pipelines.tables_outward import TRANSLATED as TRANSLATED
from pipelines.tables_policy import ACROSS as ACROSS
from pipelines.tables_policy import ADDRESSEE as ADDRESSEE
from pipelines.tables_policy import CHAINS as CHAINS
from pipelines.tables_policy import DOOR as DOOR
from pipelines.tables_policy import ENTERED as ENTERED
from pipelines.tables_policy import ENTERED_HITS as ENTERED_HITS
from pipelines.tables_policy import ENTERED_OWN as ENTERED_OWN
from pipelines.tables_policy import ENTERED_PARTS as ENTERED_PARTS
from pipelines.tables_policy import ENTERED_WHOLE as ENTERED_WHOLE
from pipelines.tables_policy import ENTERING as ENTERING
from pipelines.tables_policy import ENTERING_OWN as ENTERING_OWN
from pipelines.tables_policy import INWARD_CHAIN as INWARD_CHAIN
from pipelines.tables_policy import JUDGING as JUDGING
from pipelines.tables_policy import LEAVING as LEAVING
from pipelines.tables_policy import LEAVING_OWN as LEAVING_OWN
from pipelines.tables_policy import LEFT as LEFT
from pipelines.tables_policy import LEFT_HITS as LEFT_HITS
from pipelines.tables_policy import LEFT_OWN as LEFT_OWN
from pipelines.tables_policy import LEFT_PARTS as LEFT_PARTS
from pipelines.tables_policy import LEFT_WHOLE as LEFT_WHOLE
from pipelines.tables_policy import OUTWARD_CHAIN as OUTWARD_CHAIN
from pipelines.tables_policy import OWN as OWN
from pipelines.tables_policy import SETTLE as SETTLE
from pipelines.tables_policy import WATCH as WATCH
from pipelines.tables_serving import ALIASED as ALIASED
from pipelines.tables_serving import REPLIED as REPLIED
from pipelines.tables_serving import RESTORED as RESTORED
from pipelines.tables_serving import SERVED as SERVED
from pipelines.tables_serving import SERVING

_NET = f.NETWORK.field
_SRC = f.SOURCE.field
_EXIT = f.EXIT.field
_CLS = f.CLASS.field
_VRF = f.VRF.field
_SLOT = f.SLOT.field

CLASSIFY: Final = Table(
    number=0,
    name="classify",
    purpose="Says whose frame it is. Local: an untagged frame of a bound port. Tunnel: an untagged frame"
    " whose outer source is a VTEP that may send this VNI, be it a network's or a tenant's (L3VNI)."
    " Of a port that is moving here and lives elsewhere, only its announcement is heard."
    " Probes of other hosts go back to where they came from. What ringfenced services says goes to replied.",
    matches=(
        f.IN_PORT,
        f.TUN_ID,
        f.TUN_SRC,
        f.TUN_IPV6_SRC,
        f.VLAN_TCI,
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
    writes=(_NET, _SRC, _VRF, f.SCOPE.field, f.OUTSIDE.field, f.ETH_DST, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("fence", "guard", "delivery", "arrival", "replied"),
    miss="drop: no port of ours",
)
GUARD: Final = Table(
    number=4,
    name="guard",
    purpose="Lets through what carries the port's own MAC and IP as its source, in Ethernet, ARP, IPv4 and"
    " IPv6. Hands the agent what a port asks its network (DHCP, router solicitations), whatever its source"
    " address, behind a meter. Answers of DHCP servers never pass, nor what claims to be of an address where"
    " names or metadata are served.",
    matches=(
        _SRC,
        f.ETH_SRC,
        f.ETH_TYPE,
        f.ARP_OP,
        f.ARP_SPA,
        f.ARP_TPA,
        f.ARP_SHA,
        f.IP_SRC,
        f.IPV6_SRC,
        f.IP_PROTO,
        f.NW_TTL,
        f.UDP_SRC,
        f.UDP_DST,
        f.ICMPV6_TYPE,
        f.ICMPV6_CODE,
        f.ND_TARGET,
        f.ND_SLL,
    ),
    writes=(),
    next=("neighbours", "size", "services"),
    miss="drop: no port's own",
)
NEIGHBOURS: Final = Table(
    number=8,
    name="neighbours",
    purpose="Looks into ICMPv6: solicitations and advertisements only with the port's own MAC, targets and"
    " hop limit 255; nothing that only a router says; no fragment that could hide one of these.",
    matches=(
        _SRC,
        f.ETH_TYPE,
        f.IP_PROTO,
        f.IP_FRAG,
        f.NW_TTL,
        f.ICMPV6_TYPE,
        f.ICMPV6_CODE,
        f.ND_TARGET,
        f.ND_SLL,
        f.ND_TLL,
    ),
    writes=(),
    next=("size", "services"),
    miss="drop: never reached, IPv6 only comes here",
)
SIZE: Final = Table(
    number=9,
    name="size",
    purpose="Compares IP packets with an MTU: of a port that could send larger ones than its network has,"
    " and those to the gateway for a network of the tenant, or of a peer, that has a smaller MTU. A pass of"
    " the data path ends behind the check, so that no flow after it counts for the other outcome; all others"
    " go on in the same pass.",
    matches=(_NET, _SRC, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(f.LARGER.field,),
    next=("oversize", "services"),
    miss="continue: nothing to compare",
)
OVERSIZE: Final = Table(
    number=10,
    name="oversize",
    purpose="Hands what is too large to the agent, which tells its sender the MTU. Nobody gets it, and nobody"
    " pays for it.",
    matches=(_NET, _SRC, f.LARGER.field, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(),
    next=("services",),
    miss="continue: it fits",
)
SERVICES: Final = Table(
    number=12,
    name="services",
    purpose="Answers ARP for every known address of the network and for its gateway, from the flow itself."
    " Turns neighbour solicitations into advertisements for the next table. Nobody is told of its own"
    " address. What is sent to where names or metadata are served goes to served, and nowhere else.",
    matches=(
        _NET,
        _SRC,
        f.ETH_TYPE,
        f.ARP_OP,
        f.ARP_TPA,
        f.IP_DST,
        f.IPV6_DST,
        f.IP_PROTO,
        f.ICMPV6_TYPE,
        f.ICMPV6_CODE,
        f.ND_TARGET,
        f.ND_SLL,
    ),
    writes=(
        f.ETH_SRC,
        f.ETH_DST,
        f.ARP_OP,
        f.ARP_SPA,
        f.ARP_TPA,
        f.ARP_SHA,
        f.ARP_THA,
        f.IPV6_DST,
        f.ICMPV6_TYPE,
        f.ND_RESERVED,
        f.ND_OPTIONS_TYPE,
        f.NOTICE.field,
    ),
    next=("across", "advertise", "resolve", "served"),
    miss="drop: neither ARP nor IP",
)
ADVERTISE: Final = Table(
    number=16,
    name="advertise",
    purpose="Fills in and returns the neighbour advertisement. A table of its own, because OVS allows nd_tll"
    " to be written only where the match says that the message is an advertisement.",
    matches=(_NET, f.ETH_TYPE, f.IP_PROTO, f.ICMPV6_TYPE, f.ICMPV6_CODE, f.ND_TARGET),
    writes=(f.ETH_SRC, f.IPV6_SRC, f.ND_TLL, f.ND_RESERVED, f.NOTICE.field),
    next=(),
    miss="drop: solicitation for an address that nobody has",
)
GATEWAY: Final = Table(
    number=20,
    name="gateway",
    purpose="Takes what is sent to the gateway's MAC. Answers echo requests to any gateway address of the"
    " tenant, drops what else is for one, hands packets whose TTL is used up to the agent, and has the rest"
    " routed. Frames to any other MAC are bridged; those of ports that some rule forbids to send are held"
    " against what they carry first.",
    matches=(
        _VRF,
        _SRC,
        f.ETH_DST,
        f.ETH_TYPE,
        f.IP_SRC,
        f.IP_DST,
        f.IPV6_SRC,
        f.IPV6_DST,
        f.IP_PROTO,
        f.NW_TTL,
        f.ICMP_TYPE,
        f.ICMP_CODE,
        f.ICMPV6_TYPE,
        f.ICMPV6_CODE,
    ),
    writes=(
        f.ETH_SRC,
        f.ETH_DST,
        f.IP_SRC,
        f.IP_DST,
        f.IPV6_SRC,
        f.IPV6_DST,
        f.NW_TTL,
        f.ICMP_TYPE,
        f.ICMPV6_TYPE,
    ),
    next=("route", "addressee", "resolve"),
    miss="continue as a bridged frame",
)
ROUTE: Final = Table(
    number=24,
    name="route",
    purpose="Finds the next hop within the tenant: a host route for each known address, whatever its network,"
    " and below them the longest prefix: connected, where nobody else lives, or behind next hops. Of several"
    " next hops a group chooses one by a hash of the connection.",
    matches=(_VRF, _SRC, f.ETH_TYPE, f.IP_SRC, f.IP_DST, f.IPV6_SRC, f.IPV6_DST),
    writes=(_VRF, _EXIT, _SLOT, f.ETH_SRC, f.ETH_DST, f.NW_TTL, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("peer", "nexthop", "translate", "mark"),
    miss="continue to the ways out",
)
PEER: Final = Table(
    number=26,
    name="peer",
    purpose="Finds an exported address in the VRF of a peering: a local port, or a VTEP's router MAC under"
    " the peering's L3VNI. Only what one side exports gets here, and only on its way to what the other does.",
    matches=(_VRF, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, f.ETH_SRC, f.ETH_DST, f.NW_TTL, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("mark",),
    miss="continue: nobody has the address that is exported: counted and sent nowhere",
)
NEXTHOP: Final = Table(
    number=28,
    name="nexthop",
    purpose="Sends a packet to the next hop that has its slot, of a prefix with several.",
    matches=(_VRF, _SLOT, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_EXIT, f.ETH_SRC, f.ETH_DST, f.NW_TTL, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("mark",),
    miss="drop: never reached, all slots of a prefix are given out",
)
RESOLVE: Final = Table(
    number=40,
    name="resolve",
    purpose="Finds where the destination MAC of this network lives: a local port, or a VTEP.",
    matches=(_NET, _SRC, f.ETH_DST),
    writes=(_EXIT, f.TUN_ID, f.TUN_DST, f.TUN_IPV6_DST),
    next=("mark",),
    miss="continue: unknown unicast, counted and sent nowhere",
)
MARK: Final = Table(
    number=44,
    name="mark",
    purpose="Writes the DSCP of networks that have one into what their ports send; the ECN bits stay.",
    matches=(_NET, f.ETH_TYPE),
    writes=(f.IP_DSCP,),
    next=("rate",),
    miss="continue with the mark that it has",
)
RATE: Final = Table(
    number=52,
    name="rate",
    purpose="Drops what a port sends above its limit. A pass of the data path ends behind the meter, so that"
    " what it drops is not counted; a port without a limit goes on in the same pass.",
    matches=(_SRC,),
    writes=(),
    next=("class",),
    miss="continue: no limit",
)
CLASSES: Final = Table(
    number=56,
    name="class",
    purpose="Finds the egress class of the destination: a peered tenant, the network's own subnets, the"
    " tenant's others, the declared prefixes, longest first (priority 500, 300 or 100 and the length of the"
    " prefix), then public addresses.",
    matches=(_NET, _VRF, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(_CLS,),
    next=("account",),
    miss="continue as everything else",
)
ACCOUNT: Final = Table(
    number=60,
    name="account",
    purpose="Counts for the bill: one flow per port and class, which nothing else ever touches. From here on"
    " nothing drops, but for the limit of what the receiver gets.",
    matches=(_SRC, _CLS),
    writes=(),
    next=("output",),
    miss="drop: a class without a counter",
)
TABLES: Final = (
    CLASSIFY,
    FENCE,
    GUARD,
    NEIGHBOURS,
    SIZE,
    OVERSIZE,
    SERVICES,
    ACROSS,
    WATCH,
    LEAVING,
    ADVERTISE,
    LEFT,
    LEFT_HITS,
    LEFT_PARTS,
    GATEWAY,
    RETURNED,
    ROUTE,
    PEER,
    NEXTHOP,
    TRANSLATE,
    TRANSLATED,
    OUTSIDE,
    ADDRESSEE,
    RESOLVE,
    MARK,
    RATE,
    CLASSES,
    ACCOUNT,
    OUTPUT,
    DELIVERY,
    ARRIVAL,
    SPREAD,
    LANDING,
    DOOR,
    ENTERING,
    ENTERED,
    ENTERED_HITS,
    ENTERED_PARTS,
    ORIGIN,
    RECEIVED,
    LIMIT,
    *CHAINS,
    *OWN,
    *SERVING,
)


def table(number: int) -> Table:
    """The declaration of a table; KeyError names the number if there is none."""
    for each in TABLES:
        if each.number == number:
            return each
    raise KeyError(f"no table {number} is declared")


def number(name: str) -> int:
    """The number of a declared table; KeyError names it if there is none."""
    for each in TABLES:
        if each.name == name:
            return each.number
    raise KeyError(f"no table {name!r} is declared")

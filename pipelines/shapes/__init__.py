"""Every shape of flow that the pipeline emits: table, priority, match and actions, with slots for numbers.

Place: the one list from which the southbound learns its templates; features fill the slots. Must not know
objects or addresses.

Priorities of one table never let two flows overlap at the same height (pipelines.check holds that). A shape
with a masked slot is never filled with a mask of all ones or of zero, since OVS would read it back as another
match: such prefixes have shapes of their own.
"""

from __future__ import annotations

from typing import Final

from model.flow import SetField, Shape
from model.ids import EVERYTHING_ELSE
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.addressee import ADDRESSEES
from pipelines.shapes.answers import (
    ARP_GATEWAY,
    ARP_LOCAL,
    ARP_OWN,
    ARP_REMOTE,
    ARP_REPLIES,
    ARP_UNKNOWN,
    ND_GATEWAY,
    ND_LOCAL,
    ND_OWN,
    ND_PLAIN,
    ND_REMOTE,
    ND_TURN,
    SERVICES_IPV4,
    SERVICES_IPV6,
)
from pipelines.shapes.asked import ASKED
from pipelines.shapes.entry import (
    CLASSIFY_REFUSED,
    DHCP,
    GUARD_ARP,
    GUARD_DAD,
    GUARD_IPV4,
    GUARD_IPV6,
    GUARD_PROBE,
    GUARD_REFUSED,
    LOCAL,
    ND_ADVERTISE,
    ND_FRAGMENT,
    ND_GARBLED,
    ND_OTHER,
    ND_REFUSED,
    ND_SOLICIT,
    TUNNEL4,
    TUNNEL6,
    TUNNEL_VRF4,
    TUNNEL_VRF6,
)
from pipelines.shapes.fence import CLOSED, FENCED, PASSES
from pipelines.shapes.inward import INWARD
from pipelines.shapes.outward import OUTWARD
from pipelines.shapes.pairs import PAIRS
from pipelines.shapes.paths import (
    ACCOUNT_ROUTER,
    CLASS_ARP,
    CLASS_DECLARED,
    CLASS_GROUP,
    CLASS_LINK4,
    CLASS_LINK6,
    CLASS_PEERED,
    CLASS_SUBNET,
    CLASS_TENANT,
    COUNTER,
    DELIVERY_ADVERT,
    DELIVERY_ARP_BY,
    DELIVERY_ARP_FOR,
    DELIVERY_FALSE_GATEWAY,
    DELIVERY_REFUSED,
    DELIVERY_SINGLE,
    DELIVERY_SOLICIT,
    OUTPUT_NOWHERE,
    OUTPUT_SINGLE,
    RESOLVE_GROUP,
    RESOLVE_LOCAL,
    RESOLVE_REFUSED,
    RESOLVE_REMOTE4,
    RESOLVE_REMOTE6,
    RESOLVE_ROUTERS,
    RESOLVE_SELF,
)
from pipelines.shapes.paths import delivery_group as delivery_group
from pipelines.shapes.paths import for_routers as for_routers
from pipelines.shapes.paths import output_group as output_group
from pipelines.shapes.peering import PEERINGS
from pipelines.shapes.policy import CHAIN_MISSES, POLICY
from pipelines.shapes.prefixes import PREFIXED
from pipelines.shapes.probes import PROBES
from pipelines.shapes.quality import QUALITY
from pipelines.shapes.routes import ROUTING
from pipelines.shapes.serving import SERVING
from pipelines.shapes.size import SIZED
from pipelines.shapes.terms import shape
from pipelines.shapes.waiting import WAITING

_ONWARD: Final = {
    t.ACROSS: t.WATCH,
    t.WATCH: t.GATEWAY,
    t.LEFT: t.LEFT_HITS,
    t.LEFT_HITS: t.LEFT_PARTS,
    t.LEFT_PARTS: t.GATEWAY,
    t.ENTERED: t.ENTERED_HITS,
    t.ENTERED_HITS: t.ENTERED_PARTS,
    t.ENTERED_PARTS: t.ORIGIN,
}
"""Of policy: what a miss continues to."""


def _miss(table: t.Table) -> Shape:
    """Priority 0 and no match: what comes here is counted under a cookie of ours."""
    if table is t.CLASSES:
        other = (SetField(f.CLASS.field, EVERYTHING_ELSE),)
        return shape("miss", table, 0, (), (), other, t.ACCOUNT)
    if table is t.ORIGIN:
        other = (SetField(f.CLASS.field, EVERYTHING_ELSE),)
        return shape("miss", table, 0, (), (), other, t.RECEIVED)
    if table is t.GATEWAY:
        return shape("miss", table, 0, (), goto=t.RESOLVE)
    if table is t.SIZE or table is t.OVERSIZE:
        return shape("miss", table, 0, (), goto=t.SERVICES)
    if table is t.MARK:
        return shape("miss", table, 0, (), goto=t.RATE)
    if table is t.RATE:
        return shape("miss", table, 0, (), goto=t.CLASSES)
    if table is t.ROUTE:
        return shape("miss", table, 0, (), goto=t.TRANSLATE)
    if table.number in CHAIN_MISSES:
        return CHAIN_MISSES[table.number]
    if table in _ONWARD:
        return shape("miss", table, 0, (), goto=_ONWARD[table])
    if table is t.RESOLVE or table is t.PEER:  # for nobody: counted as if it were for somebody, sent nowhere
        return shape("miss", table, 0, (), goto=t.MARK)
    return shape("miss", table, 0, ())


MISSES: Final = tuple(_miss(table) for table in t.TABLES)

SHAPES: Final[tuple[Shape, ...]] = (
    LOCAL,
    TUNNEL4,
    TUNNEL6,
    TUNNEL_VRF4,
    TUNNEL_VRF6,
    CLASSIFY_REFUSED,
    *FENCED.values(),
    *PASSES,
    *CLOSED,
    *WAITING,
    *PROBES,
    *ASKED,
    *DHCP,
    GUARD_ARP,
    GUARD_PROBE,
    GUARD_IPV4,
    GUARD_IPV6,
    GUARD_DAD,
    GUARD_REFUSED,
    *PAIRS,
    ND_FRAGMENT,
    ND_GARBLED,
    ND_SOLICIT,
    ND_ADVERTISE,
    *ND_REFUSED,
    ND_OTHER,
    ARP_OWN,
    ARP_LOCAL,
    ARP_REMOTE,
    ARP_GATEWAY,
    ARP_UNKNOWN,
    ARP_REPLIES,
    ND_OWN,
    ND_PLAIN,
    ND_TURN,
    SERVICES_IPV4,
    SERVICES_IPV6,
    ND_LOCAL,
    ND_REMOTE,
    ND_GATEWAY,
    *ROUTING,
    *PREFIXED,
    *OUTWARD,
    *INWARD,
    *PEERINGS,
    RESOLVE_SELF,
    RESOLVE_LOCAL,
    RESOLVE_REMOTE4,
    RESOLVE_REMOTE6,
    RESOLVE_GROUP,
    RESOLVE_REFUSED,
    RESOLVE_ROUTERS,
    CLASS_GROUP,
    CLASS_ARP,
    CLASS_LINK4,
    CLASS_LINK6,
    CLASS_PEERED,
    *CLASS_SUBNET,
    *CLASS_TENANT,
    *CLASS_DECLARED,
    COUNTER,
    ACCOUNT_ROUTER,
    OUTPUT_NOWHERE,
    OUTPUT_SINGLE,
    DELIVERY_SINGLE,
    DELIVERY_FALSE_GATEWAY,
    DELIVERY_ARP_BY,
    DELIVERY_ARP_FOR,
    DELIVERY_SOLICIT,
    DELIVERY_ADVERT,
    DELIVERY_REFUSED,
    *QUALITY,
    *POLICY,
    *ADDRESSEES,
    *SIZED,
    *SERVING,
    *MISSES,
)
"""All shapes of fixed length. Those of replication are made by `output_group` and `delivery_group`."""

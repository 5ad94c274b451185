"""The tables that count what comes from outside the cluster to a local port.

Place: listed in `pipelines.tables`, between all ways to a local port and its limit (docs/decisions/0045).
Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table

ORIGIN: Final = Table(
    number=77,
    name="origin",
    purpose="Finds the egress class of the source of what came from outside: declared prefixes, longest"
    " first, then public addresses. What a port of the cluster sent goes on uncounted: its host billed it.",
    matches=(f.OUTSIDE.field, f.RECEIVER.field, f.ETH_TYPE, f.IP_SRC, f.IPV6_SRC),
    writes=(f.CLASS.field,),
    next=("received", "limit"),
    miss="continue as everything else",
)
RECEIVED: Final = Table(
    number=78,
    name="received",
    purpose="Counts what ports get from outside: one flow per port and class, which nothing else ever"
    " touches. Behind it nothing drops, but for the port's own limit.",
    matches=(f.RECEIVER.field, f.CLASS.field),
    writes=(),
    next=("limit",),
    miss="drop: a class without a counter",
)

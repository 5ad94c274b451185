"""The table that only hosts with a partner use.

Place: part of `pipelines.tables`, which gives the order. Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from pipelines import fields as f
from pipelines.declaration import Table

FENCE: Final = Table(
    number=2,
    name="fence",
    purpose="Of a host that has a partner (docs/dual-dpu.md): all that its ports send or get passes here, and"
    " only while the host holds the lease of the pair. Its flows are not part of a program: the agent renews"
    " them with the lease, and Open vSwitch itself takes them away when nobody does.",
    matches=(f.NETWORK.field, f.SOURCE.field),
    writes=(),
    next=("guard", "delivery", "arrival"),
    miss="drop: this host does not hold the lease of its pair",
)

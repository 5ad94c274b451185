"""Groups: the select groups that stand in every switch from the start, whatever is routed.

Place: shapes refer to them; the southbound makes them before all flows and keeps them. One for each table
that chooses among equally good next hops. They never change with what is routed: which slot leads where is
said by flows, so that a next hop that goes moves its own slots only (docs/decisions/0013).
"""

from __future__ import annotations

from typing import Final

from model.flow import Group
from pipelines import tables as t
from pipelines.fields import SLOT

SLOTS: Final = 64
"""A power of two: Open vSwitch then gives each slot one value of the hash (dp_hash)."""
NEXTHOP: Final = Group(0x52F1, SLOT.field, SLOTS, t.NEXTHOP.number)
"""Of packets of local ports."""
SPREAD: Final = Group(0x52F2, SLOT.field, SLOTS, t.SPREAD.number)
"""Of packets that another host routed here."""

GROUPS: Final = (NEXTHOP, SPREAD)

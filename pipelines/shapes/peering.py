"""Shapes of peerings: the way from a tenant's VRF into that of a peering, and on from there.

Place: tables route and peer; arrival has the same shapes as for tenants. See pipelines.shapes for the rules
of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.addresses import GATEWAY_MAC
from model.flow import Field, Match, SetField, Shape, Slot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.routes import hosts_behind, hosts_here
from pipelines.shapes.terms import IP4, IP6, IS_IPV4, IS_IPV6, IS_VRF, MASK4, MASK6, VRF, shape

PEER: Final = Slot("peer", 32)
"""Key of the peering's VRF."""
_FROM4, _FROM6 = Slot("from4", 32), Slot("from6", 128)
_FROM_MASK4, _FROM_MASK6 = Slot("from-mask4", 32), Slot("from-mask6", 128)
_AT_PEERED = 398
"""Above all prefixes of the tenant, below its host routes. No two ways of a tenant overlap."""


def _forms(field: Field, value: Slot, mask: Slot) -> tuple[tuple[str, Match, tuple[Slot, ...]], ...]:
    """(name, match, slots) of a prefix and of a single address."""
    return (("masked", Match(field, value, mask), (value, mask)), ("exact", Match(field, value), (value,)))


def _across(
    table: t.Table, terms: tuple[Match, ...], register: f.Register, goto: t.Table
) -> tuple[Shape, ...]:
    """From a prefix to a prefix: masked to masked, masked to exact, exact to masked, exact to exact; of IPv4,
    then of IPv6. `register` gets the key of the peering."""
    return tuple(
        shape(
            f"peer{family}-{source}-{target}",
            table,
            _AT_PEERED,
            (IS_VRF, *terms, kind, from_, to),
            (VRF, *from_slots, *to_slots, PEER),
            (SetField(register.field, PEER),),
            goto,
        )
        for family, kind, sources, targets in (
            ("4", IS_IPV4, _forms(f.IP_SRC, _FROM4, _FROM_MASK4), _forms(f.IP_DST, IP4, MASK4)),
            ("6", IS_IPV6, _forms(f.IPV6_SRC, _FROM6, _FROM_MASK6), _forms(f.IPV6_DST, IP6, MASK6)),
        )
        for source, from_, from_slots in sources
        for target, to, to_slots in targets
    )


ACROSS: Final = _across(t.ROUTE, (), f.VRF, t.PEER)
MEANT_ACROSS: Final = _across(t.ACROSS, (Match(f.ETH_DST, GATEWAY_MAC),), f.SCOPE, t.WATCH)
"""The same ways, for policies: the other end's address is one of the peering's."""
PEER_LOCAL: Final = hosts_here(t.PEER)
PEER_REMOTE4, PEER_REMOTE6 = hosts_behind(t.PEER)
PEERINGS: Final = (*ACROSS, *MEANT_ACROSS, *PEER_LOCAL, *PEER_REMOTE4, *PEER_REMOTE6)
"""All shapes of this file."""

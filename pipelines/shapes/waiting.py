"""Shapes of waiting: what is heard of a port that has not moved in yet.

Place: table classify. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import Match, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    AT_OWN,
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_ICMPV6,
    IS_UNTAGGED,
    MAC,
    PORT,
    shape,
)

_FROM = (Match(f.IN_PORT, PORT), Match(f.ETH_SRC, MAC), IS_UNTAGGED)
_HEARD = (Special.CONTROLLER,)

WAITING_RARP: Final = shape(
    "waiting-rarp",  # hypervisors send it for the workload when they have started it (RFC 903)
    t.CLASSIFY,
    AT_OWN,
    (*_FROM, Match(f.ETH_TYPE, f.RARP)),
    (PORT, MAC),
    _HEARD,
)
WAITING_ARP: Final = shape(
    "waiting-arp",
    t.CLASSIFY,
    AT_OWN,
    (*_FROM, IS_ARP, Match(f.ARP_SPA, IP4), Match(f.ARP_TPA, IP4)),
    (PORT, MAC, IP4),
    _HEARD,
)
WAITING_ND: Final = shape(
    "waiting-nd",
    t.CLASSIFY,
    AT_OWN,
    (*_FROM, *IS_ICMPV6, *IS_ADVERT, Match(f.ND_TARGET, IP6)),
    (PORT, MAC, IP6),
    _HEARD,
)
WAITING: Final = (WAITING_RARP, WAITING_ARP, WAITING_ND)

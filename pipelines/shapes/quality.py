"""Shapes of quality: marks, meters, and what leads to them.

Place: tables mark, rate and limit, and the flows of output, delivery and arrival that hand a frame for a
port with a limit to `limit` (docs/decisions/0016). See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import Match, Metered, Output, Recirculate, SetField, Slot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.paths import DELIVERY_SINGLE
from pipelines.shapes.routes import ARRIVAL_LOCAL
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_OWN,
    IS_IPV4,
    IS_IPV6,
    IS_NET,
    IS_SINGLE,
    IS_SRC,
    NET,
    PORT,
    SRC,
    into_door,
    into_limit,
    shape,
)

DSCP: Final = Slot("dscp", 6)
METER: Final = Slot("meter", 32)

# Written whole, so that the ECN bits beside it stay as they are (RFC 3168 section 5).
MARKS: Final = tuple(
    shape(
        f"dscp{family}",
        t.MARK,
        AT_GENERAL,
        (IS_NET, kind),
        (NET, DSCP),
        (SetField(f.IP_DSCP, DSCP),),
        t.RATE,
    )
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)
RATE_METERED: Final = shape(
    "metered", t.RATE, AT_GENERAL, (IS_SRC,), (SRC, METER), (Metered(METER), Recirculate()), t.CLASSES
)
OUTPUT_LIMITED: Final = shape(
    "limited", t.OUTPUT, AT_GENERAL, (IS_SINGLE, Match(f.EXIT.field, PORT)), (PORT,), goto=t.LIMIT
)
OUTPUT_JUDGED: Final = shape(
    "judged", t.OUTPUT, AT_GENERAL, (IS_SINGLE, Match(f.EXIT.field, PORT)), (PORT,), goto=t.DOOR
)
DOOR_SELF: Final = shape(
    # Its own group frame: OVS sends nothing back through the port it came from, so nobody is to judge it.
    "self",
    t.DOOR,
    AT_OWN,
    (Match(f.EXIT.field, PORT), IS_SRC),
    (PORT, SRC),
)
DELIVERY_LIMITED: Final = into_limit(DELIVERY_SINGLE)
DELIVERY_JUDGED: Final = into_door(DELIVERY_SINGLE)
ARRIVAL_JUDGED: Final = tuple(into_door(each) for each in ARRIVAL_LOCAL)
ARRIVAL_LIMITED: Final = tuple(into_limit(each) for each in ARRIVAL_LOCAL)
LIMIT_METERED: Final = shape(
    "metered",
    t.LIMIT,
    AT_GENERAL,
    (Match(f.EXIT.field, PORT),),
    (PORT, METER),
    (Metered(METER), Output(PORT)),
)

QUALITY: Final = (
    *MARKS,
    RATE_METERED,
    OUTPUT_LIMITED,
    OUTPUT_JUDGED,
    DOOR_SELF,
    DELIVERY_LIMITED,
    DELIVERY_JUDGED,
    *ARRIVAL_LIMITED,
    *ARRIVAL_JUDGED,
    LIMIT_METERED,
)
"""All shapes of this file."""

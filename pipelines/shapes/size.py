"""Shapes of size: the check of a packet against the MTU of its network, and what becomes of one too large.

Place: tables size and oversize, for ports whose interface could send larger packets than their network has
(docs/decisions/0016). See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import CheckLarger, Match, Recirculate, Slot, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import AT_GENERAL, IS_IPV4, IS_IPV6, IS_SRC, SRC, shape

OCTETS: Final = Slot("octets", 16)
"""The longest frame that may pass, with its Ethernet header."""

SIZE_CHECKED: Final = tuple(
    shape(
        f"checked{family}",
        t.SIZE,
        AT_GENERAL,
        (IS_SRC, kind),
        (SRC, OCTETS),
        (CheckLarger(OCTETS, f.LARGER.field), Recirculate()),
        t.OVERSIZE,
    )
    for family, kind in (("4", IS_IPV4), ("6", IS_IPV6))
)
OVERSIZE_TOLD: Final = shape(
    "told", t.OVERSIZE, AT_GENERAL, (IS_SRC, Match(f.LARGER.field, 1)), (SRC,), (Special.CONTROLLER,)
)

SIZED: Final = (*SIZE_CHECKED, OVERSIZE_TOLD)
"""All shapes of this file."""

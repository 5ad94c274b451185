"""Pools of rails as a table: how full, how torn, used up when.

Place: the second half of `ringfence ipam`. Must not judge: the API counts.
"""

from __future__ import annotations

import math
from typing import Any, Final

from controller.cli.session import Session

_HEADS: Final = ("fabric", "what", "rail", "size", "held", "cooling", "free", "used", "torn", "used up")
_EXACT: Final = 10**9


def print_pools(session: Session, value: dict[str, Any]) -> None:
    """A row a pool; those of fabrics first, then what all share with ports."""
    pools = sorted(value["pools"], key=lambda pool: pool["fabric"] == "")
    rows = [
        (
            pool["fabric"] or "(all)",
            pool["what"],
            pool["rail"] or "-",
            *(_number(pool[name]) for name in ("size", "held", "cooling", "free")),
            _share((pool["held"] + pool["cooling"]) / pool["size"] if pool["size"] else 1.0),
            "-" if pool["fragmentation"] is None else _share(pool["fragmentation"]),
            pool["exhausted"] or "-",
        )
        for pool in pools
    ]
    session.table("pools", _HEADS, rows)


def _number(value: int) -> str:
    """What nobody counts is a power of two, less a little."""
    return str(value) if value < _EXACT else f"~2^{round(math.log2(value))}"


def _share(value: float) -> str:
    """Some is more than nothing, and not all is less than all."""
    percent = 100 * value
    if 0 < percent < 1:
        return "<1%"
    return ">99%" if 99 < percent < 100 else f"{percent:.0f}%"

"""Misses: the last flow of each table, so that what no rule takes is counted under our cookie.

Place: all tables. Must not let anything through, but for the default egress class.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes import MISSES
from pipelines.views import HostView


def host(_: HostView) -> tuple[Flow, ...]:
    """One flow of priority 0 for each table."""
    return tuple(Flow(shape, cookies.host(table=shape.table)) for shape in MISSES)

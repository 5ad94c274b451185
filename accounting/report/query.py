"""Query: what a report is asked, and what it answers. Pure values.

Place: made by the API from a request, answered by `accounting.report.answer`. Must not read anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from accounting.classes import Direction

UNATTRIBUTED: Final = "(unattributed)"
"""In place of a tenant: bytes of ports that their host did not know when it read them."""
SEPARATOR: Final = "/"


class Grouping(Enum):
    """One row per ...; several make one row per combination."""

    TENANT = "tenant"
    NETWORK = "network"
    PORT = "port"
    CLASS = "class"
    HOST = "host"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Query:
    """`tenant`: its name or uid, None = all tenants. Times: Unix milliseconds, `from_ms` in, `to_ms` out.

    `by`: in this order; each once, at least one. `zone`: where days begin and end, as in the tz database.
    """

    tenant: str | None
    from_ms: int
    to_ms: int
    by: tuple[Grouping, ...]
    direction: Direction = Direction.OUT
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Row:
    """`keys`, `names`: one for each grouping. Keys: uid, class number, host, begin of the hour, date.

    `gap_bound`: bytes (layer 2) at most in its gaps, None = unknown. `residual`: bytes that the interfaces
    took in beyond what was counted of them (layer 2, signed), None = not known, or not of such a row.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    packets: int
    bytes: int
    intervals: int
    gaps: int = 0
    gap_bound: int | None = 0
    residual: int | None = None

    @property
    def key(self) -> str:
        """All keys as one text."""
        return SEPARATOR.join(self.keys)

    @property
    def name(self) -> str:
        """All names as one text."""
        return SEPARATOR.join(self.names)


@dataclass(frozen=True, slots=True)
class GapLine:
    """A gap as the ledger keeps it."""

    host: str
    tenant_uid: str
    tenant_name: str
    port_uid: str
    port_name: str
    network_uid: str
    network_name: str
    cause: str
    from_ms: int
    to_ms: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """`known`: False if the ledger has never heard of this tenant. `gaps`: the first GAPS_SHOWN of them."""

    query: Query
    known: bool
    rows: tuple[Row, ...]
    packets: int
    bytes: int
    straddling_bytes: int
    gap_count: int
    gap_bound: int | None
    gaps: tuple[GapLine, ...]
    residual: int | None = None

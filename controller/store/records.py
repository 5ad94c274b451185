"""Records: the values that the store gives out and takes, in one place for its callers.

Place: re-exports the records of `ipam.contents` and adds what only the store knows. Must not do I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipam.contents import (
    ClassRecord,
    Contents,
    ExternalRecord,
    FabricRecord,
    FloatingRecord,
    HypervisorRecord,
    LinkRecord,
    NetworkRecord,
    NodeRecord,
    PeeringRecord,
    PolicyRecord,
    PortRecord,
    Record,
    RouteRecord,
    SkuRecord,
    TenantRecord,
    Tombstone,
    refer,
)
from model.ids import HostName

DATABASE: Final = "Ringfence"
REPORTS: Final = "Ringfence_Reports"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did. `generation`: the cluster's after it; `result`: the JSON text that was kept with the
    idempotency key (of the first run, if `replayed`).
    """

    generation: int
    result: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host's last report: `report` is JSON text, `stamp` Unix ms. Parse it with `model.report.parse`.

    `head`: JSON text of the same form without the long lists, newer than `report`; empty if the host has
    none.
    """

    host: HostName
    report: str
    stamp: int
    head: str = ""


PortRow = tuple[str, str, int]
"""What a host says of an interface: state, reason, OpenFlow port (see `model.report.PortReport`)."""


__all__ = [
    "DATABASE",
    "REPORTS",
    "ClassRecord",
    "Contents",
    "ExternalRecord",
    "FabricRecord",
    "FloatingRecord",
    "HostReport",
    "HypervisorRecord",
    "LinkRecord",
    "NetworkRecord",
    "NodeRecord",
    "Outcome",
    "PeeringRecord",
    "PolicyRecord",
    "PortRecord",
    "PortRow",
    "Record",
    "RouteRecord",
    "SkuRecord",
    "TenantRecord",
    "Tombstone",
    "refer",
]

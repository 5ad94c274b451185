"""What a host has counted in a minute, as the benchmarks of the ledger upload it.

Place: read by `tests.bench.ledger` and `tests.bench.arrivals`. Must not post anything.
"""

from __future__ import annotations

from accounting.ledger.tables import DAY
from accounting.records import Interval, Owner, Run
from model.ids import ClassId, HostName, PortKey

HOSTS = 1_000
ROWS = 100
"""(port, class) rows that each of them uploads in a minute."""
TENANTS = 20
BEGIN = 20_000 * DAY


def batch(host: int, minute: int) -> list[Interval]:
    """What a host has counted in a minute: two classes of fifty ports."""
    run_ = Run(HostName(f"hv{host:04}"), f"boot-{host:04}-5b0f8e1c-8f0e-4f0c", "2026-11-21T10:00:00Z/4711")
    ended = BEGIN + minute * 60_000 + host * 7
    return [
        Interval(
            run=run_,
            series=(PortKey(host * 50 + row // 2 + 1), ClassId(row % 2), 1),
            owner=_owner(host * 50 + row // 2),
            class_name=("same-network", "everything-else")[row % 2],
            sequence=minute * ROWS + row,
            from_ms=ended - 60_000,
            to_ms=ended,
            packets=1_000 + row,
            bytes=1_400_000 + row,
            datapath="system",
            header_bytes=14,
            counter=(1_000 * (minute + 1), 1_500_000 * (minute + 1)),
        )
        for row in range(ROWS)
    ]


def _owner(port: int) -> Owner:
    tenant = f"tenant-{port % TENANTS:02}"
    uid = f"{port:08x}-8f0e-4f0c-9f0e-5b0f8e1c8f0e"
    return Owner(uid, f"vm-{port}", f"uid-of-{tenant}-4f0c-9f0e-5b0f8e1c8f0e", tenant, f"net-{tenant}", "net")

"""The bill of a port, as `ringfence egress report` tells it, and when it has come to rest.

Place: shared by the tests that compare the ledger with counted traffic. Must not judge.
"""

from __future__ import annotations

import json
import time

from topologies.deadline import until
from topologies.scenarios.two_tenants import TwoTenants, Workload

QUIET = 2.5
"""Seconds: a reading each second, half a second of lag in the statistics, and the upload."""


def ledger(scenario: TwoTenants, tenant: str) -> dict[str, dict[str, int]]:
    """Rows of `ringfence egress report --by port`, by port."""
    outcome = scenario.control.run("egress", "report", "--tenant", tenant, "--by", "port", "-o", "json")
    assert outcome.ok, outcome.stderr
    return {row["name"]: row for row in json.loads(outcome.stdout)["rows"]}


def counted(scenario: TwoTenants, port: Workload) -> int:
    """Layer-3 bytes that a port has been billed so far."""
    row = ledger(scenario, port.tenant).get(port.port)
    return 0 if row is None else row["bytes"]


def billed(scenario: TwoTenants, ports: tuple[Workload, ...]) -> tuple[int, ...]:
    """Layer-3 bytes that ports of one tenant have been billed so far, in one look."""
    (tenant,) = {port.tenant for port in ports}
    rows = ledger(scenario, tenant)
    return tuple(rows[port.port]["bytes"] if port.port in rows else 0 for port in ports)


def settled(scenario: TwoTenants, port: Workload) -> int:
    """What is counted of a port once it has stood still for longer than a reading and an upload take."""
    return all_settled(scenario, (port,))[0]


def all_settled(scenario: TwoTenants, ports: tuple[Workload, ...]) -> tuple[int, ...]:
    """What is counted of ports of one tenant once all of it has stood still for so long."""
    known, since = billed(scenario, ports), time.monotonic()

    def still() -> bool:
        nonlocal known, since
        now = billed(scenario, ports)
        if now != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since > QUIET

    until("the ledger stands still", still, 40)
    return known

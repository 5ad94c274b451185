"""The bill of a port, as `ringfence egress report` tells it, and when it has come to rest.

Place: shared by the tests that compare the ledger with counted traffic. Must not judge.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from topologies.deadline import until
from topologies.scenarios.two_tenants import TwoTenants, Workload

QUIET = 2.5
"""Seconds: a reading each second, half a second of lag in the statistics, and the upload."""


def ledger(
    scenario: TwoTenants, tenant: str, direction: str = "out", by: str = "port"
) -> dict[str, dict[str, int]]:
    """Rows of `ringfence egress report` of one direction, by port or whatever else."""
    words = ("egress", "report", "--tenant", tenant, "--by", by, "--direction", direction, "-o", "json")
    outcome = scenario.control.run(*words)
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


def await_counted(scenario: TwoTenants) -> None:
    """Until all that every host has sent up to now is in the ledger, by the word of each. That the ledger
    stands still says nothing: an agent may be late."""
    for host in scenario.lab.hypervisors:
        host.settle()
    now, hosts = time.time() * 1000, {str(host.name) for host in scenario.lab.hypervisors}
    until("the ledger has all up to now", lambda: hosts <= _up_to(scenario, now), 60)


def _up_to(scenario: TwoTenants, moment: float) -> set[str]:
    """Hosts of which the ledger has all up to a moment (Unix ms)."""
    outcome = scenario.control.run("egress", "watch", "--over", "1s", "--count", "1", "-o", "json")
    assert outcome.ok, outcome.stderr
    hosts = json.loads(outcome.stdout)["hosts"]
    return {host["host"] for host in hosts if host["toMs"] is not None and host["toMs"] >= moment}


def settled(scenario: TwoTenants, port: Workload) -> int:
    """What is counted of a port, all that it has sent up to now."""
    return all_settled(scenario, (port,))[0]


def all_settled(scenario: TwoTenants, ports: tuple[Workload, ...]) -> tuple[int, ...]:
    """What is counted of ports of one tenant, all that they have sent up to now."""
    await_counted(scenario)
    return billed(scenario, ports)


def at_rest(scenario: TwoTenants, ports: tuple[Workload, ...]) -> tuple[int, ...]:
    """What is counted of ports of one tenant once it has stood still for QUIET: of hosts that may not upload
    what they counted, so that none says up to when that is all."""
    known, since = billed(scenario, ports), time.monotonic()

    def still() -> bool:
        nonlocal known, since
        now = billed(scenario, ports)
        if now != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since > QUIET

    until("the ledger stands still", still, 40)
    return known


@dataclass(frozen=True, slots=True)
class Account:
    """Layer-3 bytes by port: what they sent, and what they got from outside; the latter also by class."""

    out: dict[str, int]
    came: dict[str, int]
    classes: dict[str, int]

    def less(self, before: Account) -> Account:
        """What has been added, without what has not changed."""
        return Account(
            _grown(before.out, self.out),
            _grown(before.came, self.came),
            _grown(before.classes, self.classes),
        )


def account(scenario: TwoTenants, tenant: str) -> Account:
    """Of a tenant, up to now."""
    await_counted(scenario)
    rows = (ledger(scenario, tenant, *what) for what in (("out",), ("in",), ("in", "class")))
    return Account(*({name: row["bytes"] for name, row in found.items()} for found in rows))


def _grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count}

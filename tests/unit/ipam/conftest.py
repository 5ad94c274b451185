"""A cluster in memory: contents with the default pools, and plans applied to them as the store would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import count

import pytest

from ipam.contents import Contents
from ipam.deletion import plan_deletion
from ipam.draft import Draft
from ipam.plan import plan
from ipam.pools import defaults
from ipam.steps import Plan, Verb
from model.ids import HostName, Uid
from model.intent import Cluster
from model.wanted import Reference, Wanted, WantedHypervisor, WantedNetwork, WantedTenant


@dataclass
class Bench:
    """`contents` moves on with each `apply` and `delete`; `now` in Unix ms."""

    contents: Contents
    now: int = 1_000_000
    uids: Callable[[], Uid] = field(default_factory=lambda: numbered(count(1)))

    def plan(self, *wanted: Wanted) -> Plan:
        return plan(self.contents, wanted, self.now, self.uids)

    def apply(self, *wanted: Wanted) -> Plan:
        return self._commit(self.plan(*wanted))

    def delete(self, *references: Reference) -> Plan:
        return self._commit(plan_deletion(self.contents, references, self.now))

    def _commit(self, made: Plan) -> Plan:
        self.contents = commit(self.contents, made)
        return made


def numbered(numbers: Iterator[int]) -> Callable[[], Uid]:
    return lambda: Uid(f"00000000-0000-4000-8000-{next(numbers):012x}")


def commit(contents: Contents, made: Plan) -> Contents:
    draft = Draft(contents)
    for step in made.steps:
        if step.verb is Verb.DELETE:
            draft.remove(step.reference)
        elif step.after is not None:
            draft.put(step.after)
    for (scope, value), until in contents.tombstones.items():
        if until <= made.now:
            draft.unbury((scope, value))
    for stone in made.tombstones:
        draft.bury((stone.scope, stone.value), stone.until)
    return draft.contents()


def empty() -> Contents:
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("cluster"), 1, 65000))
    for pool in defaults(site=1):
        draft.put_pool(pool)
    return draft.contents()


def base() -> Sequence[Wanted]:
    return (
        WantedHypervisor(HostName("h1"), ip_address("192.0.2.1")),
        WantedHypervisor(HostName("h2"), ip_address("192.0.2.2")),
        WantedTenant("acme"),
        WantedTenant("umbra"),
        WantedNetwork("acme", "prod", (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))),
        WantedNetwork("umbra", "prod", (ip_network("10.0.0.0/24"),)),
    )


@pytest.fixture
def bench() -> Bench:
    made = Bench(empty())
    made.apply(*base())
    return made

"""Ground: the rules of one owner among all that judge with them, the ports that each judges, and its names.

Place: made of the store's contents for `controller.api.promoting` and `controller.api.policy_status`. Pure.
Must not know evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.store.policies import unread
from controller.store.records import Contents, PolicyRecord, PortRecord
from model.entries import bottom, place
from model.evidence import RuleName
from model.ids import Uid
from model.policy import Defaults, Direction, Endpoint, Policy, Selection
from pipelines.policy.entries import Entry, Place, concerns, standing


@dataclass(frozen=True, slots=True)
class Ground:
    """`entries`: of both directions, in the order in which each judges. `names`: in evidence. `selected`: the
    ports that each judges, by uid: none that lives on a host without an agent, where nothing is judged."""

    policies: tuple[Policy, ...]
    defaults: Mapping[str, Defaults]
    entries: Mapping[Direction, tuple[Entry, ...]]
    names: Mapping[Place, RuleName]
    selected: Mapping[Place, tuple[Uid, ...]]
    ports: Mapping[Uid, PortRecord]

    def every(self) -> Iterator[Entry]:
        """Out, then in."""
        return (entry for direction in Direction for entry in self.entries[direction])

    def title(self, port: Uid) -> str:
        """What people call it."""
        record = self.ports.get(port)
        return port if record is None else f"{record.tenant}/{record.value.name}"


def survey(contents: Contents, tenant: str | None) -> Ground:
    """What judges the ports of a tenant; None: all ports. Policies that can't be read are left out."""
    own = (record for record in contents.policies.values() if tenant in (None, record.tenant))
    records = [r for r in (*contents.operator_policies.values(), *own) if not unread(r.value)]
    tenants = [contents.tenants[name].value for name in sorted(contents.tenants) if tenant in (None, name)]
    policies = tuple(record.value.policy for record in records)
    defaults = {one.name: one.defaults for one in tenants}
    numbers = dict(_numbers(records))
    for one in tenants:
        numbers |= {bottom(one.name, d): n for d, n in zip(Direction, one.seats, strict=True)}
    entries = {direction: standing(policies, defaults, direction) for direction in Direction}
    every = [entry for each in entries.values() for entry in each]
    ports = {r.value.uid: r for r in _judged(contents, tenant)}
    return Ground(
        policies,
        defaults,
        entries,
        {entry.place: RuleName(numbers.get(entry.place, 0), entry.identity) for entry in every},
        _selected(every, [_endpoint(contents, record) for record in ports.values()]),
        ports,
    )


def _numbers(records: Iterable[PolicyRecord]) -> Iterator[tuple[Place, int]]:
    for record in records:
        value, policy = record.value, record.value.policy
        for at, (rule, seat) in enumerate(zip(policy.rules, value.seats, strict=True), 1):
            yield place(policy, at, rule.direction, rule.name), seat.number
        for direction, seat in ((Direction.OUT, value.outward), (Direction.IN, value.inward)):
            if seat is not None:
                yield place(policy, 0, direction), seat.number


def _judged(contents: Contents, tenant: str | None) -> Iterator[PortRecord]:
    external = {name for name, record in contents.hypervisors.items() if record.value.external}
    for key in sorted(contents.ports):
        record = contents.ports[key]
        afar = record.value.hosts and external.issuperset(record.value.hosts)
        if tenant in (None, record.tenant) and not afar:
            yield record


def _endpoint(contents: Contents, record: PortRecord) -> Endpoint:
    """As far as subjects are concerned: whom they take does not depend on addresses."""
    network = contents.networks.get((record.tenant, record.network))
    tenant = contents.tenants.get(record.tenant)
    return Endpoint(
        record.value.key,
        record.value.uid,
        record.tenant,
        record.network,
        record.value.name,
        (),
        0,
        record.labels,
        () if network is None else network.labels,
        () if tenant is None else tenant.labels,
    )


def _selected(entries: Iterable[Entry], ports: list[Endpoint]) -> dict[Place, tuple[Uid, ...]]:
    """Rules of one policy have one subject, which is looked up once."""
    found: dict[tuple[Selection, str], tuple[Uid, ...]] = {}
    by_tenant: dict[str, list[Endpoint]] = {}
    for port in ports:
        by_tenant.setdefault(port.tenant, []).append(port)
    selected = {}
    for entry in entries:
        key = entry.subject, entry.place.tenant
        if key not in found:
            asked = by_tenant.get(entry.place.tenant, []) if entry.place.tenant else ports
            found[key] = tuple(sorted(port.uid for port in asked if concerns(entry, port)))
        selected[entry.place] = found[key]
    return selected

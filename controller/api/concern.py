"""Concern: which hosts a change touches, and which of them have not yet done it.

Place: behind `--wait`. Concerned are hosts with bound ports of what was touched (docs: DESIGN "Decided"):
for a port that is every host of its network, because they all learn its route. Pure; must not read a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.store.records import Contents
from model.ids import HostName
from model.report import Report, State
from model.wanted import Kind, Reference

DEAD_AFTER_MS: Final = 15_000
"""A host that was not heard of for this long counts as dead; `Report.stamp_ms` is when, see `hearing`."""

_EVERYWHERE: Final = frozenset({Kind.EGRESS_CLASS, Kind.HYPERVISOR, Kind.EXTERNAL, Kind.OPERATOR_POLICY})
_OF_TENANT: Final = frozenset({Kind.TENANT, Kind.ROUTE, Kind.FLOATING_IP, Kind.SECURITY_POLICY})
_NOWHERE: Final = frozenset({Kind.SKU, Kind.FABRIC, Kind.NODE})
"""No switch is programmed for them."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A host that has not done it, and why."""

    host: str
    reason: str


def concerned(contents: Contents, touched: Iterable[Reference]) -> frozenset[HostName]:
    """Hosts with bound ports of the touched objects."""
    hosts: set[HostName] = set()
    for reference in touched:
        if reference.kind in _EVERYWHERE:
            return frozenset(contents.bound)
        for name in _networks(contents, reference):
            hosts.update(contents.dwellers.get(name, ()))
    return frozenset(hosts)


def _networks(contents: Contents, reference: Reference) -> Iterable[tuple[str, str]]:
    if reference.kind in _NOWHERE:
        return []
    tenant = reference.tenant or reference.name
    if reference.kind in _OF_TENANT:
        return [(tenant, network) for network in contents.networks_of.get(tenant, ())]
    if reference.kind is Kind.PEERING:
        half = contents.peerings.get((tenant, reference.name))
        sides = (tenant,) if half is None else (tenant, half.peer)
        return [(side, network) for side in sides for network in contents.networks_of.get(side, ())]
    if reference.kind is Kind.NETWORK:
        return [(tenant, reference.name)]
    port = contents.ports.get((tenant, reference.name))
    return [] if port is None else [(tenant, port.network)]


def pending(
    hosts: Iterable[str], reports: Mapping[str, Report], generation: int, now_ms: int
) -> tuple[Pending, ...]:
    """The hosts that have not programmed `generation`, or that miss routes, by name."""
    found = ((host, _missing(reports.get(host), generation, now_ms)) for host in sorted(set(hosts)))
    return tuple(Pending(host, reason) for host, reason in found if reason)


def _missing(report: Report | None, generation: int, now_ms: int) -> str:
    if report is None:
        return "has never reported"
    silent = now_ms - report.stamp_ms
    if silent > DEAD_AFTER_MS:
        return f"no heartbeat for {silent // 1000} s"
    if report.state is State.FROZEN:
        return f"frozen: {report.reason}" if report.reason else "frozen"
    if report.generation < generation:
        return f"at generation {report.generation} of {generation} ({report.state.value})"
    if report.evpn.missing:
        return f"waits for {report.evpn.missing} EVPN routes"
    return ""

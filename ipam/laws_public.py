"""Laws of what borders are told: a tenant with `egress: fabric` speaks for private addresses, and for those
that the operator named as its own (docs/decisions/0022).

Place: part of `ipam.laws`. What lies in a routed network is announced, and may be a packet's source: subnets,
prefixes of routes, allowed addresses of ports. Must not change anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

from ipam.contents import ExternalRecord, NetworkRecord, PortRecord, Record, TenantRecord, refer
from ipam.needs import of_public, of_tenant
from ipam.steps import Step
from ipam.trial import Trial
from model.addresses import Prefix
from model.errors import Conflict
from model.intent import Egress
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedExternal,
    WantedNetwork,
    WantedPort,
    WantedRoute,
    WantedTenant,
    title,
)

PRIVATE: Final[tuple[Prefix, ...]] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
"""What everybody may use inside, and nobody is believed to own outside (RFC 1918 section 3, RFC 4193)."""
_REMEDY: Final = (
    "Use private prefixes, have the operator add it to spec.publicPrefixes of the Tenant, or choose another"
    " egress."
)


def check_told(trial: Trial, tenant: str) -> None:
    """All that borders would be told of one tenant."""
    record = trial.draft.tenants.get(tenant)
    if record is None or record.value.egress is not Egress.FABRIC:
        return
    for name in trial.draft.networks_of(tenant):
        network = trial.draft.networks[tenant, name]
        if not network.value.routed:
            continue
        for subnet in network.value.subnets:
            _check(trial, record, refer(network), subnet)
        for port in trial.draft.paired(tenant, name):
            _check_pairs(trial, record, trial.draft.ports[tenant, port])
    for reference in trial.draft.dependants(of_tenant(tenant)):
        if reference.kind is not Kind.ROUTE:
            continue
        prefix = trial.draft.routes[tenant, reference.name].value.prefix
        if prefix.prefixlen:  # a default route beside egress is refused by itself
            _check(trial, record, reference, prefix)


def check_told_of_ports(trial: Trial, steps: Iterable[Step], beyond: frozenset[str]) -> None:
    """What ports may use besides their own addresses; `beyond`: tenants that are judged whole."""
    for step in steps:
        port = step.after
        if not isinstance(port, PortRecord) or not port.value.allowed or port.tenant in beyond:
            continue
        record = trial.draft.tenants.get(port.tenant)
        network = trial.draft.networks.get((port.tenant, port.network))
        if record is not None and record.value.egress is Egress.FABRIC and _is_routed(network):
            _check_pairs(trial, record, port)


def check_public(trial: Trial, steps: Iterable[Step]) -> None:
    """A public prefix is one tenant's, and in no pool that addresses are handed out of."""
    changed = {step.reference: _named(step.after) for step in steps if _named(step.after)}
    others = (*_owned(trial), *_pools(trial)) if changed else ()
    told: set[frozenset[Reference]] = set()
    for reference in sorted(changed, key=lambda r: (r.kind.value, r.name)):
        for prefix in changed[reference]:
            for other, theirs in others:
                pair = frozenset({reference, other})
                tenants = Kind.TENANT in {reference.kind, other.kind}
                if other == reference or not tenants or pair in told or not _overlap(prefix, theirs):
                    continue
                told.add(pair)
                blamed = trial.blame(reference, other)
                trial.refuse(
                    Conflict,
                    blamed,
                    "public-overlap",
                    f"{prefix} of {title(reference)} overlaps {theirs} of {title(other)}",
                    "Name what is this tenant's alone, apart from pools of external networks.",
                    _path(blamed, prefix, theirs),
                )


def _named(record: Record | None) -> tuple[Prefix, ...]:
    """What it has beyond private addresses."""
    match record:
        case TenantRecord(value):
            return value.public_prefixes
        case ExternalRecord(value):
            return value.pools
        case _:
            return ()


def _is_routed(network: NetworkRecord | None) -> bool:
    return network is not None and network.value.routed


def _owned(trial: Trial) -> Iterator[tuple[Reference, Prefix]]:
    for reference in trial.draft.dependants(of_public()):
        for prefix in trial.draft.tenants[reference.name].value.public_prefixes:
            yield reference, prefix


def _pools(trial: Trial) -> Iterator[tuple[Reference, Prefix]]:
    for name in trial.draft.external_names():
        for pool in trial.draft.externals[name].value.pools:
            yield Reference(Kind.EXTERNAL, name), pool


def _check_pairs(trial: Trial, record: TenantRecord, port: PortRecord) -> None:
    for pair in port.value.allowed:
        _check(trial, record, refer(port), pair.prefix)


def _check(trial: Trial, record: TenantRecord, owner: Reference, prefix: Prefix) -> None:
    if any(_within(prefix, each) for each in (*PRIVATE, *record.value.public_prefixes)):
        return
    blamed = trial.blame(owner, refer(record), *_home(trial, owner))
    trial.refuse(
        Conflict,
        blamed,
        "prefix-public",
        f"{prefix} of {title(owner)} is neither private nor named as one of tenant {record.value.name}'s own:"
        " with egress: fabric borders are told it",
        _REMEDY,
        _path(blamed, prefix),
    )


def _home(trial: Trial, owner: Reference) -> tuple[Reference, ...]:
    """The network of a port: routed from now on, perhaps."""
    port = trial.draft.ports.get((owner.tenant or "", owner.name)) if owner.kind is Kind.PORT else None
    return () if port is None else (Reference(Kind.NETWORK, port.network, port.tenant),)


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(one: Prefix, other: Prefix) -> bool:
    return _overlap(one, other) and one.prefixlen >= other.prefixlen


def _path(blamed: Wanted | Reference, *prefixes: Prefix) -> str:
    """The field of the blamed object in which one of the prefixes stands, or that lets them out."""
    written: tuple[Prefix, ...]
    match blamed:
        case WantedNetwork(subnets=subnets):
            field, written = "spec.subnets", subnets or ()
        case WantedPort(allowed=pairs):
            field, written = "spec.allowedAddresses", tuple(pair.prefix for pair in pairs or ())
        case WantedTenant(public_prefixes=named):
            field, written = "spec.publicPrefixes", named or ()
            if not set(prefixes) & set(written):
                return "spec.egress"
        case WantedExternal(pools=pools):
            field, written = "spec.pools", pools
        case WantedRoute():
            return "spec.prefix"
        case _:
            return ""
    found = next((p for p in prefixes if p in written), None)
    return field if found is None else f"{field}[{written.index(found)}]"

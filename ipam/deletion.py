"""Deletion: what would go, and what forbids it.

Place: called by the API for `delete`; the result is written like any other plan. Must not prune what was not
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from immutables import Map

from ipam.contents import Contents, Need
from ipam.needs import (
    of_address,
    of_external,
    of_fabric,
    of_gangs,
    of_host,
    of_node,
    of_port,
    of_sku,
    of_tenant,
)
from ipam.peerings import drop_links
from ipam.steps import Plan
from ipam.trial import Trial
from ipam.ways_out import replan_gateways
from model.addresses import Prefix
from model.errors import Conflict, NotFound
from model.ids import HostName, Uid
from model.wanted import Kind, Reference, title

_ORDER: Final = tuple(reversed(Kind))
"""Children before parents."""
_SHOWN: Final = 3
"""How many dependants a message names."""


def plan_deletion(contents: Contents, references: Sequence[Reference], now: int) -> Plan:
    """Delete the named objects. `now`: Unix ms; what they held cools down from then.

    Raises NotFound or Conflict (a tenant with networks, a network with ports, a host that ports name; unless
    those are named too), carrying every fault.
    """
    asked = frozenset(references)
    trial = Trial(contents, now, _no_uid, asked)
    unique = {reference: reference for reference in reversed(references)}
    for reference in sorted(unique, key=lambda r: (_ORDER.index(r.kind), r.tenant or "", r.name)):
        record = trial.draft.find(reference)
        if record is None:
            trial.refuse(
                NotFound,
                reference,
                "not-found",
                "it does not exist",
                f"See `ringfence get {reference.kind.value.lower()}` for those that do.",
            )
            continue
        rest = [r for r in _dependants(contents, reference) if r not in asked]
        if rest:
            _refuse(trial, reference, rest)
        else:
            trial.drop(reference, record)
    drop_links(trial)
    replan_gateways(trial, contents.gateways)
    return trial.finish()


def _dependants(contents: Contents, reference: Reference) -> Iterable[Reference]:
    name, tenant = reference.name, reference.tenant or ""
    match reference.kind:
        case Kind.TENANT:
            networks = (Reference(Kind.NETWORK, n, name) for n in sorted(contents.networks_of.get(name, ())))
            gangs = _resting(contents, of_gangs(name))
            return (*networks, *_resting(contents, of_tenant(name)), *gangs)
        case Kind.NETWORK:
            ports = (
                Reference(Kind.PORT, p, tenant) for p in sorted(contents.members.get((tenant, name), ()))
            )
            return (*ports, *_sharing(contents, tenant, contents.networks[tenant, name].value.subnets))
        case Kind.ROUTE:
            return _sharing(contents, tenant, (contents.routes[tenant, name].value.prefix,))
        case Kind.HYPERVISOR:
            ports = (Reference(Kind.PORT, p, t) for t, p in sorted(contents.uses.get(HostName(name), ())))
            return (*ports, *_resting(contents, of_host(name)))
        case Kind.SKU:
            return _resting(contents, of_sku(name))
        case Kind.FABRIC:
            return _resting(contents, of_fabric(name))
        case Kind.NODE:
            return (*_served(contents, name), *_resting(contents, of_node(name)))
        case Kind.PORT:
            addresses = contents.ports[tenant, name].value.addresses
            hops = (r for address in addresses for r in _resting(contents, of_address(tenant, address)))
            return (*hops, *_resting(contents, of_port(tenant, name)))
        case Kind.EXTERNAL:
            return _resting(contents, of_external(name))
        case _:
            return ()


def _served(contents: Contents, node: str) -> list[Reference]:
    """Ports that VFs of a node serve."""
    ports = sorted(contents.uses.get(contents.nodes[node].value.host, ()))
    return [
        Reference(Kind.PORT, name, t) for t, name in ports if contents.ports[t, name].value.vf is not None
    ]


def _sharing(contents: Contents, tenant: str, prefixes: Iterable[Prefix]) -> list[Reference]:
    """Halves of peerings of the tenant that let others reach what is in these prefixes."""
    halves = [
        r for r in _resting(contents, of_tenant(tenant)) if r.kind is Kind.PEERING and r.tenant == tenant
    ]
    return [
        half
        for half in halves
        for shared in contents.peerings[tenant, half.name].value.prefixes
        if any(p.version == shared.version and p.overlaps(shared) for p in prefixes)
    ]


def _resting(contents: Contents, need: Need) -> list[Reference]:
    found = contents.needed.get(need, Map())
    return sorted(found, key=lambda r: (r.kind.value, r.tenant or "", r.name))


def _refuse(trial: Trial, reference: Reference, rest: list[Reference]) -> None:
    named = ", ".join(title(r) for r in rest[:_SHOWN]) + (", ..." if len(rest) > _SHOWN else "")
    trial.refuse(
        Conflict,
        reference,
        "still-used",
        f"{len(rest)} object{'s' if len(rest) != 1 else ''} still need it: {named}",
        "Take it out of the ports' hosts first."
        if reference.kind is Kind.HYPERVISOR and any(r.kind is Kind.PORT for r in rest)
        else "Delete those first, or name them in the same request.",
    )


def _no_uid() -> Uid:
    raise AssertionError("a deletion creates nothing")

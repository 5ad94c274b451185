"""Laws: what must hold between the objects of a tenant once everything that a plan wants is in place.

Place: last part of `ipam.plan`: looks at the draft as it would be, for the tenants that the plan touches and
no others, so that cost follows the change. Must not change anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipam.claims import address_claim
from ipam.contents import (
    ExternalRecord,
    FloatingRecord,
    NetworkRecord,
    PeeringRecord,
    PortRecord,
    RouteRecord,
    TenantRecord,
)
from ipam.laws_hardware import check_hardware
from ipam.laws_outlets import check_outlets
from ipam.laws_outside import check_outside, check_targets
from ipam.laws_peerings import check_peerings
from ipam.laws_policies import check_policies
from ipam.laws_public import check_public, check_told, check_told_of_ports
from ipam.laws_targets import check_targets as check_route_targets
from ipam.needs import of_address, of_external, of_tenant
from ipam.seeds import check_seeds
from ipam.steps import Step, Verb
from ipam.trial import Trial
from model.addresses import Address, Prefix
from model.errors import Conflict, Invalid
from model.intent import Network
from model.wanted import Kind, Reference, WantedNetwork, WantedRoute, title


def check_laws(trial: Trial) -> None:
    """Note a fault for each law that the plan would break, at an object that the plan is about."""
    steps = [step for step in trial.steps if step.verb is not Verb.UNCHANGED]
    for step in steps:
        if step.before is not None:
            _check_lost(trial, step)
    # Of ports there are many: they are judged one by one, and not with their tenants.
    ports = [step for step in steps if step.reference.kind is Kind.PORT]
    steps = [step for step in steps if step.reference.kind is not Kind.PORT]
    tenants = frozenset(name for step in steps for name in _touched(trial, step))
    check_told_of_ports(trial, ports, tenants)
    check_public(trial, steps)
    check_hardware(trial, steps)
    check_outlets(trial, (*steps, *ports))
    check_seeds(trial, ports)
    check_policies(trial, (*steps, *ports))
    check_route_targets(trial, steps)
    for tenant in sorted(tenants):
        _check_routes(trial, tenant)
        check_outside(trial, tenant)
        check_peerings(trial, tenant)
        check_told(trial, tenant)


def _touched(trial: Trial, step: Step) -> Iterator[str]:
    """Tenants for which the laws are judged again."""
    match step.after or step.before:
        case (
            NetworkRecord(_, tenant)
            | RouteRecord(_, tenant)
            | FloatingRecord(_, tenant)
            | PeeringRecord(_, tenant)
        ):
            yield tenant
        case TenantRecord(value):
            yield value.name
        case ExternalRecord(value):
            for reference in trial.draft.dependants(of_external(value.name)):
                yield reference.tenant or reference.name
        case _:
            pass


def _check_lost(trial: Trial, step: Step) -> None:
    """An address that a port gives up must not be anybody's next hop, nor behind a floating IP."""
    if not isinstance(step.before, PortRecord):
        return
    kept = step.after.value.addresses if isinstance(step.after, PortRecord) else ()
    if kept != step.before.value.addresses:
        check_targets(trial, step.before, kept)
    for address in step.before.value.addresses:
        if address in kept:
            continue
        for reference in trial.draft.dependants(of_address(step.before.tenant, address)):
            trial.refuse(
                Conflict,
                trial.written(step.reference),
                "still-used",
                f"{title(reference)} has its address {address} as next hop",
                "Change or delete the route first, or in the same request.",
                "spec.addresses",
            )


@dataclass(frozen=True, slots=True)
class _Home:
    """A network's subnet."""

    subnet: Prefix
    network: Network


def _check_routes(trial: Trial, tenant: str) -> None:
    names = [r.name for r in trial.draft.dependants(of_tenant(tenant)) if r.kind is Kind.ROUTE]
    if not names:
        return
    networks = [trial.draft.networks[tenant, name].value for name in trial.draft.networks_of(tenant)]
    homes = [_Home(subnet, network) for network in networks for subnet in network.subnets]
    for name in names:
        record = trial.draft.routes[tenant, name]
        _check_hops(trial, record, homes)
        _check_place(trial, record, homes)


def _check_hops(trial: Trial, record: RouteRecord, homes: list[_Home]) -> None:
    for hop in record.value.next_hops:
        if hop.version != record.value.prefix.version:
            continue  # the manifest's own rule says so
        home = next((h for h in homes if h.subnet.version == hop.version and hop in h.subnet), None)
        holder = None if home is None else trial.draft.owners.get(address_claim(home.network, hop))
        reference = Reference(Kind.ROUTE, record.value.name, record.tenant)
        if home is None or holder is None or holder.kind is not Kind.PORT:
            if reference not in trial.asked:
                continue  # who takes the address away is told
            trial.refuse(
                Conflict,
                trial.written(reference),
                "next-hop-unknown",
                f"next hop {hop} is no own address of a port of tenant {record.tenant}",
                "Write addresses of ports; see: ringfence get ports --tenant " + record.tenant,
                _hop_path(trial, reference, hop),
            )
        elif not home.network.routed:
            blamed = trial.blame(reference, Reference(Kind.NETWORK, home.network.name, record.tenant))
            trial.refuse(
                Conflict,
                blamed,
                "next-hop-not-routed",
                f"next hop {hop} of {title(reference)} is in {home.network.name}, which is not routed",
                "Write routed: true in the network, or choose another next hop.",
                _hop_path(trial, reference, hop) if isinstance(blamed, WantedRoute) else "spec.routed",
            )


def _check_place(trial: Trial, record: RouteRecord, homes: list[_Home]) -> None:
    """A route as long as a subnet or longer, inside it, would take addresses from the subnet's own ports."""
    prefix = record.value.prefix
    for home in homes:
        subnet = home.subnet
        if subnet.version != prefix.version or prefix.prefixlen < subnet.prefixlen:
            continue
        if not subnet.overlaps(prefix):
            continue
        reference = Reference(Kind.ROUTE, record.value.name, record.tenant)
        blamed = trial.blame(reference, Reference(Kind.NETWORK, home.network.name, record.tenant))
        loops = any(hop in prefix for hop in record.value.next_hops)
        trial.refuse(
            Invalid if loops else Conflict,
            blamed,
            "route-loop" if loops else "route-in-subnet",
            f"{title(reference)} to {prefix} contains its own next hop"
            if loops
            else f"{title(reference)} to {prefix} lies in {subnet} of network {home.network.name}",
            "Route prefixes that lie outside the tenant's own subnets, or wider ones.",
            _subnet_path(blamed, subnet) if isinstance(blamed, WantedNetwork) else "spec.prefix",
        )
        return


def _subnet_path(want: WantedNetwork, subnet: Prefix) -> str:
    written = want.subnets or ()
    return f"spec.subnets[{written.index(subnet)}]" if subnet in written else "spec.subnets"


def _hop_path(trial: Trial, reference: Reference, hop: Address) -> str:
    want = trial.written(reference)
    written = want.next_hops if isinstance(want, WantedRoute) else ()
    return f"spec.nextHops[{written.index(hop)}]" if hop in written else "spec.nextHops"

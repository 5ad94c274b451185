"""Laws of what leads outside: floating IPs and egress beside a tenant's own networks and routes.

Place: part of `ipam.laws`. Must not change anything.
"""

from __future__ import annotations

from ipam.contents import FloatingRecord, PortRecord, refer
from ipam.needs import of_port, of_tenant
from ipam.trial import Trial
from model.addresses import Address
from model.errors import Conflict
from model.intent import Egress
from model.wanted import Kind, Reference, WantedFloatingIp, WantedNetwork, WantedRoute, title


def check_targets(trial: Trial, port: PortRecord, kept: tuple[Address, ...]) -> None:
    """A port keeps the address that a floating IP stands for."""
    for reference in trial.draft.dependants(of_port(port.tenant, port.value.name)):
        record = trial.draft.floating.get((reference.tenant or "", reference.name))
        if record is not None and record.value.target not in kept:
            trial.refuse(
                Conflict,
                trial.written(refer(port)),
                "still-used",
                f"{title(reference)} stands for its address {record.value.target}",
                "Take the floating IP from the port first.",
                "spec.addresses",
            )


def check_outside(trial: Trial, tenant: str) -> None:
    """All of one tenant."""
    record = trial.draft.tenants.get(tenant)
    if record is None:
        return
    floating = [
        trial.draft.floating[tenant, reference.name]
        for reference in trial.draft.dependants(of_tenant(tenant))
        if reference.kind is Kind.FLOATING_IP
    ]
    for each in floating:
        _check_routed(trial, each)
    _check_pools(trial, tenant, sorted({f.external for f in floating} | {record.external} - {""}))
    if record.value.egress is not Egress.NONE:
        _check_default(trial, tenant)


def _check_routed(trial: Trial, record: FloatingRecord) -> None:
    """Who has no gateway is reached by nobody outside."""
    port = trial.draft.ports.get((record.tenant, record.port))
    network = None if port is None else trial.draft.networks[port.tenant, port.network].value
    if network is None or network.routed:
        return
    blamed = trial.blame(refer(record), Reference(Kind.NETWORK, network.name, record.tenant))
    trial.refuse(
        Conflict,
        blamed,
        "port-not-routed",
        f"{title(refer(record))} stands for port {record.port}, whose network {network.name} is not routed",
        "Write routed: true in the network, or name another port.",
        "spec.port" if isinstance(blamed, WantedFloatingIp) else "spec.routed",
    )


def _check_pools(trial: Trial, tenant: str, externals: list[str]) -> None:
    """A subnet of the tenant's own would hide what is outside."""
    for external in externals:
        for pool in trial.draft.externals[external].value.pools:
            for name in trial.draft.networks_of(tenant):
                for subnet in trial.draft.networks[tenant, name].value.subnets:
                    if subnet.version != pool.version or not subnet.overlaps(pool):
                        continue
                    ours = Reference(Kind.NETWORK, name, tenant)
                    blamed = trial.blame(
                        ours, Reference(Kind.TENANT, tenant), Reference(Kind.EXTERNAL, external)
                    )
                    trial.refuse(
                        Conflict,
                        blamed,
                        "pool-overlap",
                        f"{subnet} of {title(ours)} overlaps pool {pool} of External {external}",
                        "Tenants that use an external network keep their subnets apart from its pools.",
                        "spec.subnets" if isinstance(blamed, WantedNetwork) else "spec",
                    )


def _check_default(trial: Trial, tenant: str) -> None:
    """One way out: a default route of its own, or the cluster's."""
    for reference in trial.draft.dependants(of_tenant(tenant)):
        route = trial.draft.routes.get((tenant, reference.name)) if reference.kind is Kind.ROUTE else None
        if route is None or route.value.prefix.prefixlen:
            continue
        blamed = trial.blame(reference, Reference(Kind.TENANT, tenant))
        trial.refuse(
            Conflict,
            blamed,
            "two-ways-out",
            f"{title(reference)} is a default route, and the tenant has a way out of the cluster",
            "Keep one of them: egress: none in the tenant, or no route to everywhere.",
            "spec.prefix" if isinstance(blamed, WantedRoute) else "spec.egress",
        )

"""Ways out: a tenant's egress: its addresses outside, and the hosts that translate for it.

Place: called by `ipam.roots` for each tenant that is planned, and once more for all others when the set of
gateway hosts changes. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from ipam.claims import outside_claim
from ipam.contents import ExternalRecord, TenantRecord
from ipam.needs import of_external
from ipam.outside import allocate_outside, find_external
from ipam.trial import Trial
from model.addresses import Address
from model.errors import Conflict, Invalid
from model.ids import HostName, TenantKey
from model.intent import Egress, Tenant
from model.wanted import Kind, Reference, WantedTenant, refer

GATEWAYS: Final = 2
"""Hosts that translate for a tenant: the active one and its standby."""
_NO_VRF: Final = TenantKey(0)


def lead_out(
    trial: Trial, want: WantedTenant, record: TenantRecord, before: TenantRecord | None
) -> TenantRecord | None:
    """The tenant with its way out as written, or as it was; None and a fault if that can't be."""
    value = record.value
    egress = want.egress or (before.value.egress if before is not None else Egress.NONE)
    name = want.external if want.external is not None else "" if before is None else before.external
    if egress is Egress.NONE:
        name = ""
    if egress is Egress.SNAT and not name:
        trial.refuse(
            Invalid,
            want,
            "external-missing",
            "egress: snat needs an external network to take its address from",
            "Add external: with the name of an External.",
            "spec.external",
        )
        return None
    external = find_external(trial, want, name) if name else None
    if name and external is None:
        return None
    addresses = _addresses(trial, want, before, external if egress is Egress.SNAT else None)
    gateways = _pick(trial, want, before) if egress is Egress.SNAT else ()
    if addresses is None or gateways is None:
        return None
    value = replace(
        value,
        egress=egress,
        external=_NO_VRF if external is None else external.value.key,
        egress_addresses=addresses,
        gateways=gateways,
    )
    return replace(record, value=value, external=name)


def _addresses(
    trial: Trial, want: WantedTenant, before: TenantRecord | None, external: ExternalRecord | None
) -> tuple[Address, ...] | None:
    """One of each family that the external network has a pool for: those that it has, as long as they are of
    that network; the others cool down.
    """
    held = () if before is None else before.value.egress_addresses
    same = external is not None and before is not None and before.external == external.value.name
    if held and not same and before is not None:
        old = trial.draft.externals[before.external].value
        trial.release(refer(want), [outside_claim(old, address) for address in held])
    if external is None:
        return ()
    found: list[Address | None] = []
    for version in sorted({pool.version for pool in external.value.pools}):
        kept = next((a for a in held if same and a.version == version), None)
        found.append(kept or allocate_outside(trial, want, external.value, version, "spec.egress"))
    complete = tuple(a for a in found if a is not None)
    return complete if len(complete) == len(found) else None


def _pick(trial: Trial, want: WantedTenant, before: TenantRecord | None) -> tuple[HostName, ...] | None:
    held = () if before is None else before.value.gateways
    chosen = choose(want.name, trial.draft.gateways(), held)
    if chosen:
        return chosen
    trial.refuse(
        Conflict,
        want,
        "no-gateway",
        "no hypervisor may translate for it",
        "Write gateway: true in a Hypervisor (two, so that one stands by).",
        "spec.egress",
    )
    return None


def choose(tenant: str, hosts: Iterable[HostName], held: tuple[HostName, ...] = ()) -> tuple[HostName, ...]:
    """Up to GATEWAYS of `hosts`, the active one first: those that it has keep their place, others by rank."""
    able = set(hosts)
    kept = [host for host in held if host in able]
    others = sorted(able - set(kept), key=lambda host: (_rank(tenant, host), host))
    return tuple([*kept, *others][:GATEWAYS])


def _rank(tenant: str, host: str) -> bytes:
    """Rendezvous hashing: each tenant has an order of its own, which no other host changes."""
    return blake2b(f"{tenant}\x1f{host}".encode(), digest_size=8).digest()


def replan_gateways(trial: Trial, was: Iterable[HostName]) -> None:
    """After hosts have become gateways or ceased to be: all tenants that this concerns."""
    now = trial.draft.gateways()
    if set(now) == set(was):
        return
    for name in trial.draft.external_names():
        for reference in trial.draft.dependants(of_external(name)):
            record = trial.draft.tenants.get(reference.name) if reference.kind is Kind.TENANT else None
            if record is None or record.value.egress is not Egress.SNAT:
                continue
            if reference in trial.asked and any(step.reference == reference for step in trial.steps):
                continue
            _replan(trial, record, now, was)


def _replan(trial: Trial, record: TenantRecord, now: tuple[HostName, ...], was: Iterable[HostName]) -> None:
    value: Tenant = record.value
    reference = Reference(Kind.TENANT, value.name)
    gateways = choose(value.name, now, value.gateways)
    if gateways:
        if gateways != value.gateways:
            after = replace(record, value=replace(value, gateways=gateways))
            trial.settle(reference, record, after)
        return
    gone = [Reference(Kind.HYPERVISOR, host) for host in sorted(was)]
    trial.refuse(
        Conflict,
        trial.blame(*(r for r in gone if r in trial.asked), *gone),
        "no-gateway",
        f"tenant {value.name} has egress: snat, and no other hypervisor may translate for it",
        "Write gateway: true in another Hypervisor first.",
        "spec.gateway",
    )

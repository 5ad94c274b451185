"""Salvage: from a draft to the wanted object, as far as it can be made.

Place: after `controller.manifest.draft`, before the planner. Must not judge: what is missing is None.
"""

from __future__ import annotations

from typing import Any

from controller.manifest.draft import Draft
from controller.manifest.salvage_hardware import salvage_hardware, salvage_vf
from controller.manifest.salvage_policy import salvage_policy
from model.gang import Quota
from model.intent import Pair
from model.wanted import (
    Kind,
    Wanted,
    WantedEgressClass,
    WantedExternal,
    WantedFloatingIp,
    WantedGuidance,
    WantedHypervisor,
    WantedNetwork,
    WantedPeering,
    WantedPort,
    WantedRoute,
    WantedSeed,
    WantedTenant,
)


def salvage(draft: Draft, number: int) -> Wanted | None:
    """The wanted object, as far as it can be made; None if what it is about is unreadable.

    A name that breaks its rule is replaced by one that nobody else has (`number`): never to be written.
    """
    name: str = draft.get("metadata.name") or f"unreadable-{number}"
    tenant = draft.get("metadata.tenant")
    match draft.kind:
        case Kind.TENANT | Kind.EGRESS_CLASS | Kind.HYPERVISOR | Kind.EXTERNAL:
            return _root(draft, name)
        case Kind.SKU | Kind.FABRIC | Kind.NODE:
            return salvage_hardware(draft, name)
        case Kind.OPERATOR_POLICY:
            return salvage_policy(draft, name, None)
        case _:
            return None if tenant is None else _tenanted(draft, tenant, name)


def _root(draft: Draft, name: Any) -> Wanted | None:
    get, labels, where = draft.get, draft.get("metadata.labels"), draft.where
    match draft.kind:
        case Kind.TENANT:
            return WantedTenant(
                name,
                labels,
                where,
                get("spec.l3vni"),
                get("spec.egress"),
                get("spec.external"),
                get("spec.publicPrefixes"),
                get("spec.importTargets"),
                get("spec.exportTargets"),
                get("spec.communities"),
                get("spec.distinguisher"),
                None if get("spec.quota") is None else Quota(*get("spec.quota")),
                get("spec.defaults"),
            )
        case Kind.EXTERNAL:
            return WantedExternal(name, get("spec.pools") or (), get("spec.vni"), labels, where)
        case Kind.EGRESS_CLASS:
            prefixes, relations = get("spec.prefixes"), get("spec.relations")
            return WantedEgressClass(name, prefixes, get("spec.effective"), labels, where, relations)
        case Kind.HYPERVISOR if get("spec.vtep"):
            return WantedHypervisor(
                name,
                get("spec.vtep"),
                get("spec.routerId"),
                get("spec.external"),
                labels,
                where,
                get("spec.border"),
                get("spec.gateway"),
                get("spec.segments"),
                get("spec.partner"),
            )
        case _:
            return None


def _tenanted(draft: Draft, tenant: str, name: str) -> Wanted | None:
    get, labels, where = draft.get, draft.get("metadata.labels"), draft.where
    match draft.kind:
        case Kind.NETWORK:
            return WantedNetwork(
                tenant=tenant,
                name=name,
                subnets=get("spec.subnets"),
                vni=get("spec.vni"),
                mtu=get("spec.mtu"),
                replicate=get("spec.replicate"),
                labels=labels,
                where=where,
                routed=get("spec.routed"),
                dscp=get("spec.dscp"),
                gateways=get("spec.gateways"),
                import_targets=get("spec.importTargets"),
                export_targets=get("spec.exportTargets"),
                communities=get("spec.communities"),
                distinguisher=get("spec.distinguisher"),
                guidance=WantedGuidance(
                    get("spec.dhcp"),
                    get("spec.resolvers"),
                    get("spec.domain"),
                    get("spec.search"),
                    get("spec.guestRoutes"),
                    get("spec.lease"),
                    get("spec.names"),
                ),
            )
        case Kind.PORT if get("spec.network"):
            pairs = get("spec.allowedAddresses")
            return WantedPort(
                tenant=tenant,
                name=name,
                network=get("spec.network"),
                mac=get("spec.mac"),
                addresses=get("spec.addresses"),
                hosts=get("spec.hosts"),
                labels=labels,
                where=where,
                allowed=None if pairs is None else tuple(Pair(prefix, mac) for prefix, mac in pairs),
                rate_out=get("spec.rateOut"),
                rate_in=get("spec.rateIn"),
                enabled=get("spec.enabled"),
                sticky=get("spec.sticky"),
                vf=salvage_vf(draft),
                seed=WantedSeed(get("spec.instance"), get("spec.publicKeys"), get("spec.userData")),
            )
        case Kind.FLOATING_IP if get("spec.external"):
            return WantedFloatingIp(
                tenant=tenant,
                name=name,
                external=get("spec.external"),
                address=get("spec.address"),
                family=get("spec.family"),
                port=get("spec.port"),
                labels=labels,
                where=where,
            )
        case Kind.SECURITY_POLICY:
            return salvage_policy(draft, name, tenant)
        case Kind.PEERING if get("spec.peer"):
            return WantedPeering(tenant, name, get("spec.peer"), get("spec.prefixes") or (), labels, where)
        case Kind.ROUTE if get("spec.prefix"):
            return WantedRoute(tenant, name, get("spec.prefix"), get("spec.nextHops") or (), labels, where)
        case _:
            return None

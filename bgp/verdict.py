"""What a judgement is about and how it may end: shared by `bgp.guard`, `bgp.irb` and `bgp.rights`.

Place: pure. Must not judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.ids import NetworkKey, Vni
from model.intent import Hypervisor, Network
from model.route import Route
from model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a route is not believed. `code` is stable; `text` names object, rule and remedy."""

    code: str
    text: str


class NotImported:
    """The route concerns nothing that this host knows, or is of a type that nothing uses yet."""

    __slots__ = ()


NOT_IMPORTED: Final = NotImported()


@dataclass(frozen=True, slots=True)
class Case:
    """A route, the network that it is of, and the declared host that its next hop stands for."""

    network: Network
    host: Hypervisor
    route: Route

    def who(self) -> str:
        """The host, for people."""
        return f"VTEP {self.host.vtep} (host {self.host.name})"


def l3vni_of(snapshot: Snapshot, network: Network) -> Vni:
    """Of the network's tenant; 0 = none, or the tenant is not known yet."""
    tenant = snapshot.tenants.get(network.tenant)
    return Vni(0) if tenant is None else tenant.l3vni


def targets_tenant(snapshot: Snapshot, route: Route, network: Network) -> bool:
    """Whether the route bears a route target that the network's tenant imports (RFC 9135 section 5)."""
    tenant = snapshot.tenants.get(network.tenant)
    if tenant is None or not tenant.l3vni or snapshot.cluster is None:
        return False
    imported = tenant.rules.imported(snapshot.cluster.asn, tenant.l3vni)
    return not imported.isdisjoint(route.attributes.route_targets)


def title(snapshot: Snapshot, key: NetworkKey | None) -> str:
    """`tenant/network`, for people."""
    network = None if key is None else snapshot.networks.get(key)
    if network is None:
        return "unknown"
    tenant = snapshot.tenants.get(network.tenant)
    return f"{network.tenant if tenant is None else tenant.name}/{network.name}"

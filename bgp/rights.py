"""Rights: who may say which RT-5 in which VRF, from the store alone (docs/decisions/0014).

Place: the part of `bgp.guard` that judges prefixes (RFC 9136 section 4.4.1). Must not compare routes with
each other or remember any.

- A border may say any prefix to tenants with `egress: fabric` and in external networks, but none that lies in
  what is the tenant's own, or ours.
- A gateway host of a tenant with `egress: snat`: the default route to it, its egress address outside.
- Everybody else: prefixes that lead to a port that the store lets be there: a static route's next hop, a
  floating IP's target, an address that a side of a peering exports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bgp.codec import communities
from bgp.lookup import Lookup
from bgp.prefixes import DEFAULTS
from bgp.verdict import NOT_IMPORTED, NotImported, Refused
from model.addresses import (
    GATEWAY_MAC,
    Address,
    Prefix,
    format_mac,
    is_router_mac,
    is_unicast,
    router_mac,
)
from model.ids import Mac, PortKey, TenantKey
from model.intent import Egress, External, Hypervisor, Peering, Tenant
from model.route import PrefixRoute, Route
from model.snapshot import Snapshot
from model.vrfs import inside, may_live, tenant_of, title

_NO_SEGMENT: Final = bytes(10)


@dataclass(frozen=True, slots=True)
class PrefixClaim:
    """An accepted RT-5. `ports`: those that it leads to, none for what a border or a gateway says. `doubted`:
    nobody declared it; it is let through because the guard only counts.
    """

    vrf: TenantKey
    prefix: Prefix
    vtep: Address
    router_mac: Mac
    preference: int
    ports: tuple[PortKey, ...]
    doubted: bool = False


UNKNOWN: Final = "prefix-unknown"
"""Code of a prefix that no static route of the tenant has."""
Behind = tuple[PortKey, ...]
"""Ports that give the right; none = the host itself has it."""


def vrf_of(
    snapshot: Snapshot, lookup: Lookup, route: Route, body: PrefixRoute
) -> TenantKey | Refused | NotImported:
    """The one VRF that both route target and label name (RFC 9136 section 4.4.1)."""
    asn = None if snapshot.cluster is None else snapshot.cluster.asn
    labelled = lookup.holders.vrf(body.vni)
    targeted: set[TenantKey] = set()
    for target in route.attributes.route_targets:
        targeted.update(lookup.holders.importing(snapshot, target))
    if labelled is not None and labelled in targeted:
        return labelled
    if not targeted and labelled is None:
        return NOT_IMPORTED
    shown = " ".join(communities.target_text(one) for one in route.attributes.route_targets) or "none"
    if not targeted:
        return Refused(
            "route-target-foreign",
            f"label {body.vni} of {body.prefix} is the L3VNI of {_named(snapshot, labelled)}, but the route "
            f"targets are {shown}; announce it with {asn}:{body.vni}, or look into who sends this",
        )
    names = ", ".join(title(snapshot, vrf) for vrf in sorted(targeted))
    return Refused(
        "vni-foreign",
        f"label {body.vni} of {body.prefix} is not the L3VNI of {names}, whose route target {shown} the "
        "route bears; correct the sender's L3VNI, or look into who sends this",
    )


def _named(snapshot: Snapshot, vrf: TenantKey | None) -> str:
    return "nobody" if vrf is None else title(snapshot, vrf)


def judge_prefix(
    snapshot: Snapshot, lookup: Lookup, vrf: TenantKey, host: Hypervisor, route: Route, body: PrefixRoute
) -> PrefixClaim | Refused | NotImported:
    """The verdict on an RT-5 of a known VRF, whose next hop is a declared host's."""
    claimed, prefix = route.attributes.router_mac, body.prefix
    case = _Case(snapshot, lookup, host, prefix, title(snapshot, vrf))
    if body.gateway is not None or body.esi != _NO_SEGMENT:
        return case.refuse(
            "overlay-index",
            "with a gateway address or a segment; only the interface-less model is spoken here "
            "(RFC 9136 section 4.4.1): turn the other off there",
        )
    if prefix.is_multicast or prefix.is_loopback or prefix.is_link_local:
        return case.refuse("prefix-martian", "which nobody routes; take it out of what is announced there")
    if not _is_router(host, claimed):
        shown = "no MAC" if claimed is None else format_mac(claimed)
        wanted = "a unicast MAC of its own" if host.external else format_mac(router_mac(host.router_id))
        return case.refuse("router-mac", f"under {shown}; it must send {wanted} as its router MAC")
    right = _right(case, vrf)
    if not isinstance(right, tuple):
        return right
    weight = route.attributes.local_preference
    return PrefixClaim(vrf, prefix, host.vtep, Mac(claimed or 0), weight, right)


def _is_router(host: Hypervisor, claimed: Mac | None) -> bool:
    """Ours have the MAC that follows from their router id; others choose one that is nobody else's."""
    if claimed is None:
        return False
    if not host.external:
        return claimed == router_mac(host.router_id)
    return is_unicast(claimed) and not is_router_mac(claimed) and claimed != GATEWAY_MAC


@dataclass(frozen=True, slots=True)
class _Case:
    """Who says what to whom."""

    snapshot: Snapshot
    lookup: Lookup
    host: Hypervisor
    prefix: Prefix
    name: str

    def refuse(self, code: str, why: str) -> Refused:
        """Object and rule; `why` goes on with reason and remedy."""
        who = f"VTEP {self.host.vtep} (host {self.host.name})"
        return Refused(code, f"{who} announces {self.prefix} to {self.name}, {why}")

    def address(self) -> Address | None:
        """The one address of a host prefix."""
        single = self.prefix.prefixlen == self.prefix.max_prefixlen
        return self.prefix.network_address if single else None

    def living(self, keys: tuple[PortKey, ...]) -> Behind:
        """Those of the ports that may be on the host, in routed networks."""
        ports = (self.snapshot.ports[key] for key in keys)
        return tuple(
            port.key
            for port in ports
            if may_live(self.snapshot, port, self.host.name)
            and tenant_of(self.snapshot, port.network) is not None
        )


def _right(case: _Case, vrf: TenantKey) -> Behind | Refused | NotImported:
    snapshot = case.snapshot
    if (tenant := snapshot.tenants.get(vrf)) is not None:
        return _to_tenant(case, tenant)
    if (external := snapshot.externals.get(vrf)) is not None:
        return _to_external(case, external)
    if (peering := snapshot.peerings.get(vrf)) is not None:
        return _to_peering(case, peering)
    return NOT_IMPORTED


def _is_border(host: Hypervisor) -> bool:
    return host.border and host.external


def _to_tenant(case: _Case, tenant: Tenant) -> Behind | Refused:
    statics = case.lookup.holders.statics.get((tenant.key, case.prefix), ())
    routes = [case.snapshot.static_routes[uid] for uid in sorted(statics)]
    hops = {hop for route in routes for hop in route.next_hops}
    keys = {key for hop in hops for key in case.lookup.holders.ports(tenant.key, hop)}
    living = case.living(tuple(sorted(keys)))
    if living:
        return living
    if case.prefix in DEFAULTS.values() and tenant.egress is Egress.SNAT:
        return _as_gateway(case, tenant)
    if _is_border(case.host):
        return _as_border(case, tenant)
    if routes:
        return case.refuse(
            "next-hop-elsewhere",
            f"but none of the next hops {', '.join(map(str, sorted(hops)))} of that static route is a port "
            "on it; add the host to the port, or look into who sends this",
        )
    return case.refuse(
        UNKNOWN,
        "which has no such static route; create the Route, declare the host a border, or look into who "
        "sends this",
    )


def _as_gateway(case: _Case, tenant: Tenant) -> Behind | Refused:
    if case.host.name not in tenant.gateways:
        return case.refuse(
            "gateway-foreign",
            f"whose gateways are {', '.join(tenant.gateways) or 'none'}; look into who sends this",
        )
    if case.prefix.version not in {address.version for address in tenant.egress_addresses}:
        return case.refuse(
            "gateway-family", f"which has no egress address of IPv{case.prefix.version}; look into it"
        )
    return ()


def _as_border(case: _Case, tenant: Tenant) -> Behind | Refused:
    if tenant.egress is not Egress.FABRIC:
        return case.refuse(
            "egress-closed",
            f"whose egress is {tenant.egress.value}: no border speaks to it; set `egress: fabric`, or look "
            "into who sends this",
        )
    own = _own_prefix(case, tenant)
    if own is not None:
        return case.refuse(
            "prefix-own", f"which lies in its own {own}; take it out of what the border announces"
        )
    return ()


def _own_prefix(case: _Case, tenant: Tenant) -> str | None:
    """What of the tenant, or of ours, a prefix lies in."""
    snapshot, prefix = case.snapshot, case.prefix
    for key in sorted(case.lookup.holders.homes.get(tenant.key, ())):
        network = snapshot.networks[key]
        for subnet in network.subnets:
            if inside(prefix, subnet):
                return f"subnet {subnet} of network {network.name}"
    for route in sorted(
        (r for r in snapshot.static_routes.values() if r.tenant == tenant.key), key=_named_as
    ):
        if inside(prefix, route.prefix) and (route.prefix.prefixlen or not prefix.prefixlen):
            return f"static route {route.name} ({route.prefix})"
    return _pool(snapshot, prefix)


def _named_as(value: object) -> str:
    return str(getattr(value, "name", ""))


def _pool(snapshot: Snapshot, prefix: Prefix) -> str | None:
    for external in sorted(snapshot.externals.values(), key=_named_as):
        for pool in external.pools:
            if inside(prefix, pool):
                return f"pool {pool} of external {external.name}"
    return None


def _to_external(case: _Case, external: External) -> Behind | Refused | NotImported:
    if _is_border(case.host):
        own = _pool(case.snapshot, case.prefix)
        if own is None:
            return ()
        return case.refuse("prefix-own", f"which lies in {own}; take it out of what the border announces")
    address, holders = case.address(), case.lookup.holders
    if address is None:
        return case.refuse(
            "prefix-not-host",
            "where a host that is no border may say single addresses only; declare it a border, or look into "
            "who sends this",
        )
    floats = [case.snapshot.floating[u] for u in sorted(holders.floats.get((external.key, address), ()))]
    tenants = [case.snapshot.tenants[t] for t in sorted(holders.egress.get((external.key, address), ()))]
    ports = tuple(sorted({one.port for one in floats if one.port in case.snapshot.ports}))
    living = case.living(ports)
    if living:
        return living
    if any(case.host.name in t.gateways and t.egress is Egress.SNAT for t in tenants):
        return ()
    if ports:
        return case.refuse(
            "floating-elsewhere",
            f"which is floating IP {floats[0].name} of a port that is not on it; look into who sends this",
        )
    if tenants:
        return case.refuse(
            "gateway-foreign",
            f"which is the egress address of tenant {tenants[0].name}, whose gateways are "
            f"{', '.join(tenants[0].gateways) or 'none'}; look into who sends this",
        )
    return NOT_IMPORTED  # of a tenant that is not this host's concern, or of nobody


def _to_peering(case: _Case, peering: Peering) -> Behind | Refused:
    address = case.address()
    if address is None:
        return case.refuse(
            "prefix-not-host", "where only single addresses are said; look into who sends this"
        )
    sides = [side for side in peering.sides if any(inside(case.prefix, p) for p in side.prefixes)]
    if not sides:
        return case.refuse(
            "prefix-not-exported",
            "neither side of which exports it; add it to the Peering, or look into who sends this",
        )
    keys = {key for side in sides for key in case.lookup.holders.ports(side.tenant, address)}
    living = case.living(tuple(sorted(keys)))
    if living:
        return living
    return case.refuse(
        "port-elsewhere" if keys else "address-unknown",
        "which is the address of a port that is not on it; look into who sends this"
        if keys
        else "which is no port's address; create the port, or look into who sends this",
    )

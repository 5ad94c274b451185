"""Tolerance: what a guard that only counts lets through besides: what nobody declared, never what the store
knows to be elsewhere or somebody else's.

Place: beside `bgp.guard`, asked by `bgp.judging` for routes that the guard refuses while the cluster counts
(model.intent.Guard). Pure. Of prefixes only what can draw nobody's traffic away: private ones of external
hosts, that overlap nothing that the store knows, of tenants to which no border speaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bgp import guard
from bgp.guard import FloodClaim, MacClaim
from bgp.irb import judge_router
from bgp.lookup import Lookup
from bgp.rights import UNKNOWN, PrefixClaim, vrf_of
from bgp.segments import segment_of
from bgp.verdict import Case, NotImported, Refused
from model.addresses import Prefix
from model.ids import Mac, TenantKey
from model.intent import Egress
from model.route import MacRoute, PrefixRoute, Route
from model.snapshot import Snapshot
from model.vrfs import inside

TOLERABLE: Final = frozenset(
    {"mac-unknown", "vtep-not-authorised", "address-foreign", "vtep-not-in-network", UNKNOWN}
)
"""Codes of refusals for want of a declaration."""


def claim(snapshot: Snapshot, lookup: Lookup, route: Route) -> MacClaim | FloodClaim | PrefixClaim | None:
    """What a route with such a refusal would claim; None if something else speaks against it."""
    if isinstance(route.nlri, PrefixRoute):
        return _claim_prefix(snapshot, lookup, route, route.nlri)
    case = guard.case_of(snapshot, lookup, route)
    if case is None:
        return None
    if isinstance(route.nlri, MacRoute):
        return _claim_mac(snapshot, lookup, case, route.nlri)
    return FloodClaim(case.network.key, case.host.vtep)


def _claim_mac(snapshot: Snapshot, lookup: Lookup, case: Case, body: MacRoute) -> MacClaim | None:
    network = case.network.key
    port = lookup.port(network, body.mac)
    binding = None if port is None else snapshot.bindings.get(port)
    if binding is not None and binding.active and binding.host != case.host.name:
        return None
    address = body.address
    if address is not None:
        others = {*lookup.holders.owners.get((network, address), ())} - {port}
        if others or lookup.speakers(network, body.mac, address):
            return None
        if not any(address in subnet for subnet in case.network.subnets):
            address = None
    router = judge_router(snapshot, case, body)
    if isinstance(router, Refused):
        return None
    hung = case.route.attributes
    return MacClaim(
        network,
        body.mac,
        case.host.vtep,
        address,
        hung.sequence or 0,
        hung.local_preference,
        router if address is not None and case.network.routed else None,
        hung.sticky,
        doubted=True,
        segment=segment_of(body),
    )


def _claim_prefix(snapshot: Snapshot, lookup: Lookup, route: Route, body: PrefixRoute) -> PrefixClaim | None:
    """Its router MAC, next hop and L3VNI are right, or the refusal would be another."""
    vrf, name = vrf_of(snapshot, lookup, route, body), lookup.host(route.attributes.next_hop)
    if name is None or isinstance(vrf, Refused | NotImported):
        return None
    host, tenant = snapshot.hypervisors[name], snapshot.tenants.get(vrf)
    if tenant is None or not host.external or tenant.egress is Egress.FABRIC or not body.prefix.is_private:
        return None
    if any(_overlap(body.prefix, one) for one in _known(snapshot, lookup, vrf)):
        return None
    hung = route.attributes
    mac = Mac(hung.router_mac or 0)
    return PrefixClaim(vrf, body.prefix, host.vtep, mac, hung.local_preference, (), doubted=True)


def _known(snapshot: Snapshot, lookup: Lookup, vrf: TenantKey) -> Iterator[Prefix]:
    """Where the tenant's traffic may go by what the store says."""
    for key in lookup.holders.homes.get(vrf, ()):
        yield from snapshot.networks[key].subnets
    yield from (route.prefix for route in snapshot.static_routes.values() if route.tenant == vrf)
    for external in snapshot.externals.values():
        yield from external.pools
    for peering in snapshot.peerings.values():
        if any(side.tenant == vrf for side in peering.sides):
            yield from (prefix for side in peering.sides for prefix in side.prefixes)


def _overlap(one: Prefix, other: Prefix) -> bool:
    return inside(one, other) or inside(other, one)

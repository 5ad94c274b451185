"""Tolerance: what a guard that only counts lets through besides: what nobody declared, never what the store
knows to be elsewhere or somebody else's.

Place: beside `bgp.guard`, asked by `bgp.judging` for routes that the guard refuses while the cluster counts
(model.intent.Guard). Pure. Prefixes are not among them: one attracts the traffic of a whole VRF.
"""

from __future__ import annotations

from typing import Final

from bgp import guard
from bgp.guard import FloodClaim, MacClaim
from bgp.irb import judge_router
from bgp.lookup import Lookup
from bgp.verdict import Case, Refused
from model.route import MacRoute, Route
from model.snapshot import Snapshot

TOLERABLE: Final = frozenset({"mac-unknown", "vtep-not-authorised", "address-foreign", "vtep-not-in-network"})
"""Codes of refusals for want of a declaration."""


def claim(snapshot: Snapshot, lookup: Lookup, route: Route) -> MacClaim | FloodClaim | None:
    """What a route with such a refusal would claim; None if something else speaks against it."""
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
    )

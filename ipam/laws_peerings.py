"""Laws of peerings: what two tenants let each other reach is theirs, and leads one way only.

Place: part of `ipam.laws`. Between two tenants they hold once both halves are there. Must not
change anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ipam.claims import peer_claim
from ipam.contents import PeeringRecord, refer
from ipam.needs import of_tenant
from ipam.trial import Trial
from model.addresses import Prefix
from model.errors import Conflict, Invalid
from model.wanted import Kind, Reference, WantedNetwork, WantedPeering, WantedRoute, title


@dataclass(frozen=True, slots=True)
class _Place:
    """A prefix of a tenant and the network or route that it belongs to."""

    prefix: Prefix
    owner: Reference


def check_peerings(trial: Trial, tenant: str) -> None:
    """All halves that the tenant declared, and those with which it is complete."""
    halves = list(_halves(trial, tenant))
    for half in halves:
        _check_own(trial, half)
    complete = [(half, other) for half in halves if (other := _answer(trial, half)) is not None]
    for half, other in complete:
        _check_exports(trial, half, other)
        for ours, theirs in ((half, other), (other, half)):
            _check_subnets(trial, ours, theirs)
            _check_routes(trial, ours, theirs)
    for index, (_, one) in enumerate(complete):
        for _, other in complete[index + 1 :]:
            _check_exports(trial, one, other)


def _halves(trial: Trial, tenant: str) -> Iterator[PeeringRecord]:
    for reference in trial.draft.dependants(of_tenant(tenant)):
        if reference.kind is Kind.PEERING and reference.tenant == tenant:
            yield trial.draft.peerings[tenant, reference.name]


def _answer(trial: Trial, half: PeeringRecord) -> PeeringRecord | None:
    """The other half, if it is there."""
    owner = trial.draft.owners.get(peer_claim(half.peer, half.tenant))
    return None if owner is None else trial.draft.peerings.get((half.peer, owner.name))


def _subnets(trial: Trial, tenant: str) -> list[_Place]:
    networks = [trial.draft.networks[tenant, name].value for name in trial.draft.networks_of(tenant)]
    return [
        _Place(subnet, Reference(Kind.NETWORK, network.name, tenant))
        for network in networks
        if network.routed
        for subnet in network.subnets
    ]


def _routes(trial: Trial, tenant: str) -> list[_Place]:
    found = trial.draft.dependants(of_tenant(tenant))
    return [
        _Place(trial.draft.routes[tenant, reference.name].value.prefix, reference)
        for reference in found
        if reference.kind is Kind.ROUTE
    ]


def _check_own(trial: Trial, half: PeeringRecord) -> None:
    """Who lets others reach a prefix has it: in a routed subnet, or behind a route of its own."""
    places = (*_subnets(trial, half.tenant), *_routes(trial, half.tenant))
    reference = refer(half)
    for prefix in half.value.prefixes:
        if any(_within(prefix, place.prefix) for place in places):
            continue
        changed = [s.reference for s in trial.steps if s.reference.kind in {Kind.NETWORK, Kind.ROUTE}]
        blamed = trial.blame(reference, *(r for r in changed if r.tenant == half.tenant))
        trial.refuse(
            Invalid if isinstance(blamed, WantedPeering) else Conflict,
            blamed,
            "prefix-not-own",
            f"{title(reference)} lets {half.peer} reach {prefix}, which is in no routed subnet and no route"
            f" of {half.tenant}",
            "Write prefixes of the tenant's own routed networks or routes.",
            _path(blamed, prefix),
        )


def _check_exports(trial: Trial, one: PeeringRecord, other: PeeringRecord) -> None:
    """Whose address it is must be clear to both, and to a third that peers with them."""
    for prefix in one.value.prefixes:
        for theirs in other.value.prefixes:
            if _overlap(prefix, theirs):
                blamed = trial.blame(refer(one), refer(other))
                trial.refuse(
                    Conflict,
                    blamed,
                    "peering-overlap",
                    f"{prefix} of {title(refer(one))} overlaps {theirs} of {title(refer(other))}",
                    "Export prefixes that no other side has, or renumber one of the networks.",
                    _path(blamed, prefix, theirs),
                )


def _check_subnets(trial: Trial, half: PeeringRecord, other: PeeringRecord) -> None:
    """What a tenant has itself it can't reach at its peer."""
    for prefix in half.value.prefixes:
        for place in _subnets(trial, other.tenant):
            if _overlap(prefix, place.prefix):
                blamed = trial.blame(refer(half), refer(other), place.owner)
                trial.refuse(
                    Conflict,
                    blamed,
                    "peering-overlap",
                    f"{prefix} of {title(refer(half))} overlaps {place.prefix} of {title(place.owner)}",
                    "Peers need subnets that are apart: export less, or renumber one of the networks.",
                    _path(blamed, prefix, place.prefix),
                )


def _check_routes(trial: Trial, half: PeeringRecord, other: PeeringRecord) -> None:
    """A route of the peer as long as the prefix would send it back, or past its owner; a wider one loses."""
    for prefix in half.value.prefixes:
        for place in _routes(trial, other.tenant):
            wider = place.prefix.prefixlen < prefix.prefixlen
            if _overlap(prefix, place.prefix) and not wider:
                blamed = trial.blame(refer(half), refer(other), place.owner)
                trial.refuse(
                    Conflict,
                    blamed,
                    "peering-loop",
                    f"{prefix} of {title(refer(half))} is routed elsewhere by {title(place.owner)}"
                    f" to {place.prefix}",
                    "Delete that route, or export a prefix that the peer has no route for.",
                    _path(blamed, prefix, place.prefix),
                )


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(one: Prefix, other: Prefix) -> bool:
    return _overlap(one, other) and one.prefixlen >= other.prefixlen


def _path(blamed: object, *prefixes: Prefix) -> str:
    """The field of the blamed object in which one of the prefixes stands."""
    match blamed:
        case WantedPeering(prefixes=written):
            field = "spec.prefixes"
        case WantedNetwork(subnets=subnets):
            field, written = "spec.subnets", subnets or ()
        case WantedRoute():
            return "spec.prefix"
        case _:
            return ""
    found = next((p for p in prefixes if p in written), None)
    return field if found is None else f"{field}[{written.index(found)}]"

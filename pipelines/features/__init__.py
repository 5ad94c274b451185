"""The features of the pipeline and the one list that gives their order.

Place: between views and compile. A feature is a function from one view to the flows of one object; it says
which kind of object it compiles. Must not look at anything but its view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from model.flow import Flow
from pipelines.features import (
    accounting,
    addressee,
    addresses,
    arrival,
    asked,
    classify,
    delivery,
    egress_class,
    gateway,
    guard,
    inward,
    misses,
    neighbours,
    output,
    outward,
    pairs,
    peering,
    policy,
    prefixes,
    probes,
    quality,
    resolve,
    route,
    services,
    serving,
    size,
    virtual_routers,
    waiting,
)
from pipelines.objects import Kind


@dataclass(frozen=True, slots=True)
class Feature:
    """`flows` takes the view of objects of `kind` (pipelines.views) and nothing else."""

    name: str
    kind: Kind
    flows: Callable[[Any], tuple[Flow, ...]]


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("misses", Kind.HOST, misses.host),
    Feature("classify", Kind.HOST, classify.host),
    Feature("classify", Kind.VTEP, classify.vtep),
    Feature("classify", Kind.SENDER, classify.sender),
    Feature("classify", Kind.PORT, classify.port),
    Feature("probes", Kind.PATH, probes.path),
    Feature("waiting", Kind.WAITING, waiting.waiting),
    Feature("guard", Kind.HOST, guard.host),
    Feature("guard", Kind.PORT, guard.port),
    Feature("asked", Kind.PORT, asked.port),
    Feature("neighbours", Kind.HOST, neighbours.host),
    Feature("neighbours", Kind.PORT, neighbours.port),
    Feature("pairs", Kind.PORT, pairs.port),
    Feature("size", Kind.PORT, size.port),
    Feature("size", Kind.NARROW, size.narrow),
    Feature("services", Kind.HOST, services.host),
    Feature("services", Kind.NETWORK, services.network),
    Feature("services", Kind.PORT, services.port),
    Feature("services", Kind.REMOTE, services.remote),
    Feature("policy", Kind.HOST, policy.host),
    Feature("policy", Kind.RULE, policy.rule),
    Feature("policy", Kind.MEMBER, policy.member),
    Feature("policy", Kind.GROUP, policy.group),
    Feature("policy", Kind.JUDGED, policy.judged),
    Feature("policy", Kind.DRAINING, policy.draining),
    Feature("gateway", Kind.HOST, gateway.host),
    Feature("gateway", Kind.VRF, gateway.vrf),
    Feature("gateway", Kind.SUBNETS, gateway.subnets),
    Feature("route", Kind.PORT, route.port),
    Feature("route", Kind.ROUTE, route.route),
    Feature("route", Kind.VRF, route.vrf),
    Feature("route", Kind.SUBNETS, route.subnets),
    Feature("prefixes", Kind.PREFIX, prefixes.prefix),
    Feature("outward", Kind.HOST, outward.host),
    Feature("outward", Kind.FLOATING, outward.floating),
    Feature("outward", Kind.EGRESS, outward.egress),
    Feature("outward", Kind.EXTERNAL, outward.external),
    Feature("outward", Kind.OUTSIDE, outward.outside),
    Feature("peering", Kind.PEERING, peering.peering),
    Feature("peering", Kind.PEERED, peering.peered),
    Feature("addressee", Kind.HOST, addressee.host),
    Feature("addressee", Kind.ADDRESSEE, addressee.addressee),
    Feature("addressee", Kind.JUDGED, addressee.judged),
    Feature("resolve", Kind.HOST, resolve.host),
    Feature("resolve", Kind.NETWORK, resolve.network),
    Feature("resolve", Kind.PORT, resolve.port),
    Feature("resolve", Kind.REMOTE, resolve.remote),
    Feature("quality", Kind.NETWORK, quality.network),
    Feature("quality", Kind.PORT, quality.port),
    Feature("egress class", Kind.HOST, egress_class.host),
    Feature("egress class", Kind.CLASS, egress_class.egress_class),
    Feature("egress class", Kind.NETWORK, egress_class.network),
    Feature("egress class", Kind.SUBNETS, egress_class.subnets),
    Feature("egress class", Kind.PEERING, egress_class.peering),
    Feature("accounting", Kind.HOST, accounting.host),
    Feature("accounting", Kind.PORT, accounting.port),
    Feature("inward", Kind.HOST, inward.host),
    Feature("inward", Kind.CLASS, inward.egress_class),
    Feature("inward", Kind.PORT, inward.port),
    Feature("output", Kind.HOST, output.host),
    Feature("output", Kind.NETWORK, output.network),
    Feature("virtual routers", Kind.NETWORK, virtual_routers.network),
    Feature("delivery", Kind.HOST, delivery.host),
    Feature("delivery", Kind.NETWORK, delivery.network),
    Feature("delivery", Kind.PORT, delivery.port),
    Feature("arrival", Kind.HOST, arrival.host),
    Feature("arrival", Kind.VRF, arrival.vrf),
    Feature("arrival", Kind.PORT, arrival.port),
    Feature("addresses", Kind.ADDRESS, addresses.address),
    Feature("serving", Kind.HOST, serving.host),
    Feature("serving", Kind.PORT, serving.port),
)


def features_of(kind: Kind) -> tuple[Feature, ...]:
    """The features that compile objects of a kind, in order."""
    return tuple(feature for feature in FEATURES if feature.kind is kind)

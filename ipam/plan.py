"""Plan: from what the store holds and what is wanted to what would be written, all or nothing.

Place: called by the API for `apply` and `plan`; `controller.store.writer` writes the result in one
transaction. Pure and deterministic: the order of the wanted objects never changes the result. Must not read a
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ipam.classes import plan_classes
from ipam.contents import Contents
from ipam.distinguishers import reserve_numbers
from ipam.hardware import plan_fabrics, plan_nodes, plan_skus
from ipam.laws import check_laws
from ipam.networks import plan_networks, reserve_vnis
from ipam.outside import plan_externals, plan_floating, reserve_floating
from ipam.peerings import plan_peerings
from ipam.policies import plan_policies
from ipam.ports import plan_ports
from ipam.roots import plan_hypervisors, plan_tenants
from ipam.routes import plan_routes
from ipam.steps import Plan
from ipam.trial import Trial
from ipam.ways_out import replan_gateways
from model.addresses import Address
from model.errors import Fault, Invalid, Unavailable
from model.ids import Uid
from model.underlay import default_mtu
from model.wanted import (
    Reference,
    Wanted,
    WantedEgressClass,
    WantedExternal,
    WantedFabric,
    WantedFloatingIp,
    WantedHypervisor,
    WantedNetwork,
    WantedNode,
    WantedPeering,
    WantedPolicy,
    WantedPort,
    WantedRoute,
    WantedSku,
    WantedTenant,
    refer,
)


def plan(
    contents: Contents, wanted: Sequence[Wanted], now: int, new_uid: Callable[[], Uid], underlay: int = 0
) -> Plan:
    """Allocate keys, VNIs, MACs and addresses for everything that is new, and check everything that changes.

    `now`: Unix ms. `new_uid`: gives a fresh UUID for each new object. `underlay`: the smallest MTU that a
    host found below, 0 = none did. Absent optional fields keep what is stored. Raises Invalid, NotFound,
    Conflict or Exhausted (the first of these that occurred) carrying every fault; Unavailable if the store
    has no cluster settings yet.
    """
    if contents.cluster is None:
        raise Unavailable(
            Fault(
                "Cluster",
                "cluster-missing",
                "the store holds no cluster settings yet",
                "Start the API with its settings once; it writes them.",
            )
        )
    trial = Trial(contents, now, new_uid, frozenset(refer(want) for want in wanted), wanted)
    ordered = _once(trial, wanted)
    networks = [w for w in ordered if isinstance(w, WantedNetwork)]
    tenants = [w for w in ordered if isinstance(w, WantedTenant)]
    externals = [w for w in ordered if isinstance(w, WantedExternal)]
    floating = [w for w in ordered if isinstance(w, WantedFloatingIp)]
    reserve_vnis(trial, [*networks, *tenants, *externals])
    reserve_numbers(trial, [*networks, *tenants])
    plan_hypervisors(trial, [w for w in ordered if isinstance(w, WantedHypervisor)])
    plan_skus(trial, [w for w in ordered if isinstance(w, WantedSku)])
    plan_fabrics(trial, [w for w in ordered if isinstance(w, WantedFabric)])
    plan_nodes(trial, [w for w in ordered if isinstance(w, WantedNode)])
    plan_externals(trial, externals)
    reserve_floating(trial, floating)
    plan_tenants(trial, tenants)
    replan_gateways(trial, contents.gateways)
    plan_networks(trial, networks, default_mtu(_vteps(contents, ordered), underlay))
    plan_classes(trial, [w for w in ordered if isinstance(w, WantedEgressClass)])
    plan_ports(trial, [w for w in ordered if isinstance(w, WantedPort)])
    plan_routes(trial, [w for w in ordered if isinstance(w, WantedRoute)])
    plan_floating(trial, floating)
    plan_peerings(trial, [w for w in ordered if isinstance(w, WantedPeering)])
    plan_policies(trial, [w for w in ordered if isinstance(w, WantedPolicy)])
    check_laws(trial)
    return trial.finish()


def _vteps(contents: Contents, wanted: Sequence[Wanted]) -> Iterator[Address]:
    """Those that there are, or will be."""
    yield from (record.value.vtep for record in contents.hypervisors.values())
    yield from (w.vtep for w in wanted if isinstance(w, WantedHypervisor))


def _once(trial: Trial, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Sorted by name; an object that is written twice is refused at its second place."""
    first: dict[Reference, Wanted] = {}
    for want in wanted:
        reference = refer(want)
        if reference in first:
            place = first[reference].where
            trial.refuse(
                Invalid,
                want,
                "written-twice",
                f"it was already written at {place.source or 'this request'}:{place.line}",
                "Keep one of the two.",
                "metadata.name",
            )
        else:
            first[reference] = want
    return [first[r] for r in sorted(first, key=lambda r: (r.tenant or "", r.name))]

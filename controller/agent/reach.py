"""Reach: which VTEPs this host has reason to probe: those that its traffic goes to; and what it sends there.

Place: pure; the agent's loop asks once a tick and hands the answers to `controller.agent.pathing` and
`controller.agent.fitting`. Probed are only VTEPs whose hosts would answer: they are compiled for exactly the
hosts that may send there (pipelines.views.paths).
"""

from __future__ import annotations

import heapq

from controller.agent.fitting import SHOWN, Load
from controller.agent.pathing import Wish
from model.addresses import Address, router_mac
from model.ids import NetworkKey
from model.snapshot import Snapshot
from pipelines.index import Index, routes_here, vrf_of


def wish(snapshot: Snapshot, index: Index, *, session: bool) -> Wish:
    """Those that take part in a network, tenant or external network of this host; who runs no agent, apart.

    A gateway also asks the others of its tenants: it takes over when those before it are silent.
    """
    this, switch = snapshot.this(), snapshot.switch
    if this is None or switch is None:
        return Wish()
    agents = {h.vtep for h in snapshot.hypervisors.values() if not h.external and h.name != this.name}
    used: set[Address] = {vtep for network, vtep in snapshot.floods if _serves(snapshot, index, network)}
    for (vrf, _), prefix in snapshot.prefixes.items():
        if routes_here(index, vrf) or index.outward.serves(vrf):
            used.update(hop.vtep for hop in prefix.hops)
    for tenant in index.outward.gated:
        fellows = (snapshot.hypervisors.get(name) for name in snapshot.tenants[tenant].gateways)
        used.update(fellow.vtep for fellow in fellows if fellow is not None)
    near = frozenset(vtep for vtep in used if vtep.version == this.vtep.version)
    strangers = near & {h.vtep for h in snapshot.hypervisors.values() if h.external}
    return Wish(near & agents, switch.tunnel if session else 0, router_mac(this.router_id), strangers)


def load(snapshot: Snapshot, index: Index) -> Load:
    """To all other VTEPs that are declared: where a network spreads to is not known before it does."""
    this = snapshot.this()
    others = {host.vtep for host in snapshot.hypervisors.values()} - {None if this is None else this.vtep}
    largest = heapq.nlargest(SHOWN, ((snapshot.networks[key].mtu, key) for key in index.locals))
    return Load(
        tuple(sorted((v for v in others if v is not None), key=lambda vtep: (vtep.version, int(vtep)))),
        tuple((mtu, _name(snapshot, key)) for mtu, key in largest),
    )


def _name(snapshot: Snapshot, key: NetworkKey) -> str:
    network = snapshot.networks[key]
    tenant = snapshot.tenants.get(network.tenant)
    return f"{network.tenant if tenant is None else tenant.name}/{network.name}"


def _serves(snapshot: Snapshot, index: Index, network: NetworkKey) -> bool:
    vrf = vrf_of(snapshot, network)
    return network in index.locals or (vrf is not None and routes_here(index, vrf))

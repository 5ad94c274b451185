"""Reach: which VTEPs this host has reason to probe: those that its traffic goes to.

Place: pure; the agent's loop asks once a tick and hands the answer to `controller.agent.pathing`. Only VTEPs
whose hosts would answer: they are compiled for exactly the hosts that may send there (pipelines.views.paths).
"""

from __future__ import annotations

from controller.agent.pathing import Wish
from model.addresses import Address, router_mac
from model.ids import NetworkKey
from model.snapshot import Snapshot
from pipelines.index import Index, vrf_of


def wish(snapshot: Snapshot, index: Index, *, session: bool) -> Wish:
    """Those that took part in a network or tenant that has ports here, and run an agent."""
    this, switch = snapshot.this(), snapshot.switch
    if this is None or switch is None:
        return Wish()
    agents = {h.vtep for h in snapshot.hypervisors.values() if not h.external and h.name != this.name}
    used: set[Address] = {vtep for network, vtep in snapshot.floods if _serves(snapshot, index, network)}
    for (vrf, _), prefix in snapshot.prefixes.items():
        if vrf in index.live:
            used.update(hop.vtep for hop in prefix.hops)
    found = frozenset(v for v in used & agents if v.version == this.vtep.version)
    return Wish(found, switch.tunnel if session else 0, router_mac(this.router_id))


def _serves(snapshot: Snapshot, index: Index, network: NetworkKey) -> bool:
    return network in index.locals or vrf_of(snapshot, network) in index.live

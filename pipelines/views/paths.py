"""Views of paths: VTEPs with which this host exchanges traffic.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from dataclasses import dataclass

from immutables import Map

from model.addresses import Address
from model.ids import HostName
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines import objects as o
from pipelines.index import Index
from pipelines.views.bridged import vtep_view
from pipelines.views.routed import sender_view


@dataclass(frozen=True, slots=True)
class PathView:
    """A host with an agent that may send something here."""

    vtep: Address
    tunnel: int


def path_view(snapshot: Snapshot, index: Index, switch: Switch, subject: o.Object) -> PathView | None:
    host = HostName(subject.name)
    declared = snapshot.hypervisors.get(host)
    if declared is None or declared.external or not _may_send(snapshot, index, switch, host):
        return None
    return PathView(declared.vtep, switch.tunnel)


def _may_send(snapshot: Snapshot, index: Index, switch: Switch, host: HostName) -> bool:
    """A network or a tenant for which it has the right: the first that is found will do."""
    networks = (n for n in index.locals if host in index.permits.get(n, Map()))
    if any(vtep_view(snapshot, index, switch, o.vtep(n, host)) is not None for n in networks):
        return True
    vrfs = {*index.live, *index.outward.gated, *index.outward.externals()}
    return any(sender_view(snapshot, index, switch, o.sender(vrf, host)) is not None for vrf in sorted(vrfs))

"""Views of what is bridged: the host, egress classes, networks, MACs and VTEPs behind tunnels.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from immutables import Map

from model.addresses import Address, Prefix
from model.classes import in_force
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, Vni
from model.intent import Network, Relation
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines.index import Index
from pipelines.inward import open_here
from pipelines.objects import Object
from pipelines.policy.seated import scope_of
from pipelines.views.terms import gateways_of, owned, paired, reachable


@dataclass(frozen=True, slots=True)
class HostView:
    """`tunnel`: OpenFlow port of the VXLAN interface. `services`: of whoever answers names and metadata, None
    = nobody on this host."""

    tunnel: int
    services: int | None = None


@dataclass(frozen=True, slots=True)
class ClassView:
    """A class as it is in force. `internet`: public addresses that nothing else takes are its own.

    `inward`: a port here is reached from outside, so that the classes of sources are asked for.
    """

    id: ClassId
    prefixes: tuple[Prefix, ...]
    internet: bool
    inward: bool = False


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network with a local port. `ofports` and `vteps` in order; VTEPs of this host's IP version only.

    `gateways`: the addresses for which its gateway answers, IPv4 first, with the link-local one if it speaks
    IPv6; none if it is not routed. `judged`: ports under policy; `limited`: of the rest those with a limit of
    what they get; `ofports`: the others. `sharing`: those of all of them that have allowed pairs, and so may
    be virtual routers.
    """

    network: Network
    tunnel: int
    ofports: tuple[int, ...]
    vteps: tuple[Address, ...]
    gateways: tuple[Address, ...]
    limited: tuple[int, ...] = ()
    sharing: tuple[int, ...] = ()
    judged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VtepView:
    """A VTEP that may send frames of a network to this host. `fenced`: this host has a partner. `scope`: in
    which the addresses of its frames are meant."""

    network: NetworkKey
    vni: Vni
    vtep: Address
    tunnel: int
    fenced: bool = False
    scope: int = 0


@dataclass(frozen=True, slots=True)
class RemoteView:
    """A MAC of a network with a local port, behind `vtep`."""

    network: NetworkKey
    vni: Vni
    mac: Mac
    addresses: tuple[Address, ...]
    vtep: Address
    tunnel: int


def class_view(snapshot: Snapshot, index: Index, key: ClassId) -> ClassView | None:
    declared = snapshot.classes.get(key)
    if declared is None:
        return None
    now = in_force(declared, snapshot.moment)
    internet = index.relations.get(Relation.INTERNET) == key
    return ClassView(key, now.prefixes, internet, open_here(snapshot, index))


def network_view(snapshot: Snapshot, index: Index, switch: Switch, key: NetworkKey) -> NetworkView | None:
    network = snapshot.networks.get(key)
    here = index.locals.get(key)
    if network is None or not here:
        return None
    floods = index.floods.get(key, Map())

    def ofports(keys: Iterable[PortKey]) -> tuple[int, ...]:
        return tuple(sorted({snapshot.interfaces[snapshot.ports[key].uid].ofport for key in keys}))

    judged = [key for key in here if key in index.policed.judged]
    limited = [key for key in here if snapshot.ports[key].rate_in and key not in judged]
    return NetworkView(
        network=network,
        tunnel=switch.tunnel,
        ofports=ofports({*here} - {*judged, *limited}),
        vteps=tuple(sorted((v for v in floods if reachable(snapshot, v)), key=int)),
        gateways=gateways_of(network),
        limited=ofports(limited),
        sharing=ofports(key for key in here if snapshot.ports[key].allowed),
        judged=ofports(judged),
    )


def vtep_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> VtepView | None:
    key = NetworkKey(subject.major)
    network = snapshot.networks.get(key)
    if network is None or not index.locals.get(key):
        return None
    host = HostName(subject.name)
    sender = snapshot.hypervisors.get(host)
    if sender is None or host not in index.permits.get(key, Map()) or not reachable(snapshot, sender.vtep):
        return None
    scope = scope_of(snapshot, key)
    return VtepView(key, network.vni, sender.vtep, switch.tunnel, paired(snapshot), scope)


def remote_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> RemoteView | None:
    key, mac = NetworkKey(subject.major), Mac(subject.minor)
    network, found = snapshot.networks.get(key), snapshot.remotes.get((key, mac))
    if network is None or found is None or not index.locals.get(key):
        return None
    if not reachable(snapshot, found.vtep):
        return None
    return RemoteView(key, network.vni, mac, owned(mac, found.addresses), found.vtep, switch.tunnel)

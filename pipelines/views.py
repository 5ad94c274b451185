"""Views: all that the features may see of one object, gathered from snapshot and index.

Place: between index and features. A view is None where the object has no flows now; the conditions stand
here and nowhere else. Must not make flows.
"""

from __future__ import annotations

from dataclasses import dataclass

from immutables import Map

from model.addresses import Address, link_local
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, ClassId, HostName, Mac, NetworkKey, PortKey, Vni
from model.intent import EgressClass, Network, Port
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines.cookies import EPOCHS
from pipelines.index import Index, ready
from pipelines.objects import Kind, Object


@dataclass(frozen=True, slots=True)
class HostView:
    """`tunnel`: OpenFlow port of the VXLAN interface."""

    tunnel: int


@dataclass(frozen=True, slots=True)
class ClassView:
    egress: EgressClass


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network with a local port. `ofports` and `vteps` in order; VTEPs of this host's IP version only."""

    network: Network
    tunnel: int
    ofports: tuple[int, ...]
    vteps: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class VtepView:
    """A VTEP that may send frames of a network to this host."""

    network: NetworkKey
    vni: Vni
    vtep: Address
    tunnel: int


@dataclass(frozen=True, slots=True)
class PortView:
    """A local port. `addresses`: its own, with the link-local one if it speaks IPv6. `classes` in order."""

    key: PortKey
    network: NetworkKey
    mac: Mac
    addresses: tuple[Address, ...]
    ofport: int
    epoch: int
    classes: tuple[ClassId, ...]


@dataclass(frozen=True, slots=True)
class RemoteView:
    """A MAC of a network with a local port, behind `vtep`."""

    network: NetworkKey
    vni: Vni
    mac: Mac
    addresses: tuple[Address, ...]
    vtep: Address
    tunnel: int


View = HostView | ClassView | NetworkView | VtepView | PortView | RemoteView


def view(snapshot: Snapshot, index: Index, subject: Object) -> View | None:
    """What an object shows in this snapshot; None if it has no flows."""
    switch = snapshot.switch
    if switch is None or not ready(snapshot):
        return None
    match subject.kind:
        case Kind.HOST:
            return HostView(switch.tunnel)
        case Kind.CLASS:
            egress = snapshot.classes.get(ClassId(subject.major))
            return None if egress is None else ClassView(egress)
        case Kind.NETWORK:
            return _network(snapshot, index, switch, NetworkKey(subject.major))
        case Kind.VTEP:
            return _vtep(snapshot, index, switch, subject)
        case Kind.PORT:
            return _port(snapshot, index, PortKey(subject.major))
        case Kind.REMOTE:
            return _remote(snapshot, index, switch, subject)


def owned(mac: Mac, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """The addresses that a MAC answers for, IPv4 first: those given, and with IPv6 the link-local one."""
    own = {a for a in addresses if not a.is_multicast and not a.is_unspecified}
    if any(a.version == 6 for a in own):
        own.add(link_local(mac))
    return tuple(sorted(own, key=lambda a: (a.version, int(a))))


def _reachable(snapshot: Snapshot, vtep: Address) -> bool:
    """Another host's VTEP of the IP version that this host's tunnel speaks."""
    this = snapshot.this()
    return this is not None and vtep.version == this.vtep.version and vtep != this.vtep


def _network(snapshot: Snapshot, index: Index, switch: Switch, key: NetworkKey) -> NetworkView | None:
    network = snapshot.networks.get(key)
    here = index.locals.get(key)
    if network is None or not here:
        return None
    floods = index.floods.get(key, Map())
    return NetworkView(
        network=network,
        tunnel=switch.tunnel,
        ofports=tuple(sorted({snapshot.interfaces[snapshot.ports[p].uid].ofport for p in here})),
        vteps=tuple(sorted((v for v in floods if _reachable(snapshot, v)), key=int)),
    )


def _vtep(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> VtepView | None:
    key = NetworkKey(subject.major)
    network = snapshot.networks.get(key)
    if network is None or not index.locals.get(key):
        return None
    host = HostName(subject.name)
    sender = snapshot.hypervisors.get(host)
    if sender is None or host not in index.permits.get(key, Map()) or not _reachable(snapshot, sender.vtep):
        return None
    return VtepView(key, network.vni, sender.vtep, switch.tunnel)


def _port(snapshot: Snapshot, index: Index, key: PortKey) -> PortView | None:
    port: Port | None = snapshot.ports.get(key)
    if port is None or key not in index.locals.get(port.network, Map()):
        return None
    return PortView(
        key=key,
        network=port.network,
        mac=port.mac,
        addresses=owned(port.mac, port.addresses),
        ofport=snapshot.interfaces[port.uid].ofport,
        epoch=snapshot.epochs[key] % len(EPOCHS),
        classes=tuple(sorted({SAME_NETWORK, EVERYTHING_ELSE, *snapshot.classes})),
    )


def _remote(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> RemoteView | None:
    key, mac = NetworkKey(subject.major), Mac(subject.minor)
    network, found = snapshot.networks.get(key), snapshot.remotes.get((key, mac))
    if network is None or found is None or not index.locals.get(key):
        return None
    if not _reachable(snapshot, found.vtep):
        return None
    return RemoteView(key, network.vni, mac, owned(mac, found.addresses), found.vtep, switch.tunnel)

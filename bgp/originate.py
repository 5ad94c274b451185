"""Snapshot -> the EVPN routes that this host announces.

Place: pure; the agent's loop hands the result to `bgp.client`. Must not know what peers said or what a switch
holds. RT-2 per port bound here (MAC alone, and MAC with each address: RFC 7432 section 7.2), RT-3 per network
with such a port (section 7.3), ingress replication (section 11.2). MAC with address of a routed network also
carries the tenant's L3VNI, its route target and this host's router MAC (RFC 9135 section 5). RT-5: see
`bgp.prefixes`. Cost follows the change: `reoriginate` touches the ports, networks and VRFs that the changes
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from immutables import Map

from bgp import prefixes
from bgp.codec import communities, nlri
from bgp.replication import endpoint
from model.addresses import Address, router_mac
from model.change import Change, Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Cluster, Hypervisor, Network, Port
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, Nlri, Route
from model.snapshot import Snapshot
from model.targets import PLAIN, Rules
from model.whereabouts import owner

_NOBODY: Final[frozenset[PortKey]] = frozenset()
_NO_ROUTES: Final[tuple[None, tuple[bytes, ...]]] = (None, ())


@dataclass(frozen=True, slots=True)
class Originated:
    """Route key (see `bgp.codec.nlri.key`) -> route, and which keys each object gave."""

    routes: Map[bytes, Route] = Map()
    by_port: Map[PortKey, tuple[NetworkKey, tuple[bytes, ...]]] = Map()
    by_network: Map[NetworkKey, bytes] = Map()
    members: Map[NetworkKey, frozenset[PortKey]] = Map()
    """Ports that have routes, by network."""
    by_vrf: Map[TenantKey, tuple[bytes, ...]] = Map()
    """RT-5 of each VRF."""

    def ordered(self) -> tuple[Route, ...]:
        """All routes, by key."""
        return tuple(self.routes[key] for key in sorted(self.routes))


@dataclass(frozen=True, slots=True)
class _Origin:
    """What every route of one network shares. `l3vni` None: nothing is routed to it."""

    network: Network
    host: Hypervisor
    cluster: Cluster
    l3vni: Vni | None
    rules: Rules
    """The tenant's."""

    @property
    def rd(self) -> bytes:
        """RFC 7432 section 7.9: type 1, `router-id:number`, the network's key unless another is written."""
        number = self.network.distinguisher or self.network.key
        return nlri.distinguisher(Distinguisher(self.host.router_id, number))

    def attributes(self, sequence: int) -> Attributes:
        """Mobility is said from the first move on (RFC 7432 section 7.7: absent = sequence 0)."""
        rules = self.network.rules
        return Attributes(
            next_hop=self.host.vtep,
            route_targets=rules.exported(self.cluster.asn, self.network.vni),
            sequence=sequence or None,
            encapsulations=(communities.VXLAN,),
            communities=rules.communities,
            large_communities=rules.large_communities,
        )

    def routed(self, plain: Attributes) -> Attributes:
        """With what lets others route to it (RFC 9135 section 5.1): the VRF's route target, our router MAC.

        Without an L3VNI: as it is.
        """
        if self.l3vni is None:
            return plain
        routed = self.rules.exported(self.cluster.asn, self.l3vni)
        targets = tuple(sorted({*plain.route_targets, *routed}))
        return replace(plain, route_targets=targets, router_mac=router_mac(self.host.router_id))


def originate(snapshot: Snapshot) -> Originated:
    """All routes of this host; empty while the host or the cluster is not declared."""
    ports = [key for key in snapshot.ports if _lives_here(snapshot, key)]
    return _renew(_rebuild(Originated(), snapshot, ports, ()), snapshot, prefixes.all_vrfs(snapshot))


def reoriginate(
    previous: Originated, old: Snapshot, new: Snapshot, changes: frozenset[Change]
) -> tuple[Originated, tuple[Route, ...], tuple[Route, ...]]:
    """(now, announce, withdraw) after `changes`; `now` equals `originate(new)`. Routes in order of their
    keys.
    """
    if _everything(old, new, changes):
        now = originate(new)
        keys = set(previous.routes) | set(now.routes)
    else:
        ports, networks = _touched(previous, old, new, changes)
        now = _rebuild(previous, new, ports, networks)
        here = {key for key in ports if key in previous.by_port or key in now.by_port}
        vrfs = prefixes.touched(old, new, changes, here)
        now = _renew(now, new, vrfs)
        keys = _keys(previous, ports, networks) | _keys(now, ports, networks)
        keys |= {key for state in (previous, now) for vrf in vrfs for key in state.by_vrf.get(vrf, ())}
    announce = [
        now.routes[k] for k in sorted(keys) if k in now.routes and previous.routes.get(k) != now.routes[k]
    ]
    withdraw = [previous.routes[k] for k in sorted(keys) if k in previous.routes and k not in now.routes]
    return now, tuple(announce), tuple(withdraw)


def _lives_here(snapshot: Snapshot, key: PortKey) -> bool:
    """The pipelines' own condition: known, bound here, and its interface has an OpenFlow port."""
    port = snapshot.ports.get(key)
    if port is None or not port.enabled or not snapshot.bound_here(key):
        return False
    interface = snapshot.interfaces.get(port.uid)
    return interface is not None and interface.ofport > 0


def _everything(old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> bool:
    """Whether a change touches what all routes share: this host's VTEP and router id, or the AS number."""
    if old.this() != new.this():
        return True
    if not any(change.part is Part.CLUSTER for change in changes):
        return False
    return (old.cluster and old.cluster.asn) != (new.cluster and new.cluster.asn)


def _touched(
    previous: Originated, old: Snapshot, new: Snapshot, changes: frozenset[Change]
) -> tuple[set[PortKey], set[NetworkKey]]:
    """Ports and networks whose routes may differ."""
    ports: set[PortKey] = set()
    networks: set[NetworkKey] = set()
    for change in changes:
        if change.part in (Part.PORT, Part.BINDING) and isinstance(change.key, int):
            ports.add(PortKey(change.key))
        elif change.part in (Part.SIGHTING, Part.CLAIMED):
            seen = (snapshot.sightings.get(change.key) for snapshot in (old, new))  # type: ignore[call-overload]
            ports.update(one.port for one in seen if one is not None)
        elif change.part is Part.INTERFACE and isinstance(change.key, str):
            found = (snapshot.by_uid.get(Uid(change.key)) for snapshot in (old, new))
            ports.update(key for key in found if key is not None)
        elif change.part is Part.NETWORK and isinstance(change.key, int):
            key = NetworkKey(change.key)
            networks.add(key)
            ports.update(previous.members.get(key, _NOBODY))
            ports.update(new.by_network.get(key, ()))
        elif change.part is Part.TENANT and isinstance(change.key, int):
            for key in _homes(previous, (old, new), TenantKey(change.key)):
                ports.update(previous.members[key])
    for port in ports:
        networks.update(s.ports[port].network for s in (old, new) if port in s.ports)
    return ports, networks


def _homes(previous: Originated, snapshots: Iterable[Snapshot], tenant: TenantKey) -> set[NetworkKey]:
    """Networks with routes that are, or were, of the tenant."""
    found = ((key, s.networks.get(key)) for s in snapshots for key in previous.members)
    return {key for key, network in found if network is not None and network.tenant == tenant}


def _keys(state: Originated, ports: Iterable[PortKey], networks: Iterable[NetworkKey]) -> set[bytes]:
    found = {key for port in ports for key in state.by_port.get(port, _NO_ROUTES)[1]}
    return found | {state.by_network[network] for network in networks if network in state.by_network}


def _rebuild(
    previous: Originated, snapshot: Snapshot, ports: Iterable[PortKey], networks: Iterable[NetworkKey]
) -> Originated:
    """`previous` with the routes of these ports and networks made again."""
    routes, by_port = previous.routes.mutate(), previous.by_port.mutate()
    by_network, members = previous.by_network.mutate(), previous.members.mutate()
    concerned = set(networks)
    for key in sorted(ports):
        home, gone = by_port.pop(key, (None, ()))
        for route_key in gone:
            routes.pop(route_key, None)
        if home is not None:
            concerned.add(home)
            members[home] = members[home] - {key}
        made = _port_routes(snapshot, key)
        if made:
            home = snapshot.ports[key].network
            concerned.add(home)
            members[home] = members.get(home, _NOBODY) | {key}
            by_port[key] = (home, tuple(route_key for route_key, _ in made))
            routes.update(made)
    for network in sorted(concerned):
        flood_key = by_network.pop(network, None)
        if flood_key is not None:
            routes.pop(flood_key, None)
        flood = _flood_route(snapshot, network) if members.get(network, _NOBODY) else None
        if flood is None:
            members.pop(network, None)
        else:
            by_network[network], routes[flood[0]] = flood
    return Originated(
        routes.finish(), by_port.finish(), by_network.finish(), members.finish(), previous.by_vrf
    )


def _renew(state: Originated, snapshot: Snapshot, vrfs: Iterable[TenantKey]) -> Originated:
    """`state` with the RT-5 of these VRFs made again."""
    routes, by_vrf = state.routes.mutate(), state.by_vrf.mutate()
    for vrf in sorted(vrfs):
        for gone in by_vrf.pop(vrf, ()):
            routes.pop(gone, None)
        made = prefixes.routes_of(snapshot, vrf, state.members)
        if made:
            by_vrf[vrf] = tuple(key for key, _ in made)
            routes.update(made)
    return replace(state, routes=routes.finish(), by_vrf=by_vrf.finish())


def _origin(snapshot: Snapshot, network: NetworkKey) -> _Origin | None:
    found, host = snapshot.networks.get(network), snapshot.this()
    if found is None or host is None or snapshot.cluster is None:
        return None
    tenant = snapshot.tenants.get(found.tenant)
    l3vni = tenant.l3vni if tenant is not None and tenant.l3vni and found.routed else None
    return _Origin(found, host, snapshot.cluster, l3vni, PLAIN if tenant is None else tenant.rules)


def _keyed(value: Nlri, attributes: Attributes) -> tuple[bytes, Route]:
    return nlri.key(nlri.encode(value)), Route(value, attributes)


def _port_routes(snapshot: Snapshot, key: PortKey) -> tuple[tuple[bytes, Route], ...]:
    """RT-2 of a port: its MAC alone, then with each address; none if it does not live here."""
    if not _lives_here(snapshot, key):
        return ()
    port: Port = snapshot.ports[key]
    origin = _origin(snapshot, port.network)
    if origin is None:
        return ()
    plain = _fixed(origin.attributes(snapshot.bindings[key].sequence), port)
    routed = origin.routed(plain)

    def body(address: Address | None, l3vni: Vni | None) -> MacRoute:
        return MacRoute(origin.rd, port.mac, address, origin.network.vni, l3vni)

    return (
        _keyed(body(None, None), plain),
        *(_keyed(body(address, origin.l3vni), routed) for address in port.addresses),
        *_spoken_routes(snapshot, origin, key),
    )


def _spoken_routes(snapshot: Snapshot, origin: _Origin, key: PortKey) -> Iterator[tuple[bytes, Route]]:
    """RT-2 of the addresses of allowed pairs that the port spoke for last, each with its own sequence."""
    mine = (spot for spot, seen in snapshot.sightings.items() if seen.port == key)
    for network, address in sorted(mine, key=lambda one: (one[1].version, int(one[1]))):
        seen = snapshot.sightings[network, address]
        if network == origin.network.key and owner(snapshot, network, address) == seen:
            body = MacRoute(origin.rd, seen.mac, address, origin.network.vni, origin.l3vni)
            said = origin.routed(origin.attributes(seen.sequence))
            port = snapshot.ports[key]
            yield _keyed(body, _fixed(said, port) if seen.mac == port.mac else said)


def _fixed(attributes: Attributes, port: Port) -> Attributes:
    """Of a sticky port: the static flag stands beside a sequence (RFC 7432 section 7.7), so one is said."""
    return replace(attributes, sequence=attributes.sequence or 0, sticky=True) if port.sticky else attributes


def _flood_route(snapshot: Snapshot, network: NetworkKey) -> tuple[bytes, Route] | None:
    """RT-3 with a PMSI tunnel of ingress replication to our VTEP."""
    origin = _origin(snapshot, network)
    if origin is None:
        return None
    hop = endpoint(origin.host)
    attributes = replace(origin.attributes(0), pmsi_vni=origin.network.vni, pmsi_endpoint=hop)
    return _keyed(MulticastRoute(origin.rd, hop), attributes)

"""Which objects a change touches, so that only their flows are made again.

Place: between index and compile. Must touch too much rather than too little: `compile` compares flows, so an
object named in vain costs time only, and one forgotten is a wrong program. The reasons stand at each case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from immutables import Map

from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, NetworkKey, TenantKey, Uid
from model.intent import Port
from model.serving import IFACE_ID
from model.snapshot import PrefixKey, Snapshot
from pipelines import beyond, touch_classes, touch_narrow, touch_policy
from pipelines import objects as o
from pipelines.index import Index, ports_of, routes_here, vrf_of, waits
from pipelines.touch_judged import judged_objects
from pipelines.touch_outward import outward_objects, touched_outward


def objects(snapshot: Snapshot, index: Index) -> set[o.Object]:
    """All objects of a snapshot that may have flows."""
    found = {o.HOST}
    found.update(o.egress_class(key) for key in snapshot.classes)
    for network in index.locals:
        found |= _of_network(network, index)
        found.update(o.port(key) for key in index.locals[network])
    for vrf in {*index.live, *index.outward.gated}:
        found |= _of_vrf(vrf, index, snapshot)
    found |= outward_objects(snapshot, index)
    found |= beyond.objects(snapshot, index)
    found |= touch_policy.objects(snapshot, index)
    for uid in snapshot.interfaces:
        key = snapshot.by_uid.get(uid)
        if key is not None and waits(snapshot, key):
            found.add(o.waiting(key))
    return _with_paths(found)


def touched(
    old: Snapshot, new: Snapshot, before: Index, after: Index, changes: Iterable[Change]
) -> set[o.Object]:
    """The objects whose flows may differ between `old` (index `before`) and `new` (index `after`)."""
    changed = tuple(changes)
    if _everywhere(old, new):
        return objects(old, before) | objects(new, after)
    found: set[o.Object] = set()
    for change in changed:
        found |= _by_part(old, new, before, after, change)
        found |= beyond.touched((old, before), (new, after), change)
        found |= touch_narrow.touched((old, before), (new, after), change)
    found |= touch_classes.related(old, new, before, after)
    ports = ports_of(old, new, changed)
    found |= beyond.touched_by_ports((old, before), (new, after), ports)
    found |= touched_outward(old, new, before, after, changed, ports)
    found |= touch_policy.touched(old, new, before, after, changed, ports)
    found |= judged_objects(old, new, before, after, changed)
    for key in ports:
        found |= {o.port(key), o.waiting(key)}
        found.update(o.address(*spot) for spot, seen in old.sightings.items() if seen.port == key)
        found.update(o.address(*spot) for spot, seen in new.sightings.items() if seen.port == key)
        for port in (old.ports.get(key), new.ports.get(key)):
            if port is not None:
                found |= _around(port, before, after)
                found |= _around_vrf(port, old, new, before, after)
                found |= _behind(port, old, before) | _behind(port, new, after)
    return _with_paths(found)


def _with_paths(found: set[o.Object]) -> set[o.Object]:
    """Whoever may send something here, or no longer, may be asked for probes."""
    hosts = {HostName(s.name) for s in found if s.kind in (o.Kind.VTEP, o.Kind.SENDER)}
    return found.union(o.path(host) for host in hosts)


def _everywhere(old: Snapshot, new: Snapshot) -> bool:
    """The tunnel's port number and this host's VTEP are part of nearly every flow."""
    return old.host != new.host or old.switch != new.switch or old.this() != new.this()


def _of_network(network: NetworkKey, index: Index) -> set[o.Object]:
    """What a network has on this host, but for its ports."""
    found = {o.network(network), o.narrow(network)}
    found.update(o.vtep(network, host) for host in index.permits.get(network, Map()))
    found.update(o.remote(network, mac) for mac in index.remotes.get(network, Map()))
    found.update(o.address(network, one) for one in index.addresses.get(network, Map()))
    return found


def _of_vrf(vrf: TenantKey, index: Index, snapshot: Snapshot) -> set[o.Object]:
    """What a tenant has on this host in order to route, but for its ports."""
    found = {o.vrf(vrf)}
    tenant = snapshot.tenants.get(vrf)
    found.update(o.sender(vrf, host) for host in (() if tenant is None else tenant.gateways))
    found.update(o.sender(vrf, host) for host in index.senders.get(vrf, Map()))
    for network in index.vrfs.get(vrf, Map()):
        found |= _routes_to(network, index)
    return found | _prefixes(vrf, index)


def _prefixes(vrf: TenantKey, index: Index) -> set[o.Object]:
    return {o.prefix(vrf, prefix) for prefix in index.statics.known(vrf)}


def _behind(port: Port, snapshot: Snapshot, index: Index) -> set[o.Object]:
    """The prefixes of which a port is, or may be, a next hop: by its addresses, or those of its pairs."""
    vrf = vrf_of(snapshot, port.network)
    if vrf is None:
        return set()
    if port.allowed:
        return _prefixes(vrf, index)
    return {o.prefix(vrf, prefix) for prefix in index.statics.over(snapshot, vrf, port.addresses)}


def _routes_to(network: NetworkKey, index: Index) -> set[o.Object]:
    found = {o.subnets(network)}
    found.update(o.route(network, mac) for mac in index.remotes.get(network, Map()))
    found.update(o.address(network, one) for one in index.addresses.get(network, Map()))
    return found


def _around(port: Port, before: Index, after: Index) -> set[o.Object]:
    """What a port's coming, going or moving touches besides the port itself.

    The first local port brings the network with all that is behind tunnels, the last takes it away. Between
    them only the list of replication changes, and the right of the port's hosts to send.
    """
    network = port.network
    was, now = before.locals.get(network, Map()), after.locals.get(network, Map())
    if bool(was) != bool(now):
        return _of_network(network, before) | _of_network(network, after)
    if not now:
        return set()
    return {o.network(network), *(o.vtep(network, host) for host in port.hosts)}


def _around_vrf(port: Port, old: Snapshot, new: Snapshot, before: Index, after: Index) -> set[o.Object]:
    """The same for the port's tenant: the first local port of all its routed networks brings the others."""
    found: set[o.Object] = set()
    for vrf in _vrfs(port.network, old, new):
        found |= _dawn(vrf, old, new, before, after)
        if routes_here(before, vrf) or routes_here(after, vrf):
            found.update(o.sender(vrf, host) for host in port.hosts)
    return found


def _vrfs(network: NetworkKey, old: Snapshot, new: Snapshot) -> tuple[TenantKey, ...]:
    found = {vrf for snapshot in (old, new) if (vrf := vrf_of(snapshot, network)) is not None}
    return tuple(sorted(found))


def _dawn(vrf: TenantKey, old: Snapshot, new: Snapshot, before: Index, after: Index) -> set[o.Object]:
    """All that a tenant has here, if it comes or goes."""
    if routes_here(before, vrf) == routes_here(after, vrf):
        return set()
    return _of_vrf(vrf, before, old) | _of_vrf(vrf, after, new)


def _by_part(old: Snapshot, new: Snapshot, before: Index, after: Index, change: Change) -> set[o.Object]:
    key: Any = change.key
    match change.part:
        case Part.NETWORK:  # its VNI is in the flows of every VTEP and remote MAC, its MTU in those of ports
            here = _of_network(key, before) | _of_network(key, after)
            here.update(o.port(port) for port in after.locals.get(key, Map()))
            return here | _by_network(old, new, before, after, key)
        case Part.TENANT:  # its L3VNI, without which nothing comes from afar, is in the same ones
            ports = {o.port(port) for network in after.live.get(key, Map()) for port in after.locals[network]}
            return _of_vrf(key, before, old) | _of_vrf(key, after, new) | ports
        case Part.CLASS:
            return touch_classes.touched(old, new, before, after, key)
        case Part.HYPERVISOR:
            return _by_host(key, before) | _by_host(key, after) | {o.path(key)}
        case Part.REMOTE:
            return {o.remote(*key), o.route(*key)}
        case Part.SIGHTING | Part.CLAIMED:
            return {o.address(*key)} | _over(key, old, before) | _over(key, new, after)
        case Part.STATIC_ROUTE:
            return _by_route(key, old, before) | _by_route(key, new, after)
        case Part.PREFIX:
            return {o.prefix(*key)}
        case Part.DOWN:
            live = {*before.live, *after.live, *before.outward.gated, *after.outward.gated}
            return {o.prefix(*spot) for spot in new.prefixes if spot[0] in live and _leads(new, spot, key)}
        case Part.FLOOD:
            return {o.network(key[0])}
        case Part.INTERFACE if key == IFACE_ID:  # whoever answers came or went: all ports' questions go there
            ports = {
                o.port(port) for index in (before, after) for some in index.locals.values() for port in some
            }
            return {o.HOST, *ports}
        case _:
            # PORT, BINDING, INTERFACE, EPOCH: see `ports_of`. SWITCH: see `_everywhere`. No flow holds
            # anything of CLUSTER.
            return set()


def _over(spot: tuple[NetworkKey, Address], snapshot: Snapshot, index: Index) -> set[o.Object]:
    """A next hop may be an address of an allowed pair: who speaks for it, gets the packets."""
    vrf = vrf_of(snapshot, spot[0])
    if vrf is None:
        return set()
    return {o.prefix(vrf, prefix) for prefix in index.statics.over(snapshot, vrf, spot[1:])}


def _by_route(uid: Uid, snapshot: Snapshot, index: Index) -> set[o.Object]:
    """Its prefix, and the local ports that may send out of it because they are, or may be, next hops."""
    route = snapshot.static_routes.get(uid)
    if route is None:
        return set()
    found = {o.prefix(route.tenant, route.prefix)}
    for network in index.live.get(route.tenant, Map()):
        for key in index.locals.get(network, Map()):
            port = snapshot.ports[key]
            if port.allowed or not {*port.addresses}.isdisjoint(route.next_hops):
                found.add(o.port(key))
    return found


def _leads(snapshot: Snapshot, spot: PrefixKey, vtep: Address) -> bool:
    return any(hop.vtep == vtep for hop in snapshot.prefixes[spot].hops)


def _by_network(
    old: Snapshot, new: Snapshot, before: Index, after: Index, network: NetworkKey
) -> set[o.Object]:
    """Routed or not, and for whom: its host routes, and the hosts that may send because of it alone."""
    found = _routes_to(network, before) | _routes_to(network, after)
    for vrf in _vrfs(network, old, new):
        found |= _dawn(vrf, old, new, before, after)
        for index in (before, after):
            found |= _prefixes(vrf, index)  # a next hop in it, if it is routed
            found.update(o.sender(vrf, host) for host in index.permits.get(network, Map()))
    return found


def _by_host(host: HostName, index: Index) -> set[o.Object]:
    """The networks of this hypervisor are few, however many the cluster has."""
    found = {o.vtep(n, host) for n in index.locals if host in index.permits.get(n, Map())}
    vrfs = {*index.live, *index.outward.gated}
    found.update(o.sender(vrf, host) for vrf in vrfs if host in index.senders.get(vrf, Map()))
    return found

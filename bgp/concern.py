"""Which verdicts a change of the store may turn: so that judging again follows the change, not the size.

Place: between the agent's changes and `bgp.learn.consider`. Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Any, Final

from bgp.codec import communities
from bgp.holders import Holders
from bgp.lookup import Lookup
from bgp.table import FloodEntity, Token
from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Policy
from model.segments import import_target
from model.snapshot import Snapshot
from model.vrfs import l3vni_of, peerings_of

_USUAL: Final = Policy()


def concerns_all(old: Snapshot, new: Snapshot) -> bool:
    """The AS number is in every route target, this host's name in every verdict; by its VTEP and router id it
    knows its own routes, which it does not keep. The cluster's policy says how strict the guard is."""
    moved = old.this() is not None and _self(old) != _self(new)
    return old.host != new.host or _asn(old) != _asn(new) or _policy(old) != _policy(new) or moved


def _policy(snapshot: Snapshot) -> Policy:
    return _USUAL if snapshot.cluster is None else snapshot.cluster.policy


def _self(snapshot: Snapshot) -> tuple[Address, int] | None:
    this = snapshot.this()
    return None if this is None else (this.vtep, this.router_id)


def tokens(
    old: Snapshot, new: Snapshot, changes: Iterable[Change], before: Lookup, after: Lookup
) -> set[Token]:
    """What the verdicts that may differ depend on. `before`, `after`: the indexes of the two snapshots."""
    found: set[Token] = set()
    for change in changes:
        for snapshot, lookup in ((old, before), (new, after)):
            found.update(_of(snapshot, change))
            found.update(_of_prefixes(snapshot, lookup, change))
        found.update(_of_rules(old, new, change))
    return found


def _of_rules(old: Snapshot, new: Snapshot, change: Change) -> Iterator[Token]:
    """What bears a route target that came or went; a VRF's count for the routes of its networks, too."""
    turned = _imported(old, change) ^ _imported(new, change)
    for target in turned:
        vni = communities.target_vni(target)
        yield from ((("target", target),) if vni is None else (("vni", vni), ("vrf", vni)))
    if turned and change.part is Part.TENANT:
        networks = (n for one in (old, new) for n in one.networks.values() if n.tenant == change.key)
        yield from (("vni", network.vni) for network in networks)


def left_places(old: Snapshot, changes: Iterable[Change]) -> set[FloodEntity]:
    """Where a changed binding was: what is held for that VTEP's part of the network may stand on it."""
    found: set[FloodEntity] = set()
    for change in changes:
        if change.part is not Part.BINDING or not isinstance(change.key, int):
            continue
        binding, port = old.bindings.get(PortKey(change.key)), old.ports.get(PortKey(change.key))
        host = None if binding is None or not binding.active else old.hypervisors.get(binding.host)
        if host is not None and port is not None:
            found.add(("flood", port.network, host.vtep))
    return found


def widens(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> bool:
    """Whether other routes than before may concern this host (see `bgp.interest`)."""
    changes = tuple(changes)
    if _asn(old) != _asn(new) or any(one.part in (Part.NETWORK, *_VRFS) for one in changes):
        return True
    return any(_imports(old, change) != _imports(new, change) for change in changes)


def _imports(snapshot: Snapshot, change: Change) -> frozenset[bytes]:
    """ES-Import route targets of a changed host's segments."""
    host = snapshot.hypervisors.get(change.key) if change.part is Part.HYPERVISOR else None  # type: ignore[call-overload]
    return frozenset() if host is None else frozenset(import_target(one) for one in host.segments)


def newly_known(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> tuple[bytes, ...]:
    """Route targets of networks and VRFs whose routes were not imported until now."""
    asn = _asn(new)
    if asn is None:
        return ()
    if concerns_all(old, new):
        parts = (Part.NETWORK, Part.HYPERVISOR, *_VRFS)
        changes = [Change(part, key) for part in parts for key in getattr(new, part.value)]
        old = Snapshot(old.host)
    found: set[Vni] = set()
    targets: set[bytes] = set()
    for change in changes:
        found.update(_opened(old, new, change))
        targets.update(_imported(new, change) - _imported(old, change))
        targets.update(_imports(new, change) - _imports(old, change))
    return tuple(sorted({communities.route_target(asn, vni) for vni in found if vni} | targets))


def _imported(snapshot: Snapshot, change: Change) -> frozenset[bytes]:
    """Route targets that a network, with its tenant's VRF, or a tenant listens to."""
    key: Any = change.key
    network = snapshot.networks.get(key) if change.part is Part.NETWORK else None
    tenant = snapshot.tenants.get(key if network is None else network.tenant)
    if snapshot.cluster is None or change.part not in (Part.NETWORK, Part.TENANT):
        return frozenset()
    asn, found = snapshot.cluster.asn, frozenset[bytes]()
    if network is not None:
        found |= network.rules.imported(asn, network.vni)
    if tenant is not None and tenant.l3vni and (network is not None or change.part is Part.TENANT):
        found |= tenant.rules.imported(asn, tenant.l3vni)
    return found


_VRFS: Final = (Part.TENANT, Part.EXTERNAL, Part.PEERING)


def _opened(old: Snapshot, new: Snapshot, change: Change) -> Iterator[Vni]:
    """VNIs under which there may be routes that nobody wanted before; 0 stands for none."""
    key: Any = change.key
    if change.part is Part.NETWORK and key in new.networks:
        network, before = new.networks[key], old.networks.get(key)
        if before is None or before.vni != network.vni:
            yield from (network.vni, l3vni_of(new, network.tenant))
    elif change.part in _VRFS and l3vni_of(new, key) != l3vni_of(old, key):
        yield l3vni_of(new, key)
    elif change.part is Part.TENANT and key in new.tenants:
        tenant, was = new.tenants[key], old.tenants.get(key)
        if was is None or (was.external, was.egress_addresses) != (tenant.external, tenant.egress_addresses):
            yield l3vni_of(new, tenant.external)
    elif change.part is Part.FLOATING and key in new.floating:
        floating, past = new.floating[key], old.floating.get(key)
        if past is None or (past.external, past.address) != (floating.external, floating.address):
            yield l3vni_of(new, floating.external)


def _asn(snapshot: Snapshot) -> int | None:
    return None if snapshot.cluster is None else snapshot.cluster.asn


def _of(snapshot: Snapshot, change: Change) -> Iterable[Token]:
    part, key = change.part, change.key
    if part is Part.NETWORK and isinstance(key, int):
        network = snapshot.networks.get(NetworkKey(key))
        if network is not None:
            yield ("vni", network.vni)
    elif part is Part.TENANT and isinstance(key, int):
        tenant = snapshot.tenants.get(TenantKey(key))
        if tenant is not None and tenant.l3vni:
            yield ("vni", tenant.l3vni)
    elif part is Part.HYPERVISOR and isinstance(key, str):
        host = snapshot.hypervisors.get(HostName(key))
        if host is not None:
            yield ("hop", host.vtep)
    elif part in (Part.PORT, Part.BINDING) and isinstance(key, int):
        port = snapshot.ports.get(PortKey(key))
        if port is None:
            return
        yield ("mac", port.mac)
        yield from (("mac", pair.mac) for pair in port.allowed if pair.mac is not None)
        network = snapshot.networks.get(port.network)
        if part is Part.PORT and network is not None:
            yield ("flood", network.vni)


def _of_prefixes(snapshot: Snapshot, lookup: Lookup, change: Change) -> Iterator[Token]:
    """The same for RT-5: by L3VNI where a whole VRF may be judged otherwise, else by prefix."""
    part, key, holders = change.part, change.key, lookup.holders
    if part in _VRFS and isinstance(key, int):
        yield ("vrf", l3vni_of(snapshot, TenantKey(key)))
        tenant = snapshot.tenants.get(TenantKey(key)) if part is Part.TENANT else None
        if tenant is not None:
            yield from (("prefix", ip_network(address)) for address in tenant.egress_addresses)
        elif part is Part.PEERING and key in snapshot.peerings:  # what peers export bars what is only counted
            sides = snapshot.peerings[TenantKey(key)].sides
            yield from (("vrf", l3vni_of(snapshot, side.tenant)) for side in sides)
        elif part is Part.EXTERNAL:  # its pools bar prefixes from every tenant
            yield from (("vrf", tenant.l3vni) for tenant in snapshot.tenants.values())
    elif part is Part.NETWORK and isinstance(key, int):
        network = snapshot.networks.get(NetworkKey(key))
        if network is not None:
            peerings = (peering.key for peering, _, _ in peerings_of(snapshot, network.tenant))
            yield from (("vrf", l3vni_of(snapshot, vrf)) for vrf in (network.tenant, *peerings))
            for port in snapshot.by_network.get(network.key, ()):
                yield from _behind(snapshot, holders, port)
    elif part is Part.STATIC_ROUTE and isinstance(key, str):
        route = snapshot.static_routes.get(Uid(key))
        if route is not None:
            yield ("vrf", l3vni_of(snapshot, route.tenant))
    elif part is Part.FLOATING and isinstance(key, str):
        floating = snapshot.floating.get(Uid(key))
        if floating is not None:
            yield ("prefix", ip_network(floating.address))
    elif part in (Part.PORT, Part.BINDING) and isinstance(key, int):
        yield from _behind(snapshot, holders, PortKey(key))


def _behind(snapshot: Snapshot, holders: Holders, key: PortKey) -> Iterator[Token]:
    """Prefixes that a port may stand behind."""
    port = snapshot.ports.get(key)
    for uid in holders.floats_of.get(key, ()):
        yield ("prefix", ip_network(snapshot.floating[uid].address))
    for address in () if port is None else port.addresses:
        yield ("prefix", ip_network(address))
        for uid in holders.hops.get(address, ()):
            yield ("prefix", snapshot.static_routes[uid].prefix)

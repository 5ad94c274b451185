"""Snapshot: intent + inventory + learned routes of one host, immutable; the only input of the compilers.

Place: the agent's loop makes the next one from each event; compilers read it. Persistent maps (HAMT): a
change copies what it changes. Must not do I/O; must not hold anything that can't be written to disk and read
back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from immutables import Map

from model.addresses import Address, Prefix
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid
from model.intent import (
    Binding,
    Cluster,
    EgressClass,
    External,
    FloatingIp,
    Hypervisor,
    Network,
    Peering,
    Port,
    StaticRoute,
    Tenant,
)
from model.inventory import Interface, Switch
from model.policy import Standing
from model.roll import Roll
from model.route import FloodVtep, RemoteAddress, RemoteMac, RemotePrefix, Sighting
from model.seed import Sown

RemoteKey = tuple[NetworkKey, Mac]
FloodKey = tuple[NetworkKey, Address]
PrefixKey = tuple[TenantKey, Prefix]
"""A VRF (of a tenant, an external network or a peering) and a prefix in it."""
SightingKey = tuple[NetworkKey, Address]
ZoneKey = tuple[str, int]
"""What a conntrack zone of this host is for, and its key: `port`, which has a floating IP; `tenant`, which is
translated; `policy`, a port under policy; `draining`, one that was until just now."""

_NONE: Final[Map[PortKey, None]] = Map()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one host knows. `by_*` are indexes that `with_port` and `without_port` keep."""

    host: HostName
    cluster: Cluster | None = None
    switch: Switch | None = None
    tenants: Map[TenantKey, Tenant] = Map()
    networks: Map[NetworkKey, Network] = Map()
    ports: Map[PortKey, Port] = Map()
    classes: Map[ClassId, EgressClass] = Map()
    hypervisors: Map[HostName, Hypervisor] = Map()
    bindings: Map[PortKey, Binding] = Map()
    interfaces: Map[Uid, Interface] = Map()
    remotes: Map[RemoteKey, RemoteMac] = Map()
    floods: Map[FloodKey, FloodVtep] = Map()
    static_routes: Map[Uid, StaticRoute] = Map()
    peerings: Map[TenantKey, Peering] = Map()
    externals: Map[TenantKey, External] = Map()
    floating: Map[Uid, FloatingIp] = Map()
    policies: Map[Uid, Standing] = Map()
    seeds: Map[PortKey, Sown] = Map()
    """Of ports that this host may bind: for metadata, and nothing else."""
    gangs: Map[int, Roll] = Map()
    """Of tenants with ports here, by generation: for their names, and nothing else."""
    prefixes: Map[PrefixKey, RemotePrefix] = Map()
    sightings: Map[SightingKey, Sighting] = Map()
    claimed: Map[SightingKey, RemoteAddress] = Map()
    down: Map[Address, bool] = Map()
    """VTEPs that this host's path probes do not reach."""
    zones: Map[ZoneKey, int] = Map()
    """Conntrack zones that this host gave out, 1..65535."""
    moment: int = 0
    """Unix ms: which versions of the classes are in force. Moves with a Change of each that it turns."""
    epochs: Map[PortKey, int] = Map()
    """Accounting epoch of each port bound here: rises with each new binding (12 bits, see cookies)."""
    term: int = 0
    """Of the lease that this host holds for itself and its partner; 0 = it holds none. Never kept on disk."""
    by_uid: Map[Uid, PortKey] = Map()
    by_network: Map[NetworkKey, Map[PortKey, None]] = Map()

    def this(self) -> Hypervisor | None:
        """This host's own declaration; None while the operator has not declared it."""
        return self.hypervisors.get(self.host)

    def ports_of(self, network: NetworkKey) -> tuple[Port, ...]:
        """All known ports of a network, by key."""
        return tuple(self.ports[k] for k in sorted(self.by_network.get(network, _NONE)))

    def fenced(self) -> bool:
        """Whether this host may serve no port: it has a partner, and does not hold their lease."""
        this = self.hypervisors.get(self.host)
        return this is not None and bool(this.partner) and not self.term

    def bound_here(self, port: PortKey) -> bool:
        """Whether the store says that this port lives on this host now, and the host may serve ports."""
        binding = self.bindings.get(port)
        return binding is not None and binding.active and binding.host == self.host and not self.fenced()


def with_port(snapshot: Snapshot, port: Port) -> Snapshot:
    """Add or replace a port and its index entries."""
    cleared = without_port(snapshot, port.key)
    members = cleared.by_network.get(port.network, _NONE).set(port.key, None)
    return replace(
        cleared,
        ports=cleared.ports.set(port.key, port),
        by_uid=cleared.by_uid.set(port.uid, port.key),
        by_network=cleared.by_network.set(port.network, members),
    )


def with_ports(snapshot: Snapshot, ports: Iterable[Port]) -> Snapshot:
    """Many of them at once: the same as `with_port` of each, one after the other."""
    latest = {port.key: port for port in ports}
    for key in latest:
        snapshot = without_port(snapshot, key)
    members: dict[NetworkKey, dict[PortKey, None]] = {}
    for port in latest.values():
        members.setdefault(port.network, {})[port.key] = None
    homes = ((key, snapshot.by_network.get(key, _NONE).update(some)) for key, some in members.items())
    return replace(
        snapshot,
        ports=snapshot.ports.update(latest),
        by_uid=snapshot.by_uid.update({port.uid: port.key for port in latest.values()}),
        by_network=snapshot.by_network.update(dict(homes)),
    )


def without_port(snapshot: Snapshot, key: PortKey) -> Snapshot:
    """Remove a port and its index entries; unchanged if unknown."""
    old = snapshot.ports.get(key)
    if old is None:
        return snapshot
    members = snapshot.by_network[old.network].delete(key)
    by_network = (
        snapshot.by_network.set(old.network, members) if members else snapshot.by_network.delete(old.network)
    )
    return replace(
        snapshot,
        ports=snapshot.ports.delete(key),
        by_uid=snapshot.by_uid.delete(old.uid),
        by_network=by_network,
    )

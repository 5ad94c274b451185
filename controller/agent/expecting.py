"""Expecting: how many routes the store lets this host expect, and that have not come.

Place: counted into the report that `--wait` reads. `missing` says it of a snapshot from nothing,
`Expectation` follows the changes at the cost of the changes, and must come to the same: a property test
holds it. Pure, but for what an Expectation remembers.

In networks that live here, of a port that one of our agents has: its MAC with all its addresses, and its
host's RT-3. Of a port on an external host: its MAC alone, since such a host says addresses only once it
has learned them. In other routed networks of the same tenants: the addresses alone, with a router MAC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from immutables import Map

from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey
from model.intent import Port
from model.snapshot import Snapshot

_ALL_AGAIN: Final = frozenset({Part.NETWORK, Part.TENANT, Part.HYPERVISOR})
"""Parts of which a change may concern any port: they change seldom."""
_PORTS: Final = frozenset({Part.PORT, Part.BINDING})

Owners = Mapping[tuple[NetworkKey, Mac], tuple[PortKey, ...]]
"""Ports by network and MAC (see `bgp.lookup.Lookup.macs`)."""
Site = tuple[NetworkKey, HostName]


def missing(snapshot: Snapshot) -> int:
    """Routes that are expected and have not come."""
    expectation = Expectation()
    expectation.begin(snapshot)
    return expectation.missing


class Expectation:
    """`begin` with a snapshot, then `follow` each change."""

    def __init__(self) -> None:
        self._lives: dict[NetworkKey, int] = {}
        """How many ports of each network are bound here."""
        self._homes: dict[TenantKey, int] = {}
        """How many networks with such ports each tenant has."""
        self._bound: dict[PortKey, Site] = {}
        self._sites: dict[Site, int] = {}
        """How many ports of a network are bound on each other host."""
        self._hosts: dict[NetworkKey, dict[HostName, None]] = {}
        self._ports: set[PortKey] = set()
        self._floods: set[Site] = set()
        self._turned = False
        """Whether a network has begun or ceased to live here."""

    @property
    def missing(self) -> int:
        """Routes that are expected and have not come."""
        return len(self._ports) + len(self._floods)

    def begin(self, snapshot: Snapshot) -> None:
        """Count all of it."""
        self.__init__()  # type: ignore[misc]
        for key in snapshot.bindings:
            self._settle(snapshot, key)
        for network, count in self._lives.items():
            tenant = _tenant(snapshot, network)
            if count and tenant is not None:
                self._homes[tenant] = self._homes.get(tenant, 0) + 1
        self._ports = {key for key in snapshot.ports if self._lacks(snapshot, key)}
        for network in self._lives:
            self._judge_floods(snapshot, network)
        self._turned = False

    def follow(self, snapshot: Snapshot, changes: Iterable[Change], owners: Owners) -> None:
        """`snapshot` differs from the one before by `changes`."""
        changed = tuple(changes)
        if any(change.part in _ALL_AGAIN for change in changed):
            self.begin(snapshot)
            return
        ports: set[PortKey] = set()
        floods: set[NetworkKey] = set()
        for change in changed:
            key: Any = change.key
            if change.part in _PORTS:
                ports.add(key)
            elif change.part is Part.REMOTE:
                ports.update(owners.get(key, ()))
            elif change.part is Part.FLOOD:
                floods.add(key[0])
        for port in ports:
            floods.update(self._bound.get(port, ())[:1])
            self._settle(snapshot, port)
            floods.update(self._bound.get(port, ())[:1])
        if self._turned:  # all of the tenant's networks may count now, or no longer
            self.begin(snapshot)
            return
        for port in ports:
            if self._lacks(snapshot, port):
                self._ports.add(port)
            else:
                self._ports.discard(port)
        for network in floods:
            self._judge_floods(snapshot, network)

    def _settle(self, snapshot: Snapshot, key: PortKey) -> None:
        """Note where a port is bound now, instead of where it was."""
        before = self._bound.pop(key, None)
        if before is not None:
            self._count(snapshot, before, -1)
        port, binding = snapshot.ports.get(key), snapshot.bindings.get(key)
        if port is not None and binding is not None and binding.active:
            site = (port.network, binding.host)
            self._bound[key] = site
            self._count(snapshot, site, 1)

    def _count(self, snapshot: Snapshot, site: Site, step: int) -> None:
        network, host = site
        if host == snapshot.host:
            count = self._lives.get(network, 0) + step
            self._turned |= count == 0 or count == step
            self._lives[network] = count
            return
        count = self._sites.get(site, 0) + step
        if count:
            self._sites[site] = count
            self._hosts.setdefault(network, {})[host] = None
        else:
            del self._sites[site]
            del self._hosts[network][host]

    def _judge_floods(self, snapshot: Snapshot, network: NetworkKey) -> None:
        for site in [site for site in self._floods if site[0] == network]:
            self._floods.discard(site)
        if not self._lives.get(network):
            return
        for name in self._hosts.get(network, ()):
            host = snapshot.hypervisors.get(name)
            if host is not None and (network, host.vtep) not in snapshot.floods:
                self._floods.add((network, name))

    def _lacks(self, snapshot: Snapshot, key: PortKey) -> bool:
        port = snapshot.ports.get(key)
        if port is None:
            return False
        if self._lives.get(port.network):
            return _lacks_mac(snapshot, port)
        tenant = _tenant(snapshot, port.network)
        return tenant is not None and tenant in self._homes and _lacks_route(snapshot, port)


def _tenant(snapshot: Snapshot, network: NetworkKey) -> TenantKey | None:
    found = snapshot.networks.get(network)
    return None if found is None else found.tenant


def _lacks_mac(snapshot: Snapshot, port: Port) -> bool:
    """In a network that lives here."""
    binding, remote = snapshot.bindings.get(port.key), snapshot.remotes.get((port.network, port.mac))
    if binding is not None and binding.active:
        if binding.host == snapshot.host:
            return False
        return remote is None or not set(port.addresses) <= set(remote.addresses)
    return _any_external(snapshot, port.hosts) and remote is None


def _lacks_route(snapshot: Snapshot, port: Port) -> bool:
    """Host routes (RFC 9135 section 5) to a network that has no port here."""
    network = snapshot.networks[port.network]
    tenant = snapshot.tenants.get(network.tenant)
    if not network.routed or tenant is None or not tenant.l3vni:
        return False
    binding, remote = snapshot.bindings.get(port.key), snapshot.remotes.get((port.network, port.mac))
    if binding is None or not binding.active or not port.addresses:
        return False
    if remote is None or remote.router_mac is None:
        return True
    return not set(port.addresses) <= set(remote.addresses)


def _any_external(snapshot: Snapshot, hosts: Iterable[HostName]) -> bool:
    found = (snapshot.hypervisors.get(h) for h in hosts)
    return any(h is not None and h.external for h in found)


NO_OWNERS: Final[Owners] = Map()

"""Directory: the zone of each tenant, kept in step with what changes, and looked up by name and by address.

Place: kept by whoever follows the snapshot; `services.naming.answering` looks into the asker's zone alone.
Persistent maps: an answer under way sees one state of all names. Must not answer across tenants: whatever is
found here was found in the one zone that was handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from immutables import Map

from model.addresses import Address, Prefix
from model.ids import NetworkKey, TenantKey, Uid
from model.intent import Network, Port, StaticRoute, Tenant
from model.order import address_rank
from model.roll import Roll
from services.naming.holdings import Holding, HoldingKey, hold_gang, hold_port
from services.naming.labels import Labels, fits, parse_labels

_Borne = Map[HoldingKey, tuple[Address, ...]]
_Led = Map[HoldingKey, Labels]
_UNBORNE: Final[_Borne] = Map()
_UNLED: Final[_Led] = Map()


@dataclass(frozen=True, slots=True)
class Zone:
    """One tenant's. `below`: how many names lie below one; such a name exists (RFC 8020), even if it bears
    nothing itself. What two holdings say of one name is added up. `beyond`: prefixes behind
    static routes, by uid."""

    origin: Labels
    subnets: Map[NetworkKey, tuple[Prefix, ...]] = Map()
    holdings: Map[HoldingKey, Holding] = Map()
    names: Map[Labels, _Borne] = Map()
    below: Map[Labels, int] = Map()
    pointers: Map[Address, _Led] = Map()
    beyond: Map[Uid, Prefix] = Map()

    def addresses_of(self, name: Labels) -> tuple[Address, ...] | None:
        """Of a name below the origin, in order; () if it exists and has none, None if it does not exist."""
        borne = self.names.get(name)
        if borne is None:
            return () if name in self.below or not name else None
        return tuple(sorted({a for each in borne.values() for a in each}, key=address_rank))

    def names_of(self, address: Address) -> tuple[Labels, ...]:
        """Whole names that an address leads to, in order."""
        found = sorted(set(self.pointers.get(address, _UNLED).values()))
        return tuple((*name, *self.origin) for name in found)

    def contains(self, prefix: Prefix) -> bool:
        """Whether it lies in a network of the tenant."""
        return any(
            prefix.version == subnet.version
            and prefix.prefixlen >= subnet.prefixlen
            and prefix.network_address in subnet
            for subnets in self.subnets.values()
            for subnet in subnets
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """All zones that one host may be asked for. `suffix`: what the origins of all of them end in."""

    suffix: Labels
    zones: Map[TenantKey, Zone] = Map()


def open_directory(suffix: str) -> Directory:
    """ValueError if the suffix leaves no room for the longest names: three labels and their dots."""
    labels = parse_labels(suffix)
    if not fits((b"p" * 63, b"n" * 63, b"t" * 63, *labels)):
        raise ValueError(f"{suffix!r} is too long below names of tenants, networks and ports")
    return Directory(labels)


def with_tenant(directory: Directory, tenant: Tenant) -> Directory:
    """Give a tenant a zone; one that it has is kept."""
    origin = (tenant.name.lower().encode("ascii", "replace"), *directory.suffix)
    zone = directory.zones.get(tenant.key)
    if zone is None or zone.origin != origin:
        zone = Zone(origin) if zone is None else replace(zone, origin=origin)
    return _set(directory, tenant.key, zone)


def without_tenant(directory: Directory, tenant: TenantKey) -> Directory:
    """Forget it and all its names."""
    if tenant not in directory.zones:
        return directory
    return replace(directory, zones=directory.zones.delete(tenant))


def with_network(directory: Directory, network: Network) -> Directory:
    """Its subnets are the tenant's own: what nobody has there has no name, whatever others outside say."""
    zone = directory.zones.get(network.tenant)
    if zone is None:
        return directory
    return _set(
        directory, network.tenant, replace(zone, subnets=zone.subnets.set(network.key, network.subnets))
    )


def without_network(directory: Directory, tenant: TenantKey, network: NetworkKey) -> Directory:
    """The subnets only: its ports go one by one."""
    zone = directory.zones.get(tenant)
    if zone is None or network not in zone.subnets:
        return directory
    return _set(directory, tenant, replace(zone, subnets=zone.subnets.delete(network)))


def with_route(directory: Directory, route: StaticRoute) -> Directory:
    """What lies behind addresses of the tenant's own ports."""
    zone = directory.zones.get(route.tenant)
    if zone is None:
        return directory
    return _set(directory, route.tenant, replace(zone, beyond=zone.beyond.set(route.uid, route.prefix)))


def without_route(directory: Directory, route: StaticRoute) -> Directory:
    """Unchanged if it is not there."""
    zone = directory.zones.get(route.tenant)
    if zone is None or route.uid not in zone.beyond:
        return directory
    return _set(directory, route.tenant, replace(zone, beyond=zone.beyond.delete(route.uid)))


def with_holding(directory: Directory, holding: Holding) -> Directory:
    """Enter a port or a gang, in place of what it held before. Nothing if its tenant has no zone."""
    return with_holdings(directory, (holding,))


def with_holdings(directory: Directory, holdings: Iterable[Holding]) -> Directory:
    """Many of them at once: the same as `with_holding` of each, one after the other."""
    entered: dict[TenantKey, dict[HoldingKey, Holding]] = {}
    for holding in holdings:
        entered.setdefault(holding.tenant, {})[holding.key] = holding
    for tenant, some in entered.items():
        for key in some:
            directory = without_holding(directory, tenant, key)
        zone = directory.zones.get(tenant)
        if zone is not None:
            directory = _set(directory, tenant, _enter(zone, some))
    return directory


def _enter(zone: Zone, some: dict[HoldingKey, Holding]) -> Zone:
    """None of them is in the zone yet."""
    names, below, pointers = zone.names.mutate(), zone.below.mutate(), zone.pointers.mutate()
    for key, holding in some.items():
        for name, addresses in dict(holding.names).items():
            borne = names.get(name)
            if borne is None:
                for up in _ancestors(name):
                    below[up] = below.get(up, 0) + 1
            names[name] = (_UNBORNE if borne is None else borne).set(key, addresses)
        for address, name in dict(holding.pointers).items():
            pointers[address] = pointers.get(address, _UNLED).set(key, name)
    return replace(
        zone,
        holdings=zone.holdings.update(some),
        names=names.finish(),
        below=below.finish(),
        pointers=pointers.finish(),
    )


def without_holding(directory: Directory, tenant: TenantKey, key: HoldingKey) -> Directory:
    """Take out all that a port or a gang brought in; unchanged if it is not there."""
    zone = directory.zones.get(tenant)
    holding = zone.holdings.get(key) if zone else None
    if zone is None or holding is None:
        return directory
    names, below, pointers = zone.names, zone.below, zone.pointers
    for name in dict(holding.names):
        borne = names[name].delete(key)
        if borne:
            names = names.set(name, borne)
            continue
        names = names.delete(name)
        for up in _ancestors(name):
            left = below[up] - 1
            below = below.set(up, left) if left else below.delete(up)
    for address in dict(holding.pointers):
        led = pointers[address].delete(key)
        pointers = pointers.set(address, led) if led else pointers.delete(address)
    return _set(
        directory,
        tenant,
        replace(zone, holdings=zone.holdings.delete(key), names=names, below=below, pointers=pointers),
    )


def direct(
    suffix: str,
    tenants: Iterable[Tenant],
    networks: Iterable[Network],
    ports: Iterable[Port],
    gangs: Iterable[Roll] = (),
) -> Directory:
    """All zones of what there is. What belongs to a tenant or a network that is not there has no name."""
    directory = open_directory(suffix)
    known = {network.key: network for network in networks}
    keys: dict[str, TenantKey] = {}
    for tenant in tenants:
        directory = with_tenant(directory, tenant)
        keys[tenant.name] = tenant.key
    for network in known.values():
        directory = with_network(directory, network)
    held = [hold_port(port, known[port.network]) for port in ports if port.network in known]
    for gang in gangs:
        key = keys.get(gang.tenant)
        if key is not None:
            held.append(hold_gang(gang, key))
    return with_holdings(directory, held)


def _set(directory: Directory, tenant: TenantKey, zone: Zone) -> Directory:
    return replace(directory, zones=directory.zones.set(tenant, zone))


def _ancestors(name: Labels) -> Iterable[Labels]:
    return (name[start:] for start in range(1, len(name)))

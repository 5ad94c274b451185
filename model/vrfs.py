"""VRFs: what tenants, external networks and peerings have in common: a key of one pool, and an L3VNI.

Place: asked by bgp and pipelines about a snapshot. Pure. Must not know routes.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.addresses import Address, Prefix
from model.ids import HostName, NetworkKey, TenantKey, Vni
from model.intent import Peering, Port, Side
from model.snapshot import Snapshot


def l3vni_of(snapshot: Snapshot, vrf: TenantKey) -> Vni:
    """The L3VNI of a VRF; 0 = none, or nobody knows it."""
    found = snapshot.tenants.get(vrf) or snapshot.externals.get(vrf) or snapshot.peerings.get(vrf)
    return Vni(0) if found is None else found.l3vni


def title(snapshot: Snapshot, vrf: TenantKey) -> str:
    """`tenant acme`, `external internet`, `peering of acme and globex`, for people."""
    if (tenant := snapshot.tenants.get(vrf)) is not None:
        return f"tenant {tenant.name}"
    if (external := snapshot.externals.get(vrf)) is not None:
        return f"external {external.name}"
    if (peering := snapshot.peerings.get(vrf)) is not None:
        return f"peering of {' and '.join(_name(snapshot, side.tenant) for side in peering.sides)}"
    return f"VRF {vrf}"


def _name(snapshot: Snapshot, tenant: TenantKey) -> str:
    found = snapshot.tenants.get(tenant)
    return str(tenant) if found is None else found.name


def tenant_of(snapshot: Snapshot, network: NetworkKey) -> TenantKey | None:
    """The tenant between whose networks a network is routed; None if it is not."""
    found = snapshot.networks.get(network)
    return found.tenant if found is not None and found.routed else None


def peerings_of(snapshot: Snapshot, tenant: TenantKey) -> Iterator[tuple[Peering, Side, Side]]:
    """Peerings of a tenant, by key, each with its own side and the other's."""
    for key in sorted(snapshot.peerings):
        peering = snapshot.peerings[key]
        one, other = peering.sides
        if one.tenant == tenant:
            yield peering, one, other
        elif other.tenant == tenant:
            yield peering, other, one


def exported(addresses: tuple[Address, ...], prefixes: tuple[Prefix, ...]) -> tuple[Address, ...]:
    """Those of the addresses that lie in the prefixes, in their order."""
    return tuple(a for a in addresses if any(a.version == p.version and a in p for p in prefixes))


def inside(prefix: Prefix, outer: Prefix) -> bool:
    """Whether a prefix is another or a part of it."""
    if prefix.version != outer.version or prefix.prefixlen < outer.prefixlen:
        return False
    return prefix.network_address in outer


def may_live(snapshot: Snapshot, port: Port, host: HostName) -> bool:
    """Whether the store lets a port be on a host: it is one of the port's, and it is bound to no other."""
    binding = snapshot.bindings.get(port.key)
    free = binding is None or not binding.active or binding.host == host
    return free and host in (*port.hosts, port.migration)

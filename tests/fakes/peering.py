"""Peerings for the tests: a world with one, random ones, and the invariant of who may reach whom by them.

Place: beside `world`, `strategies` and `routing`. The invariant knows only the snapshot, never the flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from model.addresses import Address, Prefix, router_mac
from model.change import Part
from model.ids import TenantKey, Vni
from model.intent import Peering, Port, Side
from model.route import NextHop, RemotePrefix
from model.snapshot import Snapshot, without_port
from tests.fakes import world

KEY, L3VNI = TenantKey(19), Vni(5019)
ONE = ("10.0.1.0/28", "fd00:0:0:1::/124")
OTHER = ("10.0.6.0/28", "fd00:0:0:6::/124")


def peering(
    one: tuple[str, ...] = ONE, other: tuple[str, ...] = OTHER, *, key: int = KEY, l3vni: int = L3VNI
) -> Peering:
    """Between tenants 1 and 2."""
    sides = (Side(TenantKey(n), tuple(map(ip_network, p))) for n, p in ((1, one), (2, other)))
    first, second = sides
    return Peering(TenantKey(key), Vni(l3vni), (first, second))


def host_route(address: str | Address, vtep: str, router: int = 2, key: int = KEY) -> RemotePrefix:
    """What the guard lets through of a host that has an exported port."""
    hop = NextHop(ip_address(vtep), router_mac(router))
    return RemotePrefix(TenantKey(key), ip_network(address), (hop,))


def peered(vtep: str = "192.0.2.1", far: tuple[str, str] = ("192.0.2.2", "192.0.2.3")) -> Snapshot:
    """`world.routed` but for network 5, and networks 6 of tenant 2 and 7 of tenant 3. Ports 61, 66 and 71 are
    here, 62 is on hv2.

    Tenants 1 and 2 are peered: of 1 only network 1's low addresses (ports 11 and 12), of 2 only network 6's
    (61 and 62, not 66). The host routes of 12 and 62 have come.
    """
    base = without_port(world.routed(vtep, far), world.PortKey(51))
    snapshot = world.added(
        world.with_part(base, Part.NETWORK, world.NetworkKey(5), None),
        world.tenant(3),
        *(
            world.network(n, owner=o, subnets=[f"10.0.{n}.0/24", f"fd00:0:0:{n}::/64"])
            for n, o in ((6, 2), (7, 3))
        ),
        peering(),
    )
    for key in (61, 66, 71):
        snapshot = world.plugged(snapshot, world.routed_port(key, world.HERE), key)
    there = world.routed_port(62, "hv2")
    snapshot = world.added(snapshot, there)
    for port in (there, snapshot.ports[world.PortKey(12)]):
        snapshot = world.added(snapshot, *(host_route(a, far[0]) for a in port.addresses))
    return snapshot


_CHOICES = (
    (("10.0.2.0/28", "fd00:0:0:2::/64"), ("10.0.1.0/24", "fd00:0:0:1::/64")),
    (("10.0.2.11/32", "fd00:0:0:2::b/128"), ("10.0.1.0/28",)),
    (("10.0.0.0/16", "::/0"), ("10.0.1.11/32", "fd00:0:0:1::b/128")),
    (("0.0.0.0/0",), ("0.0.0.0/0",)),
)
VTEPS = ("192.0.2.2", "192.0.2.3", "2001:db8::2")


@st.composite
def peerings(draw: st.DrawFn, snapshot: Snapshot) -> Snapshot:
    """The snapshot with a peering of its two tenants, or without one, and host routes to some addresses."""
    if not draw(st.booleans()):
        return snapshot
    made = peering(*draw(st.sampled_from(_CHOICES)), l3vni=draw(st.sampled_from([L3VNI, L3VNI, 0])))
    snapshot = world.added(snapshot, made)
    for port in snapshot.ports.values():
        remote = snapshot.remotes.get((port.network, port.mac))
        if remote is not None and draw(st.booleans()):
            routes = (host_route(a, str(remote.vtep), remote.vtep.packed[-1]) for a in port.addresses)
            snapshot = world.added(snapshot, *routes)
    return snapshot


def allowed(snapshot: Snapshot, one: TenantKey, source: Address, other: TenantKey, target: Address) -> bool:
    """Whether a peering lets a tenant's address reach the other's."""
    return any(
        _exports(made, one, source) and _exports(made, other, target)
        for made in snapshot.peerings.values()
        if {side.tenant for side in made.sides} == {one, other} and one != other
    )


def _exports(made: Peering, tenant: TenantKey, address: Address) -> bool:
    return any(_within(address, side.prefixes) for side in made.sides if side.tenant == tenant)


def _within(address: Address, prefixes: tuple[Prefix, ...]) -> bool:
    return any(address.version == p.version and address in p for p in prefixes)


def between(snapshot: Snapshot, vni: int) -> Iterator[Peering]:
    """The peering with an L3VNI."""
    return (made for made in snapshot.peerings.values() if vni and made.l3vni == vni)


def may_arrive(snapshot: Snapshot, vni: int, outer: int, receiver: Port, target: Address) -> bool:
    """Whether a VTEP may hand a packet of a peering to a port."""
    tenant = snapshot.networks[receiver.network].tenant
    return any(
        _exports(made, tenant, target) and outer in _exporters(snapshot, made)
        for made in between(snapshot, vni)
    )


def may_tell(snapshot: Snapshot, key: TenantKey, vni: int, outer: int) -> bool:
    """Whether a VTEP may send in a peering at all."""
    return any(made.key == key and outer in _exporters(snapshot, made) for made in between(snapshot, vni))


def _exporters(snapshot: Snapshot, made: Peering) -> set[int]:
    found = set()
    for port in snapshot.ports.values():
        network = snapshot.networks.get(port.network)
        if network is None or not network.routed:
            continue
        if any(_exports(made, network.tenant, address) for address in port.addresses):
            hosts = (snapshot.hypervisors.get(host) for host in port.hosts if host != snapshot.host)
            found |= {int(host.vtep) for host in hosts if host is not None}
    return found


def may_leave(
    snapshot: Snapshot, vni: int, tenant: TenantKey, source: Address, target: Address, hop: tuple[int, int]
) -> bool:
    """Whether a tenant's packet may go under this VNI to this VTEP and router MAC."""
    for made in between(snapshot, vni):
        known = snapshot.prefixes.get((made.key, ip_network(target)))
        hops = () if known is None else known.hops
        others = [side.tenant for side in made.sides if side.tenant != tenant]
        peers = any(allowed(snapshot, tenant, source, other, target) for other in others)
        if peers and hop in {(int(one.vtep), int(one.router_mac)) for one in hops}:
            return True
    return False


def without_a_half(snapshot: Snapshot) -> Snapshot:
    """What the store says once one side has deleted its half."""
    return replace(snapshot, peerings=snapshot.peerings.delete(KEY))

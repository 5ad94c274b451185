"""A small cluster with ways out, as each of its hosts sees it.

Place: used by the tests of floating IPs and of tenants behind an address of their own.

External network 9: pools 203.0.113.0/24 and 2001:db8:f::/64, border hv9. Network n has 10.0.n.0/24 and
fd00:0:0:n::/64, but for 5, of tenant 2, which has 1's addresses. Port nk is n's with host part 10 + k. On
hv1: 11 (floating .11), 12 (none), 51 (floating .51). On hv2: 13 (floating .13), 14 (none). Tenant 1 is behind
203.0.113.100 and 2001:db8:f::100 on gateways hv1, hv3; tenant 2 has no way out but its floating IP.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from model.addresses import router_mac
from model.change import Part
from model.ids import HostName, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Egress, External, FloatingIp, Port, Tenant
from model.route import NextHop, RemotePrefix
from model.snapshot import Snapshot
from tests.fakes import world

EXTERNAL = TenantKey(9)
ADDRESSES = (ip_address("203.0.113.100"), ip_address("2001:db8:f::100"))
VTEPS = {HostName(f"hv{n}"): f"192.0.2.{n}" for n in (1, 2, 3, 9)}
PLACES = {11: "hv1", 12: "hv1", 51: "hv1", 13: "hv2", 14: "hv2"}
FLOATING = (11, 51, 13)
ZONES = {11: 101, 51: 151, 13: 113}
TENANT_ZONE = 7


def external(l3vni: int = 5009) -> External:
    pools = (ip_network("203.0.113.0/24"), ip_network("2001:db8:f::/64"))
    return External(Uid("external-9"), "internet", EXTERNAL, Vni(l3vni), pools)


def tenant(*gateways: str, egress: Egress = Egress.SNAT) -> Tenant:
    hosts = tuple(HostName(g) for g in gateways)
    return replace(
        world.tenant(1), egress=egress, external=EXTERNAL, egress_addresses=ADDRESSES, gateways=hosts
    )


def port(key: int) -> Port:
    net, last = divmod(key, 10)
    block = 1 if net == 5 else net
    addresses = [f"10.0.{block}.{10 + last}", f"fd00:0:0:{block}::{10 + last:x}"]
    return world.port(key, net, 0x020000000000 | net << 8 | last, addresses, [PLACES[key]])


def floating(key: int, version: int) -> FloatingIp:
    """The floating IP of a port: .key in the pool of the version."""
    address = ip_address(f"203.0.113.{key}" if version == 4 else f"2001:db8:f::{key}")
    owner = TenantKey(2 if key > 50 else 1)
    target = port(key).addresses[version == 6]
    return FloatingIp(
        Uid(f"float-{key}-{version}"), owner, f"f{key}", EXTERNAL, address, PortKey(key), target
    )


def prefix(vrf: int, text: str, *hosts: str) -> RemotePrefix:
    """Learned, by way of these hosts."""
    hops = (NextHop(ip_address(VTEPS[HostName(h)]), router_mac(int(h.removeprefix("hv")))) for h in hosts)
    return RemotePrefix(TenantKey(vrf), ip_network(text), tuple(sorted(hops, key=lambda hop: int(hop.vtep))))


def leaving(host: str = "hv1", gateways: tuple[str, ...] = ("hv1", "hv3")) -> Snapshot:
    """What `host` knows."""
    here = HostName(host)
    snapshot = replace(world.empty(), host=here)
    for name, vtep in VTEPS.items():
        one = replace(world.hypervisor(name, vtep), border=name == "hv9", external=name == "hv9")
        snapshot = world.added(snapshot, one)
    snapshot = world.added(snapshot, tenant(*gateways), world.tenant(2), *_networks())
    snapshot = world.with_part(snapshot, Part.EXTERNAL, EXTERNAL, external())
    for key, place in PLACES.items():
        one = port(key)
        if place == host:
            snapshot = world.plugged(snapshot, one, key, host=host)
            continue
        there = world.remote(
            one.network, one.mac, VTEPS[HostName(place)], map(str, one.addresses), router=int(place[2:])
        )
        snapshot = world.added(snapshot, one, there, Binding(one.key, HostName(place), 0, True))
    for key in FLOATING:
        for version in (4, 6):
            one_float = floating(key, version)
            snapshot = world.with_part(snapshot, Part.FLOATING, one_float.uid, one_float)
            if PLACES[key] != host:
                whole = f"{one_float.address}/{one_float.address.max_prefixlen}"
                snapshot = learned(snapshot, prefix(EXTERNAL, whole, PLACES[key]))
        if PLACES[key] == host:
            snapshot = world.with_part(snapshot, Part.ZONE, ("port", key), ZONES[key])
    for everything in ("0.0.0.0/0", "::/0"):
        snapshot = learned(snapshot, prefix(EXTERNAL, everything, "hv9"))
    if host in gateways:
        return world.with_part(snapshot, Part.ZONE, ("tenant", 1), TENANT_ZONE)
    for address in ADDRESSES if gateways else ():
        snapshot = learned(snapshot, prefix(EXTERNAL, f"{address}/{address.max_prefixlen}", gateways[0]))
    return snapshot


def learned(snapshot: Snapshot, one: RemotePrefix) -> Snapshot:
    return world.with_part(snapshot, Part.PREFIX, (one.vrf, one.prefix), one)


def _networks() -> tuple[object, ...]:
    return (
        world.network(1, subnets=["10.0.1.0/24", "fd00:0:0:1::/64"]),
        world.network(5, owner=2, subnets=["10.0.1.0/24", "fd00:0:0:1::/64"]),
    )

"""A small cluster for the tests of bgp/: three hosts with agents, one external, two tenants with equal
addresses.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from immutables import Map

from bgp.codec import communities, nlri
from model.addresses import Address, router_mac
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Hypervisor, Network, Port, Tenant
from model.inventory import Interface
from model.route import Attributes, Distinguisher, MacRoute, MulticastRoute, Route
from model.snapshot import Snapshot, with_port

ASN = 65000
RED, BLUE = NetworkKey(1), NetworkKey(2)
RED_VNI, BLUE_VNI = Vni(10100), Vni(10200)
RED_L3, BLUE_L3 = Vni(10901), Vni(10902)
HOSTS = {
    name: Hypervisor(HostName(name), ip_address(f"192.0.2.{n}"), 0x0A000000 + n, external=name == "ext")
    for n, name in enumerate(("h1", "h2", "h3", "ext"), 1)
}
NETWORKS = (
    Network(Uid("net-red"), TenantKey(1), "net", RED, RED_VNI, (ip_network("10.0.0.0/24"),), replicate=True),
    Network(Uid("net-blue"), TenantKey(2), "net", BLUE, BLUE_VNI, (ip_network("10.0.0.0/24"),)),
)
HERE, THERE, ROAMING, OUTSIDE, FOREIGN = (PortKey(n) for n in range(1, 6))
V4, V6 = ip_address("10.0.0.2"), ip_address("fd00::2")


def mac(number: int) -> Mac:
    return Mac(0x02_00_00_00_00_00 + number)


def port(key: int, network: NetworkKey, hosts: tuple[str, ...]) -> Port:
    addresses = (ip_address(f"10.0.0.{key}"), ip_address(f"fd00::{key}"))
    names = tuple(HostName(one) for one in hosts)
    return Port(Uid(f"port-{key}"), network, f"p{key}", PortKey(key), mac(key), addresses, names)


def bind(snapshot: Snapshot, key: int, host: str, sequence: int = 0, active: str = "active") -> Snapshot:
    binding = Binding(PortKey(key), HostName(host), sequence, active == "active")
    return replace(snapshot, bindings=snapshot.bindings.set(PortKey(key), binding))


def plug(snapshot: Snapshot, key: int, ofport: int = 7) -> Snapshot:
    uid = Uid(f"port-{key}")
    return replace(snapshot, interfaces=snapshot.interfaces.set(uid, Interface(f"tap{key}", uid, ofport)))


def world() -> Snapshot:
    """Seen from h1: HERE is bound here, THERE on h2, ROAMING (h2 or h3) nowhere, OUTSIDE on ext, FOREIGN
    is blue.
    """
    made = Snapshot(
        host=HostName("h1"),
        cluster=Cluster(Uid("cluster"), 1, ASN),
        tenants=Map(
            {
                TenantKey(n): Tenant(Uid(f"t{n}"), f"t{n}", TenantKey(n), l3vni)
                for n, l3vni in ((1, RED_L3), (2, BLUE_L3))
            }
        ),
        networks=Map({one.key: one for one in NETWORKS}),
        hypervisors=Map({one.name: one for one in HOSTS.values()}),
    )
    made = with_port(made, port(HERE, RED, ("h1",)))
    made = with_port(made, port(THERE, RED, ("h2",)))
    made = with_port(made, port(ROAMING, RED, ("h2", "h3")))
    made = with_port(made, port(OUTSIDE, RED, ("ext",)))
    made = with_port(made, port(FOREIGN, BLUE, ("h3",)))
    return plug(bind(bind(made, HERE, "h1"), THERE, "h2"), HERE)


def hung(host: str, vni: Vni = RED_VNI, **fields: object) -> Attributes:
    """The attributes that a host's agent would send."""
    made = Attributes(HOSTS[host].vtep, (communities.route_target(ASN, vni),), encapsulations=(8,))
    return replace(made, **fields)  # type: ignore[arg-type]


def rd(host: str, network: int = RED) -> bytes:
    return nlri.distinguisher(Distinguisher(HOSTS[host].router_id, network))


def mac_route(host: str, number: int, address: Address | None = None, **fields: object) -> Route:
    """RT-2 in the red network."""
    return Route(MacRoute(rd(host), mac(number), address, RED_VNI), hung(host, **fields))


def routed_route(host: str, number: int, address: Address, **fields: object) -> Route:
    """RT-2 in the red network with what lets others route to it (RFC 9135 section 5)."""
    targets = tuple(sorted(communities.route_target(ASN, vni) for vni in (RED_VNI, RED_L3)))
    more = {"route_targets": targets, "router_mac": router_mac(HOSTS[host].router_id), **fields}
    return Route(MacRoute(rd(host), mac(number), address, RED_VNI, RED_L3), hung(host, **more))


def flood_route(host: str, **fields: object) -> Route:
    """RT-3 in the red network."""
    vtep = HOSTS[host].vtep
    attributes = hung(host, **{"pmsi_vni": RED_VNI, "pmsi_endpoint": vtep, **fields})
    return Route(MulticastRoute(rd(host), vtep), attributes)


def key(route: Route) -> bytes:
    return nlri.key(nlri.encode(route.nlri))

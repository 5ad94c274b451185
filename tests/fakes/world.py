"""A small cluster to compile: values from plain arguments, and snapshots as the agent would make them.

Place: used by the tests of pipelines and of everything that needs a Snapshot. Must not hold expectations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

from immutables import Map

from model.addresses import router_mac
from model.change import Change, Part
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import (
    Binding,
    EgressClass,
    Hypervisor,
    Network,
    Pair,
    Peering,
    Port,
    Relation,
    StaticRoute,
    Tenant,
)
from model.inventory import Interface, Switch
from model.route import FloodVtep, NextHop, RemoteMac, RemotePrefix
from model.serving import IFACE_ID
from model.snapshot import Snapshot, with_port, without_port

HERE = HostName("hv1")
TUNNEL = 100
SUBNETS = ("10.0.0.0/24", "fd00::/64")


def tenant(key: int, *, l3vni: int | None = None) -> Tenant:
    """L3VNI 5000 + key, unless given; 0 = none."""
    return Tenant(
        Uid(f"tenant-{key}"), f"t{key}", TenantKey(key), Vni(5000 + key if l3vni is None else l3vni)
    )


def network(
    key: int,
    *,
    owner: int = 1,
    subnets: Iterable[str] = ("10.0.0.0/24", "fd00::/64"),
    replicate: bool = False,
    routed: bool = True,
) -> Network:
    nets = tuple(ip_network(s) for s in subnets)
    return Network(
        Uid(f"network-{key}"),
        TenantKey(owner),
        f"n{key}",
        NetworkKey(key),
        Vni(1000 + key),
        nets,
        replicate=replicate,
        routed=routed,
    )


def port(key: int, net: int, mac: int, addresses: Iterable[str] = (), hosts: Iterable[str] = (HERE,)) -> Port:
    return Port(
        Uid(f"port-{key}"),
        NetworkKey(net),
        f"p{key}",
        PortKey(key),
        Mac(mac),
        tuple(ip_address(a) for a in addresses),
        tuple(HostName(h) for h in hosts),
    )


def hypervisor(name: str, vtep: str, *, external: bool = False) -> Hypervisor:
    return Hypervisor(HostName(name), ip_address(vtep), int(name.removeprefix("hv")), external)


def remote(
    net: int, mac: int, vtep: str, addresses: Iterable[str] = (), *, router: int | None = None
) -> RemoteMac:
    """`router`: the router id of the VTEP; None = it does not route."""
    found = tuple(ip_address(a) for a in addresses)
    next_hop = None if router is None else router_mac(router)
    return RemoteMac(NetworkKey(net), Mac(mac), ip_address(vtep), found, router_mac=next_hop)


def static_route(name: str, prefix: str, hops: Iterable[str], *, owner: int = 1) -> StaticRoute:
    uid, found = Uid(f"route-{name}"), tuple(ip_address(hop) for hop in hops)
    return StaticRoute(uid, TenantKey(owner), name, ip_network(prefix), found)


def remote_prefix(prefix: str, vteps: Iterable[str], *, vrf: int = 1) -> RemotePrefix:
    """Over the routers of these VTEPs; the router id is the last part of the address."""
    ends = (ip_address(vtep) for vtep in vteps)
    hops = tuple(NextHop(end, router_mac(int(end) & 0xFF)) for end in ends)
    return RemotePrefix(TenantKey(vrf), ip_network(prefix), hops)


def egress_class(key: int, prefixes: Iterable[str], *relations: Relation) -> EgressClass:
    nets = tuple(ip_network(p) for p in prefixes)
    return EgressClass(Uid(f"class-{key}"), f"c{key}", ClassId(key), nets, relations)


def related(snapshot: Snapshot) -> Snapshot:
    """With a class for each relation: 5 is the same tenant, 6 a peered one, 7 the internet, of which
    198.51.100.0/24 and 2001:db8:7::/48 are class 8's; 9 claims all private addresses."""
    return added(
        snapshot,
        egress_class(5, (), Relation.SAME_TENANT),
        egress_class(6, (), Relation.PEERED_TENANT),
        egress_class(7, ("192.0.2.0/24",), Relation.INTERNET),
        egress_class(8, ("198.51.100.0/24", "2001:db8:7::/48")),
        egress_class(9, ("10.0.0.0/8", "fd00::/8")),
    )


def empty(vtep: str = "192.0.2.1") -> Snapshot:
    """A declared host with a switch, and nothing on it."""
    this = hypervisor(HERE, vtep)
    return Snapshot(host=HERE, switch=Switch("netdev", TUNNEL, "run-1"), hypervisors=Map({HERE: this}))


def with_part(snapshot: Snapshot, part: Part, key: Any, value: Any) -> Snapshot:
    """Set (or, with None, remove) one value; what the agent's loop does for each event."""
    if part is Part.PORT:
        return without_port(snapshot, key) if value is None else with_port(snapshot, value)
    if part in (Part.CLUSTER, Part.SWITCH):
        return replace(snapshot, **{part.value: value})
    before = getattr(snapshot, part.value)
    if value is None:
        after = before.delete(key) if key in before else before
    else:
        after = before.set(key, value)
    return replace(snapshot, **{part.value: after})


def plugged(snapshot: Snapshot, one: Port, ofport: int, epoch: int = 1, host: str = HERE) -> Snapshot:
    """The port declared, bound here and with an interface."""
    for part, key, value in (
        (Part.PORT, one.key, one),
        (Part.BINDING, one.key, Binding(one.key, HostName(host), 0, True)),
        (Part.INTERFACE, one.uid, Interface(f"tap{ofport}", one.uid, ofport)),
        (Part.EPOCH, one.key, epoch),
    ):
        snapshot = with_part(snapshot, part, key, value)
    return snapshot


def added(snapshot: Snapshot, *values: Any) -> Snapshot:
    """Tenants, networks, ports (not bound), classes, hypervisors, remote MACs and flood VTEPs."""
    for value in values:
        snapshot = with_part(snapshot, *keyed(value), value)
    return snapshot


def keyed(value: Any) -> tuple[Part, Any]:
    """The part of the snapshot and the key under which a value stands."""
    match value:
        case Tenant():
            return Part.TENANT, value.key
        case Network():
            return Part.NETWORK, value.key
        case Port():
            return Part.PORT, value.key
        case EgressClass():
            return Part.CLASS, value.id
        case Hypervisor():
            return Part.HYPERVISOR, value.name
        case RemoteMac():
            return Part.REMOTE, (value.network, value.mac)
        case FloodVtep():
            return Part.FLOOD, (value.network, value.vtep)
        case StaticRoute():
            return Part.STATIC_ROUTE, value.uid
        case RemotePrefix():
            return Part.PREFIX, (value.vrf, value.prefix)
        case Binding():
            return Part.BINDING, value.port
        case Interface():
            return Part.INTERFACE, value.iface_id
        case Peering():
            return Part.PEERING, value.key
        case RemotePrefix():
            return Part.PREFIX, (value.vrf, value.prefix)
    raise TypeError(f"{value!r} is no part of a snapshot")


@dataclass(frozen=True)
class Step:
    """One event: a value comes, is replaced, or (None) goes."""

    part: Part
    key: Any
    value: Any

    def change(self) -> Change:
        return Change(self.part, self.key)


VIRTUAL_MAC = 0x00005E000107
"""Of a virtual router (RFC 5798 section 7.3), id 7."""
PAIRS = (
    Pair(ip_network("10.0.0.100/32")),
    Pair(ip_network("10.0.0.101/32"), Mac(VIRTUAL_MAC)),
    Pair(ip_network("10.0.0.128/26")),
    Pair(ip_network("fd00::100/128")),
    Pair(ip_network("fd00:0:0:0:1::/80")),
)


def allowing(snapshot: Snapshot, key: int, pairs: tuple[Pair, ...] = PAIRS) -> Snapshot:
    """The port may use these pairs besides its own addresses."""
    one = snapshot.ports[PortKey(key)]
    return with_port(snapshot, replace(one, allowed=pairs))


def limited(one: Port, out: int, into: int) -> Port:
    """With limits of what it sends and gets, in kbit/s."""
    return replace(one, rate_out=out, rate_in=into)


def qualified() -> Snapshot:
    """The two tenants, where network 1 marks its packets and ports of it have limits: 11 of what it sends and
    gets, 12 of what it gets. The interface of 11 has a larger MTU than its network."""
    snapshot = two_tenants()
    large = replace(snapshot.interfaces[snapshot.ports[PortKey(11)].uid], mtu=1500)
    snapshot = with_part(snapshot, Part.INTERFACE, large.iface_id, large)
    for key, out in ((11, 8_000), (12, 0)):
        snapshot = with_port(snapshot, limited(snapshot.ports[PortKey(key)], out, 50_000))
    marked = replace(snapshot.networks[NetworkKey(1)], dscp=46)
    return with_part(snapshot, Part.NETWORK, marked.key, marked)


SERVICES = 90
"""OpenFlow port of whoever answers names and metadata."""


def served(snapshot: Snapshot) -> Snapshot:
    """With somebody who answers names and metadata on this host."""
    return with_part(snapshot, Part.INTERFACE, IFACE_ID, Interface("rf-services", IFACE_ID, SERVICES))


def moving(snapshot: Snapshot, key: int, ofport: int) -> Snapshot:
    """The port lives on hv2, is plugged in here too, and moves here."""
    one = replace(snapshot.ports[PortKey(key)], migration=HERE)
    snapshot = plugged(snapshot, one, ofport, host="hv2")
    return with_part(snapshot, Part.EPOCH, key, None)


def stepped(snapshot: Snapshot, steps: Iterable[Step]) -> Snapshot:
    for step in steps:
        snapshot = with_part(snapshot, step.part, step.key, step.value)
    return snapshot


def paired(snapshot: Snapshot | None = None, term: int = 1) -> Snapshot:
    """The same host with a partner, hv9; `term` 0: which serves the ports."""
    known = routed() if snapshot is None else snapshot
    this = known.this()
    assert this is not None
    own = replace(this, partner=HostName("hv9"))
    other = replace(hypervisor("hv9", "192.0.2.9"), partner=known.host)
    return replace(added(known, own, other), term=term)


def two_tenants() -> Snapshot:
    """Two tenants with the same addresses: two local ports each, one remote each, one external host.

    Network 1 (tenant 1) replicates, network 2 (tenant 2) does not. hv2 may send both networks, hv3 only 1.
    """
    snapshot = added(
        empty(),
        tenant(1),
        tenant(2),
        network(1, owner=1, replicate=True),
        network(2, owner=2),
        hypervisor("hv2", "192.0.2.2"),
        hypervisor("hv3", "192.0.2.3", external=True),
        hypervisor("hv4", "192.0.2.4"),
        egress_class(2, ["10.9.0.0/16", "198.51.100.7/32", "2001:db8::/32"]),
        egress_class(3, ["0.0.0.0/0", "10.9.9.0/24"]),
        port(13, 1, 0x020000000003, ["10.0.0.3", "fd00::3"], ["hv2"]),
        port(14, 1, 0x020000000004, ["10.0.0.4", "fd00::4"], ["hv3"]),
        port(23, 2, 0x020000001003, ["10.0.0.3", "fd00::3"], ["hv2"]),
        remote(1, 0x020000000003, "192.0.2.2", ["10.0.0.3", "fd00::3"]),
        remote(1, 0x020000000004, "192.0.2.3", ["10.0.0.4", "fd00::4"]),
        remote(2, 0x020000001003, "192.0.2.2", ["10.0.0.3", "fd00::3"]),
        FloodVtep(NetworkKey(1), ip_address("192.0.2.2")),
        FloodVtep(NetworkKey(1), ip_address("192.0.2.3")),
    )
    for key, net, mac, last, ofport in (
        (11, 1, 0x020000000001, 1, 1),
        (12, 1, 0x020000000002, 2, 2),
        (21, 2, 0x020000001001, 1, 3),
        (22, 2, 0x020000001002, 2, 4),
    ):
        snapshot = plugged(
            snapshot, port(key, net, mac, [f"10.0.0.{last}", f"fd00::{last}"], [HERE, "hv2"]), ofport
        )
    return snapshot


def routed(vtep: str = "192.0.2.1", far: tuple[str, str] = ("192.0.2.2", "192.0.2.3")) -> Snapshot:
    """Tenant 1 with networks 1, 2, 3 (routed) and 4 (not); tenant 2 with network 5, which has 1's addresses.

    Network n has 10.0.n.0/24 and fd00:0:0:n::/64. Port nk is n's with host part 10 + k: 11, 21, 41 and 51 are
    here (OpenFlow port = key), 12 and 32 on hv2, 33 on hv3, an external host that does not route. Network 3
    has no port here. hv4 has none of tenant 1's ports.
    """
    snapshot = added(
        empty(vtep),
        tenant(1),
        tenant(2),
        *(network(n, subnets=[f"10.0.{n}.0/24", f"fd00:0:0:{n}::/64"], routed=n != 4) for n in (1, 2, 3, 4)),
        network(5, owner=2, subnets=["10.0.1.0/24", "fd00:0:0:1::/64"]),
        hypervisor("hv2", far[0]),
        hypervisor("hv3", far[1], external=True),
        hypervisor("hv4", "192.0.2.4"),
        egress_class(2, ["10.0.3.0/24"]),
    )
    for key, host in ((12, 2), (32, 2), (33, 3)):
        one = routed_port(key, f"hv{host}")
        there = remote(
            one.network, one.mac, far[host - 2], map(str, one.addresses), router=2 if host == 2 else None
        )
        snapshot = added(snapshot, one, there)
    for key in (11, 21, 41, 51):
        snapshot = plugged(snapshot, routed_port(key, HERE), key)
    return snapshot


def routed_port(key: int, host: str) -> Port:
    """A port of `routed`."""
    net, last = divmod(key, 10)
    block = 1 if net == 5 else net
    addresses = [f"10.0.{block}.{10 + last}", f"fd00:0:0:{block}::{10 + last:x}"]
    return port(key, net, 0x020000000000 | net << 8 | last, addresses, [host])


def hopped() -> Snapshot:
    """`routed`, and prefixes of tenant 1 behind next hops, in both families.

    10.50.0.0/16 and fd50::/48: ports 11 and 21 here, and hv2. 10.51.0.0/16, fd51::/48: port 11. 10.52.0.0/16,
    fd52::/48: hv2 alone. 10.53.0.0/16, fd53::/48: nobody. 10.50.7.0/24, fd50:0:0:7::/64: port 21. Port 13,
    here in network 1, is no next hop.
    """
    here = {11: routed_port(11, HERE).addresses, 21: routed_port(21, HERE).addresses}
    far = routed_port(12, "hv2").addresses
    made: list[Any] = []
    for family, (wide, narrow) in enumerate(
        (
            (("10.50.0.0/16", "10.51.0.0/16", "10.52.0.0/16", "10.53.0.0/16"), "10.50.7.0/24"),
            (("fd50::/48", "fd51::/48", "fd52::/48", "fd53::/48"), "fd50:0:0:7::/64"),
        )
    ):
        one, two, three = (str(here[11][family]), str(here[21][family]), str(far[family]))
        nobody = ("10.0.3.77", "fd00:0:0:3::77")[family]
        hops = ((one, two, three), (one,), (three,), (nobody,))
        for number, (prefix, over) in enumerate(zip(wide, hops, strict=True)):
            made.append(static_route(f"{number}-{family}", prefix, over))
        made.append(static_route(f"narrow-{family}", narrow, (two,)))
        made += [remote_prefix(prefix, ["192.0.2.2"]) for prefix in (wide[0], wide[2])]
    return plugged(added(routed(), *made), routed_port(13, HERE), 13)


def narrowed() -> Snapshot:
    """`hopped`, where the MTU of network 1 is 1450, of 2 it is 1400, of 3 1300, of 4, which is not routed,
    1200. What has no other way goes to port 21, of network 2, both families; the interface of 11 has 1500."""
    snapshot = added(
        hopped(),
        static_route("rest-4", "0.0.0.0/0", ["10.0.2.11"]),
        static_route("rest-6", "::/0", ["fd00:0:0:2::b"]),
    )
    for key, mtu in ((2, 1400), (3, 1300), (4, 1200)):
        one = replace(snapshot.networks[NetworkKey(key)], mtu=mtu)
        snapshot = with_part(snapshot, Part.NETWORK, one.key, one)
    large = replace(snapshot.interfaces[snapshot.ports[PortKey(11)].uid], mtu=1500)
    return with_part(snapshot, Part.INTERFACE, large.iface_id, large)

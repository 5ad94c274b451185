"""Terms: questions that several views ask of a snapshot.

Place: used by the other files of this folder. Must not make a view.
"""

from __future__ import annotations

from model.addresses import GATEWAY_MAC, Address, gateway, is_single, link_local, router_mac
from model.ids import Mac, TenantKey, Vni
from model.intent import Network
from model.serving import IFACE_ID
from model.snapshot import Snapshot


def paired(snapshot: Snapshot) -> bool:
    """Whether this host has a partner: then all passes the fence."""
    this = snapshot.this()
    return this is not None and bool(this.partner)


def owned(mac: Mac, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """The addresses that a MAC answers for, IPv4 first: those given, and with IPv6 the link-local one."""
    own = {(a.version, number): a for a in addresses if is_single(a.version, number := int(a))}
    if any(version == 6 for version, _ in own):
        link = link_local(mac)
        own[6, int(link)] = link
    return tuple([own[place] for place in sorted(own)])


def routable(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Those to which packets may be routed, in order: no group, loopback or link-local address."""
    barred = (a for a in addresses if a.is_multicast or a.is_unspecified or a.is_loopback or a.is_link_local)
    return tuple(sorted({*addresses} - {*barred}, key=lambda a: (a.version, int(a))))


def gateways_of(network: Network) -> tuple[Address, ...]:
    """The gateway's addresses in a network, as `NetworkView` has them."""
    if not network.routed:
        return ()
    return owned(GATEWAY_MAC, tuple(gateway(subnet) for subnet in network.subnets))


def l3vni_of(snapshot: Snapshot, vrf: TenantKey) -> Vni:
    """Of a tenant or an external network; 0 = it cannot be routed between hosts."""
    owner = snapshot.tenants.get(vrf) or snapshot.externals.get(vrf)
    return Vni(0) if owner is None else owner.l3vni


def services_of(snapshot: Snapshot) -> int | None:
    """The OpenFlow port of whoever answers names and metadata on this host; None if nobody does."""
    interface, switch = snapshot.interfaces.get(IFACE_ID), snapshot.switch
    if interface is None or switch is None or interface.ofport in (0, switch.tunnel):
        return None
    return interface.ofport if interface.ofport > 0 and interface.up else None


def reachable(snapshot: Snapshot, vtep: Address) -> bool:
    """Another host's VTEP of the IP version that this host's tunnel speaks."""
    this = snapshot.this()
    return this is not None and vtep.version == this.vtep.version and vtep != this.vtep


def router_of(snapshot: Snapshot, vrf: TenantKey | None) -> Mac | None:
    """This host's router MAC; None if nobody can route to it for the tenant from afar."""
    this = snapshot.this()
    if this is None or vrf is None or not l3vni_of(snapshot, vrf):
        return None
    return router_mac(this.router_id)

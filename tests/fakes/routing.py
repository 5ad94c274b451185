"""The invariant of routing: who may reach whom between the networks of a tenant, and with what on the frame.

Place: the part of `isolation` that judges packets sent to a gateway or under an L3VNI. Knows only the
snapshot, never the flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from model.addresses import GATEWAY_MAC, Address, Prefix, gateway, link_local, router_mac
from model.ids import NetworkKey, TenantKey
from model.intent import Network, Port
from model.snapshot import Snapshot
from pipelines import fields as f
from tests.fakes import peering
from tests.fakes.packets import Packet
from tests.fakes.switch import Sent

LINK = int(link_local(GATEWAY_MAC))


def destination(packet: Packet) -> int:
    return packet.get("ip_dst", 0) if packet.get("eth_type") == f.IPV4 else packet.get("ipv6_dst", 0)


def source(packet: Packet) -> int:
    return packet.get("ip_src", 0) if packet.get("eth_type") == f.IPV4 else packet.get("ipv6_src", 0)


def address_of(packet: Packet, number: int) -> Address:
    """A number of the packet's own address family."""
    return ip_address(number.to_bytes(4 if packet.get("eth_type") == f.IPV4 else 16, "big"))


def is_ip(packet: Packet) -> bool:
    return packet.get("eth_type") in (f.IPV4, f.IPV6)


def routed_networks(snapshot: Snapshot, tenant: TenantKey) -> list[Network]:
    return [n for n in snapshot.networks.values() if n.tenant == tenant and n.routed]


def gateways(network: Network) -> set[int]:
    """All addresses for which the network's gateway speaks."""
    found = {int(gateway(subnet)) for subnet in network.subnets} if network.routed else set()
    return found | {LINK} if any(s.version == 6 for s in network.subnets) and found else found


def senders(snapshot: Snapshot, tenant: TenantKey) -> set[int]:
    """VTEPs of the hosts that may have ports in the tenant's routed networks."""
    found = set()
    for network in routed_networks(snapshot, tenant):
        for port in snapshot.ports_of(network.key):
            known = (snapshot.hypervisors.get(host) for host in port.hosts if host != snapshot.host)
            found |= {int(hypervisor.vtep) for hypervisor in known if hypervisor is not None}
    return found


def l3vni(snapshot: Snapshot, tenant: TenantKey) -> int:
    found = snapshot.tenants.get(tenant)
    return 0 if found is None else found.l3vni


def own_router(snapshot: Snapshot) -> int:
    this = snapshot.this()
    assert this is not None
    return router_mac(this.router_id)


def arrived(snapshot: Snapshot, packet: Packet, sent: Sent, receiver: Port) -> Iterator[str]:
    """A packet under an L3VNI that was handed to a local port."""
    network = snapshot.networks[receiver.network]
    vni = l3vni(snapshot, network.tenant)
    told, to = packet.get("tun_id", 0), address_of(packet, destination(packet))
    if any(peering.between(snapshot, told)) and told != vni:
        outer = packet.get("tun_src", 0) or packet.get("tun_ipv6_src", 0)
        if not peering.may_arrive(snapshot, told, outer, receiver, to):
            yield f"{outer:#x} reached {receiver.name} under VNI {told} of a peering that does not let it"
        if packet.get("eth_dst") != own_router(snapshot):
            yield f"{receiver.name} got what was for router {packet.get('eth_dst', 0):#x}"
        yield from _delivered(snapshot, packet, sent, receiver)
        return
    if not vni or packet.get("tun_id", 0) != vni:
        yield f"VNI {packet.get('tun_id', 0)} reached {receiver.name}, whose tenant has {vni}"
    outer = packet.get("tun_src", 0) or packet.get("tun_ipv6_src", 0)
    if outer not in senders(snapshot, network.tenant):
        yield f"VTEP {outer:#x} has no right to route to {receiver.name}"
    if packet.get("eth_dst") != own_router(snapshot):
        yield f"{receiver.name} got what was for router {packet.get('eth_dst', 0):#x}"
    yield from _delivered(snapshot, packet, sent, receiver)


def forwarded(snapshot: Snapshot, sender: Port, packet: Packet, sent: Sent, receiver: Port) -> Iterator[str]:
    """A packet of a local port that was routed to another."""
    yield from _to_gateway(snapshot, sender, packet)
    one, other = snapshot.networks[sender.network], snapshot.networks[receiver.network]
    ends = [address_of(packet, number) for number in (source(packet), destination(packet))]
    peers = peering.allowed(snapshot, one.tenant, ends[0], other.tenant, ends[1])
    if one.tenant != other.tenant and not peers:
        yield f"{sender.name} of tenant {one.tenant} was routed to {receiver.name} of {other.tenant}"
    yield from _delivered(snapshot, packet, sent, receiver)


def tunnelled(snapshot: Snapshot, sender: Port, packet: Packet, sent: Sent) -> Iterator[str]:
    """A packet of a local port that was routed to another host."""
    yield from _to_gateway(snapshot, sender, packet)
    yield from _one_hop(packet, sent)
    tenant = snapshot.networks[sender.network].tenant
    hop = (sent.has("tun_dst") or sent.has("tun_ipv6_dst"), sent.has("eth_dst"))
    ends = [address_of(packet, number) for number in (source(packet), destination(packet))]
    if peering.may_leave(snapshot, sent.has("tun_id"), tenant, ends[0], ends[1], hop):
        if sent.has("eth_src") != own_router(snapshot):
            yield f"{sender.name} was routed under MAC {sent.has('eth_src'):#x}"
        return
    if not sent.has("tun_id") or sent.has("tun_id") != l3vni(snapshot, tenant):
        yield f"{sender.name} was routed under VNI {sent.has('tun_id')}"
    if sent.has("eth_src") != own_router(snapshot):
        yield f"{sender.name} was routed under MAC {sent.has('eth_src'):#x}"
    hop = (*hop, destination(sent.packet))
    prefix = None if hop[2] in _known(snapshot, tenant) else longest(snapshot, tenant, sent.packet)
    behind = set() if prefix is None else _prefix_hops(snapshot, tenant, prefix)
    if hop not in _hops(snapshot, tenant) and hop[:2] not in behind:
        yield f"{sender.name} was routed to {hop[2]:#x} by {hop[1]:#x} at {hop[0]:#x}, where it is not"


def _hops(snapshot: Snapshot, tenant: TenantKey) -> set[tuple[int, int, int]]:
    keys = {network.key for network in routed_networks(snapshot, tenant)}
    return {
        (int(remote.vtep), int(remote.router_mac), int(address))
        for remote in snapshot.remotes.values()
        if remote.network in keys and remote.router_mac is not None
        for address in remote.addresses
    }


def told(snapshot: Snapshot, sender: Port, packet: Packet, sent: Sent) -> Iterator[str]:
    """A packet that the agent got: as it came, from a port that wanted it routed where it cannot go."""
    yield from _to_gateway(snapshot, sender, packet)
    tenant = snapshot.networks[sender.network].tenant
    if packet.get("nw_ttl", 0) > 1 and reachable(snapshot, tenant, packet):
        yield f"a packet of {sender.name} with TTL {packet['nw_ttl']} went to the agent"
    if any(sent.has(name) != value for name, value in packet.items()):
        yield f"a packet of {sender.name} went to the agent in another form"
    marks = (sent.has(f.NETWORK.field.name), sent.has(f.SOURCE.field.name), sent.has(f.VRF.field.name))
    if marks != (sender.network, sender.key, tenant):
        yield f"a packet of {sender.name} went to the agent as one of {marks}"


def told_afar(snapshot: Snapshot, packet: Packet, sent: Sent) -> Iterator[str]:
    """The same out of the tunnel: under an L3VNI, to this router, by one who may, and used up."""
    tenant = TenantKey(sent.has(f.VRF.field.name))
    outer = packet.get("tun_src", 0) or packet.get("tun_ipv6_src", 0)
    if tenant in snapshot.peerings:
        if not peering.may_tell(snapshot, tenant, packet.get("tun_id", 0), outer):
            yield f"VNI {packet.get('tun_id', 0)} of VTEP {outer:#x} went to the agent as of a peering"
    elif (
        not tenant
        or packet.get("tun_id", 0) != l3vni(snapshot, tenant)
        or outer not in senders(snapshot, tenant)
    ):
        yield f"VNI {packet.get('tun_id', 0)} of VTEP {outer:#x} went to the agent as of tenant {tenant}"
    if packet.get("eth_dst") != own_router(snapshot) or packet.get("nw_ttl", 0) > 1 or not is_ip(packet):
        yield "a packet of the tunnel went to the agent that needs no answer"


def reachable(snapshot: Snapshot, tenant: TenantKey, packet: Packet) -> bool:
    """Whether somebody of the tenant, here or behind another router, takes the packet."""
    known, to = _known(snapshot, tenant), destination(packet)
    if to in known:
        return known[to]
    prefix = longest(snapshot, tenant, packet)
    if prefix is None:
        return False
    return bool(_takers(snapshot, tenant, prefix) or _prefix_hops(snapshot, tenant, prefix))


def _known(snapshot: Snapshot, tenant: TenantKey) -> dict[int, bool]:
    """Addresses with a host route. All are: others are no keys."""
    found = {}
    for network in routed_networks(snapshot, tenant):
        for port in snapshot.ports_of(network.key):
            if snapshot.bound_here(port.key) and port.uid in snapshot.interfaces:
                found.update({int(address): True for address in port.addresses})
    if l3vni(snapshot, tenant):
        found.update({address: True for _, _, address in _hops(snapshot, tenant)})
    return found


def longest(snapshot: Snapshot, tenant: TenantKey, packet: Packet) -> Prefix | None:
    """The static route or subnet that a packet falls under; None for a subnet, where nobody is routed to."""
    address = _address(packet, destination(packet))
    subnets = {s for network in routed_networks(snapshot, tenant) for s in network.subnets}
    statics = {r.prefix for r in snapshot.static_routes.values() if r.tenant == tenant}
    found = [p for p in subnets | statics if p.version == address.version and address in p]
    best = max(found, key=lambda p: p.prefixlen, default=None)
    return None if best in subnets else best


def _address(packet: Packet, number: int) -> Address:
    return ip_address(number.to_bytes(4 if packet.get("eth_type") == f.IPV4 else 16, "big"))


def _takers(snapshot: Snapshot, tenant: TenantKey, prefix: Prefix) -> list[Port]:
    """Local ports that are next hops of a static route."""
    hops = {
        hop
        for route in snapshot.static_routes.values()
        if route.tenant == tenant and route.prefix == prefix
        for hop in route.next_hops
    }
    here = (p for n in routed_networks(snapshot, tenant) for p in snapshot.ports_of(n.key))
    return [p for p in here if snapshot.bound_here(p.key) and not hops.isdisjoint(p.addresses)]


def _prefix_hops(snapshot: Snapshot, tenant: TenantKey, prefix: Prefix) -> set[tuple[int, int]]:
    found = snapshot.prefixes.get((tenant, prefix))
    if found is None or not l3vni(snapshot, tenant):
        return set()
    return {(int(hop.vtep), int(hop.router_mac)) for hop in found.hops}


def forwards(snapshot: Snapshot, sender: Port, packet: Packet) -> bool:
    """Whether a packet's source is behind its sender: of a prefix that is routed there."""
    tenant, address = snapshot.networks[sender.network].tenant, _address(packet, source(packet))
    routes = (r for r in snapshot.static_routes.values() if r.tenant == tenant)
    return any(
        r.prefix.version == address.version
        and address in r.prefix
        and not {*r.next_hops}.isdisjoint(sender.addresses)
        for r in routes
    )


def echoed(snapshot: Snapshot, sender: Port, packet: Packet, sent: Sent) -> Iterator[str]:
    """A gateway's answer to a ping."""
    yield from _to_gateway(snapshot, sender, packet, link=True)
    tenant = snapshot.networks[sender.network].tenant
    known = {a for network in routed_networks(snapshot, tenant) for a in gateways(network)} | {LINK}
    if source(sent.packet) != destination(packet) or source(sent.packet) not in known:
        yield f"{sender.name} got an answer of {source(sent.packet):#x}, which is no gateway"
    ends = (sent.has("eth_src"), sent.has("eth_dst"), destination(sent.packet))
    if ends != (GATEWAY_MAC, sender.mac, source(packet)):
        yield f"{sender.name} got a malformed answer"
    four = packet.get("eth_type") == f.IPV4
    name, asked, told = ("icmp_type", 8, 0) if four else ("icmpv6_type", 128, 129)
    if packet.get(name, 0) != asked or sent.has(name) != told or sent.has("nw_ttl") != 64:
        yield f"{sender.name} was answered without an echo request"


def _to_gateway(snapshot: Snapshot, sender: Port, packet: Packet, *, link: bool = False) -> Iterator[str]:
    """Only these are routed or answered at all."""
    if packet.get("eth_dst") != GATEWAY_MAC or not is_ip(packet):
        yield f"{sender.name} was routed without asking for it"
    if not snapshot.networks[sender.network].routed:
        yield f"{sender.name} was routed out of a network that is not"
    if not link and any(not _global(packet, number) for number in (source(packet), destination(packet))):
        yield f"{sender.name} was routed from {source(packet):#x} to {destination(packet):#x}"


def _global(packet: Packet, number: int) -> bool:
    width = 4 if packet.get("eth_type") == f.IPV4 else 16
    address: Address = ip_address(number.to_bytes(width, "big"))
    odd = address.is_link_local or address.is_multicast or address.is_loopback or address.is_unspecified
    return not odd


def _delivered(snapshot: Snapshot, packet: Packet, sent: Sent, receiver: Port) -> Iterator[str]:
    yield from _one_hop(packet, sent)
    if not snapshot.networks[receiver.network].routed:
        yield f"{receiver.name} was routed to in a network that is not"
    if (sent.has("eth_src"), sent.has("eth_dst")) != (GATEWAY_MAC, receiver.mac):
        yield f"{receiver.name} got a routed packet as {sent.has('eth_dst'):#x} from {sent.has('eth_src'):#x}"
    if not is_ip(packet) or not _takes(snapshot, receiver, packet):
        yield f"{receiver.name} got what was for {destination(packet):#x}"


def _takes(snapshot: Snapshot, receiver: Port, packet: Packet) -> bool:
    to, tenant = destination(packet), snapshot.networks[receiver.network].tenant
    if to in {int(a) for a in receiver.addresses}:
        return True
    prefix = None if to in _known(snapshot, tenant) else longest(snapshot, tenant, packet)
    return prefix is not None and receiver in _takers(snapshot, tenant, prefix)


def _one_hop(packet: Packet, sent: Sent) -> Iterator[str]:
    if not 1 <= sent.has("nw_ttl") == packet.get("nw_ttl", 0) - 1:
        yield f"TTL {packet.get('nw_ttl', 0)} became {sent.has('nw_ttl')}"


def impersonates(snapshot: Snapshot, network: NetworkKey, packet: Packet) -> bool:
    """Whether a frame of the tunnel speaks as the gateway, or asks for it."""
    if packet.get("eth_src") == GATEWAY_MAC:
        return True
    own, names = gateways(snapshot.networks[network]), set[str]()
    if packet.get("eth_type") == f.ARP:
        names = {"arp_spa", "arp_tpa"}
    elif packet.get("icmpv6_type") in (f.NEIGHBOR_SOLICITATION, f.NEIGHBOR_ADVERTISEMENT):
        names = {"nd_target"}
    return any(packet.get(name, 0) in own for name in names)

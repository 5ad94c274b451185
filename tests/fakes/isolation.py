"""The invariant: whatever is sent, nobody gets what is not meant for him, and everybody is who he says.

Place: judges the verdicts of a switch, knowing only the snapshot, never the flows. `violations` is empty if
all is well; each text in it names one breach.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.addresses import GATEWAY_MAC, Address, link_local
from model.ids import NetworkKey
from model.intent import Port
from model.snapshot import Snapshot
from pipelines import fields as f
from tests.fakes import routing
from tests.fakes.packets import Packet, received
from tests.fakes.switch import CONTROLLER, Sent, Verdict


def violations(snapshot: Snapshot, packet: Packet, verdict: Verdict) -> list[str]:
    """Every breach that the switch of `snapshot` committed by sending what it sent for `packet`."""
    assert snapshot.switch is not None
    seen = received(packet)
    if seen.get("in_port") == snapshot.switch.tunnel:
        return [text for sent in verdict.sent for text in _from_tunnel(snapshot, seen, sent)]
    sender = _local(snapshot, seen.get("in_port", 0))
    if sender is None:
        return [f"a port that nobody owns got through to {sent.port}" for sent in verdict.sent]
    return [text for sent in verdict.sent for text in _from_port(snapshot, sender, seen, sent)]


def _local(snapshot: Snapshot, ofport: int) -> Port | None:
    for uid, interface in snapshot.interfaces.items():
        key = snapshot.by_uid.get(uid)
        if interface.ofport == ofport and key is not None and snapshot.bound_here(key):
            return snapshot.ports[key]
    return None


def _from_tunnel(snapshot: Snapshot, packet: Packet, sent: Sent) -> Iterator[str]:
    if sent.port == CONTROLLER:
        yield from routing.told_afar(snapshot, packet, sent)
        return
    receiver = _local(snapshot, sent.port)
    if receiver is None:
        yield f"a frame of the tunnel left through {sent.port}, which is no local port"
        return
    if packet.get("vlan_tci"):
        yield f"a tagged frame reached {receiver.name}"
    network = snapshot.networks[receiver.network]
    if sent.has("eth_src") == GATEWAY_MAC and packet.get("tun_id", 0) != network.vni:
        yield from routing.arrived(snapshot, packet, sent, receiver)
        return
    if routing.impersonates(snapshot, receiver.network, packet):
        yield f"a frame that speaks as the gateway, or asks for it, reached {receiver.name}"
    if packet.get("tun_id", 0) != network.vni:
        yield f"VNI {packet.get('tun_id', 0)} reached {receiver.name} of VNI {network.vni}"
    source = packet.get("tun_src", 0) or packet.get("tun_ipv6_src", 0)
    if source not in {int(vtep) for vtep in _senders(snapshot, receiver.network)}:
        yield f"VTEP {source:#x} has no right to send to {receiver.name}"


def _senders(snapshot: Snapshot, network: NetworkKey) -> Iterator[Address]:
    for port in snapshot.ports_of(network):
        for host in port.hosts:
            known = snapshot.hypervisors.get(host)
            if known is not None and host != snapshot.host:
                yield known.vtep


def _from_port(snapshot: Snapshot, sender: Port, packet: Packet, sent: Sent) -> Iterator[str]:
    assert snapshot.switch is not None
    if packet.get("vlan_tci"):
        yield f"a tagged frame of {sender.name} got through"
    if sent.port == packet["in_port"]:
        if sent.has("icmp_type") or sent.has("icmpv6_type") == f.ECHO_REPLY6 or sent.has("ip_src"):
            yield from _honest(snapshot, sender, Sent(0, packet))
            yield from routing.echoed(snapshot, sender, packet, sent)
        else:
            yield from _answer(snapshot, sender, sent)
        return
    if is_question(snapshot, sender, packet):
        yield from _asked(sender, packet, sent)
        return
    if sent.port == CONTROLLER:
        yield from _honest(snapshot, sender, sent)
        yield from routing.told(snapshot, sender, packet, sent)
        return
    routed = packet.get("eth_dst") == GATEWAY_MAC
    # a routed packet has its router's MAC as its source; all else must still be the sender's
    yield from _honest(
        snapshot, sender, Sent(0, sent.packet | {"eth_src": packet["eth_src"]}) if routed else sent
    )
    if sent.port == snapshot.switch.tunnel:
        judge = routing.tunnelled(snapshot, sender, packet, sent) if routed else None
        yield from _encapsulated(snapshot, sender, sent) if judge is None else judge
        return
    receiver = _local(snapshot, sent.port)
    if receiver is None:
        yield f"a frame of {sender.name} left through {sent.port}, which is nobody's"
    elif routed:
        yield from routing.forwarded(snapshot, sender, packet, sent, receiver)
    elif receiver.network != sender.network:
        yield f"{sender.name} of network {sender.network} reached {receiver.name} of {receiver.network}"


def is_question(snapshot: Snapshot, sender: Port, packet: Packet) -> bool:
    """Whether it is the agent's to answer: DHCP, or a router solicitation, in a network that answers."""
    network = snapshot.networks[sender.network]
    ports = packet.get("udp_src", 0), packet.get("udp_dst", 0)
    families = {subnet.version for subnet in network.subnets if network.guidance.answers}
    match packet.get("eth_type"), packet.get("ip_proto"):
        case f.IPV4, f.UDP:
            return 4 in families and ports == (68, 67)
        case f.IPV6, f.UDP:
            return 6 in families and ports == (546, 547)
        case f.IPV6, f.ICMPV6:
            return 6 in families and packet.get("icmpv6_type") == f.ROUTER_SOLICITATION
    return False


def _asked(sender: Port, packet: Packet, sent: Sent) -> Iterator[str]:
    """It goes to the agent as it came, and to nobody else."""
    if sent.port != CONTROLLER:
        yield f"a question of {sender.name} got through to {sent.port}"
    if packet["eth_src"] != sender.mac:
        yield f"a question of {packet['eth_src']:#x} went to the agent as one of {sender.name}"
    if any(sent.has(name) != value for name, value in packet.items()):
        yield f"a question of {sender.name} went to the agent in another form"
    if (sent.has(f.NETWORK.field.name), sent.has(f.SOURCE.field.name)) != (sender.network, sender.key):
        yield f"a question of {sender.name} went to the agent as another's"


def _encapsulated(snapshot: Snapshot, sender: Port, sent: Sent) -> Iterator[str]:
    network = snapshot.networks[sender.network]
    if sent.has("tun_id") != network.vni:
        yield f"a frame of {sender.name} left with VNI {sent.has('tun_id')}, not {network.vni}"
    target = sent.has("tun_dst") or sent.has("tun_ipv6_dst")
    known = {int(r.vtep) for r in snapshot.remotes.values() if r.network == network.key}
    known |= {int(flood.vtep) for flood in snapshot.floods.values() if flood.network == network.key}
    if target not in known:
        yield f"a frame of {sender.name} went to VTEP {target:#x}, which has nothing of its network"


def _owns(port: Port) -> set[int]:
    own = {int(address) for address in port.addresses}
    return own | {int(link_local(port.mac))} if any(a.version == 6 for a in port.addresses) else own


def _honest(snapshot: Snapshot, sender: Port, sent: Sent) -> Iterator[str]:
    if sent.has("eth_src") != sender.mac:
        yield f"{sender.name} spoke with MAC {sent.has('eth_src'):#x}"
    kind, own = sent.has("eth_type"), _owns(sender)
    if kind == f.ARP:
        if sent.has("arp_sha") != sender.mac or sent.has("arp_spa") not in own:
            yield f"{sender.name} claimed {sent.has('arp_spa'):#x} in ARP"
    elif kind == f.IPV4:
        if sent.has("ip_src") not in own and not routing.forwards(snapshot, sender, sent.packet):
            yield f"{sender.name} spoke as {sent.has('ip_src'):#x}"
        if sent.has("ip_proto") == f.UDP and (sent.has("udp_src") == 67 or sent.has("udp_dst") == 68):
            yield f"{sender.name} served DHCP"
    elif kind == f.IPV6:
        yield from _honest6(snapshot, sender, sent, own)
    else:
        yield f"{sender.name} sent EtherType {kind:#x}"


def _honest6(snapshot: Snapshot, sender: Port, sent: Sent, own: set[int]) -> Iterator[str]:
    if sent.has("ipv6_src") not in own and not routing.forwards(snapshot, sender, sent.packet):
        yield f"{sender.name} spoke as {sent.has('ipv6_src'):#x}"
    if sent.has("ip_proto") != f.ICMPV6:
        return
    kind = sent.has("icmpv6_type")
    if kind in (f.ROUTER_SOLICITATION, f.ROUTER_ADVERTISEMENT, f.REDIRECT):
        yield f"{sender.name} sent router discovery type {kind}"
    if kind in (f.NEIGHBOR_SOLICITATION, f.NEIGHBOR_ADVERTISEMENT):
        if sent.has("nw_ttl") != f.HOP_LIMIT:
            yield f"{sender.name} sent discovery with hop limit {sent.has('nw_ttl')}"
        if sent.has("nd_sll") not in (0, sender.mac) and kind == f.NEIGHBOR_SOLICITATION:
            yield f"{sender.name} gave MAC {sent.has('nd_sll'):#x} as its own"
    lies = sent.has("nd_target") not in own or sent.has("nd_tll") not in (0, sender.mac)
    if kind == f.NEIGHBOR_ADVERTISEMENT and lies:
        yield f"{sender.name} advertised {sent.has('nd_target'):#x} at {sent.has('nd_tll'):#x}"


def _answer(snapshot: Snapshot, sender: Port, sent: Sent) -> Iterator[str]:
    """What a port is told must be true, and about somebody else of its own network."""
    if sent.has("eth_type") == f.ARP:
        told = (sent.has("arp_spa"), sent.has("arp_sha"))
        shape_ok = sent.has("arp_op") == f.ARP_REPLY and sent.has("arp_tha") == sent.has("eth_dst")
    else:
        told = (sent.has("nd_target"), sent.has("nd_tll"))
        shape_ok = sent.has("icmpv6_type") == f.NEIGHBOR_ADVERTISEMENT and told[0] == sent.has("ipv6_src")
    if not shape_ok or sent.has("eth_src") != told[1]:
        yield f"{sender.name} got a malformed answer"
    if told not in _truth(snapshot, sender.network):
        yield f"{sender.name} was told that {told[0]:#x} is at {told[1]:#x}"
    if told[0] in _owns(sender):
        yield f"{sender.name} was told of its own address"


def _truth(snapshot: Snapshot, network: NetworkKey) -> set[tuple[int, int]]:
    pairs = {(address, int(port.mac)) for port in snapshot.ports_of(network) for address in _owns(port)}
    for remote in snapshot.remotes.values():
        if remote.network == network:
            pairs |= {(int(address), int(remote.mac)) for address in remote.addresses}
            pairs.add((int(link_local(remote.mac)), int(remote.mac)))
    taken = {address for address, _ in pairs}
    pairs |= {(a, int(GATEWAY_MAC)) for a in routing.gateways(snapshot.networks[network]) - taken}
    return pairs

"""Packets as dicts of OVS field names to integers.

Place: fed to the fake switch and, as text (`controller.southbound.tracing`), to a real one, so that both can
be asked the same question. A field that is absent is 0, as OVS sees a field that a packet does not have.
Must not know flows.
"""

from __future__ import annotations

from pipelines import fields as f

Packet = dict[str, int]

_LAYER4 = (
    "udp_src",
    "udp_dst",
    "tcp_src",
    "tcp_dst",
    "sctp_src",
    "sctp_dst",
    "icmp_type",
    "icmp_code",
    "icmpv6_type",
    "icmpv6_code",
    "nd_target",
    "nd_sll",
    "nd_tll",
)


def arp(op: int, sha: int, spa: int, tpa: int, *, tha: int = 0, dst: int = (1 << 48) - 1) -> Packet:
    """An ARP message whose Ethernet source is its sender."""
    return {
        "eth_src": sha,
        "eth_dst": dst,
        "eth_type": f.ARP,
        "arp_op": op,
        "arp_sha": sha,
        "arp_spa": spa,
        "arp_tha": tha,
        "arp_tpa": tpa,
    }


def ipv4(src_mac: int, dst_mac: int, src: int, dst: int, *, proto: int = 6) -> Packet:
    """An IPv4 packet without ports."""
    return {
        "eth_src": src_mac,
        "eth_dst": dst_mac,
        "eth_type": f.IPV4,
        "ip_src": src,
        "ip_dst": dst,
        "ip_proto": proto,
        "nw_ttl": 64,
    }


def ipv6(src_mac: int, dst_mac: int, src: int, dst: int, *, proto: int = 6, ttl: int = 64) -> Packet:
    """An IPv6 packet without ports."""
    return {
        "eth_src": src_mac,
        "eth_dst": dst_mac,
        "eth_type": f.IPV6,
        "ipv6_src": src,
        "ipv6_dst": dst,
        "ip_proto": proto,
        "nw_ttl": ttl,
    }


def udp(packet: Packet, src: int, dst: int) -> Packet:
    """The packet as UDP with ports."""
    return packet | {"ip_proto": f.UDP, "udp_src": src, "udp_dst": dst}


def echo(packet: Packet) -> Packet:
    """The packet as an ICMP or ICMPv6 echo request."""
    if packet["eth_type"] == f.IPV4:
        return packet | {"ip_proto": f.ICMP, "icmp_type": f.ECHO_REQUEST}
    return packet | {"ip_proto": f.ICMPV6, "icmpv6_type": f.ECHO_REQUEST6}


def solicitation(src_mac: int, src: int, target: int, *, option: int | None = None) -> Packet:
    """A multicast neighbour solicitation; `option`: source link-layer address, its own unless given."""
    low = target & 0xFFFFFF
    group, mac = (0xFF02 << 112) | (0x1FF << 24) | low, 0x3333FF000000 | low
    sll = src_mac if option is None else option
    return ipv6(src_mac, mac, src, group, proto=f.ICMPV6, ttl=f.HOP_LIMIT) | {
        "icmpv6_type": f.NEIGHBOR_SOLICITATION,
        "nd_target": target,
        "nd_sll": sll,
    }


def advertisement(
    src_mac: int, dst_mac: int, src: int, dst: int, target: int, *, option: int | None = None
) -> Packet:
    """A neighbour advertisement; `option`: target link-layer address, its own unless given."""
    tll = src_mac if option is None else option
    return ipv6(src_mac, dst_mac, src, dst, proto=f.ICMPV6, ttl=f.HOP_LIMIT) | {
        "icmpv6_type": f.NEIGHBOR_ADVERTISEMENT,
        "nd_target": target,
        "nd_tll": tll,
    }


def received(packet: Packet) -> Packet:
    """The packet as OVS looks at it: a fragment has no ports and no types, a register is 0 at first."""
    hidden = _LAYER4 if packet.get("ip_frag", 0) & f.ANY_FRAGMENT else ()
    registers = {register.field.name for register in f.REGISTERS}
    return {k: v for k, v in packet.items() if v and k not in hidden and k not in registers}

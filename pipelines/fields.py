"""The packet fields and registers that flows may use.

Place: named by tables and shapes, read by check, render and the documents. Names are those of ovs-fields(7).
One register has one meaning and is written whole. Must not hold flows or table order; what must be matched
before a field stands in `pipelines.needs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.flow import Field

IN_PORT: Final = Field("in_port", 32)
TUN_ID: Final = Field("tun_id", 64)
TUN_SRC: Final = Field("tun_src", 32)
TUN_DST: Final = Field("tun_dst", 32)
TUN_IPV6_SRC: Final = Field("tun_ipv6_src", 128)
TUN_IPV6_DST: Final = Field("tun_ipv6_dst", 128)

ETH_SRC: Final = Field("eth_src", 48)
ETH_DST: Final = Field("eth_dst", 48)
ETH_TYPE: Final = Field("eth_type", 16)
VLAN_TCI: Final = Field("vlan_tci", 16)

ARP_OP: Final = Field("arp_op", 16)
ARP_SPA: Final = Field("arp_spa", 32)
ARP_TPA: Final = Field("arp_tpa", 32)
ARP_SHA: Final = Field("arp_sha", 48)
ARP_THA: Final = Field("arp_tha", 48)

IP_SRC: Final = Field("ip_src", 32)
IP_DST: Final = Field("ip_dst", 32)
IPV6_SRC: Final = Field("ipv6_src", 128)
IPV6_DST: Final = Field("ipv6_dst", 128)
IP_PROTO: Final = Field("ip_proto", 8)
IP_FRAG: Final = Field("ip_frag", 8)
NW_TTL: Final = Field("nw_ttl", 8)
IP_DSCP: Final = Field("ip_dscp", 6)
UDP_SRC: Final = Field("udp_src", 16)
UDP_DST: Final = Field("udp_dst", 16)
TCP_SRC: Final = Field("tcp_src", 16)
TCP_DST: Final = Field("tcp_dst", 16)
SCTP_SRC: Final = Field("sctp_src", 16)
SCTP_DST: Final = Field("sctp_dst", 16)

ICMP_TYPE: Final = Field("icmp_type", 8)
ICMP_CODE: Final = Field("icmp_code", 8)
ICMPV6_TYPE: Final = Field("icmpv6_type", 8)
ICMPV6_CODE: Final = Field("icmpv6_code", 8)
ND_TARGET: Final = Field("nd_target", 128)
ND_SLL: Final = Field("nd_sll", 48)
ND_TLL: Final = Field("nd_tll", 48)
ND_RESERVED: Final = Field("nd_reserved", 32)
ND_OPTIONS_TYPE: Final = Field("nd_options_type", 8)

CT_STATE: Final = Field("ct_state", 32)
CT_ZONE: Final = Field("ct_zone", 16)
CT_LABEL: Final = Field("ct_label", 128)
LABEL_DECIDED: Final = Field("ct_label", 32, 0)
LABEL_EPOCH: Final = Field("ct_label", 32, 32)
LABEL_NOTED: Final = Field("ct_label", 32, 64)
"""What policy writes into the label of a connection: the rule that let it in, what judged it then, and the
counting rule that would not have (docs/decisions/0058)."""

CT_SRC: Final = Field("ct_nw_src", 32)
CT_DST: Final = Field("ct_nw_dst", 32)
CT_SRC6: Final = Field("ct_ipv6_src", 128)
CT_DST6: Final = Field("ct_ipv6_dst", 128)
CT_PROTO: Final = Field("ct_nw_proto", 8)
CT_SPORT: Final = Field("ct_tp_src", 16)
CT_DPORT: Final = Field("ct_tp_dst", 16)
"""How a connection's first packet began it, also on replies and on errors about it. Of ICMP the ports are the
type and the code; of SCTP the userspace data path knows none."""

CONJ_ID: Final = Field("conj_id", 32)
"""The number of the conjunction whose clauses are all met."""

CT_NEW: Final = 0x01
CT_ESTABLISHED: Final = 0x02
CT_RELATED: Final = 0x04
CT_REPLY: Final = 0x08
CT_INVALID: Final = 0x10
CT_TRACKED: Final = 0x20
CT_FLAGS: Final = (
    (CT_NEW, "new"),
    (CT_ESTABLISHED, "est"),
    (CT_RELATED, "rel"),
    (CT_REPLY, "rpl"),
    (CT_INVALID, "inv"),
    (CT_TRACKED, "trk"),
)
"""The bits of `ct_state` with their names in ovs-fields(7)."""

IPV4: Final = 0x0800
ARP: Final = 0x0806
RARP: Final = 0x8035
IPV6: Final = 0x86DD
ICMP: Final = 1
UDP: Final = 17
ICMPV6: Final = 58
TCP: Final = 6
SCTP: Final = 132
ARP_REQUEST: Final = 1
ARP_REPLY: Final = 2
ECHO_REQUEST: Final = 8
ECHO_REPLY: Final = 0
ECHO_REQUEST6: Final = 128
ECHO_REPLY6: Final = 129
ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
REDIRECT: Final = 137
NEIGHBOURLY: Final = (130, 131, 132, 143, *range(ROUTER_SOLICITATION, REDIRECT + 1))
"""Multicast listener discovery (RFC 2710, RFC 3810) and neighbour discovery: conntrack calls them invalid."""
VRRP_GROUPS: Final = (0x01005E000012, 0x333300000012)
"""Where virtual routers talk to each other: 224.0.0.18, ff02::12 (RFC 5798 section 5.1) as MAC addresses."""
HOP_LIMIT: Final = 255
"""The only hop limit of a valid neighbour discovery message (RFC 4861 section 7.1)."""
GROUP: Final = 1 << 40
"""The I/G bit of a MAC address: set in broadcast and multicast addresses (IEEE 802)."""
ANY_FRAGMENT: Final = 1
"""The bit of `ip_frag` that first and later fragments have in common,"""
LATER_FRAGMENT: Final = 2
"""and the one that only later ones have."""


@dataclass(frozen=True, slots=True)
class Register:
    """A register with one meaning: of 32 bits, or `metadata` with 64, which stays with a packet just as long.
    Written at the earliest in table `start`, last read in `end`."""

    field: Field
    name: str
    meaning: str
    start: str
    end: str


NETWORK: Final = Register(
    Field("reg0", 32), "network", "key of the network that the frame belongs to", "classify", "delivery"
)
SOURCE: Final = Register(
    Field("reg1", 32), "source", "key of the local port that sent the frame", "classify", "aliased"
)
EXIT: Final = Register(
    Field("reg2", 32), "exit", "OpenFlow port through which a unicast frame leaves", "route", "settle"
)
CLASS: Final = Register(
    Field("reg3", 32),
    "class",
    "egress class of the destination; of what came from outside then that of the source",
    "class",
    "received",
)

VRF: Final = Register(
    Field("reg4", 32),
    "vrf",
    "key of the tenant whose routed networks the frame may go to, 0 = none",
    "classify",
    "spread",
)

NOTICE: Final = Register(
    Field("reg7", 32),
    "notice",
    "value on its way into a field of an advertisement that may only be moved, not set",
    "services",
    "advertise",
)
SLOT: Final = Register(
    Field("reg5", 32), "slot", "which of the equally good next hops the packet takes", "route", "spread"
)

EXTERNAL: Final = Register(
    Field("reg8", 32),
    "external",
    "key of the external network that the packet leads into, or has come back from, 0 = none",
    "returned",
    "output",
)

LARGER: Final = Register(
    Field("reg6", 32), "larger", "1 = the packet is larger than the MTU of its way", "size", "oversize"
)

OUTSIDE: Final = Register(
    Field("reg9", 32), "outside", "1 = the packet came from outside the cluster", "classify", "origin"
)

RECEIVER: Final = Register(
    Field("reg10", 32), "receiver", "key of the local port that gets the packet", "output", "received"
)

SUBJECT: Final = Register(
    Field("reg11", 32),
    "subject",
    "key of the local port whose policy judges the packet",
    "watch",
    "entered_whole",
)
ALIKE: Final = Register(
    Field("metadata", 64),
    "group",
    "name of the group of the subject: of all local ports that the same rules judge",
    "leaving",
    "settle",
)
SCOPE: Final = Register(
    Field("reg12", 32),
    "scope",
    "key of the VRF, unrouted network or peering in which the address of the other end is meant, 0 = none",
    "classify",
    "in_real_last",
)
NOTED: Final = Register(
    Field("reg13", 32),
    "noted",
    "number of the counting rule that would have dropped the packet, 0 = none",
    "leaving",
    "settle",
)
DECIDED: Final = Register(
    Field("reg14", 32), "decided", "number of the rule that let the packet through", "leaving", "settle"
)
DOMAIN: Final = Register(
    Field("reg15", 32), "domain", "key of the tenant of the subject", "watch", "in_real_last"
)

REGISTERS: Final = (
    NETWORK,
    SOURCE,
    EXIT,
    CLASS,
    VRF,
    SLOT,
    LARGER,
    NOTICE,
    EXTERNAL,
    OUTSIDE,
    RECEIVER,
    SUBJECT,
    ALIKE,
    SCOPE,
    NOTED,
    DECIDED,
    DOMAIN,
)

FIELDS: Final = (
    IN_PORT,
    TUN_ID,
    TUN_SRC,
    TUN_DST,
    TUN_IPV6_SRC,
    TUN_IPV6_DST,
    *(r.field for r in REGISTERS),
    ETH_SRC,
    ETH_DST,
    ETH_TYPE,
    VLAN_TCI,
    ARP_OP,
    ARP_SPA,
    ARP_TPA,
    ARP_SHA,
    ARP_THA,
    IP_SRC,
    IP_DST,
    IPV6_SRC,
    IPV6_DST,
    IP_PROTO,
    IP_FRAG,
    NW_TTL,
    IP_DSCP,
    UDP_SRC,
    UDP_DST,
    TCP_SRC,
    TCP_DST,
    SCTP_SRC,
    SCTP_DST,
    ICMP_TYPE,
    ICMP_CODE,
    ICMPV6_TYPE,
    ICMPV6_CODE,
    ND_TARGET,
    ND_SLL,
    ND_TLL,
    ND_RESERVED,
    ND_OPTIONS_TYPE,
    CT_STATE,
    CT_ZONE,
    CT_LABEL,
    CT_SRC,
    CT_DST,
    CT_SRC6,
    CT_DST6,
    CT_PROTO,
    CT_SPORT,
    CT_DPORT,
    CONJ_ID,
)
PARTS: Final = (LABEL_DECIDED, LABEL_EPOCH, LABEL_NOTED)

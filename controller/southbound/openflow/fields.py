"""The OVS fields that flows may use: their OXM/NXM numbers, widths and place in OVS's own order.

Place: read by `reference` (which asks os-ken to serialise) and by `text`. Must not serialise.
Sources: ovs-fields(7) for names, classes and numbers; OpenFlow 1.4.1 section 7.2.3.7 for OXM;
Open vSwitch `nx_put_raw` for the order in which a dump lists them (held by tests/contract).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.errors import Fault, Invalid

NXM_OF: Final = 0x0000
NXM_NX: Final = 0x0001
ERICOXM_OF: Final = 0x1000
OXM_OF: Final = 0x8000


@dataclass(frozen=True, slots=True)
class WireField:
    """A field on the wire. `octets`: length of its value in match and set_field.

    `known`: the key under which os-ken knows the OXM that OVS dumps, empty if os-ken lacks it.
    `moved`: os-ken's key for the header that OVS dumps in a move: NXM where there is one, else OXM.
    """

    name: str
    oxm_class: int
    number: int
    octets: int
    known: str
    moved: str

    @property
    def type(self) -> int:
        """OXM type: class and field number, without mask bit and length (OpenFlow 1.4.1, 7.2.3.2)."""
        return self.oxm_class << 7 | self.number


def _oxm(name: str, number: int, octets: int, known: str = "", moved: str = "") -> WireField:
    key = known or name
    return WireField(name, OXM_OF, number, octets, key, moved or key)


def _nxm(name: str, number: int, octets: int, known: str = "") -> WireField:
    key = known or name
    return WireField(name, NXM_NX, number, octets, key, key)


def _lacking(name: str, number: int, octets: int) -> WireField:
    """One that os-ken does not know."""
    return WireField(name, NXM_NX, number, octets, "", "")


IN_PORT: Final = _oxm("in_port", 0, 4, moved="in_port_nxm")

MATCH_ORDER: Final[tuple[WireField, ...]] = (
    _nxm("conj_id", 37, 4),
    IN_PORT,
    _oxm("eth_src", 4, 6, moved="eth_src_nxm"),
    _oxm("eth_dst", 3, 6, moved="eth_dst_nxm"),
    _oxm("eth_type", 5, 2, moved="eth_type_nxm"),
    _oxm("vlan_vid", 6, 2),
    _oxm("vlan_pcp", 7, 1),
    _oxm("ip_src", 11, 4, "ipv4_src", "ipv4_src_nxm"),
    _oxm("ip_dst", 12, 4, "ipv4_dst", "ipv4_dst_nxm"),
    _oxm("ipv6_src", 26, 16, moved="ipv6_src_nxm"),
    _oxm("ipv6_dst", 27, 16, moved="ipv6_dst_nxm"),
    _nxm("ip_frag", 26, 1),
    _oxm("ip_dscp", 8, 1),
    _oxm("nw_ecn", 9, 1, "ip_ecn", "ip_ecn_nxm"),
    _nxm("nw_ttl", 29, 1),
    _oxm("nw_proto", 10, 1, "ip_proto", "ip_proto_nxm"),
    _oxm("tcp_src", 13, 2, moved="tcp_src_nxm"),
    _oxm("tcp_dst", 14, 2, moved="tcp_dst_nxm"),
    _oxm("udp_src", 15, 2, moved="udp_src_nxm"),
    _oxm("udp_dst", 16, 2, moved="udp_dst_nxm"),
    _oxm("sctp_src", 17, 2),
    _oxm("sctp_dst", 18, 2),
    _oxm("icmp_type", 19, 1, "icmpv4_type", "icmpv4_type_nxm"),
    _oxm("icmp_code", 20, 1, "icmpv4_code", "icmpv4_code_nxm"),
    _oxm("icmpv6_type", 29, 1, moved="icmpv6_type_nxm"),
    _oxm("icmpv6_code", 30, 1, moved="icmpv6_code_nxm"),
    _oxm("ipv6_label", 28, 4, "ipv6_flabel", "ipv6_label"),
    _oxm("nd_target", 31, 16, "ipv6_nd_target", "nd_target"),
    WireField("nd_reserved", ERICOXM_OF, 1, 4, "", ""),
    WireField("nd_options_type", ERICOXM_OF, 2, 1, "", ""),
    _oxm("nd_sll", 32, 6, "ipv6_nd_sll", "nd_sll"),
    _oxm("nd_tll", 33, 6, "ipv6_nd_tll", "nd_tll"),
    _oxm("arp_op", 21, 2, moved="arp_op_nxm"),
    _oxm("arp_spa", 22, 4, moved="arp_spa_nxm"),
    _oxm("arp_tpa", 23, 4, moved="arp_tpa_nxm"),
    _oxm("arp_sha", 24, 6, moved="arp_sha_nxm"),
    _oxm("arp_tha", 25, 6, moved="arp_tha_nxm"),
    _oxm("tun_id", 38, 8, "tunnel_id", "tunnel_id_nxm"),
    _nxm("tun_flags", 104, 2),
    _nxm("tun_src", 31, 4, "tun_ipv4_src"),
    _nxm("tun_dst", 32, 4, "tun_ipv4_dst"),
    _nxm("tun_ipv6_src", 109, 16),
    _nxm("tun_ipv6_dst", 110, 16),
    _nxm("tun_gbp_id", 38, 2),
    _nxm("tun_gbp_flags", 39, 1),
    *(_nxm(f"reg{i}", i, 4) for i in range(16)),
    _nxm("pkt_mark", 33, 4),
    _nxm("ct_state", 105, 4),
    _nxm("ct_zone", 106, 2),
    _nxm("ct_mark", 107, 4),
    _nxm("ct_label", 108, 16),
    _lacking("ct_nw_src", 120, 4),
    _lacking("ct_ipv6_src", 122, 16),
    _lacking("ct_nw_dst", 121, 4),
    _lacking("ct_ipv6_dst", 123, 16),
    _lacking("ct_nw_proto", 119, 1),
    _lacking("ct_tp_src", 124, 2),
    _lacking("ct_tp_dst", 125, 2),
    _oxm("metadata", 2, 8),
)
"""Every field that a match may hold, in the order of OVS's dumps."""

ACTION_ONLY: Final[tuple[WireField, ...]] = tuple(_nxm(f"xxreg{i}", 111 + i, 16) for i in range(4))
"""Fields that OVS takes apart in a match, so that what it dumps is not what was sent: for actions alone."""

ALIASES: Final[tuple[tuple[str, str], ...]] = (
    ("tunnel_id", "tun_id"),
    ("tun_ipv4_src", "tun_src"),
    ("tun_ipv4_dst", "tun_dst"),
    ("dl_src", "eth_src"),
    ("dl_dst", "eth_dst"),
    ("dl_type", "eth_type"),
    ("nw_src", "ip_src"),
    ("nw_dst", "ip_dst"),
    ("ipv4_src", "ip_src"),
    ("ipv4_dst", "ip_dst"),
    ("ip_proto", "nw_proto"),
    ("nw_frag", "ip_frag"),
    ("ip_ecn", "nw_ecn"),
    ("vlan_tci", "vlan_vid"),
    ("icmpv4_type", "icmp_type"),
    ("icmpv4_code", "icmp_code"),
)
"""Other names that ovs-fields(7) gives to the same fields.

`vlan_tci` stands here for one use: in OpenFlow 1.2+ OVS dumps `vlan_tci=0` (no tag) as OXM vlan_vid=0.
"""

_BY_NAME: Final = {f.name: f for f in (*MATCH_ORDER, *ACTION_ONLY)}
_CANONICAL: Final = dict(ALIASES)
_RANK: Final = {f.name: rank for rank, f in enumerate(MATCH_ORDER)}


def find(name: str) -> WireField:
    """The wire form of a field by any of its names."""
    found = _BY_NAME.get(_CANONICAL.get(name, name))
    if found is None:
        raise Invalid(
            Fault(
                f"field {name}",
                "unknown-openflow-field",
                "this field has no wire form here",
                "use a field of controller.southbound.openflow.fields, or add it there with its number",
            )
        )
    return found


def rank(name: str) -> int:
    """Where OVS lists this field in a match."""
    field = find(name)
    if field.name not in _RANK:
        raise Invalid(
            Fault(
                f"field {name}",
                "field-not-matchable",
                "Open vSwitch rewrites this field in a match, so that read-back differs",
                "match the 32-bit registers that it consists of",
            )
        )
    return _RANK[field.name]

"""The codec against bytes written by hand from the RFCs, and what it refuses."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from bgp.codec import attributes, communities, nlri, update
from bgp.codec.malformed import Malformed
from model.ids import Mac, Vni
from model.route import (
    Attributes,
    DiscoveryRoute,
    Distinguisher,
    MacRoute,
    MulticastRoute,
    OpaqueRoute,
    PrefixRoute,
    Route,
    SegmentLabel,
    SegmentRoute,
    Tunnel,
)
from model.targets import parse_target

PLAIN = bytes.fromhex("40010100400200")
"""ORIGIN and AS_PATH: what no UPDATE may lack."""
RD = bytes.fromhex("00010a6300010007")
ESI = bytes(range(10))
MAC = Mac(0x020000000001)
V4, V6 = ip_address("10.0.0.1"), ip_address("fd00::1")

NLRIS = (
    # type, length, RD, ESI, tag, 48, MAC, 0, VNI 10100 = 0x002774
    (
        MacRoute(RD, MAC, None, Vni(10100)),
        "0221" + RD.hex() + "00" * 14 + "30" + "020000000001" + "00" + "002774",
    ),
    (
        MacRoute(RD, MAC, V4, Vni(10100), Vni(50001)),
        "0228" + RD.hex() + "00" * 14 + "30" + "020000000001" + "20" + "0a000001" + "002774" + "00c351",
    ),
    (
        MacRoute(RD, MAC, V6, Vni(10100), None, 5, ESI),
        "0231"
        + RD.hex()
        + ESI.hex()
        + "00000005"
        + "30"
        + "020000000001"
        + "80"
        + V6.packed.hex()
        + "002774",
    ),
    (MulticastRoute(RD, V4), "0311" + RD.hex() + "00000000" + "20" + "0a000001"),
    (MulticastRoute(RD, V6), "031d" + RD.hex() + "00000000" + "80" + V6.packed.hex()),
    (DiscoveryRoute(RD, ESI, 0xFFFFFFFF, 0), "0119" + RD.hex() + ESI.hex() + "ffffffff" + "000000"),
    (SegmentRoute(RD, ESI, V4), "0417" + RD.hex() + ESI.hex() + "20" + "0a000001"),
    (
        PrefixRoute(RD, ip_network("172.16.0.0/16"), 50001),
        "0522" + RD.hex() + "00" * 14 + "10" + "ac100000" + "00000000" + "00c351",
    ),
    (
        PrefixRoute(RD, ip_network("2001:db8:f::/48"), 50001, V6),
        "053a" + RD.hex() + "00" * 14 + "30" + "20010db8000f" + "00" * 10 + V6.packed.hex() + "00c351",
    ),
    (OpaqueRoute(9, bytes.fromhex("0902abcd")), "0902abcd"),
)


@pytest.mark.parametrize(("route", "text"), NLRIS)
def test_nlri_is_as_the_rfcs_draw_it(route, text):
    assert nlri.encode(route).hex() == text
    assert nlri.decode(bytes.fromhex(text)) == route


def test_nlri_key_leaves_out_segment_and_labels():
    plain = MacRoute(RD, MAC, V4, Vni(10100))
    other = MacRoute(RD, MAC, V4, Vni(9), Vni(8), 0, ESI)
    assert nlri.key(nlri.encode(plain)) == nlri.key(nlri.encode(other))
    keys = {nlri.key(nlri.encode(route)) for route, _ in NLRIS}
    assert len(keys) == len(NLRIS)


def test_prefix_key_leaves_out_gateway():
    prefix = ip_network("2001:db8:f::/48")
    keys = {nlri.key(nlri.encode(PrefixRoute(RD, prefix, vni, gw))) for vni, gw in ((1, None), (2, V6))}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("02", "nlri-length"),
        ("0201ff", "nlri-length"),
        ("0221" + RD.hex() + "00" * 14 + "18" + "020000000001" + "00" + "002774", "mac-length"),
        ("0221" + RD.hex() + "00" * 14 + "30" + "020000000001" + "18" + "002774", "address-length"),
        ("0221" + RD.hex() + "00" * 14 + "30" + "020000000001" + "20" + "002774", "nlri-length"),
        ("0222" + RD.hex() + "00" * 14 + "30" + "020000000001" + "00" + "00277400", "nlri-length"),
        ("0311" + RD.hex() + "00000000" + "80" + "0a000001", "address-length"),
        ("0310" + RD.hex() + "00000000" + "20" + "0a0000", "nlri-length"),
        ("0417" + RD.hex() + ESI.hex() + "21" + "0a000001", "address-length"),
        ("0118" + RD.hex() + ESI.hex() + "ffffffff" + "0000", "nlri-length"),
        ("0522" + RD.hex() + "00" * 14 + "21" + "ac100000" + "00000000" + "00c351", "prefix-length"),
        ("0522" + RD.hex() + "00" * 14 + "08" + "ac100000" + "00000000" + "00c351", "prefix-host-bits"),
        ("0521" + RD.hex() + "00" * 14 + "10" + "ac100000" + "00000000" + "00c3", "nlri-length"),
    ],
)
def test_malformed_nlri_is_refused_by_rule(text, rule):
    with pytest.raises(Malformed) as caught:
        nlri.decode(bytes.fromhex(text))
    assert caught.value.rule == rule


def test_attributes_are_as_the_rfcs_draw_them():
    values = Attributes(
        next_hop=V4,
        route_targets=(communities.route_target(65000, Vni(10100)),),
        sequence=5,
        sticky=True,
        router_mac=MAC,
        default_gateway=True,
        pmsi_vni=Vni(10100),
        pmsi_endpoint=V4,
        encapsulations=(communities.VXLAN,),
    )
    raw = attributes.encode(values)
    assert raw.hex() == (
        "40010100"  # ORIGIN IGP
        "400200"  # AS_PATH empty
        "40050400000064"  # LOCAL_PREF 100
        "c01028"  # extended communities, 40 octets
        "0002fde800002774"  # route target 65000:10100
        "030c000000000008"  # encapsulation VXLAN
        "030d000000000000"  # default gateway
        "0600010000000005"  # mobility, sticky, sequence 5
        "0603020000000001"  # router MAC
        "c0160900060027740a000001"  # PMSI: ingress replication, VNI 10100, 10.0.0.1
    )
    assert attributes.decode(attributes.split(raw), V4) == values


def test_segments_neighbors_and_communities_are_as_the_rfcs_draw_them():
    values = Attributes(
        next_hop=V4,
        segment_label=SegmentLabel(single_active=True, label=0x123456),
        segment_imports=(communities.segment_import(ESI),),
        neighbor_flags=0x0A,
        extended=(bytes.fromhex("0604000000010000"),),
        communities=(0xFDE80064, 0xFFFFFF02),
        large_communities=((65000, 1, 2),),
        pmsi_other=Tunnel(1, 1, 7, bytes.fromhex("0a000001" + "00000009" + "0a000002")),
        origin=2,
        as_path=bytes.fromhex("02020000fde8fffffffe"),
        med=9,
        originator=0x0A000001,
        clusters=(0x0A000002, 0x0A000003),
    )
    raw = attributes.encode(values)
    assert (
        raw.hex()
        == (
            "40010102"  # ORIGIN incomplete
            "40020a02020000fde8fffffffe"  # AS_PATH: a sequence of 65000 and 4294967294
            "80040400000009"  # MULTI_EXIT_DISC
            "40050400000064"
            "c00808fde80064ffffff02"  # 65000:100 and NO_ADVERTISE (RFC 1997)
            "8009040a000001"  # ORIGINATOR_ID
            "800a080a0000020a000003"  # CLUSTER_LIST
            "c01020"
            "0601010000123456"  # ESI label, single-active (RFC 7432 section 7.5)
            "0602010203040506"  # ES-Import (section 7.6)
            "06080a0000000000"  # ARP/ND: immutable, override (RFC 9047 section 2)
            "0604000000010000"  # layer 2 attributes: kept as they are
            "c01611" + "0101000007" + "0a000001000000090a000002"  # PMSI: RSVP-TE
            "c0200c0000fde80000000100000002"  # 65000:1:2 (RFC 8092)
        )
    )
    assert attributes.decode(attributes.split(raw), V4) == values


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("65000:10100", "0002fde800002774"),
        ("65535:4294967295", "0002ffffffffffff"),
        ("192.0.2.1:7", "0102c00002010007"),
        ("4200000000:65535", "0202fa56ea00ffff"),
    ],
)
def test_route_targets_have_three_forms(text, raw):
    assert parse_target(text).hex() == raw
    assert communities.target_text(bytes.fromhex(raw)) == text
    hung = communities.decode(bytes.fromhex(raw))
    assert hung.route_targets == (bytes.fromhex(raw),)


@pytest.mark.parametrize(
    "text", ["", "65000", "65000:", ":1", "0:1", "65536:65536", "1.2.3:4", "1.2.3.4:65536", "-1:1", "1:07",
             "4294967296:1", "1:4294967296", "1:1:1", "١:١", "1.2.3.4.5:1", "65000:0x10"]
)  # fmt: skip
def test_what_is_no_route_target_is_refused(text):
    with pytest.raises(ValueError, match="a route target is"):
        parse_target(text)


def test_pmsi_with_ipv6_endpoint_keeps_its_vni():
    values = Attributes(V6, pmsi_vni=Vni(0xFFFFFF), pmsi_endpoint=V6)
    assert attributes.decode(attributes.split(attributes.encode(values)), V6) == values


def test_other_tunnels_of_pmsi_are_not_ingress_replication():
    source_and_group = "0a000001e0000001"
    tunnel = bytes.fromhex("0003002774" + source_and_group)
    raw = PLAIN + attributes.field(0xC0, attributes.PMSI_TUNNEL, tunnel)
    decoded = attributes.decode(attributes.split(raw), V4)
    assert decoded.pmsi_vni is None
    assert decoded.pmsi_endpoint is None
    assert decoded.pmsi_other == Tunnel(0, 3, 10100, bytes.fromhex(source_and_group))


def test_update_carries_both_ip_versions_as_next_hop():
    for hop in (V4, V6):
        route = Route(MacRoute(RD, MAC, None, Vni(7)), Attributes(hop))
        body = update.encode(route)
        assert update.decode(body) == update.Update(announced=((nlri.key(nlri.encode(route.nlri)), route),))
        assert update.join(update.split(body)) == body


def test_end_of_rib_is_known():
    assert update.end_of_rib().hex() == "00000006800f03001946"
    assert update.decode(update.end_of_rib()) == update.Update(end_of_rib=True)
    assert not update.decode(bytes.fromhex("00000000")).end_of_rib  # that of IPv4 unicast


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (attributes.field(0x40, attributes.LOCAL_PREF, bytes(3)), "local-preference-length"),
        (attributes.field(0xC0, attributes.EXTENDED_COMMUNITIES, bytes(7)), "communities-length"),
        (attributes.field(0xC0, attributes.EXTENDED_COMMUNITIES, b""), "communities-length"),
        (attributes.field(0xC0, attributes.PMSI_TUNNEL, bytes(4)), "pmsi-length"),
        (attributes.field(0xC0, attributes.PMSI_TUNNEL, bytes.fromhex("0006002774ffff")), "address-length"),
        (attributes.field(0xC0, attributes.PMSI_TUNNEL, bytes.fromhex("0003002774e0000001")), "pmsi-length"),
        (attributes.field(0x80, attributes.EXTENDED_COMMUNITIES, bytes(8)), "attribute-flags"),
        (attributes.field(0x40, attributes.ORIGIN, b"\x03"), "origin"),
        (attributes.field(0x40, attributes.AS_PATH, b"\x02\x01\x00\x00"), "as-path"),
        (attributes.field(0x40, attributes.AS_PATH, b"\x02\x00"), "as-path"),
        (attributes.field(0x40, attributes.AS_PATH, b"\x02"), "as-path"),
        (attributes.field(0x40, attributes.AS_PATH, b"\x05\x01" + bytes(4)), "as-path"),
        (attributes.field(0x80, attributes.MED, bytes(5)), "med-length"),
        (attributes.field(0xC0, attributes.COMMUNITIES, bytes(6)), "communities-length"),
        (attributes.field(0xC0, attributes.LARGE_COMMUNITIES, bytes(16)), "communities-length"),
        (attributes.field(0x80, attributes.ORIGINATOR_ID, bytes(3)), "originator-length"),
        (attributes.field(0x80, attributes.CLUSTER_LIST, bytes(3)), "communities-length"),
        (attributes.field(0x40, attributes.ORIGIN, b"\x00"), "attribute-missing"),
    ],
)
def test_malformed_attributes_withdraw_the_route(damage, word):
    raw = nlri.encode(MacRoute(RD, MAC, None, Vni(7)))
    read = update.decode(update.join(update.Parts(reach=(raw,), next_hop=V4.packed, rest=damage)))
    assert read.announced == ()
    assert read.withdrawn == (nlri.key(raw),)
    assert word in read.faults[0]


def test_malformed_next_hop_withdraws_the_route():
    raw = nlri.encode(MacRoute(RD, MAC, None, Vni(7)))
    read = update.decode(update.join(update.Parts(reach=(raw,), next_hop=bytes(5))))
    assert read.withdrawn == (nlri.key(raw),)


def test_one_bad_nlri_does_not_cost_the_others():
    good = nlri.encode(MulticastRoute(RD, V4))
    parts = update.Parts(reach=(bytes.fromhex("0201ff"), good), next_hop=V4.packed, rest=PLAIN)
    body = update.join(parts)
    read = update.decode(body)
    assert [key for key, _ in read.announced] == [nlri.key(good)]
    assert len(read.faults) == 1


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0000", "update-length"),
        ("00050000", "update-length"),
        ("0000000500", "update-length"),
        ("0000000140", "attribute-truncated"),
        ("0000000440010500", "attribute-truncated"),
        ("0000000c800f03001946800f03001946", "attribute-repeated"),
        ("00000004800e0100", "reach-length"),
        ("0000000a800e07001946ff0000 00".replace(" ", ""), "reach-length"),
        ("00000004800f0100", "unreach-length"),
        ("00000008800f0500194602ff", "nlri-truncated"),
        ("00000007800f0400194602", "nlri-truncated"),
    ],
)
def test_what_cannot_be_cut_up_is_malformed(text, rule):
    with pytest.raises(Malformed) as caught:
        update.decode(bytes.fromhex(text))
    assert caught.value.rule == rule


RAW = nlri.encode(MacRoute(RD, MAC, None, Vni(7)))
REACH = attributes.optional(attributes.MP_REACH, update.FAMILY + b"\x04" + V4.packed + b"\x00" + RAW)
UNREACH = attributes.optional(attributes.MP_UNREACH, update.FAMILY + RAW)


@pytest.mark.parametrize(
    "fields",
    [
        REACH + PLAIN + b"\x40\x05\x08",
        REACH + PLAIN + b"\x40",
        REACH + REACH + PLAIN,
        UNREACH + UNREACH,
        attributes.optional(attributes.MP_REACH, REACH[3:] + b"\x02\xff") + PLAIN,
        attributes.optional(attributes.MP_UNREACH, UNREACH[3:] + b"\x02"),
        REACH + attributes.optional(attributes.MP_UNREACH, b"\x00\x19") + PLAIN,
    ],
)
def test_what_can_be_read_of_a_broken_update_counts_as_withdrawn(fields):
    read = update.decode(bytes(2) + len(fields).to_bytes(2, "big") + fields)
    assert read.announced == ()
    assert set(read.withdrawn) == {nlri.key(RAW)}
    assert "treated as withdrawn" in read.faults[0]


def test_of_repeated_attributes_the_first_counts():
    twice = attributes.field(0x40, attributes.LOCAL_PREF, b"\0\0\0\x05") + attributes.field(
        0x40, attributes.LOCAL_PREF, b"\0\0\0\x06"
    )
    assert attributes.read(PLAIN + twice, V4).local_preference == 5


def test_other_families_are_passed_over():
    body = update.join(
        update.Parts(rest=attributes.optional(attributes.MP_REACH, bytes.fromhex("00020110" + "00" * 17)))
    )
    assert update.decode(body) == update.Update()


def test_route_target_is_asn_and_vni():
    target = communities.route_target(65000, Vni(10100))
    assert communities.target_text(target) == "65000:10100"
    assert communities.target_vni(target) == 10100
    assert communities.target_vni(bytes.fromhex("0002fde810002774")) is None  # RFC 8365 5.1.2.1 bit layout
    assert communities.target_vni(bytes.fromhex("01020a0000010007")) is None


def test_distinguisher_round_trip():
    value = Distinguisher(0x0A630001, 7)
    assert nlri.distinguisher(value) == RD
    assert nlri.parse_distinguisher(RD) == value
    assert nlri.parse_distinguisher(bytes.fromhex("0000fde800002774")) is None

"""Every shape: what we send is what Open vSwitch takes, holds, dumps and deletes."""

from __future__ import annotations

import random

import pytest

from controller.southbound.openflow.audit import compare
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.fields import MATCH_ORDER
from model.change import Patch
from model.flow import (
    Back,
    CheckLarger,
    Conjunction,
    Copy,
    Ct,
    DecTtl,
    End,
    Field,
    Flow,
    Match,
    Meter,
    Metered,
    Move,
    Nat,
    Output,
    OutputField,
    Recirculate,
    SetField,
    Shape,
    Slot,
    Special,
)
from model.ids import COOKIE_MARK
from pipelines.render import text
from pipelines.shapes import SHAPES, delivery_group, for_routers, output_group
from tests.contract.ovs import PrivateOvs

OURS = COOKIE_MARK << 48
ETH = Field("eth_type", 16)
PROTO = Field("nw_proto", 8)
IP4 = Slot("ip4", 32)
MASK4 = Slot("mask4", 32)
IP6 = Slot("ip6", 128)
MASK6 = Slot("mask6", 128)
MAC = Slot("mac", 48)
ZONE = Slot("zone", 16)
METER = Slot("meter", 32)
SIZE = Slot("size", 16)
COPY = Slot("port", 32)
DSCP = Slot("dscp", 6)
CONJ = Slot("conjunction", 32)
NUMBER = Slot("number", 16)
MASK16 = Slot("mask16", 16)
NUMBER32 = Slot("number32", 32)
MASK32 = Slot("mask32", 32)

IPV4 = (Match(ETH, 0x0800),)
IPV6 = (Match(ETH, 0x86DD),)
ARP = (Match(ETH, 0x0806),)
ICMPV6 = (*IPV6, Match(PROTO, 58))
SOLICIT = (*ICMPV6, Match(Field("icmpv6_type", 8), 135), Match(Field("icmpv6_code", 8), 0))
ADVERT = (*ICMPV6, Match(Field("icmpv6_type", 8), 136), Match(Field("icmpv6_code", 8), 0))
CONNECTION = (Match(Field("ct_state", 32), 0x21, 0x21),)
VALID = (Match(Field("ct_state", 32), 0x20, 0x30),)
LOWER, MIDDLE, UPPER = (Field("ct_label", 32, low) for low in (0, 32, 64))


def with_protocol(number: int) -> tuple[Match, ...]:
    return (*IPV4, Match(PROTO, number))


NEEDS: dict[str, tuple[Match, ...]] = {
    "vlan_pcp": (Match(Field("vlan_vid", 16), 0x1005),),
    **dict.fromkeys(("ip_src", "ip_dst", "ip_frag", "ip_dscp", "nw_ecn", "nw_ttl", "nw_proto"), IPV4),
    **dict.fromkeys(("ipv6_src", "ipv6_dst", "ipv6_label"), IPV6),
    **dict.fromkeys(("tcp_src", "tcp_dst"), with_protocol(6)),
    **dict.fromkeys(("udp_src", "udp_dst"), with_protocol(17)),
    **dict.fromkeys(("sctp_src", "sctp_dst"), with_protocol(132)),
    **dict.fromkeys(("icmp_type", "icmp_code"), with_protocol(1)),
    **dict.fromkeys(("icmpv6_type", "icmpv6_code"), ICMPV6),
    **dict.fromkeys(("nd_target", "nd_reserved", "nd_options_type", "nd_sll"), SOLICIT),
    "nd_tll": ADVERT,
    **dict.fromkeys(("ct_nw_src", "ct_nw_dst", "ct_nw_proto"), (*IPV4, *VALID)),
    **dict.fromkeys(("ct_ipv6_src", "ct_ipv6_dst"), (*IPV6, *VALID)),
    **dict.fromkeys(("ct_tp_src", "ct_tp_dst"), (*IPV6, *VALID, Match(Field("ct_nw_proto", 8), 6))),
    **dict.fromkeys(("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), ARP),
}
"""What must be matched before each field."""

ODD: dict[str, tuple[int, int]] = {
    "eth_type": (16, 0x0800),
    "vlan_vid": (16, 0x1005),
    "ip_frag": (8, 1),
    "ip_dscp": (8, 46),
    "nw_ecn": (8, 2),
    "vlan_pcp": (8, 5),
    "arp_op": (16, 2),
    "ipv6_label": (20, 0x12345),
    "tun_flags": (16, 1),
    "ct_state": (32, 0x20),
    "in_port": (32, 7),
}
"""(bits, value) of fields that do not take any number."""

METERS = (Meter(7, 1000, 100),)
PLAIN = Shape("plain", 3, 9, (Match(Field("reg0", 32), Slot("n", 32)),), (), 4, (Slot("n", 32),))


def of_field(name: str, octets: int) -> Flow:
    bits, value = ODD.get(name, (8 * octets, 0x5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A & ((1 << 8 * octets) - 1)))
    mask = {"ip_frag": 1, "ct_state": 0x20, "tun_flags": 1}.get(name)
    match = (Match(Field(name, bits), value, mask),)
    shape = Shape(f"field-{name}", 9, 100, match if name == "eth_type" else (*NEEDS.get(name, ()), *match))
    return Flow(shape, OURS | octets)


ACTIONS = (
    Shape("to-registers", 9, 5, IPV6, (Move(Field("ipv6_src", 128), Field("xxreg1", 128)),)),
    Shape("set-wide", 9, 6, IPV6, (SetField(Field("xxreg2", 128), IP6),), None, (IP6,)),
    Shape("clear-in-port", 9, 7, (), (SetField(Field("in_port", 16), 0), OutputField(Field("reg5", 32)))),
    Shape("to-controller", 9, 8, (), (Special.CONTROLLER, Special.IN_PORT, Output(0xFFFE))),
    Shape("to-controller-apart", 9, 17, (), (Special.CONTROLLER_APART,)),
    Shape("to-controller-asked", 9, 18, (), (Special.CONTROLLER_ASKED,)),
    Shape("route", 9, 15, IPV4, (DecTtl(), OutputField(Field("reg5", 32)))),
    Shape("route6", 9, 16, IPV6, (SetField(Field("eth_dst", 48), MAC), DecTtl()), 10, (MAC,)),
    Shape("from-local", 9, 9, (Match(Field("in_port", 16), 0xFFFE),), (Output(3),)),
    Shape(
        "set-many",
        9,
        10,
        IPV4,
        (
            SetField(Field("nw_ttl", 8), 64),
            SetField(Field("metadata", 64), 7),
            SetField(Field("tun_ipv6_dst", 128), IP6),
            SetField(Field("eth_dst", 48), MAC),
            Move(Field("tun_id", 64), Field("metadata", 64)),
            Move(Field("reg3", 32), Field("tun_dst", 32)),
        ),
        11,
        (IP6, MAC),
    ),
    Shape(
        "rewrite-neighbour",
        9,
        11,
        SOLICIT,
        (
            SetField(Field("nd_options_type", 8), 2),
            Move(Field("reg7", 32), Field("nd_options_type", 8)),
            Move(Field("reg7", 32), Field("nd_reserved", 32)),
            SetField(Field("nd_reserved", 32), 0xE0000000),
            SetField(Field("nd_sll", 48), MAC),
            SetField(Field("nd_target", 128), IP6),
        ),
        None,
        (MAC, IP6),
    ),
    Shape("metered", 9, 27, (), (Metered(METER), Recirculate()), 10, (METER,)),
    Shape("larger", 9, 28, (), (CheckLarger(SIZE, Field("reg6", 32)), Recirculate()), 10, (SIZE,)),
    Shape("copies", 9, 29, (), (Copy(Field("reg2", 32), COPY, 11), Output(3)), None, (COPY,)),
    Shape("back", 9, 31, (), (SetField(Field("reg2", 32), 3), Back(4)), None),
    Shape("first-part", 9, 32, (*IPV4, Match(Field("ip_frag", 8), 1)), (), 10),
    Shape("later-part", 9, 33, (*IPV4, Match(Field("ip_frag", 8), 2, 2)), (), 10),
    Shape("dscp", 9, 30, IPV6, (SetField(Field("ip_dscp", 6), DSCP),), 10, (DSCP,)),
    Shape("masked4", 9, 12, (*IPV4, Match(Field("ip_dst", 32), IP4, MASK4)), (), 10, (IP4, MASK4)),
    Shape("masked6", 9, 13, (*IPV6, Match(Field("ipv6_src", 128), IP6, MASK6)), (), 10, (IP6, MASK6)),
    Shape("track4", 9, 17, IPV4, (Ct(ZONE, 4, Nat(End.SOURCE, IP4)),), None, (ZONE, IP4)),
    Shape("track6", 9, 18, IPV6, (Ct(ZONE, 10, Nat(End.DESTINATION, IP6)),), None, (ZONE, IP6)),
    Shape("track-again", 9, 19, IPV4, (SetField(Field("in_port", 16), 0), Ct(7, 3)), None),
    Shape("tracked", 9, 20, (*IPV6, *CONNECTION, Match(Field("ct_zone", 16), ZONE)), (), 10, (ZONE,)),
    Shape(
        "remembered",
        9,
        33,
        IPV4,
        (Ct(ZONE, 4, None, (SetField(MIDDLE, CONJ), Move(Field("reg14", 32), LOWER))),),
        None,
        (ZONE, CONJ),
    ),
    Shape(
        "translated-and-remembered",
        9,
        34,
        IPV6,
        (Ct(ZONE, 4, Nat(End.SOURCE, IP6), (SetField(Field("ct_label", 128), 7), SetField(UPPER, 9))),),
        None,
        (ZONE, IP6),
    ),
    Shape("recalled", 9, 35, (Match(MIDDLE, CONJ),), (Move(LOWER, Field("reg14", 32)),), 10, (CONJ,)),
    Shape("recalled-masked", 9, 36, (Match(UPPER, NUMBER32, MASK32),), (), 10, (NUMBER32, MASK32)),
    Shape(
        "recalled-half",
        9,
        37,
        (*IPV4, *VALID, Match(LOWER, 0x50000, 0xFFFF0000)),
        (Move(UPPER, Field("reg13", 32)), SetField(Field("reg14", 16, 8), NUMBER)),
        10,
        (NUMBER,),
    ),
    Shape(
        "clause-of-tuples",
        9,
        31,
        (
            *IPV6,
            *VALID,
            Match(Field("ct_nw_proto", 8), 17),
            Match(Field("ct_tp_dst", 16), NUMBER, MASK16),
            Match(Field("ct_ipv6_src", 128), IP6, MASK6),
        ),
        (Conjunction(CONJ, 0, 2),),
        None,
        (NUMBER, MASK16, IP6, MASK6, CONJ),
    ),
    Shape("clause", 9, 31, IPV4, (Conjunction(CONJ, 2, 3),), None, (CONJ,)),
    Shape("concluded", 9, 31, (Match(Field("conj_id", 32), CONJ),), (), 10, (CONJ,)),
    Shape(
        "ports",
        9,
        31,
        (*with_protocol(6), Match(Field("tcp_dst", 16), NUMBER, MASK16)),
        (Conjunction(CONJ, 0, 2),),
        None,
        (NUMBER, MASK16, CONJ),
    ),
    Shape("constant-prefix", 9, 14, (*IPV6, Match(Field("ipv6_dst", 128), IP6, 0xFF << 120)), (), 10, (IP6,)),
)


def fill(shape: Shape, seed: int) -> Flow:
    """Drawn numbers that the fields take; masks are prefixes, neither empty nor full."""
    draw = random.Random(f"{shape.name} {seed}")
    values = []
    for slot in shape.slots:
        value = draw.getrandbits(slot.bits)
        if "mask" in slot.name:
            length = draw.randrange(1, slot.bits)
            value = ((1 << length) - 1) << (slot.bits - length)
        elif slot.name == "meter":
            value = METERS[0].id
        elif slot.name.startswith("port") or slot.name == "tunnel":
            value = 1 + value % 0xFE00
        values.append(value)
    return Flow(shape, OURS | draw.getrandbits(40), tuple(values))


GROUPS = (
    output_group(3, 0, 4),
    output_group(2, 3, 4),
    output_group(0, 2, 6),
    delivery_group(1),
    delivery_group(5),
    output_group(2, 3, 4, 2),
    delivery_group(1, 3),
    output_group(2, 3, 4, 2, 2),
    delivery_group(1, 3, 2),
    for_routers(delivery_group(1, 3, 2)),
    for_routers(output_group(2, 3, 4, 2)),
)
EVERY = (*SHAPES, *GROUPS, *ACTIONS)


def holds(channel: Channel, flow: Flow) -> None:
    """Put, read back byte for byte, find nothing wrong, delete."""
    encoder, table = Encoder(), flow.shape.table
    outcome = channel.send(Patch((((flow,), ()),), METERS))
    assert (outcome.flows, outcome.refused) == (1, ())
    dump = channel.dump(table)
    assert dump.rows() == [encoder.row(flow)]
    findings = compare(encoder, [flow], [dump])
    assert not findings and findings.right == 1
    assert channel.send(Patch((((), (flow,)),))).flows == 1
    assert len(channel.dump(table)) == 0


@pytest.mark.parametrize("shape", EVERY, ids=lambda s: s.name)
def test_reads_back_as_sent_and_is_deleted(channel: Channel, shape: Shape) -> None:
    for seed in range(2 if shape.slots else 1):
        holds(channel, fill(shape, seed))


@pytest.mark.parametrize("field", MATCH_ORDER, ids=lambda f: f.name)
def test_every_field_we_know_can_be_matched(channel: Channel, field: object) -> None:
    holds(channel, of_field(field.name, field.octets))  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["masked4", "masked6", "recalled-masked"])
@pytest.mark.parametrize("length", ["none", "all"])
def test_masks_of_none_and_all(channel: Channel, name: str, length: str) -> None:
    shape = next(s for s in ACTIONS if s.name == name)
    bits = shape.slots[0].bits
    mask = 0 if length == "none" else (1 << bits) - 1
    holds(channel, Flow(shape, OURS | 5, (random.Random(name).getrandbits(bits), mask)))


def test_all_shapes_together_are_clean_and_one_field_off_is_found(channel: Channel) -> None:
    flows = [fill(shape, 7) for shape in EVERY]
    flows = list({flow.key(): flow for flow in flows}.values())
    assert channel.send(Patch(tuple(((f,), ()) for f in flows), METERS)).refused == ()
    findings = channel.audit(flows)
    assert not findings and findings.right == len(flows)
    # positive control: another cookie is seen
    first = flows[0]
    other = Flow(first.shape, first.cookie ^ 1, first.values)
    assert channel.audit([other, *flows[1:]]).wrong == (other,)


def test_delete_leaves_what_is_not_ours(channel: Channel) -> None:
    alien, ours = Flow(PLAIN, 0x1234, (1,)), Flow(PLAIN, OURS | 1, (2,))
    channel.send(Patch((((alien, ours), ()),)))
    channel.send(Patch((((), (alien, ours)),)))
    assert channel.dump(PLAIN.table).rows() == [Encoder().row(alien)]


@pytest.mark.parametrize(
    "name",
    [
        "to-controller",
        "to-controller-apart",
        "to-controller-asked",
        "remembered",
        "translated-and-remembered",
        "recalled",
        "recalled-masked",
        "clause-of-tuples",
    ],
)
def test_ovs_ofctl_takes_the_same_in_words(ovs: PrivateOvs, channel: Channel, name: str) -> None:
    named = next(shape for shape in ACTIONS if shape.name == name)
    flow = fill(named, 1)
    ovs.ofctl("add-flow", text(flow))
    assert channel.dump(flow.shape.table).rows() == [Encoder().row(flow)]

"""What a real Open vSwitch says of a packet that it has looked up among connections: the facts on which
policy stands (docs/decisions/0058).

Real packets, by packet-out. Those of port 1 are committed with a label; one of port 2 is only looked up, and
must then match all that is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLQuery,
    ICMPv6ND_NS,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from controller.southbound import connections, unixctl
from controller.southbound.tracing import parse, question
from pipelines import fields as f
from pipelines.tracking import Commit
from tests.contract.ovs import PrivateOvs
from tests.fakes.conntrack import Conntrack

ZONE = 7
LABEL = 0x5_00000004
"""The label's middle 32 bits are 5, the lower ones 4."""
A, B, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
OUT = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=A, dst=B)
BACK = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IP(src=B, dst=A)
OUT6 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IPv6(src=A6, dst=B6)
BACK6 = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / IPv6(src=B6, dst=A6)
ASK, ANSWER = UDP(sport=4000, dport=53) / b"x", UDP(sport=53, dport=4000) / b"x"
LOST, LOST6 = ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)
PING, PONG = ICMP(type=8, id=7) / b"x", ICMP(type=0, id=7) / b"x"
PING6, PONG6 = ICMPv6EchoRequest(id=7), ICMPv6EchoReply(id=7)


def tcp(flags: str, *ports: int) -> Packet:
    return TCP(sport=ports[0], dport=ports[1], flags=flags, seq=1000, ack=1000) / b"x"


FOUR = f"ip,ct_nw_src={A},ct_nw_dst={B}"
SIX = f"ipv6,ct_ipv6_src={A6},ct_ipv6_dst={B6}"
DNS = "ct_nw_proto=17,ct_tp_src=4000,ct_tp_dst=53"
WEB = "ct_nw_proto=6,ct_tp_src=40,ct_tp_dst=80"
KNOWN = f"ct_label={LABEL:#x}"
INVALID = "ct_state=+inv+trk"
NEW = "ct_state=+new-est-rel-rpl-inv+trk,ct_label=0"
STARTED = f"ct_state=+new-rpl-inv+trk,{KNOWN}"
ANSWERED = f"ct_state=-new+est+rpl-inv+trk,{KNOWN}"
GOING_ON = f"ct_state=-new+est-rpl-inv+trk,{KNOWN}"
ERROR_BACK = f"ct_state=-new-est+rel+rpl-inv+trk,{KNOWN}"
ERROR_OUT = f"ct_state=-new-est+rel-rpl-inv+trk,{KNOWN}"

CASES: dict[str, tuple[tuple[Packet, ...], Packet, str]] = {
    "new": ((), OUT / ASK, f"{FOUR},{NEW},{DNS}"),
    "new6": ((), OUT6 / ASK, f"{SIX},{NEW},{DNS}"),
    "not answered": ((OUT / ASK,), OUT / ASK, f"{FOUR},{STARTED},{DNS}"),
    "reply": ((OUT / ASK,), BACK / ANSWER, f"{FOUR},{ANSWERED},{DNS}"),
    "reply6": ((OUT6 / ASK,), BACK6 / ANSWER, f"{SIX},{ANSWERED},{DNS}"),
    "on": ((OUT / ASK, BACK / ANSWER), OUT / ASK, f"{FOUR},{GOING_ON},{DNS}"),
    "echo": ((), OUT / PING, f"{FOUR},{NEW},ct_nw_proto=1,ct_tp_src=8,ct_tp_dst=0"),
    "echo reply": ((OUT / PING,), BACK / PONG, f"{FOUR},{ANSWERED},ct_nw_proto=1,ct_tp_src=8,ct_tp_dst=0"),
    "echo6": ((), OUT6 / PING6, f"{SIX},{NEW},ct_nw_proto=58,ct_tp_src=128,ct_tp_dst=0"),
    "echo6 reply": (
        (OUT6 / PING6,),
        BACK6 / PONG6,
        f"{SIX},{ANSWERED},ct_nw_proto=58,ct_tp_src=128,ct_tp_dst=0",
    ),
    "error about what went out": (
        (OUT / ASK,),
        BACK / LOST / IP(src=A, dst=B) / ASK,
        f"{FOUR},{ERROR_BACK},{DNS}",
    ),
    "error about an answer": (
        (OUT / ASK, BACK / ANSWER),
        OUT / LOST / IP(src=B, dst=A) / ANSWER,
        f"{FOUR},{ERROR_OUT},{DNS}",
    ),
    "error6": ((OUT6 / ASK,), BACK6 / LOST6 / IPv6(src=A6, dst=B6) / ASK, f"{SIX},{ERROR_BACK},{DNS}"),
    "error about nothing": ((), BACK / LOST / IP(src=A, dst=B) / ASK, INVALID),
    "echo reply to nobody": ((), OUT / PONG, INVALID),
    "a kind of ICMP that nothing answers": ((), OUT / ICMP(type=42) / b"x", INVALID),
    "neighbour": ((), OUT6 / ICMPv6ND_NS(tgt=B6), INVALID),
    "listener": ((), OUT6 / ICMPv6MLQuery(), INVALID),
    "wrong checksum": ((), OUT / UDP(sport=4000, dport=53, chksum=1) / b"x", INVALID),
    "small fragment": ((), Ether() / IP(src=A, dst=B, flags="MF") / UDP(len=100) / bytes(16), INVALID),
    "tcp": ((), OUT / tcp("S", 40, 80), f"{FOUR},{NEW},{WEB}"),
    "tcp in the middle": ((), OUT / tcp("A", 40, 80), f"{FOUR},{NEW},{WEB}"),
    "tcp known in the middle": (
        (OUT / tcp("A", 40, 80),),
        BACK / tcp("A", 80, 40),
        f"{FOUR},{ANSWERED},{WEB}",
    ),
    "tcp answer to nobody": ((), OUT / tcp("SA", 40, 80), INVALID),
    # the userspace data path knows no ports of SCTP: flows have to look at the packet for them
    "sctp": (
        (),
        OUT / SCTP(sport=5, dport=6) / SCTPChunkInit(),
        f"{FOUR},{NEW},ct_nw_proto=132,ct_tp_src=0,ct_tp_dst=0,sctp,sctp_dst=6",
    ),
    "sctp reply": (
        (OUT / SCTP(sport=5, dport=6) / SCTPChunkInit(),),
        BACK / SCTP(sport=6, dport=5) / SCTPChunkInit(),
        f"{FOUR},{ANSWERED},ct_nw_proto=132,ct_tp_src=0,ct_tp_dst=0,sctp,sctp_src=6",
    ),
    "gre": ((), Ether() / IP(src=A, dst=B, proto=47) / bytes(8), f"{FOUR},{NEW},ct_nw_proto=47"),
}

COMMIT = f"ct(commit,zone={ZONE},exec(set_field:{LABEL:#x}->ct_label))"
LOOK = f"ct(zone={ZONE},table=1)"


@pytest.fixture
def zone(ovs: PrivateOvs) -> Iterator[PrivateOvs]:
    connections.flush(ovs.rundir, ZONE)
    yield ovs
    ovs.ofctl("del-flows")
    connections.flush(ovs.rundir, ZONE)


def send(ovs: PrivateOvs, port: int, packet: Packet) -> None:
    ovs.ofctl("packet-out", f"in_port={port} packet={bytes(packet).hex()} actions=resubmit(,0)")


def add(ovs: PrivateOvs, *flows: str) -> None:
    for flow in flows:
        ovs.ofctl("add-flow", flow)


def met(ovs: PrivateOvs) -> list[int]:
    """How many packets each flow of table 1 has seen, highest first."""
    unixctl.revalidate_purge(ovs.rundir)
    lines = ovs.ofctl("dump-flows", "table=1").splitlines()
    found = [line for line in lines if "table=1" in line]
    found.sort(key=lambda line: -int(line.partition("priority=")[2].partition(" ")[0].partition(",")[0]))
    return [int(line.partition("n_packets=")[2].partition(",")[0]) for line in found]


@pytest.mark.parametrize("name", CASES)
def test_a_packet_bears_its_connection_s_first_tuple_and_label(zone: PrivateOvs, name: str) -> None:
    history, last, said = CASES[name]
    add(
        zone,
        *(f"table=0,priority=9,in_port=1,{kind},actions={COMMIT}" for kind in ("ip", "ipv6")),
        *(f"table=0,priority=9,in_port=2,{kind},actions={LOOK}" for kind in ("ip", "ipv6")),
        f"table=1,priority=9,{said},actions=drop",
        # not what conntrack held of other tests' fragments, and hands out with these (test_held)
        f"table=1,priority=1,ct_state=+trk,ct_zone={ZONE},actions=drop",
    )
    for packet in history:
        send(zone, 1, packet)
    send(zone, 2, last)
    assert met(zone) == [1, 0]


UNSEEN = {
    *("error about what went out", "error about an answer", "error6"),
    *("wrong checksum", "small fragment", "tcp answer to nobody"),
}
"""What the fake has no form for."""
_PARTS = (
    (TCP, "tcp_src", "tcp_dst"),
    (UDP, "udp_src", "udp_dst"),
    (SCTP, "sctp_src", "sctp_dst"),
)


def seen(packet: Packet) -> dict[str, int]:
    """What OVS sees of it, as far as the fake looks."""
    kind, layer = (f.IPV6, packet[IPv6]) if IPv6 in packet else (f.IPV4, packet[IP])
    ends = ("ipv6_src", "ipv6_dst") if kind == f.IPV6 else ("ip_src", "ip_dst")
    made = {"eth_type": kind, "ip_proto": layer.nh if kind == f.IPV6 else layer.proto}
    made |= {ends[0]: int(ip_address(layer.src)), ends[1]: int(ip_address(layer.dst))}
    for protocol, source, target in _PARTS:
        if protocol in packet:
            return made | {source: packet[protocol].sport, target: packet[protocol].dport}
    if ICMP in packet:
        return made | {"icmp_type": packet[ICMP].type, "icmp_code": packet[ICMP].code}
    if made["ip_proto"] == f.ICMPV6:
        return made | {"icmpv6_type": layer.payload.type, "icmpv6_code": layer.payload.code}
    return made


def met_by(found: dict[str, int], said: str) -> bool:
    """Whether fields are as a match in the words of ovs-ofctl says of those of tracking."""
    flags = {name: bit for bit, name in f.CT_FLAGS}
    for term in said.split(","):
        name, _, text = term.partition("=")
        if name == "ct_state":
            for sign, flag in re.findall(r"([+-])([a-z]+)", text):
                if bool(found[name] & flags[flag]) is not (sign == "+"):
                    return False
        elif name.startswith("ct_"):
            value = int(ip_address(text)) if "." in text or ":" in text else int(text, 0)
            if found[name] != value:
                return False
    return True


@pytest.mark.parametrize("name", sorted(CASES.keys() - UNSEEN))
def test_the_fake_says_the_same(name: str) -> None:
    history, last, said = CASES[name]
    fake = Conntrack()
    for packet in history:
        fake.track(ZONE, Commit(None, LABEL, (1 << 128) - 1), seen(packet))
    found = dict(fake.track(ZONE, None, seen(last)))
    assert met_by(found, said), found
    assert [other for other in NAMED if other not in said and met_by(found, other)] == []


NAMED = (INVALID, NEW, STARTED, ANSWERED, GOING_ON)


RELABEL = (
    "set_field:8->reg14,set_field:9->reg13,"
    f"ct(commit,zone={ZONE},table=1,exec(load:7->NXM_NX_CT_LABEL[32..63],"
    "move:NXM_NX_REG14[]->NXM_NX_CT_LABEL[0..31],move:NXM_NX_REG13[]->NXM_NX_CT_LABEL[64..95]))"
)
RELABELLED = 9 << 64 | 7 << 32 | 8


@pytest.mark.parametrize(
    "last",
    [OUT / ASK, BACK / ANSWER, BACK / LOST / IP(src=A, dst=B) / ASK],
    ids=["forward", "reply", "error"],
)
def test_either_direction_writes_another_label(zone: PrivateOvs, last: Packet) -> None:
    """In parts, from registers; the packet itself has it in the table behind."""
    add(
        zone,
        f"table=0,priority=9,in_port=1,ip,actions={COMMIT}",
        f"table=0,priority=9,in_port=2,ip,actions={RELABEL}",
        f"table=1,priority=9,ip,ct_label={RELABELLED:#x},actions=drop",
        "table=1,priority=1,actions=drop",
    )
    send(zone, 1, OUT / ASK)
    send(zone, 1, BACK / ANSWER)
    send(zone, 2, last)
    assert met(zone) == [1, 0]
    known = unixctl.call(zone.rundir, "dpctl/dump-conntrack", "netdev@ovs-netdev", f"zone={ZONE}")
    assert known.count("labels=") == 1 and f"labels={RELABELLED:#x}" in known


TUPLE = "ct_nw_proto=6,ct_tp_dst=0x50/0xfff0"


@pytest.mark.parametrize(
    "match",
    [
        f"ct_nw_src={A}",
        f"ip,ct_nw_src={A}",
        f"ip,ct_state=+trk,ct_nw_src={A}",
        f"ip,ct_state=-inv,{TUPLE}",
        f"ip,ct_state=+trk-inv,ct_ipv6_src={A6}",
    ],
)
def test_a_tuple_is_matched_where_the_packet_is_known_to_have_one(ovs: PrivateOvs, match: str) -> None:
    with pytest.raises(RuntimeError, match="OFPT_ERROR"):
        add(ovs, f"table=1,{match},actions=drop")


def test_ports_of_a_tuple_are_forgotten_without_its_protocol(ovs: PrivateOvs) -> None:
    add(ovs, "table=1,ip,ct_state=+trk-inv,ct_tp_dst=80,actions=drop")
    assert "ct_tp_dst" not in ovs.ofctl("dump-flows", "table=1")


def test_a_tuple_may_be_a_clause(zone: PrivateOvs) -> None:
    add(
        zone,
        f"table=0,priority=9,in_port=1,ip,actions={COMMIT}",
        f"table=0,priority=9,in_port=2,ip,actions={LOOK}",
        f"table=1,priority=9,ip,ct_state=+trk-inv,ct_nw_dst={B},actions=conjunction(5,1/2)",
        f"table=1,priority=9,ip,ct_state=+trk-inv,{TUPLE},actions=conjunction(5,2/2)",
        "table=1,priority=8,conj_id=5,actions=drop",
        "table=1,priority=1,actions=drop",
    )
    send(zone, 1, OUT / tcp("S", 40, 80))
    send(zone, 2, BACK / tcp("SA", 80, 40))
    send(zone, 2, OUT / tcp("S", 40, 81))
    send(zone, 2, OUT / tcp("S", 40, 96))
    assert met(zone)[-2:] == [2, 1]


def test_a_zone_that_is_full_lets_packets_on_without_a_label(zone: PrivateOvs) -> None:
    fake = Conntrack({ZONE: 1})
    connections.limit(zone.rundir, "netdev", [(ZONE, 1)])
    add(
        zone,
        f"table=0,priority=9,ip,actions={RELABEL}",
        f"table=1,priority=9,ip,ct_state=+new+trk-inv,ct_label={RELABELLED:#x},actions=drop",
        "table=1,priority=8,ip,ct_state=+new+trk-inv,ct_label=0,actions=drop",
        "table=1,priority=1,actions=drop",
    )
    said = []
    try:
        for packet in (OUT / ASK, OUT / tcp("S", 40, 80), OUT / ASK):
            send(zone, 1, packet)
            said.append(fake.track(ZONE, Commit(None, RELABELLED, (1 << 128) - 1), seen(packet)))
        assert met(zone) == [2, 1, 0]
    finally:
        connections.limit(zone.rundir, "netdev", [(ZONE, 0)])
    assert [found["ct_label"] for found in said] == [RELABELLED, 0, RELABELLED]


def test_a_trace_goes_on_with_the_tuple_of_its_question(zone: PrivateOvs) -> None:
    add(
        zone,
        f"table=0,priority=9,ip,actions={LOOK}",
        f"table=1,priority=9,{FOUR},ct_state=+new+trk-inv,{WEB},actions=drop",
        "table=1,priority=1,actions=drop",
    )
    frame = {"in_port": 1, "eth_src": 1, "eth_dst": 2, **seen(OUT / tcp("S", 40, 80))}
    path = parse(unixctl.trace(zone.rundir, "br-int", question(frame)), 1).path
    assert [(step.table, step.priority) for step in path] == [(0, 9), (1, 9)]

"""Connection tracking as an action: declared, executed, translated and told back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.flow import Ct, End, Flow, Match, Move, Nat, Output, SetField, Shape, Slot, Special
from pipelines import fields as f
from pipelines.check import Broken, check_declarations
from pipelines.render import terms, text
from pipelines.shapes import SHAPES
from pipelines.tables import ROUTE, TABLES
from pipelines.walk import walk
from tests.fakes import packets
from tests.fakes.switch import Switch

VM, FLOATING, SERVER = (int(ip_address(a)) for a in ("10.0.0.11", "203.0.113.5", "198.51.100.9"))
ZONE = Slot("zone", 16)
IP4 = Slot("ip4", 32)
IS_IPV4 = Match(f.ETH_TYPE, f.IPV4)
KNOWN = Match(f.CT_STATE, f.CT_TRACKED, f.CT_TRACKED | f.CT_NEW)
OUT = Shape(
    "out", 0, 9, (IS_IPV4, Match(f.IN_PORT, 1)), (Ct(ZONE, 3, Nat(End.SOURCE, IP4)),), None, (ZONE, IP4)
)
BACK = Shape("back", 0, 9, (IS_IPV4, Match(f.IN_PORT, 2)), (Ct(ZONE, 2),), None, (ZONE,))
SENT = Shape("sent", 3, 9, (IS_IPV4, Match(f.IP_SRC, IP4)), (Output(2),), None, (IP4,))
LANDED = Shape("landed", 2, 9, (KNOWN, Match(f.CT_ZONE, ZONE)), (Output(1),), None, (ZONE,))
FLOWS = (
    Flow(OUT, 1, (7, FLOATING)),
    Flow(BACK, 1, (7,)),
    Flow(SENT, 1, (FLOATING,)),
    Flow(LANDED, 1, (7,)),
)


def datagram(port: int, source: int, target: int, sport: int, dport: int) -> packets.Packet:
    return packets.udp(packets.ipv4(1, 2, source, target), sport, dport) | {"in_port": port}


def test_a_connection_goes_out_translated_and_comes_back() -> None:
    switch = Switch.of(FLOWS)
    out = switch.receive(datagram(1, VM, SERVER, 4000, 53))
    assert [(s.port, s.has("ip_src"), s.has("udp_src")) for s in out.sent] == [(2, FLOATING, 4000)]
    back = switch.receive(datagram(2, SERVER, FLOATING, 53, 4000))
    assert [(s.port, s.has("ip_dst"), s.has("udp_dst")) for s in back.sent] == [(1, VM, 4000)]


def test_what_nobody_asked_for_does_not_come_in() -> None:
    switch = Switch.of(FLOWS)
    assert switch.receive(datagram(2, SERVER, FLOATING, 53, 4000)).sent == ()
    switch.receive(datagram(1, VM, SERVER, 4000, 53))
    assert switch.receive(datagram(2, SERVER, FLOATING, 53, 4001)).sent == ()
    assert switch.receive(datagram(2, SERVER, FLOATING, 53, 4000)).sent != ()


def test_a_full_zone_translates_no_more_but_what_it_knows() -> None:
    switch = Switch.of(FLOWS)
    switch.tracker.limits[7] = 1
    assert switch.receive(datagram(1, VM, SERVER, 4000, 53)).sent != ()
    assert switch.receive(datagram(1, VM, SERVER, 4001, 53)).sent == ()
    assert switch.receive(datagram(1, VM, SERVER, 4000, 53)).sent != ()
    switch.tracker.flush(7)
    assert switch.receive(datagram(1, VM, SERVER, 4001, 53)).sent != ()


def test_two_of_one_address_get_different_ports() -> None:
    switch = Switch.of(FLOWS)
    sent = [switch.receive(datagram(1, vm, SERVER, 4000, 53)).sent[0].has("udp_src") for vm in (VM, VM + 1)]
    assert sent[0] == 4000 != sent[1]
    back = switch.receive(datagram(2, SERVER, FLOATING, 53, sent[1]))
    assert [(s.has("ip_dst"), s.has("udp_dst")) for s in back.sent] == [(VM + 1, 4000)]


def test_rendered_as_ovs_takes_it() -> None:
    assert text(FLOWS[0]).endswith("actions=ct(commit,table=3,zone=7,nat(src=203.0.113.5))")
    assert text(FLOWS[1]).endswith("actions=ct(table=2,zone=7,nat)")
    assert "ct_state=-new+trk" in text(FLOWS[3])


REMEMBER = (SetField(f.LABEL_EPOCH, 5), Move(f.NETWORK.field, f.LABEL_DECIDED))
KEEPS = Shape("keeps", 0, 9, (IS_IPV4,), (SetField(f.NETWORK.field, 77), Ct(7, 4, None, REMEMBER)))
RECALLS = Shape(
    "recalls",
    4,
    9,
    (Match(f.LABEL_EPOCH, 5), Match(f.ETH_TYPE, f.IPV4)),
    (Move(f.LABEL_DECIDED, f.VRF.field), Output(2)),
)


def test_a_label_is_written_and_read_in_parts() -> None:
    done = walk(Switch.of((Flow(KEEPS, 1), Flow(RECALLS, 1))), datagram(1, VM, SERVER, 4000, 53))
    (sent,) = done.sent
    assert sent.has("ct_label") == 5 << 32 | 77 and sent.has(f.VRF.field.name) == 77
    assert (sent.has("ct_nw_src"), sent.has("ct_nw_proto"), sent.has("ct_tp_dst")) == (VM, f.UDP, 53)


def test_labels_are_rendered_as_ovs_takes_them() -> None:
    keeps = "exec(load:0x5->ct_label[32..63],move:reg0->ct_label[0..31])"
    assert text(Flow(KEEPS, 1)).endswith(f"ct(commit,table=4,zone=7,{keeps})")
    assert "ct_label=0x500000000/0xffffffff00000000" in text(Flow(RECALLS, 1))
    assert "move:ct_label[0..31]->reg4" in text(Flow(RECALLS, 1))
    assert "ct_label[32..63]=5" in terms(RECALLS, lambda _, value: str(value))


VALID = Match(f.CT_STATE, f.CT_TRACKED, f.CT_TRACKED | f.CT_INVALID)


@pytest.mark.parametrize(
    ("match", "actions", "faults"),
    [
        ((), (Ct(7, 0, None, REMEMBER),), 1),
        ((IS_IPV4,), (Ct(7, 0, None, REMEMBER),), 0),
        ((IS_IPV4,), (Ct(7, 0, None, (Move(f.ARP_SPA, f.LABEL_NOTED),)),), 1),
        ((IS_IPV4, Match(f.CT_SRC, 1)), (), 1),
        ((IS_IPV4, KNOWN, Match(f.CT_SRC, 1)), (), 1),
        ((IS_IPV4, VALID, Match(f.CT_SRC, 1)), (), 0),
        ((IS_IPV4, VALID, Match(f.CT_SRC6, 1)), (), 1),
        ((IS_IPV4, VALID, Match(f.CT_DPORT, 1)), (), 1),
        ((IS_IPV4, VALID, Match(f.CT_PROTO, Slot("zone", 8)), Match(f.CT_DPORT, 1)), (), 0),
    ],
)
def test_what_open_vswitch_wants_matched_first(
    match: tuple[Match, ...], actions: tuple[Ct, ...], faults: int
) -> None:
    parts = (*f.PARTS, f.CT_SRC, f.CT_SRC6, f.CT_PROTO, f.CT_DPORT, f.CT_STATE)
    wide = replace(ROUTE, again=("classify",), matches=(*ROUTE.matches, *parts), writes=f.PARTS)
    tables = tuple(wide if t is ROUTE else t for t in TABLES)
    slots = tuple({m.value: None for m in match if isinstance(m.value, Slot)})
    shape = Shape("route-first", ROUTE.number, 77, match, actions, None, slots)
    found: list[str] = []
    try:
        check_declarations(tables, shapes=(*SHAPES, shape))
    except Broken as broken:
        found = [fault.rule for fault in broken.faults if fault.object == "route-first"]
    assert found == ["prerequisite"] * faults


def test_a_field_is_matched_once() -> None:
    wide = replace(ROUTE, matches=f.PARTS)
    shape = Shape("route-twice", ROUTE.number, 77, (Match(f.LABEL_EPOCH, 1), Match(f.LABEL_NOTED, 1)))
    with pytest.raises(Broken) as raised:
        check_declarations(tuple(wide if t is ROUTE else t for t in TABLES), shapes=(*SHAPES, shape))
    assert ("route-twice", "once") in {(fault.object, fault.rule) for fault in raised.value.faults}


@pytest.mark.parametrize(
    ("actions", "goto", "rule"),
    [
        ((Ct(1, 8),), None, "again"),
        ((Ct(1, 0), Special.IN_PORT), None, "again"),
        ((Ct(1 << 16, 0),), None, "width"),
    ],
)
def test_what_is_not_declared_is_refused(actions: tuple[Ct, ...], goto: int | None, rule: str) -> None:
    tables = tuple(replace(t, again=("classify",)) if t is ROUTE else t for t in TABLES)
    shape = Shape("route-again", ROUTE.number, 77, (), actions, goto)
    with pytest.raises(Broken) as raised:
        check_declarations(tables, shapes=(*SHAPES, shape))
    assert {(fault.object, fault.rule) for fault in raised.value.faults} == {("route-again", rule)}

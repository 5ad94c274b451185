"""The fakes do what OVS does, where the pipeline leans on it."""

from __future__ import annotations

import pytest

from model.flow import Flow, Match, Output, OutputField, SetField, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.compile import compile
from pipelines.shapes.terms import shape
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.switch import Sent, Switch, Verdict


def test_no_frame_returns_but_through_in_port() -> None:
    outputs = (Output(1), Output(2), SetField(f.EXIT.field, 1), OutputField(f.EXIT.field), Special.IN_PORT)
    flow = Flow(shape("x", t.CLASSIFY, 1, (), (), outputs), 0)
    assert Switch.of([flow]).receive({"in_port": 1}).ports == (2, 1)


def test_priority_and_masks() -> None:
    low = Flow(shape("low", t.CLASSIFY, 1, ()), 0)
    high = Flow(shape("high", t.CLASSIFY, 2, (Match(f.ETH_DST, f.GROUP, f.GROUP),)), 0)
    switch = Switch.of([low, high])
    assert switch.receive({"eth_dst": 0x01005E000001}).last == high
    assert switch.receive({"eth_dst": 0x020000000001}).last == low
    assert switch.counts == {low.key(): 1, high.key(): 1}


def test_a_fragment_hides_its_layer_4() -> None:
    packet = packets.udp(packets.ipv4(1, 2, 3, 4), 67, 68)
    assert packets.received(packet)["udp_dst"] == 68
    assert "udp_dst" not in packets.received(packet | {"ip_frag": 1})


def test_nobody_brings_registers_along() -> None:
    assert packets.received({"reg0": 1, "in_port": 1}) == {"in_port": 1}


def test_a_backward_goto_is_an_error() -> None:
    one = Flow(shape("one", t.CLASSIFY, 1, (), goto=t.GUARD), 0)
    back = Flow(shape("back", t.GUARD, 1, (), goto=t.CLASSIFY), 0)
    with pytest.raises(ValueError, match="goto"):
        Switch.of([one, back]).receive({})


def test_trace_text() -> None:
    text = packets.trace_text(packets.solicitation(0x020000000001, 1, 2) | {"in_port": 3})
    assert text == (
        "in_port=3,eth_src=02:00:00:00:00:01,eth_dst=33:33:ff:00:00:02,eth_type=0x86dd,ipv6_src=::1,"
        "ipv6_dst=ff02::1:ff00:2,ip_proto=58,nw_ttl=255,icmpv6_type=135,nd_target=::2,"
        "nd_sll=02:00:00:00:00:01"
    )
    fragment = packets.ipv4(1, 2, 3, 4) | {"ip_frag": 3, "in_port": 1}
    assert "ip_frag=later" in packets.trace_text(fragment)


def _sent(port: int, **packet: int) -> Verdict:
    return Verdict((Sent(port, packet),), ())


def test_the_invariant_sees_breaches() -> None:
    """Each kind of breach, made by hand: a judge that never convicts would be of no use."""
    snapshot = world.two_tenants()
    frame = packets.ipv4(0x020000000001, 0x020000000002, 0x0A000001, 0x0A000002) | {"in_port": 1}
    good = Verdict((Sent(2, frame),), ())
    assert violations(snapshot, frame, good) == []
    wrong = {
        "reached p21": Verdict((Sent(3, frame),), ()),
        "nobody's": Verdict((Sent(77, frame),), ()),
        "spoke with MAC": Verdict((Sent(2, frame | {"eth_src": 5}),), ()),
        "spoke as": Verdict((Sent(2, frame | {"ip_src": 5}),), ()),
        "left with VNI": Verdict((Sent(100, frame | {"tun_id": 1002, "tun_dst": 0xC0000202}),), ()),
        "went to VTEP": Verdict((Sent(100, frame | {"tun_id": 1001, "tun_dst": 1}),), ()),
        "malformed": Verdict((Sent(1, frame),), ()),
    }
    for text, verdict in wrong.items():
        assert any(text in found for found in violations(snapshot, frame, verdict)), text
    forged = frame | {"in_port": 100, "tun_id": 1001, "tun_src": 0xC0000202}
    assert violations(snapshot, forged, _sent(1)) == []
    assert violations(snapshot, forged, _sent(100)) != []
    assert violations(snapshot, forged | {"tun_id": 1002}, _sent(1)) != []
    assert violations(snapshot, forged | {"tun_src": 0xC0000204}, _sent(1)) != []
    assert violations(snapshot, frame | {"in_port": 77}, _sent(1)) != []


def test_the_worlds_are_complete() -> None:
    assert len(list(compile(world.two_tenants()).flows())) > 100

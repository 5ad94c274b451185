"""The reader of `ofproto/trace`, on answers that an OVS 3.1 gave for the program of `world.two_tenants`."""

from __future__ import annotations

from pipelines.compile import compile
from tests.fakes import packets, world
from tests.fakes.switch import Switch
from tests.fakes.trace import of_verdict, parse

GROUP = """\
Flow: tcp,in_port=1,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff

bridge("br-int")
----------------
 0. in_port=1,vlan_tci=0x0000/0x1fff, priority 100, cookie 0x52f120000000000b
    set_field:0x1->reg0
    set_field:0xb->reg1
    goto_table:1
 1. ip,reg1=0xb,dl_src=02:00:00:00:00:01,nw_src=10.0.0.1, priority 200, cookie 0x52f120000000000b
    goto_table:3
 3. ip, priority 50, cookie 0x52f1000000000000
    goto_table:5
 5. reg0=0x1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00, priority 100, cookie 0x52f1100000000001
    goto_table:6
 6. dl_dst=01:00:00:00:00:00/01:00:00:00:00:00, priority 1010, cookie 0x52f1000000000000
    set_field:0->reg3
    goto_table:7
 7. reg1=0xb,reg3=0, priority 100, cookie 0x52f1400000b00001
    goto_table:8
 8. reg0=0x1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00, priority 100, cookie 0x52f1100000000001
    output:1
     >> skipping output to input port
    output:2
    set_field:0x3e9->tun_id
    set_field:192.0.2.2->tun_dst
    output:100
     -> output to native tunnel
     >> native tunnel routing failed
    set_field:192.0.2.3->tun_dst
    output:100
     -> output to native tunnel
     >> native tunnel routing failed
"""
SINGLE_END = """\
 8. dl_dst=00:00:00:00:00:00/01:00:00:00:00:00, priority 50, cookie 0x52f1000000000000
    output:NXM_NX_REG2[]
     -> output port is 2
"""
ANSWER_END = """\
 3. arp,reg0=0x1,arp_tpa=10.0.0.3,arp_op=1, priority 200, cookie 0x52f1300010000003
    set_field:10.0.0.3->arp_spa
    IN_PORT
"""


def test_a_group_frame() -> None:
    packet = packets.ipv4(0x020000000001, (1 << 48) - 1, 0x0A000001, 0x0A0000FF) | {"in_port": 1}
    verdict = Switch.of(compile(world.two_tenants()).flows()).receive(packet)
    assert parse(GROUP) == of_verdict(packet, verdict)
    assert parse(GROUP).ports == ("2", "100", "100")


def test_ends() -> None:
    assert parse(SINGLE_END).ports == ("2",)
    assert parse(ANSWER_END).ports == ("IN_PORT",)
    assert parse(" 0. No match.\n    drop\n").path == ((0, None),)
    assert parse(" 0. in_port=1\n    drop\n").path == ((0, (32768, 0)),)

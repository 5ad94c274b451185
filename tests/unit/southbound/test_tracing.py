"""The language of ofproto/trace: what a real switch said, with tunnels into a bridge below."""

from __future__ import annotations

import pytest

from controller.southbound.tracing import Met, parse

HEAD = """Flow: icmp,in_port=3

bridge("br-int")
----------------
 0. in_port=3,vlan_tci=0x0000/0x1fff, priority 100, cookie 0x52f1200000000004
    set_field:0x2->reg0
    goto_table:64
64. priority 0
"""
NESTED = """    output:3
     >> skipping output to input port
    set_field:172.16.0.2->tun_dst
    output:1
     -> output to native tunnel
     -> tunneling to 172.16.0.2 via br-phy

    bridge("br-phy")
    ----------------
         0. priority 0
            NORMAL
             -> forwarding to learned port
    set_field:172.16.0.100->tun_dst
    output:1
     -> output to native tunnel
     -> tunneling to 172.16.0.100 via br-phy

bridge("br-phy")
----------------
 0. priority 0
    output:7
40. No match.
    drop
"""
TAIL = """
Final flow: icmp,reg0=0x2,in_port=3,dl_src=02:00:00:00:00:04,nw_frag=no
Megaflow: recirc_id=0,eth,icmp
Datapath actions: drop
"""


def test_the_bridge_below_is_left_out() -> None:
    traced = parse(HEAD + NESTED + TAIL, 3)
    assert traced.path == (
        Met(0, 100, 0x52F1200000000004, "in_port=3,vlan_tci=0x0000/0x1fff"),
        Met(64, 0),
    )
    reg0 = {"reg0": 2}
    assert traced.sent == (
        (1, reg0 | {"tun_dst": 0xAC100002}),
        (1, reg0 | {"tun_dst": 0xAC100064}),
    )
    assert traced.final["dl_src"] == 0x020000000004 and traced.trouble == ()


@pytest.mark.parametrize("words", ["native tunnel routing failed", "neighbor cache miss for 172.16.0.9"])
def test_a_tunnel_that_leads_nowhere_is_told(words: str) -> None:
    traced = parse(f"{HEAD}    output:1\n     -> output to native tunnel\n     >> {words}\n{TAIL}", 3)
    assert len(traced.trouble) == 1 and words in traced.trouble[0]


def test_no_match_is_a_step() -> None:
    assert parse(f'bridge("br-int")\n----\n 0. No match.\n    drop\n{TAIL}', 1).path == (Met(0, None),)


@pytest.mark.parametrize("text", ["", "nonsense", HEAD])
def test_what_is_no_verdict_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no verdict"):
        parse(text, 1)

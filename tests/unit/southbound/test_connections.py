"""What Open vSwitch lists of connections, as the agent shows it; tests/contract has the real lists."""

from __future__ import annotations

from controller.southbound.connections import Connection, parse

REPLY = "reply=(src=10.0.0.2,dst=10.0.0.1,sport=80,dport=40)"
LISTED = f"""\
tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=40,dport=80),{REPLY},zone=7,labels=0x90000000000000004,protoinfo=(state=SYN_SENT)
icmpv6,orig=(src=fd00::1,dst=fd00::2,id=7,type=128,code=0),reply=(src=fd00::2,dst=fd00::1,id=7,type=129,code=0),zone=7,labels=0x1
udp,orig=(src=fd00::1,dst=fd00::2,sport=4,dport=5),reply=(src=fd00::2,dst=fd00::1,sport=5,dport=4),id=3,zone=7,mark=2,labels=0x2
47,orig=(src=10.0.0.1,dst=10.0.0.2),reply=(src=10.0.0.2,dst=10.0.0.1),zone=7,labels=0x3
tcp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=40,dport=80),{REPLY},zone=7
tcp,orig=(src=10.
"""


def test_each_that_bears_a_label_is_told_with_what_began_it() -> None:
    assert tuple(parse(LISTED)) == (
        Connection(9 << 64 | 4, "tcp 10.0.0.1:40 > 10.0.0.2:80"),
        Connection(1, "icmpv6 fd00::1 > fd00::2 type 128 code 0"),
        Connection(2, "udp [fd00::1]:4 > [fd00::2]:5"),
        Connection(3, "47 10.0.0.1 > 10.0.0.2"),
    )


def test_nothing_is_made_of_nothing() -> None:
    assert tuple(parse("")) == () and tuple(parse("\n,labels=0x1\n")) == ()

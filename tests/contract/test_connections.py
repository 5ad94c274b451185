"""Flushing, bounding and listing conntrack zones of a real Open vSwitch."""

from __future__ import annotations

from controller.southbound import connections, unixctl
from tests.contract.ovs import PrivateOvs


def limits(ovs: PrivateOvs) -> str:
    return unixctl.call(ovs.rundir, "dpctl/ct-get-limits")


def test_limits_are_set_and_taken_away(ovs: PrivateOvs) -> None:
    connections.limit(ovs.rundir, "netdev", [(5, 100), (6, 200)])
    assert "zone=5,limit=100,count=0" in limits(ovs) and "zone=6,limit=200" in limits(ovs)
    connections.limit(ovs.rundir, "netdev", [(5, 0), (6, 50)])
    assert "zone=5" not in limits(ovs) and "zone=6,limit=50" in limits(ovs)
    connections.limit(ovs.rundir, "netdev", [(6, 0)])


def test_a_zone_is_flushed(ovs: PrivateOvs) -> None:
    """A flow that commits, and a packet by packet-out: the table has it, and then not."""
    ovs.ofctl("add-flow", "table=0,ip,actions=ct(commit,zone=7)")
    packet = "02000000000202000000000108004500001c000100004011" + "66ce0a0000010a000002" + "0fa0003500080000"
    ovs.ofctl("packet-out", f"in_port=1 packet={packet} actions=resubmit(,0)")
    dump = unixctl.call(ovs.rundir, "dpctl/dump-conntrack", "netdev@ovs-netdev", "zone=7")
    assert "dst=10.0.0.2" in dump
    connections.flush(ovs.rundir, 8)
    assert "dst=10.0.0.2" in unixctl.call(ovs.rundir, "dpctl/dump-conntrack", "netdev@ovs-netdev", "zone=7")
    connections.flush(ovs.rundir, 7)
    assert unixctl.call(ovs.rundir, "dpctl/dump-conntrack", "netdev@ovs-netdev", "zone=7") == ""


def test_a_zone_is_listed_with_labels_and_counted(ovs: PrivateOvs) -> None:
    connections.limit(ovs.rundir, "netdev", [(9, 100)])
    ovs.ofctl("add-flow", "table=0,ip,actions=ct(commit,zone=9,exec(load:0x9->NXM_NX_CT_LABEL[64..95]))")
    ovs.ofctl("add-flow", "table=0,priority=40000,udp,tp_dst=9,actions=ct(commit,zone=9)")
    for port in ("0035", "0009"):
        packet = (
            "02000000000202000000000108004500001c000100004011" + f"66ce0a0000010a0000020fa0{port}00080000"
        )
        ovs.ofctl("packet-out", f"in_port=1 packet={packet} actions=resubmit(,0)")
    assert connections.labelled(ovs.rundir, 9) == (
        connections.Connection(9 << 64, "udp 10.0.0.1:4000 > 10.0.0.2:53"),
    )
    assert connections.count(ovs.rundir, 9) == 2 and connections.count(ovs.rundir, 10) == 0
    connections.flush(ovs.rundir, 9)
    connections.limit(ovs.rundir, "netdev", [(9, 0)])

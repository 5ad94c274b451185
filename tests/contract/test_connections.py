"""Flushing and bounding conntrack zones of a real Open vSwitch."""

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

"""The labs themselves: what they build works before the product runs on it.

Place: if one of these fails, no other integration test means anything.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.l2 import Ether

from topologies import faults
from topologies.datapath import Datapath
from topologies.deadline import until
from topologies.errors import CommandFailed, LabError
from topologies.lab import Lab
from topologies.overlay import Seat, connect, program
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.endpoint import Endpoint
from topologies.traffic.frames import Forgery, forge, inject
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream, count_udp

pytestmark = pytest.mark.integration
VNI = 5001
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
LEFT, RIGHT = "10.0.0.1", "10.0.0.2"
EXPERIMENTAL = 0x88B5  # IEEE 802 local experimental EtherType: nothing else sends it.


@pytest.fixture(scope="module")
def pair(fabric_lab: Callable[..., Lab]) -> Lab:
    """Two hypervisors with a VM each, `left` and `right`, on a static overlay over one segment."""
    return overlaid(fabric_lab(2))


@pytest.fixture(scope="module", params=["pair", "routed"])
def either(request: pytest.FixtureRequest, pair: Lab, fabric_lab: Callable[..., Lab]) -> Lab:
    """The same on one segment, then on leaves and spines."""
    if request.param == "pair":
        return pair
    lab = fabric_lab(2, routed=True)
    return lab if "left" in lab.nodes else overlaid(lab)


def overlaid(lab: Lab) -> Lab:
    for name in ("left", "right"):
        lab.vm(name)
    connect(*seats(lab), VNI)
    await_ways(lab)
    return lab


def seats(lab: Lab) -> tuple[Seat, Seat]:
    first, second = lab.hypervisors
    return (
        Seat(first, lab.node("left"), MACS[0], f"{LEFT}/24"),
        Seat(second, lab.node("right"), MACS[1], f"{RIGHT}/24"),
    )


def await_ways(lab: Lab) -> None:
    await_ping(lab.node("left"), RIGHT)


def await_ping(source: Endpoint, address: str) -> None:
    until(f"{source.name} reaches {address}", lambda: ping(source, address, 1, wait=0.5).reached, 30)


def test_ping_across_hypervisors(either: Lab) -> None:
    assert ping(either.node("left"), RIGHT).complete


def test_tcp_arrives_intact(either: Lab) -> None:
    result = transfer(either.node("left"), either.node("right"), RIGHT, 1 << 20)
    assert result.intact, result


def test_tcp_to_nobody_is_a_result(pair: Lab) -> None:
    result = transfer(pair.node("left"), pair.node("right"), "10.0.0.99", 1000, timeout=3)
    assert not result.intact
    assert result.error


def test_udp_counts_to_the_packet(pair: Lab) -> None:
    result = count_udp(pair.node("left"), pair.node("right"), RIGHT, packets=500, size=400, rate=2000)
    assert (result.sent, result.received, result.duplicates, result.refused) == (500, 500, 0, 0)
    assert result.layer3_bytes == 500 * (400 + 28)


def test_flows_count_what_was_sent(pair: Lab) -> None:
    hypervisor = pair.node("hv1")
    before = _packets(hypervisor)
    count_udp(pair.node("left"), pair.node("right"), RIGHT, packets=300, size=100)
    hypervisor.settle()
    assert _packets(hypervisor) - before >= 300


def _packets(hypervisor) -> int:
    port = hypervisor.vsctl("get", "Interface", "tap0", "ofport").strip()
    flows = hypervisor.ofctl("dump-flows", hypervisor.management, f"in_port={port}")
    return int(flows.partition("n_packets=")[2].partition(",")[0])


def test_capture_demands_controls(pair: Lab) -> None:
    left, right = pair.node("left"), pair.node("right")
    with Capture(right) as capture:
        with pytest.raises(LabError, match="confirm"):
            capture.leaks(contains(b"anything"))
        capture.confirm(beacon(left, RIGHT, b"control-one"), incoming(contains(b"control-one")))
        with pytest.raises(LabError, match="confirm"):
            capture.leaks(contains(b"anything"))
        inject(left, "eth0", [Ether(src=MACS[0], dst=MACS[1], type=EXPERIMENTAL) / b"the-attack"])
        capture.confirm(beacon(left, RIGHT, b"control-two"), incoming(contains(b"control-two")))
        assert len(capture.leaks(contains(b"the-attack"))) == 1
        assert capture.leaks(contains(b"never-sent")) == ()


def test_capture_that_sees_nothing_fails_its_control(pair: Lab) -> None:
    with Capture(pair.node("right")) as capture:
        with pytest.raises(LabError, match="control frame"):
            capture.confirm(lambda: None, contains(b"never-sent"), timeout=0.5)


def test_forged_vxlan_arrives_where_nothing_guards(either: Lab) -> None:
    """A static overlay has no source check: this is the positive control of the product's own tests."""
    inner = bytes(Ether(src=MACS[0], dst=MACS[1], type=EXPERIMENTAL) / b"forged-frame")
    target = either.node("hv2").vtep_address
    attacker = either.reflectors[0]
    with Capture(either.node("right")) as capture:
        forge(attacker, [Forgery("172.16.99.99", target, VNI, inner)])
        assert capture.await_frame(incoming(contains(b"forged-frame")))


def test_cut_link_is_seen_and_mended(either: Lab) -> None:
    with faults.host_link_down(either, "hv2"):
        assert not ping(either.node("left"), RIGHT, 2, wait=0.3).reached
    await_ways(either)


def test_silent_loss_keeps_the_carrier(either: Lab) -> None:
    with faults.silence(either, "hv1"):
        assert not ping(either.node("left"), RIGHT, 2, wait=0.3).reached
        assert either.node("hv1").run("cat /sys/class/net/up0/carrier").strip() == "1"
    await_ways(either)


def test_partial_loss_loses_a_part(pair: Lab) -> None:
    name, interface = pair.links["hv1"]
    with faults.loss(pair.node(name), interface, 50, "udp dport 4789"):
        result = ping(pair.node("left"), RIGHT, 200, interval=0.01, wait=0.3)
    # 200 fair coins: the chance to leave this range is below 1e-15.
    assert 40 < result.received < 160
    assert ping(pair.node("left"), RIGHT, 20, interval=0.01).complete


def test_frozen_switch_forwards_only_where_the_kernel_does_and_thaws(pair: Lab) -> None:
    await_ways(pair)  # what the kernel has seen it forwards by itself
    with faults.frozen(pair.node("hv2").daemons["ovs-vswitchd"]):
        assert ping(pair.node("left"), RIGHT, 2, wait=0.3).reached is (pair.datapath is Datapath.KERNEL)
    await_ways(pair)


def test_stream_sees_an_outage(pair: Lab) -> None:
    with UdpStream(pair.node("left"), pair.node("right"), RIGHT) as stream:
        until("stream runs", lambda: stream.received > 100, 10)
        with faults.silence(pair, "hv1"):
            mark = stream.sent
            until("more was sent", lambda: stream.sent > mark + 300, 10)
        mark = stream.received
        until("stream is back", lambda: stream.received > mark + 50, 30)
        result = stream.stop()
    assert result.lost >= 300
    assert result.longest_gap > 0.1
    assert len(result.lost_numbers) == result.lost


def test_killed_database_comes_back_with_its_flows(pair: Lab) -> None:
    before = pair.node("hv1").ofctl("dump-flows", pair.node("hv1").management)
    assert "tun_id" in before
    faults.restart_database(pair.node("hv1"))
    await_ways(pair)
    assert "tun_id" in pair.node("hv1").ofctl("dump-flows", pair.node("hv1").management)


def test_killed_switch_comes_back_without_flows(pair: Lab) -> None:
    hypervisor = pair.node("hv1")
    faults.restart_switch(hypervisor)
    assert "tun_id" not in hypervisor.ofctl("dump-flows", hypervisor.management)
    await_ping(pair.node("hv2"), hypervisor.vtep_address)
    program(*seats(pair), VNI)
    await_ways(pair)


def test_crashed_host_boots(either: Lab) -> None:
    hypervisor = either.node("hv2")
    faults.crash(either, hypervisor)
    assert not ping(either.node("hv1"), hypervisor.vtep_address, 1, wait=0.3).reached
    faults.boot(either, hypervisor)
    await_ping(either.node("hv1"), hypervisor.vtep_address)
    assert hypervisor.vsctl("get", "Open_vSwitch", ".", "external_ids:system-id").strip().strip('"') == "hv2"
    program(*seats(either), VNI)
    await_ways(either)


def test_run_has_a_deadline_and_an_exit_code(pair: Lab) -> None:
    node = pair.node("left")
    with pytest.raises(CommandFailed, match="not over"):
        node.run("sleep 30", timeout=0.3)
    assert node.attempt("exit 7").code == 7
    with pytest.raises(CommandFailed, match="code 3"):
        node.run("echo why >&2; exit 3")
    with pytest.raises(LabError, match="there are"):
        pair.node("nobody")

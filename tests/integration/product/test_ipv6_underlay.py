"""VTEPs with IPv6 addresses: BGP, bridging, routing, probes, bill, isolation; there is no IPv4 below."""

from __future__ import annotations

import os
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.integration.product.bill import counted, settled
from topologies.deadline import until
from topologies.nodes.hypervisor import UNDERLAY_BRIDGE, UPLINK, Hypervisor
from topologies.scenarios.routed import FAR, Routed
from topologies.scenarios.two_tenants import TENANTS, Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.frames import Forgery, forge
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
PING = ("ping", "-n", "-M", "do", "-c", "1", "-W", "5")


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def host(lab: Routed, name: str) -> dict:
    return lab.base.control.hosts()[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_ports_reach_each_other_bridged_and_routed(ipv6_lab: Routed, family: int) -> None:
    for tenant in TENANTS:
        here, beside = ipv6_lab.base.of(tenant)
        far = ipv6_lab.extra[tenant, FAR]
        for there in (beside, far):
            assert here.host != there.host
            assert ping(here.vm, at(there, family), 3).complete
            sent = transfer(here.vm, there.vm, at(there, family), 300_000)
            assert sent.intact, sent


def test_hosts_are_in_sync_and_peer_over_ipv6(ipv6_lab: Routed) -> None:
    for hypervisor in ipv6_lab.lab.hypervisors:
        until(
            "in sync",
            lambda name=hypervisor.name: host(ipv6_lab, name)["state"] == "in-sync",
            30,
        )
        assert [p["address"] for p in host(ipv6_lab, hypervisor.name)["evpn"]["peers"]] == [
            reflector.address for reflector in ipv6_lab.lab.reflectors
        ]
        assert not hypervisor.run("ip -4 -o address show scope global").strip()


def ends(frame: bytes) -> tuple[IPv6Address, IPv6Address]:
    """Of an Ethernet frame with IPv6."""
    assert frame[12:14] == b"\x86\xdd", "no IPv6"
    return IPv6Address(frame[22:38]), IPv6Address(frame[38:54])


def test_the_tunnel_is_ipv6_and_nothing_else_is_there(ipv6_lab: Routed) -> None:
    here, there = ipv6_lab.base.of("red")
    first, second = ipv6_lab.lab.hypervisors
    vteps = tuple(IPv6Address(host.vtep_address) for host in (first, second))
    for family in FAMILIES:
        mark = os.urandom(16)
        with Capture(first, UPLINK) as capture:
            beacon(here.vm, at(there, family), mark)()
            tunnelled = capture.await_frame(contains(mark))
            assert ends(tunnelled.raw) == vteps
            assert not [f for f in capture.frames() if f.raw[12:14] in (b"\x08\x00", b"\x08\x06")]


def test_a_network_fits_an_underlay_of_1500_octets(ipv6_lab: Routed) -> None:
    """VXLAN over IPv6 takes 70: networks that ask for none have an MTU of 1430."""
    here, there = ipv6_lab.base.of("red")
    networks = ipv6_lab.base.control.get("networks")
    assert {network["spec"]["mtu"] for network in networks} == {1430}
    for hypervisor in ipv6_lab.lab.hypervisors:
        hypervisor.run(f"ip link set {hypervisor.underlay_interface} mtu 1500\nip link set {UPLINK} mtu 1500")
    for family in FAMILIES:
        size = 1430 - (28 if family == 4 else 48)
        fits = [*PING, "-s", str(size), at(there, family)]
        until("what fits passes", lambda fits=fits: "1 received" in here.vm.attempt(fits).stdout, 20)
        more = here.vm.attempt([*PING, "-s", str(size + 1), at(there, family)])
        assert " 0 received" in more.stdout and "1430" in more.stdout + more.stderr, more
    for hypervisor in ipv6_lab.lab.hypervisors:
        until("all fits", lambda h=hypervisor: "underlay-mtu" not in host(ipv6_lab, h.name)["reason"], 30)
    first = ipv6_lab.lab.hypervisors[0]
    first.run(f"ip link set {first.underlay_interface} mtu 1499")
    until("it is named", lambda: "VXLAN over IPv6 adds 70" in host(ipv6_lab, first.name)["reason"], 30)
    first.run(f"ip link set {first.underlay_interface} mtu 1500")


def probes_answered(hypervisor: Hypervisor) -> int:
    """Probes of others that this switch has sent back."""
    hypervisor.appctl("revalidator/purge")
    lines = hypervisor.ofctl("dump-flows", hypervisor.management, "table=0").splitlines()
    found = (line for line in lines if "tun_id=0xfffffe" in line and "IN_PORT" in line)
    return sum(int(line.partition("n_packets=")[2].partition(",")[0]) for line in found)


def test_paths_are_probed_over_ipv6(ipv6_lab: Routed) -> None:
    _, second = ipv6_lab.lab.hypervisors
    before = probes_answered(second)
    until("probes come back", lambda: probes_answered(second) > before + 2, 30)


@pytest.mark.long
def test_a_tunnel_that_breaks_is_named(ipv6_lab: Routed) -> None:
    first, second = ipv6_lab.lab.hypervisors
    bridge, broken = f"unix:{first.rundir}/{UNDERLAY_BRIDGE}.mgmt", "priority=65535,udp6,tp_dst=4789"
    first.ofctl("add-flow", bridge, f"{broken},actions=drop")
    try:
        path = f"path to {second.vtep_address}"
        until("the path is named", lambda: path in host(ipv6_lab, first.name)["reason"], 30)
    finally:
        first.ofctl("--strict", "del-flows", bridge, broken)
    until("the path is up", lambda: host(ipv6_lab, first.name)["state"] == "in-sync", 30)


def test_what_leaves_is_billed_to_the_byte(ipv6_lab: Routed) -> None:
    here, there = ipv6_lab.base.of("blue")
    before, sent = settled(ipv6_lab.base, here), 0
    for family in FAMILIES:
        with UdpStream(here.vm, there.vm, at(there, family), rate=1000, size=300, limit=200) as stream:
            result = stream.finish()
        assert (result.sent, result.lost) == (200, 0), result
        sent += result.layer3_bytes
    until("all is counted", lambda: counted(ipv6_lab.base, here) - before >= sent, 30)
    assert settled(ipv6_lab.base, here) - before == sent


@pytest.mark.parametrize("family", FAMILIES)
def test_tenants_with_the_same_addresses_do_not_meet(ipv6_lab: Routed, family: int) -> None:
    """Bridged, and routed; the witness has heard its own tenant before and after."""
    red, blue = ipv6_lab.base.of("red"), ipv6_lab.base.of("blue")
    far = ipv6_lab.extra["blue", FAR]
    for witness in (blue[1], far):
        target = at(witness, family)
        control, attack = os.urandom(16), os.urandom(16)
        with Capture(witness.vm) as capture:
            capture.confirm(beacon(blue[0].vm, target, control), incoming(contains(control)))
            for _ in range(3):
                beacon(red[0].vm, target, attack)()
            capture.confirm(beacon(blue[0].vm, target, control), incoming(contains(control)))
            assert capture.leaks(contains(attack)) == ()


def test_vxlan_from_no_vtep_and_with_a_strange_vni_reaches_nobody(ipv6_lab: Routed) -> None:
    red1, red2 = ipv6_lab.base.of("red")
    first = ipv6_lab.lab.hypervisors[0]
    (forger,) = ipv6_lab.lab.reflectors
    vni = next(n["spec"]["vni"] for n in ipv6_lab.base.control.get("networks", "--tenant", "red")
               if n["metadata"]["name"] == "net")  # fmt: skip
    attack, control = os.urandom(16), os.urandom(16)
    inner = bytes(Ether(src=red2.mac, dst=red1.mac) / IP(src=red2.ipv4, dst=red1.ipv4) / UDP() / Raw(attack))
    stranger = [Forgery(forger.address, first.vtep_address, n, inner) for n in (vni, vni + 1000)]
    with Capture(red1.vm) as capture:
        capture.confirm(beacon(red2.vm, red1.ipv4, control), incoming(contains(control)))
        before = refused(first)
        forge(forger, stranger)
        until("they are counted", lambda: refused(first) >= before + len(stranger), 20)
        capture.confirm(beacon(red2.vm, red1.ipv4, control), incoming(contains(control)))
        assert capture.leaks(contains(attack)) == ()


def refused(hypervisor: Hypervisor) -> int:
    """Frames that table classify dropped."""
    hypervisor.appctl("revalidator/purge")
    lines = hypervisor.ofctl("dump-flows", hypervisor.management, "table=0").splitlines()
    dropped = (line for line in lines if "actions=drop" in line)
    return sum(int(line.partition("n_packets=")[2].partition(",")[0]) for line in dropped)


@pytest.mark.long
def test_the_reflector_of_the_product_s_making_passes_what_is_right(ipv6_lab: Routed) -> None:
    """And nothing of a client whose next hop is another's: the control of the same."""
    control, (reflector,) = ipv6_lab.base.control, ipv6_lab.lab.reflectors
    first, second = ipv6_lab.lab.hypervisors
    made = control.run("reflector", "--source", reflector.address, "--router-id", "172.16.0.200", "--macs")
    assert made.ok, made.stderr
    assert control.run("reflector", "--source", reflector.address).code == 2

    def passed(text: str) -> dict[str, int]:
        """Routes that a reflector with this configuration took, by client."""
        reflector.kill()
        (reflector.mounts["/etc/frr"] / "bgpd.conf").write_text(text)
        reflector.revive()
        until("sessions are up", lambda: len(reflector.established()) == 2, 60)
        peers = reflector.show("show bgp l2vpn evpn summary")["peers"]
        until("second is heard", lambda: count(second.vtep_address) > 0, 30)
        return {name: count(name) for name in peers}

    def count(client: str) -> int:
        return int(reflector.show("show bgp l2vpn evpn summary")["peers"][client]["pfxRcd"])

    line = f" match ipv6 next-hop address {first.vtep_address}\n"
    wrong = made.stdout.replace(line, line.replace(first.vtep_address, "2001:db8:16::99"))
    assert wrong != made.stdout and passed(wrong)[first.vtep_address] == 0
    until("right ones pass", lambda: all(passed(made.stdout).values()), 60)
    for tenant in TENANTS:
        here, there = ipv6_lab.base.of(tenant)
        for family in FAMILIES:
            assert ping(here.vm, at(there, family), 2).reached

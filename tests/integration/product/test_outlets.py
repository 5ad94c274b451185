"""VFs that serve ports: their representors become interfaces of the bridge, and take the same pipeline.

Two hosts, two tenants, real Open vSwitch. The NIC is simulated (`topologies.firmware`): its files and netlink
answers react as Linux' do. A veth pair stands for representor and VF: one end is named as the representor
that the simulated kernel shows, the other is the workload's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.integration.product.bill import ledger, settled
from tests.integration.product.witness import Witness, document
from topologies.control import python_path
from topologies.deadline import until
from topologies.firmware import SOCKET, Distant
from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor
from topologies.nodes.link import End, link
from topologies.process import listens
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

PCI, VF, PF = "0000:18:00.0", 3, "fe0"
NETDEV, REPRESENTOR = "enp24s0", f"enp24s0r{VF}"
PORT, NUMBER = "fitted", 66
COUNT, PING = 20, 84
"""Octets of a ping's IPv4 packet."""
MTU = 1450


@dataclass
class Stage:
    """`here` has the VF; `peer` is of its tenant and `other` of the other one, both on the other host."""

    scenario: TwoTenants
    host: Hypervisor
    here: Workload
    peer: Workload
    other: Workload
    taps: set[str]

    @property
    def kernel(self) -> Distant:
        return Distant(self.host.directory)

    def link_state(self) -> tuple[int | None, int | None, str]:
        """MAC, link and driver of the VF."""
        (found,) = (each for each in self.kernel.links(NETDEV) if each.index == VF)
        place = self.kernel.root / f"bus/pci/devices/{PCI}/virtfn{VF}/driver"
        return found.mac, found.link, place.readlink().name if place.is_symlink() else ""

    def plugged(self) -> set[str]:
        return set(self.host.vsctl("list-ports", OVERLAY_BRIDGE).split())

    def ids(self) -> str:
        return self.host.vsctl("get", "Interface", REPRESENTOR, "external_ids")

    def status(self) -> dict[str, Any]:
        (port,) = self.scenario.control.get("ports", PORT, "--tenant", "red")
        return dict(port["status"])


def hardware(host: str) -> list[dict[str, Any]]:
    pf = {"name": PF, "pci": PCI, "kind": "ethernet", "vfs": 4, "eswitch": "switchdev"}
    rails = [{"name": "rail0", "ipv4": "10.128.0.0/16"}]
    return [
        document("Sku", {"name": "front"}, {"pfs": [pf]}),
        document("Fabric", {"name": "rails"}, {"kind": "roce", "rails": rails}),
        document("Node", {"name": "n1"}, {"sku": "front", "fabric": "rails", "host": host}),
    ]


def port(host: str, **more: Any) -> dict[str, Any]:
    spec = {"network": NETWORK, "addresses": [f"10.0.0.{NUMBER}", f"fd00:10::{NUMBER}"], "hosts": [host]}
    return document("Port", {"name": PORT, "tenant": "red"}, spec | more)


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2)
    control, (host, far) = scenario.control, scenario.lab.hypervisors[:2]
    scenario.await_reachability()
    manifests = host.directory / "hardware.yaml"
    manifests.write_text("".join(f"---\n{json.dumps(each)}\n" for each in hardware(host.name)))
    words = [sys.executable, "-m", "topologies.firmware", str(host.directory), str(manifests), "front", "1"]
    host.daemon("kernel", words, lambda: listens(host.directory / SOCKET), env=python_path()).start()
    control.outfit(host, host.directory)
    control.apply([*hardware(host.name), port(host.name)])
    (made,) = control.get("ports", PORT, "--tenant", "red")
    uid, mac = made["metadata"]["uid"], made["spec"]["mac"]
    vm = scenario.lab.vm("red66")
    cidrs = (f"10.0.0.{NUMBER}/24", f"fd00:10::{NUMBER}/64")
    link(End(host, REPRESENTOR), End(vm, "eth0", mac), MTU)
    vm.configure(mac, cidrs)
    here = Workload("red", PORT, uid, mac, cidrs, host.name, vm, REPRESENTOR)
    peer, other = scenario.at("red", far.name), scenario.at("blue", far.name)
    taps = {scenario.at(tenant, host.name).ifname for tenant in ("red", "blue")}
    return Stage(scenario, host, here, peer, other, taps)


def test_a_port_gets_its_vf_and_reaches_its_neighbours(stage: Stage) -> None:
    assert REPRESENTOR not in stage.plugged()
    stage.scenario.control.apply([port(stage.host.name, vf={"pf": PF, "index": VF})])
    until("the representor is in the bridge", lambda: REPRESENTOR in stage.plugged(), 20)
    assert f'ringfence-vf="{PCI}/{VF}"' in stage.ids() and stage.here.uid in stage.ids()
    until("the port is bound", lambda: stage.status().get("host") == stage.host.name, 20)
    mac = int(stage.here.mac.replace(":", ""), 16)
    until("its link goes up last", lambda: stage.link_state() == (mac, 0, "mlx5_core"), 20)
    assert stage.kernel.mode(PCI) == "switchdev"
    for address in stage.peer.addresses:
        until(
            f"it reaches {address}",
            lambda address=address: ping(stage.here.vm, address, 1, wait=0.5).reached,
            30,
        )


def test_the_other_tenant_is_out_of_reach(stage: Stage) -> None:
    """Frames made for the other's MAC and address come out nowhere there, in both directions."""
    local = stage.scenario.at("red", stage.host.name)
    blue = stage.scenario.at("blue", stage.host.name)
    senders = {stage.other.name: blue, stage.here.name: local, blue.name: stage.other}
    sign = os.urandom(16)
    with Witness([stage.other, stage.here, blue], senders) as witness:
        witness.control()
        for source, target in (
            (stage.here, stage.other),
            (stage.here, blue),
            (stage.other, stage.here),
            (blue, stage.here),
        ):
            body = IP(src=source.ipv4, dst=target.ipv4) / UDP(sport=7, dport=7) / sign
            inject(source.vm, "eth0", [bytes(Ether(src=source.mac, dst=target.mac) / body)] * 5)
        witness.control()
        assert not witness.places(sign)


def test_it_is_billed(stage: Stage) -> None:
    before = settled(stage.scenario, stage.here)
    assert ping(stage.here.vm, stage.peer.ipv4, COUNT, interval=0.05).reached
    more = settled(stage.scenario, stage.here) - before
    print("billed of the VF's port:", more)
    assert COUNT * PING <= more <= (COUNT + 5) * PING


def test_hardware_under_it_stays(stage: Stage) -> None:
    outcome = stage.scenario.control.run("delete", "node", "n1")
    assert not outcome.ok and f"Port red/{PORT}" in outcome.stderr, outcome


def test_it_goes_with_its_port_and_nothing_else_does(stage: Stage) -> None:
    """Its last bytes, sent right before, are billed, and none is in doubt."""
    before, gaps = settled(stage.scenario, stage.here), ledger(stage.scenario, "red")[PORT]["gaps"]
    with UdpStream(stage.here.vm, stage.peer.vm, stage.peer.ipv4, rate=1000, size=300, limit=500) as stream:
        sent = stream.finish()
    assert (sent.sent, sent.lost) == (500, 0), sent
    assert stage.scenario.control.run("delete", "port", PORT, "--tenant", "red").ok
    until("the representor has left the bridge", lambda: REPRESENTOR not in stage.plugged(), 30)
    assert stage.link_state() == (0, 2, "")
    assert stage.plugged() >= stage.taps
    assert not ping(stage.here.vm, stage.peer.ipv4, 1, wait=0.5).reached
    more = settled(stage.scenario, stage.here) - before
    print("billed of what was sent last:", more, "of", sent.layer3_bytes)
    assert (more, ledger(stage.scenario, "red")[PORT]["gaps"]) == (sent.layer3_bytes, gaps)
    for address in stage.peer.addresses:
        local = stage.scenario.at("red", stage.host.name)
        assert ping(local.vm, address, 1, wait=2).reached

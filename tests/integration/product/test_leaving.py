"""A port moves from a host of FRR to one of ours, and back, by nothing but its `hosts`: who knows no store
follows, because each newcomer says a higher mobility sequence (RFC 7432 section 7.7).
`frr1` has the port first; `frr2` and its VM only look on. Both are FRR with kernel VXLAN, and know no store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.integration.product.witness import document, vni
from topologies.deadline import until
from topologies.fabrics import ASN, BRIDGE, UNDERLAY_MTU
from topologies.nodes.frr import UPLINK, FrrHost, Timers, host_configuration
from topologies.nodes.hypervisor import Hypervisor, plug, unplug
from topologies.nodes.link import End, link
from topologies.nodes.vm import Vm
from topologies.scenarios.two_tenants import NETWORK, TwoTenants, Workload
from topologies.traffic.ping import ping

pytestmark = [pytest.mark.integration, pytest.mark.long]

WATCHER, ADDRESS, MAC = "frr2", "172.16.0.140", "02:5f:00:00:00:99"
CIDRS = ("10.0.0.99/24", "fd00:10::99/64")
PATIENCE = 40.0


@dataclass
class Stage:
    """`port` is red's VM on frr1, which moves; `onlooker` the VM on frr2; `vni` that of red's network."""

    scenario: TwoTenants
    watcher: FrrHost
    onlooker: Vm
    port: Workload
    vni: int

    @property
    def frr(self) -> FrrHost:
        (host,) = (h for h in self.scenario.lab.frr_hosts if h.name != WATCHER)
        return host

    @property
    def ours(self) -> Hypervisor:
        return self.scenario.lab.hypervisors[0]

    def declare(self, host: str, **more: Any) -> None:
        """The whole move, as far as the operator has a hand in it."""
        addresses = list(self.port.addresses)
        spec = {"network": NETWORK, "addresses": addresses, "mac": self.port.mac, "hosts": [host], **more}
        self.scenario.control.apply([document("Port", {"name": self.port.port, "tenant": "red"}, spec)])

    def listed(self, what: str, host: str) -> list[dict[str, Any]]:
        done = self.scenario.control.run("evpn", what, "--mac", self.port.mac, "--host", host, "-o", "json")
        assert done.ok, done.stderr
        return list(json.loads(done.stdout)["items"])

    def known(self, frr: FrrHost) -> dict[str, Any]:
        """What FRR's zebra has of the MAC."""
        found = frr.show(f"show evpn mac vni {self.vni} mac {self.port.mac}")
        return dict(found.get(self.port.mac, found))

    def remote_at(self, frr: FrrHost, vtep: str) -> bool:
        return self.known(frr).get("remoteVtep") == vtep

    def sequence(self, host: str = "hv2") -> int:
        (row,) = self.listed("routes", host)
        return int(row["sequence"])

    def reached(self, vtep: str) -> None:
        """Everybody has the port at that VTEP, in tables and in fact."""
        hosts = [str(h.name) for h in self.scenario.lab.hypervisors if h.vtep_address != vtep]
        for host in hosts:
            until(
                f"{host} has it at {vtep}",
                lambda h=host: [r["vtep"] for r in self.listed("routes", h)] == [vtep],
                PATIENCE,
            )
        for frr in (self.watcher, self.frr):
            if frr.address != vtep:
                until(f"{frr.name} has it at {vtep}", lambda f=frr: self.remote_at(f, vtep), PATIENCE)
        for vm in (self.scenario.at("red", "hv2").vm, self.onlooker):
            for address in self.port.addresses:
                until(
                    f"{vm.name} reaches {address}",
                    lambda v=vm, a=address: ping(v, a, 1, wait=0.5).reached,
                    PATIENCE,
                )
                assert ping(vm, address, 3).complete


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    scenario = two_tenants_lab(2, frr_hosts=1)
    scenario.await_reachability()
    lab, code = scenario.lab, vni(scenario, "red")
    bare = [cidr.partition("/")[0] for cidr in CIDRS]
    watching = {"network": NETWORK, "mac": MAC, "addresses": bare, "hosts": [WATCHER]}
    scenario.control.apply(
        [
            document("Hypervisor", {"name": WATCHER}, {"vtep": ADDRESS, "external": True}),
            document("Port", {"name": "onlooker", "tenant": "red"}, watching),
        ]
    )
    watcher = FrrHost(WATCHER, lab.cell, lab.directory, f"{ADDRESS}/24")
    lab.add(watcher)
    segment = lab.nodes[BRIDGE]
    link(End(watcher, UPLINK), End(segment, WATCHER), UNDERLAY_MTU)
    segment.attach(WATCHER)  # type: ignore[attr-defined]
    watcher.start(host_configuration(ADDRESS, ASN, [r.address for r in lab.reflectors], Timers()))
    watcher.add_network(code)
    onlooker = lab.vm("onlooker")
    watcher.plug(onlooker, "tap-onlooker", code, MAC, CIDRS)
    yield Stage(scenario, watcher, onlooker, scenario.at("red", "frr1"), code)


def test_a_port_moves_to_us_and_back_and_to_us_again(stage: Stage) -> None:
    port, before = stage.port, stage.sequence()
    stage.reached(stage.frr.address)
    # It stops there without a word, as a VM does that was migrated: frr1 goes on saying that it has it.
    port.vm.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1\nip address flush dev eth0")
    assert stage.listed("routes", "hv2")[0]["vtep"] == stage.frr.address
    stage.declare("hv1")
    arrived = stage.scenario.lab.vm("arrived")
    plug(stage.ours, arrived, "tap-arrived", port.uid, port.mac, port.cidrs)
    stage.reached(stage.ours.vtep_address)
    first = stage.sequence()
    assert first > before
    # The first word was high enough: nothing had to be raised afterwards.
    assert {r["sequence"] for r in stage.listed("advertised", "hv1")} == {first}
    assert not stage.listed("duplicates", "hv1")

    unplug(stage.ours, "tap-arrived")
    stage.declare(str(stage.frr.name))
    port.vm.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
    port.vm.configure(port.mac, port.cidrs)

    def speaks() -> bool:
        """frr1 learns of it, as a bridge does, by what it sends."""
        ping(port.vm, stage.scenario.at("red", "hv2").ipv4, 1, wait=0.2)
        return bool(stage.known(stage.frr).get("type") == "local")

    until("frr1 has it itself", speaks, PATIENCE)
    stage.reached(stage.frr.address)
    second = stage.sequence()

    port.vm.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1\nip address flush dev eth0")
    stage.declare("hv1")
    again = stage.scenario.lab.vm("again")
    plug(stage.ours, again, "tap-again", port.uid, port.mac, port.cidrs)
    stage.reached(stage.ours.vtep_address)
    assert stage.sequence() > second


def test_a_sticky_port_is_static_to_others_and_migrates_all_the_same(stage: Stage) -> None:
    """hv1's VTEP is the lower one: of two static routes FRR keeps it, so it follows by the withdrawal."""
    control, here = stage.scenario.control, stage.scenario.at("red", "hv1")
    hosts, watched = ["hv1", "hv2"], replace(stage, port=here)
    assert not watched.known(stage.watcher).get("stickyMac")
    watched.declare("hv1", hosts=hosts, sticky=True)
    (shown,) = control.get("ports", here.port, "--tenant", "red")
    assert shown["spec"]["sticky"] is True

    def stuck_at(vtep: str) -> bool:
        known = watched.known(stage.watcher)
        return (known.get("remoteVtep"), known.get("stickyMac")) == (vtep, True)

    first, second = (host.vtep_address for host in stage.scenario.lab.hypervisors)
    until("FRR has it as static", lambda: stuck_at(first), PATIENCE)
    assert ping(stage.onlooker, here.ipv4, 3).complete and ping(stage.onlooker, here.ipv6, 3).complete
    moving = control.run("migrate", here.port, "--tenant", "red", "--to", "hv2", "--activate")
    assert moving.ok, moving.stderr
    moved = stage.scenario.lab.vm("moved")
    here.vm.run("ip link set eth0 down")
    plug(stage.scenario.lab.hypervisors[1], moved, "tap-moved", here.uid, here.mac, here.cidrs)
    until("FRR has followed", lambda: stuck_at(second), PATIENCE)
    for address in here.addresses:
        until(
            f"reached at {address}", lambda a=address: ping(stage.onlooker, a, 1, wait=0.5).reached, PATIENCE
        )
        assert ping(stage.onlooker, address, 3).complete

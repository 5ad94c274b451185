"""A VM that may use allowed pairs sends thousands of damaged frames: nobody else notices, nothing ends.

Real Open vSwitch, real frames, the same in each run. Meanwhile the other tenant loses nothing; afterwards the
agents are in sync and have logged no exception, and what had to be refused was counted.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from controller.southbound.ovsdb.layout import PACKET_BURST, PACKETS
from tests.integration.product.attacks import CLASSIFY, GUARD
from tests.integration.product.fuzzing import GATEWAY_MAC, Aim, expired, frames, is_refused
from tests.integration.product.test_isolation import in_sync
from tests.integration.product.witness import Witness, drops, risen
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.frames import inject
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

SHARED = ("10.0.0.100", "fd00:10::100")
SEED, COUNT = 20260, 4_000
_HANDED_UP = re.compile(r"packets not forwarded host=hv1 (.*)")
_GROWTH = 64 << 20
"""Bytes by which an agent may grow: far more than it does."""


@dataclass(frozen=True, slots=True)
class Stage:
    scenario: TwoTenants
    aim: Aim

    @property
    def host(self) -> Hypervisor:
        return self.scenario.lab.hypervisors[0]

    def log(self, host: str) -> str:
        return self.scenario.control.agents[host].log.read_text()

    def resident(self, host: str) -> int:
        """Bytes of memory of an agent (proc(5))."""
        with open(f"/proc/{self.scenario.control.agents[host].pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))

    def handed_up(self) -> int:
        """Packets that the agent of hv1 was asked to answer, as it says after a packet that comes now."""
        before = len(_HANDED_UP.findall(self.log("hv1")))
        inject(self.aim.me.vm, "eth0", expired(self.aim, 1))
        until("the agent counts", lambda: len(_HANDED_UP.findall(self.log("hv1"))) > before, 30)
        said = _HANDED_UP.findall(self.log("hv1"))[-1]
        return sum(int(word.partition("=")[2]) for word in said.split())


def wide(host: Hypervisor, workload: Workload, mtu: int) -> None:
    """Guests may raise their MTU; the host's end may be as large."""
    workload.vm.run(f"ip link set eth0 mtu {mtu}")
    host.run(f"ip link set {workload.ifname} mtu {mtu}")


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2)
    me, friend = scenario.of("red")
    (document,) = scenario.control.get("ports", me.port, "--tenant", "red")
    document.pop("status")
    document["spec"]["allowedAddresses"] = [{"prefix": f"{a}/{'128' if ':' in a else '32'}"} for a in SHARED]
    scenario.control.apply([document])
    scenario.await_reachability()
    until("programmed everywhere", lambda: in_sync(scenario), 30)
    return Stage(scenario, Aim(me, friend, scenario.of("blue")[1], SHARED, os.urandom(16)))


def test_thousands_of_damaged_frames_disturb_nobody(stage: Stage) -> None:
    me, (blue1, blue2) = stage.aim.me, stage.scenario.of("blue")
    made = frames(stage.aim, COUNT, SEED)
    refused = sum(is_refused(stage.aim, frame) for frame in made)
    assert COUNT / 10 < refused < COUNT * 9 / 10  # some of each
    switches = {h.name: h.daemons["ovs-vswitchd"].pid for h in stage.scenario.lab.hypervisors}
    agents = {name: agent.pid for name, agent in stage.scenario.control.agents.items()}
    memory, before = {name: stage.resident(name) for name in agents}, drops(stage.host)
    wide(stage.host, me, 9000)
    try:
        with Witness((blue1, blue2), {blue1.name: blue2, blue2.name: blue1}) as witness:
            witness.control()
            with UdpStream(blue1.vm, blue2.vm, blue2.ipv4, 200) as honest:
                inject(me.vm, "eth0", made)
                result = honest.stop()
            witness.control()
            leaks = {s: dict(witness.places(s)) for s in (stage.aim.mark, mac_of(me)) if witness.places(s)}
    finally:
        wide(stage.host, me, 1450)
    assert leaks == {}
    assert (result.lost, result.refused) == (0, 0) and result.sent > 0
    counted = sum(risen(stage.host, before, table, 0) for table in (CLASSIFY, GUARD))
    assert counted >= refused, f"{counted} counted of {refused} that had to be refused"
    until("in sync", lambda: in_sync(stage.scenario), 60)
    assert {h.name: h.daemons["ovs-vswitchd"].pid for h in stage.scenario.lab.hypervisors} == switches
    assert {name: agent.pid for name, agent in stage.scenario.control.agents.items()} == agents
    grown = {name: stage.resident(name) - memory[name] for name in agents}
    print(f"{refused} of {COUNT} refused, {counted} counted, {result.sent} honest, grown {grown}")
    assert max(grown.values()) < _GROWTH
    for name in agents:
        assert f"state host={name}" in stage.log(name), "the control: this is the agent's log"
        assert "Traceback" not in stage.log(name)
    stage.scenario.await_reachability()


def test_what_is_handed_to_the_agent_is_bounded(stage: Stage) -> None:
    """Each of these is one that the agent would answer: the switch itself holds back what is too much."""
    before, count = stage.handed_up(), 2_000
    began = time.monotonic()
    inject(stage.aim.me.vm, "eth0", expired(stage.aim, count))
    seconds = time.monotonic() - began
    rise = stage.handed_up() - before
    print(f"{rise} of {count} handed up in {seconds:.1f} s")
    # the queue in the switch holds a burst, too, and is emptied after the last of them
    assert PACKET_BURST < rise <= 3 * PACKET_BURST + PACKETS * seconds
    until("in sync", lambda: in_sync(stage.scenario), 60)
    assert "Traceback" not in stage.log("hv1")


def test_packets_from_afar_do_not_crowd_out_path_probes(stage: Stage) -> None:
    """Each is told of on the other host, whose answers to path probes come up out of the same tunnel: were
    they lost, a VM could call tunnels down, and move other tenants' gateways."""
    me, friend = stage.aim.me, stage.aim.friend
    head = Ether(src=me.mac, dst=GATEWAY_MAC)
    packets = [
        bytes(head / IP(src=me.ipv4, dst=friend.ipv4, ttl=2) / UDP() / stage.aim.mark),
        bytes(head / IPv6(src=me.ipv6, dst=friend.ipv6, hlim=2) / UDP() / stage.aim.mark),
    ]
    until("the control: such packets are told of", lambda: told(stage, packets), 30)
    path = f"vtep={stage.host.vtep_address}"
    down = stage.log("hv2").count(f"path down {path}")
    inject(me.vm, "eth0", packets * 4_000)
    assert stage.log("hv2").count(f"path down {path}") == down


def told(stage: Stage, packets: list[bytes]) -> bool:
    """Whether the agent of the other host says that it was handed some."""
    inject(stage.aim.me.vm, "eth0", packets)
    return "packets not forwarded host=hv2" in stage.log("hv2")


def mac_of(workload: Workload) -> bytes:
    return bytes.fromhex(workload.mac.replace(":", ""))

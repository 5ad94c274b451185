"""Two VMs on two hosts share an address by VRRP (keepalived): allowed pairs, and VRRP's own multicast.

The network replicates nothing. `vm1` is preferred, `vm2` takes over; `watcher`, without a pair, asks for the
address and tries to steal it. The other tenant has VMs with the same addresses, and hears nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.integration.product.witness import Guest, seat
from topologies.deadline import until
from topologies.errors import LabError
from topologies.process import Daemon
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.announce import gratuitous
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

SHARED = ("10.0.0.100", "fd00:10::100")
PAIRS = [{"prefix": "10.0.0.100/32"}, {"prefix": "fd00:10::100/128"}]
_CONFIGURATION = """
global_defs {{
  vrrp_version 3
  vrrp_garp_master_delay 1
}}
vrrp_instance four {{
  interface eth0
  state BACKUP
  virtual_router_id 7
  priority {priority}
  advert_int 0.3
  virtual_ipaddress {{ 10.0.0.100/24 dev eth0 }}
}}
vrrp_instance six {{
  interface eth0
  state BACKUP
  virtual_router_id 8
  priority {priority}
  advert_int 0.3
  virtual_ipaddress {{ fd00:10::100/64 dev eth0 }}
}}
"""


@dataclass
class Stage:
    scenario: TwoTenants
    first: Workload
    second: Workload
    watcher: Workload
    speakers: dict[str, Daemon]

    def holds(self, workload: Workload) -> set[str]:
        """Which of the shared addresses the VM has."""
        text = workload.vm.run("ip -o address show dev eth0")
        return {a for a in SHARED if f"{a}/" in text}

    def soon(self, address: str, at: Workload) -> bool:
        """For those who ask again."""
        return self.arrives(address, at, 1.5)

    def arrives(self, address: str, at: Workload, wait: float = 20.0) -> bool:
        """Whether what the watcher sends to the address comes out at this VM within so many seconds."""
        marker = os.urandom(16)
        with Capture(at.vm) as capture:
            try:
                send = beacon(self.watcher.vm, address, marker)
                capture.confirm(send, incoming(contains(marker)), wait)
            except LabError:
                return False
        return True


def speaker(workload: Workload, priority: int) -> Daemon:
    """keepalived in a VM, VRRP only."""
    directory = workload.vm.directory
    path = directory / "keepalived.conf"
    path.write_text(_CONFIGURATION.format(priority=priority))
    command = ["keepalived", "--dont-fork", "--log-console", "--vrrp", "--use-file", str(path)]
    command += ["--pid", str(directory / "k.pid"), "--vrrp_pid", str(directory / "v.pid")]

    def clear() -> None:
        """What a killed one left; its child ends with it, and takes its addresses away."""
        for left in (directory / "k.pid", directory / "v.pid"):
            left.unlink(missing_ok=True)

    return workload.vm.daemon("keepalived", command, (directory / "v.pid").exists, clear)


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    scenario = two_tenants_lab(2)
    first, second = scenario.of("red")[:2]
    (watcher,) = seat(scenario, [Guest("red", "net", "watcher", 79, (second.host,))])
    for workload in (first, second):
        (document,) = scenario.control.get("ports", workload.port, "--tenant", "red")
        document.pop("status")
        document["spec"]["allowedAddresses"] = PAIRS
        scenario.control.apply([document])
    scenario.await_reachability()
    speakers = {"first": speaker(first, 150), "second": speaker(second, 100)}
    for daemon in speakers.values():
        daemon.start()
    yield Stage(scenario, first, second, watcher, speakers)
    for daemon in speakers.values():
        daemon.stop()


def test_virtual_routers_hear_each_other_and_one_has_the_address(stage: Stage) -> None:
    until("the preferred one has both", lambda: stage.holds(stage.first) == set(SHARED), 30)
    until("the other has none", lambda: stage.holds(stage.second) == set(), 30)
    for address in SHARED:
        until(
            f"the watcher reaches {address}",
            lambda address=address: ping(stage.watcher.vm, address, 1, wait=0.5).reached,
            30,
        )
        assert stage.arrives(address, stage.first)


def test_who_may_not_have_it_cannot_take_it(stage: Stage) -> None:
    thief = stage.watcher
    blue = stage.scenario.at("blue", stage.second.host)
    for vm, mac in ((thief.vm, thief.mac), (blue.vm, blue.mac)):
        inject(vm, "eth0", [gratuitous(mac, SHARED[0])] * 10)
    assert stage.arrives(SHARED[0], stage.first)
    marker = os.urandom(16)
    with Capture(blue.vm) as capture:
        neighbour = stage.scenario.at("blue", stage.first.host)
        control = os.urandom(16)
        capture.confirm(beacon(neighbour.vm, blue.ipv4, control), incoming(contains(control)))
        beacon(stage.watcher.vm, SHARED[0], marker)()
        again = os.urandom(16)
        capture.confirm(beacon(neighbour.vm, blue.ipv4, again), incoming(contains(again)))
        assert not capture.leaks(incoming(contains(marker)))


def test_the_standby_takes_over_and_gives_it_back(stage: Stage) -> None:
    """Whoever announced the addresses last gets the traffic, from neighbours whose caches say otherwise."""
    stage.speakers["first"].kill()
    until("the standby has both", lambda: stage.holds(stage.second) == set(SHARED), 30)
    for address in SHARED:
        until(f"{address} leads to it", lambda address=address: stage.soon(address, stage.second), 30)
    until("the dead one has none", lambda: stage.holds(stage.first) == set(), 30)
    stage.speakers["first"].start()
    until("the preferred one has both again", lambda: stage.holds(stage.first) == set(SHARED), 30)
    for address in SHARED:
        until(
            f"{address} leads to it again",
            lambda address=address: stage.soon(address, stage.first),
            30,
        )

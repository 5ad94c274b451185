"""Whatever restarts, packets go on: agent, ovs-vswitchd, speaker, reflector, each killed with SIGKILL.

Real Open vSwitch, ExaBGP and FRR; traffic is a numbered UDP stream, so that a loss is seen packet by packet.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from topologies import faults
from topologies.datapath import Datapath
from topologies.deadline import PATIENCE, until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

_DURATION = re.compile(
    r"cookie=(0x[0-9a-f]+), duration=([\d.]+)s, table=(\d+), n_packets=(\d+)[^,]*, n_bytes=\d+, (.*)"
)


@pytest.fixture
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability()
    return made


def flows(host: Hypervisor) -> dict[tuple[str, str, str], tuple[float, int]]:
    """(table, cookie, match and actions) -> (duration, packets)."""
    found = {}
    for line in host.ofctl("dump-flows", host.management).splitlines():
        parts = _DURATION.search(line)
        if parts:
            found[parts[3], parts[1], parts[5]] = (float(parts[2]), int(parts[4]))
    return found


def report(scenario: TwoTenants, host: str) -> dict:
    return scenario.control.hosts()[host]


def in_sync(scenario: TwoTenants, host: str) -> bool:
    return bool(report(scenario, host)["state"] == "in-sync")


def learned(scenario: TwoTenants, host: str) -> int:
    """Routes of others that a host has."""
    return int(report(scenario, host)["evpn"]["learned"])


class Monitor:
    """`ovs-ofctl monitor BRIDGE watch:`: each change of a flow is a line."""

    def __init__(self, host: Hypervisor, path: Path) -> None:
        self._path = path
        self._sink = path.open("w")
        self._process = subprocess.Popen(
            ["ovs-ofctl", "monitor", host.management, "watch:!initial"],
            stdin=subprocess.DEVNULL,
            stdout=self._sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OVS_RUNDIR": str(host.rundir)},  # for its control socket
        )

    def changes(self) -> list[str]:
        lines = self._path.read_text().splitlines()
        return [line for line in lines if "event=" in line]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._sink.close()


def test_agent_killed_under_traffic_changes_nothing(scenario: TwoTenants, tmp_path: Path) -> None:
    host = scenario.lab.hypervisors[0]
    agent = scenario.control.agents[str(host.name)]
    until("in sync", lambda: in_sync(scenario, str(host.name)), 30)
    here, there = scenario.of("red")[:2]
    before = flows(host)
    monitor = Monitor(host, tmp_path / "monitor")
    probe = "cookie=0x1,table=200,priority=1,actions=drop"
    try:
        # positive control: the monitor sees a change that is one
        def seen() -> bool:
            host.ofctl("del-flows", host.management, "table=200")
            host.ofctl("add-flow", host.management, probe)
            return any("table=200" in c for c in monitor.changes())

        until("the monitor watches", seen, 10)
        host.ofctl("del-flows", host.management, "table=200")
        with UdpStream(here.vm, there.vm, there.ipv4, rate=1000) as stream:
            with UdpStream(there.vm, here.vm, here.ipv6, rate=500, port=9998) as back:
                agent.kill()
                began = time.monotonic()
                agent.start()
                until("the agent is in sync again", lambda: in_sync(scenario, str(host.name)), 30)
                until("a second of traffic after it", lambda: time.monotonic() - began > 3, 10)
                returned = back.stop()
            result = stream.stop()
        # the last control: who sees this change has seen all that came before it
        host.ofctl("add-flow", host.management, probe.replace("cookie=0x1", "cookie=0x2"))
        until("it still watches", lambda: any("cookie=0x2" in c.split() for c in monitor.changes()), 10)
        host.ofctl("del-flows", host.management, "table=200")
        changes = [c for c in monitor.changes() if "table=200" not in c]
    finally:
        monitor.close()
    after = flows(host)
    assert result.sent > 1000 and result.lost == 0, result
    assert returned.sent > 100 and returned.lost == 0, returned
    assert changes == []
    assert set(after) == set(before)
    for key, (duration, packets) in before.items():
        assert after[key][0] >= duration and after[key][1] >= packets, key


def test_vswitchd_killed_is_programmed_again(scenario: TwoTenants, record_property: Callable) -> None:
    host = scenario.lab.hypervisors[1]
    expected = {(t, c, m) for t, c, m in flows(host)}
    here, there = scenario.of("blue")[:2]
    assert ping(here.vm, there.ipv4, 3).reached
    faults.kill_switch(host)
    # the kernel forwards on by itself what it has just forwarded
    kernel = scenario.lab.datapath is Datapath.KERNEL
    assert ping(here.vm, there.ipv4, 1, wait=0.3).reached is kernel
    began = time.monotonic()
    faults.revive_switch(host)
    until("flows are back", lambda: len(flows(host)) >= len(expected), 30)
    programmed = time.monotonic() - began
    until("packets pass again", lambda: ping(here.vm, there.ipv4, 1, wait=0.3).reached, 30)
    seconds = time.monotonic() - began
    print(f"vswitchd back: programmed after {programmed:.2f} s, packets after {seconds:.2f} s")
    record_property("vswitchd_recovery_seconds", seconds)
    until("the same flows", lambda: set(flows(host)) == expected, 10)
    until("in sync", lambda: in_sync(scenario, str(host.name)), 30)


def test_reflector_killed_and_back_loses_nothing(scenario: TwoTenants) -> None:
    (reflector,) = scenario.lab.reflectors
    here, there = scenario.of("red")[:2]
    until("in sync", lambda: in_sync(scenario, here.host), 30)
    before = learned(scenario, here.host)
    with UdpStream(here.vm, there.vm, there.ipv4, rate=500) as stream:
        faults.kill_reflector(reflector)
        until("the session is lost", lambda: not in_sync(scenario, here.host), 30)
        held = learned(scenario, here.host)
        reflector.revive()
        until("the session is back", lambda: in_sync(scenario, here.host), 60)
        until("the other's too", lambda: in_sync(scenario, there.host), 60)
        result = stream.stop()
    assert held == before >= 4
    assert result.sent > 100 and result.lost == 0, result
    until("all is learned again", lambda: learned(scenario, here.host) == before, 60)


def test_speaker_killed_and_back_loses_nothing(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    until("in sync", lambda: in_sync(scenario, here.host), 30)
    speaker, before = scenario.control.speakers[here.host], learned(scenario, there.host)
    with UdpStream(here.vm, there.vm, there.ipv4, rate=500) as stream:
        with UdpStream(there.vm, here.vm, here.ipv4, rate=500) as back:
            speaker.kill()
            until("the agent notices", lambda: not in_sync(scenario, here.host), 30)
            speaker.start()
            until("in sync", lambda: in_sync(scenario, here.host), 60)
            until("the other is in sync", lambda: in_sync(scenario, there.host), 60)
            until("its routes are back there", lambda: learned(scenario, there.host) == before, 60)
            returned = back.stop()
        result = stream.stop()
    assert result.sent > 100 and result.lost == 0, result
    assert returned.sent > 100 and returned.lost == 0, returned
    assert before >= 4

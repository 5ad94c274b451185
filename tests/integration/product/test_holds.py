"""Both reflectors are away for long: what stays, what ends the hold, and what is swept when they are back.

Real FRR, ExaBGP and Open vSwitch. A flow that stays is never touched: its age goes on, and the switch's
monitor tells of no change but those that are meant.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from tests.integration.product.test_bad_input import children, in_sync
from tests.integration.product.test_reflectors import await_sessions, host, learned, undisturbed
from tests.integration.product.test_restarts import Monitor, flows
from tests.integration.product.witness import Guest, seat
from topologies import faults
from topologies.deadline import until
from topologies.fabrics import Plan
from topologies.lab import Lab, say_on_stderr
from topologies.nodes.frr import Timers
from topologies.nodes.hypervisor import Hypervisor, detach
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import NETWORK, TwoTenants
from topologies.traffic.ping import ping

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(400)]

PROBE = "table=200"
HOLD = "20"
"""Seconds: longer than the sessions take to be back, on a busy machine too."""


@pytest.fixture(scope="module")
def scenario(_labs: Any) -> TwoTenants:
    def build(name: str) -> tuple[Lab, TwoTenants]:
        plan = Plan(2, timers=Timers(2, 6), reflectors=2)
        made = two_tenants.build_bridged(name, plan, say_on_stderr)
        return made.lab, made

    made: TwoTenants = _labs.once(("holds",), build)
    made.await_reachability()
    await_sessions(made, 2)
    return made


@contextmanager
def without_reflectors(scenario: TwoTenants) -> Iterator[None]:
    """Both are killed for the time of the block."""
    for reflector in scenario.lab.reflectors:
        faults.kill_reflector(reflector)
    try:
        yield
    finally:
        for reflector in scenario.lab.reflectors:
            reflector.revive()


@contextmanager
def settings(scenario: TwoTenants, node: Hypervisor, *flags: str) -> Iterator[None]:
    """The agent of a host with these flags."""
    scenario.control.set_agent(node, *flags)
    await_in_sync(scenario)
    try:
        yield
    finally:
        scenario.control.set_agent(node)
        await_in_sync(scenario)


def await_in_sync(scenario: TwoTenants) -> None:
    """All hosts say so from now on, not only before."""
    since = time.monotonic()
    until("all are in sync", lambda: in_sync(scenario, since), 90)
    await_sessions(scenario, 2)


def neighbours(scenario: TwoTenants, name: str) -> dict[str, tuple[int, str]]:
    """Peer -> (sessions so far, whether it has said End-of-RIB in this one)."""
    done = scenario.control.run("evpn", "neighbors", "--host", name, "-o", "json")
    assert done.ok, done.stderr
    return {i["peer"]: (i["sessions"], i["replayed"]) for i in json.loads(done.stdout)["items"]}


def test_what_left_meanwhile_is_swept_and_what_stays_is_not_touched(
    scenario: TwoTenants, tmp_path: Path
) -> None:
    """The store is away, too: that a port has left hv2, hv1 hears from the reflectors only, when they are
    back and have said what there is. Until the hold ends it stands by the port, as its store's last word
    does."""
    hv1, hv2 = scenario.lab.hypervisors
    (leaver,) = seat(scenario, [Guest("red", NETWORK, "leaver", 61, ("hv2",))])
    signs = (leaver.mac, *leaver.addresses, link_local(leaver.mac))

    def its(flow: str) -> bool:
        return any(f"={sign}" in flow for sign in signs)

    def of_it() -> list[str]:
        return [match for _, _, match in flows(hv1) if its(match)]

    with settings(scenario, hv1, "--hold", HOLD):
        until("hv1 knows the port", of_it, 30)
        before, monitor = flows(hv1), Monitor(hv1, tmp_path / "monitor")
        try:
            with undisturbed(scenario):
                with without_reflectors(scenario):
                    await_sessions(scenario, 0)
                    scenario.control.store.kill()
                    detach(hv2, leaver.ifname)
                    until("its own host has let it go", lambda: not knows(hv2, leaver.mac), 30)
                    assert len(of_it()) == sum(its(match) for _, _, match in before)
                until("it is swept", lambda: not of_it(), 120)
            changes = monitor.changes()
        finally:
            monitor.close()
            scenario.control.store.start()
        after = flows(hv1)
        assert changes and [c for c in changes if not its(c)] == []
        for key, (duration, packets) in before.items():
            if not its(key[2]):
                assert after[key][0] >= duration and after[key][1] >= packets, key
        assert scenario.control.run("delete", "port", leaver.port, "--tenant", "red").ok
        await_in_sync(scenario)


def test_an_agent_that_restarts_meanwhile_changes_no_flow(scenario: TwoTenants, tmp_path: Path) -> None:
    """It knows from its disk what it had learned; an empty reflector that is back first sweeps nothing."""
    hv1, before = scenario.lab.hypervisors[0], learned(scenario)
    known, monitor = flows(hv1), Monitor(hv1, tmp_path / "monitor")
    agent = scenario.control.agents["hv1"]
    try:
        until("the monitor watches", lambda: watched(hv1, monitor), 10)
        with undisturbed(scenario):
            with without_reflectors(scenario):
                await_sessions(scenario, 0)
                agent.kill()
                agent.start()
                since = time.monotonic()
                until("the next one reports", lambda: reports(scenario, "hv1", since), 60)
                assert learned(scenario) == before
            await_in_sync(scenario)
            until("all is said again", lambda: said_again(scenario), 60)
        assert [c for c in monitor.changes() if PROBE not in c] == []
    finally:
        monitor.close()
    after = flows(hv1)
    assert set(after) == set(known)
    for key, (duration, packets) in known.items():
        assert after[key][0] >= duration and after[key][1] >= packets, key


def watched(node: Hypervisor, monitor: Monitor) -> bool:
    """The control: the monitor sees a change that is one."""
    node.ofctl("add-flow", node.management, f"cookie=0x1,{PROBE},actions=drop")
    node.ofctl("del-flows", node.management, PROBE)
    return any(PROBE in change for change in monitor.changes())


def reports(scenario: TwoTenants, name: str, since: float) -> bool:
    """Whether a host has been heard from after `since`."""
    return bool(host(scenario, name)["heartbeatAgeMs"] < (time.monotonic() - since) * 1000)


def said_again(scenario: TwoTenants) -> bool:
    """Whether all peers of all hosts have said End-of-RIB in their last session."""
    said = [end for name in ("hv1", "hv2") for _, end in neighbours(scenario, name).values()]
    return len(said) == 4 and set(said) == {"yes"}


def link_local(mac: str) -> str:
    """The address that a MAC makes (RFC 4291 appendix A)."""
    head = bytearray.fromhex(mac.replace(":", ""))
    head[0] ^= 2
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + head[:3] + b"\xff\xfe" + head[3:]))


def knows(node: Hypervisor, mac: str) -> bool:
    """Whether any flow of the host's switch names a MAC as a destination."""
    return any(f"dl_dst={mac}" in match for _, _, match in flows(node))


def test_who_answers_no_probes_is_not_held(scenario: TwoTenants) -> None:
    """And is there again when they are back, and he is."""
    before = learned(scenario)
    with without_reflectors(scenario):
        await_sessions(scenario, 0)
        assert learned(scenario) == before and min(before) > 0
        with faults.host_link_down(scenario.lab, "hv2"):
            until("neither knows the other's", lambda: learned(scenario) == [0, 0], 60)
    await_in_sync(scenario)
    until("all is learned again", lambda: learned(scenario) == before, 60)
    scenario.await_reachability()


def test_a_bound_for_lost_peers_ends_the_hold_by_itself(scenario: TwoTenants) -> None:
    """`--peer-hold`, for who wants that: the other host, without it, goes on."""
    before, (here, there) = learned(scenario), scenario.of("red")
    with settings(scenario, scenario.lab.hypervisors[0], "--peer-hold", HOLD):
        assert learned(scenario) == before
        with without_reflectors(scenario):
            await_sessions(scenario, 0)
            assert learned(scenario) == before
            assert ping(here.vm, there.ipv4, 3, wait=0.5).reached
            until("the hold ends", lambda: learned(scenario) == [0, before[1]], 60)
            assert not ping(here.vm, there.ipv4, 2, wait=0.3).reached
        await_in_sync(scenario)
        until("all is learned again", lambda: learned(scenario) == before, 60)
        scenario.await_reachability()


def test_exabgp_alone_is_lost_and_says_everything_again(scenario: TwoTenants) -> None:
    before, speaker = learned(scenario), scenario.control.speakers["hv1"]
    was = {name: neighbours(scenario, name) for name in ("hv1", "hv2")}
    engine = children(speaker.pid)[0]
    with undisturbed(scenario):
        os.kill(engine, signal.SIGKILL)

        def again() -> bool:
            now = neighbours(scenario, "hv1")
            return all(now[peer] == (count + 1, "yes") for peer, (count, _) in was["hv1"].items())

        until("new sessions, and all was said in them", again, 120)
        await_in_sync(scenario)
        assert learned(scenario) == before
    assert children(speaker.pid)[0] != engine
    assert neighbours(scenario, "hv2") == was["hv2"], "the sessions of others are not concerned"

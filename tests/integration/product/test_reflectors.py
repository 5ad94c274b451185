"""Two route reflectors: one lost at a time, both lost, both silent, one with another password.

Real FRR, ExaBGP and Open vSwitch; numbered datagrams both ways throughout: none may be lost. The lab's
reflectors stand by themselves, without a session between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from topologies import faults
from topologies.deadline import until
from topologies.fabrics import ASN, Plan
from topologies.lab import Lab, say_on_stderr
from topologies.nodes.frr import FrrNode, Timers
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

_RATE = 100
_TIMERS = Timers(2, 6)
_LOOK_ON = 2 * _RATE
"""Packets that must pass after the last event."""


@pytest.fixture(scope="module")
def scenario(_labs: Any) -> TwoTenants:
    def build(name: str) -> tuple[Lab, TwoTenants]:
        made = two_tenants.build_bridged(name, Plan(2, timers=_TIMERS, reflectors=2), say_on_stderr)
        return made.lab, made

    made: TwoTenants = _labs.once(("two-reflectors",), build)
    made.await_reachability()
    for host in ("hv1", "hv2"):
        until(f"{host} has both sessions", lambda h=host: established(made, h) == 2, 60)
    return made


def host(scenario: TwoTenants, name: str) -> dict[str, Any]:
    return scenario.control.hosts()[name]


def established(scenario: TwoTenants, name: str) -> int:
    return sum(peer["state"] == "established" for peer in host(scenario, name)["evpn"]["peers"])


def await_sessions(scenario: TwoTenants, count: int) -> None:
    for name in ("hv1", "hv2"):
        until(f"{name} has {count} sessions", lambda n=name: established(scenario, n) == count, 60)


@contextmanager
def undisturbed(scenario: TwoTenants) -> Iterator[None]:
    """Datagrams of both tenants, both ways and families; none lost, none twice."""
    pairs = [tuple(scenario.of(tenant)[:2]) for tenant in two_tenants.TENANTS]
    pairs += [(b, a) for a, b in pairs]
    with ExitStack() as stack:
        streams = [
            stack.enter_context(UdpStream(a.vm, b.vm, address, rate=_RATE, port=9000 + 10 * n + k))
            for n, (a, b) in enumerate(pairs)
            for k, address in enumerate(b.addresses)
        ]
        until("packets flow", lambda: all(s.received for s in streams), 10)
        yield
        marks = [s.sent + _LOOK_ON for s in streams]
        until("and go on", lambda: all(s.sent >= m for s, m in zip(streams, marks, strict=True)), 30)
        results = [s.stop() for s in streams]
    for result in results:
        assert result.sent > _LOOK_ON and (result.lost, result.duplicates) == (0, 0), result


def learned(scenario: TwoTenants) -> list[int]:
    return [host(scenario, name)["evpn"]["learned"] for name in ("hv1", "hv2")]


def heard(reflector: FrrNode) -> int:
    """EVPN prefixes that it has."""
    return int(reflector.show("show bgp l2vpn evpn").get("numPrefix", 0))


@pytest.mark.parametrize("lost", [0, 1])
def test_one_reflector_is_lost_and_comes_back(scenario: TwoTenants, lost: int) -> None:
    reflector, before = scenario.lab.reflectors[lost], learned(scenario)
    known = heard(reflector)
    assert known > 0 and min(before) > 0
    with undisturbed(scenario):
        faults.kill_reflector(reflector)
        await_sessions(scenario, 1)
        assert learned(scenario) == before
        reflector.revive()
        await_sessions(scenario, 2)
        until("everything is said to it again", lambda: heard(reflector) == known, 30)
    until("everything is learned from it again", lambda: learned(scenario) == before, 30)


def test_both_are_lost_and_come_back(scenario: TwoTenants) -> None:
    before = learned(scenario)
    known = heard(scenario.lab.reflectors[0])
    with undisturbed(scenario):
        for reflector in scenario.lab.reflectors:
            faults.kill_reflector(reflector)
        await_sessions(scenario, 0)
        assert learned(scenario) == before
        for reflector in scenario.lab.reflectors:
            reflector.revive()
        await_sessions(scenario, 2)
        for reflector in scenario.lab.reflectors:
            until("everything is said again", lambda r=reflector: heard(r) == known, 30)
    until("everything is learned again", lambda: learned(scenario) == before, 30)


@pytest.mark.long
def test_both_fall_silent_and_hold_timers_run_out(scenario: TwoTenants) -> None:
    """Nothing is reset: the sessions end by their hold timers, with every carrier up."""
    before = learned(scenario)
    with undisturbed(scenario):
        with ExitStack() as stack:
            for reflector in scenario.lab.reflectors:
                stack.enter_context(faults.silence(scenario.lab, reflector.name))
            await_sessions(scenario, 0)
            assert learned(scenario) == before
        await_sessions(scenario, 2)
    until("everything is learned again", lambda: learned(scenario) == before, 30)


@pytest.mark.long
def test_the_speaker_of_one_is_lost_while_both_are(scenario: TwoTenants) -> None:
    """Nobody remembers hv2's routes but hv1, and its own agent, which says them all again."""
    before = learned(scenario)
    known = heard(scenario.lab.reflectors[0])
    speaker = scenario.control.speakers["hv2"]
    with undisturbed(scenario):
        for reflector in scenario.lab.reflectors:
            faults.kill_reflector(reflector)
        speaker.kill()
        await_sessions(scenario, 0)
        speaker.start()
        for reflector in scenario.lab.reflectors:
            reflector.revive()
        await_sessions(scenario, 2)
        for reflector in scenario.lab.reflectors:
            until("everything is said again", lambda r=reflector: heard(r) == known, 30)
    until("everything is learned again", lambda: learned(scenario) == before, 30)


def test_a_wrong_password_is_named_in_the_status(scenario: TwoTenants) -> None:
    reflector = scenario.lab.reflectors[1]
    with undisturbed(scenario):
        reflector.vtysh("configure terminal", f"router bgp {ASN}", "neighbor CLIENTS password sacred")
        # FRR ends sessions one by one before its listener has the password: who is quick comes back without.
        reflector.vtysh("clear bgp *")
        await_sessions(scenario, 1)
        for name in ("hv1", "hv2"):
            reason = until("the reason", lambda n=name: why(scenario, n, reflector), 40)
            assert "MD5 password" in reason
        alarms = json.loads(scenario.control.run("status", "-o", "json").stdout)["alarms"]
        assert any("MD5 password" in alarm["message"] for alarm in alarms), alarms
        reflector.kill()
        reflector.revive()  # with the configuration that it began with
        await_sessions(scenario, 2)
    until("and nothing is wrong", lambda: host(scenario, "hv1")["state"] == "in-sync", 30)


def why(scenario: TwoTenants, name: str, reflector: FrrNode) -> str:
    reason = str(host(scenario, name)["reason"])
    return reason if f"BGP peer {reflector.address} is down: no answer" in reason else ""

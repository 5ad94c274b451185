"""A MAC that two hosts say they have while the store leaves open who is right: it moves four times and stays.

Both may have the port, and neither has bound it: its agent is gone, and something else speaks through its
speaker, in its own name and in the other's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from bgp.client import Acknowledged, Client, Event
from bgp.codec import communities, nlri
from model.addresses import parse_mac
from model.ids import Vni
from model.route import Attributes, Distinguisher, MacRoute, Route
from tests.integration.product.witness import document, holds, vni
from topologies.deadline import until
from topologies.fabrics import ASN
from topologies.scenarios.two_tenants import NETWORK, TwoTenants
from topologies.traffic.ping import ping

pytestmark = [pytest.mark.integration, pytest.mark.long]

_GHOST = "02:5f:00:00:00:07"
_MOUTH = "hv2"


@contextmanager
def mouth(scenario: TwoTenants) -> Iterator[Callable[[Route, str], None]]:
    """Say or take back a route through the speaker of a host whose agent is gone; afterwards it is back."""
    control, events = scenario.control, list[Event]()
    control.agents[_MOUTH].kill()
    client = Client(str(control.speaker_socket(_MOUTH)), events.append)

    def say(route: Route, verb: str) -> None:
        ticket = (client.announce if verb == "announce" else client.withdraw)([route])
        until("taken", lambda: any(isinstance(e, Acknowledged) and e.number >= ticket for e in events), 10)

    client.start()
    try:
        yield say
    finally:
        client.stop()
        control.agents[_MOUTH].start()


def evpn(scenario: TwoTenants, *words: str) -> list[dict[str, Any]]:
    done = scenario.control.run("evpn", *words, "--host", "hv1", "-o", "json")
    assert done.ok, done.stderr
    return list(json.loads(done.stdout)["items"])


def test_a_mac_that_is_fought_for_stays_where_it_was(two_tenants_lab: Callable[..., TwoTenants]) -> None:
    scenario = two_tenants_lab(3)
    scenario.await_reachability()
    control = scenario.control
    here, there = scenario.at("red", "hv1"), scenario.at("red", "hv3")
    vteps = {str(h.name): ip_address(h.vtep_address) for h in scenario.lab.hypervisors}
    spec = {"network": NETWORK, "mac": _GHOST, "addresses": ["10.0.0.77"], "hosts": ["hv2", "hv3"]}
    control.apply([document("Port", {"name": "ghost", "tenant": "red"}, spec)])
    code = Vni(vni(scenario, "red"))
    target = (communities.route_target(ASN, code),)

    def claim(host: str, sequence: int) -> Route:
        rd = nlri.distinguisher(Distinguisher(int(vteps[host]), 77))
        said = Attributes(vteps[host], target, encapsulations=(communities.VXLAN,), sequence=sequence)
        return Route(MacRoute(rd, parse_mac(_GHOST), None, code), said)

    def at(host: str) -> bool:
        return [r["vtep"] for r in evpn(scenario, "routes", "--mac", _GHOST)] == [str(vteps[host])]

    def listed(state: str) -> list[dict[str, Any]]:
        return [r for r in evpn(scenario, "duplicates", "--mac", _GHOST) if r["state"] == state]

    with mouth(scenario) as say:
        for number in range(5):
            host = ("hv2", "hv3")[number % 2]
            say(claim(host, number), "announce")
            until(f"move {number} to {host} is followed", lambda host=host: at(host), 20)
        assert listed("moving")[0]["moves"] == 4 and not listed("damped")
        before = evpn(scenario, "routes", "--mac", _GHOST)
        assert before[0]["became"] and before[0]["vtep"] == str(vteps["hv2"])
        for number in range(5, 10):
            say(claim(("hv2", "hv3")[number % 2], number), "announce")
        until(
            "it is damped, and both are heard",
            lambda: any(len(r["contenders"]) == 2 for r in listed("damped")),
            20,
        )
        (row,) = listed("damped")
        assert (row["moves"], row["vtep"]) == (5, str(vteps["hv2"])) and row["network"] == f"red/{NETWORK}"
        # Where it is now is the same as before, flows included; others notice nothing. What hv2 said again
        # before the fifth move was heard may have raised its own sequence.
        assert [{**r, "sequence": 0} for r in evpn(scenario, "routes", "--mac", _GHOST)] == [
            {**r, "sequence": 0} for r in before
        ]
        assert ping(here.vm, there.ipv4, 3).complete and ping(here.vm, there.ipv6, 3).complete
        until("an alarm tells", lambda: alarmed(scenario), 20)
        restarted(scenario)
        until("it is damped in the next life, too", holds(lambda: listed("damped")), 40)
        until("and both are heard again", lambda: len(listed("damped")[0]["contenders"]) == 2, 40)
        assert (listed("damped")[0]["moves"], at("hv2")) == (5, True)
        assert ping(here.vm, there.ipv4, 3).complete
        words = ("evpn", "release", _GHOST, "--network", f"red/{NETWORK}", "--host", "hv1")
        done = control.run(*words)
        assert done.ok and "is released" in done.stdout, done.stderr
        say(claim("hv3", 99), "announce")
        until("the newest has it", lambda: at("hv3"), 20)
        assert not listed("damped")
        assert not control.run(*words).ok  # nothing is left to release


def restarted(scenario: TwoTenants) -> None:
    """hv1's agent is killed, once what it knows of moves is on its disk, and comes back."""
    (host,) = (one for one in scenario.lab.hypervisors if one.name == "hv1")
    file = host.directory / "agent" / "moves"
    until("it is on disk", lambda: file.exists() and json.loads(file.read_text())["damped"], 20)
    agent = scenario.control.agents["hv1"]
    agent.kill()
    agent.start()


def alarmed(scenario: TwoTenants) -> bool:
    alarms = json.loads(scenario.control.run("status", "-o", "json").stdout)["alarms"]
    return any("move too often" in a["message"] and a["object"] == "Hypervisor hv1" for a in alarms)

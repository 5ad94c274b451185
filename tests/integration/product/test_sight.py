"""Where a packet goes, as `ringfence trace` tells it, and as it really goes; and the real flows with names.

Real Open vSwitch: its agents ask it with ofproto/trace, and the test tampers with it behind their backs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from topologies.deadline import until
from topologies.faults import frozen
from topologies.nodes.hypervisor import Hypervisor
from topologies.process import Outcome
from topologies.scenarios.routed import APART, FAR, Routed, gateways
from topologies.scenarios.two_tenants import NETWORK, Workload
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
DROPPED, DIFFERS, SILENT = 6, 7, 3
NEVER = 86_400
"""Seconds between audits that no test lives to see."""


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def asked(lab: Routed, here: Workload, to: str, *more: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document of a trace."""
    done: Outcome = lab.base.control.run(
        "trace", "--from", f"{here.tenant}/{here.port}", "--to", to, "-o", "json", *more
    )
    assert done.stdout, done.stderr
    return done.code, json.loads(done.stdout)


def tables(leg: dict[str, Any]) -> list[str]:
    return [step["table"] for step in leg["steps"]]


def seats(lab: Routed) -> tuple[Workload, Workload, Workload]:
    """Red's `far`, a VM of `net` on the same host, and one on another."""
    far = lab.extra["red", FAR]
    near = next(w for w in lab.base.of("red") if w.host == far.host)
    away = next(w for w in lab.base.of("red") if w.host != far.host and w.host.startswith("hv"))
    return far, near, away


@pytest.mark.parametrize("family", FAMILIES)
def test_bridged_to_another_host(routing_lab: Routed, family: int) -> None:
    _, near, away = seats(routing_lab)
    assert ping(away.vm, at(near, family), 3).reached
    code, told = asked(routing_lab, away, at(near, family))
    assert (code, told["verdict"], told["switch"]) == (0, "delivered", "agrees"), told
    asks, here, there = told["legs"]
    assert [leg["host"] for leg in told["legs"]] == [away.host, away.host, near.host]
    assert asks["ends"][0]["what"] == "answered" and at(near, family) in asks["title"]
    assert tables(here)[0] == "classify" and tables(here)[-2:] == ["account", "output"]
    assert here["ends"][0]["what"] == "tunnelled" and f"({near.host})" in here["ends"][0]["text"]
    assert tables(there)[-1] == "delivery"
    (end,) = told["ends"]
    assert end["text"] == f"delivered to port red/{near.port} on {near.host}"
    owners = [step["owner"] for step in here["steps"]]
    assert f"port red/{away.port}" in owners and any("remote port" in owner for owner in owners), owners


@pytest.mark.parametrize("family", FAMILIES)
def test_routed_on_one_host_and_across(routing_lab: Routed, family: int) -> None:
    far, near, away = seats(routing_lab)
    code, told = asked(routing_lab, near, at(far, family), "--proto", "tcp", "--dport", "443")
    assert (code, told["switch"]) == (0, "agrees"), told
    assert [leg["host"] for leg in told["legs"]] == [near.host] * 2
    assert "route" in tables(told["legs"][1])
    assert told["legs"][1]["packet"]["eth_dst"].endswith("(the gateway)")
    code, told = asked(routing_lab, away, at(far, family), "--proto", "udp", "--sport", "9", "--dport", "53")
    assert (code, told["verdict"], told["switch"]) == (0, "delivered", "agrees"), told
    assert [leg["host"] for leg in told["legs"]] == [away.host, away.host, far.host]
    assert tables(told["legs"][2])[-1] == "arrival"
    assert "tenant red" in told["legs"][2]["title"]
    assert told["ends"][0]["text"] == f"delivered to port red/{far.port} on {far.host}"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gateway_answers(routing_lab: Routed, family: int) -> None:
    _, near, _ = seats(routing_lab)
    code, told = asked(routing_lab, near, gateways(NETWORK)[family // 6])
    assert (code, told["verdict"], told["ends"][0]["what"]) == (0, "delivered", "answered"), told


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drop_says_where_and_why(routing_lab: Routed, family: int) -> None:
    far, near, _ = seats(routing_lab)
    nobody = "10.0.0.200" if family == 4 else "fd00:10::200"
    code, told = asked(routing_lab, near, nobody)
    assert (code, told["verdict"], told["switch"]) == (DROPPED, "dropped", "agrees"), told
    assert nobody in told["ends"][0]["text"] and "red/net" in told["ends"][0]["text"]
    assert "ringfence get ports --tenant red" in told["ends"][0]["remedy"]
    blue = routing_lab.extra["blue", FAR]
    assert ping(routing_lab.base.of("blue")[0].vm, at(blue, family), 3).reached, "control: it is there"
    code, told = asked(routing_lab, near, at(blue, family))
    assert (code, told["switch"]) == (DROPPED, "agrees"), told
    assert "in route" in told["ends"][0]["text"] and at(blue, family) in told["ends"][0]["text"]
    outside = "198.51.100.7" if family == 4 else "2001:db8::7"
    code, told = asked(routing_lab, far, outside)
    assert code == DROPPED and f"no route to {outside}" in told["ends"][0]["text"], told
    apart = routing_lab.extra["red", APART]
    code, told = asked(routing_lab, apart, at(near, family))
    assert (code, len(told["legs"])) == (DROPPED, 1), "it has no gateway: nobody answers"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_host_without_agent_is_named(routing_lab: Routed, family: int) -> None:
    _, near, _ = seats(routing_lab)
    foreign = next(w for w in routing_lab.base.of("red") if w.host.startswith("frr"))
    code, told = asked(routing_lab, near, at(foreign, family))
    assert (code, told["verdict"]) == (0, "left"), told
    assert f"external host {foreign.host}" in told["ends"][0]["text"]


@pytest.fixture
def limited(routing_lab: Routed) -> Iterator[None]:
    """What `far` and the VM away send and get is limited, and their networks mark packets."""
    far, _, away = seats(routing_lab)
    control = routing_lab.base.control

    def apply(**spec: Any) -> None:
        ports = [p for p in control.get("ports", "--tenant", "red") if p["metadata"]["name"] in names]
        for port in ports:
            port.pop("status", None)
            port["spec"] |= spec
        control.apply(ports)

    names = {far.port, away.port}
    apply(rateOut=50_000, rateIn=50_000)
    yield
    apply(rateOut="none", rateIn="none")


@pytest.mark.parametrize("family", FAMILIES)
def test_limits_are_walked_through(routing_lab: Routed, family: int, limited: None) -> None:
    """A trace of the switch ends where its pass of the data path does: the next is asked for, too."""
    far, _, away = seats(routing_lab)

    def seen() -> list[str]:
        # between what the agent wants and what the switch has, the bundle may be on its way just now
        code, told = asked(routing_lab, away, at(far, family))
        agreed = (code, told["verdict"], told["switch"]) == (0, "delivered", "agrees")
        return [step["flow"] for leg in told["legs"][1:] for step in leg["steps"]] if agreed else []

    until("both limits are on the way", lambda: {"rate-metered", "limit-metered"} <= {*seen()}, 60)


@contextmanager
def unaudited(lab: Routed, host: Hypervisor) -> Iterator[None]:
    """The host's agent does not mend for now."""
    lab.base.control.audit_every(host, NEVER)
    lab.base.await_reachability()
    lab.await_routes()
    try:
        yield
    finally:
        lab.base.control.audit_every(host, 4)
        lab.base.await_reachability()


def entry(host: Hypervisor, ifname: str) -> tuple[str, str]:
    """Priority and match of the flow by which frames of an interface come in, and its OpenFlow port."""
    port = host.vsctl("get", "Interface", ifname, "ofport").strip()
    listed = host.ofctl("dump-flows", host.management, "table=0")
    (found,) = re.findall(rf" (priority=100,in_port={port},\S+) actions=", listed)
    return str(found), port


def test_a_tampered_switch_is_found_out(routing_lab: Routed) -> None:
    far, near, _ = seats(routing_lab)
    host: Any = routing_lab.lab.node(near.host)
    with unaudited(routing_lab, host):
        for family in FAMILIES:
            until("the new agent agrees", lambda f=family: asked(routing_lab, near, at(far, f))[0] == 0, 60)
        match, port = entry(host, near.ifname)
        alien = f"cookie=0xa11e,table=0,priority=31000,in_port={port},actions=drop"
        host.ofctl("add-flow", host.management, alien)
        code, told = asked(routing_lab, near, at(far, 4))
        assert (code, told["switch"], told["verdict"]) == (DIFFERS, "differs", "delivered"), told
        said = told["legs"][0]["switch"]["text"]
        assert "in classify another flow takes it" in said and "not ours" in said and "priority=31000" in said
        code, listing = flows(routing_lab, near.host, "--table", "classify")
        (stranger,) = [flow for flow in listing["flows"] if not flow["ours"]]
        assert (stranger["owner"], stranger["priority"]) == ("not ours", 31000)
        assert stranger["match"] == f"in_port=red/{near.port}" and stranger["actions"] == "drop"
        host.ofctl("del-flows", host.management, "cookie=0xa11e/-1")
        assert asked(routing_lab, near, at(far, 4))[0] == 0
        host.ofctl("mod-flows", "--strict", host.management, f"table=0,{match},actions=drop")
        code, told = asked(routing_lab, near, at(far, 6))
        assert (
            code == DIFFERS and "the actions of the flow before differ" in told["legs"][0]["switch"]["text"]
        )
        host.ofctl("del-flows", "--strict", host.management, f"table=0,{match}")
        code, told = asked(routing_lab, near, at(far, 6))
        assert code == DIFFERS and "in classify another flow takes it" in told["legs"][0]["switch"]["text"]
    until("the audit mends it", lambda: asked(routing_lab, near, at(far, 4))[0] == 0, 60)


def flows(lab: Routed, host: str, *more: str) -> tuple[int, dict[str, Any]]:
    done = lab.base.control.run("flows", host, "-o", "json", *more)
    assert done.stdout, done.stderr
    return done.code, json.loads(done.stdout)


def test_the_flows_of_a_host_have_names(routing_lab: Routed) -> None:
    far, near, away = seats(routing_lab)
    assert ping(near.vm, at(far, 4), 3).reached
    host: Any = routing_lab.lab.node(near.host)

    def agreed() -> str:
        """The flows, if nothing changes them between the two looks: an agent has just begun."""
        code, counts = flows(routing_lab, near.host, "--counts")
        assert code == 0, counts
        listed = host.ofctl("dump-flows", host.management)
        return listed if sum(each["flows"] for each in counts["counts"]) == listed.count("n_packets=") else ""

    listed = until("as many flows as the switch lists", agreed, 30)
    _, mine = flows(routing_lab, near.host, "--port", f"red/{near.port}")
    way_in, refused = (flow for flow in mine["flows"] if flow["table"] == "classify")
    assert (refused["priority"], refused["actions"]) == (50, "drop")
    assert way_in["match"] == f"in_port=red/{near.port}, vlan_tci=0x0"
    assert way_in["owner"] == f"port red/{near.port}"
    assert way_in["actions"] == (
        f"network:=red/net, source:=red/{near.port}, vrf:=red, scope:=tenant red, goto guard"
    )
    assert not [flow for flow in mine["flows"] if "blue" in flow["match"] + flow["actions"]]
    _, resolve = flows(routing_lab, near.host, "--table", "resolve", "--network", "red/net")
    assert any(f"({away.host})" in flow["actions"] for flow in resolve["flows"]), resolve
    _, few = flows(routing_lab, near.host, "--limit", "3")
    assert len(few["flows"]) == 3 and few["left"] == listed.count("n_packets=") - 3


def test_a_silent_host_is_named(routing_lab: Routed) -> None:
    far, _, away = seats(routing_lab)
    with frozen(routing_lab.base.control.agents[far.host]):
        code, told = asked(routing_lab, away, at(far, 4))
        assert (code, told["verdict"]) == (SILENT, "unanswered"), told
        assert [leg["host"] for leg in told["legs"]] == [away.host] * 2, "what is known is told"
        assert f"Hypervisor {far.host}" in told["ends"][0]["text"]
        done = routing_lab.base.control.run("flows", far.host)
        assert done.code == SILENT and f"Hypervisor {far.host}" in done.stderr and "log" in done.stderr
    until("it answers again", lambda: asked(routing_lab, away, at(far, 4))[0] == 0, 60)

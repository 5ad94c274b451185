"""`egress: fabric`: a FRR border with an L3VNI of its own leads a tenant out and in, and no other."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.integration.product.bill import account
from topologies.deadline import until
from topologies.errors import CommandFailed
from topologies.fabrics import ASN, Plan
from topologies.lab import Lab
from topologies.scenarios import border as border_scenario
from topologies.scenarios.border import FAR, NAME, OUTSIDE, Bordered
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import count_udp

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
DEFAULTS = ("0.0.0.0/0", "::/0")
LIES = ("10.0.0.0/25", "fd00:10::12/128")


@pytest.fixture(scope="module")
def scenario(_labs: Any) -> Bordered:
    def build(name: str) -> tuple[Lab, Bordered]:
        made = border_scenario.build(name, Plan(2))
        return made.lab, made

    made: Bordered = _labs.once(("border",), build)
    made.base.await_reachability()
    for red in made.base.of("red"):
        for address in (*OUTSIDE, *FAR):
            until(f"{red.name} reaches {address}", lambda r=red, a=address: reached(r, a), 60)
    return made


def reached(source: Workload, address: str) -> bool:
    return ping(source.vm, address, 1, wait=0.5).reached


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def items(scenario: Bordered, what: str) -> list[dict[str, Any]]:
    done = scenario.base.control.run("evpn", what, "-o", "json")
    assert done.ok, done.stderr
    return list(json.loads(done.stdout)["items"])


def prefixes(scenario: Bordered, network: str) -> set[tuple[str, str]]:
    """(host, prefix) of the RT-5 in use."""
    found = (i for i in items(scenario, "routes") if i["kind"] == "prefix" and i["network"] == network)
    return {(i["host"], i["addresses"][0]) for i in found}


def configure(scenario: Bordered, *lines: str) -> None:
    scenario.border.vtysh("configure terminal", f"router bgp {ASN}", *lines)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tenant_reaches_the_world_and_is_reached(scenario: Bordered, family: int) -> None:
    for red in scenario.base.of("red"):
        for address in (OUTSIDE[family // 6], FAR[family // 6]):
            assert ping(red.vm, address, 3).complete, (red.name, address)
        assert ping(scenario.internet, at(red, family), 3).complete, red.name
        for here, there, address in (
            (red.vm, scenario.internet, OUTSIDE[family // 6]),
            (scenario.internet, red.vm, at(red, family)),
        ):
            sent = transfer(here, there, address, 300_000)
            assert sent.intact, (red.name, address, sent)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_world_sends_is_counted_where_it_arrives(scenario: Bordered, family: int) -> None:
    """And what red sends to itself across hosts is not: that was counted where it was sent."""
    one, two = scenario.base.of("red")
    before = account(scenario.base, "red")
    within = count_udp(two.vm, one.vm, at(one, family), 100, size=500)
    sent = [count_udp(scenario.internet, red.vm, at(red, family), 200, size=200) for red in (one, two)]
    assert within.lost == 0 and [result.lost for result in sent] == [0, 0]
    grown = account(scenario.base, "red").less(before)
    assert grown.came == {red.port: r.layer3_bytes for red, r in zip((one, two), sent, strict=True)}
    assert grown.classes == {"everything-else": sum(r.layer3_bytes for r in sent)}
    assert grown.out[two.port] >= within.layer3_bytes


def test_both_sides_show_what_they_learned(scenario: Bordered) -> None:
    own = {"198.51.100.0/24", "2001:db8:100::/64", *DEFAULTS}
    assert prefixes(scenario, "tenant red") == {(host, p) for host in ("hv1", "hv2") for p in own}
    assert prefixes(scenario, "tenant blue") == set()
    fib = scenario.border.run("ip route; ip -6 route")
    shown = scenario.border.vtysh("show bgp l2vpn evpn route type macip")
    for red in scenario.base.of("red"):
        vtep = f"172.16.0.{red.host.removeprefix('hv')}"
        assert f"{red.ipv4} " in fib and f"{red.ipv6} " in fib, fib
        assert f"via {vtep} dev br{scenario.l3vni} proto bgp" in fib, fib
        assert f"RT:{ASN}:{scenario.l3vni}" in shown and red.mac in shown, shown


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tenant_without_a_way_out_has_none(scenario: Bordered, family: int) -> None:
    """Blue has red's addresses. The world hears red, before and after, and never blue; nor blue the world."""
    red, blue = (scenario.base.at(tenant, "hv1") for tenant in ("red", "blue"))
    for address in (OUTSIDE[family // 6], FAR[family // 6]):
        marks = [os.urandom(16) for _ in range(3)]
        with Capture(scenario.internet) as capture:
            for source, mark in zip((red, blue, red), marks, strict=True):
                beacon(source.vm, address, mark)()
            capture.await_frame(incoming(contains(marks[0])))
            capture.await_frame(incoming(contains(marks[2])))
            assert not capture.matching(contains(marks[1])), address
    marks = [os.urandom(16) for _ in range(2)]
    with Capture(blue.vm) as quiet, Capture(red.vm) as heard:
        for mark in marks:
            beacon(scenario.internet, at(red, family), mark)()
            heard.await_frame(incoming(contains(mark)))
        friend = os.urandom(16)
        beacon(scenario.base.at("blue", "hv2").vm, at(blue, family), friend)()
        quiet.await_frame(incoming(contains(friend)))
        assert not quiet.matching(contains(marks[0])) and not quiet.matching(contains(marks[1]))


def test_a_border_that_claims_the_tenants_own_is_refused_and_listed(scenario: Bordered) -> None:
    before = prefixes(scenario, "tenant red")
    families = [("ipv4", LIES[0]), ("ipv6", LIES[1])]
    for family, lie in families:
        configure(scenario, f"address-family {family} unicast", f"network {lie}")

    def refused() -> bool:
        found = [r for r in items(scenario, "rejected") if "lies in its own subnet" in r["reason"]]
        return {(r["host"], lie) for r in found for lie in LIES if lie in r["route"]} == {
            (host, lie) for host in ("hv1", "hv2") for lie in LIES
        }

    until("both hosts refuse and list both lies", refused, 30)
    assert prefixes(scenario, "tenant red") == before
    one, two = scenario.base.of("red")
    for family in FAMILIES:
        assert ping(one.vm, at(two, family), 3).complete
        assert ping(one.vm, OUTSIDE[family // 6], 3).complete
    for family, lie in families:
        configure(scenario, f"address-family {family} unicast", f"no network {lie}")
    until(
        "nothing is refused",
        lambda: not any(lie in r["route"] for r in items(scenario, "rejected") for lie in LIES),
        30,
    )


def test_the_border_is_told_a_public_prefix_only_if_it_was_named_as_the_tenants(scenario: Bordered) -> None:
    """The same routes, refused and let in: the border has heard the second, so it would have the first."""
    control, red = scenario.base.control, scenario.base.at("red", "hv1")
    stolen, hops = ("203.0.113.128/25", "2001:db8:77::/64"), (red.ipv4, red.ipv6)

    def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name} | ({"tenant": "red"} if kind == "Route" else {})
        return {"apiVersion": border_scenario.API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    routes = [
        document("Route", f"draw-{index}", prefix=prefix, nextHops=[hop])
        for index, (prefix, hop) in enumerate(zip(stolen, hops, strict=True))
    ]
    for route, prefix in zip(routes, stolen, strict=True):
        with pytest.raises(CommandFailed, match=r"borders are told it \[prefix-public\]") as refused:
            control.apply([route])
        assert prefix in str(refused.value)

    def fib() -> str:
        return scenario.border.run("ip route; ip -6 route")

    control.apply([document("Tenant", "red", publicPrefixes=list(stolen)), *routes])
    until("the border has both", lambda: all(f"{prefix} " in fib() for prefix in stolen), 30)
    with pytest.raises(CommandFailed, match="prefix-public"):
        control.apply([document("Tenant", "red", publicPrefixes=[])])
    for route in routes:
        done = control.run("delete", "route", route["metadata"]["name"], "--tenant", "red")
        assert done.ok, done.stderr
    control.apply([document("Tenant", "red", publicPrefixes=[])])
    until("the border has neither", lambda: not any(f"{prefix} " in fib() for prefix in stolen), 30)


def test_a_withdrawn_default_route_goes_and_comes(scenario: Bordered) -> None:
    red = scenario.base.at("red", "hv1")
    for version in FAMILIES:
        configure(scenario, "address-family l2vpn evpn", f"no default-originate ipv{version}")
    for far in FAR:
        until(f"{far} is gone", lambda far=far: not reached(red, far), 30)

    def untold() -> bool:
        return {p for _, p in prefixes(scenario, "tenant red")}.isdisjoint(DEFAULTS)

    until("nobody shows a default route", untold, 30)
    for near in OUTSIDE:
        assert ping(red.vm, near, 3).complete  # what it still announces stays
    for version in FAMILIES:
        configure(scenario, "address-family l2vpn evpn", f"default-originate ipv{version}")
    for far in FAR:
        until(f"{far} is back", lambda far=far: reached(red, far), 30)


def test_nobody_is_a_border_by_saying_so(scenario: Bordered) -> None:
    """The operator takes the role back: the same routes are refused, the world is gone; then it is back."""
    red = scenario.base.at("red", "hv1")
    documents = {
        flag: {
            "apiVersion": border_scenario.API_VERSION,
            "kind": "Hypervisor",
            "metadata": {"name": NAME},
            "spec": {"vtep": scenario.border.address, "external": True, "border": flag},
        }
        for flag in (True, False)
    }
    scenario.base.control.apply([documents[False]])
    for address in OUTSIDE:
        until(f"{address} is gone", lambda address=address: not reached(red, address), 30)

    def listed() -> bool:
        found = [r for r in items(scenario, "rejected") if "declare the host a border" in r["reason"]]
        return {r["host"] for r in found} == {"hv1", "hv2"}

    until("both hosts list what they refuse", listed, 30)
    assert not ping(scenario.internet, red.ipv4, 1, wait=0.5).reached
    scenario.base.control.apply([documents[True]])
    for address in OUTSIDE:
        until(f"{address} is back", lambda address=address: reached(red, address), 30)

"""Peering with real packets: what both sides export, same host or not, until one takes its half away."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from tests.integration.product.extra import document, network, port, seat
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.ping import ping
from topologies.traffic.route import traceroute
from topologies.traffic.tcp import transfer

pytestmark = pytest.mark.integration

RED, BLUE = ("10.21.0.0/24", "fd00:21::/64"), ("10.22.0.0/24", "fd00:22::/64")
HIDDEN = ("10.23.0.0/24", "fd00:23::/64")
FAMILIES = (4, 6)
Cast = dict[str, Workload]


def half(tenant: str, peer: str, prefixes: tuple[str, str]) -> dict[str, object]:
    return document("Peering", f"to-{peer}", {"peer": peer, "prefixes": list(prefixes)}, tenant)


@pytest.fixture(scope="module")
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    return two_tenants_lab(2)


@pytest.fixture(scope="module")
def cast(scenario: TwoTenants) -> Cast:
    """red1 and blue1 on hv1, red2 and blue2 on hv2: exported. `hidden` is blue's, `third` is green's; hv1."""
    nets = {
        "red": network("red", "share", RED),
        "blue": network("blue", "share", BLUE),
        "hidden": network("blue", "hidden", HIDDEN),
        "green": network("green", "share", RED),
    }
    seats = {
        "red1": port("red", "s1", nets["red"], 11, "hv1"),
        "red2": port("red", "s2", nets["red"], 12, "hv2"),
        "blue1": port("blue", "s1", nets["blue"], 11, "hv1"),
        "blue2": port("blue", "s2", nets["blue"], 12, "hv2"),
        "hidden": port("blue", "h1", nets["hidden"], 11, "hv1"),
        "third": port("green", "s1", nets["green"], 13, "hv1"),
    }
    scenario.control.apply([document("Tenant", "green", {}), *nets.values(), *seats.values()])
    return {
        name: seat(scenario, one["metadata"]["tenant"], one["metadata"]["name"], f"p{name}")
        for name, one in seats.items()
    }


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def peer(scenario: TwoTenants, cast: Cast) -> None:
    """Both halves, and all exported pairs reach each other."""
    scenario.control.apply([half("red", "blue", RED), half("blue", "red", BLUE)])
    for here, there in PAIRS:
        for family in FAMILIES:
            until(
                f"{here} reaches {there}",
                lambda here=here, there=there, family=family: (
                    ping(cast[here].vm, at(cast[there], family), 1, wait=0.5).reached
                ),
                30,
            )


PAIRS = (("red1", "blue1"), ("red1", "blue2"), ("blue1", "red2"), ("red2", "blue2"), ("blue2", "red1"))


def test_nobody_crosses_before_both_have_declared_it(scenario: TwoTenants, cast: Cast) -> None:
    scenario.control.apply([half("red", "blue", RED)])
    scenario.control.await_bound()
    for tenant, here, there in (("red", "red1", "red2"), ("blue", "blue1", "blue2")):
        for family in FAMILIES:  # positive control: both networks work
            until(f"{tenant} works", lambda h=here, t=there, f=family: ping(
                cast[h].vm, at(cast[t], f), 1, wait=0.5).reached, 30)  # fmt: skip
    for here, there in PAIRS:
        for family in FAMILIES:
            assert not ping(cast[here].vm, at(cast[there], family), 1, wait=0.3).reached, (here, there)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_both_export_is_reached_on_one_host_and_across(
    scenario: TwoTenants, cast: Cast, family: int
) -> None:
    peer(scenario, cast)
    for here, there in PAIRS:
        assert ping(cast[here].vm, at(cast[there], family), 3).complete, (here, there)
        sent = transfer(cast[here].vm, cast[there].vm, at(cast[there], family), 300_000)
        assert sent.intact, (here, there, sent)


def test_routes_of_the_peering_are_shown(scenario: TwoTenants, cast: Cast) -> None:
    peer(scenario, cast)
    items = json.loads(scenario.control.run("evpn", "routes", "--host", "hv1", "-o", "json").stdout)["items"]
    found = {i["addresses"][0] for i in items if i["kind"] == "prefix" and "peering" in i["network"]}
    ends = {f"{at(cast[name], f)}/{32 if f == 4 else 128}" for name in ("red2", "blue2") for f in FAMILIES}
    assert found == ends
    refused = json.loads(scenario.control.run("evpn", "rejected", "-o", "json").stdout)["items"]
    assert not [one for one in refused if "RT-5" in one["route"]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("here", "there"), [("red1", "hidden"), ("third", "blue1"), ("third", "red1")])
def test_what_is_not_exported_and_third_tenants_stay_apart(
    scenario: TwoTenants, cast: Cast, family: int, here: str, there: str
) -> None:
    """The witness hears a friend (positive control), and never the stranger."""
    peer(scenario, cast)
    friend = {"hidden": "blue1", "blue1": "red1", "red1": "blue1"}[there]
    marks = {name: os.urandom(16) for name in (here, friend)}
    with Capture(cast[there].vm) as capture:
        beacon(cast[friend].vm, at(cast[there], family), marks[friend])()
        capture.await_frame(incoming(contains(marks[friend])))
        beacon(cast[here].vm, at(cast[there], family), marks[here])()
        beacon(cast[friend].vm, at(cast[there], family), marks[friend][::-1])()
        capture.await_frame(incoming(contains(marks[friend][::-1])))
        assert not capture.matching(contains(marks[here]))


@pytest.mark.parametrize("family", FAMILIES)
def test_traceroute_shows_both_gateways(scenario: TwoTenants, cast: Cast, family: int) -> None:
    """The second speaks as its own tenant's, on the other host: what it exports has the gateway's address."""
    peer(scenario, cast)
    routers = [("10.21.0.1", "10.22.0.1"), ("fd00:21::1", "fd00:22::1")][family // 6]
    for here, there, ways in (("red1", "blue2", routers), ("blue2", "red1", routers[::-1])):
        target = at(cast[there], family)
        assert traceroute(cast[here].vm, target) == (*ways, target)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_peer_s_smaller_mtu_is_told(scenario: TwoTenants, cast: Cast, family: int) -> None:
    peer(scenario, cast)

    def shown() -> str:
        cast["red1"].vm.run("ip -4 route flush cache\nip -6 route flush cache")
        words = ["tracepath", "-n", f"-{family}", at(cast["blue2"], family)]
        return cast["red1"].vm.attempt(words, 120.0).stdout

    assert "pmtu 1450" in shown()
    narrow, wide = network("blue", "share", BLUE), network("blue", "share", BLUE)
    narrow["spec"]["mtu"], wide["spec"]["mtu"] = 1400, 1450
    scenario.control.apply([narrow])
    until("it is told", lambda: "pmtu 1400" in shown(), 20)
    scenario.control.apply([wide])
    until("it is not told any more", lambda: "pmtu 1400" not in shown(), 20)


@pytest.mark.parametrize(("tenant", "other"), [("red", "blue"), ("blue", "red")])
def test_it_stops_once_one_side_takes_its_half_away(
    scenario: TwoTenants, cast: Cast, tenant: str, other: str
) -> None:
    peer(scenario, cast)
    done = scenario.control.run("delete", "peering", f"to-{other}", "--tenant", tenant)
    assert done.ok, done.stderr
    for here, there in PAIRS:
        for family in FAMILIES:
            until(
                f"{here} no longer reaches {there}",
                lambda here=here, there=there, family=family: (
                    not ping(cast[here].vm, at(cast[there], family), 1, wait=0.3).reached
                ),
                20,
            )
    for host in scenario.lab.hypervisors:

        def only_the_miss(host: Hypervisor = host) -> bool:
            return host.ofctl("dump-flows", host.management, "table=26").count("cookie=") == 1

        until(f"{host.name} leads nobody there", only_the_miss, 20)
    for family in FAMILIES:  # and nothing else does
        assert ping(cast["red1"].vm, at(cast["red2"], family), 2).complete

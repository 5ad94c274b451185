"""Static routes: next hops are ports of the tenant, prefixes lie outside its subnets, needed ports stay."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.errors import RingfenceError
from model.wanted import Kind, Reference, Wanted, WantedNetwork, WantedPort, WantedRoute


def route(name: str, prefix: str, *hops: str, tenant: str = "acme") -> WantedRoute:
    return WantedRoute(tenant, name, ip_network(prefix), tuple(ip_address(h) for h in hops))


def rules(call, *arguments) -> list[str]:
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [f.rule for f in caught.value.faults]


def ref(kind: Kind, name: str) -> Reference:
    return Reference(kind, name, "acme")


PORTS: tuple[Wanted, ...] = (WantedPort("acme", "a", "prod"), WantedPort("acme", "b", "prod"))


def test_a_route_is_planned_with_its_ports_in_one_request_and_changes(bench) -> None:
    bench.apply(route("r", "172.16.0.0/16", "10.0.0.3", "10.0.0.2"), *PORTS)
    value = bench.contents.routes["acme", "r"].value
    assert value.next_hops == (ip_address("10.0.0.2"), ip_address("10.0.0.3"))
    assert value.tenant == bench.contents.tenants["acme"].value.key
    assert not bench.plan(route("r", "172.16.0.0/16", "10.0.0.2", "10.0.0.3"))
    bench.apply(route("r", "fd01::/64", "fd00::2"), route("s", "172.16.0.0/16", "10.0.0.2"))
    assert bench.contents.routes["acme", "r"].value.uid == value.uid
    assert set(bench.contents.routes) == {("acme", "r"), ("acme", "s")}


def test_a_default_route_is_wider_than_its_next_hops_subnet_and_no_loop(bench) -> None:
    bench.apply(*PORTS, route("all", "0.0.0.0/0", "10.0.0.2"), route("wide", "10.0.0.0/8", "10.0.0.2"))
    assert rules(bench.apply, route("own", "10.0.0.0/24", "10.0.0.2")) == ["route-loop"]
    assert rules(bench.apply, route("own", "10.0.0.128/25", "10.0.0.2")) == ["route-in-subnet"]
    bench.apply(route("more", "10.9.0.0/24", "10.0.0.2"))
    late = WantedNetwork("acme", "late", (ip_network("10.9.0.0/16"),))
    assert rules(bench.apply, late) == ["route-in-subnet"]
    bench.apply(WantedNetwork("acme", "late", (ip_network("10.9.0.0/25"),)))  # longer than the route: it wins


def test_next_hops_are_own_addresses_of_the_tenants_ports(bench) -> None:
    bench.apply(*PORTS, WantedPort("umbra", "x", "prod", addresses=(ip_address("10.0.0.9"),)))
    assert rules(bench.apply, route("r", "172.16.0.0/16", "10.0.0.9")) == ["next-hop-unknown"]
    assert rules(bench.apply, route("r", "172.16.0.0/16", "10.0.0.1")) == ["next-hop-unknown"]
    assert rules(bench.apply, route("r", "172.16.0.0/16", "10.0.0.2", tenant="none")) == ["unknown-tenant"]
    bench.apply(WantedNetwork("acme", "prod", routed=False))
    assert rules(bench.apply, route("r", "172.16.0.0/16", "10.0.0.2")) == ["next-hop-not-routed"]


def test_what_a_route_rests_on_stays(bench) -> None:
    bench.apply(*PORTS, route("r", "172.16.0.0/16", "10.0.0.2"))
    assert rules(bench.delete, ref(Kind.PORT, "a")) == ["still-used"]
    assert "still-used" in rules(bench.apply, WantedPort("acme", "a", "prod", addresses=()))
    assert rules(bench.apply, WantedNetwork("acme", "prod", routed=False)) == ["next-hop-not-routed"]
    bench.delete(ref(Kind.PORT, "b"))
    bench.apply(
        route("r", "172.16.0.0/16", "10.0.0.9"),
        WantedPort("acme", "a", "prod", addresses=(ip_address("10.0.0.9"),)),
    )
    bench.delete(ref(Kind.PORT, "a"), ref(Kind.ROUTE, "r"))
    assert not bench.contents.routes and not bench.contents.needed
    assert rules(bench.delete, ref(Kind.ROUTE, "r")) == ["not-found"]

"""Peerings: complete with both halves, one link for each pair, and prefixes that lead one way only."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.errors import RingfenceError
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedNetwork,
    WantedPeering,
    WantedPort,
    WantedRoute,
    WantedTenant,
)


def half(tenant: str, peer: str, *prefixes: str, name: str = "") -> WantedPeering:
    return WantedPeering(tenant, name or f"to-{peer}", peer, tuple(ip_network(p) for p in prefixes))


def network(tenant: str, name: str, subnet: str, **more) -> WantedNetwork:
    return WantedNetwork(tenant, name, (ip_network(subnet),), **more)


def rules(call, *arguments) -> list[str]:
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [f.rule for f in caught.value.faults]


def ref(tenant: str, peer: str) -> Reference:
    return Reference(Kind.PEERING, f"to-{peer}", tenant)


NETS: tuple[Wanted, ...] = (network("acme", "a", "10.1.0.0/24"), network("umbra", "u", "10.2.0.0/24"))
ACME = half("acme", "umbra", "10.1.0.0/24")
UMBRA = half("umbra", "acme", "10.2.0.0/25")


def test_a_pair_has_one_link_from_its_first_half_to_its_last(bench) -> None:
    bench.apply(*NETS, ACME)
    (link,) = bench.contents.links.values()
    keys = {r.value.key for r in bench.contents.tenants.values()}
    vnis = {r.value.l3vni for r in bench.contents.tenants.values()}
    vnis |= {r.value.vni for r in bench.contents.networks.values()}
    assert link.value.key not in keys and link.value.l3vni not in vnis
    assert link.tenants == ("acme", "umbra")
    bench.apply(UMBRA)
    bench.delete(ref("acme", "umbra"))
    bench.apply(ACME)
    assert list(bench.contents.links.values()) == [link]
    bench.delete(ref("acme", "umbra"), ref("umbra", "acme"))
    assert not bench.contents.links and not bench.contents.peerings and not bench.contents.needed
    assert not [
        claim for claim, who in bench.contents.owners.items() if who.kind in {Kind.LINK, Kind.PEERING}
    ]
    bench.apply(ACME, UMBRA)
    (again,) = bench.contents.links.values()
    assert again.value.key != link.value.key  # the old one cools down
    assert not bench.plan(ACME, UMBRA)


def test_what_a_half_may_say(bench) -> None:
    bench.apply(*NETS, network("acme", "shut", "10.3.0.0/24", routed=False))
    assert rules(bench.apply, half("acme", "acme", "10.1.0.0/24")) == ["peering-self"]
    assert rules(bench.apply, half("acme", "none", "10.1.0.0/24")) == ["unknown-tenant"]
    assert rules(bench.apply, half("acme", "umbra", "10.9.0.0/24")) == ["prefix-not-own"]
    assert rules(bench.apply, half("acme", "umbra", "10.1.0.0/23")) == ["prefix-not-own"]
    assert rules(bench.apply, half("acme", "umbra", "10.3.0.0/24")) == ["prefix-not-own"]
    bench.apply(ACME)
    assert rules(bench.apply, half("acme", "umbra", "10.1.0.0/24", name="again")) == ["already-taken"]
    bench.apply(WantedTenant("third"))
    assert rules(bench.apply, half("acme", "third", "10.1.0.0/24", name="to-umbra")) == ["immutable"]


def test_a_half_that_nobody_has_answered_binds_nobody(bench) -> None:
    """Or a tenant could forbid another its own networks."""
    bench.apply(*NETS, ACME)
    bench.apply(network("umbra", "same", "10.1.0.0/24"))
    assert rules(bench.apply, UMBRA) == ["peering-overlap"]
    bench.delete(Reference(Kind.NETWORK, "same", "umbra"))
    bench.apply(UMBRA)
    assert rules(bench.apply, network("umbra", "same", "10.1.0.128/25")) == ["peering-overlap"]
    bench.apply(network("umbra", "same", "10.1.0.128/25", routed=False))


def test_exports_of_both_sides_and_of_two_peers_are_apart(bench) -> None:
    hop = WantedPort("acme", "p", "a")
    route = WantedRoute("acme", "far", ip_network("10.2.0.0/16"), (ip_address("10.1.0.2"),))
    bench.apply(*NETS, hop)
    both = (half("acme", "umbra", "10.2.0.0/16"), UMBRA)
    assert set(rules(bench.apply, route, *both)) == {"peering-overlap"}
    bench.apply(WantedTenant("third"), network("third", "t", "10.2.0.0/24"), ACME, UMBRA)
    bench.apply(half("third", "acme", "10.2.0.0/24"))
    assert rules(bench.apply, half("acme", "third", "10.1.0.0/24")) == ["peering-overlap"]


def test_no_route_of_the_peer_sends_it_back(bench) -> None:
    ports = (WantedPort("acme", "p", "a"), WantedPort("umbra", "q", "u"))
    ours = WantedRoute("acme", "r", ip_network("172.16.0.0/16"), (ip_address("10.1.0.2"),))
    back = WantedRoute("umbra", "r", ip_network("172.16.0.0/16"), (ip_address("10.2.0.2"),))
    wider = WantedRoute("umbra", "all", ip_network("0.0.0.0/0"), (ip_address("10.2.0.2"),))
    out = half("acme", "umbra", "172.16.0.0/16")
    bench.apply(*NETS, *ports, ours, out, back, wider)
    assert rules(bench.apply, UMBRA) == ["peering-loop"]
    bench.delete(Reference(Kind.ROUTE, "r", "umbra"))
    bench.apply(UMBRA)
    assert rules(bench.apply, back) == ["peering-loop"]


def test_what_a_half_rests_on_stays(bench) -> None:
    bench.apply(*NETS, ACME, UMBRA)
    assert rules(bench.delete, Reference(Kind.NETWORK, "a", "acme")) == ["still-used"]
    assert rules(bench.apply, WantedNetwork("acme", "a", routed=False)) == ["prefix-not-own"]
    assert rules(bench.apply, network("acme", "a", "10.7.0.0/24")) == ["prefix-not-own"]
    assert rules(bench.delete, Reference(Kind.TENANT, "umbra"), *_nets("umbra")) == [
        "still-used",
        "still-used",
    ]
    bench.delete(
        ref("acme", "umbra"), ref("umbra", "acme"), Reference(Kind.TENANT, "umbra"), *_nets("umbra", "prod")
    )


def _nets(tenant: str, *more: str) -> list[Reference]:
    return [Reference(Kind.NETWORK, name, tenant) for name in ("u", *more)]

"""External networks, floating IPs, egress addresses and gateways: allocated, stable, and given back."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipam.ways_out import choose
from model.errors import RingfenceError
from model.ids import HostName, Vni
from model.intent import Egress
from model.wanted import (
    Kind,
    Reference,
    WantedExternal,
    WantedFloatingIp,
    WantedHypervisor,
    WantedNetwork,
    WantedPort,
    WantedRoute,
    WantedTenant,
)

POOLS = (ip_network("203.0.113.0/29"), ip_network("2001:db8:f::/64"))


def host(name: str, number: int, gateway: bool | None = True) -> WantedHypervisor:
    return WantedHypervisor(HostName(name), ip_address(f"192.0.2.{number}"), gateway=gateway)


def external(name: str = "net", pools=POOLS, **more) -> WantedExternal:
    return WantedExternal(name, pools, **more)


def snat(name: str = "acme") -> WantedTenant:
    return WantedTenant(name, egress=Egress.SNAT, external="net")


def fip(name: str, port: str | None = None, tenant: str = "acme", outside: str = "net", **more):
    return WantedFloatingIp(tenant, name, outside, port=port, **more)


def rules(call, *arguments) -> list[str]:
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [f.rule for f in caught.value.faults]


def tenant(bench, name: str = "acme"):
    return bench.contents.tenants[name].value


def texts(values) -> list[str]:
    return [str(v) for v in values]


def test_a_tenant_gets_an_address_of_each_family_and_keeps_it(bench) -> None:
    bench.apply(snat(), external(), host("g1", 11), host("g2", 12), host("g3", 13))
    value = tenant(bench)
    assert texts(value.egress_addresses) == ["203.0.113.1", "2001:db8:f::1"]
    assert value.external == bench.contents.externals["net"].value.key != value.key
    assert len(value.gateways) == 2 and value.gateways == choose("acme", ("g1", "g2", "g3"))
    assert not bench.plan(snat()) and not bench.plan(WantedTenant("acme")) and not bench.plan(external())
    bench.apply(snat("umbra"))
    assert texts(tenant(bench, "umbra").egress_addresses) == ["203.0.113.2", "2001:db8:f::2"]
    bench.apply(WantedTenant("acme", egress=Egress.NONE))
    value = tenant(bench)
    assert (value.egress_addresses, value.gateways, value.external) == ((), (), 0)
    bench.apply(snat())
    assert texts(tenant(bench).egress_addresses) == ["203.0.113.3", "2001:db8:f::3"]  # the old one cools down
    bench.apply(WantedTenant("acme", egress=Egress.FABRIC))
    assert (tenant(bench).egress_addresses, tenant(bench).gateways) == ((), ())


def test_written_addresses_come_before_those_that_are_handed_out(bench) -> None:
    bench.apply(host("g1", 11), external(), snat(), fip("f", address=ip_address("203.0.113.1")), fip("g"))
    assert texts(tenant(bench).egress_addresses) == ["203.0.113.2", "2001:db8:f::1"]
    assert str(bench.contents.floating["acme", "g"].value.address) == "203.0.113.3"


def test_gateways_follow_hosts_and_keep_their_order(bench) -> None:
    bench.apply(host("g1", 11), external(), snat(), snat("umbra"))
    assert tenant(bench).gateways == ("g1",)
    made = bench.apply(host("g2", 12))
    assert tenant(bench).gateways == tenant(bench, "umbra").gateways == ("g1", "g2")
    assert {s.reference.name for s in made.steps} == {"g2", "acme", "umbra"}
    assert len(bench.apply(host("g3", 13)).steps) == 1  # nobody needs it now
    bench.apply(host("g1", 11, gateway=False))
    assert tenant(bench).gateways == ("g2", "g3")
    bench.delete(Reference(Kind.HYPERVISOR, "g2"))
    assert tenant(bench).gateways == ("g3",)
    assert rules(bench.delete, Reference(Kind.HYPERVISOR, "g3")) == ["no-gateway", "no-gateway"]
    assert rules(bench.apply, host("g3", 13, gateway=False)) == ["no-gateway", "no-gateway"]
    assert rules(bench.delete, Reference(Kind.EXTERNAL, "net")) == ["still-used"]
    bench.delete(Reference(Kind.HYPERVISOR, "g3"), Reference(Kind.TENANT, "umbra"), *_all_of(bench, "acme"))


def _all_of(bench, name: str) -> list[Reference]:
    bench.delete(*(Reference(Kind.NETWORK, "prod", t) for t in ("acme", "umbra")))
    return [Reference(Kind.TENANT, name), Reference(Kind.EXTERNAL, "net")]


def test_each_tenant_ranks_the_hosts_in_an_order_of_its_own() -> None:
    hosts = tuple(HostName(f"g{i}") for i in range(8))
    firsts = [choose(f"t{i}", hosts)[0] for i in range(400)]
    assert min(firsts.count(h) for h in hosts) > 20
    moved = [i for i in range(400) if choose(f"t{i}", hosts[1:])[0] != firsts[i]]
    assert {firsts[i] for i in moved} == {hosts[0]}


def test_snat_needs_an_external_network_and_a_gateway(bench) -> None:
    assert rules(bench.apply, WantedTenant("acme", egress=Egress.SNAT)) == ["external-missing"]
    assert rules(bench.apply, snat()) == ["unknown-external"]
    assert rules(bench.apply, external(), snat()) == ["no-gateway"]
    bench.apply(external(pools=(ip_network("203.0.113.0/30"),)), host("g1", 11))
    bench.apply(snat(), snat("umbra"))
    assert rules(bench.apply, snat("third")) == ["pool-exhausted"]


def test_keys_and_vnis_are_the_tenants(bench) -> None:
    bench.apply(external(vni=Vni(7001)), WantedTenant("late"))
    bench.apply(external("other", (ip_network("198.51.100.0/24"),)))
    values = [r.value for group in (bench.contents.externals, bench.contents.tenants) for r in group.values()]
    assert len({v.key for v in values}) == len({v.l3vni for v in values}) == len(values)
    assert rules(bench.apply, WantedTenant("x", l3vni=Vni(7001))) == ["already-taken"]
    assert rules(bench.apply, external(vni=Vni(7002))) == ["immutable"]


def test_pools_are_apart_from_each_other_and_from_the_subnets_of_those_who_use_them(bench) -> None:
    bench.apply(external(), host("g1", 11))
    assert rules(bench.apply, external("b", (ip_network("203.0.113.0/24"),))) == ["pool-overlap"]
    inner = WantedNetwork("acme", "pub", (ip_network("203.0.113.0/24"),))
    bench.apply(inner)  # a tenant that does not use it may have the same addresses
    assert rules(bench.apply, snat()) == ["pool-overlap"]
    assert rules(bench.apply, fip("f")) == ["pool-overlap"]
    bench.apply(snat("umbra"))
    assert rules(bench.apply, WantedNetwork("umbra", "pub", (ip_network("203.0.113.4/30"),))) == [
        "pool-overlap"
    ]
    bench.apply(WantedNetwork("umbra", "next", (ip_network("198.51.100.0/24"),)))
    more = (*POOLS, ip_network("198.51.100.128/25"))
    assert rules(bench.apply, external(pools=more)) == ["pool-overlap"]
    assert rules(bench.apply, external(pools=POOLS[1:])) == ["pool-in-use"]
    bench.apply(external(pools=(*POOLS, ip_network("198.18.0.0/24"))))


def test_a_floating_ip_stands_for_a_port_and_moves(bench) -> None:
    ports = (
        WantedPort("acme", "a", "prod"),
        WantedPort("acme", "b", "prod"),
        WantedPort("umbra", "x", "prod"),
    )
    bench.apply(external(), fip("f", "a"), fip("six", "a", family=6), fip("idle"), *ports)
    a, b = (bench.contents.ports["acme", n].value for n in "ab")
    value = bench.contents.floating["acme", "f"].value
    assert (str(value.address), value.port, value.target) == ("203.0.113.1", a.key, a.addresses[0])
    six = bench.contents.floating["acme", "six"].value
    assert (str(six.address), six.target) == ("2001:db8:f::1", a.addresses[1])
    assert bench.contents.floating["acme", "idle"].value.port == 0
    assert not bench.plan(fip("f"))
    assert rules(bench.apply, fip("idle", "a")) == ["already-taken"]
    assert rules(bench.apply, fip("f", "x")) == ["unknown-port"]
    assert rules(bench.apply, fip("f", address=ip_address("203.0.113.5"))) == ["immutable"]
    bench.apply(fip("f", "b"), fip("idle", "a"))
    moved = bench.contents.floating["acme", "f"].value
    assert (moved.address, moved.port, moved.target) == (value.address, b.key, b.addresses[0])
    bench.apply(fip("f", ""))
    assert bench.contents.floating["acme", "f"].value.target is None
    bench.delete(Reference(Kind.FLOATING_IP, "f", "acme"))
    bench.apply(fip("new"))
    assert (
        str(bench.contents.floating["acme", "new"].value.address) == "203.0.113.3"
    )  # the old one cools down


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("203.0.113.0", "address-reserved"),
        ("203.0.113.7", "address-reserved"),
        ("2001:db8:f::", "address-reserved"),
        ("198.51.100.1", "address-out-of-pool"),
        ("203.0.113.1", "already-taken"),
    ],
)
def test_addresses_outside_that_nobody_may_have(bench, address: str, rule: str) -> None:
    bench.apply(external(), host("g1", 11), snat())
    assert rules(bench.apply, fip("f", address=ip_address(address))) == [rule]


def test_what_a_floating_ip_rests_on_stays(bench) -> None:
    bench.apply(external(), WantedPort("acme", "a", "prod"), fip("f", "a"))
    assert rules(bench.delete, Reference(Kind.PORT, "a", "acme")) == ["still-used"]
    assert rules(bench.delete, Reference(Kind.EXTERNAL, "net")) == ["still-used"]
    assert rules(bench.apply, WantedPort("acme", "a", "prod", addresses=())) == ["still-used"]
    assert rules(bench.apply, WantedNetwork("acme", "prod", routed=False)) == ["port-not-routed"]
    four = WantedNetwork("umbra", "four", (ip_network("10.4.0.0/24"),))
    assert rules(bench.apply, four, WantedPort("umbra", "x", "four"), fip("g", "x", "umbra", family=6)) == [
        "family-missing"
    ]
    bench.delete(Reference(Kind.PORT, "a", "acme"), Reference(Kind.FLOATING_IP, "f", "acme"))


def test_a_default_route_and_egress_exclude_each_other(bench) -> None:
    hop = WantedPort("acme", "a", "prod")
    default = WantedRoute("acme", "all", ip_network("0.0.0.0/0"), (ip_address("10.0.0.2"),))
    assert rules(bench.apply, hop, default, WantedTenant("acme", egress=Egress.FABRIC)) == ["two-ways-out"]
    bench.apply(hop, default)
    assert rules(bench.apply, WantedTenant("acme", egress=Egress.FABRIC)) == ["two-ways-out"]

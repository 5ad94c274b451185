"""What borders are told: private addresses, and what the operator named as the tenant's own."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.errors import RingfenceError
from model.intent import Egress, Pair
from model.wanted import (
    Kind,
    Reference,
    WantedExternal,
    WantedNetwork,
    WantedPort,
    WantedRoute,
    WantedTenant,
)

PUBLIC = ip_network("198.51.100.0/24")
ALLOWED = WantedTenant("acme", egress=Egress.FABRIC, public_prefixes=(PUBLIC,))
FABRIC = WantedTenant("acme", egress=Egress.FABRIC)
FIRST = ip_address("10.9.0.5")
HOME = WantedNetwork("acme", "home", (ip_network("10.9.0.0/24"),))
PORT = WantedPort("acme", "p", "home", addresses=(FIRST,))


def faults(call, *arguments) -> list[tuple[str, str, str]]:
    """(rule, object, field) of each."""
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return [(f.rule, f.object, f.path) for f in caught.value.faults]


def subnet(text: str, **more) -> WantedNetwork:
    return WantedNetwork("acme", "n", (ip_network(text),), **more)


def route(text: str) -> WantedRoute:
    return WantedRoute("acme", "r", ip_network(text), (FIRST,))


def pair(text: str) -> WantedPort:
    return WantedPort("acme", "q", "home", allowed=(Pair(ip_network(text)),))


SPEAKS = (
    (subnet, "spec.subnets[0]"),
    (route, "spec.prefix"),
    (pair, "spec.allowedAddresses[0]"),
)


@pytest.mark.parametrize(("say", "field"), SPEAKS)
@pytest.mark.parametrize("foreign", ["8.8.8.0/24", "172.32.0.0/24", "198.51.101.0/24", "11.0.0.0/8"])
def test_a_public_prefix_is_refused_where_borders_would_be_told_it(bench, say, field, foreign) -> None:
    bench.apply(ALLOWED, HOME, PORT)
    assert [(f[0], f[2]) for f in faults(bench.plan, say(foreign))] == [("prefix-public", field)]
    bench.apply(WantedTenant("acme", egress=Egress.NONE), say(foreign))  # else nobody outside is told
    rule, who, where = faults(bench.plan, FABRIC)[0]
    assert (rule, where) == ("prefix-public", "spec.egress") and "acme" in who


@pytest.mark.parametrize(("say", "field"), SPEAKS)
def test_private_prefixes_and_the_tenants_own_are_told(bench, say, field) -> None:
    bench.apply(ALLOWED, HOME, PORT)
    for inside in ("10.77.0.0/24", "172.31.0.0/24", "192.168.7.0/24", "198.51.100.128/25"):
        bench.apply(say(inside))
    assert faults(bench.plan, WantedTenant("acme", public_prefixes=())) == [
        ("prefix-public", "Tenant acme", "spec.egress")
    ]
    assert bench.contents.tenants["acme"].value.public_prefixes == (PUBLIC,)
    assert not bench.plan(FABRIC)  # what is not written stays


def test_ipv6_is_private_in_its_local_range_only(bench) -> None:
    bench.apply(FABRIC, HOME, PORT)
    bench.apply(subnet("fd12:3456::/64"))
    six = WantedNetwork("acme", "six", (ip_network("2001:db8:1::/64"),))
    assert faults(bench.plan, six) == [("prefix-public", "Network acme/six", "spec.subnets[0]")]
    bench.apply(WantedTenant("acme", public_prefixes=(ip_network("2001:db8:1::/48"),)), six)


def test_what_is_not_routed_is_not_told_until_it_is(bench) -> None:
    bench.apply(FABRIC, WantedNetwork("acme", "home", HOME.subnets, routed=False))
    bench.apply(subnet("8.8.8.0/24", routed=False), pair("9.9.9.0/24"))
    assert faults(bench.plan, WantedNetwork("acme", "n", routed=True)) == [
        ("prefix-public", "Network acme/n", "spec.subnets")
    ]
    assert faults(bench.plan, WantedNetwork("acme", "home", routed=True)) == [
        ("prefix-public", "Network acme/home", "spec.subnets")
    ]


def test_a_public_prefix_has_one_owner(bench) -> None:
    bench.apply(ALLOWED, WantedTenant("umbra"))
    part = (ip_network("198.51.100.64/26"),)
    rival = WantedTenant("umbra", public_prefixes=part)
    assert faults(bench.plan, rival) == [("public-overlap", "Tenant umbra", "spec.publicPrefixes[0]")]
    pool = WantedExternal("net", part)
    assert faults(bench.plan, pool) == [("public-overlap", "External net", "spec.pools[0]")]
    bench.apply(WantedTenant("acme", public_prefixes=()), pool)
    assert faults(bench.plan, rival) == [("public-overlap", "Tenant umbra", "spec.publicPrefixes[0]")]
    bench.delete(Reference(Kind.EXTERNAL, "net"))
    bench.apply(rival)
    assert faults(bench.plan, ALLOWED) == [("public-overlap", "Tenant acme", "spec.publicPrefixes[0]")]

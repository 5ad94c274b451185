"""Allowed pairs: kept apart from own addresses, whichever comes first, and never handed out."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.addresses import parse_mac
from model.errors import RingfenceError
from model.intent import Pair
from model.wanted import UNMARKED, Wanted, WantedNetwork, WantedPort

VIRTUAL = parse_mac("00:00:5e:00:01:0a")


def port(name: str, *pairs: str, **more) -> WantedPort:
    return WantedPort("acme", name, "prod", allowed=tuple(Pair(ip_network(p)) for p in pairs) or None, **more)


def rules(bench, *wanted: Wanted) -> list[str]:
    with pytest.raises(RingfenceError) as caught:
        bench.apply(*wanted)
    return [f.rule for f in caught.value.faults]


def test_two_ports_may_share_a_pair_and_nothing_that_it_covers_is_handed_out(bench) -> None:
    bench.apply(port("a", "10.0.0.3/32", "10.0.0.4/30"), port("b", "10.0.0.3/32"), port("c"))
    bench.apply(port("d"))
    held = [str(bench.contents.ports["acme", n].value.addresses[0]) for n in "abcd"]
    assert held == ["10.0.0.2", "10.0.0.8", "10.0.0.9", "10.0.0.10"]
    other = bench.apply(WantedPort("umbra", "a", "prod"), WantedPort("umbra", "b", "prod"))
    assert [str(s.after.value.addresses[0]) for s in other.steps] == ["10.0.0.2", "10.0.0.3"]


def test_a_pair_covers_neither_gateway_nor_other_ports_nor_other_networks(bench) -> None:
    bench.apply(port("a"), WantedNetwork("acme", "far", (ip_network("10.9.0.0/24"),)))
    assert rules(bench, port("b", "0.0.0.0/0")) == ["pair-of-gateway"]
    assert rules(bench, port("b", "10.0.0.2/32")) == ["pair-of-port"]
    assert rules(bench, port("b", "10.9.0.0/25")) == ["pair-of-network"]
    bench.apply(WantedPort("acme", "high", "prod", addresses=(ip_address("10.0.0.200"),)))
    assert rules(bench, port("b", "10.0.0.128/25")) == ["pair-of-port"]  # more than are looked up one by one
    assert rules(bench, port("b", "10.0.0.77/32"), port("c", addresses=(ip_address("10.0.0.77"),))) == [
        "pair-of-port"
    ]
    bench.apply(port("b", "10.0.0.78/32", "172.16.0.0/16"))
    assert rules(bench, port("c", addresses=(ip_address("10.0.0.78"),))) == ["pair-of-port"]
    # Given up in the same request.
    bench.apply(WantedPort("acme", "b", "prod", allowed=()), port("c", addresses=(ip_address("10.0.0.78"),)))


def test_its_own_address_may_stand_in_its_own_pair_and_what_is_left_out_stays(bench) -> None:
    bench.apply(WantedPort("acme", "a", "prod", allowed=(Pair(ip_network("10.0.0.2/32"), VIRTUAL),)))
    bench.apply(WantedPort("acme", "a", "prod", rate_out=1000, enabled=False))
    bench.apply(WantedPort("acme", "a", "prod", rate_in=64))
    value = bench.contents.ports["acme", "a"].value
    assert (value.rate_out, value.rate_in, value.enabled) == (1000, 64, False)
    assert value.allowed == (Pair(ip_network("10.0.0.2/32"), VIRTUAL),)
    bench.apply(WantedPort("acme", "a", "prod", rate_out=0, enabled=True, allowed=()))
    bench.apply(WantedPort("acme", "a", "prod", sticky=True))
    bench.apply(WantedPort("acme", "a", "prod"))
    value = bench.contents.ports["acme", "a"].value
    assert value.sticky
    bench.apply(WantedPort("acme", "a", "prod", sticky=False))
    assert not bench.contents.ports["acme", "a"].value.sticky
    assert (value.rate_out, value.enabled, value.allowed) == (0, True, ())


def test_a_networks_mark_is_set_kept_and_cleared(bench) -> None:
    for written, found in ((46, 46), (None, 46), (0, 0), (UNMARKED, None)):
        bench.apply(WantedNetwork("acme", "prod", dscp=written))
        assert bench.contents.networks["acme", "prod"].value.dscp == found

"""What a network tells its ports: set, kept and taken back field by field; next hops are its own."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.errors import Invalid
from model.guidance import USUAL, Guidance
from model.wanted import WantedGuidance, WantedNetwork

ROUTE = (ip_network("192.0.2.0/24"), ip_address("10.0.0.9"))
RESOLVERS = (ip_address("10.0.0.53"), ip_address("fd00::53"))


def told(bench, **fields) -> Guidance:
    bench.apply(WantedNetwork("acme", "prod", guidance=WantedGuidance(**fields)))
    return bench.contents.networks["acme", "prod"].value.guidance


def test_it_is_set_kept_and_taken_back(bench) -> None:
    assert told(bench) == USUAL
    assert told(bench, resolvers=RESOLVERS, domain="a.example") == Guidance(
        resolvers=RESOLVERS, domain="a.example"
    )
    whole = Guidance(False, RESOLVERS, "a.example", ("b.example",), (ROUTE,), 900, False)
    more = {"answers": False, "search": ("b.example",), "routes": (ROUTE,), "lease": 900, "names": False}
    assert told(bench, **more) == whole
    assert told(bench) == whole
    usual = (True, (), "", (), (), USUAL.lease, True)
    assert told(bench, **dict(zip(WantedGuidance.__slots__, usual, strict=True))) == USUAL


def test_a_new_network_has_what_is_written(bench) -> None:
    wanted = WantedNetwork("acme", "new", guidance=WantedGuidance(lease=600))
    bench.apply(wanted)
    assert bench.contents.networks["acme", "new"].value.guidance == Guidance(lease=600)


@pytest.mark.parametrize(
    ("routes", "rule"),
    [
        ([("192.0.2.0/24", "10.9.9.9")], "guest-route-next-hop"),
        ([("192.0.2.0/24", "fd00::9")], "guest-route-next-hop"),
        ([("192.0.2.0/24", "10.0.0.9"), ("192.0.2.0/24", "10.0.0.8")], "guest-route-twice"),
    ],
)
def test_routes_lead_through_the_network(bench, routes: list[tuple[str, str]], rule: str) -> None:
    made = tuple((ip_network(prefix), ip_address(hop)) for prefix, hop in routes)
    with pytest.raises(Invalid) as refused:
        told(bench, routes=made)
    assert {fault.rule for fault in refused.value.faults} == {rule}


def test_subnets_do_not_leave_a_next_hop_behind(bench) -> None:
    told(bench, routes=(ROUTE,))
    with pytest.raises(Invalid) as refused:
        bench.apply(WantedNetwork("acme", "prod", subnets=(ip_network("10.7.0.0/24"),)))
    assert "guest-route-next-hop" in {fault.rule for fault in refused.value.faults}

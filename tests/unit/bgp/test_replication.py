"""RT-3 of hosts with IPv6 VTEPs: what they say, and what is believed of it (docs/decisions/0025)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from bgp.guard import FloodClaim, judge
from bgp.lookup import index
from bgp.originate import originate
from bgp.verdict import Refused
from model.ids import HostName
from model.route import MulticastRoute, Route
from model.snapshot import Snapshot
from tests.unit.bgp.world import HERE, HOSTS, RED, bind, plug, world

VTEPS = {name: ip_address(f"2001:db8::{n}") for n, name in enumerate(HOSTS, 1)}


def over_ipv6(host: str) -> Snapshot:
    """The world seen from a host, with other VTEPs; red has a port bound on h1 and one on h2."""
    made = plug(bind(replace(world(), host=HostName(host)), HERE, "h1"), HERE)
    hosts = {name: replace(made.hypervisors[HostName(name)], vtep=VTEPS[name]) for name in HOSTS}
    return replace(made, hypervisors=made.hypervisors.update(hosts))


def flood() -> Route:
    """The RT-3 of h1."""
    (found,) = (r for r in originate(over_ipv6("h1")).ordered() if isinstance(r.nlri, MulticastRoute))
    return found


def test_it_names_the_router_id_and_its_next_hop_is_the_vtep() -> None:
    router = IPv4Address(HOSTS["h1"].router_id)
    body, hung = flood().nlri, flood().attributes
    assert isinstance(body, MulticastRoute)
    assert (body.originator, hung.pmsi_endpoint, hung.next_hop) == (router, router, VTEPS["h1"])


@pytest.mark.parametrize("said", ["router", "0.0.0.0", str(VTEPS["h1"])])
def test_what_names_the_host_or_nobody_is_believed_and_leads_to_the_vtep(said: str) -> None:
    seen = over_ipv6("h2")
    address = IPv4Address(HOSTS["h1"].router_id) if said == "router" else ip_address(said)
    route = replace(flood(), attributes=replace(flood().attributes, pmsi_endpoint=address))
    assert judge(seen, index(seen), route) == FloodClaim(RED, VTEPS["h1"])


@pytest.mark.parametrize("said", ["10.0.0.9", "192.0.2.1", str(VTEPS["h3"]), "::"])
def test_what_names_another_is_not(said: str) -> None:
    seen = over_ipv6("h2")
    route = replace(flood(), attributes=replace(flood().attributes, pmsi_endpoint=ip_address(said)))
    refused = judge(seen, index(seen), route)
    assert isinstance(refused, Refused) and refused.code == "pmsi-endpoint"


def test_a_host_with_ipv4_still_names_its_vtep_only() -> None:
    seen = replace(world(), host=HostName("h2"))
    (found,) = (r for r in originate(world()).ordered() if isinstance(r.nlri, MulticastRoute))
    assert found.attributes.pmsi_endpoint == HOSTS["h1"].vtep
    for said in (IPv4Address(0), IPv4Address(HOSTS["h1"].router_id)):
        route = replace(found, attributes=replace(found.attributes, pmsi_endpoint=said))
        refused = judge(seen, index(seen), route)
        assert isinstance(refused, Refused) and refused.code == "pmsi-endpoint"

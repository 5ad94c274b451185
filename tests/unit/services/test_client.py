"""Clients: what an answer may depend on, made of a network, a port and what the network says."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.guidance import DAY, LEASES, Guidance
from model.ids import Uid
from services.client import make_client
from tests.fakes.askers import network, port


def test_what_nobody_said_is_usual() -> None:
    client = make_client(network("10.0.0.0/24", "fd00::/64"), port("10.0.0.5", "fd00::5"))
    assert (client.answers, client.lease, client.domain, client.search) == (True, DAY, "", ())
    assert DAY in LEASES
    assert client.four is not None
    assert client.six is not None
    assert (client.four.resolvers, client.six.resolvers) == ((), ())


def test_addresses_outside_the_subnet_are_not_given_out() -> None:
    """A port's other addresses are for whoever configures it by hand."""
    client = make_client(network("10.0.0.0/24", "fd00::/64"), port("10.0.1.5", "10.0.0.5", "fd01::5"))
    assert client.four is not None
    assert client.six is not None
    assert (client.four.addresses, client.six.addresses) == ((ip_address("10.0.0.5"),), ())


def test_a_network_of_one_family_has_nothing_of_the_other() -> None:
    only4, only6 = (make_client(network(s), port()) for s in ("10.0.0.0/24", "fd00::/64"))
    assert (only4.four is None, only4.six is None) == (False, True)
    assert (only6.four is None, only6.six is None) == (True, False)


def test_routes_that_were_declared_beat_those_that_follow() -> None:
    """Longest first; what is of IPv6 is for nobody, as no option says it."""
    declared = (
        (ip_network("0.0.0.0/0"), ip_address("10.0.0.9")),
        (ip_network("169.254.169.254/32"), ip_address("10.0.0.8")),
        (ip_network("192.0.2.0/24"), ip_address("10.0.0.7")),
        (ip_network("fd09::/64"), ip_address("fd00::9")),
    )
    client = make_client(network("10.0.0.0/24", "fd00::/64"), port("10.0.0.5"), Guidance(routes=declared))
    assert client.four is not None
    assert client.four.routes == (declared[1], declared[2], declared[0])


def test_the_domain_is_searched_first_and_once() -> None:
    client = make_client(network(), port(), Guidance(domain="a.example.", search=("b.example", "a.example")))
    assert client.domain == "a.example"
    assert client.search == (b"\x01a\x07example\0", b"\x01b\x07example\0")


@pytest.mark.parametrize("name", [".", "a..b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_what_is_no_name_is_refused(name: str) -> None:
    for guidance in (Guidance(domain=name), Guidance(search=(name,))):
        with pytest.raises(ValueError, match="domain"):
            make_client(network("10.0.0.0/24"), port("10.0.0.5"), guidance)


def test_networks_are_different_servers() -> None:
    """So that what a workload holds of one network is never renewed in another."""
    one = network("fd00::/64")
    other = replace(one, uid=Uid("22222222-2222-4333-8444-555555555555"))
    duids = {made.six.duid for made in (make_client(one, port()), make_client(other, port())) if made.six}
    assert len(duids) == 2
    assert {(duid[:2], len(duid)) for duid in duids} == {(b"\0\x04", 18)}

"""Which addresses of a subnet are the network's own."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from ipam.pools import address_pool, capacity, defaults, mac_pool, parse_range, pool_of_scope, render_range
from ipam.subnets import WINDOW, reservation, usable
from model.addresses import gateway
from model.ids import NetworkKey


@pytest.mark.parametrize(
    ("subnet", "first_gateway", "free"),
    [
        ("10.0.0.0/24", "10.0.0.1", 253),
        ("10.0.0.0/30", "10.0.0.1", 1),
        ("10.0.0.0/31", "10.0.0.0", 1),
        ("10.0.0.0/32", "10.0.0.0", 0),
        ("fd00::/64", "fd00::1", WINDOW - 2),
        ("fd00::/126", "fd00::1", 2),
        ("fd00::/127", "fd00::", 1),
        ("fd00::/128", "fd00::", 0),
    ],
)
def test_gateway_and_number_of_addresses(subnet: str, first_gateway: str, free: int) -> None:
    prefix = ip_network(subnet)
    assert gateway(prefix) == ip_address(first_gateway)
    assert len(usable(prefix)) == free
    assert capacity(address_pool(NetworkKey(1), prefix)) == free
    for offset in list(usable(prefix))[:300]:
        assert reservation(prefix, prefix.network_address + offset) == ""


@pytest.mark.parametrize(
    ("subnet", "address", "words"),
    [
        ("10.0.0.0/24", "10.0.0.0", "network address"),
        ("10.0.0.0/24", "10.0.0.1", "gateway"),
        ("10.0.0.0/24", "10.0.0.255", "broadcast"),
        ("fd00::/64", "fd00::", "anycast"),
        ("fd00::/64", "fd00::1", "gateway"),
    ],
)
def test_reserved_addresses_say_why(subnet: str, address: str, words: str) -> None:
    assert words in reservation(ip_network(subnet), ip_address(address))


def test_scopes_and_ranges_go_there_and_back() -> None:
    pool = address_pool(NetworkKey(77), ip_network("fd00:1::/64"))
    assert pool_of_scope(pool.name) == pool
    assert pool_of_scope("mac") is None
    for made in defaults(site=513):
        assert parse_range(made.name, made.kind, *render_range(made)) == made


def test_macs_are_local_individual_and_carry_the_site() -> None:
    pool = mac_pool(0xABCD)
    assert pool.first >> 24 == 0x02ABCD
    assert pool.last >> 24 == 0x02ABCD
    with pytest.raises(ValueError):
        mac_pool(1 << 16)

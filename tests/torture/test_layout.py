"""The torture test's layout is what it claims: twenty ports, three tenants, and cells that can be judged."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address, ip_network

from tests.torture.layout import HOSTS, SEATS, SUBNETS, TENANTS, WAYS, Care, streams
from topologies.scenarios.outside import NARROW


def test_every_one_of_twenty_ports_sends() -> None:
    sources = {way.source for way in WAYS}
    assert len(sources) == 20 and {name.partition("/")[0] for name in sources} == set(TENANTS)
    assert {way.target for way in WAYS} <= sources | {"server"}
    assert len(HOSTS) == 4 and {seat.host for seat in SEATS} == set(HOSTS)


def test_no_cell_holds_both_what_is_strict_and_what_is_not() -> None:
    cares: dict[tuple[str, str], set[Care]] = defaultdict(set)
    for way in WAYS:
        cares[way.source, way.name].add(way.care)
    assert all(len(found) == 1 for found in cares.values()), cares
    strict = {name for (_, name), found in cares.items() if found == {Care.STRICT}}
    assert len(strict) >= 6, "every kind of class but what is left is judged to the byte"


def test_streams_are_told_apart_by_port_and_size_and_pass_everywhere() -> None:
    made = streams()
    assert len({stream.udp for stream in made}) == len({stream.size for stream in made}) == len(made)
    assert {stream.family for stream in made} == {4, 6}
    outside = [s for s in made if s.way.target == "server"]
    assert outside and max(s.each for s in outside) <= NARROW
    assert min(s.size for s in made) >= 8


def test_no_two_networks_that_meet_overlap() -> None:
    nets = [ip_network(text) for pair in SUBNETS.values() for text in pair]
    assert not any(a.overlaps(b) for a in nets for b in nets if a is not b and a.version == b.version)
    for way in WAYS:
        assert all(ip_address(a) not in net for a in way.addresses for net in nets)

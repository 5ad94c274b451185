"""Spaces: what they consist of, who may give back what, what they cost, and what is foretold of them."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_address, ip_network

import pytest

from ipam.spaces import extent
from ipam.spaces.extent import Extent, Standing
from ipam.spaces.outlook import Sample, forecast, survey
from ipam.spaces.space import Space
from model.fabric import Fabric, FabricKind

IB = Fabric("ib", FabricKind.INFINIBAND, (), pkeys=range(0x8000), guids=(range(1 << 58, (1 << 58) + 9),))


def number(text: str) -> int:
    return int(ip_address(text))


def handed_out(space: Space) -> list[int]:
    found = []
    while (value := space.next_free()) is not None:
        assert space.take(value, 1)
        found.append(value)
    return found


def test_addresses_leave_out_what_nobody_may_have() -> None:
    prefix = ip_network("10.0.0.0/29")
    found = extent.addresses("a", prefix, [ip_network("10.0.0.2/32")], [ip_network("10.0.0.4/31")])
    assert handed_out(Space(found)) == [number(f"10.0.0.{n}") for n in (1, 3, 6)]
    assert found.capacity == 3
    assert [found.standing(number(f"10.0.0.{n}")) for n in (0, 2, 4, 7, 8)] == [
        Standing.BARRED,
        Standing.BARRED,
        Standing.RESERVED,
        Standing.BARRED,
        Standing.BARRED,
    ]


def test_addresses_of_ipv6() -> None:
    found = extent.addresses("a", ip_network("fd00::/126"), [ip_network("10.0.0.0/8")])
    assert handed_out(Space(found)) == [number(f"fd00::{n}") for n in (1, 2, 3)]


@pytest.mark.parametrize("prefix", ["10.0.0.0/31", "fd00::/127", "10.0.0.0/32"])
def test_a_link_has_no_ends_to_leave_out(prefix: str) -> None:
    network = ip_network(prefix)
    assert len(handed_out(Space(extent.addresses("a", network)))) == network.num_addresses


def test_a_wide_prefix_is_handed_out_at_its_start_and_given_anywhere() -> None:
    space = Space(extent.addresses("a", ip_network("fd00::/64")))
    assert space.next_free() == number("fd00::1")
    far = number("fd00::ffff:0:0:1")
    assert space.extent.standing(far) is Standing.RESERVED
    assert space.take(far, 7)
    assert space.holder(far) == 7
    assert survey(space).free == space.extent.capacity


def test_blocks_touched_by_an_exclusion_are_barred() -> None:
    found = extent.blocks("b", ip_network("10.0.0.0/22"), 24, [ip_network("10.0.1.128/30")])
    assert handed_out(Space(found)) == [0, 2, 3]
    with pytest.raises(ValueError, match="no blocks"):
        extent.blocks("b", ip_network("10.0.0.0/24"), 22)


def test_partition_keys_are_those_of_tenants() -> None:
    keys = handed_out(Space(extent.pkeys(IB)))
    assert (keys[0], keys[-1], len(keys)) == (0x0001, 0x7FFE, 0x7FFE)


def test_guids_and_vfs() -> None:
    assert handed_out(Space(extent.guids(IB, 0))) == list(IB.guids[0])
    assert handed_out(Space(extent.vfs("n1/mlx0", 4, [1]))) == [0, 2, 3]


def test_reserved_numbers_go_to_who_asks() -> None:
    space = Space(Extent("x", range(10), reserved=(range(3),), barred=(range(3, 4),)))
    assert space.next_free() == 4
    assert space.take(1, 5)
    assert not space.take(1, 6)
    assert not space.take(3, 6)
    assert not space.take(10, 6)
    with pytest.raises(ValueError, match="generation"):
        space.take(5, 0)


def test_a_late_release_frees_nothing() -> None:
    space = Space(Extent("x", range(4)))
    assert space.take(0, 1)
    assert space.release(0, 1, until=50)
    assert space.thaw(50) == 1
    assert space.take(0, 2)
    before = space.copy()
    assert not space.release(0, 1, until=99), "the first owner's second release"
    assert not space.undo(0, 1)
    assert not space.release(3, 1, until=99)
    assert not space.release(9, 1, until=99)
    assert space == before
    assert space.holder(0) == 2


def test_what_cools_down_is_nobodys_until_then() -> None:
    space = Space(Extent("x", range(2)))
    assert handed_out(space) == [0, 1]
    assert space.release(1, 1, until=100)
    assert space.next_free() is None
    assert not space.take(1, 2)
    assert (space.held, space.cooling) == (1, 1)
    assert space.thaw(99) == 0
    assert space.thaw(100) == 1
    assert space.next_free() == 1


def test_a_tombstone_can_end_early_and_begin_again() -> None:
    space = Space(Extent("x", range(2)))
    assert space.take(0, 1)
    assert space.release(0, 1, until=100)
    assert not space.forget(0, 2)
    assert space.forget(0, 1)
    assert not space.forget(0, 1)
    assert space.take(0, 2)
    assert space.release(0, 2, until=200)
    assert space.thaw(150) == 0, "the first stone is void"
    assert [(s.value, s.generation, s.until) for s in space.stones()] == [(0, 2, 200)]
    assert space.thaw(200) == 1


def test_usage() -> None:
    space = Space(Extent("x", range(100), barred=(range(50, 60),)))
    for value in (0, 1, 20, 80):
        assert space.take(value, 1)
    assert space.release(20, 1, until=9)
    usage = survey(space)
    assert (usage.capacity, usage.held, usage.cooling, usage.free) == (90, 3, 1, 86)
    assert (usage.stretches, usage.longest) == (4, 29)
    assert usage.utilisation == pytest.approx(4 / 90)
    assert usage.fragmentation == pytest.approx(1 - 29 / 86)
    empty = survey(Space(Extent("x", range(0))))
    assert (empty.utilisation, empty.fragmentation) == (1.0, 0.0)


def test_forecast() -> None:
    hour = 3_600_000
    now = 1_800_000_000_000
    steady = [Sample(now + n * hour, 100 + 10 * n) for n in range(6)]
    assert forecast(steady, 200) == now + 10 * hour
    assert forecast(list(reversed(steady)), 200) == now + 10 * hour
    assert forecast(steady, 150) == now + 5 * hour, "it is full"
    assert forecast([Sample(now, 5), Sample(now + hour, 4)], 10) is None
    assert forecast([Sample(now, 5), Sample(now, 6)], 10) is None
    assert forecast([], 10) is None


class _Words(dict[int, int]):
    looks = 0

    def get(self, key: int, default: int = 0) -> int:  # type: ignore[override]
        self.looks += 1
        return super().get(key, default)


def test_addresses_of_a_twelve_cost_little() -> None:
    """Half a million may take 60 MB (the benchmark fills all of them): so an eighth, an eighth. The search in
    looks at words. Neither depends on the machine."""
    tracemalloc.start()
    try:
        space = Space(extent.addresses("a", ip_network("10.16.0.0/12")))
        first = space.extent.span.start + 1
        for value in range(first, first + 62_500):
            space.take(value, 1)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert space.held == 62_500
    assert 62_500 < held < 60_000_000 / 8
    assert space.next_free() == first + 62_500
    words = space._closed._words = _Words(space._closed._words)
    assert space.next_free() == first + 62_500
    assert words.looks <= 4, "two, and two for the network address"

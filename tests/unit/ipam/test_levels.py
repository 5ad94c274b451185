"""How full pools are: told as counting one by one would; remembered in bounded room."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from itertools import pairwise

import pytest
from immutables import Map

from ipam.bitmap import Bitmap
from ipam.contents import Contents, FabricRecord, NodeRecord, SkuRecord, Tombstone
from ipam.gangs.levels import Level, What, levels
from ipam.gangs.slots import derived, spans
from ipam.pools import MAC, VNI, defaults
from ipam.spaces.extent import Extent
from ipam.spaces.history import History
from ipam.spaces.outlook import Sample, survey, survey_bitmap
from ipam.spaces.space import Space
from model.fabric import Addressing, Fabric, FabricKind, RailIndex
from model.hardware import PciAddress, PfSlot, Sku
from model.ids import PROBE_VNI
from model.wanted import Kind, Reference
from tests.fakes.estate import Yard, infiniband, roce, sku, yard

ROCE = FabricKind.ROCE


def contents(held: Yard) -> Contents:
    return Contents(
        ledger=held.ledger,
        fabrics=Map({n: FabricRecord(v) for n, v in held.estate.fabrics.items()}),
        skus=Map({n: SkuRecord(v) for n, v in held.estate.skus.items()}),
        nodes=Map({n: NodeRecord(v) for n, v in held.estate.nodes.items()}),
    )


def the(held: Yard, what: What, rail: str = "") -> Level:
    (found,) = [each for each in levels(contents(held)) if (each.what, each.rail) == (what, rail)]
    return found


def test_of_infiniband() -> None:
    held = yard(infiniband(2), sku(2), 3)
    first = held.reserve(count=2, rails=(RailIndex(0),), each=2)
    held.reserve(tenant="umbra")
    held.release(first)
    vfs = the(held, What.VF, "r0")
    assert (vfs.size, vfs.held, vfs.cooling, vfs.free) == (12, 1, 4, 7)
    # n1 has 1 left beside what cools down there, n2 has 2, and n3 is whole.
    assert vfs.fragmentation == pytest.approx(3 / 7)
    assert the(held, What.VF, "r1").fragmentation == pytest.approx(3 / 11)
    pkeys = the(held, What.PKEY)
    assert (pkeys.size, pkeys.held, pkeys.cooling, pkeys.free) == (0x7FFE, 1, 1, 0x7FFC)
    assert pkeys.fragmentation == 0
    assert (the(held, What.GUID).held, the(held, What.GUID).cooling) == (4, 8)
    assert (the(held, What.BLOCK).size, the(held, What.BLOCK).free) == (64, 62)
    assert (the(held, What.IPV4, "r0").held, the(held, What.IPV6, "r0").cooling) == (1, 4)
    # A /22: not its ends, nor the router's.
    assert the(held, What.IPV4, "r0").size == 64 * (1024 - 3)
    held.wait(1_000)
    assert the(held, What.VF, "r0").cooling == 0


UNEVEN = Sku(
    "h",
    (),
    (
        PfSlot("a", PciAddress(1), ROCE, RailIndex(0), vfs=7),
        PfSlot("b", PciAddress(2), ROCE, RailIndex(0), vfs=2),
        PfSlot("c", PciAddress(3), FabricKind.ETHERNET, RailIndex(0), vfs=9),
    ),
)


@pytest.mark.parametrize("kind", [sku(2, vfs=3, kind=ROCE), UNEVEN])
@pytest.mark.parametrize(
    "fabric",
    [
        roce(2),
        roce(2, blocks=(28, 124)),
        roce(2, Addressing.NODE, blocks=(29, 125)),
        roce(2, Addressing.NODE, excluded=(ip_network("10.64.1.2/31"), ip_network("10.64.2.3/32"))),
        roce(2, blocks=(30, 126), excluded=(ip_network("10.64.0.0/29"), ip_network("10.64.0.13/32"))),
        roce(2, blocks=(18, 64)),
        roce(2, excluded=(ip_network("10.64.0.0/16"),)),
    ],
)
def test_addresses_that_follow_from_slots_are_counted_one_by_one(fabric: Fabric, kind: Sku) -> None:
    held = yard(fabric, kind, 5)
    closed = spans(fabric.excluded)
    for rail in fabric.rails:
        for at, what in enumerate((What.IPV4, What.IPV6)):
            alone = replace(rail, subnets=(rail.subnets[at],))
            ports = kind.on_rail(rail.index)
            one_by_one = sum(
                derived(fabric, alone, node.key, vf * len(ports) + place, closed) is not None
                for node in held.estate.nodes.values()
                for place, slot in enumerate(ports)
                if slot.kind is fabric.kind
                for vf in range(slot.vfs)
            )
            assert the(held, what, rail.name).size == one_by_one


def test_tenants_addresses_without_what_is_excluded() -> None:
    excluded = (ip_network("10.64.4.0/22"), ip_network("10.64.8.128/25"), ip_network("fd00::/64"))
    held = yard(infiniband(1, excluded=excluded), sku(1), 1)
    assert the(held, What.IPV4, "r0").size == 63 * 1021 - 128
    assert the(held, What.IPV6, "r0").size == 63 * ((1 << 20) - 2)


def test_one_fabric_and_none() -> None:
    held = yard(roce(1), sku(1, kind=ROCE), 1)
    assert levels(Contents()) == ()
    both = replace(contents(held), fabrics=contents(held).fabrics.set("x", FabricRecord(roce(1))))
    assert {each.fabric for each in levels(both, "roce")} == {"roce"}
    assert {each.what for each in levels(both, "roce")} == {What.VF, What.IPV4, What.IPV6}


def test_macs_and_vnis_are_shared_with_ports() -> None:
    held = yard(roce(1), sku(1, kind=ROCE), 1)
    pools = {pool.name: pool for pool in defaults(site=1)}
    pools[VNI] = replace(pools[VNI], last=PROBE_VNI + 1)
    first = pools[MAC].first
    macs, vnis = Bitmap(), Bitmap()
    for offset in (0, 1, 5):
        macs.take(offset)
    vnis.take(PROBE_VNI - pools[VNI].first)
    stone = Tombstone(MAC, first + 5, 9)
    both = replace(
        contents(held),
        pools=Map(pools),
        taken=Map({MAC: macs, VNI: vnis}),
        tombstones=Map({(stone.scope, stone.value): stone.until, (MAC, first): 9}),
        owners=Map({(MAC, first): Reference(Kind.PORT, "p", "acme")}),
    )
    mac, vni = levels(both)[-2:]
    assert (mac.fabric, mac.what, mac.held, mac.cooling, mac.free) == ("", What.MAC, 2, 1, mac.size - 3)
    assert mac.fragmentation == pytest.approx(3 / mac.free)
    assert (vni.what, vni.held, vni.cooling, vni.free) == (What.VNI, 0, 0, vni.size)


def test_what_is_torn_too_much_is_not_counted_for_ever() -> None:
    space, bitmap = Space(Extent("x", range(100))), Bitmap()
    for value in range(0, 20, 2):
        space.take(value, 1)
        bitmap.take(value)
    for whole in (survey(space, 11), survey_bitmap(bitmap, 100, 11)):
        assert (whole.free, whole.stretches, whole.longest) == (90, 10, 81)
    for partly in (survey(space, 9), survey_bitmap(bitmap, 100, 9)):
        assert (partly.free, partly.stretches, partly.longest, partly.fragmentation) == (90, 9, None, None)


def test_a_history_is_bounded_and_reaches_far_back() -> None:
    kept: History[str] = History()
    for second in range(0, 1_000_000, 5):
        kept.note(1000 * second, {"a": second} if second else {"a": 0, "gone": 1})
    samples = kept.samples("a")
    assert 31 <= len(samples) <= 64
    assert samples[0] == Sample(0, 0)
    assert samples[-1].at > 900_000_000
    assert all(later.at - sooner.at >= 10_000 for sooner, later in pairwise(samples))
    assert kept.samples("gone") == (Sample(0, 1),)
    assert kept.samples("never") == ()
    assert not kept.due(999_999_000)

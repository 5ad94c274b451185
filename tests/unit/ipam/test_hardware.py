"""SKUs, fabrics and nodes: what is refused, what is derived and stays, who holds what."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.errors import Conflict, Invalid, RingfenceError
from model.fabric import Addressing, FabricKind, Rail, RailIndex
from model.hardware import Eswitch, Gpu, PfSlot, parse_pci
from model.ids import HostName
from model.wanted import (
    Kind,
    Reference,
    WantedFabric,
    WantedHypervisor,
    WantedNode,
    WantedSku,
)

IB, ROCE = FabricKind.INFINIBAND, FabricKind.ROCE
GUIDS = range(0x0200520000000000, 0x0200520001000000)


def hosts(count: int = 3) -> list[WantedHypervisor]:
    return [
        WantedHypervisor(HostName(f"hv{n}"), ip_address(f"192.0.2.{100 + n}"), external=n == 9)
        for n in range(1, count + 1)
    ]


def slot(index: int, **more) -> PfSlot:
    pci = parse_pci(f"{0x18 + index:02x}:00.0")
    usual = PfSlot(f"rail{index}", pci, IB, RailIndex(index), 0, index, 8, 128)
    return replace(usual, **more)


def sku(name: str = "h200", *slots: PfSlot, gpus: int = 2) -> WantedSku:
    made = tuple(Gpu(parse_pci(f"{0x81 + n:02x}:00.0"), 0) for n in range(gpus))
    return WantedSku(name, made, slots or (slot(0), slot(1)))


def rail(index: int, *subnets: str, name: str = "") -> Rail:
    return Rail(RailIndex(index), name or f"rail{index}", tuple(ip_network(s) for s in subnets))


def fabric(name: str = "east", **more) -> WantedFabric:
    rails = (rail(0, "10.128.0.0/16", "fd00:128::/48"), rail(1, "10.129.0.0/16"))
    usual = WantedFabric(name, IB, rails, range(1, 0x4000), (GUIDS,))
    return replace(usual, **more)


def node(name: str = "n1", host: str = "hv1", **more) -> WantedNode:
    return replace(WantedNode(name, "h200", "east", HostName(host)), **more)


def faults(call, *arguments):
    with pytest.raises(RingfenceError) as caught:
        call(*arguments)
    return caught.value.faults


def rules(call, *arguments) -> list[str]:
    return [f.rule for f in faults(call, *arguments)]


@pytest.fixture
def rails(bench):
    """Two nodes of a SKU on a fabric."""
    bench.apply(*hosts(), sku(), fabric(), node(), node("n2", "hv2"))
    return bench


def test_everything_is_given_and_stays_and_a_second_time_changes_nothing(rails) -> None:
    assert [rails.contents.nodes[n].value.key for n in ("n1", "n2")] == [1, 2]
    value = rails.contents.fabrics["east"].value
    assert (value.addressing, value.blocks, value.cool_down) == (Addressing.TENANT, (24, 64), 300)
    assert not rails.plan(*hosts(), sku(), fabric(), node(), node("n2", "hv2"))
    moved = rails.apply(node("n2", "hv3"))
    assert moved
    assert rails.contents.nodes["n2"].value.key == 2
    rails.apply(node("n3", "hv2"))
    assert rails.contents.nodes["n3"].value.key == 3


def test_what_is_left_out_keeps_what_it_has(rails) -> None:
    rails.apply(fabric(cool_down=7, excluded=(ip_network("10.128.0.0/24"),)))
    rails.apply(fabric(pkeys=None, guids=None))
    value = rails.contents.fabrics["east"].value
    assert (value.pkeys, value.guids, value.cool_down) == (range(1, 0x4000), (GUIDS,), 7)
    assert value.excluded == (ip_network("10.128.0.0/24"),)


def test_reserved_ranges_are_joined_kept_and_of_the_fabric(rails) -> None:
    prefixes = (ip_network("10.128.0.0/28"),)
    rails.apply(fabric(reserved=prefixes, reserved_pkeys=(range(9, 16), range(1, 9))))
    rails.apply(fabric())
    value = rails.contents.fabrics["east"].value
    assert (value.reserved, value.reserved_pkeys) == (prefixes, (range(1, 16),))
    (found,) = faults(rails.plan, fabric(reserved_pkeys=(range(0x3FFF, 0x4001),)))
    assert (found.rule, found.path) == ("reserved-outside", "spec.reservedPkeys[0]")
    rails.apply(fabric(reserved=(), reserved_pkeys=()))
    assert not rails.contents.fabrics["east"].value.reserved_pkeys


def test_a_key_cools_down_before_it_is_given_again(rails) -> None:
    rails.delete(Reference(Kind.NODE, "n1"))
    rails.apply(node("n3"))
    assert rails.contents.nodes["n3"].value.key == 3
    rails.now += 3_600_000
    rails.apply(node("n4", "hv3"))
    assert rails.contents.nodes["n4"].value.key == 1


def test_a_hypervisor_is_one_nodes(rails) -> None:
    (found,) = faults(rails.plan, node("n3", "hv1"))
    assert (found.rule, found.path) == ("already-taken", "spec.host")
    assert "Node n1" in found.message
    rails.apply(node("n1", "hv2"), node("n2", "hv1"))  # two that change places


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (node("x", "hv3", sku="none"), "unknown-sku"),
        (node("x", "hv3", fabric="none"), "unknown-fabric"),
        (node("x", "nobody"), "unknown-host"),
        (node("x", "hv3", leaves=(("rail7", "leaf"),)), "rail-unknown"),
        (node("x", "hv3", leaves=(("rail0", "a"), ("rail0", "b"))), "rail-unknown"),
    ],
)
def test_what_a_node_rests_on_is_there(rails, wanted, rule) -> None:
    assert rules(rails.plan, wanted) == [rule]


def test_an_external_host_has_no_node(bench) -> None:
    bench.apply(*hosts(9), sku(), fabric())
    assert rules(bench.plan, node(host="hv9")) == ["external-host"]


def test_leaves_are_kept_by_rail(rails) -> None:
    rails.apply(node(leaves=(("rail1", "leaf9"),)))
    assert rails.contents.nodes["n1"].value.leaves == ("", "leaf9")
    assert not rails.plan(node())
    rails.apply(node(leaves=()))
    assert rails.contents.nodes["n1"].value.leaves == ()


@pytest.mark.parametrize(
    ("slots", "rule"),
    [
        ((slot(0), slot(1, name="rail0")), "pf-twice"),
        ((slot(0), slot(1, pci=slot(0).pci)), "pci-twice"),
        ((slot(0, pci=parse_pci("81:00.0")),), "pci-twice"),
        ((slot(0, gpu=2),), "gpu-unknown"),
        ((slot(0, numa=1),), "numa-mismatch"),
        ((slot(0, pkeys=0),), "pkeys-missing"),
        ((slot(0, kind=ROCE),), "infiniband-only"),
        ((slot(0, eswitch=Eswitch.SWITCHDEV),), "ethernet-only"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(bench, slots, rule) -> None:
    (found,) = faults(bench.plan, sku("x", *slots))
    assert found.rule == rule
    assert found.path.startswith("spec.pfs[")
    assert found.remedy


def test_two_gpus_at_one_place_are_refused(bench) -> None:
    gpu = Gpu(parse_pci("81:00.0"))
    assert rules(bench.plan, replace(sku(), gpus=(gpu, replace(gpu, numa=0)))) == ["pci-twice"]


@pytest.mark.parametrize(
    ("more", "rule", "path"),
    [
        ({"pkeys": None}, "pkeys-missing", "spec.pkeys"),
        ({"guids": None}, "guids-missing", "spec.guids"),
        ({"kind": ROCE, "guids": None}, "infiniband-only", "spec.pkeys"),
        ({"kind": ROCE, "pkeys": None}, "infiniband-only", "spec.guids"),
        ({"guids": (GUIDS, range(GUIDS.stop - 1, GUIDS.stop + 5))}, "guid-overlap", "spec.guids[1]"),
        ({"rails": (rail(0), rail(1, name="rail0"))}, "rail-twice", "spec.rails[1]"),
        ({"rails": (rail(0, "10.0.0.0/16"), rail(1, "10.0.1.0/24"))}, "subnet-overlap", "spec.rails[1]"),
        ({"block4": 12}, "block-size", "spec.block4"),
        ({"block6": 40}, "block-size", "spec.block6"),
    ],
)
def test_a_fabric_that_cannot_be_is_refused(bench, more, rule, path) -> None:
    assert (rule, path) in {(f.rule, f.path) for f in faults(bench.plan, fabric(**more))}


def test_fabrics_share_no_pkey_and_no_guid(rails) -> None:
    other = {"pkeys": range(0x4000, 0x7FFF), "guids": (range(GUIDS.stop, GUIDS.stop + 9),)}
    assert rules(rails.plan, fabric("west", **(other | {"pkeys": range(0x3FFF, 0x7FFF)}))) == ["pkey-overlap"]
    assert rules(rails.plan, fabric("west", **(other | {"guids": (GUIDS,)}))) == ["guid-overlap"]
    # Of two that come together one is told, and in either order.
    both = (fabric("a", **other), fabric("b", **other))
    assert sorted(rules(rails.plan, *both)) == ["guid-overlap", "pkey-overlap"]
    assert faults(rails.plan, *both) == faults(rails.plan, *both[::-1])
    rails.apply(fabric("west", **other))
    # One that grows into another is told, too.
    assert rules(rails.plan, fabric(pkeys=range(1, 0x4001))) == ["pkey-overlap"]


def test_while_nodes_use_it_a_sku_only_grows(rails) -> None:
    (found,) = faults(rails.plan, sku("h200", slot(1), slot(0)))[:1]
    assert (found.rule, found.path) == ("sku-in-use", "spec.pfs[0]")
    assert "Node n1" in found.message
    assert rules(rails.plan, sku("h200", slot(0))) == ["sku-in-use"]
    store = PfSlot("store", parse_pci("aa:00.0"), FabricKind.ETHERNET)
    assert rails.apply(sku("h200", slot(0, pci=parse_pci("99:00.0"), vfs=4), slot(1), store))
    rails.delete(Reference(Kind.NODE, "n1"), Reference(Kind.NODE, "n2"))
    assert rails.apply(sku("h200", slot(1)))


@pytest.mark.parametrize(
    "more",
    [
        {"rails": (rail(0, "10.128.0.0/16", "fd00:128::/48"),)},
        {"rails": (rail(0, "10.200.0.0/16"), rail(1, "10.129.0.0/16"))},
        {"pkeys": range(2, 0x4000)},
        {"guids": (range(GUIDS.start + 1, GUIDS.stop),)},
        {"guids": (range(GUIDS.start, GUIDS.stop - 1),)},
        {"addressing": Addressing.NODE},
        {"block4": 25},
    ],
)
def test_while_nodes_use_it_a_fabric_only_grows(rails, more) -> None:
    assert "fabric-in-use" in rules(rails.plan, fabric(**more))
    rails.delete(Reference(Kind.NODE, "n1"), Reference(Kind.NODE, "n2"))
    rails.plan(fabric(**more))


def test_a_fabric_that_is_used_may_grow(rails) -> None:
    grown = fabric(
        rails=(*fabric().rails, rail(2, "10.130.0.0/16")),
        pkeys=range(1, 0x5000),
        guids=(range(GUIDS.start, GUIDS.stop + 5), range(GUIDS.stop + 9, GUIDS.stop + 99)),
    )
    assert rails.apply(grown)


def test_the_kind_of_a_fabric_stays(rails) -> None:
    (found,) = faults(rails.plan, fabric(kind=ROCE))
    assert (found.rule, found.path) == ("immutable", "spec.kind")


def test_pfs_fit_the_rails_that_they_are_on(rails) -> None:
    roce = fabric("west", kind=ROCE, pkeys=None, guids=None)
    (found,) = faults(rails.plan, roce, node("n3", "hv3", fabric="west"))
    assert found.rule == "rail-kind"
    assert found.object == "Node n3"
    wide = sku("wide", slot(0), slot(1), slot(2, gpu=None))
    (found,) = faults(rails.plan, wide, node("n3", "hv3", sku="wide"))
    assert found.rule == "rail-unknown"
    # A SKU that outgrows the fabric of its nodes is told, with one of them.
    (found, _) = faults(rails.plan, sku("h200", slot(0), slot(1), slot(2, gpu=None)))
    assert (found.object, found.rule) == ("Sku h200", "rail-unknown")
    assert "Node n1" in found.message


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.SKU, "h200"), (Kind.FABRIC, "east"), (Kind.HYPERVISOR, "hv1")]
)
def test_what_nodes_need_cannot_go(rails, kind, name) -> None:
    (found,) = faults(rails.delete, Reference(kind, name))
    assert found.rule == "still-used"
    assert "Node n1" in found.message
    assert "hosts" not in found.remedy
    rails.delete(Reference(kind, name), Reference(Kind.NODE, "n1"), Reference(Kind.NODE, "n2"))
    assert rails.contents.find(Reference(kind, name)) is None


def test_errors_are_of_their_kind(rails) -> None:
    with pytest.raises(Invalid):
        rails.plan(sku("x", slot(0, gpu=9)))
    with pytest.raises(Conflict):
        rails.plan(sku("h200", slot(0)))

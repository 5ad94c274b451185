"""Kits: what a gang has on a node, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ipam.exports.kit import Kit, kit
from ipam.exports.libvirt import libvirt
from ipam.exports.nccl import nccl
from ipam.exports.remarks import harmless
from ipam.gangs.wiring import gateway
from model.errors import Conflict
from model.fabric import RailIndex
from model.gang import GangState, Progress, Use
from model.sighting import SeenPf, SeenVf, Sighting
from tests.fakes.kits import FABRICS, behind, estate, kit_of, sighting


def one(fabric: str = "roce", **more: object) -> Kit:
    return kit_of(FABRICS[fabric], **more)


def test_cards_are_in_the_order_of_rails_and_named_by_them() -> None:
    assert [card.name for card in one(each=2).cards][:4] == ["rail0", "rail0v1", "rail1", "rail1v1"]
    assert [card.pci for card in one(rails=(RailIndex(2),)).cards] == [behind(0x202, 0)]


def test_a_vf_that_the_host_has_not_told_of_is_named_with_the_way_out() -> None:
    unseen = one(seen=Sighting(), rails=(RailIndex(0),))
    assert unseen.cards[0].pci is None
    assert "02:00:00:00:00:01" in nccl(unseen), "needs no PCI address"
    with pytest.raises(Conflict) as caught:
        libvirt(unseen)
    (fault,) = caught.value.faults
    assert (fault.object, fault.rule) == ("Node n1, PF mlx0, VF 0", "vf-unseen")
    assert "ringfence ipam inventory --node n1" in fault.remedy


def test_a_gang_for_containers_is_nothing_for_libvirt() -> None:
    mine = one(use=Use.CONTAINER)
    assert nccl(mine)
    with pytest.raises(Conflict) as caught:
        libvirt(mine)
    assert caught.value.faults[0].rule == "gang-not-for-vms"


@pytest.mark.parametrize("there", [0x100, 0x200, 0x201, behind(0x201, 0)])
def test_a_host_can_not_give_another_device_for_a_vf(there: int) -> None:
    """Its GPU, its PF, another PF, the VF of another rail."""
    _, kind = estate(FABRICS["roce"])
    lie = SeenPf(kind.pfs[0].pci, vfs=(SeenVf(0, there),))
    others = tuple(pf for pf in sighting(kind).pfs if pf.pci != lie.pci)
    with pytest.raises(Conflict) as caught:
        one(seen=Sighting((lie, *others)), rails=(RailIndex(0), RailIndex(1)))
    assert {fault.rule for fault in caught.value.faults} == {"vf-place"}


@pytest.mark.parametrize("state", [GangState.RELEASING, GangState.FAILED])
def test_a_gang_that_goes_is_not_exported(state: GangState) -> None:
    fabric = FABRICS["infiniband"]
    held, kind = estate(fabric)
    gang = held.reserve()
    going = replace(gang, progress=Progress(state, GangState.ACTIVE))
    with pytest.raises(Conflict) as caught:
        kit(going, going.berths[0], fabric, kind, Sighting())
    assert caught.value.faults[0].rule == "gang-going"


@pytest.mark.parametrize(
    ("fabric", "routes"),
    [
        ("infiniband", []),
        ("roce", [("10.64.0.0/16", "10.64.1.0"), ("fd00::/48", "fd00:0:0:1::")]),
        ("roce-node", [("10.64.0.0/16", "10.64.1.1"), ("fd00::/48", "fd00:0:0:1::1")]),
        ("roce-tenant", []),
    ],
)
def test_routes_lead_to_the_own_rail_through_the_leaf(fabric: str, routes: list[tuple[str, str]]) -> None:
    card = one(fabric).cards[0]
    assert [(r.to, r.via) for r in card.routes] == [(ip_network(to), ip_address(via)) for to, via in routes]
    assert all(any(route.via in address.network for address in card.addresses) for route in card.routes)


def test_the_second_card_of_a_rail_has_another_metric() -> None:
    first, second = one(rails=(RailIndex(0),), each=2).cards
    assert {route.metric for route in first.routes} == {0}
    assert {route.metric for route in second.routes} == {2001}


def test_the_leaf_is_the_even_one_of_a_link() -> None:
    assert gateway(ip_address("10.64.1.3"), FABRICS["roce"]) == ip_address("10.64.1.2")
    assert gateway(ip_address("10.64.1.3"), FABRICS["roce-tenant"]) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("h200-1", "h200-1"),
        ("a--b", "a-?b"),
        ("a---b-", "a-?-b?"),
        ("-->", "-??"),
        ("a\nrm -rf /", "a?rm?-rf?/"),
        ("$(id)`'\"\\", "??id?????"),
        ("\x00\x1b\u2028é", "????"),
        ("x" * 1000, "x" * 128),
    ],
)
def test_foreign_text_becomes_a_word(text: str, word: str) -> None:
    assert harmless(text) == word

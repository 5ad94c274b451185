"""Hardware: PCI addresses as text and numbers, what a SKU has on its rails."""

import pytest

from model.fabric import FabricKind, RailIndex
from model.hardware import Node, NodeKey, PfSlot, Sku, Vf, format_pci, parse_pci, vfs
from model.ids import HostName


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("0000:18:00.0", "0000:18:00.0"),
        ("18:00.1", "0000:18:00.1"),
        ("0000:FF:1F.7", "0000:ff:1f.7"),
        ("10000:01:00.0", "10000:01:00.0"),
    ],
)
def test_a_pci_address_survives_the_way_in_and_out(text, written):
    assert format_pci(parse_pci(text)) == written
    assert parse_pci(written) == parse_pci(text)


@pytest.mark.parametrize(
    "text",
    ["", "18:00", "0000:18:00.8", "0000:18:20.0", "000:18:00.0", "0000:18:00.0\n", "../18:00.0", "18:00.0.0"],
)
def test_what_is_no_pci_address_is_refused(text):
    with pytest.raises(ValueError, match="PCI address"):
        parse_pci(text)


def test_pci_addresses_order_as_their_text():
    texts = ["0000:18:00.0", "0000:18:00.1", "0000:18:01.0", "0000:40:00.0", "0001:00:00.0"]
    assert [format_pci(pci) for pci in sorted(map(parse_pci, texts))] == texts


def _sku() -> Sku:
    slots = [
        PfSlot(f"rail{i}", parse_pci(f"{0x18 + i:02x}:00.0"), FabricKind.ROCE, RailIndex(i // 2), 0, None, 2)
        for i in range(4)
    ]
    return Sku("small", (), (*slots, PfSlot("store", parse_pci("aa:00.0"), FabricKind.ETHERNET)))


def test_a_sku_says_which_pfs_a_rail_has():
    sku = _sku()
    assert sku.rails == (0, 1)
    assert [slot.name for slot in sku.on_rail(1)] == ["rail2", "rail3"]
    assert sku.on_rail(7) == ()
    assert sku.slot("store") == sku.pfs[-1]
    assert sku.slot("nothing") is None


def test_the_vfs_of_a_node_follow_from_its_sku():
    node = Node("n1", NodeKey(1), "small", "east", HostName("hv1"))
    found = list(vfs(node, _sku()))
    assert len(found) == 8
    assert found[:3] == [Vf("n1", "rail0", 0), Vf("n1", "rail0", 1), Vf("n1", "rail1", 0)]
    assert found == sorted(found)

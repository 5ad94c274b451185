"""SKUs, fabrics and nodes in the store: they come back as they were, older databases take them, the server
itself refuses what would break them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from controller.store.identity import row_uid
from controller.store.schema import VERSION
from controller.store.server import Server
from controller.store.wire import Connection
from controller.store.writer import Store, clock
from ipam.deletion import plan_deletion
from model.errors import RingfenceError
from model.fabric import Addressing, FabricKind, Rail, RailIndex
from model.hardware import Eswitch, Gpu, PfSlot, parse_pci
from model.ids import HostName
from model.wanted import Kind, Reference, WantedFabric, WantedHypervisor, WantedNode, WantedSku
from tests.unit.store.house import OLD, apply

RAILS = (
    Rail(RailIndex(0), "rail0", (ip_network("10.128.0.0/16"), ip_network("fd00::/48")), "leaf0"),
    Rail(RailIndex(1), "rail1"),
)
SPANS = tuple(range(0x0200520000000000 + n, 0x0200520000000000 + n + 5) for n in (900, 0, 90))
HARDWARE = (
    WantedHypervisor(HostName("h1"), ip_address("192.0.2.1")),
    WantedSku(
        "h200",
        (Gpu(parse_pci("43:00.0"), 1), Gpu(parse_pci("1b:00.0"))),
        (
            PfSlot("z", parse_pci("aa:00.1"), FabricKind.ETHERNET, eswitch=Eswitch.SWITCHDEV, vfs=3),
            PfSlot("a", parse_pci("18:00.0"), FabricKind.INFINIBAND, RailIndex(1), 1, 0, 8, 128),
        ),
        (("maker", "x"),),
    ),
    WantedFabric(
        *("east", FabricKind.INFINIBAND, RAILS, range(1, 0x7FFF), SPANS, Addressing.NODE, 20, 56),
        (ip_network("10.128.0.0/24"), ip_network("fd00::/64")),
        0,
        (("row", "7"),),
        reserved=(ip_network("10.128.1.0/24"), ip_network("fd00:0:0:1::/64")),
        reserved_pkeys=(range(1, 16), range(0x100, 0x101)),
    ),
    WantedFabric("west", FabricKind.ROCE, RAILS[:1]),
    WantedNode("n1", "h200", "east", HostName("h1"), (("rail1", "leaf9"),), (("rack", "3"),)),
)


def test_they_come_back_as_they_were_in_their_order(store: Store) -> None:
    apply(store, *HARDWARE)
    found = store.read_all()
    sku, fabric = found.skus["h200"], found.fabrics["east"]
    assert (sku.value.gpus, sku.value.pfs, sku.labels) == (
        HARDWARE[1].gpus,
        HARDWARE[1].pfs,
        HARDWARE[1].labels,
    )
    value = fabric.value
    assert (value.rails, value.pkeys, value.guids) == (RAILS, range(1, 0x7FFF), SPANS)
    assert (value.addressing, value.blocks, value.cool_down) == (Addressing.NODE, (20, 56), 0)
    assert value.excluded == HARDWARE[2].excluded
    assert (value.reserved, value.reserved_pkeys) == (HARDWARE[2].reserved, HARDWARE[2].reserved_pkeys)
    assert (found.fabrics["west"].value.pkeys, found.fabrics["west"].value.guids) == (range(0), ())
    node = found.nodes["n1"]
    assert (node.value.key, node.value.leaves, node.labels) == (1, ("", "leaf9"), (("rack", "3"),))
    kept = store.contents()
    assert kept == replace(found, taken=kept.taken)
    generation = store.generation()
    apply(store, *HARDWARE)
    assert store.generation() == generation


def test_changes_and_deletions_arrive(store: Store) -> None:
    apply(store, *HARDWARE)
    apply(store, WantedHypervisor(HostName("h2"), ip_address("192.0.2.2")))
    apply(store, WantedNode("n1", "h200", "east", HostName("h2"), ()))
    node = store.read_all().nodes["n1"].value
    assert (node.key, node.host, node.leaves) == (1, "h2", ())
    gone = [Reference(Kind.SKU, "h200"), Reference(Kind.NODE, "n1"), Reference(Kind.FABRIC, "east")]
    store.change(lambda contents: plan_deletion(contents, gone, clock()), "", "", lambda _: "")
    left = store.read_all()
    assert (set(left.skus), set(left.nodes), set(left.fabrics)) == (set(), set(), {"west"})
    kept = store.contents()
    assert kept == replace(left, taken=kept.taken)


@pytest.mark.parametrize("table", ["Sku", "Fabric", "Hypervisor"])
def test_the_server_keeps_what_a_node_needs(server: Server, store: Store, table: str) -> None:
    apply(store, *HARDWARE)
    name = {"Sku": "h200", "Fabric": "east", "Hypervisor": "h1"}[table]
    connection = Connection(server.remote)
    try:
        where = [["_uuid", "==", ["uuid", row_uid(table, name)]]]
        answer = connection.call("transact", ["Ringfence", {"op": "delete", "table": table, "where": where}])
        assert [one for one in answer if one and one.get("error") == "referential integrity violation"]
    finally:
        connection.close()
    assert store.read_all().nodes["n1"].value.host == "h1"


def test_a_row_that_does_not_parse_is_left_out_alone(server: Server, store: Store) -> None:
    apply(store, *HARDWARE)
    connection = Connection(server.remote)
    try:
        row = {"name": "bad", "gpus": "[", "pfs": "{}"}
        answer = connection.call("transact", ["Ringfence", {"op": "insert", "table": "Sku", "row": row}])
        assert "error" not in answer[0]
    finally:
        connection.close()
    assert set(store.read_all().skus) == {"h200"}


def test_of_two_hands_on_one_hypervisor_one_is_told(store: Store) -> None:
    apply(store, *HARDWARE)
    with pytest.raises(RingfenceError) as caught:
        apply(store, WantedNode("n2", "h200", "east", HostName("h1")))
    assert caught.value.faults[0].rule == "already-taken"


def test_a_database_of_version_1_4_0_is_upgraded_and_takes_hardware(directory: Path) -> None:
    def tool(*arguments: str) -> str:
        done = subprocess.run(
            ["ovsdb-tool", *arguments], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.4.0.ovsschema")))
    host = {"name": "h1", "vtep": "192.0.2.1", "router_id": "192.0.2.1"}
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {"op": "insert", "table": "Hypervisor", "uuid": row_uid("Hypervisor", "h1"), "row": host},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        assert not store.contents().nodes
        apply(store, *HARDWARE)
        after = store.contents()
        assert after.nodes["n1"].value.key == 1
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION

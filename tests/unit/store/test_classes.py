"""Egress classes in the store: what is in force, what is to come, and rows of an older schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from controller.store import destinations
from controller.store.server import Server
from controller.store.writer import Store
from ipam.pools import CLASS_ID
from model.ids import ClassId, Uid
from model.intent import EgressClass, Relation
from model.wanted import WantedEgressClass
from tests.unit.store.house import OLD, apply
from tests.unit.store.test_server import tool

LATER = datetime(2999, 1, 1, tzinfo=UTC)
LONG, WIDE = ip_network("203.0.113.128/25"), ip_network("198.51.100.0/24")


@pytest.mark.parametrize("since", [0, 32_472_144_000_000])
@pytest.mark.parametrize("relations", [(), (Relation.INTERNET, Relation.SAME_TENANT)])
def test_a_row_says_what_it_was_made_of(since: int, relations: tuple[Relation, ...]) -> None:
    value = EgressClass(
        Uid("u"), "storage", ClassId(2), (LONG, WIDE), relations, since, (WIDE,), relations[:1]
    )
    assert destinations.egress_class(Uid("u"), destinations.class_columns(value, 3, None, ())) == value


def test_a_database_of_version_1_6_0_is_upgraded_and_takes_relations_and_versions(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.6.0.ovsschema")))
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {
            "op": "insert",
            "table": "Pool",
            "row": {"name": CLASS_ID, "kind": "key", "first": "2", "last": "255"},
        },
        {
            "op": "insert",
            "table": "Egress_Class",
            "row": {"name": "storage", "id": 2, "prefixes": str(WIDE), "version": 3},
        },
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents().classes["storage"].value
        assert (before.prefixes, before.relations, before.since) == ((WIDE,), (), 0)
        apply(
            store,
            WantedEgressClass("storage", (LONG,), LATER, relations=(Relation.INTERNET,)),
            WantedEgressClass("near", None, relations=(Relation.SAME_TENANT,)),
        )
        after = store.contents()
        value = after.classes["storage"].value
        assert (value.prefixes, value.relations) == ((LONG,), (Relation.INTERNET,))
        assert (value.since, value.former) == (round(LATER.timestamp() * 1_000), (WIDE,))
        assert after.classes["near"].value.relations == (Relation.SAME_TENANT,)
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()

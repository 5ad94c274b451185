"""Rows from a conditional monitor: what goes without saying, and differences."""

from __future__ import annotations

from controller.store import merging

UNREAD = frozenset({"labels", "version", "effective"})


def test_a_new_row_has_every_column() -> None:
    port = merging.of("Port", UNREAD)
    row = port.complete({"name": "a", "hosts": "h1"})
    assert set(row) == set(port.names) and "labels" not in row
    assert (row["name"], row["key"], row["addresses"], row["hosts"]) == ("a", 0, ["set", []], "h1")
    assert merging.of("Hypervisor", UNREAD).complete({})["external"] is False


def test_of_sets_a_difference_names_what_came_and_what_went() -> None:
    port = merging.of("Port", UNREAD)
    row = port.complete({"hosts": ["set", ["h1", "h2"]], "name": "a"})
    now = port.change(row, {"hosts": ["set", ["h2", "h3"]]})
    assert now["hosts"] == ["set", ["h1", "h3"]] and now["name"] == "a"
    assert port.change(now, {"hosts": "h1"})["hosts"] == ["set", ["h3"]]
    assert row["hosts"] == ["set", ["h1", "h2"]], "the row of before stays as it was"


def test_of_a_set_of_references_too() -> None:
    tenant = merging.of("Tenant", UNREAD)
    one, two = (
        ["uuid", "11111111-1111-1111-1111-111111111111"],
        ["uuid", "22222222-2222-2222-2222-222222222222"],
    )
    many = next(name for name, kind in tenant.kinds.items() if kind.value == "many")
    row = tenant.complete({many: one})
    assert tenant.change(row, {many: two})[many] == ["set", [one, two]]
    assert tenant.change(row, {many: one})[many] == ["set", []]


def test_of_others_a_difference_is_the_new_value() -> None:
    tenant = merging.of("Tenant", UNREAD)
    row = tenant.complete({"name": "acme", "l3vni": 7})
    assert tenant.change(row, {"l3vni": 8})["l3vni"] == 8
    assert tenant.change(row, {"l3vni": ["set", []]})["l3vni"] == ["set", []]
    network = merging.of("Network", UNREAD)
    assert network.change(network.complete({}), {"routed": False, "mtu": 1500})["mtu"] == 1500


def test_of_maps_a_difference_names_what_came_went_and_changed() -> None:
    port = merging.of("Port", frozenset())
    row = port.complete({"labels": ["map", [["app", "web"], ["tier", "front"]]]})
    assert port.complete({})["labels"] == ["map", []]
    now = port.change(row, {"labels": ["map", [["app", "db"], ["tier", "front"], ["zone", "1"]]]})
    assert dict(now["labels"][1]) == {"app": "db", "zone": "1"}
    assert dict(row["labels"][1]) == {"app": "web", "tier": "front"}, "the row of before stays as it was"
    assert port.change(now, {"labels": ["map", [["app", "db"], ["zone", "1"]]]})["labels"] == ["map", []]

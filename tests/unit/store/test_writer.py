"""Writes: durable, all or nothing, unique, repeatable by key, safe when answers are lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from controller.store.faults import Raced
from controller.store.identity import row_uid
from controller.store.server import Server
from controller.store.wire import Connection
from controller.store.writer import Store, clock, random_uid
from ipam.plan import plan
from ipam.trial import COOL_DOWN_MS
from model.errors import Conflict, Invalid, RingfenceError, Unavailable
from model.ids import Vni
from model.intent import Guard, Policy
from model.wanted import Kind, Reference, WantedNetwork, WantedPort, WantedTenant
from tests.unit.store.house import (
    HOSTS,
    SUBNETS,
    Wire,
    apply,
    base,
    delete,
    planner,
    poll,
    port,
    ref,
    uid_of,
)


def test_what_is_written_is_read_back_by_cache_and_by_select(store: Store) -> None:
    apply(store, *base())
    apply(store, port("a", "h1", "h2", labels=(("gpu", "7"), ("rack", "é"))), port("b", addresses=()))
    cached, selected = store.contents(), store.read_all()
    for part in (
        "cluster",
        "pools",
        "tenants",
        "networks",
        "ports",
        "classes",
        "hypervisors",
        "owners",
        "uses",
    ):
        assert getattr(cached, part) == getattr(selected, part), part
    assert cached.ports["acme", "a"].labels == (("gpu", "7"), ("rack", "é"))
    assert cached.ports["acme", "a"].value.hosts == ("h1", "h2")
    assert cached.ports["acme", "b"].value.addresses == ()


def test_every_write_is_one_durable_transaction(wire: Wire, store: Store) -> None:
    watched = Store(wire.remote)
    apply(watched, *base(), port("a", "h1"))
    watched.bind(uid_of(watched, "a"), HOSTS[0])
    watched.unbind(uid_of(watched, "a"), HOSTS[0])
    watched.ensure_cluster(64999, ())
    delete(watched, ref("a"))
    watched.close()
    written = wire.durable()
    assert len(written) == 5
    for request in written:
        assert request["params"][-1] == {"op": "commit", "durable": True}


def test_reports_are_not_forced_to_disk_and_are_one_row_a_host(wire: Wire, store: Store) -> None:
    watched = Store(wire.remote)
    watched.put_report(HOSTS[1], '{"n":1}', 10)
    watched.put_report(HOSTS[1], '{"n":2}', 20)
    watched.put_report(HOSTS[0], "{}", 5)
    assert [(r.host, r.report, r.stamp) for r in watched.reports()] == [
        ("h1", "{}", 5),
        ("h2", '{"n":2}', 20),
    ]
    watched.close()
    assert wire.durable()
    assert not [r for r in wire.durable() if {"op": "commit", "durable": True} in r["params"]]


def test_the_cluster_is_made_once_and_follows_its_settings(store: Store, server: Server) -> None:
    first = store.ensure_cluster(65000, (ip_address("192.0.2.254"),))
    changed = Store(server.remote).ensure_cluster(65001, ())
    assert changed.uid == first.uid
    assert (changed.asn, changed.reflectors, changed.generation) == (65001, (), first.generation + 1)


def test_two_processes_that_make_the_cluster_agree(directory, server: Server) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(Store(server.remote).ensure_cluster(65000, ()).uid))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_plan_on_old_contents_is_refused_by_the_store_and_made_again(store: Store, server: Server) -> None:
    apply(store, *base())
    old = store.contents()
    apply(store, port("a"))
    made = plan(old, [port("b")], clock(), random_uid)
    with pytest.raises(Raced):
        store.apply(old, made, "", "d", "")
    assert ("acme", "b") not in store.read_all().ports

    seen: list[int] = []

    def late(contents):
        seen.append(len(contents.ports))
        if len(seen) == 1:  # another API writes between this plan and its write
            other = Store(server.remote)
            apply(other, port("other"))
            other.close()
        return plan(contents, [port("c")], clock(), random_uid)

    store.change(late, "", "d", lambda made: "")
    assert len(seen) == 2
    ports = {r.value.key: r.value for r in store.read_all().ports.values()}
    assert len(ports) == 3
    assert len({p.mac for p in ports.values()}) == len({p.addresses for p in ports.values()}) == 3


def test_many_writers_never_share_a_number(server: Server, store: Store) -> None:
    apply(store, *base())
    errors: list[BaseException] = []

    def work(index: int) -> None:
        own = Store(server.remote)
        try:
            for turn in range(5):
                apply(own, port(f"p{index}-{turn}"))
        except RingfenceError as error:
            errors.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # With four writers a plan may lose eight times; then the caller is told, and nothing is half done.
    assert all(isinstance(error, Raced) for error in errors)
    ports = [r.value for r in store.read_all().ports.values()]
    assert len(ports) >= 20 - len(errors) * 5
    assert (
        len({p.key for p in ports})
        == len({p.mac for p in ports})
        == len({p.addresses for p in ports})
        == len(ports)
    )


@pytest.mark.parametrize(
    ("table", "row", "rule"),
    [
        ("Tenant", {"name": "acme", "key": 77}, "unique-name"),
        ("Tenant", {"name": "new", "key": 1}, "unique-key"),
        ("Hypervisor", {"name": "x", "vtep": "192.0.2.1", "router_id": "1.1.1.1"}, "unique-vtep"),
        ("Egress_Class", {"name": "x", "id": 2}, "unique-id"),
    ],
)
def test_the_store_itself_refuses_duplicates_by_name(store: Store, server: Server, table, row, rule) -> None:
    apply(store, *base())
    connection = Connection(server.remote)
    with pytest.raises(Conflict) as caught:
        connection.commit("Ringfence", [{"op": "insert", "table": table, "row": row}])
    connection.close()
    (fault,) = caught.value.faults
    assert fault.rule == rule
    assert fault.object.startswith(table)
    assert fault.remedy


def test_one_vni_is_never_an_l2vni_and_an_l3vni(store: Store, server: Server) -> None:
    """Two writers that plan on the same contents: no index spans the two tables, the claim's row does."""
    apply(store, *base())
    old = store.contents()
    routing = plan(old, [WantedTenant("late", l3vni=Vni(4321))], clock(), random_uid)
    bridging = plan(old, [WantedNetwork("acme", "late", vni=Vni(4321))], clock(), random_uid)
    store.apply(old, bridging, "", "d", "")
    with pytest.raises(Raced) as caught:
        store.apply(old, routing, "", "d", "")
    assert "4321" in caught.value.faults[0].message
    with pytest.raises(Conflict) as clash:
        apply(store, WantedTenant("late", l3vni=Vni(4321)))
    assert clash.value.faults[0].rule == "already-taken"
    delete(store, Reference(Kind.NETWORK, "late", "acme"))
    apply(store, WantedTenant("late", l3vni=Vni(4321)))  # a written number need not have cooled down
    assert store.contents().tenants["late"].value.l3vni == 4321


def test_an_address_and_a_mac_belong_to_one_port(store: Store, server: Server) -> None:
    apply(store, *base())
    apply(store, port("a"))
    contents = store.contents()
    tenant, network = contents.tenants["acme"].value.uid, contents.networks["acme", "prod"].value.uid
    parents = {"tenant": ["uuid", tenant], "network": ["uuid", network]}
    connection = Connection(server.remote)
    with pytest.raises(Conflict) as caught:
        row = {"name": "x", "key": 500, "mac": "02:00:03:00:00:01", **parents}
        connection.commit("Ringfence", [{"op": "insert", "table": "Port", "row": row}])
    assert caught.value.faults[0].rule == "unique-mac"
    with pytest.raises(Conflict) as caught:
        row = {"network": ["uuid", network], "address": "10.0.0.2", "port": ["uuid", uid_of(store, "a")]}
        connection.commit("Ringfence", [{"op": "insert", "table": "Address", "row": row}])
    assert caught.value.faults[0].rule == "unique-address-network"
    with pytest.raises(Conflict) as caught:
        uid = row_uid("Address", network, "10.0.0.2")
        connection.commit("Ringfence", [{"op": "insert", "table": "Address", "uuid": uid, "row": row}])
    assert caught.value.faults[0].rule == "changed-meanwhile"
    connection.close()


def test_class_ids_outside_of_2_to_255_are_refused_by_the_schema(store: Store, server: Server) -> None:
    connection = Connection(server.remote)
    for number in (0, 1, 256):
        with pytest.raises(Invalid):
            row = {"name": "x", "id": number}
            connection.commit("Ringfence", [{"op": "insert", "table": "Egress_Class", "row": row}])
    connection.close()


def test_the_same_key_gives_the_old_result_and_writes_nothing(store: Store) -> None:
    apply(store, *base())
    first = apply(store, port("a"), key="k-1", digest="d-1")
    before = store.read_all()
    again = apply(store, port("a"), key="k-1", digest="d-1")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.result == first.result
    assert store.read_all().ports == before.ports
    assert store.generation() == first.generation
    delete(store, ref("a"))
    assert apply(store, port("a"), key="k-1", digest="d-1").replayed
    assert ("acme", "a") not in store.read_all().ports


def test_the_same_key_for_another_request_is_a_conflict(store: Store) -> None:
    apply(store, *base(), key="k", digest="one")
    with pytest.raises(Conflict) as caught:
        apply(store, WantedTenant("x"), key="k", digest="two")
    assert caught.value.faults[0].rule == "idempotency-key-reused"
    assert "x" not in store.read_all().tenants


@pytest.mark.parametrize("lost", ["answer", "request"])
@pytest.mark.parametrize("key", ["", "given"])
def test_a_lost_answer_is_neither_an_error_nor_a_second_write(
    wire: Wire, store: Store, lost: str, key: str
) -> None:
    apply(store, *base())
    before = store.generation()
    shaky = Store(wire.remote)
    shaky.contents()
    wire.break_next = lost
    outcome = apply(shaky, port("a"), port("b"), key=key)
    shaky.close()
    assert wire.broken == 1
    assert not outcome.replayed
    contents = store.read_all()
    assert {n for _, n in contents.ports} == {"a", "b"}
    assert outcome.generation == store.generation() == before + 1
    assert len(wire.durable()) == (1 if lost == "answer" else 2)


@pytest.mark.parametrize("lost", ["answer", "request"])
def test_a_binding_whose_answer_is_lost_is_held(wire: Wire, store: Store, lost: str) -> None:
    apply(store, *base(), port("a", "h1"))
    shaky = Store(wire.remote)
    wire.break_next = lost
    binding = shaky.bind(uid_of(store, "a"), HOSTS[0])
    shaky.close()
    assert wire.broken == 1
    assert (binding.host, binding.sequence, binding.active) == ("h1", 0, True)
    poll(lambda: store.contents().bindings.get(binding.port) == binding)


def test_deleting_takes_addresses_and_bindings_along_and_cools_down(store: Store, server: Server) -> None:
    apply(store, *base(), port("a", "h1"), port("b"))
    store.bind(uid_of(store, "a"), HOSTS[0])
    old = store.contents().ports["acme", "a"].value
    delete(store, ref("a"))
    contents = store.read_all()
    assert not contents.bindings
    assert {value for _, value in contents.tombstones} == {old.key, old.mac, *(int(a) for a in old.addresses)}
    connection = Connection(server.remote)
    (rows,) = connection.read("Ringfence", [{"op": "select", "table": "Address", "where": []}])
    connection.close()
    assert {r["address"] for r in rows["rows"]} == {"10.0.0.3", "fd00::3"}

    # The same address on request, and given up again while its tombstone stands.
    apply(store, port("c", addresses=(old.addresses[0],)))
    delete(store, ref("c"))
    late = clock() + 2 * COOL_DOWN_MS
    store.change(lambda c: plan(c, [port("d")], late, random_uid), "", "d", lambda made: "")
    assert store.contents().ports["acme", "d"].value.key == old.key
    assert not store.read_all().tombstones


def test_a_change_writes_only_what_differs_and_nothing_is_lost_between_two(
    store: Store, server: Server
) -> None:
    apply(store, *base(), port("a", "h1"))
    other = Store(server.remote)
    apply(other, port("a", "h1", "h2"))
    apply(store, WantedPort("acme", "a", "prod", labels=(("k", "v"),)))
    record = other.read_all().ports["acme", "a"]
    other.close()
    assert record.value.hosts == ("h1", "h2")
    assert record.labels == (("k", "v"),)


def test_a_port_is_not_added_to_a_subnet_that_has_just_changed(store: Store) -> None:
    apply(store, *base())
    old = store.contents()
    made = plan(old, [port("a")], clock(), random_uid)
    apply(store, WantedNetwork("acme", "prod", SUBNETS[:1]))
    with pytest.raises(Raced):
        store.apply(old, made, "", "d", "")


def test_a_host_is_not_deleted_under_a_port_that_has_just_named_it(store: Store) -> None:
    from ipam.deletion import plan_deletion

    apply(store, *base())
    old = store.contents()
    made = plan_deletion(old, [Reference(Kind.HYPERVISOR, "h8")], clock())
    apply(store, port("a", "h8"))
    with pytest.raises(Raced):
        store.apply(old, made, "", "d", "")
    assert "h8" in store.read_all().hypervisors


def test_a_plan_that_changes_nothing_is_not_written(store: Store) -> None:
    apply(store, *base())
    before = store.generation()
    assert apply(store, *base()).generation == before
    assert store.generation() == before
    # With a key it is remembered, and counts as no change either.
    assert apply(store, *base(), key="k").generation == before
    assert apply(store, *base(), key="k").replayed


def test_without_a_server_the_error_says_so_and_it_comes_back(server: Server, store: Store) -> None:
    apply(store, *base())
    server.stop()
    gone: list[Callable[[], object]] = [lambda: Connection(server.remote).call("list_dbs", [], timeout=0.3)]
    for attempt in gone:
        with pytest.raises(Unavailable) as caught:
            attempt()
        assert caught.value.faults[0].remedy
    server.start()
    apply(store, port("a"))
    assert ("acme", "a") in store.contents().ports


def test_several_remotes_are_tried_in_turn(server: Server) -> None:
    connection = Connection(f"unix:/nonexistent/sock,{server.remote}")
    assert "Ringfence" in connection.call("list_dbs", [])
    connection.close()


def test_a_build_that_refuses_writes_nothing(store: Store) -> None:
    apply(store, *base())
    before = store.read_all()
    with pytest.raises(Invalid):
        store.change(
            planner(port("ok"), port("bad", addresses=(ip_address("10.0.0.1"),))), "k", "d", lambda m: ""
        )
    assert store.read_all() == before or store.read_all().ports == before.ports
    # The key is not spent by a refusal.
    assert not apply(store, port("ok"), key="k").replayed


def test_the_clusters_policy_is_written_and_read_back(store: Store, server: Server) -> None:
    assert store.ensure_cluster(65000, ()).policy == Policy()
    wanted = Policy(Guard.COUNT, 7, 8, 0, 60)
    changed = store.ensure_cluster(65000, (), policy=wanted)
    again = Store(server.remote)
    assert changed.policy == wanted and again.ensure_cluster(65000, (), policy=wanted) == changed
    found = again.contents().cluster
    assert found is not None and found.policy == wanted
    assert again.ensure_cluster(65000, ()).policy == Policy()
    again.close()

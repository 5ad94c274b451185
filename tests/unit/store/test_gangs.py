"""Gangs in a real store: written whole, read back, fenced, raced for by 64 clients, and never had twice."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from controller.store import gangs
from controller.store.assembly import TABLES, WANTED_COLUMNS, Assembly
from controller.store.faults import Raced
from controller.store.records import Contents, Outcome
from controller.store.server import Server
from controller.store.statements import select
from controller.store.wire import Connection
from controller.store.writer import Store, Writing
from ipam.deletion import plan_deletion
from ipam.gangs.booking import book, leave
from ipam.gangs.ledger import Ledger
from model.addresses import format_mac
from model.errors import Conflict, Exhausted, NotFound, RingfenceError
from model.fabric import FabricKind, PKey
from model.gang import Align, Arrange, Gang, GangRequest, GangState, Membership, Static, Use
from model.ids import HostName
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedFabric,
    WantedHypervisor,
    WantedNode,
    WantedSku,
    WantedTenant,
)
from tests.fakes.estate import infiniband, roce, sku
from tests.unit.store.house import apply, base, planner, port
from topologies.deadline import until

NODES = 4
COOL_DOWN = 100


def hardware(nodes: int = NODES, vfs: int = 2, kind: FabricKind = FabricKind.INFINIBAND) -> list[Wanted]:
    layout = sku(2, vfs, kind)
    shape = infiniband(2) if kind is FabricKind.INFINIBAND else roce(2)
    return [
        WantedTenant("acme"),
        WantedTenant("umbra"),
        WantedSku("h", layout.gpus, layout.pfs),
        WantedFabric(
            shape.name,
            kind,
            shape.rails,
            shape.pkeys or None,
            shape.guids or None,
            shape.addressing,
            *shape.blocks,
        ),
        *(WantedHypervisor(HostName(f"hv{n}"), ip_address("203.0.113.0") + n) for n in range(1, nodes + 1)),
        *(WantedNode(f"n{n}", "h", shape.name, HostName(f"hv{n}")) for n in range(1, nodes + 1)),
    ]


def reserve(store: Store, key: str = "", now: int = 1_000, **more: object) -> Outcome:
    said = {"tenant": "acme", "name": "job", "fabric": "ib", "count": 1, **more}
    request = GangRequest(**said)  # type: ignore[arg-type]

    def build(contents: Contents) -> Writing:
        made = book(contents, request, now)
        return Writing(tuple(gangs.reservation(contents, made, now)), str(made.generation), now)

    return store.write(build, key, gangs.format_request(request))


def release(
    store: Store, name: str = "job", generation: int = 0, now: int = 2_000, tenant: str = "acme"
) -> Outcome:
    def build(contents: Contents) -> Writing:
        gone, progress = leave(contents, tenant, name, generation)
        return Writing(
            tuple(gangs.departure(contents, gone, progress, now + COOL_DOWN, now)), str(gone.generation), now
        )

    return store.write(build, "", "")


def the(store: Store, name: str = "job", tenant: str = "acme") -> Gang:
    return store.contents().ledger.gangs[tenant, name]


def rows(server: Server, table: str) -> list[dict[str, object]]:
    connection = Connection(server.remote)
    try:
        found = connection.read("Ringfence", [{"op": "select", "table": table, "where": []}])
        return list(found[0]["rows"])
    finally:
        connection.close()


@pytest.mark.parametrize("kind", [FabricKind.INFINIBAND, FabricKind.ROCE])
def test_it_comes_back_as_it_was(store: Store, kind: FabricKind) -> None:
    apply(store, *hardware(kind=kind))
    fabric = "ib" if kind is FabricKind.INFINIBAND else "roce"
    made = book(store.contents(), GangRequest("acme", "job", fabric, count=3, gpus=1), 1_000)
    assert reserve(store, fabric=fabric, count=3, gpus=1).result == str(made.generation)
    assert the(store) == made
    assert made.progress.state is GangState.RESERVED
    found = store.read_all()
    assert found.ledger == store.contents().ledger
    kept = store.contents()
    assert kept == replace(found, taken=kept.taken)


def test_a_request_is_kept_whole() -> None:
    request = GangRequest(
        "t", "n", "f", ("b", "a"), 0, (), 2, 3, Align.NUMA, Arrange.SPREAD, Membership.LIMITED
    )
    assert gangs.parse_request(gangs.format_request(request)) == request
    assert gangs.parse_request(gangs.format_request(replace(request, deadline=9))) == request
    addresses = (ip_address("10.0.0.9"), ip_address("fd00::9"))
    statics = (Static("a", "p", 0), Static("b", "p", None, addresses), Static("b", "q", 3, addresses[:1]))
    request = replace(request, pkey=PKey(0x10), statics=statics, use=Use.VM)
    assert gangs.parse_request(gangs.format_request(request)) == request


def test_the_same_key_reserves_once(store: Store) -> None:
    apply(store, *hardware())
    first = reserve(store, key="k")
    again = reserve(store, key="k")
    assert (again.result, again.replayed) == (first.result, True)
    with pytest.raises(Conflict) as caught:
        reserve(store, key="k", count=2)
    assert caught.value.faults[0].rule == "idempotency-key-reused"
    assert list(store.contents().ledger.gangs) == [("acme", "job")]


def test_release_frees_after_the_cool_down_and_sweeps(server: Server, store: Store) -> None:
    apply(store, *hardware(nodes=1, vfs=1))
    reserve(store)
    old = the(store)
    release(store, now=2_000)
    assert not store.contents().ledger.gangs
    with pytest.raises(Exhausted):
        reserve(store, now=2_000 + COOL_DOWN - 1, tenant="umbra")
    restarted = Store(server.remote)
    try:
        with pytest.raises(Exhausted):
            reserve(restarted, now=2_000 + COOL_DOWN - 1, tenant="umbra")
    finally:
        restarted.close()
    reserve(store, now=2_000 + COOL_DOWN, tenant="umbra")
    assert [row["tenant"] for row in rows(server, "Gang")] == ["umbra"], "what was released is swept"
    assert len(rows(server, "Gang_Node")) == 1
    new = the(store, tenant="umbra")
    assert new.generation > old.generation
    assert new.berths[0].interfaces[0].port_guid == old.berths[0].interfaces[0].port_guid
    found = store.read_all()
    assert found.ledger == store.contents().ledger


def test_a_late_release_after_a_new_owner_frees_nothing(store: Store) -> None:
    apply(store, *hardware(nodes=1, vfs=1))
    reserve(store)
    old = the(store).generation
    release(store, generation=old)
    reserve(store, now=5_000)
    held = the(store)
    for _ in range(2):
        with pytest.raises(NotFound) as caught:
            release(store, generation=old, now=6_000)
        assert f"it is of generation {held.generation} now" in caught.value.faults[0].message
    assert the(store) == held
    assert not store.contents().ledger.cooling


def test_releasing_twice_says_so(store: Store) -> None:
    apply(store, *hardware())
    reserve(store)
    release(store)
    with pytest.raises(NotFound):
        release(store)


def test_a_refused_gang_leaves_nothing_behind(server: Server, store: Store) -> None:
    apply(store, *hardware())
    reserve(store)
    before = {table: rows(server, table) for table in ("Gang", "Gang_Node", "Cluster", "Request")}
    with pytest.raises(Exhausted) as caught:
        reserve(store, name="big", count=NODES + 1)
    assert caught.value.faults[0].message == "5 nodes are wanted, 4 of 4 can"
    assert {table: rows(server, table) for table in before} == before


def test_what_was_placed_on_old_contents_is_not_written(store: Store, server: Server) -> None:
    """Two API processes that saw the same: the second one places again, and is refused or gets others."""
    apply(store, *hardware(nodes=2, vfs=1))
    other = Store(server.remote)
    stale: list[Contents] = [other.contents()]
    reserve(store, nodes=("n1",), count=0)
    seen: list[int] = []

    def build(contents: Contents) -> Writing:
        based = stale.pop() if stale else contents
        made = book(based, GangRequest("umbra", "job", "ib", count=1), 1_000)
        seen.append(made.generation)
        return Writing(tuple(gangs.reservation(based, made, 1_000)), "", 1_000)

    try:
        other.write(build, "", "")
        assert len(seen) == 2
        assert other.contents().ledger.gangs["umbra", "job"].berths[0].node == "n2"
    finally:
        other.close()


def test_no_port_and_no_gang_get_one_mac(store: Store, server: Server) -> None:
    """The planner of ports saw no gang; its transaction waits for that."""
    apply(store, *base(), *hardware(kind=FabricKind.ROCE)[2:])
    other = Store(server.remote)
    try:
        for name in ("job", "more"):  # the first gang that gets MACs, and a later one
            stale = other.contents()
            reserve(store, fabric="roce", name=name)
            with pytest.raises(Raced):
                other.apply(stale, planner(port("web", "h1"))(stale), "", "", "")
        apply(other, port("web", "h1"))
        held = {i.mac for name in ("job", "more") for b in the(store, name).berths for i in b.interfaces}
        assert len(held) == 4
        assert not held & {record.value.mac for record in other.contents().ports.values()}
        mine = min(i.mac for i in the(store).berths[0].interfaces)
        with pytest.raises(RingfenceError, match=f"{format_mac(mine)} is held by Gang acme/job"):
            apply(other, port("db", "h1", mac=mine))
        release(store)
        with pytest.raises(RingfenceError, match="is held by Gang acme/job"):
            apply(other, port("db", "h1", mac=mine))
        release(store, "more", now=9_000)  # and sweeps
        apply(store, port("db", "h1", mac=mine))
    finally:
        other.close()


@pytest.mark.parametrize("kind", [Kind.TENANT, Kind.NODE])
def test_nobody_deletes_what_a_gang_needs(store: Store, kind: Kind) -> None:
    apply(store, *hardware())
    reserve(store)
    gone = [Reference(kind, "acme" if kind is Kind.TENANT else "n1")]

    def delete() -> None:
        store.change(lambda contents: plan_deletion(contents, gone, 1), "", "", lambda _: "")

    with pytest.raises(Conflict) as caught:
        delete()
    assert "Gang acme/job" in caught.value.faults[0].message
    release(store)
    delete()


@pytest.mark.parametrize("seen", [(), ("a",), ("a", "b")], ids=len)
def test_the_order_of_rows_means_nothing(store: Store, server: Server, seen: tuple[str, ...]) -> None:
    """One that is gone and others of its tenant that live share a partition key and blocks; and one of the
    name of another that is gone is new. Read at once, or after what was `seen` before."""
    apply(store, *hardware(nodes=2))
    for name in ("a", "b"):
        reserve(store, name=name)
    base = snapshot(server)
    release(store, "a", now=5_000)
    reserve(store, name="c", now=5_000)
    release(store, "b", now=5_000)
    reserve(store, name="b", now=5_000)
    final = snapshot(server)
    wanted = store.contents().ledger
    assert set(wanted.gangs) == {("acme", "b"), ("acme", "c")} and len(wanted.cooling) == 2
    for order in itertools.permutations(final["Gang"]):
        assembly = Assembly()
        if seen:
            known = {uid: row for uid, row in base["Gang"].items() if row["new"]["name"] in seen}
            assembly.feed(base | {"Gang": known})
        found = assembly.feed(final | {"Gang": {uid: final["Gang"][uid] for uid in order}}).ledger
        assert (found.gangs, found.cooling) == (wanted.gangs, wanted.cooling)
        (mine,), (other,) = (ledger.books["ib"].holdings.values() for ledger in (found, wanted))
        assert (mine.pkey, mine.block, mine.gangs) == (other.pkey, other.block, 2)
        assert found.books["ib"].pkeys.holder(mine.pkey), "nobody else gets it"


def snapshot(server: Server) -> dict[str, dict[str, dict[str, Any]]]:
    """All rows, as the first answer to a monitor has them."""
    connection = Connection(server.remote)
    try:
        operations = [select(table, [], ("_uuid", *WANTED_COLUMNS[table])) for table in TABLES]
        results = connection.read("Ringfence", operations)
    finally:
        connection.close()
    return {
        table: {row["_uuid"][1]: {"new": row} for row in result["rows"]}
        for table, result in zip(TABLES, results, strict=True)
    }


@pytest.fixture
def clients(server: Server) -> Iterator[list[Store]]:
    made = [Store(server.remote) for _ in range(8)]
    yield made
    for each in made:
        each.close()


def test_sixty_four_clients_race_for_the_last_slots(store: Store, clients: list[Store]) -> None:
    """Eight processes' worth of stores, eight threads each: some win, the others are told what is missing."""
    apply(store, *hardware(nodes=6, vfs=2))
    outcomes: list[Outcome | RingfenceError] = []
    gate = threading.Barrier(64)

    def race(number: int) -> None:
        gate.wait(30)
        try:
            tenant = ("acme", "umbra")[number % 2]
            outcomes.append(reserve(clients[number % 8], name=f"j{number}", tenant=tenant, key=f"k{number}"))
        except RingfenceError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=race, args=(number,), daemon=True) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not [thread for thread in threads if thread.is_alive()]
    lost = [each for each in outcomes if isinstance(each, RingfenceError)]
    assert (len(outcomes), len(lost)) == (64, 52)
    assert all(isinstance(each, Exhausted) for each in lost), lost
    assert all("lack free VFs" in each.faults[0].message for each in lost)
    ledger: Ledger = store.read_all().ledger
    slots = [i.slot for gang in ledger.gangs.values() for b in gang.berths for i in b.interfaces]
    addresses = [
        a for gang in ledger.gangs.values() for b in gang.berths for i in b.interfaces for a in i.addresses
    ]
    assert (len(slots), len(set(slots))) == (24, 24)
    assert len(addresses) == len(set(addresses)) == 48
    assert len({gang.generation for gang in ledger.gangs.values()}) == 12


def test_a_row_that_is_no_gang_is_left_out(store: Store, server: Server) -> None:
    apply(store, *hardware())
    reserve(store)
    row = dict(rows(server, "Gang")[0])
    copied = {
        c: row[c]
        for c in ("tenant", "fabric", "state", "begun", "until", "pkey", "block", "nodes", "request")
    }
    connection = Connection(server.remote)
    try:
        twice = {**copied, "name": "job", "generation": 99}
        broken = {**copied, "name": "x", "generation": 98, "request": json.dumps({"tenant": "acme"})}
        for bad in (twice, broken):
            operation = {"op": "insert", "table": "Gang", "row": bad}
            connection.commit("Ringfence", [operation])
        found = store.read_all()
        assert list(found.ledger.gangs) == [("acme", "job")]
        # The audit says which one, until it is gone; of the other nobody knows what it claims.
        assert [gang.generation for gang in found.unheld] == [99]
        # Another wrote it: this Store's cache hears of it later.
        until("the row is in the cache", lambda: store.contents().unheld == found.unheld, 60)
        gone = {"op": "delete", "table": "Gang", "where": [["generation", "==", 99]]}
        connection.commit("Ringfence", [gone])
    finally:
        connection.close()
    assert store.read_all().unheld == ()
    until("the row is out of the cache", lambda: not store.contents().unheld, 60)
    assert list(store.contents().ledger.gangs) == [("acme", "job")]

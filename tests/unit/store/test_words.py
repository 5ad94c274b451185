"""How far gangs are, and what hosts and fabrics say of them, in a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.store import gangs, words
from controller.store.faults import Raced
from controller.store.schema import VERSION
from controller.store.server import Server
from controller.store.wire import Connection, Seat
from controller.store.words import Word
from controller.store.writer import Store
from model.gang import Event, Gang, GangState, begin, finish
from tests.unit.store.house import apply
from tests.unit.store.test_gangs import hardware, reserve
from tests.unit.store.test_server import OLD, tool


def only(store: Store) -> Gang:
    (gang,) = store.contents().ledger.gangs.values()
    return gang


def test_a_gang_moves_on_once_whoever_tries_twice(store: Store) -> None:
    apply(store, *hardware())
    reserve(store)
    before = only(store)
    begun = begin(before.progress, Event.PROGRAM)
    store.move(gangs.advance(before, begun, 7_000))
    now = store.read_all().ledger.gangs["acme", "job"]
    assert now.progress == begun and now.since == 7_000
    assert now.berths == before.berths
    with pytest.raises(Raced):
        store.move(gangs.advance(before, begun, 8_000))
    failed = finish(begun, Event.FAIL)
    store.move(gangs.advance(now, failed, 9_000, "VF 3 refused its GUID"))
    store.move(gangs.vouch(store.read_all().ledger.gangs["acme", "job"], ("n2",)))
    after = store.read_all().ledger.gangs["acme", "job"]
    assert (after.progress.state, after.why, after.vouched) == (
        GangState.FAILED,
        "VF 3 refused its GUID",
        ("n2",),
    )


def test_words_are_replaced_and_read_by_name(store: Store) -> None:
    for text, stamp in (("old", 1), ("new", 2)):
        store.say_of_host(Word("hv1", text, stamp))
    store.say_of_host(Word("hv2", "other", 3))
    store.say_of_fabric(Word("east", "whole", 4))
    assert store.host_words() == (Word("hv1", "new", 2), Word("hv2", "other", 3))
    assert store.host_words(["hv2", "hv9"]) == (Word("hv2", "other", 3),)
    assert store.host_words([]) == ()
    assert store.fabric_words() == (Word("east", "whole", 4),)


def test_what_a_host_says_of_rules_is_a_row_of_its_own(store: Store, server: Server) -> None:
    store.say_of_host(Word("hv1", "gangs", 1))
    assert store.evidence() == ()
    connection = Connection(server.remote, Seat.ANY)
    for text, stamp in (("old", 1), ("new", 2)):
        words.put_evidence(connection, Word("hv1", text, stamp))
    connection.close()
    assert store.evidence() == store.evidence(["hv1"]) == (Word("hv1", "new", 2),)
    assert store.host_words() == (Word("hv1", "gangs", 1),)


def test_a_database_of_version_1_5_0_keeps_its_gangs(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.5.0.ovsschema")))
    row = {"tenant": "acme", "name": "job", "fabric": "ib", "generation": 7, "until": 0, "pkey": 16}
    berth = {"generation": 7, "node": "n1", "host": "hv1", "gpus": "", "interfaces": "1 pf0 0 0 - - - -"}
    request = '{"align":"gpu","arrange":"pack","each":1,"fabric":"ib","membership":"full","name":"job",'
    request += '"tenant":"acme","count":1}'
    operations = [
        {"op": "insert", "table": "Gang_Node", "uuid-name": "berth", "row": berth},
        {
            "op": "insert",
            "table": "Gang",
            "row": row
            | {"state": "reserved", "begun": "reserved", "request": request}
            | {"nodes": ["named-uuid", "berth"]},
        },
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r], answer
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        store.ensure_cluster(65001, ())
        apply(store, *hardware())
        gang = store.read_all().ledger.gangs["acme", "job"]
        assert (gang.why, gang.vouched, gang.since) == ("", (), 0)
        assert gang.progress.state is GangState.RESERVED
    finally:
        store.close()
        server.stop()
    assert tool("db-version", str(file)) == VERSION

"""Leases: of two that write at once one is refused, and only the holder takes ports of its partner."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from controller.store import leases
from controller.store.leases import Hold, Lease
from controller.store.server import Server
from controller.store.wire import Connection
from controller.store.writer import Store
from model.errors import Conflict
from model.ids import HostName, Uid
from model.wanted import WantedHypervisor
from tests.unit.store.house import HOSTS, OLD, apply, base, port, uid_of

ONE, OTHER = HOSTS[:2]
PAIR = leases.pair_of(OTHER, ONE)
FIRST = Lease(ONE, 1, 1, 4)
ENDS = ((ONE, "192.0.2.1", OTHER), (OTHER, "192.0.2.2", ONE))


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    connection = Connection(server.remote)
    yield connection
    connection.close()


@pytest.fixture
def uid(store: Store) -> Uid:
    apply(store, *base(), port("a", ONE, OTHER))
    return uid_of(store, "a")


def test_one_takes_it_and_the_other_is_refused(connection: Connection) -> None:
    assert leases.pair_of(ONE, OTHER) == PAIR and leases.read(connection, PAIR) is None
    assert leases.take(connection, PAIR, None, FIRST)
    assert not leases.take(connection, PAIR, None, replace(FIRST, holder=OTHER))
    assert leases.read(connection, PAIR) == FIRST and leases.read_all(connection) == {PAIR: FIRST}


def test_a_sign_of_life_refuses_who_had_not_seen_it(connection: Connection) -> None:
    assert leases.take(connection, PAIR, None, FIRST)
    assert leases.renew(connection, PAIR, ONE, 1, 2) == replace(FIRST, beat=2)
    late = Lease(OTHER, 2, 2, 4)
    assert not leases.take(connection, PAIR, FIRST, late)
    seen = leases.stand_by(connection, PAIR, replace(FIRST, beat=2), 1, fit=True)
    assert seen is not None and (seen.standby_beat, seen.standby_fit) == (1, True)
    assert leases.take(connection, PAIR, seen, replace(late, beat=3)), "the standby's own word is no obstacle"
    assert leases.renew(connection, PAIR, ONE, 1, 3) is None
    assert leases.give_back(connection, PAIR, ONE, 1) is None
    assert leases.stand_by(connection, PAIR, seen, 2, fit=True) is None
    found = leases.give_back(connection, PAIR, OTHER, 2)
    assert found is not None and (found.holder, found.term) == ("", 2)


def test_what_the_operator_wants_ends_with_the_next_holder(connection: Connection) -> None:
    assert leases.take(connection, PAIR, None, FIRST)
    asked = leases.want(connection, PAIR, OTHER)
    assert asked is not None and asked.wanted == OTHER
    assert leases.take(connection, PAIR, asked, Lease(OTHER, 2, 2, 4))
    after = leases.read(connection, PAIR)
    assert after is not None and not after.wanted


def test_only_the_holder_takes_a_port_of_its_partner(store: Store, connection: Connection, uid: Uid) -> None:
    def rule(host: HostName, hold: Hold | None) -> str:
        with pytest.raises(Conflict) as caught:
            store.bind(uid, host, 0, hold)
        return caught.value.faults[0].rule

    assert leases.take(connection, PAIR, None, FIRST)
    assert store.bind(uid, ONE, 0, Hold(OTHER, 1)).sequence == 0
    assert rule(OTHER, None) == "bound-elsewhere"
    assert rule(OTHER, Hold(ONE, 0)) == rule(OTHER, Hold(ONE, 2)) == "lease-lost"
    assert leases.take(connection, PAIR, FIRST, Lease(OTHER, 2, 2, 4))
    moved = store.bind(uid, OTHER, 0, Hold(ONE, 2))
    assert (moved.host, moved.sequence, moved.active) == (OTHER, 1, True)
    assert rule(ONE, Hold(OTHER, 1)) == "lease-lost", "what it had is over"
    (refused,) = store.bind_all((uid,), ONE, {}, Hold(OTHER, 1))
    assert isinstance(refused, Conflict) and refused.faults[0].rule == "lease-lost"
    (held,) = store.bind_all((uid,), OTHER, {}, Hold(ONE, 2))
    assert held == moved


def test_a_database_of_version_1_4_0_is_upgraded_and_takes_pairs_and_leases(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    subprocess.run(
        ["ovsdb-tool", "create", str(file), str(OLD.with_name("ringfence-1.4.0.ovsschema"))], check=True
    )
    server = Server(directory / "db")
    server.start()
    store, connection = Store(server.remote), Connection(server.remote)
    try:
        store.ensure_cluster(65001, ())
        apply(store, *(WantedHypervisor(a, ip_address(v), partner=b) for a, v, b in ENDS))
        found = store.contents().hypervisors
        assert (found[ONE].value.partner, found[OTHER].value.partner) == (OTHER, ONE)
        assert leases.take(connection, PAIR, None, FIRST)
        assert store.want_lease(OTHER, ONE) == replace(FIRST, wanted=OTHER)
        assert store.want_lease(ONE, OTHER) == replace(FIRST, wanted=OTHER), "it has it: nothing is written"
    finally:
        store.close()
        connection.close()
        server.stop()

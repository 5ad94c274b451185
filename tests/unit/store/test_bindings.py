"""Bindings: the first holds, the sequence counts moves, and of racing agents one wins."""

from __future__ import annotations

import threading
import time

import pytest

from controller.api.migration import Moment, plan_cancellation, plan_migration
from controller.store import bindings
from controller.store.faults import Raced
from controller.store.server import Server
from controller.store.wire import Connection
from controller.store.writer import Store, clock
from model.errors import Conflict, NotFound, RingfenceError
from model.ids import HostName, Uid
from model.intent import Binding
from tests.unit.store.house import HOSTS, apply, base, port, ref, uid_of


@pytest.fixture
def uid(store: Store) -> Uid:
    apply(store, *base(), port("a", *HOSTS))
    return uid_of(store, "a")


def test_first_holds_until_it_lets_go(store: Store, uid: Uid) -> None:
    first = store.bind(uid, HOSTS[0])
    assert (first.host, first.sequence, first.active) == ("h1", 0, True)
    assert store.bind(uid, HOSTS[0]) == first
    with pytest.raises(Conflict) as caught:
        store.bind(uid, HOSTS[1])
    assert caught.value.faults[0].rule == "bound-elsewhere"
    store.unbind(uid, HOSTS[1])  # not its own: nothing happens
    with pytest.raises(Conflict):
        store.bind(uid, HOSTS[1])
    store.unbind(uid, HOSTS[0])
    assert store.bind(uid, HOSTS[0]).sequence == 0
    store.unbind(uid, HOSTS[0])
    assert store.bind(uid, HOSTS[1]).sequence == 1


def test_only_hosts_that_the_port_names_may_bind(store: Store, uid: Uid) -> None:
    apply(store, port("b", "h1"))
    with pytest.raises(Conflict) as caught:
        store.bind(uid_of(store, "b"), HOSTS[1])
    assert caught.value.faults[0].rule == "host-not-allowed"
    assert not store.read_all().bindings


def test_a_host_that_may_not_have_it_any_more_loses_it(store: Store, uid: Uid) -> None:
    store.bind(uid, HOSTS[0])
    apply(store, port("a", "h2"))
    moved = store.bind(uid, HOSTS[1])
    assert (moved.host, moved.sequence) == ("h2", 1)


def test_the_store_refuses_a_binding_whose_ground_moved(store: Store, server: Server, uid: Uid) -> None:
    connection = Connection(server.remote)
    seen = bindings._look(connection, uid)
    late = bindings._write(seen, uid, Binding(seen.key, HOSTS[0], 0, active=True))
    apply(store, port("a", "h2"))
    with pytest.raises(Raced):
        connection.commit("Ringfence", late)
    connection.close()
    assert not store.read_all().bindings


def test_a_port_that_does_not_exist(store: Store) -> None:
    ghost = Uid("00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotFound):
        store.bind(ghost, HOSTS[0])
    store.unbind(ghost, HOSTS[0])


def test_of_eight_agents_exactly_one_wins(server: Server, store: Store, uid: Uid) -> None:
    holder: HostName | None = None
    for round_number in range(5):
        won, refused = race(server, uid)
        assert len(won) == 1
        assert refused == {"bound-elsewhere": 7}
        binding = store.read_all().bindings[store.contents().ports["acme", "a"].value.key]
        assert (binding.host, binding.active) == (won[0], True)
        if round_number == 0:
            assert binding.sequence == 0
        holder, before = won[0], binding.sequence
        store.unbind(uid, holder)
        after = store.bind(uid, holder)
        assert after.sequence == before
        store.unbind(uid, holder)


def race(server: Server, uid: Uid) -> tuple[list[HostName], dict[str, int]]:
    won: list[HostName] = []
    refused: dict[str, int] = {}
    start, guard = threading.Barrier(len(HOSTS)), threading.Lock()

    def claim(host: HostName) -> None:
        own = Store(server.remote)
        own.generation()  # connected before the race
        start.wait(20)
        try:
            own.bind(uid, host)
            with guard:
                won.append(host)
        except RingfenceError as error:
            with guard:
                rule = error.faults[0].rule
                refused[rule] = refused.get(rule, 0) + 1
        own.close()

    threads = [threading.Thread(target=claim, args=(host,)) for host in HOSTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return won, refused


def test_claims_together_are_judged_each_for_itself(store: Store, uid: Uid) -> None:
    apply(store, port("b", "h1"), port("c", "h1"), port("d", "h2"))
    b, c, d = (uid_of(store, name) for name in "bcd")
    store.bind(c, HOSTS[0])
    answers = store.bind_all([b, Uid("11111111-1111-1111-1111-111111111111"), c, d], HOSTS[0], {})
    assert isinstance(answers[0], Binding) and isinstance(answers[2], Binding)
    assert isinstance(answers[1], NotFound) and isinstance(answers[3], Conflict)
    assert {b.port for b in store.read_all().bindings.values()} == {answers[0].port, answers[2].port}


def test_one_that_was_claimed_meanwhile_holds_up_no_other(store: Store, uid: Uid) -> None:
    apply(store, port("b", "h1", "h2"))
    b = uid_of(store, "b")

    class Meddled(Connection):
        """Another host claims one between the look and the transaction."""

        meddled = False

        def commit(self, *arguments: object, **more: object) -> list[dict[str, object]]:
            if not self.meddled:
                self.meddled = True
                store.bind(b, HOSTS[1])
            return super().commit(*arguments, **more)  # type: ignore[arg-type]

    connection = Meddled(store._remote)
    try:
        first, second = bindings.bind_all(connection, [uid, b], HOSTS[0])
    finally:
        connection.close()
    assert isinstance(first, Binding) and first.host == "h1"
    assert isinstance(second, Conflict) and second.faults[0].rule == "bound-elsewhere"


def migrate(store: Store, target: str) -> None:
    deadline = time.monotonic() + 20
    while not store.contents().bindings:  # the cache follows bindings by itself
        assert time.monotonic() < deadline
        time.sleep(0.01)
    moving = lambda contents: plan_migration(  # noqa: E731
        contents, ref("a"), HostName(target), Moment.ANNOUNCED, clock()
    )
    store.change(moving, "", "d", lambda made: "")


def test_the_host_that_a_port_moves_to_takes_it_over_and_nobody_else(store: Store, uid: Uid) -> None:
    store.bind(uid, HOSTS[0])
    migrate(store, "h2")
    with pytest.raises(Conflict):
        store.bind(uid, HOSTS[2])
    assert store.bind(uid, HOSTS[0]).host == "h1"  # it may say so again, and stays a port that moves
    assert store.contents().ports["acme", "a"].value.migration == "h2"
    taken = store.bind(uid, HOSTS[1])
    assert (taken.host, taken.sequence, taken.active) == ("h2", 1, True)
    landed = Connection(store._remote)
    seen = bindings._look(landed, uid)
    landed.close()
    assert seen.migration == ""
    with pytest.raises(Conflict):
        store.bind(uid, HOSTS[0])


def test_a_migration_that_was_called_off_meanwhile_takes_nothing(store: Store, uid: Uid) -> None:
    store.bind(uid, HOSTS[0])
    migrate(store, "h2")
    connection = Connection(store._remote)
    seen = bindings._look(connection, uid)
    store.change(lambda contents: plan_cancellation(contents, ref("a"), clock()), "", "d", lambda made: "")
    late = bindings._write(seen, uid, Binding(seen.key, HOSTS[1], 1, active=True))
    with pytest.raises(Raced):
        connection.commit("Ringfence", late)
    connection.close()


def test_what_a_manifest_says_again_does_not_end_a_migration(store: Store, uid: Uid) -> None:
    store.bind(uid, HOSTS[0])
    migrate(store, "h2")
    apply(store, port("a", *HOSTS))
    assert store.contents().ports["acme", "a"].value.migration == "h2"


def test_a_claim_says_how_high_its_sequence_is_at_least(store: Store, uid: Uid) -> None:
    assert store.bind(uid, HOSTS[0], 7).sequence == 7
    assert store.bind(uid, HOSTS[0], 3).sequence == 7
    assert store.bind(uid, HOSTS[0], 9).sequence == 9
    (again,) = store.bind_all([uid], HOSTS[0], {uid: 11})
    assert isinstance(again, Binding) and again.sequence == 11
    assert store.bind(uid, HOSTS[0], 1 << 40).sequence == (1 << 32) - 1
    store.unbind(uid, HOSTS[0])
    assert store.bind(uid, HOSTS[1]).sequence == (1 << 32) - 1  # no higher one can be said

"""Faults in a life: late and double releases, dead nodes, managers and stores, two conductors."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.fabric import office
from controller.store.server import Server
from controller.store.words import Word
from controller.store.writer import Store
from ipam.fabric import opensm as module
from ipam.fabric.hold import Idle
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.publish import observe, publish
from ipam.gangs.booking import leave
from model.bearing import FabricWord, parse_fabric
from model.errors import Fault, NotFound
from model.fabric import FULL_MEMBER, FabricKind, Guid, PKey
from model.gang import Gang, GangState
from tests.fakes.subnet import SM
from tests.unit.fabric.stage import Stage, let_go, request, stage

BEYOND = int(office.SILENCE * 1000) + 1_000


@pytest.fixture
def made(store: Store, server: Server, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    found = stage(store, directory, monkeypatch, FabricKind.INFINIBAND)
    yield found
    found.end()


def word(made: Stage) -> FabricWord:
    return next(parse_fabric(w.text) for w in made.store.fabric_words() if w.name == made.fabric)


def rules(made: Stage) -> set[str]:
    return {alarm.rule for alarm in word(made).alarms}


def turns(made: Stage, count: int = 5) -> None:
    for _ in range(count):
        made.turn()


def progress(made: Stage, *states: GangState) -> bool:
    gang = made.gang()
    return gang is not None and gang.progress.state in states


def active(made: Stage, **more: object) -> Gang:
    gang = request(made, **more)
    made.until(made.is_(GangState.ACTIVE, gang.request.name))
    return gang


def test_a_late_release_takes_nothing_from_the_next_owner(made: Stage) -> None:
    old = active(made)
    let_go(made)
    made.until(made.gone())
    made.now += 400_000
    new = active(made)
    assert new.berths[0].interfaces[0].slot == old.berths[0].interfaces[0].slot
    with pytest.raises(NotFound, match=f"it is of generation {new.generation} now"):
        let_go(made, generation=old.generation)
    turns(made)
    assert progress(made, GangState.ACTIVE)
    assert made.waits() == {}


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_release_at_any_moment_and_again(made: Stage, at: int) -> None:
    request(made)
    turns(made, at)
    let_go(made)
    with contextlib.suppress(NotFound):  # it may be gone already
        let_go(made)
    made.turn()
    with contextlib.suppress(NotFound):
        let_go(made)
    made.until(made.gone())
    assert made.bare()
    with pytest.raises(NotFound):
        let_go(made)


def test_what_was_begun_meanwhile_does_not_go_at_once(made: Stage) -> None:
    """The API read that nothing was begun; the conductor was faster."""
    request(made)
    contents = made.store.contents()
    gone, wanted = leave(contents, "acme", "job", 0)
    assert wanted.state is GangState.RELEASED
    made.turn()
    from controller.store import gangs
    from controller.store.faults import Raced

    with pytest.raises(Raced):
        made.store.move(gangs.departure(contents, gone, wanted, made.now + 1, made.now))
    made.until(made.is_(GangState.ACTIVE))


def test_a_dead_node_holds_a_release_up_until_somebody_vouches_for_it(made: Stage) -> None:
    gang = active(made)
    made.bearers["hv2"].dead = True
    lost = {Guid(i.port_guid) for b in gang.berths if b.host == "hv2" for i in b.interfaces}
    made.subnet.away |= lost
    made.until(lambda: "hv2 is silent" in made.waits().get(gang.generation, ""))
    assert progress(made, GangState.ACTIVE), "it says so, and goes on"
    let_go(made)
    turns(made, 30)
    assert progress(made, GangState.RELEASING)
    assert "hv2 is silent" in made.waits()[gang.generation]
    assert not made.bearers["hv1"].devices, "the others gave theirs back"
    let_go(made, nodes=("n2",))
    made.until(made.gone())
    tables = {guid: table for guid, table in made.subnet.shown.items() if guid not in lost}
    assert set(tables.values()) == {(0x7FFF,)}
    assert not set(lost) & {g for p in observe(made.subnet.path).tenants for g in (*p.full, *p.limited)}


def test_a_port_that_answers_is_believed_more_than_who_vouches(made: Stage) -> None:
    gang = active(made)
    stuck = Guid(gang.berths[1].interfaces[0].port_guid)
    made.bearers["hv2"].dead = True
    held, made.subnet.sweep = made.subnet.sweep, lambda: None  # type: ignore[method-assign]
    let_go(made, nodes=("n2",))
    turns(made, 10)
    assert progress(made, GangState.RELEASING)
    assert stuck in next(w.ports for w in word(made).waits if w.generation == gang.generation)
    made.subnet.sweep = held  # type: ignore[method-assign]
    made.until(made.gone())


def test_a_manager_that_restarts_while_ports_join(made: Stage) -> None:
    gang = request(made)
    made.subnet.deaf = True
    turns(made, 10)
    made.until(lambda: bool(made.waits().get(gang.generation)))
    assert progress(made, GangState.RESERVED)
    assert {"fabric-silent", "fabric-mute"} <= rules(made)
    made.subnet.deaf = False
    made.until(made.is_(GangState.ACTIVE))
    made.until(lambda: not rules(made))


def test_a_manager_that_restarts_while_ports_leave(made: Stage) -> None:
    active(made)
    made.subnet.deaf = True
    let_go(made)
    turns(made, 10)
    assert progress(made, GangState.RELEASING)
    made.subnet.deaf = False
    made.until(made.gone())
    assert made.bare()


def test_a_stranger_among_managers_keeps_gangs_from_becoming_active(made: Stage) -> None:
    from ipam.fabric.managers import Seen, Standing

    gang = request(made)
    made.subnet.said = (Seen(SM, Standing.MASTER), Seen(Guid(0x0002C90300000099), Standing.STANDBY))
    turns(made, 10)
    assert progress(made, GangState.RESERVED)
    assert rules(made) == {"fabric-stranger"}
    assert "can't be trusted" in made.waits()[gang.generation]
    made.subnet.said = made.subnet.said[:1]
    made.until(made.is_(GangState.ACTIVE))


def test_what_can_not_be_completed_fails_with_why_and_is_undone(made: Stage) -> None:
    made.patience = 10.0
    made.begin()
    gang = request(made)
    fault = Fault("PF mlx1", "vfs-in-use", "it has 2 VFs, 4 are wanted", "Empty it.")
    made.bearers["hv2"].faults = (fault,)
    made.until(made.is_(GangState.FAILED))
    failed = made.gang()
    assert failed is not None
    assert failed.why.startswith(
        "not programmed within 10 s: 1 of 2 hosts have not set their devices: hv2: PF"
    )
    made.until(made.gone())
    assert made.bare()
    ((kept, _),) = made.store.contents().ledger.cooling.values()
    assert (kept.generation, kept.why) == (gang.generation, failed.why)


def test_patience_does_not_count_while_nobody_looked(made: Stage) -> None:
    request(made)
    made.bearers["hv2"].dead = True
    turns(made, 5)
    made.end()
    made.now += 3_600_000
    made.bearers["hv2"].dead = False
    made.begin()
    made.until(made.is_(GangState.ACTIVE))
    assert "failed" not in made.states


def test_drift_at_an_active_gang_is_alarmed_and_mended(made: Stage) -> None:
    gang = active(made)
    turns(made)
    victim = Guid(gang.berths[0].interfaces[0].port_guid)
    made.subnet.shown[victim] = (0x7FFF | FULL_MEMBER,)
    seen: set[str] = set()

    def mended() -> bool:
        seen.update(rules(made))
        return made.subnet.shown[victim] == (gang.pkey | FULL_MEMBER, 0x7FFF) and not rules(made)

    made.until(lambda: made.subnet.shown[victim] != (0x7FFF | FULL_MEMBER,))
    made.until(mended)
    assert "fabric-ports" in seen
    assert progress(made, GangState.ACTIVE)


def test_a_driver_that_fails_promises_nothing(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, __: Partitions) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    gang = request(made)
    with monkeypatch.context() as patch:
        patch.setattr(module, "publish", full)
        turns(made, 6)
        made.until(lambda: rules(made) == {"fabric-driver"})
        made.until(lambda: "nobody has read" in made.waits().get(gang.generation, ""))
        assert progress(made, GangState.RESERVED)
    made.until(made.is_(GangState.ACTIVE))


def test_a_garbled_word_of_a_host_is_no_answer(made: Stage) -> None:
    gang = request(made)
    made.bearers["hv2"].dead = True
    for number, text in enumerate(("{", "[]", '{"parts":[{"generation":true}]}', "")):
        made.store.say_of_host(Word("hv2", text, made.now + number))
        made.turn()
    made.until(lambda: "hv2 has not answered" in made.waits().get(gang.generation, ""))
    assert progress(made, GangState.RESERVED)


class Twins:
    """Two conductors of one fabric that know nothing of each other."""

    def __init__(self, made: Stage) -> None:
        self.made = made
        self.one = made.conductor
        kept, made.stores = made.stores, []
        self.other = made.begin("other")
        self.stores = [*kept, *made.stores]
        made.stores = self.stores
        assert self.one is not None

    def turn(self, *who: object) -> None:
        for conductor in who:
            self.made.conductor = conductor  # type: ignore[assignment]
            self.made.turn()


def test_of_two_conductors_one_acts_until_it_is_silent(made: Stage) -> None:
    twins = Twins(made)
    gang = request(made)
    moves: list[str] = []
    for store, name in zip(twins.stores, ("one", "other"), strict=True):
        store._go = lambda step, name=name: moves.append(name) if step == "moved" else None  # type: ignore[misc]
    while not made.is_(GangState.ACTIVE)():
        twins.turn(twins.one, twins.other)
    assert set(moves) == {"one"}
    assert word(made).owner == "one"
    let_go(made)
    while word(made).owner == "one":
        twins.turn(twins.other)  # the first one hangs
    while not made.gone()():
        twins.turn(twins.other)
    assert set(moves) == {"one", "other"}
    moves.clear()
    made.now += BEYOND
    again = request(made, name="next")
    assert again.generation > gang.generation
    while not made.is_(GangState.ACTIVE, "next")():
        twins.turn(twins.one, twins.other)
    assert len(set(moves)) == 1, "the one that comes to itself does nothing while the other speaks"
    assert word(made).owner == moves[0]


def test_two_that_begin_at_once(made: Stage) -> None:
    twins = Twins(made)
    spoken: list[str] = []
    for store, name in zip(twins.stores, ("one", "other"), strict=True):
        store._go = lambda step, name=name: spoken.append(name) if step == "spoken" else None  # type: ignore[misc]
    request(made)
    while not made.is_(GangState.ACTIVE)():
        twins.turn(twins.other, twins.one)
    assert set(spoken) == {"other"}


@pytest.mark.parametrize("what", ["foreign", "unknown", "empty"])
def test_a_store_that_does_not_know_the_fabric_moves_nothing(
    made: Stage, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Partitions((SM,), (Partition(PKey(0x77), (Guid(0x0200000000000077),)),))
    publish(made.subnet.path, held)
    if what == "foreign":
        rule = "store-foreign"
    elif what == "unknown":
        monkeypatch.setattr(Stage, "fabric", "west")
        rule = "fabric-unknown"
    else:
        rule = "store-empty"
        connection = made.store._connection
        connection.commit("Ringfence", [{"op": "delete", "table": "Cluster", "where": []}])
    made.begin()
    made.until(lambda: any(w.name == made.fabric for w in made.store.fabric_words()))
    made.until(lambda: rules(made) == {rule})
    turns(made)
    assert observe(made.subnet.path) == held
    assert made.subnet.reads == 0


def test_who_comes_back_to_the_office_does_not_take_the_store_for_a_foreign_one(made: Stage) -> None:
    """While it hung, another process let its gang go, and the gang's row was swept."""
    twins = Twins(made)
    request(made, count=0, nodes=("n1",))
    while not made.is_(GangState.ACTIVE)():
        twins.turn(twins.one)
    let_go(made)
    while not made.gone()():
        twins.turn(twins.other)
    made.now += 400_000
    request(made, count=0, name="next", nodes=("n2",))
    while not made.is_(GangState.ACTIVE, "next")():
        twins.turn(twins.other)
    assert not made.store.contents().ledger.cooling
    while word(made).owner != "one":
        twins.turn(twins.one)
    for _ in range(5):
        twins.turn(twins.one)
    assert not rules(made)
    let_go(made, "next")
    while not made.gone("next")():
        twins.turn(twins.one)


def test_the_guard_knows_what_became_of_the_cluster() -> None:
    from controller.fabric.guard import objection
    from ipam.contents import Contents
    from model.ids import Uid
    from model.intent import Cluster

    def rule(generation: int, uid: str = "a") -> str:
        contents = Contents(cluster=Cluster(Uid(uid), generation, 65000, ()))
        fault = objection(contents, "ib", (Uid("a"), 7), None)
        assert fault is not None
        return fault.rule

    assert (rule(7), rule(6), rule(9, "b")) == ("fabric-unknown", "store-older", "store-other")


def test_without_a_driver_no_port_is_promised(made: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.subnet, "driver", Idle)
    made.begin()
    gang = request(made)
    turns(made)
    made.until(lambda: rules(made) == {"fabric-driver"})
    turns(made)
    assert progress(made, GangState.RESERVED)
    assert "run opensm or ufm" in word(made).alarms[0].message
    assert "nobody has read" in made.waits()[gang.generation]

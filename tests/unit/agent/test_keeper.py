"""The keeper on a store that fails: it does what it is asked next, and the log tells only news."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from controller.agent import keeper as keeping
from controller.agent.desk import Desk
from controller.agent.events import Answered
from controller.agent.keeper import Keeper
from controller.store.leases import Hold
from controller.store.reports import Saying
from model.errors import Conflict, Fault, Invalid, RingfenceError
from model.ids import HostName, PortKey, Uid
from model.intent import Binding
from model.report import PortReport, PortState, Report, State

SECONDS = 30.0
HOST = HostName("hv1")
FREE, TAKEN, CURSED = Uid("free"), Uid("taken"), Uid("cursed")


TAKEN_ELSEWHERE = Conflict(Fault("port taken", "bound-elsewhere", "it is bound on hv2", "unbind it there"))


class Store:
    """Binds `free`, refuses `taken`, has a defect with `cursed`; refuses the first reports."""

    def __init__(self) -> None:
        self.refusals = 3
        self.reports: queue.Queue[str] = queue.Queue()
        self.said: list[tuple[Saying, frozenset[str] | None]] = []
        self.together = 0

    def bind(self, port: Uid, host: HostName, least: int = 0, hold: Hold | None = None) -> Binding:
        if port == CURSED:
            raise KeyError(port)
        if port == TAKEN:
            raise TAKEN_ELSEWHERE
        return Binding(PortKey(1), host, 0, True)

    def unbind(self, port: Uid, host: HostName) -> None: ...

    def bind_all(
        self, ports: Sequence[Uid], host: HostName, least: Mapping[Uid, int], hold: Hold | None
    ) -> tuple[Binding | RingfenceError, ...]:
        self.together += 1
        if CURSED in ports:
            raise KeyError(CURSED)
        return tuple(TAKEN_ELSEWHERE if port == TAKEN else self.bind(port, host) for port in ports)

    def say(self, host: HostName, saying: Saying, known: frozenset[str] | None) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Invalid(Fault("database", "store-newer", "its schema is newer", "Upgrade this program."))
        self.said.append((saying, known))
        self.reports.put(saying.head)


@contextmanager
def running(
    monkeypatch: pytest.MonkeyPatch, store: Store | None = None
) -> Iterator[tuple[Keeper, queue.Queue[Answered]]]:
    monkeypatch.setattr(keeping, "_PAUSE", 0.01)
    answers: queue.Queue[Answered] = queue.Queue()
    keeper = Keeper(store or Store(), HOST, answers.put)
    keeper.start()
    try:
        yield keeper, answers
    finally:
        keeper.stop()


def test_a_defect_costs_one_claim_and_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(monkeypatch) as (keeper, answers):
        keeper.bind(PortKey(3), CURSED)
        keeper.bind(PortKey(1), FREE)
        failed, bound = answers.get(timeout=SECONDS), answers.get(timeout=SECONDS)
    assert failed.port == PortKey(3)
    assert "KeyError" in str(failed.answer)
    assert bound == Answered(PortKey(1), Binding(PortKey(1), HOST, 0, True))


def test_a_refusal_that_stays_the_same_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    with running(monkeypatch) as (keeper, answers):
        for _ in range(5):
            keeper.bind(PortKey(2), TAKEN)
            assert isinstance(answers.get(timeout=SECONDS).answer, str)
    assert [r.getMessage() for r in caplog.records].count(
        "claim refused host=hv1 port=taken rule=bound-elsewhere"
    ) == 1


def test_a_report_that_a_newer_store_refuses_is_tried_again_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.WARNING)
    store = Store()
    with running(monkeypatch, store) as (keeper, _):
        keeper.report(Report(HOST, 1, 1, State.IN_SYNC), None, {})
        assert '"hv1"' in store.reports.get(timeout=SECONDS)
    # Threads of other tests may have their say.
    assert [r.levelname for r in caplog.records if r.name == keeping.LOG.name] == ["WARNING"]


class Slow(Store):
    """Holds the first claim up till told, so that the others wait together. `busy`: it has that claim."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals = 0
        self.busy, self.go = threading.Event(), threading.Event()

    def bind(self, port: Uid, host: HostName, least: int = 0, hold: Hold | None = None) -> Binding:
        self.busy.set()
        assert self.go.wait(SECONDS)
        return super().bind(port, host)


def test_claims_that_wait_go_together_and_each_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow()
    with running(monkeypatch, store) as (keeper, answers):
        keeper.bind(PortKey(1), FREE)
        assert store.busy.wait(SECONDS)
        for n in range(2, 5):
            keeper.bind(PortKey(n), TAKEN if n == 3 else FREE)
        store.go.set()
        said = [answers.get(timeout=SECONDS) for _ in range(4)]
    assert [a.port for a in said] == [1, 2, 3, 4]
    assert [isinstance(a.answer, str) for a in said] == [False, False, True, False]
    assert store.together == 1


def test_a_defect_among_many_claims_costs_only_the_one_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Slow()
    with running(monkeypatch, store) as (keeper, answers):
        keeper.bind(PortKey(1), FREE)
        assert store.busy.wait(SECONDS)
        for n in range(2, 5):
            keeper.bind(PortKey(n), CURSED if n == 3 else FREE)
        store.go.set()
        said = [answers.get(timeout=SECONDS) for _ in range(4)]
    assert [isinstance(a.answer, str) for a in said] == [False, False, True, False]
    assert store.together == 1


def port(uid: str, state: PortState = PortState.ACTIVE) -> PortReport:
    return PortReport(uid, state, "", 7)


def test_a_report_writes_what_is_new_and_everything_after_the_store_has_lost_its_place() -> None:
    store, desk, brief = Store(), Desk(), Report(HOST, 1, 1, State.IN_SYNC)
    store.refusals = 0

    def publish(details: Report | None, ports: dict[Uid, PortReport | None]) -> Saying:
        desk.note(brief, details, ports)
        bundle = desk.take()
        assert bundle is not None
        desk.write(store, HOST, bundle)
        desk.settle(bundle)
        return store.said[-1][0]

    a, b = Uid("a"), Uid("b")
    assert publish(brief, {a: port("a"), b: port("b")}).ports == {
        "a": ("active", "", 7),
        "b": ("active", "", 7),
    }
    assert store.said[-1][1] is None
    second = publish(None, {b: port("b", PortState.PENDING)})
    assert (second.report, second.ports, second.revision) == (None, {"b": ("pending", "", 7)}, 1)
    assert store.said[-1][1] == {"b"}
    assert publish(None, {a: None}).ports == {"a": None} and store.said[-1][1] == {"a"}
    desk.note(brief, None, {a: port("a")})
    assert desk.take() is not None
    desk.fail()
    again = desk.take()
    assert again is not None and again.known is None and again.details == brief
    assert set(again.ports) == {"a", "b"}

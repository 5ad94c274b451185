"""The keeper on a store that fails: it does what it is asked next, and the log tells only news."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.agent import keeper as keeping
from controller.agent.events import Answered
from controller.agent.keeper import Keeper
from model.errors import Conflict, Fault, Invalid
from model.ids import HostName, PortKey, Uid
from model.intent import Binding
from model.report import Report, State

SECONDS = 10.0
HOST = HostName("hv1")
FREE, TAKEN, CURSED = Uid("free"), Uid("taken"), Uid("cursed")


class Store:
    """Binds `free`, refuses `taken`, has a defect with `cursed`; refuses the first reports."""

    def __init__(self) -> None:
        self.refusals = 3
        self.reports: queue.Queue[str] = queue.Queue()

    def bind(self, port: Uid, host: HostName) -> Binding:
        if port == CURSED:
            raise KeyError(port)
        if port == TAKEN:
            raise Conflict(Fault("port taken", "bound-elsewhere", "it is bound on hv2", "unbind it there"))
        return Binding(PortKey(1), host, 0, True)

    def unbind(self, port: Uid, host: HostName) -> None: ...

    def put_report(self, host: HostName, report: str, stamp: int) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Invalid(Fault("database", "store-newer", "its schema is newer", "Upgrade this program."))
        self.reports.put(report)


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
        keeper.report(Report(HOST, 1, 1, State.IN_SYNC))
        assert '"hv1"' in store.reports.get(timeout=SECONDS)
    assert [r.levelname for r in caplog.records] == ["WARNING"]

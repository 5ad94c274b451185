"""Questions: what the API asks the agent of one host, as rows that it inserts, the agent answers and the API
deletes.

Place: `ask` under the API's Store; `Questions` in a thread of each agent. Both ways the text is foreign:
bounded here, parsed by who reads it. A question outlives nobody: the asker deletes it, and what a dead API
left behind goes with a later question. Must not know what is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from controller.store import rows
from controller.store.faults import Lost, Raced
from controller.store.records import REPORTS
from controller.store.statements import by_uid, delete, insert, select, update
from controller.store.wire import Connection
from model.errors import Fault, Unavailable
from model.ids import HostName, Uid

LIFE_MS: Final = 60_000
"""A question that is older was left behind by an API that died."""
MOST: Final = 64
"""Questions under way in the whole cluster."""
LONGEST_QUESTION: Final = 16_384
LONGEST_ANSWER: Final = 2 << 20
"""Characters."""
_TABLE: Final = "Question"
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1
_IDLE: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there."""


@dataclass(frozen=True, slots=True)
class Question:
    """`kind` says who answers it; `text` is JSON."""

    uid: Uid
    host: HostName
    kind: str
    text: str


def ask(
    connection: Connection,
    question: Question,
    now_ms: int,
    patience: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """The agent's answer. Raises Unavailable: `host-silent` after `patience` seconds, `questions-many`."""
    _make_room(connection, now_ms)
    row = {"host": question.host, "kind": question.kind, "text": question.text, "asked": now_ms, "answer": ""}
    try:
        connection.write_quickly(REPORTS, [insert(_TABLE, question.uid, row)])
    except Raced:
        pass  # an answer that was lost, and the row is there
    try:
        return _await(connection, question, clock() + patience, clock, pause)
    finally:
        try:
            connection.write_quickly(REPORTS, [delete(_TABLE, question.uid)])
        except Unavailable:
            pass  # it goes with a later question


def silent(host: str, message: str) -> Unavailable:
    """The host's agent does not answer."""
    return Unavailable(
        Fault(
            f"Hypervisor {host}",
            "host-silent",
            message,
            f"See `ringfence status`, then the log of the agent on {host}.",
        )
    )


def _make_room(connection: Connection, now_ms: int) -> None:
    old = {"op": "delete", "table": _TABLE, "where": [["asked", "<", now_ms - LIFE_MS]]}
    _, found = connection.write_quickly(REPORTS, [old, select(_TABLE, [], ("_uuid",))])
    if len(found["rows"]) >= MOST:
        raise Unavailable(
            Fault("store", "questions-many", f"{MOST} questions to hosts are under way", "Try again later.")
        )


def _await(
    connection: Connection,
    question: Question,
    end: float,
    clock: Callable[[], float],
    pause: Callable[[float], None],
) -> str:
    wait = _FIRST_PAUSE
    while True:
        (found,) = connection.read(REPORTS, [select(_TABLE, by_uid(question.uid), ("answer",))])
        if not found["rows"]:
            raise silent(question.host, "the question was lost: the store was replaced meanwhile")
        answer = str(found["rows"][0]["answer"])
        if answer:
            return answer[:LONGEST_ANSWER]
        if clock() >= end:
            raise silent(question.host, "its agent does not answer in time")
        pause(wait)
        wait = min(wait * 2, _LONGEST_PAUSE)


class Questions:
    """The questions to one host, as they come. `connection` is its own: nobody else may use it."""

    def __init__(self, connection: Connection, host: HostName) -> None:
        self._connection = connection
        self._host = host

    def session(self, stopping: threading.Event) -> Iterator[Question]:
        """Until `stopping`; those that wait already come first. Raises what the connection raises.

        Source: ovsdb-server(7), section 4.1.12 (monitor_cond) and 4.1.14 (update2).
        """
        request = {_TABLE: [{"columns": ["host", "kind", "text", "answer"], "where": self._mine()}]}
        initial = self._connection.call("monitor_cond", [REPORTS, "questions", request])
        yield from self._fresh(initial)
        while not stopping.is_set():
            notices = self._connection.notices(_IDLE)
            if not notices:
                self._connection.call("echo", [])
            for notice in notices:
                if notice["method"] == "update2":
                    yield from self._fresh(notice["params"][1])

    def answer(self, question: Question, text: str) -> None:
        """Answer; nobody may be waiting any more."""
        try:
            self._connection.write_quickly(REPORTS, [update(_TABLE, question.uid, {"answer": text})])
        except Lost:
            pass  # the asker's patience ends, and it says so

    def close(self) -> None:
        """End a session that waits."""
        self._connection.close()

    def _mine(self) -> list[Any]:
        return [["host", "==", self._host]]

    def _fresh(self, updates: Any) -> Iterator[Question]:
        for uuid, change in sorted(updates.get(_TABLE, {}).items()):
            row: rows.Row | None = change.get("initial") or change.get("insert")
            # A column that has its default value is left out of an insertion.
            if row is not None and row.get("host") == self._host and not row.get("answer"):
                text = str(row.get("text", ""))[:LONGEST_QUESTION]
                yield Question(Uid(uuid), self._host, str(row.get("kind", ""))[:64], text)

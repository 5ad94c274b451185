"""Questions to hosts, over a real store: asked, answered, given up, swept."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.store import questions
from controller.store.questions import MOST, Question, Questions, ask
from controller.store.records import REPORTS
from controller.store.schema import intent_schema
from controller.store.schema_of_reports import reports_schema
from controller.store.server import Server, convert
from controller.store.statements import insert, select
from controller.store.wire import Connection
from controller.store.writer import Store, clock, random_uid
from model.errors import Invalid, RingfenceError, Unavailable
from model.ids import HostName
from tests.unit.store.house import poll

H1, H2 = HostName("h1"), HostName("h2")


@contextmanager
def agent(remote: str, host: HostName, reply: Callable[[Question], str]) -> Iterator[list[Question]]:
    """Answers questions to `host` till the end."""
    heard, stopping = list[Question](), threading.Event()
    connection = Connection(remote)
    following = Questions(connection, host)

    def run() -> None:
        try:
            for question in following.session(stopping):
                heard.append(question)
                following.answer(question, reply(question))
        except Unavailable:
            assert stopping.is_set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        stopping.set()
        following.close()
        thread.join(20)
        assert not thread.is_alive()


def left(remote: str) -> int:
    connection = Connection(remote)
    (found,) = connection.read(REPORTS, [select("Question", [], ("_uuid",))])
    connection.close()
    return len(found["rows"])


def test_a_question_reaches_its_host_alone(server: Server, store: Store) -> None:
    with (
        agent(server.remote, H1, lambda q: f"one {q.text}") as one,
        agent(server.remote, H2, lambda q: f"two {q.text}") as two,
    ):
        assert store.ask(H2, "flows", "a", 20.0) == "two a"
        assert store.ask(H1, "trace", "b", 20.0) == "one b"
    assert [(q.host, q.kind, q.text) for q in one] == [(H1, "trace", "b")]
    assert [(q.host, q.kind, q.text) for q in two] == [(H2, "flows", "a")]
    assert left(server.remote) == 0


def test_one_that_was_asked_before_the_agent_came_is_answered(server: Server, store: Store) -> None:
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(store.ask(H1, "trace", "early", 20.0)))
    asking.start()
    connection = Connection(server.remote)
    while not left(server.remote):
        pass
    with agent(server.remote, H1, lambda q: q.text.upper()):
        asking.join(20)
    connection.close()
    assert answers == ["EARLY"]


def test_a_dead_host_is_named(server: Server, store: Store) -> None:
    with pytest.raises(Unavailable) as caught:
        store.ask(H1, "trace", "x", 0.05)
    (fault,) = caught.value.faults
    assert (fault.object, fault.rule) == ("Hypervisor h1", "host-silent")
    assert "agent on h1" in fault.remedy
    assert left(server.remote) == 0, "nothing stays behind"


def fill(remote: str, asked: int) -> None:
    connection = Connection(remote)
    row = {"host": "h9", "kind": "trace", "text": "", "asked": asked, "answer": ""}
    connection.write_quickly(REPORTS, [insert("Question", random_uid(), row) for _ in range(MOST)])
    connection.close()


def test_too_many_are_refused_and_old_ones_swept(server: Server, store: Store) -> None:
    fill(server.remote, clock())
    with pytest.raises(Unavailable) as caught:
        store.ask(H1, "trace", "x", 20.0)
    assert caught.value.faults[0].rule == "questions-many"
    assert left(server.remote) == MOST
    later = Connection(server.remote)
    question = Question(random_uid(), H1, "trace", "x")
    with agent(server.remote, H1, lambda _: "yes"):
        assert ask(later, question, clock() + questions.LIFE_MS + 1, 20.0) == "yes"
    later.close()
    assert left(server.remote) == 0


def test_an_endless_text_is_cut(server: Server, store: Store) -> None:
    with agent(server.remote, H1, lambda _: "z" * (questions.LONGEST_ANSWER + 9)) as heard:
        answer = store.ask(H1, "trace", "y" * (questions.LONGEST_QUESTION + 9), 20.0)
    assert len(answer) == questions.LONGEST_ANSWER
    assert len(heard[0].text) == questions.LONGEST_QUESTION


@contextmanager
def older(directory: Path) -> Iterator[str]:
    """A running store whose database of reports knows no questions yet."""
    command = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server"]
    reports = reports_schema() | {"version": "1.0.0"}
    reports["tables"].pop("Question")
    for name, schema in (("intent", intent_schema()), ("reports", reports)):
        text, file = directory / f"{name}.ovsschema", directory / f"{name}.db"
        text.write_text(json.dumps(schema))
        subprocess.run(["ovsdb-tool", "create", str(file), str(text)], timeout=30, check=True)
        command.append(str(file))
    path = directory / "older.sock"
    command += [
        f"--remote=punix:{path}",
        f"--unixctl={directory / 'older.ctl'}",
        "--no-chdir",
        "-vconsole:off",
    ]
    process = subprocess.Popen(command)
    try:
        poll(path.exists)
        yield f"unix:{path}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_running_store_learns_of_questions(directory: Path) -> None:
    with older(directory) as remote:
        store = Store(remote)
        store.put_report(H1, "{}", 7)
        with pytest.raises(RingfenceError):
            store.ask(H1, "trace", "x", 0.1)
        convert(remote)
        convert(remote)  # nothing left to do
        with agent(remote, H1, lambda _: "yes"):
            assert store.ask(H1, "trace", "x", 20.0) == "yes"
        assert [report.host for report in store.reports()] == [H1]
        store.close()


def test_an_agent_before_its_store_is_upgraded_is_refused_in_words(directory: Path) -> None:
    with older(directory) as remote:
        connection = Connection(remote)
        with pytest.raises(Invalid, match="Question"):
            next(Questions(connection, H1).session(threading.Event()))
        connection.close()

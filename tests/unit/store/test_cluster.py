"""A RAFT cluster of three is only another remote: the writer finds the leader, and follows when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.store.schema import intent_schema
from controller.store.schema_of_reports import reports_schema
from controller.store.server import convert
from controller.store.wire import Connection, Seat
from controller.store.writer import Store
from model.change import Part
from model.errors import RingfenceError, Unavailable
from tests.unit.store.house import HOSTS, OLD, apply, base, poll, port, serving, uid_of, watching

MEMBERS = (1, 2, 3)
LOOPBACK = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}.1"
"""Nobody else's: a port that was found free there still is when a server comes to take it."""


class Raft:
    """Three ovsdb-servers on loopback, both databases clustered."""

    def __init__(self, directory: Path, schema_of_intent: dict[str, Any]) -> None:
        self._directory = directory
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._patience = 0.5
        ports = free_ports(2 * len(MEMBERS))
        for order, schema in enumerate((schema_of_intent, reports_schema())):
            own = {m: f"tcp:{LOOPBACK}:{ports[order * 3 + m - 1]}" for m in MEMBERS}
            text = directory / f"{schema['name']}.ovsschema"
            text.write_text(json.dumps(schema))
            for member in MEMBERS:
                (directory / str(member)).mkdir(exist_ok=True)
                file = str(directory / str(member) / schema["name"])
                if member == 1:
                    tool("create-cluster", file, str(text), own[1])
                else:
                    tool("join-cluster", file, schema["name"], own[member], own[1])

    def start(self) -> None:
        for member in MEMBERS:
            place = self._directory / str(member)
            files = [str(place / schema["name"]) for schema in (intent_schema(), reports_schema())]
            command = [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "ovsdb-server",
                *files,
                f"--remote=punix:{place}/sock",
            ]
            command += [f"--unixctl={place}/ctl", f"--log-file={place}/log", "--no-chdir", "-vconsole:off"]
            self.processes[member] = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(20)

    def remote(self, *members: int) -> str:
        return ",".join(f"unix:{self._directory}/{m}/sock" for m in members or MEMBERS)

    def leader(self) -> int:
        found = next((m for m in MEMBERS if self._has(m, Seat.LEADER)), 0)
        if not found:  # there is none, or this machine is too busy to say so in that time
            self._patience = min(self._patience * 1.5, 5.0)
        return found

    def is_whole(self) -> bool:
        """Every member has joined: before that, the death of one may be the death of the majority."""
        return self.leader() != 0 and all(self._has(m, Seat.ANY) for m in MEMBERS)  # of each database

    def _has(self, member: int, seat: Seat) -> bool:
        connection = Connection(self.remote(member), seat, accept=lambda version: None)
        try:
            for database, table in (("Ringfence", "Tenant"), ("Ringfence_Reports", "Host_Report")):
                question = {"op": "select", "table": table, "where": []}
                connection.call("transact", [database, question], timeout=self._patience)
        except RingfenceError:
            return False
        finally:
            connection.close()
        return True


def tool(*arguments: str) -> None:
    subprocess.run(["ovsdb-tool", *arguments], capture_output=True, timeout=30, check=True)


def free_ports(number: int) -> list[int]:
    held = [socket.create_server((LOOPBACK, 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in held]
    for each in held:
        each.close()
    return ports


@pytest.fixture
def raft(directory: Path) -> Iterator[Raft]:
    with running(Raft(directory, intent_schema())) as made:
        yield made


@contextlib.contextmanager
def running(made: Raft) -> Iterator[Raft]:
    made.start()
    try:
        poll(made.is_whole)
        yield made
    finally:
        made.stop()


def test_writes_go_to_the_leader_and_survive_its_death(raft: Raft) -> None:
    store = Store(raft.remote())
    store.ensure_cluster(65000, ())
    apply(store, *base(), port("a", "h1"))
    store.put_report(HOSTS[0], "{}", 1)
    first = raft.leader()
    follower = next(m for m in MEMBERS if m != first)
    with watching(raft.remote(follower), "h1") as seen:
        assert seen.names(Part.PORT) == {"a"}
        os.kill(raft.processes[first].pid, signal.SIGKILL)
        raft.processes[first].wait(20)
        poll(lambda: raft.leader() not in (0, first))
        apply(store, port("b", "h1"))
        store.bind(uid_of(store, "b"), HOSTS[0])
        seen.wait(lambda: seen.names(Part.PORT) == {"a", "b"} and len(seen.part(Part.BINDING)) == 1)
    assert {name for _, name in store.read_all().ports} == {"a", "b"}
    assert [r.host for r in store.reports()] == ["h1"]
    store.close()


def test_a_cluster_of_an_older_version_is_converted_where_it_runs(directory: Path) -> None:
    with running(Raft(directory, json.loads(OLD.read_text()))) as raft:
        row = {"name": "acme", "key": 7}
        connection = Connection(raft.remote(), accept=lambda version: None)
        connection.commit("Ringfence", [{"op": "insert", "table": "Tenant", "row": row}])
        connection.close()
        early = Connection(raft.remote())
        with pytest.raises(Unavailable) as caught:
            early.call("list_dbs", [], timeout=0.5)
        early.close()
        assert caught.value.faults[0].rule == "store-unavailable"
        convert(raft.remote())
        store = Store(raft.remote())
        assert store.contents().tenants["acme"].value.key == 7
        convert(raft.remote())  # nothing left to do
        store.close()


def test_a_database_that_is_still_joining_is_not_there_yet(directory: Path) -> None:
    """Its member will be there: nothing is wrong with what was asked."""
    ours, theirs = (f"tcp:{LOOPBACK}:{port}" for port in free_ports(2))  # nobody answers at the second
    tool("join-cluster", str(directory / "joining"), "Ringfence_Reports", ours, theirs)
    with serving(directory, intent_schema(), directory / "joining") as remote:
        connection = Connection(remote)
        operation = {"op": "select", "table": "Host_Report", "where": []}
        assert connection.call("transact", ["Ringfence", {**operation, "table": "Tenant"}]) == [{"rows": []}]
        with pytest.raises(Unavailable) as caught:
            connection.call("transact", ["Ringfence_Reports", operation])
        assert caught.value.faults[0].rule == "store-unavailable"
        connection.close()


def test_a_follower_alone_will_do_for_reading_only(raft: Raft) -> None:
    follower = next(m for m in MEMBERS if m != raft.leader())
    reading = Connection(raft.remote(follower), Seat.ANY)
    # a member that has just joined may drop its clients once more: a read is repeated, as everywhere
    [answer] = reading.read("Ringfence", [{"op": "select", "table": "Tenant", "where": []}])
    assert answer["rows"] == []
    reading.close()
    writing = Connection(raft.remote(follower))
    with pytest.raises(RingfenceError):
        writing.call("list_dbs", [], timeout=0.3)
    writing.close()

"""`ringfenced fabric` as a process of its own, without partitions: it moves a gang on, ends in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.store.server import Server
from controller.store.writer import Store, clock
from model.bearing import FabricWord, parse_fabric
from model.fabric import FabricKind
from model.gang import GangState
from model.ids import HostName
from tests.fakes.bearers import Bearer
from tests.unit.store.house import apply, poll
from tests.unit.store.test_gangs import hardware, reserve, the

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "controller.daemon.main", "fabric")


@pytest.fixture
def process(server: Server) -> Iterator[subprocess.Popen[str]]:
    words = [*COMMAND, "--fabric", "roce", "--driver", "none", "--store", server.remote]
    made = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    yield made
    made.kill()
    made.wait(20)


def word(store: Store) -> FabricWord | None:
    return next((parse_fabric(w.text) for w in store.fabric_words() if w.name == "roce"), None)


def test_it_moves_a_gang_on_and_ends(store: Store, process: subprocess.Popen[str]) -> None:
    apply(store, *hardware(nodes=2, kind=FabricKind.ROCE))
    poll(lambda: word(store) is not None)
    reserve(store, fabric="roce", count=2, now=clock())
    bearers = [Bearer(HostName(f"hv{n}")) for n in (1, 2)]

    def active() -> bool:
        for bearer in bearers:
            bearer.turn(store, store.contents(), clock())
        return the(store).progress.state is GangState.ACTIVE

    poll(active)
    assert all(up for bearer in bearers for _, up in bearer.devices.values())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    last = word(store)
    assert last is not None and (last.owner, last.driver) == ("", "none")


def test_of_two_on_one_host_the_second_one_ends(tmp_path: Path, server: Server) -> None:
    conf, file = tmp_path / "opensm.conf", tmp_path / "partitions.conf"
    words = [
        *COMMAND,
        "--fabric",
        "ib",
        "--driver",
        "opensm",
        "--store",
        server.remote,
        "--partitions",
        str(file),
    ]
    words += ["--port", "0x0002c90300000001", "--conf", str(conf), "--open-settings", "alarm"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(words, cwd=ROOT, env=environment)
    try:
        poll(file.with_name("partitions.conf.lock").exists)
        end = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert end.returncode == 1
        assert "another process drives this fabric" in end.stderr
        assert first.poll() is None
    finally:
        first.terminate()
        assert first.wait(30) == 0


def test_what_it_cannot_begin_with(tmp_path: Path, server: Server) -> None:
    base = (*COMMAND, "--fabric", "ib", "--store", server.remote, "--driver", "opensm")
    conf = tmp_path / "opensm.conf"

    def refused(*more: str) -> str:
        done = subprocess.run(
            [*base, *more],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done
        return done.stderr

    assert "driver opensm needs --port" in refused()
    port = ("--port", "0x0002c90300000001", "--conf", str(conf))
    assert "can't be read" in refused(*port)
    conf.write_text("m_key 0x1\n")
    said = refused(*port)
    assert "sm_key is not safe" in said and ": m_key is not safe" not in said

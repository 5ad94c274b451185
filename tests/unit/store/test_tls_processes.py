"""Processes over TLS: the store, and an API, a fabric and an agent that reach it with a certificate."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from controller.cli.client import Api, Refused, Unreachable
from controller.daemon import api, store
from controller.store.writer import Store
from controller.tls.papers import Papers
from model.errors import Invalid
from tests.unit.store.certified import LOOPBACK, WAIT, House, reach, shown
from tests.unit.store.house import apply, base

SWITCH = "/usr/share/openvswitch/vswitch.ovsschema"
_DEADLINE = 60.0


@contextmanager
def started(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(words, stderr=out, stdout=out, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT)


def ringfenced(*words: object) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "controller.daemon.main", *map(str, words)]


def papers(flag: str, files: Papers) -> list[str]:
    named = zip(("cert", "key", "ca"), (files.certificate, files.key, files.authorities), strict=True)
    return [word for name, path in named for word in (f"{flag}-{name}", str(path))]


def until(true: Callable[[], bool]) -> None:
    """Processes take their time to start on a busy machine."""
    deadline = time.monotonic() + _DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_store_refuses_what_is_in_clear_and_shows_renewed_certificates(directory: Path) -> None:
    house = House(directory)
    words = ["--dir", str(directory / "db"), "--remote", f"unix:{directory}/s.sock", "--also"]
    with pytest.raises(Invalid, match="neither TLS nor a credential") as caught:
        store.run([*words, f"ptcp:{house.port}"])
    assert caught.value.faults[0].remedy.startswith(f"Write pssl:{house.port} with --also-cert")
    with pytest.raises(SystemExit):
        store.run([*words, f"pssl:{house.port}", *papers("--also", house.papers)[:4]])
    words += [f"pssl:{house.port}:{LOOPBACK}", *papers("--also", house.papers)]
    house.papers.key.chmod(0o644)
    with pytest.raises(Invalid, match=str(house.papers.key)):
        store.run(words)
    house.papers.key.chmod(0o600)
    assert not list(directory.glob("db/*"))
    with started(directory / "log", *ringfenced("store", *words)):
        until(lambda: (directory / "s.sock").exists())
        reach(house, house.authority.host("hv1"))
        before = shown(house)
        house.authority.server(LOOPBACK)
        until(lambda: shown(house) != before)
    assert not list(directory.glob("store-tls-*"))


@pytest.fixture
def house(directory: Path) -> Iterator[House]:
    made = House(directory)
    made.server.start()
    yield made
    made.server.stop()


def test_an_api_works_over_tls_and_names_a_key_that_it_will_not_use(house: House) -> None:
    folder, files = house.directory, house.authority.host("api-host")
    words = ["--store", house.remote, *papers("--store", files), "--listen", f"unix:{folder}/api.sock"]
    words += ["--ledger", f"sqlite:///{folder}/ledger.db", "--asn", "64999"]
    files.key.chmod(0o640)
    with pytest.raises(Invalid, match=str(files.key)):
        api.run(words)
    files.key.chmod(0o600)

    def asn() -> int:
        try:
            return int(Api(f"unix:{folder}/api.sock").get("/v1/status")["cluster"]["asn"])
        except (Unreachable, Refused):
            return 0

    with started(folder / "log", *ringfenced("api", *words)):
        until(lambda: asn() == 64999)
    local = Store(house.server.remote)
    found = local.read_all().cluster
    assert found is not None and found.asn == 64999
    local.close()


def test_an_agent_and_a_fabric_work_over_tls(house: House) -> None:
    folder, local = house.directory, Store(house.server.remote)
    local.ensure_cluster(65000, ())
    apply(local, *base())
    (folder / "ovs").mkdir()
    conf = folder / "conf.db"
    row = {"external_ids": ["map", [["system-id", "h1"]]]}
    insert = json.dumps(["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": row}])
    for tool in (["create", str(conf), SWITCH], ["transact", str(conf), insert]):
        subprocess.run(["ovsdb-tool", *tool], check=True, timeout=WAIT, stdout=subprocess.DEVNULL)
    switch = ("ovsdb-server", str(conf), f"--remote=punix:{folder}/ovs/db.sock", "--no-chdir")
    switch += (f"--unixctl={folder}/ovs/ctl", "-vconsole:off")
    agent = ("agent", "--ovs-rundir", folder / "ovs", "--datapath", "netdev", "--speaker", "none")
    agent += ("--state", folder / "state", "--berths", folder / "berths.json", "--api", f"unix:{folder}/none")
    to = ("--store", house.remote)
    with ExitStack() as stack:
        log = folder / "log"
        stack.enter_context(started(folder / "switch-log", *switch))
        stack.enter_context(
            started(log, *ringfenced(*agent, *to, *papers("--store", house.authority.host("h1"))))
        )
        fabric = ("fabric", "--fabric", "west", "--driver", "none")
        files = papers("--store", house.authority.host("conductor"))
        stack.enter_context(started(log, *ringfenced(*fabric, *to, *files)))
        until(lambda: {report.host for report in local.reports()} == {"h1"})
        until(lambda: bool(local.fabric_words()))
        assert "store not reached" not in log.read_text()
    local.close()

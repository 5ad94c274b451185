"""Labs leave nothing behind: processes, namespaces, links, mounts, directories; however they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.singular import RUN
from topologies import directory
from topologies.deadline import until
from topologies.errors import LabError
from topologies.remote import Remote
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
UP_TIMEOUT = 120
LAB_LINK = re.compile(r"(up0|p\d+|tap.*|br-phy|br-int|br0|ovs-netdev|spine\d|leaf\d)(@.*)?$")
"""Names that labs give to links. Others come and go on a machine while a test runs."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What a lab of this base directory could leave on the machine."""

    processes: frozenset[str]
    links: frozenset[str]
    mounts: frozenset[str]
    exists: bool


@pytest.fixture
def base(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A base directory of this test alone, so that labs of others don't count."""
    place = Path(f"/run/rf-test-{RUN}-{zlib.crc32(request.node.name.encode()):08x}")
    monkeypatch.setenv(directory.BASE_VARIABLE, str(place))
    yield place
    for name, lives in directory.names():
        if lives:
            Remote(name).down()
        directory.clear(name)


def lab(*arguments: str, timeout: float = UP_TIMEOUT) -> subprocess.CompletedProcess[str]:
    """Run `python -m topologies`."""
    words = [sys.executable, "-m", "topologies", *arguments]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def traces(base: Path) -> Traces:
    """Processes that name the base or hold its network namespaces' daemons, links of the root namespace."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                variables = (entry / "environ").read_bytes().decode(errors="replace")
                zombie = ") Z " in (entry / "stat").read_text()
            except OSError:
                continue
            if (
                (str(base) in command or str(base) in variables)
                and not zombie
                and entry.name != str(os.getpid())
            ):
                found.add(f"{entry.name} {command}")
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    return Traces(
        frozenset(found),
        frozenset(name for line in links.splitlines() if LAB_LINK.match(name := line.split()[0])),
        frozenset(line for line in mounts.splitlines() if str(base) in line),
        base.exists(),
    )


def await_gone(base: Path, before: Traces) -> None:
    """Wait until no process of the base's labs is left; the failure names those that are."""
    try:
        until("processes are gone", lambda: traces(base).processes <= before.processes, 20)
    except LabError:
        assert traces(base).processes <= before.processes


def test_up_status_exec_down_leaves_nothing(base: Path) -> None:
    before = traces(base)
    up = lab("up", "two-hypervisors", "--bare")
    assert up.returncode == 0, up.stderr
    during = traces(base)
    assert len(during.processes - before.processes) >= 6
    assert during.links == before.links, "a lab's links are in its own namespaces"

    status = lab("status")
    assert "hv1" in status.stdout and "172.16.0.1" in status.stdout
    done = lab("exec", "hv1", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    late = lab("exec", "--timeout", "0.5", "hv1", "sleep", "30")
    assert late.returncode == 124
    assert "no node nobody" in lab("exec", "nobody", "true").stderr
    assert "is up already" in lab("up", "two-hypervisors", "--bare").stderr

    down = lab("down")
    assert down.returncode == 0, down.stderr
    until("nothing is left", lambda: traces(base) == before, 20)


def test_killed_holder_takes_everything_along(base: Path) -> None:
    before = traces(base)
    assert lab("up", "two-hypervisors", "--bare").returncode == 0
    status = Remote("two-hypervisors").status()
    node = next(n for n in status["nodes"] if n["name"] == "hv1")
    assert os.path.exists(f"/proc/{node['pid']}")

    os.kill(status["holder"], signal.SIGKILL)
    await_gone(base, before)
    after = traces(base)
    assert (after.links, after.mounts) == (before.links, before.mounts)
    assert directory.names() == (("two-hypervisors", False),)
    assert "no lab two-hypervisors is up" in lab("status").stderr

    assert lab("down").returncode == 0
    assert traces(base) == before


def test_next_up_clears_what_a_killed_holder_left(base: Path) -> None:
    assert lab("up", "two-hypervisors", "--bare").returncode == 0
    os.kill(Remote("two-hypervisors").status()["holder"], signal.SIGKILL)
    until("the lock is free", lambda: not dict(directory.names())["two-hypervisors"], 20)
    assert lab("up", "two-hypervisors", "--bare").returncode == 0
    assert lab("exec", "hv1", "ping", "-c1", "-W2", "172.16.0.2").returncode == 0


def test_two_labs_do_not_clash(base: Path) -> None:
    assert lab("up", "two-hypervisors", "--bare", "--as", "one").returncode == 0
    assert lab("up", "leaf-spine", "--bare", "--as", "two", "--hypervisors", "2").returncode == 0
    assert "choose with --lab" in lab("status").stderr
    nodes = {name: Remote(name).nodes() for name in ("one", "two")}
    assert ping(nodes["one"]["hv1"], "172.16.0.2").reached
    assert ping(nodes["two"]["hv1"], "172.16.2.1").reached
    assert not ping(nodes["one"]["hv1"], "172.16.2.1", 1, wait=0.3).reached
    assert lab("down", "--lab", "one").returncode == 0
    assert ping(nodes["two"]["hv1"], "172.16.2.1").reached


def test_caller_that_hangs_up_ends_its_command(base: Path) -> None:
    assert lab("up", "two-hypervisors", "--bare").returncode == 0
    words = [sys.executable, "-m", "topologies", "exec", "hv1", "sleep", "7321"]
    caller = subprocess.Popen(words, cwd=ROOT)
    until("the command runs", lambda: _runs("sleep\0007321"), 20)
    caller.kill()
    caller.wait(60)
    until("the command is gone", lambda: not _runs("sleep\0007321"), 20)


def _runs(command: str) -> bool:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes().rstrip(b"\0").endswith(command.encode()):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if words[0].endswith(b"sleep"):
                        return True
            except OSError:
                continue
    return False


def test_killed_test_run_leaves_nothing(base: Path) -> None:
    """A lab inside a test process: SIGKILL of that process ends its daemons, also those that changed user."""
    before = traces(base)
    program = (
        "from topologies.fabrics import Plan, two_hypervisors\n"
        "lab = two_hypervisors('inner', Plan(1, 1))\n"
        "print('built', flush=True)\nimport signal; signal.pause()\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "built\n"
        assert any("bgpd" in p for p in traces(base).processes)
        runner.kill()
    await_gone(base, before)
    directory.clear("inner")
    assert traces(base) == before


def test_down_ends_a_stuck_holder(base: Path) -> None:
    assert lab("up", "two-hypervisors", "--bare").returncode == 0
    before = traces(base).processes
    assert before
    holder = Remote("two-hypervisors").status()["holder"]
    (directory.place("two-hypervisors") / "lab.sock").unlink()
    down = lab("down")
    assert down.returncode == 0, down.stderr
    assert not os.path.exists(f"/proc/{holder}") or _zombie(holder)
    until("nothing is left", lambda: not traces(base).processes, 20)
    assert not base.exists()


def _zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_bad_names_and_places(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there are: two-hypervisors" in lab("up", "no-such-thing").stderr
    assert "is no lab name" in lab("up", "two-hypervisors", "--as", "../etc").stderr
    with monkeypatch.context() as patch:
        patch.setenv(directory.BASE_VARIABLE, "relative/path")
        with pytest.raises(LabError, match="absolute"):
            directory.names()


def test_without_root_a_sentence_and_a_code(base: Path, request: pytest.FixtureRequest) -> None:
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
             sys.executable, "-m", "topologies", "up", "two-hypervisors"]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=UP_TIMEOUT)
    assert done.returncode == 4, done.stderr
    assert "labs need root" in done.stderr


def test_without_open_vswitch_a_sentence_and_a_code(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = lab("up", "two-hypervisors")
    assert done.returncode == 4, done.stderr
    assert "ovs-vswitchd" in done.stderr and "make setup" in done.stderr

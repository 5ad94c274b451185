"""`ringfence egress top` and `watch`, as typed, against a real API on a socket; watch on a real terminal."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.ledger import sqlite_url
from accounting.ledger.tables import HOUR
from accounting.records import Run
from controller.api.usage_live import usage_live
from controller.cli import main
from controller.cli.commands import OK, REFUSED, UNREACHABLE, USAGE
from controller.cli.egress_rates import age, bits
from model.errors import Fault, Unavailable
from model.ids import HostName
from tests.meta.tree import ROOT
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.test_upload import Site

NOW = 1_793_500_000_000
SILENT = NOW - 14 * 60_000


class Ears:
    """What hosts say, and the clock."""

    def __init__(self) -> None:
        self.words: dict[str, int | None] | None = {
            "hv1": NOW - 2_000,
            "hv2": None,
            "hv3": NOW - 3_000,
            "hv4": None,
        }

    def said(self) -> dict[str, int | None] | None:
        return self.words

    def now(self) -> int:
        return NOW


@pytest.fixture(scope="module")
def ears() -> Ears:
    return Ears()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, ears: Ears) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("live")
    made = Site(folder, sqlite_url(folder / "ledger.db"))
    made.up(usage_live(made.ledger, ears.said, ears.now))
    second, third = (Run(HostName(name), "boot", "start") for name in ("hv2", "hv3"))
    made.ledger.post(
        [
            interval(1, from_ms=NOW - 12_000, to_ms=NOW - 2_000, packets=1_000, bytes=1_250_000),
            interval(2, from_ms=NOW - 12_000, to_ms=NOW - 2_000, packets=100, bytes=125_000,
                     series=(8, 0, 1), owner=owner_of(8, "red"), class_name="same-network"),
            # silent for 14 minutes: what it sends is not known
            interval(3, run=second, from_ms=SILENT - 10_000, to_ms=SILENT, packets=10, bytes=12_500,
                     series=(9, 1, 1), owner=owner_of(9)),
            # quiet, and says so
            interval(4, run=third, from_ms=NOW - HOUR, to_ms=NOW - HOUR + 5, owner=owner_of(10)),
            gap(5, from_ms=NOW - 20_000, to_ms=NOW - 10_000, bound=777),
        ]
    )  # fmt: skip
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()


def _run(site: Site, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = main.main(["--api", f"unix:{site.socket}", "egress", *words])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def test_top_names_what_it_does_not_know(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(site, capsys, "top", "--by", "port")
    assert code == OK
    assert out == (
        "Sent now of all tenants, 2026-11-01T02:26:40Z: rates of the last 10 s that each host told of\n"
        "TENANT  PORT  RATE         PACKETS/S  SHARE  AGE  NOT KNOWN\n"
        "blue    vm7   1.00 Mbit/s        100   91 %  2 s\n"
        "red     vm8    100 kbit/s         10    9 %  2 s\n"
        "blue    vm9             ?          ?      ?    ?  hv2 silent for 14 min; 10.0 kbit/s then\n"
        "total         1.10 Mbit/s        110  100 %       10.0 kbit/s when last heard of\n"
    )
    assert "silent: hv2, nothing known for 14 min; it sent 10.0 kbit/s then" in err
    assert "nothing was ever heard of: hv4" in err
    assert "gap: port vm7 on hv1, up to 2026-11-01T02:26:30Z: vswitchd-ended, at most 777 bytes" in err
    assert "hv3" not in err


def test_a_tenant_is_told_of_its_own_hosts_only(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = _run(site, capsys, "top", "--tenant", "red", "--by", "class")
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["same-network", "total"]
    assert err == ""
    _, out, err = _run(site, capsys, "top", "--tenant", "blue")
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["vm7", "vm9", "total"]
    assert "silent: hv2" in err


def test_json_has_the_exact_parts(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _run(site, capsys, "top", "--tenant", "blue", "-o", "json")
    found = json.loads(out)
    first, lost = found["lines"]
    assert first["now"] == {"bitsPerSecond": 1e6, "bytesPerSecond": 125e3, "packetsPerSecond": 100.0}
    assert first["parts"] == [
        {"host": "hv1", "standing": "fresh", "packets": 1_000, "bytes": 1_250_000,
         "fromMs": NOW - 12_000, "toMs": NOW - 2_000}
    ]  # fmt: skip
    assert (lost["now"], lost["ageMs"], lost["unknownHosts"]) == (None, None, ["hv2"])
    assert lost["last"]["bitsPerSecond"] == 1e4


def test_without_the_store_rates_are_shown_and_doubts_said(
    site: Site, ears: Ears, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears, "words", None)
    _, out, err = _run(site, capsys, "top")
    assert "The store does not answer" in err
    assert "silent: hv3, nothing known for 60 min" in err, "who is quiet can't be told from who is silent"
    assert "1.00 Mbit/s" in out


def test_watch_prints_a_line_a_refresh(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(site, capsys, "watch", "--count", "2", "--interval", "0.2")
    assert code == OK
    assert out == 2 * (
        "2026-11-01T02:26:40Z  total 1.10 Mbit/s 110 packets/s  blue 1.00 Mbit/s + ?  red 100 kbit/s"
        "  silent hv2 14 min\n"
    )


def test_watch_prints_an_object_a_line(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(site, capsys, "watch", "--count", "3", "--interval", "0.2", "-o", "json")
    assert code == OK
    assert [json.loads(line)["total"]["packetsPerSecond"] for line in out.splitlines()] == [110.0] * 3


def test_watch_goes_on_while_the_api_is_away(
    site: Site, ears: Ears, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def now() -> int:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise Unavailable(Fault("egress ledger", "ledger-unreadable", "it is locked", "wait"))
        return NOW

    site.down()
    site.up(usage_live(site.ledger, ears.said, now))
    code, out, err = _run(site, capsys, "watch", "--count", "3", "--interval", "0.2")
    assert (code, len(out.splitlines())) == (OK, 2)
    assert "no answer: it is locked" in err


@pytest.mark.parametrize(
    "words",
    [
        ["top", "--by", "hour"],
        ["top", "--by", "port,colour"],
        ["top", "--over", "2h"],
        ["top", "--over", "0s"],
        ["top", "--over", "1d"],
        ["top", "-n", "0"],
        ["top", "-o", "csv"],
        ["watch", "--interval", "0.1"],
        ["watch", "--interval", "nan"],
        ["watch", "--count", "0"],
        ["watch", "-o", "yaml"],
    ],
)
def test_wrong_use_says_so(site: Site, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = _run(site, capsys, *words)
    assert (code, out) == (USAGE, "")
    assert err.startswith("usage: ")


def test_what_the_api_refuses(site: Site) -> None:
    for query, rule in (("by=day", "unknown-grouping"), ("by=port,port", "grouping-twice")):
        status, found = site.ask("GET", f"/v1/usage/live?{query}")
        assert (status, found["faults"][0]["rule"]) == (422, rule)
    assert site.ask("GET", "/v1/usage/live?over=3601")[0] == 422


def test_a_name_that_two_tenants_bore_and_one_that_nobody_did(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    owners = (type(owner_of(1))(uid, "vm", f"uid-{uid}", "twin", "n", "net") for uid in "xy")
    site.ledger.post([interval(50 + n, owner=owner, to_ms=5_000) for n, owner in enumerate(owners)])
    assert _run(site, capsys, "watch", "--tenant", "twin")[0] == REFUSED
    code, _, err = _run(site, capsys, "top", "--tenant", "nobody")
    assert code == OK
    assert "holds nothing of tenant 'nobody'" in err


def test_an_api_that_is_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for action in ("top", "watch"):
        assert main.main(["--api", f"unix:{tmp_path}/none.sock", "egress", action]) == UNREACHABLE
        assert "none.sock" in capsys.readouterr().err


class Terminal:
    """`ringfence egress watch` on a terminal of its own."""

    def __init__(self, site: Site, *words: str, rows: int = 24, columns: int = 200) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.ours)
        # What a shell runs in the background ignores Ctrl-C, and so would all that it starts.
        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from controller.cli.main import main; sys.exit(main(sys.argv[1:]))"
        )
        # these would beat the size that the terminal has
        environment = {name: v for name, v in os.environ.items() if name not in ("LINES", "COLUMNS")}
        environment["TERM"] = "xterm"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--api", f"unix:{site.socket}", "egress", "watch", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen, self.closed = "", False
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def await_text(self, text: str) -> None:
        """Until it has been printed, in what is new."""
        end = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            self._read(0.1)

    def press(self, key: str) -> None:
        os.write(self.ours, key.encode())

    def ended(self) -> int:
        """The exit code. The terminal must be as it was."""
        end = time.monotonic() + 60
        while not self.closed:  # what it printed last may come after its end
            assert time.monotonic() < end, self.seen
            self._read(0.05)
        self.process.wait(30)
        assert self.seen.rstrip().endswith("\x1b[?25h\x1b[?1049l"), "the cursor and the first screen are back"
        assert termios.tcgetattr(self.ours)[3] == self.before[3]
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def _read(self, patience: float) -> None:
        if not select.select([self.ours], [], [], patience)[0]:
            return
        try:
            data = os.read(self.ours, 65_536)
        except OSError:  # the other end is closed, and all that it wrote has been read
            data = b""
        self.seen += self.decoder.decode(data)  # what is read may end in the middle of a character
        self.closed = not data


@pytest.mark.parametrize("end", ["q", "\x04", signal.SIGINT, signal.SIGTERM])
def test_watch_on_a_terminal_ends_as_it_began(site: Site, end: str | signal.Signals) -> None:
    terminal = Terminal(site, "--by", "port", "--interval", "30")
    try:
        terminal.await_text("q ends")
        assert "vm7   1.00 Mbit/s" in terminal.seen
        assert "silent: hv2" in terminal.seen
        terminal.press("x")  # any other key ends nothing
        if isinstance(end, str):
            terminal.press(end)
        else:
            terminal.process.send_signal(end)
        assert terminal.ended() == OK
    finally:
        terminal.close()


def test_watch_fits_into_a_small_terminal_and_refreshes_in_place(site: Site) -> None:
    terminal = Terminal(site, "--by", "port", "--interval", "0.2", "--count", "3", rows=8, columns=40)
    try:
        assert terminal.ended() == OK
    finally:
        terminal.close()
    assert terminal.seen.count("\x1b[H") == 3
    screen = terminal.seen.split("\x1b[H")[1]
    lines = screen.partition("\x1b[J")[0].split("\x1b[K\r\n")
    assert len(lines) <= 8
    assert max(len(line.replace("\x1b[K", "")) for line in lines) <= 40
    assert any(line.startswith("total") for line in lines)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0 bit/s"), (0.4, "0 bit/s"), (999.4, "999 bit/s"), (999.5, "1.00 kbit/s"), (12_345, "12.3 kbit/s"),
     (99_950, "100 kbit/s"), (1e9, "1.00 Gbit/s"), (3.2e15, "3.20 Pbit/s"), (9e18, "9000 Pbit/s")],
)  # fmt: skip
def test_rates_for_eyes(rate: float, text: str) -> None:
    assert bits(rate) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_199_000, "120 min"), (7_200_000, "2 h"),
     (3 * 86_400_000, "3 d")],
)  # fmt: skip
def test_ages_for_eyes(milliseconds: int, text: str) -> None:
    assert age(milliseconds) == text

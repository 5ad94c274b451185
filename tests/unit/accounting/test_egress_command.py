"""`ringfence egress report`, as typed, against a real API on a unix socket."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounting.ledger import sqlite_url
from accounting.sizes import human
from controller.cli import main
from controller.cli.client import Wrong
from controller.cli.commands import OK, REFUSED, UNREACHABLE, USAGE
from controller.cli.egress_rows import HEADER
from controller.cli.egress_times import parse_time
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.test_upload import Site

NOW = datetime(2026, 11, 21, 12, 0, 0, 5_000, tzinfo=UTC)
NOV = 1_793_491_200_000
"""2026-11-01T00:00:00Z in milliseconds."""
MONTH = ["--from", "2026-11-01", "--to", "2026-12-01"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder, sqlite_url(folder / "ledger.db"))
    made.up()
    made.ledger.post(
        [
            interval(1, from_ms=NOV, to_ms=NOV + 1_000, packets=12_345, bytes=1_234_567_890),
            interval(2, from_ms=NOV, to_ms=NOV + 1_000, bytes=7, series=(8, 0, 1), owner=owner_of(8),
                     class_name="same-network"),
            gap(3, from_ms=NOV, to_ms=NOV + 5_000, bound=999),
        ]
    )  # fmt: skip
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()


def _run(site: Site, capsys, *words: str) -> tuple[int, str, str]:
    try:
        code = main.main(["--api", f"unix:{site.socket}", "egress", *words])
    except SystemExit as stop:
        code = stop.code
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_table_for_people(site: Site, capsys):
    code, out, err = _run(site, capsys, "report", "--tenant", "blue", *MONTH)
    assert code == OK
    assert out == (
        "Egress of tenant blue, 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z (UTC)\n"
        "PORT   PACKETS  BYTES          ABOUT    GAPS\n"
        "vm7     12,345  1,234,567,890  1.23 GB  1: at most 999 B more\n"
        "vm8         10              7      7 B  -\n"
        "total   12,355  1,234,567,897  1.23 GB  1: at most 999 B more\n"
    )
    assert "vswitchd-ended, at most 999 bytes" in err


def test_csv_has_a_fixed_header_and_exact_integers(site: Site, capsys):
    code, out, _ = _run(site, capsys, "report", "--tenant", "blue", *MONTH, "--by", "class", "-o", "csv")
    assert code == OK
    header, *rows = csv.reader(io.StringIO(out))
    assert tuple(header) == HEADER
    first = dict(zip(header, rows[0], strict=True))
    assert first == {
        "tenant": "blue",
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-12-01T00:00:00Z",
        "by": "class",
        "key": "1",
        "name": "everything-else",
        "packets": "12345",
        "bytes": "1234567890",
        "intervals": "1",
        "gaps": "1",
        "gap_bound_bytes": "999",
        "direction": "out",
        "zone": "UTC",
        "residual_bytes": "",
        **dict.fromkeys(("tenant_uid", "tenant_name", "network_uid", "network_name", "port_uid"), ""),
        **dict.fromkeys(("port_name", "host", "hour", "day"), ""),
        "class": "1",
        "class_name": "everything-else",
    }


def test_json_is_what_the_api_said(site: Site, capsys):
    code, out, _ = _run(site, capsys, "report", "--tenant", "blue", *MONTH, "-o", "json")
    found = json.loads(out)
    assert code == OK
    assert (found["bytes"], found["gapBound"]) == (1_234_567_897, 999)
    assert [r["name"] for r in found["rows"]] == ["vm7", "vm8"]


def test_relative_times_are_values_and_not_options(site: Site, capsys):
    code, out, _ = _run(site, capsys, "report", "--tenant", "blue", "--from", "-1h", "--to", "-5m")
    assert code == OK
    assert "total" in out


def test_a_tenant_that_is_unknown_is_said_to_be(site: Site, capsys):
    code, out, err = _run(site, capsys, "report", "--tenant", "bleu")
    assert code == OK
    assert "holds nothing of tenant 'bleu'" in err
    assert "total" in out


def test_a_name_that_two_tenants_bore_is_refused(site: Site, capsys):
    other = type(owner_of(1))("p", "vm", "uid-x", "twin", "n", "net")
    again = type(owner_of(1))("q", "vm", "uid-y", "twin", "n", "net")
    site.ledger.post([interval(50, owner=other), interval(51, owner=again)])
    code, _, err = _run(site, capsys, "report", "--tenant", "twin")
    assert code == REFUSED
    assert "uid-x" in err
    assert "uid-y" in err


@pytest.mark.parametrize(
    "words",
    [
        ["report", "--by", "port,port"],
        ["report", "--by", ""],
        ["report", "--direction", "up"],
        ["report", "-o", "xml"],
        ["report", "--tenant"],
        ["report", "--tenant", "blue", "--from", "yesterday-ish"],
        ["report", "--tenant", "blue", "--from", "2026-11-02", "--to", "2026-11-01"],
        ["report", "--tenant", "blue", "--from", "1969-01-01"],
        ["report", "--tenant", "blue", "--from", "-999999w"],
        ["report", "--tenant", "blue", "--by", "colour"],
        ["report", "--tenant", "blue", "-o", "xml"],
        ["rapport", "--tenant", "blue"],
        [],
    ],
)
def test_wrong_use_says_so(site: Site, capsys, words: list[str]):
    code, out, err = _run(site, capsys, *words)
    assert (code, out) == (USAGE, "")
    assert err.startswith("usage: ")


def test_help_explains_times(site: Site, capsys):
    code, out, _ = _run(site, capsys, "report", "--help")
    assert code == OK
    assert "-1h" in out
    assert "csv" in out


def test_an_api_that_is_away(tmp_path: Path, capsys):
    code = main.main(["--api", f"unix:{tmp_path}/none.sock", "egress", "report", "--tenant", "blue"])
    assert code == UNREACHABLE
    assert "none.sock" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("today", datetime(2026, 11, 21, tzinfo=UTC)),
        ("-1h", NOW - timedelta(hours=1)),
        ("90s", NOW - timedelta(seconds=90)),
        ("-2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-10-25T02:30:00+02:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_times(text: str, moment: datetime):
    assert parse_time(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "-", "1", "-1y", "tomorrow", "2026-13-01", "2026-11-31", "9" * 30 + "s"]
)
def test_texts_that_are_no_times(text: str):
    with pytest.raises(Wrong):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (9_995, "10.0 kB"), (99_950, "100 kB"),
     (999_499, "999 kB"), (999_500, "1.00 MB"), (123_456_789_012, "123 GB"), (2**63, "9.22 EB")],
)  # fmt: skip
def test_sizes_for_eyes(size: int, text: str):
    assert human(size) == text

"""Reports as Parquet and CSV for machines: read back by a reader that did not write them."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import duckdb
import pytest

from accounting.ledger import sqlite_url
from controller.cli import main
from controller.cli.commands import OK, USAGE
from controller.cli.egress_rows import HEADER
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.test_upload import Site
from tests.unit.accounting.test_zones import ms

BIG = (1 << 62) + 1
"""No floating-point number says it."""
MONTH = ["--from", "2026-11-01", "--to", "2026-12-01", "--zone", "Europe/Berlin"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder, sqlite_url(folder / "ledger.db"))
    made.up()
    late = ms("2026-11-02T23:30")
    made.ledger.post(
        [
            interval(1, from_ms=late, to_ms=late + 1_000, packets=3, bytes=BIG),
            interval(2, from_ms=late, to_ms=late + 1_000, owner=owner_of(8, "red"), series=(8, 0, 1),
                     class_name="sto/rage"),
            gap(3, from_ms=late, to_ms=late, bound=None),
        ]
    )  # fmt: skip
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()


def _run(site: Site, *words: str) -> int:
    try:
        return main.main(["--api", f"unix:{site.socket}", "egress", "report", *words])
    except SystemExit as stop:
        return int(stop.code or 0)


def _read(path: Path) -> tuple[dict[str, str], list[dict]]:
    """(type of each column, rows)."""
    with duckdb.connect() as base:
        described = base.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        types = {column[0]: str(column[1]) for column in described}
        # Times as numbers: what makes Python's times of them is a library more.
        words = [f'epoch_ms("{n}")' if "TIMESTAMP" in kind else f'"{n}"' for n, kind in types.items()]
        found = base.execute(f"SELECT {', '.join(words)} FROM read_parquet(?)", [str(path)])
        return types, [dict(zip(types, row, strict=True)) for row in found.fetchall()]


def test_parquet_has_exact_numbers_and_times_with_a_zone(site: Site, tmp_path: Path):
    path = tmp_path / "november.parquet"
    words = [*MONTH, "--by", "tenant,class,day,hour", "-o", "parquet", "--file", str(path)]
    assert _run(site, *words) == OK
    types, rows = _read(path)
    assert tuple(types) == HEADER
    assert {types[n] for n in ("packets", "bytes", "intervals", "gaps", "gap_bound_bytes")} == {"BIGINT"}
    assert {types[n] for n in ("from", "to", "hour")} == {"TIMESTAMP WITH TIME ZONE"}
    assert (types["day"], types["port_uid"]) == ("DATE", "VARCHAR")
    assert [
        (r["tenant_name"], r["class_name"], r["bytes"], r["gaps"], r["gap_bound_bytes"]) for r in rows
    ] == [
        ("blue", "everything-else", BIG, 1, None),
        ("red", "sto/rage", 1_000, 0, 0),
    ]
    # 00:30 of 3 November in Berlin is still the second in UTC.
    assert {r["day"] for r in rows} == {date(2026, 11, 3)}
    assert {r["hour"] for r in rows} == {ms("2026-11-02T23:00")}
    assert {r["from"] for r in rows} == {ms("2026-10-31T23:00")}
    assert {r["tenant"] for r in rows} == {r["port_uid"] for r in rows} == {None}


def test_the_file_says_what_was_asked_and_by_which_version(site: Site, tmp_path: Path):
    path = tmp_path / "blue.parquet"
    assert _run(site, *MONTH, "--tenant", "blue", "-o", "parquet", "--file", str(path)) == OK
    with duckdb.connect() as base:
        found = base.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]).fetchall()
    said = {key.decode(): value.decode() for key, value in found}
    assert json.loads(said["ringfence.query"]) == {
        "tenant": "blue", "fromMs": ms("2026-10-31T23:00"), "toMs": ms("2026-11-30T23:00"), "by": "port",
        "direction": "out", "zone": "Europe/Berlin",
    }  # fmt: skip
    totals = json.loads(said["ringfence.totals"])
    assert (totals["bytes"], totals["gapCount"], totals["gapBound"]) == (BIG, 1, None)
    assert said["ringfence.format"] == "1"
    assert said["ringfence.version"]


def test_a_report_without_rows_has_its_columns(site: Site, tmp_path: Path):
    path = tmp_path / "none.parquet"
    assert _run(site, "--tenant", "nobody", "-o", "parquet", "--file", str(path)) == OK
    types, rows = _read(path)
    assert (tuple(types), rows) == (HEADER, [])


def test_parquet_goes_where_the_output_goes(site: Site, tmp_path: Path, capsysbinary):
    assert _run(site, *MONTH, "-o", "parquet") == OK
    path = tmp_path / "piped.parquet"
    path.write_bytes(capsysbinary.readouterr().out)
    assert [r["tenant_name"] for r in _read(path)[1]] == ["blue", "red"]


def test_csv_has_a_column_for_each_key_and_name(site: Site, tmp_path: Path):
    path = tmp_path / "november.csv"
    assert _run(site, *MONTH, "--by", "class,hour", "-o", "csv", "--file", str(path)) == OK
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == HEADER
    assert [(r["key"], r["class"], r["class_name"], r["hour"], r["bytes"]) for r in rows] == [
        ("1/2026-11-02T23:00:00Z", "1", "everything-else", "2026-11-02T23:00:00Z", str(BIG)),
        ("0/2026-11-02T23:00:00Z", "0", "sto/rage", "2026-11-02T23:00:00Z", "1000"),
    ]


@pytest.mark.parametrize("form", ["table", "json", "yaml", "csv", "parquet"])
def test_a_file_is_written_whole_or_not_at_all(site: Site, tmp_path: Path, form: str, capsys):
    path = tmp_path / "report"
    path.write_text("what stood here")
    assert _run(site, "--tenant", "blue", "--zone", "Mars/Base", "-o", form, "--file", str(path)) == USAGE
    assert path.read_text() == "what stood here"
    assert _run(site, *MONTH, "-o", form, "--file", str(path)) == OK
    assert path.stat().st_size > 100
    assert [each.name for each in tmp_path.iterdir()] == ["report"]
    assert _run(site, *MONTH, "-o", form, "--file", str(tmp_path / "no" / "folder")) == USAGE
    assert "can't be written" in capsys.readouterr().err

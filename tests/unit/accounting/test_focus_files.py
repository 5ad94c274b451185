"""Files of FOCUS rows: Parquet, JSON and CSV say the same to the last digit, to whoever reads them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from accounting.focus import COLUMNS, Blind, Row, Type, metadata
from accounting.statement import Statement
from controller.cli import focus_parquet
from controller.cli.focus_files import write_csv, write_json
from controller.cli.focus_parquet import write_parquet
from tests.unit.accounting.billing import FIRST, price_list, usage
from tests.unit.accounting.test_focus import NOVEMBER, rows_of

MADE = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def rows() -> list[Row]:
    used = [usage(9_223_372_036_854_775_807, class_name="storage"), *(usage(n, day=n) for n in range(30))]
    some = Blind(usage(0).account, usage(0).resource, FIRST, 2, 12_345)
    prices = price_list(
        prices=[
            {"class": "internet", "from": "2026-01-01", "price": "0.05"},
            {"class": "storage", "from": "2026-01-01", "price": "999999999.999999999"},
        ]
    )
    return rows_of(Statement(prices, NOVEMBER), used, [some])


def test_parquet_keeps_types_and_digits(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by DuckDB, of which nothing wrote it; in several row groups."""
    import duckdb

    monkeypatch.setattr(focus_parquet, "GROUP", 7)
    path = tmp_path / "focus.parquet"
    with path.open("wb") as out:
        write_parquet(out, rows, metadata(MADE))
    found = duckdb.sql(f"SELECT * FROM '{path}'")
    assert found.columns == [column.name for column in COLUMNS]
    kinds = {
        Type.DECIMAL: "DECIMAL(38,18)",
        Type.INTEGER: "BIGINT",
        Type.DATETIME: "TIMESTAMP WITH TIME ZONE",
    }
    assert [str(kind) for kind in found.types] == [kinds.get(column.type, "VARCHAR") for column in COLUMNS]
    costs = [row[0] for row in duckdb.sql(f"SELECT BilledCost FROM '{path}'").fetchall()]
    assert costs == [row["BilledCost"] for row in rows]
    ((total,),) = duckdb.sql(f"SELECT sum(BilledCost)::VARCHAR FROM '{path}'").fetchall()
    assert Decimal(total) % Decimal("0.01") == 0
    ((first,),) = duckdb.sql(f"SELECT epoch_ms(min(ChargePeriodStart)) FROM '{path}'").fetchall()
    assert first == 1_793_491_200_000
    ((said,),) = duckdb.sql(f"SELECT value FROM parquet_kv_metadata('{path}') WHERE key = 'focus'").fetchall()
    assert json.loads(said)["FocusVersion"] == "1.2"


def test_csv_and_json_say_the_same(rows: list[Row]) -> None:
    text, document = io.BytesIO(), io.BytesIO()
    write_csv(text, rows, {})
    write_json(document, rows, metadata(MADE))
    assert not text.closed
    from_json = json.loads(document.getvalue(), parse_float=Decimal, parse_int=Decimal)["rows"]
    from_csv = list(csv.DictReader(io.StringIO(text.getvalue().decode())))
    assert len(from_json) == len(from_csv) == len(rows)
    for mine, parsed, line in zip(rows, from_json, from_csv, strict=True):
        assert parsed == dict(mine)
        assert {n: Decimal(v) if isinstance(mine[n], Decimal | int) else v for n, v in line.items()} == {
            name: "" if value is None else value for name, value in mine.items()
        }


def test_no_rows_at_all(tmp_path: Path) -> None:
    for write in (write_csv, write_json, write_parquet):
        out = io.BytesIO()
        write(out, [], metadata(MADE))
        assert out.getvalue()

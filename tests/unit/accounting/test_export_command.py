"""`ringfence egress export` and `verify`, as typed, against a real API on a unix socket."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from accounting.focus import COLUMNS
from controller.cli.commands import OK, REFUSED, USAGE
from tests.unit.accounting.examples import owner_of
from tests.unit.accounting.october import MONTH, PRICES, on
from tests.unit.accounting.test_upload import Site


def export(run: Any, *words: str) -> tuple[int, str, str]:
    found: tuple[int, str, str] = run("export", "--prices", "prices.yaml", *MONTH, *words)
    return found


def test_what_invoices_would_say(run: Any) -> None:
    code, out, err = export(run)
    assert code == OK
    assert out == (
        "To be billed, 2026-10-01 to 2026-11-01 (UTC), by standard\n"
        "TENANT  INVOICE           ROWS  ABOUT    EUR\n"
        "blue    2026-10/uid-blue  6     12.2 GB  0.21\n"
        "red     2026-10/uid-red   2     1.00 GB  0.05\n"
    )
    assert "99 bytes are on no account" in err


def test_csv_is_exact(run: Any, tmp_path: Path) -> None:
    code, out, err = export(run, "-o", "csv")
    assert code == OK and "conflict" not in err
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert [(row["ResourceName"], row["x_Direction"], row["BilledCost"]) for row in rows] == [
        ("vm7", "out", "0.06172839455"),
        ("vm7", "out", "0.045"),
        ("vm8", "out", "0"),
        ("vm7", "in", "0.1"),
        ("vm7", "", "0"),
        ("vm9", "out", "0.045"),
        ("", "", "0.00327160545"),
        ("", "", "0.005"),
    ]
    assert (rows[4]["x_GapCount"], rows[4]["x_GapBoundBytes"]) == ("1", "999")
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("0.26")


def test_json_says_the_same_with_metadata(run: Any, tmp_path: Path) -> None:
    code, out, _ = export(run, "-o", "json", "--metadata", "columns.json")
    found = json.loads(out, parse_float=Decimal)
    assert code == OK and found["metadata"]["FocusVersion"] == "1.2"
    assert [row["BilledCost"] for row in found["rows"]][:2] == [Decimal("0.06172839455"), Decimal("0.045")]
    assert found["rows"][4]["x_GapBoundBytes"] == 999 and found["rows"][0]["Tags"] is None
    assert json.loads((tmp_path / "columns.json").read_text())["ColumnDefinition"]


def test_rows_of_networks_and_of_one_tenant(run: Any) -> None:
    code, out, _ = export(run, "-o", "csv", "--rows", "network", "--tenant", "red")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == OK
    assert [(row["ResourceType"], row["ResourceId"], row["ConsumedQuantity"]) for row in rows] == [
        ("Network", "uid-red-net", "1000000000"), ("", "", ""),
    ]  # fmt: skip
    code, out, err = export(run, "-o", "csv", "--tenant", "nobody")
    assert code == REFUSED and "export-tenant" in err


def test_a_chain_over_months_and_what_was_done_to_it(run: Any, tmp_path: Path) -> None:
    code, _, err = export(run, "--format", "chain", "--file", "october.jsonl")
    assert code == OK and "last hash: " in err
    last = err.split("last hash: ")[1].split()[0]
    code, _, _ = run(
        "export", "--prices", "prices.yaml", "--from", "2026-09-01", "--to", "2026-10-01",
        "--format", "chain", "--after", "october.jsonl", "--file", "next.jsonl",
    )  # fmt: skip
    assert code == OK
    code, out, _ = run("verify", "october.jsonl", "next.jsonl")
    assert code == OK and "october.jsonl: whole: 8 rows, BilledCost 0.26" in out.replace(
        "0.26000000000", "0.26"
    )
    assert run("verify", "next.jsonl", "--after", "october.jsonl")[0] == OK
    assert run("verify", "october.jsonl", "--last", last)[0] == OK
    assert run("verify", "next.jsonl", "--last", last)[0] == REFUSED
    code, out, _ = run("verify", "october.jsonl", "--after", "next.jsonl")
    assert code == REFUSED and "october.jsonl:1: begin: " in out
    header = json.loads((tmp_path / "october.jsonl").read_text().splitlines()[0])["body"]
    assert header["prices"]["name"] == "standard" and len(header["prices"]["sha256"]) == 64
    assert header["ledger"]["revision"] and header["query"]["rows"] == "port"
    text = (tmp_path / "october.jsonl").read_text()
    (tmp_path / "bent.jsonl").write_text(text.replace('"0.045"', '"0.044"', 1))
    code, out, _ = run("verify", "bent.jsonl")
    assert code == REFUSED and out.startswith("bent.jsonl:3: changed: ")
    code, out, _ = run("verify", "bent.jsonl", "-o", "json")
    assert json.loads(out)["whole"] is False
    code, _, err = export(run, "--format", "chain", "--after", "bent.jsonl", "--file", "x.jsonl")
    assert code == REFUSED and "chain-broken" in err and not list(tmp_path.glob("x.jsonl*"))


def test_late_bytes_become_a_correction(run: Any, site: Site, tmp_path: Path) -> None:
    assert export(run, "--format", "chain", "--file", "october.jsonl")[0] == OK
    late = ["--format", "chain", "--corrects", "october.jsonl", "--billing-period", "2026-11"]
    code, out, _ = export(run, *late)
    assert code == OK and len(out.splitlines()) == 2
    site.ledger.post([on(0, 8, 10**9), on(4, 9, 5, series=(11, 1, 3), owner=owner_of(11))])
    assert export(run, *late, "--file", "late.jsonl")[0] == OK
    bodies = [json.loads(line)["body"] for line in (tmp_path / "late.jsonl").read_text().splitlines()[1:-1]]
    assert [(body["ChargeClass"], body["ConsumedQuantity"], body["BilledCost"]) for body in bodies] == [
        ("Correction", "1000000000", "0.05"),
        ("Correction", "5", "0.000000000225".rstrip("0")),
        (None, None, "-0.000000000225"),
    ]
    assert {body["BillingPeriodStart"] for body in bodies} == {"2026-11-01T00:00:00Z"}
    code, out, _ = export(run, *late, "--corrects", "late.jsonl")
    assert code == OK and len(out.splitlines()) == 2
    code, _, err = export(run, *late, "--corrects", "october.jsonl")
    assert code == REFUSED and "export-order" in err
    code, _, err = export(run, *late, "--tenant", "blue")
    assert code == REFUSED and "export-query" in err


def test_a_class_without_a_price_leaves_no_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(PRICES.replace("class: same-network", "class: elsewhere"))
    code, _, err = export(run, "-o", "csv", "--file", "out.csv")
    assert code == REFUSED and "price-missing" in err and "same-network" in err
    assert not list(tmp_path.glob("out.csv*"))


def test_mistakes_in_a_price_list_are_named_with_their_lines(run: Any, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(
        PRICES.replace("2026-10-03, price: 0.045", '2026-10-04, price: "4,5"')
    )
    code, _, err = export(run)
    assert code == REFUSED and "prices.yaml:11: price list standard spec.prices[1].price" in err
    (tmp_path / "prices.yaml").write_text(PRICES + "  currency: USD\n")
    code, _, err = export(run)
    assert code == REFUSED and "twice" in err
    (tmp_path / "prices.yaml").write_bytes(b"\xff")
    assert export(run)[0] == REFUSED
    (tmp_path / "prices.yaml").write_text(PRICES + "---\nkind: PriceList\n")
    assert "2 documents" in export(run)[2]


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "2026-10-01T01:00:00Z"],
        ["--to", "2999-01-01"],
        ["--to", "2026-10-01"],
        ["--corrects", "x.jsonl"],
        ["--billing-period", "2026-11"],
        ["--format", "chain", "-o", "csv"],
        ["-o", "csv", "--after", "x.jsonl"],
        ["--file", "x"],
        ["-o", "parquet"],
        ["-o", "csv", "--file", "prices.yaml"],
        ["-o", "csv", "--file", "nowhere/x.csv"],
        ["--format", "chain", "--after", "missing.jsonl"],
        ["-o", "yaml"],
    ],
    ids="_".join,
)
def test_what_makes_no_sense(run: Any, words: list[str]) -> None:
    assert export(run, *words)[0] == USAGE

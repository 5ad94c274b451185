"""FOCUS: rows as version 1.2 wants them, and statements that add up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounting.chain import Reading
from accounting.classes import Direction
from accounting.focus import COLUMNS, Blind, Null, Period, Row, Type, Usage, metadata, month_of
from accounting.prices import parse_prices
from accounting.statement import Paid, Statement, paid
from model.errors import Invalid
from tests.unit.accounting.billing import FIRST, LIST, chained, price_list, usage
from tests.unit.accounting.focus_rules import mistakes

NOVEMBER = Period(date(2026, 11, 1), date(2026, 12, 1))
DECEMBER = month_of(date(2026, 12, 5))


def rows_of(made: Statement, used: Iterable[Usage], blind: Iterable[Blind] = ()) -> list[Row]:
    """All rows of a statement."""
    rows = [made.usage(one) for one in used] + [made.blind(one) for one in blind]
    return [row for row in rows if row is not None] + [*made.close()]


def reread(*files: bytes) -> Paid:
    """What chained files hold."""
    bodies: list[Any] = []
    for text in files:
        reading = Reading()
        bodies += filter(None, (reading.take(line) for line in text.splitlines(keepends=True)))
        assert not reading.verdict().findings
    return paid(bodies)


def total(rows: Iterable[Row], column: str = "BilledCost") -> Decimal:
    return sum((Decimal(str(row[column] or 0)) for row in rows), Decimal(0))


def test_a_row_says_who_what_when_and_how_much() -> None:
    made = Statement(parse_prices(LIST), Period(FIRST, date(2026, 11, 3)))
    (row,) = rows_of(made, [usage(1_234_567_891)])
    assert {name: value for name, value in row.items() if value is not None} == {
        "BilledCost": Decimal("0.06172839455"),
        "BillingAccountId": "uid-blue",
        "BillingAccountName": "blue",
        "BillingAccountType": "Tenant",
        "BillingCurrency": "EUR",
        "BillingPeriodEnd": "2026-12-01T00:00:00Z",
        "BillingPeriodStart": "2026-11-01T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeDescription": "1234567891 bytes sent to internet by web on 2026-11-01, 0.05 EUR/GB",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": "2026-11-02T00:00:00Z",
        "ChargePeriodStart": "2026-11-01T00:00:00Z",
        "ConsumedQuantity": Decimal(1_234_567_891),
        "ConsumedUnit": "B",
        "ContractedCost": Decimal("0.06172839455"),
        "ContractedUnitPrice": Decimal("0.05"),
        "EffectiveCost": Decimal("0.06172839455"),
        "InvoiceId": "2026-11/uid-blue",
        "InvoiceIssuerName": "Example Cloud",
        "ListCost": Decimal("0.09876543128"),
        "ListUnitPrice": Decimal("0.08"),
        "PricingCategory": "Standard",
        "PricingQuantity": Decimal("1.234567891"),
        "PricingUnit": "GB",
        "ProviderName": "Example Cloud",
        "PublisherName": "Example Cloud",
        "ResourceId": "uid-blue-web",
        "ResourceName": "web",
        "ResourceType": "Port",
        "ServiceCategory": "Networking",
        "ServiceName": "Data Transfer",
        "ServiceSubcategory": "Network Connectivity",
        "SkuId": "data-transfer-out/internet",
        "SkuMeter": "Data Transfer Out",
        "SkuPriceDetails": '{"x_Direction": "out", "x_EgressClass": "internet"}',
        "SkuPriceId": "data-transfer-out/internet@2026-01-01",
        "SubAccountId": "uid-net-blue",
        "SubAccountName": "net",
        "SubAccountType": "Network",
        "x_Direction": "out",
        "x_EgressClass": "internet",
        "x_EgressClassId": "2",
        "x_PacketCount": 1,
    }


def test_columns_are_those_of_the_specification_and_ours_behind_them() -> None:
    names = [column.name for column in COLUMNS]
    ours = [name for name in names if name.startswith("x_")]
    assert names == sorted(set(names) - set(ours)) + ours and len(set(names)) == len(names)
    said = metadata(datetime(2026, 12, 1, 12, tzinfo=UTC))
    assert said["FocusVersion"] == "1.2" and said["CreationDate"] == "2026-12-01T12:00:00Z"
    assert [column["ColumnName"] for column in said["ColumnDefinition"]] == names


def test_no_row_lacks_what_may_not_be_null() -> None:
    some = Blind(usage(0).account, usage(0).resource, FIRST, 2, 12_345)
    whole = replace(usage(7), resource=replace(usage(7).resource, port_uid="", port_name=""))
    rows = rows_of(
        Statement(price_list(region={"id": "eu-1", "name": "Europe 1"}), NOVEMBER),
        [usage(12_345_678), whole, usage(5, direction=Direction.IN)],
        [some, replace(some, bound=None)],
    )
    assert {row["ChargeCategory"] for row in rows} == {"Usage", "Adjustment"} and len(rows) == 6
    assert mistakes(rows) == []
    for row in rows:
        assert [*row] == [column.name for column in COLUMNS]
        for column in COLUMNS:
            value = row[column.name]
            if value is None:
                assert column.null is Null.ALLOWED, column
                continue
            match column.type:
                case Type.DECIMAL:
                    assert isinstance(value, Decimal)
                case Type.INTEGER:
                    assert isinstance(value, int)
                case Type.DATETIME:
                    assert datetime.fromisoformat(str(value)).tzinfo is UTC and str(value).endswith("Z")
                case Type.JSON:
                    assert isinstance(json.loads(str(value)), dict)
                case Type.STRING:
                    assert isinstance(value, str) and value.strip()
    assert rows[1]["ResourceType"] == "Network" and rows[1]["ResourceId"] == rows[1]["SubAccountId"]
    assert rows[2]["ChargeDescription"] == "5 bytes received from internet by web on 2026-11-01, 0.01 EUR/GB"


def test_gaps_cost_nothing_and_say_what_is_missing() -> None:
    blind = Blind(usage(0).account, usage(0).resource, FIRST, 2, 12_345)
    (row,) = rows_of(Statement(parse_prices(LIST), NOVEMBER), [], [blind])
    assert row["BilledCost"] == 0 and row["ConsumedQuantity"] is None and row["SkuId"] is None
    assert (row["x_GapCount"], row["x_GapBoundBytes"]) == (2, 12_345)
    assert row["ChargeDescription"] == (
        "not counted and not billed: 2 gaps of at most 12345 bytes in all, of web"
    )


def test_an_invoice_is_rounded_once() -> None:
    """A thousand rows of a third of a cent are no thousand cents, and none."""
    used = [usage(66_666_667, day=1, port=f"p{n}") for n in range(1000)]
    *rows, last = rows_of(Statement(parse_prices(LIST), NOVEMBER), used)
    assert total(rows) == Decimal("3.33333335") and last["BilledCost"] == Decimal("-0.00333335")
    assert last["ChargeCategory"] == "Adjustment" and total([*rows, last]) == Decimal("3.33")
    assert (last["ChargePeriodStart"], last["ChargePeriodEnd"]) == (
        "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z",
    )  # fmt: skip


def test_each_tenant_and_each_month_is_rounded_for_itself_and_parts_of_months_are_not() -> None:
    span = Period(date(2026, 10, 15), date(2026, 12, 1))
    used = [usage(10**8 + n, day=-n, tenant=tenant) for n in (1, 20) for tenant in ("blue", "red")]
    used = [one for one in used if span.holds(one.day)]
    last = rows_of(Statement(parse_prices(LIST), span), [*used, *(replace(u, day=FIRST) for u in used)])[-2:]
    assert [(row["BillingAccountId"], row["BillingPeriodStart"]) for row in last] == [
        ("uid-blue", "2026-11-01T00:00:00Z"),
        ("uid-red", "2026-11-01T00:00:00Z"),
    ]


def test_bytes_on_no_account_are_counted_apart() -> None:
    made = Statement(parse_prices(LIST), NOVEMBER)
    nobody = replace(usage(99), account=replace(usage(99).account, uid="", name=""))
    assert rows_of(made, [nobody]) == [] and made.unattributed == 99


def test_a_class_without_a_price_stops_the_export() -> None:
    with pytest.raises(Invalid):
        Statement(parse_prices(LIST), NOVEMBER).usage(usage(1, class_name="elsewhere"))


def test_a_correction_is_the_difference() -> None:
    """A late upload, a port that nobody had heard of, and one row as it was."""
    prices = parse_prices(LIST)
    before = rows_of(
        Statement(prices, NOVEMBER), [usage(10**9), usage(10**8, day=1), usage(5 * 10**8, day=2)]
    )
    now = [usage(10**9), usage(3 * 10**8 + 1, day=1), usage(5 * 10**8, day=2), usage(77, day=4, port="db")]
    rows = rows_of(Statement(prices, NOVEMBER, (reread(chained(before)), DECEMBER)), now)
    *changes, rounding = rows
    assert mistakes(rows) == []
    assert [(row["ConsumedQuantity"], row["ResourceName"]) for row in changes] == [
        (200_000_001, "web"), (77, "db"),
    ]  # fmt: skip
    assert {row["ChargeClass"] for row in changes} == {"Correction"}
    assert {row["BillingPeriodStart"] for row in rows} == {"2026-12-01T00:00:00Z"}
    assert changes[0]["ChargePeriodStart"] == "2026-11-02T00:00:00Z"
    assert (
        rounding["ChargeCategory"] == "Adjustment" and rounding["ChargePeriodStart"] == "2026-11-01T00:00:00Z"
    )
    assert total([*before, *rows]) == total(rows_of(Statement(prices, NOVEMBER), now))
    # A second one, now that nothing has changed any more, is empty.
    known = reread(chained(before), chained(rows))
    assert rows_of(Statement(prices, NOVEMBER, (known, DECEMBER)), now) == []


def test_a_correction_of_prices() -> None:
    used = [usage(10**9, day=5)]
    before = rows_of(Statement(parse_prices(LIST), NOVEMBER), used)
    cheaper = price_list(prices=[{"class": "internet", "from": "2026-01-01", "price": "0.01"}])
    rows = rows_of(Statement(cheaper, NOVEMBER, (reread(chained(before)), DECEMBER)), used)
    assert [(row["BilledCost"], row["ConsumedQuantity"]) for row in rows[:1]] == [(Decimal("-0.035"), 0)]
    assert total([*before, *rows]) == Decimal("0.01")


def test_a_row_that_is_no_longer_there_is_taken_back() -> None:
    prices = parse_prices(LIST)
    before = rows_of(Statement(prices, NOVEMBER), [usage(10**9), usage(10**9, port="db")])
    rows = rows_of(Statement(prices, NOVEMBER, (reread(chained(before)), DECEMBER)), [usage(10**9)])
    assert [row["ConsumedQuantity"] for row in rows] == [-(10**9)]
    assert total([*before, *rows]) == Decimal("0.05")


def test_the_rules_of_the_specification_see_mistakes() -> None:
    (row,) = rows_of(Statement(parse_prices(LIST), Period(FIRST, date(2026, 11, 3))), [usage(7)])
    assert mistakes([row]) == []
    for name, value in (
        ("BilledCost", None),
        ("ConsumedUnit", None),
        ("SkuId", None),
        ("ListCost", Decimal(1)),
        ("ChargePeriodEnd", "2026-11-01T00:00:00Z"),
        ("BillingPeriodStart", "2026-11-01"),
        ("SkuPriceDetails", "[]"),
        ("ChargeCategory", "Adjustment"),
        ("SubAccountName", ""),
    ):
        assert mistakes([{**row, name: value}]), name

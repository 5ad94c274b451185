"""Price lists: read exactly, and refused with object, rule and remedy."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from accounting.classes import Direction
from accounting.money import Mode, decimal, parse_amount, rounded, units
from accounting.prices import Tree, parse_prices, price_of
from controller.cli.prices_file import read_prices
from model.errors import Invalid
from tests.unit.accounting.billing import LIST, changed, price_list


def test_a_price_begins_on_its_day_and_ends_before_the_next() -> None:
    prices = parse_prices(LIST)
    assert price_of(prices, "internet", Direction.OUT, date(2026, 11, 2)).contracted == 50_000_000
    assert price_of(prices, "internet", Direction.OUT, date(2026, 11, 3)).contracted == 45_000_000
    assert price_of(prices, "internet", Direction.OUT, date(2031, 1, 1)).listed == 80_000_000
    assert price_of(prices, "internet", Direction.IN, date(2026, 11, 3)).contracted == 10_000_000
    assert price_of(prices, "storage", Direction.OUT, date(2026, 11, 3)).listed == 1
    assert prices.directions() == (Direction.OUT, Direction.IN)
    assert prices.party.invoice_issuer == prices.party.publisher == "Example Cloud"


def test_what_has_no_price_is_refused_and_never_free() -> None:
    prices = parse_prices(LIST)
    for class_name, direction, day in (
        ("internet", Direction.OUT, date(2025, 12, 31)),
        ("nothing", Direction.OUT, date(2026, 11, 1)),
        ("storage", Direction.IN, date(2026, 11, 1)),
    ):
        with pytest.raises(Invalid) as error:
            price_of(prices, class_name, direction, day)
        (fault,) = error.value.faults
        assert (fault.object, fault.rule, fault.path) == (
            "price list standard", "price-missing", "spec.prices",
        )  # fmt: skip
        assert class_name in fault.message and day.isoformat() in fault.message and fault.remedy


@pytest.mark.parametrize(
    ("tree", "rule", "path"),
    [
        (changed("kind", "Prices"), "price-kind", "kind"),
        (changed("metadata.name", " "), "price-text", "metadata.name"),
        (changed("spec.currency", "Euro"), "price-currency", "spec.currency"),
        (changed("spec.unit", "GiB"), "price-unit", "spec.unit"),
        (changed("spec.provider", None), "price-text", "spec.provider"),
        (changed("spec.rounding.to", "0"), "price-rounding", "spec.rounding.to"),
        (changed("spec.rounding.to", None), "price-amount", "spec.rounding.to"),
        (changed("spec.rounding.mode", "down"), "price-rounding", "spec.rounding.mode"),
        (changed("spec.region", {"id": "eu"}), "price-text", "spec.region.name"),
        (changed("spec.prices", []), "price-empty", "spec.prices"),
        (changed("spec.prices", "0.05"), "price-empty", "spec.prices"),
        (changed("spec.prices.1.from", "2026-11-02"), "price-overlap", "spec.prices[1].from"),
        (changed("spec.prices.1.from", "2026-11-04"), "price-hole", "spec.prices[1].from"),
        (changed("spec.prices.0.to", None), "price-overlap", "spec.prices[1].from"),
        (changed("spec.prices.0.to", "2026-01-01"), "price-time", "spec.prices[0].to"),
        (changed("spec.prices.0.from", "2026-02-30"), "price-time", "spec.prices[0].from"),
        (changed("spec.prices.0.from", "20260101"), "price-time", "spec.prices[0].from"),
        (changed("spec.prices.0.class", None), "price-text", "spec.prices[0].class"),
        (changed("spec.prices.0.direction", "both"), "price-direction", "spec.prices[0].direction"),
        (changed("spec.prices.0.tier", "1"), "price-field", "spec.prices[0].tier"),
        *((changed("spec.prices.0.price", text), "price-amount", "spec.prices[0].price")
          for text in ("-1", "1e-3", "0,05", ".5", "1.0000000001", "٣", "", "9" * 10)),
    ],
)  # fmt: skip
def test_mistakes_are_refused(tree: Tree, rule: str, path: str) -> None:
    with pytest.raises(Invalid) as error:
        parse_prices(tree)
    assert [(fault.rule, fault.path) for fault in error.value.faults] == [(rule, path)]
    assert all(fault.remedy and fault.object.startswith("price list") for fault in error.value.faults)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(Invalid) as error:
        price_list(currency="E", unit="MB", prices=[{"class": "a"}, "b"])
    rules = [fault.rule for fault in error.value.faults]
    assert rules == ["price-unit", "price-time", "price-amount", *["price-form"], *rules[4:]]
    assert "price-currency" in rules


def test_a_document_that_is_no_list_at_all() -> None:
    for tree in ("", "text", [], {}, changed("spec", "x"), changed("spec.rounding", "0.01")):
        with pytest.raises(Invalid) as error:
            parse_prices(tree)
        assert any(fault.rule in ("price-form", "price-kind") for fault in error.value.faults)


def test_amounts_are_exact() -> None:
    assert parse_amount("0.1") == 100_000_000
    assert parse_amount("123456789.987654321") == 123456789987654321
    assert decimal(123456789987654321 * 10**18 + 1, 27) == Decimal("123456789.987654321000000000000000001")
    assert str(decimal(-1500, 3)) == "-1.5" and str(decimal(0, 9)) == "0" and str(decimal(10**9, 9)) == "1"
    assert units("123456789.987654321", 18) == 123456789987654321 * 10**9
    with pytest.raises(ArithmeticError):
        units("0.1", 0)


def test_rounding_says_where_halves_go() -> None:
    assert [rounded(cost, 10, Mode.HALF_UP) for cost in (4, 5, 15, -4, -5, -15)] == [0, 10, 20, 0, -10, -20]
    assert [rounded(cost, 10, Mode.HALF_EVEN) for cost in (5, 15, 25, -5, -15)] == [0, 20, 20, 0, -20]
    assert rounded(7, 5, Mode.HALF_UP) == 5 and rounded(8, 5, Mode.HALF_EVEN) == 10


def test_the_example_has_a_price_for_every_class_of_the_examples() -> None:
    root = Path(__file__).parents[3]
    prices, digest = read_prices(str(root / "docs" / "prices.yaml"))
    assert len(digest) == 64
    text = (root / "examples" / "04-egress-classes.yaml").read_text(encoding="utf-8")
    names = {line.split(":")[1].strip() for line in text.splitlines() if line.strip().startswith("name:")}
    assert names
    for name in names | {"same-network", "everything-else"}:
        assert price_of(prices, name, Direction.OUT, date(2026, 11, 1))

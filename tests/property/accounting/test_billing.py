"""Whatever is billed adds up to the last decimal; whatever is done to a chained file is found."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.chain import Flaw, verify
from accounting.classes import Direction
from accounting.focus import Period, Row, Usage
from accounting.money import Mode, parse_amount, rounded
from accounting.prices import PriceList, price_of
from accounting.statement import Statement
from tests.unit.accounting.billing import chained, price_list, usage
from tests.unit.accounting.focus_rules import mistakes
from tests.unit.accounting.test_focus import DECEMBER, NOVEMBER, reread, rows_of

AMOUNTS = st.decimals(0, 999_999_999, places=9).map(lambda d: f"{d:f}") | st.sampled_from(
    ["0", "0.05", "0.000000001", "999999999.999999999", "1"]
)
SIZES = st.one_of(st.integers(0, (1 << 63) - 1), st.integers(0, 10), st.just(10**9))
USED = st.lists(
    st.builds(
        usage,
        SIZES,
        day=st.integers(0, 29),
        class_name=st.sampled_from(["a", "b"]),
        tenant=st.sampled_from(["blue", "red"]),
        port=st.sampled_from(["web", "db"]),
        direction=st.sampled_from(Direction),
    ),
    max_size=12,
    unique_by=lambda u: (u.day, u.class_name, u.account.uid, u.resource.port_uid, u.direction),
)
PRICES = st.builds(
    lambda amounts, step, mode, turn: price_list(
        rounding={"to": step, "mode": mode},
        prices=[
            {"class": name, "direction": way, "price": price, **time}
            for name, way, early, late in zip(
                "aabb", ["in", "out"] * 2, amounts[:4], amounts[4:], strict=True
            )
            for price, time in (
                (early, {"from": "2020-01-01", "to": f"2026-11-{turn:02}"}),
                (late, {"from": f"2026-11-{turn:02}"}),
            )
        ],
    ),
    st.lists(AMOUNTS, min_size=8, max_size=8),
    st.sampled_from(["0.01", "1", "0.05", "0.001", "0.000000001"]),
    st.sampled_from([mode.value for mode in Mode]),
    st.integers(1, 30),
)


def exact(rows: list[Row], account: str = "") -> Fraction:
    """What the rows say, added up without any decimal arithmetic."""
    mine = (row for row in rows if not account or row["BillingAccountId"] == account)
    return sum((Fraction(str(row["BilledCost"])) for row in mine), Fraction(0))


@settings(deadline=None)
@given(PRICES, USED)
def test_costs_add_up_exactly(prices: PriceList, used: list[Usage]) -> None:
    """Each row is bytes x price; each account's month is rounded once; no context of decimals matters."""
    with localcontext() as context:
        context.prec = 6
        rows = rows_of(Statement(prices, NOVEMBER), used)
    usages = [row for row in rows if row["ChargeCategory"] == "Usage"]
    assert len(usages) == len(used)
    with localcontext() as context:
        context.prec = 60
        assert mistakes(rows) == []
    for row, one in zip(usages, used, strict=True):
        price = price_of(prices, one.class_name, one.direction, one.day)
        assert Fraction(str(row["BilledCost"])) == Fraction(one.bytes * price.contracted, 10**18)
        product = Fraction(str(row["PricingQuantity"])) * Fraction(str(row["ContractedUnitPrice"]))
        assert product == Fraction(str(row["ContractedCost"]))
    step = Fraction(prices.step, 10**9)
    for account in ("uid-blue", "uid-red"):
        whole = exact(rows, account)
        assert whole % step == 0 and abs(whole - exact(usages, account)) <= step / 2


@settings(deadline=None)
@given(PRICES, st.lists(USED, min_size=1, max_size=3))
def test_an_invoice_and_its_corrections_are_what_one_made_now_would_be(
    prices: PriceList, versions: list[list[Usage]]
) -> None:
    files: list[list[Row]] = [rows_of(Statement(prices, NOVEMBER), versions[0])]
    for version in versions[1:]:
        known = reread(*map(chained, files))
        files.append(rows_of(Statement(prices, NOVEMBER, (known, DECEMBER)), version))
    fresh = rows_of(Statement(prices, NOVEMBER), versions[-1])
    every = [row for rows in files for row in rows]
    for account in ("uid-blue", "uid-red"):
        assert exact(every, account) == exact(fresh, account)
    assert sum(int(row["ConsumedQuantity"] or 0) for row in every) == sum(u.bytes for u in versions[-1])


@settings(deadline=None)
@given(PRICES, USED, st.integers(1, 29))
def test_a_month_in_two_parts_is_the_month_less_its_rounding(
    prices: PriceList, used: list[Usage], cut: int
) -> None:
    middle = date(2026, 11, 1 + cut)
    parts: list[Row] = []
    for span in (Period(NOVEMBER.first, middle), Period(middle, NOVEMBER.end)):
        parts += rows_of(Statement(prices, span), [u for u in used if span.holds(u.day)])
    whole = rows_of(Statement(prices, NOVEMBER), used)
    assert exact(parts) == exact([row for row in whole if row["ChargeCategory"] == "Usage"])


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12), st.sampled_from(Mode))
def test_rounding_is_never_further_than_half_a_step(cost: int, step: int, mode: Mode) -> None:
    near = rounded(cost, step, mode)
    assert near % step == 0 and 2 * abs(near - cost) <= step and rounded(-cost, step, mode) == -near


@given(AMOUNTS)
def test_amounts_are_read_exactly(text: str) -> None:
    assert Fraction(parse_amount(text) or 0, 10**9) == Fraction(text)


FILE = chained(
    [{"BilledCost": Decimal(n) / 8, "ConsumedQuantity": n} for n in range(6)], query={"tenant": "blue"}
)
LINES = FILE.splitlines(keepends=True)


@settings(deadline=None, max_examples=400)
@given(st.integers(0, len(FILE) - 1), st.integers(0, 255), st.sampled_from(["change", "drop", "insert"]))
def test_any_byte_that_is_changed_left_out_or_added_is_found(at: int, byte: int, deed: str) -> None:
    rest = FILE[at:] if deed == "insert" else FILE[at + 1 :]
    text = FILE[:at] + (b"" if deed == "drop" else bytes([byte])) + rest
    found = verify(text.splitlines(keepends=True)).findings
    assert bool(found) == (text != FILE)
    if deed == "change" and text != FILE and byte not in b"\r\n\x0b\x0c" and FILE[at] != ord("\n"):
        assert found[0].line == FILE[:at].count(b"\n") + 1 and found[0].flaw is Flaw.CHANGED


def test_every_byte_matters() -> None:
    """The property again, for each place: one bit of it turned."""
    for at in range(len(FILE)):
        text = FILE[:at] + bytes([FILE[at] ^ 1]) + FILE[at + 1 :]
        assert verify(text.splitlines(keepends=True)).findings, at


@settings(deadline=None)
@given(st.permutations(range(len(LINES))), st.integers(0, len(LINES)))
def test_any_order_and_any_cut_but_the_right_one_is_found(order: list[int], count: int) -> None:
    lines = [LINES[place] for place in order][:count]
    assert bool(verify(lines).findings) == (lines != LINES)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(LINES) - 1), min_size=1, max_size=12))
def test_any_choice_of_lines_but_all_of_them_in_order_is_found(places: list[int]) -> None:
    lines = [LINES[place] for place in places]
    assert bool(verify(lines).findings) == (lines != LINES)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_end_a_verification(lines: list[bytes]) -> None:
    assert verify(lines).findings

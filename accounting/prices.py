"""Price lists: what a GB of each class costs, in which direction and from which day on. Pure.

Place: a list is read at the edge (`controller.cli`) as a tree whose scalars are text; here it is judged, and
looked up by `accounting.focus`. Must not know a default price: what has none is refused, never free.

Times are days, UTC, half open: `from` is included, `to` is not. A list without `to` goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from accounting.classes import Direction
from accounting.money import Mode, parse_amount
from model.errors import Fault, Invalid

Tree = Mapping[str, "Tree"] | Sequence["Tree"] | str
"""A document: its scalars as they were written."""

KIND: Final = "PriceList"
UNIT: Final = "GB"
EVER: Final = date.max
MAX_PRICES: Final = 10_000
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAME_LIMIT: Final = 255


@dataclass(frozen=True, slots=True)
class Price:
    """Of one GB, in billionths of the currency, on days from `first` up to and without `end`.

    `contracted` is what is billed, `listed` what is published; `place` is its number in the file.
    """

    class_name: str
    direction: Direction
    first: date
    end: date
    contracted: int
    listed: int
    place: int


@dataclass(frozen=True, slots=True)
class Party:
    """Who made it available, who produced it and who writes the invoice (FOCUS's three names)."""

    provider: str
    publisher: str
    invoice_issuer: str


@dataclass(frozen=True, slots=True)
class Region:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """`step`: an invoice's total is a multiple of it, in billionths. `prices`: by class, direction, day."""

    name: str
    currency: str
    party: Party
    region: Region | None
    step: int
    mode: Mode
    prices: tuple[Price, ...]

    def directions(self) -> tuple[Direction, ...]:
        """Those in which anything has a price, in order."""
        priced = {price.direction for price in self.prices}
        return tuple(d for d in Direction if d in priced)


def price_of(prices: PriceList, class_name: str, direction: Direction, day: date) -> Price:
    """The price; Invalid if there is none."""
    for price in prices.prices:
        if (price.class_name, price.direction) == (class_name, direction) and price.first <= day < price.end:
            return price
    raise Invalid(
        Fault(
            f"price list {prices.name}",
            "price-missing",
            f"no price for class {class_name!a}, direction {direction.value}, on {day.isoformat()}, "
            "and bytes were counted then",
            'add one to spec.prices; what is free has the price "0"',
            "spec.prices",
        )
    )


def parse_prices(tree: Tree) -> PriceList:
    """The list; Invalid with everything that is wrong with it."""
    return _Reader().read(tree)


class _Reader:
    """One reading: collects faults, so that all are told at once."""

    def __init__(self) -> None:
        self.name = "price list"
        self.faults: list[Fault] = []

    def read(self, tree: Tree) -> PriceList:
        top = self._table(tree, "", ("kind", "metadata", "spec"))
        if top.get("kind") != KIND:
            self._fault("price-kind", f"kind is not {KIND}", f"begin the file with `kind: {KIND}`", "kind")
        name = self._text(self._table(top.get("metadata", {}), "metadata", ("name",)), "metadata", "name")
        self.name = f"price list {name}" if name else self.name
        fields = (
            "currency",
            "unit",
            "provider",
            "publisher",
            "invoiceIssuer",
            "region",
            "rounding",
            "prices",
        )
        spec = self._table(top.get("spec", {}), "spec", fields)
        unit = self._text(spec, "spec", "unit")
        if unit and unit != UNIT:
            self._fault("price-unit", f"unit {unit!a}", f"prices are for a {UNIT} (10^9 bytes)", "spec.unit")
        provider = self._text(spec, "spec", "provider")
        step, mode = self._rounding(spec.get("rounding", {}))
        prices = self._prices(spec.get("prices", ()))
        made = PriceList(
            name,
            self._currency(spec),
            Party(
                provider,
                self._text(spec, "spec", "publisher") if "publisher" in spec else provider,
                self._text(spec, "spec", "invoiceIssuer") if "invoiceIssuer" in spec else provider,
            ),
            self._region(spec["region"]) if "region" in spec else None,
            step,
            mode,
            prices,
        )
        if self.faults:
            raise Invalid(*self.faults)
        return made

    def _currency(self, spec: Mapping[str, Tree]) -> str:
        code = self._text(spec, "spec", "currency")
        if code and not _CURRENCY.fullmatch(code):
            remedy = "write the three letters of ISO 4217, for example EUR"
            self._fault("price-currency", f"{code!a} is no currency", remedy, "spec.currency")
        return code

    def _region(self, tree: Tree) -> Region:
        table = self._table(tree, "spec.region", ("id", "name"))
        return Region(self._text(table, "spec.region", "id"), self._text(table, "spec.region", "name"))

    def _rounding(self, tree: Tree) -> tuple[int, Mode]:
        table = self._table(tree, "spec.rounding", ("to", "mode"))
        known = len(self.faults)
        step = self._amount(table, "spec.rounding", "to")
        if step == 0 and len(self.faults) == known:
            remedy = 'name the smallest amount on an invoice, for example "0.01"'
            self._fault("price-rounding", "nothing can be rounded to 0", remedy, "spec.rounding.to")
        raw = self._text(table, "spec.rounding", "mode")
        modes = {mode.value: mode for mode in Mode}
        if raw and raw not in modes:
            self._fault("price-rounding", f"mode {raw!a}", f"one of {', '.join(modes)}", "spec.rounding.mode")
        return step, modes.get(raw, Mode.HALF_UP)

    def _prices(self, tree: Tree) -> tuple[Price, ...]:
        if isinstance(tree, str | Mapping) or not tree:
            self._fault("price-empty", "no prices", "list them below spec.prices", "spec.prices")
            return ()
        if len(tree) > MAX_PRICES:
            self._fault("price-many", f"{len(tree)} prices", f"at most {MAX_PRICES}", "spec.prices")
            return ()
        found = [self._price(item, place) for place, item in enumerate(tree)]
        kept = sorted(
            (price for price in found if price is not None),
            key=lambda p: (p.class_name, list(Direction).index(p.direction), p.first, p.place),
        )
        for fault in _joints(self.name, kept):
            self.faults.append(fault)
        return tuple(kept)

    def _price(self, tree: Tree, place: int) -> Price | None:
        """None: something is wrong with it, and told."""
        path, known = f"spec.prices[{place}]", len(self.faults)
        table = self._table(tree, path, ("class", "direction", "from", "to", "price", "listPrice"))
        name = self._text(table, path, "class")
        first = self._day(table, path, "from")
        end = self._day(table, path, "to") if "to" in table else EVER
        contracted = self._amount(table, path, "price")
        listed = self._amount(table, path, "listPrice") if "listPrice" in table else contracted
        raw = self._text(table, path, "direction") if "direction" in table else Direction.OUT.value
        directions = {direction.value: direction for direction in Direction}
        if raw not in directions:
            remedy = f"one of {', '.join(directions)}"
            self._fault("price-direction", f"direction {raw!a}", remedy, f"{path}.direction")
        if len(self.faults) == known and first >= end:
            self._fault("price-time", "it ends before it begins", "`from` is a day before `to`", f"{path}.to")
        if len(self.faults) > known:
            return None
        return Price(name, directions[raw], first, end, contracted, listed, place)

    def _table(self, tree: Tree, path: str, fields: Sequence[str]) -> Mapping[str, Tree]:
        if not isinstance(tree, Mapping):
            self._fault("price-form", "no mapping", f"it has the fields {', '.join(fields)}", path)
            return {}
        for key in tree:
            if key not in fields:
                where = f"{path}.{key}" if path else key
                self._fault("price-field", f"field {key!a}", f"known are {', '.join(fields)}", where)
        return tree

    def _text(self, table: Mapping[str, Tree], path: str, key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip() or len(value) > _NAME_LIMIT:
            remedy = f"a text of 1 to {_NAME_LIMIT} characters"
            self._fault("price-text", f"{key} is missing, empty or no text", remedy, f"{path}.{key}")
            return ""
        return value

    def _amount(self, table: Mapping[str, Tree], path: str, key: str) -> int:
        raw = table.get(key)
        amount = parse_amount(raw) if isinstance(raw, str) else None
        if amount is None:
            remedy = "a decimal like 0.05: no sign, no exponent, up to nine decimals and below 10^9"
            self._fault("price-amount", f"{key} is missing or no amount", remedy, f"{path}.{key}")
        return amount or 0

    def _day(self, table: Mapping[str, Tree], path: str, key: str) -> date:
        raw = table.get(key)
        try:
            if isinstance(raw, str) and _DAY.fullmatch(raw):
                return date.fromisoformat(raw)
        except ValueError:
            pass
        self._fault(
            "price-time", f"{key} is missing or no day", "a day (UTC) like 2026-11-01", f"{path}.{key}"
        )
        return EVER

    def _fault(self, rule: str, message: str, remedy: str, path: str) -> None:
        self.faults.append(Fault(self.name, rule, message, remedy, path))


def _joints(name: str, prices: Iterable[Price]) -> Iterator[Fault]:
    """Overlaps and holes between prices of one class and direction, which stand in order of their days."""
    for early, late in pairwise(prices):
        if (early.class_name, early.direction) != (late.class_name, late.direction):
            continue
        of = f"class {early.class_name!a}, direction {early.direction.value}"
        path = f"spec.prices[{late.place}].from"
        if late.first < early.end:
            message = f"{of}: two prices from {late.first.isoformat()} on"
            remedy = f"end spec.prices[{early.place}] there (to: {late.first.isoformat()})"
            yield Fault(name, "price-overlap", message, remedy, path)
        elif late.first > early.end:
            message = f"{of}: no price from {early.end.isoformat()} to {late.first.isoformat()}"
            remedy = f"let it begin on {early.end.isoformat()}, or add one between"
            yield Fault(name, "price-hole", message, remedy, path)

"""Values for the tests of billing: a price list as the reader makes it, usage, and chained files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from accounting.chain import NOTHING, Link, Writing
from accounting.classes import Direction
from accounting.focus import SUMMED, Account, Resource, Row, Usage
from accounting.prices import PriceList, Tree, parse_prices

FIRST = date(2026, 11, 1)
LIST: dict[str, Any] = {
    "kind": "PriceList",
    "metadata": {"name": "standard"},
    "spec": {
        "currency": "EUR",
        "unit": "GB",
        "provider": "Example Cloud",
        "rounding": {"to": "0.01", "mode": "half-up"},
        "prices": [
            {"class": "internet", "from": "2026-01-01", "to": "2026-11-03", "price": "0.05",
             "listPrice": "0.08"},
            {"class": "internet", "from": "2026-11-03", "price": "0.045", "listPrice": "0.08"},
            {"class": "storage", "from": "2026-01-01", "price": "0.000000001"},
            {"class": "same-network", "from": "2026-01-01", "price": "0"},
            {"class": "internet", "direction": "in", "from": "2026-01-01", "price": "0.01"},
        ],
    },
}  # fmt: skip


def changed(path: str, value: Any) -> Tree:
    """LIST with another value at `spec.prices.0.from` and the like; None takes the field away."""
    tree = _copy(LIST)
    at: Any = tree
    *front, last = path.split(".")
    for word in front:
        at = at[int(word)] if isinstance(at, list) else at[word]
    if isinstance(at, list):
        at.insert(int(last), value)
    elif value is None:
        del at[last]
    else:
        at[last] = value
    return tree


def price_list(**spec: Any) -> PriceList:
    """LIST with other fields of its spec."""
    return parse_prices({**LIST, "spec": {**LIST["spec"], **spec}})


def usage(
    size: int,
    day: int = 0,
    class_name: str = "internet",
    tenant: str = "blue",
    port: str = "web",
    direction: Direction = Direction.OUT,
) -> Usage:
    """`size` bytes on day `day` of November; uids are made of names."""
    resource = Resource(f"uid-net-{tenant}", "net", f"uid-{tenant}-{port}", port)
    account = Account(f"uid-{tenant}", tenant)
    return Usage(account, resource, "2", class_name, direction, FIRST + timedelta(days=day), 1, size)


def chained(rows: Iterable[Row | Mapping[str, Any]], before: str = NOTHING, **header: Any) -> bytes:
    """A whole file."""
    writing = Writing(Link(0, before))
    lines = [writing.open(header, SUMMED)]
    lines += [writing.row(row) for row in rows]
    return b"".join([*lines, writing.close({})])


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value

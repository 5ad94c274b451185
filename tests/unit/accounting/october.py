"""October of two tenants: a ledger that holds it behind a real API, and a price list.

Place: shared by the tests of the commands that bill and draw a month. Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accounting.ledger import sqlite_url
from accounting.ledger.tables import DAY
from accounting.records import UNKNOWN
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.test_upload import Site

NOV = 1_793_491_200_000
"""2026-11-01T00:00:00Z in milliseconds. The clock is the machine's: tests ask for a month that is over."""
OCT = NOV - 31 * DAY
MONTH = ["--from", "2026-10-01", "--to", "2026-11-01"]
PRICES = """
kind: PriceList
metadata: {name: standard}
spec:
  currency: EUR
  unit: GB
  provider: Example Cloud
  rounding: {to: 0.01, mode: half-up}
  prices:
  - {class: everything-else, from: 2026-01-01, to: 2026-10-03, price: 0.05}
  - {class: everything-else, from: 2026-10-03, price: 0.045}
  - {class: same-network, from: 2026-01-01, price: 0}
  - {class: everything-else, direction: in, from: 2026-01-01, price: 0.01}
"""


def on(day: int, sequence: int, size: int, **more: Any) -> Any:
    return interval(
        sequence, from_ms=OCT + day * DAY + 1_000, to_ms=OCT + day * DAY + 2_000, bytes=size, **more
    )


@contextmanager
def a_site(folder: Path) -> Iterator[Site]:
    """October of two tenants."""
    made = Site(folder, sqlite_url(folder / "ledger.db"))
    made.up()
    made.ledger.post(
        [
            on(0, 1, 1_234_567_891),
            on(2, 2, 1_000_000_000),
            on(2, 3, 7, series=(8, 0, 1), owner=owner_of(8), class_name="same-network"),
            on(2, 4, 10**10, series=(7, 257, 3)),
            on(5, 5, 10**9, series=(9, 1, 3), owner=owner_of(9, "red")),
            on(5, 6, 99, series=(10, 1, 3), owner=UNKNOWN),
            gap(7, from_ms=OCT + 3 * DAY, to_ms=OCT + 3 * DAY + 5_000, bound=999),
        ]
    )
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()

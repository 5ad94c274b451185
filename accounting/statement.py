"""Statement: one export from its first row to its last: charges, gaps, corrections, roundings of invoices.

Place: pure; fed by `controller.cli.egress_export` with what the ledger answers day by day, in order. Must not
lose a byte silently: those of ports that nobody knew are on no account and are counted apart.

A correction is the difference to what earlier files have: all files of a period together say what one made
now would say, to the last decimal and to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from accounting.classes import Direction
from accounting.focus import (
    Account,
    Blind,
    Change,
    Period,
    Resource,
    Row,
    Usage,
    charge,
    correction,
    cost_of,
    month_of,
    rounding,
    unknown,
)
from accounting.money import PRICE_SCALE, SCALE, rounded, units
from accounting.prices import Price, PriceList, price_of

Key = tuple[str, str, str, str, str, Direction, date]
"""Tenant, network, port, class id and name, direction, day: what a row is of."""
Month = tuple[str, date]
"""Tenant, and the first day of a month of charges."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Of the usage rows of one key: differences if earlier files had corrections. Costs in 10^-18."""

    usage: Usage
    cost: int
    list_cost: int


@dataclass(frozen=True, slots=True)
class Paid:
    """What earlier files hold. `billed`: all rows of a tenant's month, in 10^-18, with its name."""

    sums: Mapping[Key, Sum]
    billed: Mapping[Month, tuple[str, int]]


def paid(rows: Iterable[Mapping[str, Any]]) -> Paid:
    """Add up the rows of earlier files, in which decimals are text."""
    sums: dict[Key, Sum] = {}
    billed: dict[Month, tuple[str, int]] = {}
    for row in rows:
        day = date.fromisoformat(row["ChargePeriodStart"][:10])
        cost = units(row["BilledCost"], SCALE)
        month = (row["BillingAccountId"], month_of(day).first)
        name = row["BillingAccountName"] or ""
        billed[month] = (name, billed.get(month, ("", 0))[1] + cost)
        if row["ChargeCategory"] == "Usage":
            usage = _usage_of(row, day)
            old = sums.get(_key(usage))
            new = Sum(usage, cost, units(row["ListCost"], SCALE))
            sums[_key(usage)] = _add(old, new) if old else new
    return Paid(sums, billed)


@dataclass(slots=True)
class Statement:
    """`span`: the exported days. `corrects`: what was billed for them before, and the period for the rest."""

    prices: PriceList
    span: Period
    corrects: tuple[Paid, Period] | None = None
    unattributed: int = 0
    """Bytes of ports that their hosts did not know: on no account."""
    _exact: dict[Month, tuple[str, int]] = field(default_factory=dict)
    _left: dict[Key, Sum] = field(default_factory=dict)
    _before: dict[Month, int] = field(default_factory=dict)
    """What the usage rows of earlier files add up to."""
    _found: dict[tuple[str, Direction, date], Price] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.corrects:
            self._left = dict(self.corrects[0].sums)
            for was in self._left.values():
                month = (was.usage.account.uid, month_of(was.usage.day).first)
                self._before[month] = self._before.get(month, 0) + was.cost

    def usage(self, usage: Usage) -> Row | None:
        """Its row; None if it is on no account, or nothing has changed. Invalid: it has no price."""
        if not usage.account.uid:
            self.unattributed += usage.bytes
            return None
        price = self._price(usage)
        cost = cost_of(usage, price)
        self._count(usage.account, usage.day, cost)
        if self.corrects is None:
            return charge(self.prices, usage, price)
        return self._difference(Sum(usage, cost, usage.bytes * price.listed), price)

    def blind(self, blind: Blind) -> Row | None:
        """The row of gaps; None in a correction: they cost nothing, and were told."""
        if not blind.account.uid or self.corrects:
            return None
        self._count(blind.account, blind.day, 0)
        return unknown(self.prices, blind)

    def close(self) -> Iterator[Row]:
        """The last rows: what earlier files have and the ledger has not, then the roundings."""
        for left in [*self._left.values()]:
            gone = Sum(replace(left.usage, packets=0, bytes=0), 0, 0)
            self._count(left.usage.account, left.usage.day, 0)
            row = self._difference(gone, self._price(left.usage))
            if row is not None:
                yield row
        before = self.corrects[0].billed if self.corrects else {}
        for month in sorted(self._exact.keys() | before.keys(), key=lambda m: (m[1], m[0])):
            row = self._rounding(month, before.get(month, ("", 0)))
            if row is not None:
                yield row

    def _rounding(self, month: Month, before: tuple[str, int]) -> Row | None:
        """What is payable for the month, less what was billed and what the rows say."""
        of = month_of(month[1])
        if not (self.span.first <= of.first and of.end <= self.span.end):
            return None
        name, exact = self._exact.get(month, (before[0], 0))
        payable = rounded(exact, self.prices.step * 10 ** (SCALE - PRICE_SCALE), self.prices.mode)
        rest = payable - before[1] - (exact - self._before.get(month, 0))
        period = self.corrects[1] if self.corrects else of
        return rounding(self.prices, Account(month[0], name), period, of, rest) if rest else None

    def _difference(self, now: Sum, price: Price) -> Row | None:
        assert self.corrects is not None
        was = self._left.pop(_key(now.usage), None)
        size = now.usage.bytes - (was.usage.bytes if was else 0)
        cost = now.cost - (was.cost if was else 0)
        listed = now.list_cost - (was.list_cost if was else 0)
        if not (size or cost or listed):
            return None
        packets = now.usage.packets - (was.usage.packets if was else 0)
        usage = replace(now.usage, packets=packets, bytes=size)
        return correction(self.prices, Change(usage, cost, listed, self.corrects[1]), price)

    def _count(self, account: Account, day: date, cost: int) -> None:
        month = (account.uid, month_of(day).first)
        self._exact[month] = (account.name, self._exact.get(month, ("", 0))[1] + cost)

    def _price(self, usage: Usage) -> Price:
        place = (usage.class_name, usage.direction, usage.day)
        if place not in self._found:
            self._found[place] = price_of(self.prices, *place)
        return self._found[place]


def _key(usage: Usage) -> Key:
    return (
        usage.account.uid,
        usage.resource.network_uid,
        usage.resource.port_uid,
        usage.class_id,
        usage.class_name,
        usage.direction,
        usage.day,
    )


def _add(old: Sum, new: Sum) -> Sum:
    usage = replace(
        new.usage, packets=old.usage.packets + new.usage.packets, bytes=old.usage.bytes + new.usage.bytes
    )
    return Sum(usage, old.cost + new.cost, old.list_cost + new.list_cost)


def _usage_of(row: Mapping[str, Any], day: date) -> Usage:
    port = row["ResourceType"] == "Port"
    return Usage(
        Account(row["BillingAccountId"], row["BillingAccountName"] or ""),
        Resource(
            row["SubAccountId"] or "",
            row["SubAccountName"] or "",
            (row["ResourceId"] or "") if port else "",
            (row["ResourceName"] or "") if port else "",
        ),
        row["x_EgressClassId"],
        row["x_EgressClass"],
        Direction(row["x_Direction"]),
        day,
        row["x_PacketCount"],
        int(row["ConsumedQuantity"]),
    )

"""FOCUS: columns and rows of the FinOps Open Cost and Usage Specification, version 1.2 (June 2025). Pure.

Place: between sums of the ledger with a price list and the writers of CSV, Parquet, JSON and chains. Must not
round a row: cost = bytes x price with eighteen decimals, exactly, so that rows add up to their total whoever
adds them. The total of an account and a billing period is rounded once, and the difference is a row.

A tenant is a billing account, a network a sub account, a port a resource; a billing period is a month, UTC.
All that a tenant pays for a billing period is one invoice, `2026-11/<the tenant's uid>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from accounting.classes import Direction
from accounting.money import GB_SCALE, PRICE_SCALE, SCALE, decimal
from accounting.prices import UNIT, Price, PriceList

VERSION: Final = "1.2"
Value = str | int | Decimal | None
Row = Mapping[str, Value]
"""By column, all of COLUMNS in their order. Dates and times are text, as FOCUS writes them."""


class Type(Enum):
    """As FOCUS names them in its metadata."""

    STRING = "STRING"
    DECIMAL = "DECIMAL"
    INTEGER = "INTEGER"
    DATETIME = "DATETIME"
    JSON = "JSON"


class Null(Enum):
    NEVER = "never"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type
    null: Null


def _columns(type_: Type, null: Null, *names: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_, null) for name in names)


_FOCUS: Final = (
    *_columns(
        Type.STRING, Null.NEVER,
        "BillingAccountId", "BillingAccountType", "BillingCurrency", "ChargeCategory", "ChargeDescription",
        "ChargeFrequency", "InvoiceId", "InvoiceIssuerName", "ProviderName", "PublisherName",
        "ServiceCategory", "ServiceName", "ServiceSubcategory",
    ),
    *_columns(
        Type.STRING, Null.ALLOWED,
        "BillingAccountName", "ChargeClass", "CommitmentDiscountCategory", "CommitmentDiscountId",
        "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType", "ConsumedUnit",
        "PricingCategory", "PricingUnit", "RegionId", "RegionName", "ResourceId", "ResourceName",
        "ResourceType", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType",
    ),
    *_columns(Type.DECIMAL, Null.NEVER, "BilledCost", "ContractedCost", "EffectiveCost", "ListCost"),
    *_columns(
        Type.DECIMAL, Null.ALLOWED,
        "ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity",
    ),
    *_columns(
        Type.DATETIME, Null.NEVER,
        "BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart",
    ),
    *_columns(Type.JSON, Null.ALLOWED, "SkuPriceDetails", "Tags"),
)  # fmt: skip
COLUMNS: Final = (
    *sorted(_FOCUS, key=lambda column: column.name),
    *_columns(Type.STRING, Null.ALLOWED, "x_Direction", "x_EgressClass", "x_EgressClassId"),
    *_columns(Type.INTEGER, Null.ALLOWED, "x_GapBoundBytes", "x_GapCount", "x_PacketCount"),
)
"""FOCUS's own by name, then ours, as its attribute ColumnHandling wants. Those of commitments are always
null: readers of FOCUS 1.0 ask for them."""
SUMMED: Final = ("BilledCost", "ConsumedQuantity")


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant, with its name as of the row."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """Of whom a row is: a port in its network, or (uid empty) the network as a whole."""

    network_uid: str
    network_name: str
    port_uid: str
    port_name: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What passed on one day (UTC). Bytes of layer 3."""

    account: Account
    resource: Resource
    class_id: str
    class_name: str
    direction: Direction
    day: date
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Blind:
    """Gaps that touch a day. `bound`: bytes (layer 2) at most, None = unknown."""

    account: Account
    resource: Resource
    day: date
    gaps: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Period:
    """Half open, days in UTC."""

    first: date
    end: date

    def holds(self, day: date) -> bool:
        return self.first <= day < self.end


def month_of(day: date) -> Period:
    """The billing period of a day."""
    first = day.replace(day=1)
    return Period(first, (first + timedelta(days=31)).replace(day=1))


def cost_of(usage: Usage, price: Price) -> int:
    """What is billed, in 10^-18 of the currency."""
    return usage.bytes * price.contracted


def charge(prices: PriceList, usage: Usage, price: Price) -> Row:
    """The row of one day's usage."""
    cost = decimal(cost_of(usage, price), SCALE)
    text = (
        f"{usage.bytes} bytes {_way(usage)} on {usage.day.isoformat()}, "
        f"{decimal(price.contracted, PRICE_SCALE):f} {prices.currency}/{UNIT}"
    )
    return _row(
        prices,
        usage.account,
        month_of(usage.day),
        Period(usage.day, usage.day + timedelta(days=1)),
        usage.resource,
        {
            **_costs(cost, decimal(usage.bytes * price.listed, SCALE)),
            **_measured(usage, price),
            "ChargeDescription": text,
        },
    )


@dataclass(frozen=True, slots=True)
class Change:
    """What a later export knows better than what was invoiced: differences of bytes and of cost (10^-18)."""

    usage: Usage
    cost: int
    list_cost: int
    period: Period
    """The billing period in which it is invoiced."""


def correction(prices: PriceList, change: Change, price: Price) -> Row:
    """The row of a change. `change.usage` holds differences: its bytes may be negative."""
    usage = change.usage
    text = (
        f"correction by {usage.bytes} bytes {_way(usage)} on {usage.day.isoformat()}, "
        f"{decimal(price.contracted, PRICE_SCALE):f} {prices.currency}/{UNIT}"
    )
    return _row(
        prices,
        usage.account,
        change.period,
        Period(usage.day, usage.day + timedelta(days=1)),
        usage.resource,
        {
            **_costs(decimal(change.cost, SCALE), decimal(change.list_cost, SCALE)),
            **_measured(usage, price),
            "ChargeClass": "Correction",
            "ChargeDescription": text,
        },
    )


def unknown(prices: PriceList, blind: Blind) -> Row:
    """The row of a day's gaps: it costs nothing, and says what at most is not on the bill."""
    size = "of unknown size" if blind.bound is None else f"of at most {blind.bound} bytes in all"
    whose = blind.resource.port_name or blind.resource.network_name
    return _row(
        prices,
        blind.account,
        month_of(blind.day),
        Period(blind.day, blind.day + timedelta(days=1)),
        blind.resource,
        {
            **_costs(Decimal(0), Decimal(0)),
            "ChargeCategory": "Adjustment",
            "ChargeDescription": f"not counted and not billed: {blind.gaps} gaps {size}, of {whose}",
            "ChargeFrequency": "One-Time",
            "x_GapBoundBytes": blind.bound,
            "x_GapCount": blind.gaps,
        },
    )


def rounding(prices: PriceList, account: Account, billed: Period, of: Period, cost: int) -> Row:
    """The row that makes an account's rows add up to what its invoice says. `of`: whose charges they are."""
    text = f"rounding of the invoice's total to {decimal(prices.step, PRICE_SCALE):f} {prices.currency}"
    return _row(
        prices,
        account,
        billed,
        of,
        None,
        {
            **_costs(decimal(cost, SCALE), decimal(cost, SCALE)),
            "ChargeCategory": "Adjustment",
            "ChargeDescription": text,
            "ChargeFrequency": "One-Time",
        },
    )


def sku_of(class_name: str, direction: Direction) -> str:
    """The same whatever it costs and whoever pays."""
    return f"data-transfer-{direction.value}/{class_name}"


def metadata(made: datetime) -> dict[str, Any]:
    """FOCUS's metadata of the data set: version and columns."""
    decimals = {"NumericPrecision": 38, "NumberScale": SCALE}
    return {
        "SchemaId": f"ringfence-focus-{VERSION}-1",
        "FocusVersion": VERSION,
        "CreationDate": made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ColumnDefinition": [
            {
                "ColumnName": column.name,
                "DataType": column.type.value,
                **(decimals if column.type is Type.DECIMAL else {}),
                **({"StringEncoding": "UTF-8"} if column.type is Type.STRING else {}),
            }
            for column in COLUMNS
        ],
    }


def _row(
    prices: PriceList,
    account: Account,
    billed: Period,
    charged: Period,
    resource: Resource | None,
    own: Mapping[str, Value],
) -> Row:
    region = prices.region
    said: dict[str, Value] = {
        "BillingAccountId": account.uid,
        "BillingAccountName": account.name or None,
        "BillingAccountType": "Tenant",
        "BillingCurrency": prices.currency,
        "BillingPeriodEnd": _midnight(billed.end),
        "BillingPeriodStart": _midnight(billed.first),
        "ChargePeriodEnd": _midnight(charged.end),
        "ChargePeriodStart": _midnight(charged.first),
        "InvoiceId": f"{billed.first:%Y-%m}/{account.uid}",
        "InvoiceIssuerName": prices.party.invoice_issuer,
        "ProviderName": prices.party.provider,
        "PublisherName": prices.party.publisher,
        "RegionId": region.id if region else None,
        "RegionName": region.name if region else None,
        "ServiceCategory": "Networking",
        "ServiceName": "Data Transfer",
        "ServiceSubcategory": "Network Connectivity",
        **(_resource(resource) if resource else {}),
        **own,
    }
    return {column.name: said.get(column.name) for column in COLUMNS}


def _resource(of: Resource) -> dict[str, Value]:
    uid, name, kind = (
        (of.port_uid, of.port_name, "Port") if of.port_uid else (of.network_uid, of.network_name, "Network")
    )
    return {
        "ResourceId": uid or None,
        "ResourceName": (name or None) if uid else None,
        "ResourceType": kind if uid else None,
        "SubAccountId": of.network_uid or None,
        "SubAccountName": (of.network_name or of.network_uid) if of.network_uid else None,
        "SubAccountType": "Network" if of.network_uid else None,
    }


def _costs(billed: Decimal, listed: Decimal) -> dict[str, Value]:
    return {"BilledCost": billed, "ContractedCost": billed, "EffectiveCost": billed, "ListCost": listed}


def _measured(usage: Usage, price: Price) -> dict[str, Value]:
    details = {"x_Direction": usage.direction.value, "x_EgressClass": usage.class_name}
    sku = sku_of(usage.class_name, usage.direction)
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": Decimal(usage.bytes),
        "ConsumedUnit": "B",
        "ContractedUnitPrice": decimal(price.contracted, PRICE_SCALE),
        "ListUnitPrice": decimal(price.listed, PRICE_SCALE),
        "PricingCategory": "Standard",
        "PricingQuantity": decimal(usage.bytes, GB_SCALE),
        "PricingUnit": UNIT,
        "SkuId": sku,
        "SkuMeter": f"Data Transfer {usage.direction.value.title()}",
        "SkuPriceDetails": json.dumps(details, sort_keys=True),
        "SkuPriceId": f"{sku}@{price.first.isoformat()}",
        "x_Direction": usage.direction.value,
        "x_EgressClass": usage.class_name,
        "x_EgressClassId": usage.class_id,
        "x_PacketCount": usage.packets,
    }


def _way(usage: Usage) -> str:
    who = usage.resource.port_name or usage.resource.network_name
    return f"{'sent to' if usage.direction is Direction.OUT else 'received from'} {usage.class_name} by {who}"


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"

"""What FOCUS 1.2 asks of a row, in words of our own: each "MUST" of its columns that can be seen in rows.

From the specification's columns and attributes, not from `accounting.focus`: names, null rules and allowed
values stand here once more, so that a mistake there is no mistake here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

NEVER_NULL: Final = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName", "ServiceSubcategory",
)  # fmt: skip
PRESENT: Final = (
    *NEVER_NULL, "BillingAccountName", "BillingAccountType", "ChargeClass", "ChargeDescription",
    "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId", "ListUnitPrice",
    "PricingCategory", "PricingQuantity", "PricingUnit", "RegionId", "RegionName", "ResourceId",
    "ResourceName", "ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
"""Mandatory, recommended, and conditional ones whose condition holds here."""
_ALLOWED: Final = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {None, "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {None, "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"Networking"},
    "ServiceSubcategory": {"Network Connectivity"},
    "ConsumedUnit": {None, "B"},
    "PricingUnit": {None, "GB"},
}
_TOGETHER: Final = (
    ("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit"), ("RegionId", "RegionName"),
    ("ResourceId", "ResourceType"), ("SubAccountId", "SubAccountName"), ("SubAccountId", "SubAccountType"),
    ("BillingAccountId", "BillingAccountType"),
)  # fmt: skip
"""Null together, or not."""
_OF_USAGE: Final = (
    "ConsumedQuantity", "ContractedUnitPrice", "ListUnitPrice", "PricingCategory", "PricingQuantity", "SkuId",
    "SkuPriceId",
)  # fmt: skip
"""Not null where the category is Usage and it is no correction."""
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_PRODUCTS: Final = (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice"))


def mistakes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """All that is wrong, with the row's number."""
    return [f"row {number}: {text}" for number, row in enumerate(rows) for text in _of_row(row)]


def _of_row(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in PRESENT if name not in row)
    yield from (f"{name} is null" for name in NEVER_NULL if row[name] is None)
    yield from (f"{name} is empty" for name, value in row.items() if value == "")
    yield from (f"{name} is {row[name]}" for name, some in _ALLOWED.items() if row[name] not in some)
    for one, other in _TOGETHER:
        if (row[one] is None) != (row[other] is None):
            yield f"of {one} and {other} only one is null"
    usage, correction = row["ChargeCategory"] == "Usage", row["ChargeClass"] == "Correction"
    if usage and not correction:
        yield from (f"{name} of usage is null" for name in _OF_USAGE if row[name] is None)
    if not usage and row["ConsumedQuantity"] is not None:
        yield "ConsumedQuantity of what is no usage"
    for cost, price in _PRODUCTS:
        if row[price] is None:
            if row[cost] != row["BilledCost"]:
                yield f"{cost} without a price is not BilledCost"
        elif row[price] < 0:
            yield f"{price} is negative"
        elif not correction and Decimal(row[price]) * row["PricingQuantity"] != row[cost]:
            yield f"{cost} is not {price} x PricingQuantity"
    yield from _forms(row)


def _forms(row: Mapping[str, Any]) -> Iterator[str]:
    """Attributes: dates and times, currencies, key-value pairs, names of columns."""
    for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
        if not _MOMENT.fullmatch(row[name]):
            yield f"{name} is no UTC time"
    for what in ("BillingPeriod", "ChargePeriod"):
        if row[f"{what}Start"] >= row[f"{what}End"]:
            yield f"{what} ends before it begins"
    if not re.fullmatch(r"[A-Z]{3}", row["BillingCurrency"]):
        yield "BillingCurrency is no code of ISO 4217"
    for name in ("SkuPriceDetails", "Tags"):
        pairs = json.loads(row[name]) if row[name] is not None else {}
        if not isinstance(pairs, dict) or any(isinstance(value, dict | list) for value in pairs.values()):
            yield f"{name} holds no plain pairs"
        if name == "SkuPriceDetails" and any(not key.startswith("x_") for key in pairs):
            yield "a property of a SKU of ours lacks x_"
    seen = False
    for name in row:
        seen = seen or name.startswith("x_")
        if seen != name.startswith("x_") or not re.fullmatch(r"(x_)?[A-Z][A-Za-z]*", name):
            yield f"{name} is named or placed as no column may be"

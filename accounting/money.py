"""Money: exact amounts, as whole numbers of the smallest part that any price can make. Pure.

Place: below prices and charges. Must not use floating point, and must not round but where `rounded` is asked:
bytes are 10^-9 GB and a price has at most nine decimals, so that their product has eighteen, and sums of any
length stay exact.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import Enum
from typing import Final

PRICE_SCALE: Final = 9
"""Decimals of a price."""
SCALE: Final = 18
"""Decimals of a cost: those of a price and of a quantity in GB."""
GB_SCALE: Final = 9
"""A GB is 10^9 bytes."""
_EXACT: Final = Context(prec=120, traps=[Inexact, InvalidOperation])
_AMOUNT: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)


class Mode(Enum):
    """Where an amount just between two goes."""

    HALF_UP = "half-up"
    """Away from zero."""
    HALF_EVEN = "half-even"


def parse_amount(text: str) -> int | None:
    """`0.05` -> 50,000,000: billionths, exactly; None for what is no plain decimal of up to nine decimals."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    return int(found[1] + (found[2] or "").ljust(PRICE_SCALE, "0"))


def decimal(value: int, scale: int) -> Decimal:
    """value x 10^-scale, exactly (whatever the context's precision), without zeros at the end."""
    while scale and not value % 10:
        value, scale = value // 10, scale - 1
    digits = tuple(int(digit) for digit in str(abs(value)))
    return Decimal((1 if value < 0 else 0, digits, -scale))


def rounded(cost: int, step: int, mode: Mode) -> int:
    """The multiple of `step` nearest to `cost`; both have the same scale, `step` > 0."""
    whole, rest = divmod(abs(cost), step)
    more = 2 * rest > step or (2 * rest == step and (mode is Mode.HALF_UP or whole % 2 == 1))
    near = (whole + (1 if more else 0)) * step
    return near if cost >= 0 else -near


def units(number: Decimal | str, scale: int) -> int:
    """How many 10^-scale `number` is; ArithmeticError if it is no whole number of them."""
    return int(_EXACT.scaleb(_EXACT.create_decimal(number), scale).to_integral_exact(context=_EXACT))

"""Sizes: bytes in words, in decimal units, for eyes only. Pure.

Place: for alarms, tables and pictures. Must not be parsed, or added up.
"""

from __future__ import annotations

from typing import Final

UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
"""Each a thousand of the one before."""


def human(size: int) -> str:
    """Three digits: 999 B, 1.23 kB, 45.6 GB."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return f"{size} B"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {UNITS[unit]}"

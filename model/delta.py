"""Desired against observed: the pure difference that every southbound applies.

Place: between compilers and effects. Must not order I/O or know what the values mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Delta(Generic[K, V]):
    """`put`: missing or different, with the desired value; `drop`: keys present that nobody wants."""

    put: dict[K, V]
    drop: dict[K, V]

    def __bool__(self) -> bool:
        return bool(self.put or self.drop)


def diff(desired: Mapping[K, V], observed: Mapping[K, V]) -> Delta[K, V]:
    """What turns `observed` into `desired`; order follows the mappings' own order."""
    missing = object()
    return Delta(
        put={k: v for k, v in desired.items() if observed.get(k, missing) != v},
        drop={k: v for k, v in observed.items() if k not in desired},
    )

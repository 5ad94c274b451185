"""Members: indexes that say who belongs to what, and how many, without what is empty.

Place: under `ipam.draft`, which keeps several of them. Must not know what they are of.
"""

from __future__ import annotations

from typing import Any, TypeVar

from immutables import Map, MapMutation

K = TypeVar("K")


def add(index: MapMutation[Any, Map[Any, None]], key: Any, member: Any) -> None:
    index[key] = index.get(key, Map()).set(member, None)


def discard(index: MapMutation[Any, Map[Any, None]], key: Any, member: Any) -> None:
    members = index.get(key, Map())
    if member in members:
        rest = members.delete(member)
        if rest:
            index[key] = rest
        else:
            del index[key]


def count(counts: MapMutation[K, int], key: K, step: int) -> None:
    now = counts.get(key, 0) + step
    if now:
        counts[key] = now
    else:
        counts.pop(key, None)

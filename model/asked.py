"""Asked: what became of the questions that ports asked their network, as a host tells it.

Place: part of `model.report`; made by the agent, read by metrics and by whoever looks at a port. Must not
trust the text: a host may be compromised, so what does not fit is a ValueError, and what is too long is cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from model.foreign import mapping, number

Counts = tuple[tuple[str, int], ...]
"""(word, number), sorted: `services.outcome.Outcome` and what the agent adds."""
MOST_WORDS: Final = 32
MOST_PORTS: Final = 2_000
_WORD: Final = re.compile(r"[a-z]{1,20}", re.ASCII)
_LONGEST_UID: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """Since the agent began. `totals`: of the host; `ports`: (uid, counts) of those that are here, sorted."""

    totals: Counts = ()
    ports: tuple[tuple[str, Counts], ...] = ()

    def of(self, uid: str) -> Counts:
        """Of one port; empty if nothing is known."""
        return next((counts for known, counts in self.ports if known == uid), ())


NOTHING: Final = Asked()


def parse(value: object) -> Asked:
    """Of a parsed JSON text."""
    plain = mapping(value)
    ports = _items(plain.get("ports", []), MOST_PORTS)
    return Asked(_counts(plain.get("totals", [])), tuple(_port(one) for one in ports))


def _port(value: Any) -> tuple[str, Counts]:
    uid, counts = _pair(value)
    if not isinstance(uid, str):
        raise ValueError("a port's uid is no text")
    return uid[:_LONGEST_UID], _counts(counts)


def _counts(value: Any) -> Counts:
    return tuple(_count(one) for one in _items(value, MOST_WORDS))


def _count(value: Any) -> tuple[str, int]:
    word, count = _pair(value)
    if not isinstance(word, str) or not _WORD.fullmatch(word):
        raise ValueError("what became of a question is no word")
    return word, number(count, word, 63)


def _pair(value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("a count is no pair")
    return value[0], value[1]


def _items(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("counts are no list")
    return value[:most]

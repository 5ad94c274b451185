"""Hearing: what hosts say of gangs, and which of them go on saying it.

Place: fed by the conductor with words from the reports. Must not believe a host's clock for longer than until
it is heard a second time, nor end at a word that is garbled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controller.store.words import Word
from model.bearing import HostPart, parse_host
from model.ids import HostName

log = logging.getLogger(__name__)
SILENCE: Final = 20.0
"""Seconds; agents speak every 5."""


@dataclass(slots=True)
class _Said:
    stamp: int
    since: float
    text: str
    parts: Mapping[int, HostPart]


class Hearing:
    """`now`: Unix ms; `elapsed`: seconds that only go forward."""

    def __init__(self, now: Callable[[], int], elapsed: Callable[[], float]) -> None:
        self._now, self._elapsed = now, elapsed
        self._said: dict[HostName, _Said] = {}

    def take(self, words: Iterable[Word]) -> None:
        """Hosts that are not among them said nothing new."""
        for word in words:
            host = HostName(word.name)
            known = self._said.get(host)
            if known is not None and known.stamp == word.stamp:
                continue
            # Of the first word only its stamp tells how old it is; after that a change does.
            age = 0.0 if known is not None else max(self._now() - word.stamp, 0) / 1000
            same = known is not None and known.text == word.text
            parts = known.parts if known is not None and same else _parts(word)
            self._said[host] = _Said(word.stamp, self._elapsed() - age, word.text, parts)

    def hosts(self) -> dict[HostName, tuple[Mapping[int, HostPart], bool]]:
        """By host: what it says of each gang, by generation, and whether it was heard lately."""
        end = self._elapsed() - SILENCE
        return {host: (said.parts, said.since > end) for host, said in self._said.items()}


def _parts(word: Word) -> Mapping[int, HostPart]:
    try:
        return {part.generation: part for part in parse_host(word.text).parts}
    except (ValueError, KeyError, TypeError) as error:
        log.warning("word of host=%s is left out: %s", word.name, error)
        return {}

"""Office: which process speaks for a fabric. Two that were started by mistake do not both drive it.

Place: asked by the conductor before it acts; each word is written only if nobody else spoke since the last
one. Must not trust clocks of other machines: another one is silent when its stamp stood still for `SILENCE`
seconds of this process's own time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from controller.store.faults import Lost, Raced
from controller.store.words import Word
from controller.store.writer import Store
from model.bearing import parse_fabric

log = logging.getLogger(__name__)
SILENCE: Final = 15.0
"""Seconds."""
BEAT: Final = 3.0
"""Seconds between words, if nothing is new."""


class Office:
    """`owner`: a name that no other process has at the same time; a later life of the same one may go on at
    once. `now`: Unix ms; `elapsed`: seconds that only go forward.
    """

    def __init__(
        self,
        store: Store,
        fabric: str,
        owner: str,
        now: Callable[[], int],
        elapsed: Callable[[], float],
    ) -> None:
        self.fabric, self.owner = fabric, owner
        self._store, self._now, self._elapsed = store, now, elapsed
        self._lock = threading.Lock()
        self._stamp: int | None = None
        self._spoken = 0.0
        self._text = ""
        self._other: tuple[int, float] = (-1, 0.0)
        self.holder = ""

    @property
    def held(self) -> bool:
        """Whether nobody else can have begun to speak since the last word."""
        return self._stamp is not None and self._elapsed() - self._spoken < SILENCE / 2

    def speak(self, text: str) -> bool:
        """Say it for the fabric; False if another process does so. Raises Unavailable."""
        with self._lock:
            self._text = text
            return self._speak()

    def repeat(self) -> None:
        """Say the last word again, from another thread, while a round takes its time. Raises Unavailable."""
        with self._lock:
            if self._stamp is not None and self._elapsed() - self._spoken >= BEAT:
                self._speak()

    def leave(self, text: str) -> None:
        """The last word, which names nobody: the next one need not wait. Raises Unavailable."""
        with self._lock:
            if self._stamp is not None:
                self._text = text
                self._speak()
                self._stamp = None

    def _speak(self) -> bool:
        before = self._stamp
        if before is None:
            free, before = self._listen()
            if not free:
                return False
        stamp = max(self._now(), (before or 0) + 1)
        was, self._stamp = self._stamp, None
        try:
            self._store.follow_fabric(Word(self.fabric, self._text, stamp), before)
        except Raced:
            log.warning("another process speaks for fabric=%s", self.fabric)
            return False
        except Lost:
            return False  # the next time it is seen whether it was said
        if was is None:
            log.info("speaks for fabric=%s owner=%s", self.fabric, self.owner)
        self._stamp, self._spoken, self.holder = stamp, self._elapsed(), self.owner
        return True

    def _listen(self) -> tuple[bool, int | None]:
        """Whether this process may speak, and after which stamp; None = nobody ever spoke."""
        word = next((w for w in self._store.fabric_words() if w.name == self.fabric), None)
        if word is None:
            return True, None
        owner = _owner(word)
        if owner in ("", self.owner):
            return True, word.stamp
        if owner != self.holder:
            log.warning("waits: fabric=%s is spoken for by owner=%s", self.fabric, owner)
        self.holder = owner
        if word.stamp != self._other[0]:
            self._other = (word.stamp, self._elapsed())
        return self._elapsed() - self._other[1] >= SILENCE, word.stamp


def _owner(word: Word) -> str:
    try:
        return parse_fabric(word.text).owner
    except ValueError:
        return "?"

"""Turns: what waits is taken in turns of whoever asked, so that one who floods waits for itself alone.

Place: between what hears ports (`controller.services.turnstile`, `controller.agent.answering`) and what
answers them. Each has a short queue of its own. Who had nothing waiting comes before all who had; and nobody
waits for more than one turn of each other. Must not look at what waits, nor at a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


class Turns(Generic[Key, Item]):
    """At most `depth` wait of each. All that is done costs the same, however many wait."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._own: dict[Key, deque[Item]] = {}
        # Who comes to the end of `_rest` with nothing waiting is forgotten, and is fresh when he asks again:
        # so he is fresh once in a round of all others, and cannot keep them waiting by it.
        self._fresh: deque[Key] = deque()
        self._rest: deque[Key] = deque()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def put(self, key: Key, item: Item) -> Item | None:
        """Let it wait. If too many of this one's wait already, the oldest of them is pushed out: returned."""
        own = self._own.get(key)
        if own is None:
            own = self._own[key] = deque()
            self._fresh.append(key)
        own.append(item)
        if len(own) > self._depth:
            return own.popleft()
        self._waiting += 1
        return None

    def take(self) -> Item | None:
        """The next; None: nothing waits."""
        for line in (self._fresh, self._rest):
            while line:
                key = line.popleft()
                own = self._own[key]
                if own:
                    self._rest.append(key)
                    self._waiting -= 1
                    return own.popleft()
                del self._own[key]
        return None

    def waiting(self, key: Key) -> int:
        """How many wait of this one."""
        return len(self._own.get(key, ()))

"""Hush: keeps a host silent that has a partner and does not hold their lease.

Place: between the loop and what announces. The loop is fenced by an event of the lease, which may still be
on its way when an agent that was stopped goes on: whether it may speak is asked of the clock, here, at each
word. What is not said is not lost: the routes of a host that gets the lease are all new. Must not hold
withdrawals back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from bgp.interest import Interest
from controller.agent.effects import Speaker
from model.route import Route

LOG: Final = logging.getLogger(__name__)


class Hush:
    """A speaker that announces only while `allowed`."""

    def __init__(self, speaker: Speaker, allowed: Callable[[], bool]) -> None:
        self._speaker = speaker
        self._allowed = allowed

    def announce(self, routes: Iterable[Route]) -> int:
        """The number announced: none if the host is fenced."""
        said = tuple(routes)
        if said and not self._allowed():
            LOG.warning("not announced routes=%d: this host does not hold the lease", len(said))
            return 0
        return self._speaker.announce(said)

    def withdraw(self, routes: Iterable[Route]) -> int:
        """See the speaker."""
        return self._speaker.withdraw(routes)

    def eor(self) -> None:
        """See the speaker."""
        self._speaker.eor()

    def learn(self, interest: Interest, targets: tuple[bytes, ...] | None) -> None:
        """See the speaker."""
        self._speaker.learn(interest, targets)

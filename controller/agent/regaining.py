"""Regaining: what a journal amounts to when an agent begins: the state of before, or a fresh one.

Place: called by those who count into a journal (`controller.agent.meter`, `controller.agent.gauging`). Must
not guess: what is not understood ends the agent, since counting on could bill a byte twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from accounting.journal import Journal
from model.errors import Fault, Unavailable

LOG: Final = logging.getLogger(__name__)
_SEQUENCE_SHIFT: Final = 20

S = TypeVar("S")


def first_sequence(now_ms: int) -> int:
    """Of a new journal: Unix seconds << 20, above older journals' numbers, below 2^53 (JSON readers)."""
    return now_ms // 1_000 << _SEQUENCE_SHIFT


def regained(name: str, journal: Journal, fresh: S, understand: Callable[[bytes, tuple[bytes, ...]], S]) -> S:
    """The state that the journal `name` holds; `fresh` if it holds none, or less than the ledger.

    `understand`: the state by a checkpoint and the steps after it, ValueError for what they can't be.
    Unavailable: it can't be understood.
    """
    found = journal.recovery
    if found.torn or found.missing:
        LOG.warning("%s was damaged torn=%d missing=%d", name, found.torn, found.missing)
    if found.checkpoint is None:
        return fresh
    if found.behind:
        LOG.error("%s lost what was uploaded: counting anew, with gaps", name)
        return fresh
    try:
        return understand(found.checkpoint, found.steps)
    except ValueError as error:
        raise Unavailable(
            Fault(
                name,
                "journal-format",
                f"the journal's content is not understood: {error}",
                "start the version that wrote it, or move its directory away: that makes gaps",
            )
        ) from error

"""Pen: steps that are counted on their way to the disk, one of them on a thread of its own, so that the loop
need not wait for it.

Place: held by `controller.agent.meter`. The thread writes and syncs, and does nothing else: what it writes
was made before. Must not lose the answer, nor let a step overtake another: one that was refused is offered
again, unchanged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from accounting.journal import Journal, Need, Refused, Written
from accounting.state import Step

LOG: Final = logging.getLogger(__name__)
Answer = Written | Refused


class Pen:
    """Begins at once."""

    def __init__(self, write: Callable[[], Answer]) -> None:
        self._write = write
        self._answer: Answer = Refused("it was never tried")
        self._thread = threading.Thread(target=self._run, name="egress-journal", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether `answer` need not wait."""
        return not self._thread.is_alive()

    def answer(self) -> Answer:
        """What the journal said, as soon as it has."""
        self._thread.join()
        return self._answer

    def _run(self) -> None:
        self._answer = self._write()


@dataclass(frozen=True, slots=True)
class Held:
    """A step that is counted in memory, as it will stand in the journal."""

    step: Step
    body: bytes
    checkpoint: Callable[[], bytes]
    need: Need


class Tray:
    """Of one meter, in one thread: what the journal has not taken yet, in order."""

    def __init__(self, journal: Journal, on_written: Callable[[], None]) -> None:
        """`on_written`: told after what is on disk, with something to upload."""
        self._journal, self._on_written = journal, on_written
        self._held: list[Held] = []
        self._pen: Pen | None = None
        self._refused = False
        # Whether earlier frames hold something to upload is not known: all of them have to be gone first.
        self._billable = journal.newest

    def __len__(self) -> int:
        return len(self._held)

    @property
    def writing(self) -> bool:
        """Whether the thread has a step."""
        return self._pen is not None

    @property
    def answered(self) -> bool:
        """Whether it has one, and the journal has said what becomes of it."""
        return self._pen is not None and self._pen.done

    @property
    def handed(self) -> bool:
        """Whether all that was ever put here has been taken by the API."""
        waiting = self._journal.waiting
        return not self._held and (waiting is None or waiting > self._billable)

    def put(self, held: Held) -> None:
        """Behind all others."""
        self._held.append(held)

    def begin(self) -> None:
        """Give the first one to the thread."""
        held, need = self._held[0], self._need()
        self._pen = Pen(lambda: self._write(held, need))

    def flush(self) -> bool:
        """Write what is held, and wait for it; False if the journal refuses."""
        wrote, need = False, self._need()
        while self._held:
            held, pen = self._held[0], self._pen
            self._pen = None  # what it writes is the first that is held
            result = self._write(held, need) if pen is None else pen.answer()
            if isinstance(result, Refused) and pen is not None and need is Need.FINAL:
                result = self._write(held, need)  # the pen may not have known of what is behind it
            if isinstance(result, Refused):
                if not self._refused:
                    LOG.error("egress journal refuses host=%s: %s", held.step.run.host, result.reason)
                self._refused = True
                return False
            if self._refused:
                LOG.info("egress journal goes on host=%s", held.step.run.host)
            self._refused = False
            self._held.pop(0)
            if held.step.records:
                wrote, self._billable = True, result.number
        if wrote:
            self._on_written()
        return True

    def _need(self) -> Need:
        """The greatest, since they are written in order."""
        return Need.FINAL if any(held.need is Need.FINAL for held in self._held) else Need.USUAL

    def _write(self, held: Held, need: Need) -> Answer:
        return self._journal.append(held.body, held.checkpoint, need)

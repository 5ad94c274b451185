"""Answering: hears what ports ask their network, answers them in turns, and advertises the router, on its own
thread.

Place: an effect beside the loop, whose state it only looks at; `controller.agent.responding` is pure.
It has a connection of its own to the switch, so that it waits for nothing of the loop's, and the loop for
nothing of it. Whatever fails costs an answer, never the thread. Must not change the switch.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.agent.responding import Responder
from controller.southbound.openflow.questions import Line, Question
from model.asked import NOTHING, Asked
from model.errors import RingfenceError
from model.ids import HostName
from model.snapshot import Snapshot
from services.turns import Turns

LOG: Final = logging.getLogger(__name__)
TICK: Final = 1.0
"""Seconds between looks at what is due, and between attempts to reach a switch that is away."""
TELL: Final = 30.0
"""Seconds for which what is told of questions stands: a workload must not make reports."""
DEPTH: Final = 24
"""Questions of a port that may wait: more than its meter lets through at once (`pipelines.limits`)."""
_SLICE: Final = 0.002
"""Seconds of answers before the line is looked at again, by which other threads of the agent go first."""
_GLANCE: Final = 0.2
"""Seconds between looks at whether it shall end."""
_JOIN: Final = 10.0


class Answering:
    """`path`: `<rundir>/<bridge>.mgmt`. `asked` may be called from any thread."""

    def __init__(self, path: Path, host: HostName, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._host, self._clock = path, host, clock
        self._responder = Responder(clock)
        self._line: Line | None = None
        self._turns: Turns[int, Question] = Turns(DEPTH)
        self._due = self._tell_at = clock()
        self._told = NOTHING
        self._trouble: str | None = None
        self._failed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread()

    def start(self, look: Callable[[], Snapshot]) -> None:
        """Begin to hear. `look`: the snapshot as it is now, from any thread."""
        self._thread = threading.Thread(target=self._run, args=(look,), name="answering", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def asked(self) -> Asked:
        """What became of the questions so far; the same object for a while, so that reports stay few."""
        return self._told

    def _run(self, look: Callable[[], Snapshot]) -> None:
        while not self._stopping.is_set():
            try:
                self._turn(look)
                self._note("")
            except RingfenceError as error:
                self._hang_up()
                self._note(str(error))
                self._stopping.wait(TICK)
            except Exception:  # noqa: BLE001 - whatever fails costs a turn, never the thread
                self._fail()
                self._stopping.wait(TICK)
        self._hang_up()

    def _turn(self, look: Callable[[], Snapshot]) -> None:
        """What is asked within a moment, a few answers, then what is due. All that came is taken in before
        more is answered: in the switch it would wait behind whoever asks most."""
        if self._line is None:
            self._line = Line(self._path)
        wait = 0.0 if self._turns else min(max(self._due - self._clock(), 0.0), _GLANCE)
        for question in self._line.listen(wait):
            lost = self._turns.put(question.in_port, question)
            if lost is not None:
                self._responder.lose(look(), lost)
        end = self._clock() + _SLICE
        while (following := self._turns.take()) is not None:
            self._answer(self._line, look(), following)
            if self._clock() >= end:
                break
        if self._clock() >= self._due:
            self._due = self._clock() + TICK
            for port, frame in self._responder.advertise(look()):
                self._hand_down(self._line, port, frame)
            self._tell()

    def _tell(self) -> None:
        if self._clock() >= self._tell_at:
            self._tell_at = self._clock() + TELL
            told = self._responder.told()
            self._told = self._told if told == self._told else told

    def _answer(self, line: Line, snapshot: Snapshot, question: Question) -> None:
        try:
            frame = self._responder.respond(snapshot, question)
        except Exception:  # noqa: BLE001 - the same of a question
            self._fail()
            return
        if frame is not None:
            self._hand_down(line, question.in_port, frame)

    def _hand_down(self, line: Line, port: int, frame: bytes) -> None:
        """What can't be sent to one port is no reason to make others wait."""
        try:
            line.answer(port, frame)
        except ValueError:
            self._fail()

    def _fail(self) -> None:
        """A defect of ours is said once: else a workload could fill the log."""
        if not self._failed:
            LOG.exception("question not answered host=%s", self._host)
        self._failed = True

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            LOG.info("ports are not answered host=%s reason=%s", self._host, trouble)
        elif not trouble and self._trouble != "":
            LOG.info("ports are answered host=%s", self._host)
        self._trouble = trouble

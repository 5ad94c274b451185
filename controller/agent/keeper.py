"""Keeper: the agent's writes to the store, on a thread of their own, so that a slow store delays no packet.

Place: an effect; the loop hands claims, releases and reports over, answers come back as events. Of reports
only the
newest is written. Must not decide anything.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from controller.agent.events import Answered
from model.errors import RingfenceError, Unavailable
from model.ids import HostName, PortKey, Uid
from model.intent import Binding
from model.report import Report, render

LOG: Final = logging.getLogger(__name__)
_PAUSE: Final = 1.0
"""Seconds between tries while the store is away."""


class Writes(Protocol):
    """The part of `controller.store.writer.Store` that an agent uses."""

    def bind(self, port: Uid, host: HostName) -> Binding: ...
    def unbind(self, port: Uid, host: HostName) -> None: ...
    def put_report(self, host: HostName, report: str, stamp: int) -> None: ...


class _Want(Enum):
    BIND = "bind"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class _Errand:
    port: PortKey
    uid: Uid
    want: _Want


class Keeper:
    """All methods may be called from any thread, and none waits."""

    def __init__(self, store: Writes, host: HostName, on_answer: Callable[[Answered], None]) -> None:
        self._store = store
        self._host = host
        self._on_answer = on_answer
        self._errands: deque[_Errand] = deque()
        self._report: Report | None = None
        self._refused: dict[PortKey, str] = {}
        """What was said of each port last: the loop asks again every second."""
        self._trouble = ""
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was not written is dropped: the next life reconciles."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def bind(self, port: PortKey, uid: Uid) -> None:
        """Claim a port; the answer comes as an event."""
        self._put(_Errand(port, uid, _Want.BIND))

    def unbind(self, port: PortKey, uid: Uid) -> None:
        """Give a port back; the answer comes as an event."""
        self._put(_Errand(port, uid, _Want.RELEASE))

    def report(self, report: Report) -> None:
        """Publish; replaces one that is still waiting."""
        with self._wake:
            self._report = report
            self._wake.notify()

    def _put(self, errand: _Errand) -> None:
        with self._wake:
            self._errands.append(errand)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._errands or self._report)
                if self._stopping:
                    return
                errand = self._errands[0] if self._errands else None
                report = None if errand else self._report
            try:
                if errand is not None:
                    self._settle(errand)
                elif report is not None:
                    self._store.put_report(self._host, render(report), report.stamp_ms)
            except RingfenceError as error:  # with a report any; an errand's others are answers
                if str(error) != self._trouble:
                    LOG.warning("store takes nothing host=%s reason=%s", self._host, error)
                self._trouble = str(error)
                with self._wake:
                    self._wake.wait_for(lambda: self._stopping, _PAUSE)
                continue
            except Exception as error:  # a defect must cost this write, not all that follow
                LOG.exception("not written host=%s", self._host)
                self._give_up(errand, f"the agent failed to ask: {type(error).__name__}: {error}")
            else:
                self._trouble = ""
            with self._wake:
                if errand is not None:
                    self._errands.popleft()
                elif self._report is report:
                    self._report = None

    def _give_up(self, errand: _Errand | None, reason: str) -> None:
        if errand is not None:
            self._on_answer(Answered(errand.port, reason))
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, _PAUSE)

    def _settle(self, errand: _Errand) -> None:
        try:
            if errand.want is _Want.BIND:
                self._on_answer(Answered(errand.port, self._store.bind(errand.uid, self._host)))
            else:
                self._store.unbind(errand.uid, self._host)
                self._on_answer(Answered(errand.port, None))
            self._refused.pop(errand.port, None)
        except Unavailable:
            raise
        except RingfenceError as error:
            fault = error.faults[0]
            if self._refused.get(errand.port) != fault.rule:
                LOG.warning("claim refused host=%s port=%s rule=%s", self._host, errand.uid, fault.rule)
            self._refused[errand.port] = fault.rule
            self._on_answer(Answered(errand.port, f"{fault.message}. {fault.remedy}"))

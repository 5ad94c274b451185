"""Keeper: the agent's writes to the store, on a thread of their own, so that a slow store delays no packet.

Place: an effect; the loop hands claims, releases and reports over, answers come back as events. Of reports
only the
newest is written. Must not decide anything.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice, takewhile
from typing import Final, Protocol

from controller.agent.desk import Bundle, Desk
from controller.agent.events import Answered
from controller.store.faults import Lost, Raced
from controller.store.leases import Hold
from controller.store.reports import Saying
from model.errors import RingfenceError, Unavailable
from model.ids import HostName, PortKey, Uid
from model.intent import Binding
from model.report import PortReport, Report

LOG: Final = logging.getLogger(__name__)
_TOGETHER: Final = 200
"""Claims in one transaction at most."""
_PAUSE: Final = 1.0
"""Seconds between tries while the store is away."""


class Writes(Protocol):
    """The part of `controller.store.writer.Store` that an agent uses."""

    def bind(self, port: Uid, host: HostName, least: int, hold: Hold | None) -> Binding: ...
    def unbind(self, port: Uid, host: HostName) -> None: ...
    def bind_all(
        self, ports: Sequence[Uid], host: HostName, least: Mapping[Uid, int], hold: Hold | None
    ) -> tuple[Binding | RingfenceError, ...]: ...
    def say(self, host: HostName, saying: Saying, known: frozenset[str] | None) -> None: ...


class _Want(Enum):
    BIND = "bind"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class _Errand:
    port: PortKey
    uid: Uid
    want: _Want
    least: int = 0


class Keeper:
    """All methods may be called from any thread, and none waits. `hold`: what is shown with each claim."""

    def __init__(
        self,
        store: Writes,
        host: HostName,
        on_answer: Callable[[Answered], None],
        hold: Callable[[], Hold | None] = lambda: None,
    ) -> None:
        self._store = store
        self._hold = hold
        self._host = host
        self._on_answer = on_answer
        self._errands: deque[_Errand] = deque()
        self._desk = Desk()
        self._alone = 0
        """How many errands go one by one, since there was a defect with them together."""
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

    def bind(self, port: PortKey, uid: Uid, least: int = 0) -> None:
        """Claim a port, with this mobility sequence at least; the answer comes as an event."""
        self._put(_Errand(port, uid, _Want.BIND, least))

    def unbind(self, port: PortKey, uid: Uid) -> None:
        """Give a port back; the answer comes as an event."""
        self._put(_Errand(port, uid, _Want.RELEASE))

    def report(self, head: Report, details: Report | None, ports: Mapping[Uid, PortReport | None]) -> None:
        """Publish; replaces what is still waiting. See Desk.note."""
        with self._wake:
            self._desk.note(head, details, ports)
            self._wake.notify()

    def _put(self, errand: _Errand) -> None:
        with self._wake:
            self._errands.append(errand)
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._errands or self._desk.due)
                if self._stopping:
                    return
                errands = self._next()
                bundle = None if errands else self._desk.take()
            try:
                if errands:
                    self._settle(errands)
                elif bundle is not None:
                    self._desk.write(self._store, self._host, bundle)
            except RingfenceError as error:  # with a report any; an errand's others are answers
                self._fail(bundle, error)
                continue
            except Exception as error:  # a defect must cost this write, not all that follow
                LOG.exception("not written host=%s", self._host)
                if len(errands) > 1:
                    self._alone = len(errands)  # whose defect it is shows when each goes alone
                    continue
                self._give_up(errands, f"the agent failed to ask: {type(error).__name__}: {error}")
            else:
                self._trouble = ""
            with self._wake:
                for _ in errands:
                    self._errands.popleft()
                self._alone = max(self._alone - len(errands), 0)
                if bundle is not None:
                    self._desk.settle(bundle)

    def _fail(self, bundle: Bundle | None, error: RingfenceError) -> None:
        """The store took nothing: all is tried again, soon if only the report's ground has moved."""
        if bundle is not None:
            with self._wake:
                self._desk.fail()
            if isinstance(error, Raced | Lost) and bundle.known is not None:
                return
        if str(error) != self._trouble:
            LOG.warning("store takes nothing host=%s reason=%s", self._host, error)
        self._trouble = str(error)
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, _PAUSE)

    def _give_up(self, errands: Sequence[_Errand], reason: str) -> None:
        for errand in errands:
            self._on_answer(Answered(errand.port, reason))
        with self._wake:
            self._wake.wait_for(lambda: self._stopping, _PAUSE)

    def _next(self) -> list[_Errand]:
        """Claims of one moment share a transaction; what is given back goes alone."""
        if not self._errands:
            return []
        if self._alone or self._errands[0].want is _Want.RELEASE:
            return [self._errands[0]]
        claims = takewhile(lambda errand: errand.want is _Want.BIND, self._errands)
        return list(islice(claims, _TOGETHER))

    def _settle(self, errands: Sequence[_Errand]) -> None:
        if len(errands) > 1:
            least = {errand.uid: errand.least for errand in errands}
            answers = self._store.bind_all([e.uid for e in errands], self._host, least, self._hold())
            for errand, answer in zip(errands, answers, strict=True):
                self._tell(errand, answer)
            return
        errand = errands[0]
        try:
            if errand.want is _Want.BIND:
                self._tell(errand, self._store.bind(errand.uid, self._host, errand.least, self._hold()))
            else:
                self._store.unbind(errand.uid, self._host)
                self._tell(errand, None)
        except Unavailable:
            raise
        except RingfenceError as error:
            self._tell(errand, error)

    def _tell(self, errand: _Errand, answer: Binding | RingfenceError | None) -> None:
        if not isinstance(answer, RingfenceError):
            self._refused.pop(errand.port, None)
            self._on_answer(Answered(errand.port, answer))
            return
        fault = answer.faults[0]
        if self._refused.get(errand.port) != fault.rule:
            LOG.warning("claim refused host=%s port=%s rule=%s", self._host, errand.uid, fault.rule)
        self._refused[errand.port] = fault.rule
        self._on_answer(Answered(errand.port, f"{fault.message}. {fault.remedy}"))

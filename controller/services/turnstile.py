"""Turnstile: lets what waits in, port by port, a little at a time, and the loop at its sockets in between.

Place: between sockets (`server`, `accepting`, `web`) and what answers; one for all of them, as they share one
processor. `services.turns` says who is next. Must not know what it lets in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from model.ids import PortKey
from services.turns import Turns

LOG: Final = logging.getLogger(__name__)
DEPTH: Final = 16
"""Of a port in one lane: more than it may have connections, each of which waits for one thing at a time."""
_SLICE: Final = 0.001
"""Seconds after which sockets are looked at again."""


class Lane(Enum):
    """A port has a queue for each, so that its flood of one kind does not push out what else it asks."""

    DATAGRAM = "datagram"
    OPENING = "opening"
    STREAM = "stream"
    WEB = "web"


class Waiting(Protocol):
    """Told once what becomes of it."""

    def come(self) -> None:
        """It is its turn."""

    def lose(self) -> None:
        """It was pushed out by what its own port asked later."""


class Turnstile:
    """`clock`: seconds that never go back. Of one loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, depth: int = DEPTH) -> None:
        self._clock = clock
        self._turns: Turns[tuple[PortKey, Lane], Waiting] = Turns(depth)
        self._goes: asyncio.Handle | None = None
        self._failed = False

    def put(self, port: PortKey, lane: Lane, one: Waiting) -> None:
        """Let it wait."""
        lost = self._turns.put((port, lane), one)
        if lost is not None:
            lost.lose()
        if self._goes is None:
            self._goes = asyncio.get_running_loop().call_soon(self._go)

    async def turn(self, port: PortKey, lane: Lane) -> bool:
        """Waits for the turn. False: it was pushed out."""
        waiter = _Waiter()
        self.put(port, lane, waiter)
        return await waiter.done

    def _go(self) -> None:
        end = self._clock() + _SLICE
        self._goes = asyncio.get_running_loop().call_soon(self._go)
        while (one := self._turns.take()) is not None:
            try:
                one.come()
            except Exception:  # a defect costs an answer; said once, as a workload must not fill the log
                if not self._failed:
                    LOG.exception("not answered")
                self._failed = True
            if self._clock() >= end:
                return
        self._goes.cancel()
        self._goes = None


class _Waiter:
    """Somebody who goes on when it is his turn."""

    def __init__(self) -> None:
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def come(self) -> None:
        if not self.done.done():
            self.done.set_result(True)

    def lose(self) -> None:
        if not self.done.done():
            self.done.set_result(False)

"""Rates: how many questions a port may ask, so that one that floods hurts only itself.

Place: asked before a question is read. The clock is handed in. Must not look at the question.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.ids import PortKey


@dataclass(frozen=True, slots=True)
class Rate:
    """Questions a second in the long run, and at once."""

    steady: float = 500.0
    burst: float = 1000.0


class Rates:
    """A bucket for each port that ever asked."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left: dict[PortKey, tuple[float, float]] = {}

    def take(self, port: PortKey, now: float) -> bool:
        """Whether it may ask now; then that counts."""
        left, since = self._left.get(port, (self._rate.burst, now))
        left = min(self._rate.burst, left + (now - since) * self._rate.steady)
        enough = left >= 1
        self._left[port] = (left - 1 if enough else left, now)
        return enough

    def forget(self, port: PortKey) -> None:
        """Of a port that is gone."""
        self._left.pop(port, None)

"""Ping: ICMP and ICMPv6 echo, counted.

Place: the demo's matrix and most tests. Must not retry: what was lost is part of the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from topologies.errors import LabError
from topologies.traffic.endpoint import Endpoint

_SUMMARY = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES = re.compile(r"time=([\d.]+) ms")
_GRACE = 60.0


@dataclass(frozen=True, slots=True)
class PingResult:
    """Echo requests sent and answered; `times` in milliseconds."""

    sent: int
    received: int
    times: tuple[float, ...]

    @property
    def reached(self) -> bool:
        """At least one answer came."""
        return self.received > 0

    @property
    def complete(self) -> bool:
        """Every request was answered."""
        return 0 < self.sent == self.received


def ping(
    source: Endpoint, address: str, count: int = 3, interval: float = 0.1, wait: float = 5.0
) -> PingResult:
    """Send `count` echo requests, one each `interval` s; the last answer may take `wait` s.

    To see that nobody answers, wait less: who is there is seen to answer at the first chance that comes.

    LabError if ping itself fails (no route counts as unanswered).
    """
    words = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(wait), address]
    outcome = source.attempt(words, count * interval + wait + _GRACE)
    summary = _SUMMARY.search(outcome.stdout)
    if summary is None:
        if "unreachable" in outcome.stderr:
            return PingResult(0, 0, ())
        raise LabError(
            f"{source.name}: ping {address} ended with code {outcome.code}: {outcome.stderr.strip()}"
        )
    times = tuple(float(t) for t in _TIMES.findall(outcome.stdout))
    return PingResult(int(summary[1]), int(summary[2]), times)

"""What became of the questions that ports asked, as hosts tell it: a port's status, samples for Prometheus.

Place: beside `controller.api.gauges` and `controller.api.service`. Pure but for what `Totals` remembers. No
label has as many values as there are hosts or ports; words that hosts invent are `other`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.api.exposition import Metric, Sample
from model.report import Report

NAME: Final = "ringfence_questions_total"
METRICS: Final = (
    Metric(
        NAME,
        "counter",
        ("outcome",),
        "DHCP, DHCPv6 and router solicitations of ports, by what became of them, since this API began.",
    ),
)
OUTCOMES: Final = (
    *("answered", "denied", "released", "declined", "off", "addressless", "unknown", "malformed"),
    "long",
    *("foreign", "relayed", "bootp", "server", "elsewhere", "alien", "stranger", "busy", "failed"),
)
OTHER: Final = "other"


class Totals:
    """The sums of all hosts, which never fall: an agent that began anew counts from 0. One thread."""

    def __init__(self) -> None:
        self._last: dict[str, Mapping[str, int]] = {}
        self._sums: Counter[str] = Counter()

    def samples(self, heads: Mapping[str, Report]) -> Iterator[Sample]:
        """With what hosts say now. What one has said before it is first heard is counted as well."""
        for host, head in heads.items():
            now, before = dict(head.asked.totals), self._last.get(host, {})
            anew = any(now.get(word, 0) < count for word, count in before.items())
            for word, count in now.items():
                known = word if word in OUTCOMES else OTHER
                self._sums[known] += count - (0 if anew else before.get(word, 0))
            self._last[host] = now
        for word in (*OUTCOMES, OTHER):
            yield Sample(NAME, (word,), self._sums[word])


def status(report: Report | None, uid: str) -> dict[str, Any]:
    """Of one port, for its document; nothing if it has asked nothing."""
    counts = () if report is None else report.asked.of(uid)
    return {"asked": dict(counts)} if counts else {}

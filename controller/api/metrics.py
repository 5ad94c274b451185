"""Route of metrics: GET /metrics for Prometheus, on the API's own socket.

Place: reads the store's cache, hosts' heads and everybody's words; `controller.api.gauges` makes samples of
them. What did not change is not counted or parsed again, and of hosts' long reports only some are read for
each answer. Must not open a port, nor hold up other requests: one answer is made at a time, and who comes
meanwhile gets the one before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final, Generic, TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from controller.api import asked, egress_gauges, gauges, policy_gauges
from controller.api.books import Books
from controller.api.concern import DEAD_AFTER_MS
from controller.api.exposition import MEDIA_TYPE, Sample, expose
from controller.api.pools import Memory
from controller.api.service import Service
from controller.api.turns import Turns
from controller.store.records import Contents
from controller.store.words import Word
from ipam.gangs.levels import Level, levels
from ipam.inventory import compare
from model.bearing import parse_host, parse_summary
from model.evidence import parse as parse_evidence
from model.report import Report
from model.sighting import Sighting

AT_ONCE: Final = 32
"""Hosts' long reports that are read for one answer: 1,000 hosts in 32 answers."""
W = TypeVar("W")


def metrics(service: Service, memory: Memory, turns: Turns, books: Books | None = None) -> APIRouter:
    """GET /metrics."""
    routes = APIRouter(tags=["metrics"])
    answers = Answers(service, memory, turns, books)

    @routes.get("/metrics", response_class=Response)
    def read() -> Response:
        """Prometheus's text format: pools, gangs, fabrics, hosts, hardware, egress. See docs/metrics.md."""
        return Response(answers.make(), media_type=MEDIA_TYPE)

    return routes


class Answers:
    """Makes them one by one, and remembers what did not change."""

    def __init__(self, service: Service, memory: Memory, turns: Turns, books: Books | None = None) -> None:
        self._service = service
        self._memory = memory
        self._turns = turns
        self._books = books
        self._lock = threading.Lock()
        self._levels: tuple[Contents | None, tuple[Level, ...]] = (None, ())
        self._hosts = _Said(parse_host)
        self._fabrics = _Said(parse_summary)
        self._evidence = _Said(lambda text: parse_evidence(text).rules)
        self._rules = policy_gauges.Rules()
        self._asked = asked.Totals()
        self._round = _Round()
        self._seconds = 0.0
        self._last = ""

    def make(self) -> str:
        # The very first one is waited for: nothing would say that nothing is there.
        if not self._lock.acquire(blocking=not self._last):
            return self._last
        try:
            began = time.monotonic()
            self._last = expose(gauges.METRICS, self._samples())
            self._seconds = time.monotonic() - began
            return self._last
        finally:
            self._lock.release()

    def _samples(self) -> Iterator[Sample]:
        contents, now = self._service.store.contents(), self._service.clock()
        if self._levels[0] is not contents:
            self._levels = (contents, levels(contents))
        self._memory.note(contents, now)
        known = self._levels[1]
        exhausted = {level.key: self._memory.exhausted(level, now) for level in known}
        hosts, fabrics = self._service.store.host_words(), self._service.store.fabric_words()
        said = gauges.Words(
            self._hosts.parse(hosts, now),
            self._fabrics.parse(fabrics, now),
            (self._hosts.broken, self._fabrics.broken),
        )
        evidence = self._evidence.parse(self._service.store.evidence(), now)
        heads = self._service.heads(contents.hypervisors)
        self._round.go_on(self._service, contents, now)
        yield from chain(
            gauges.cluster(contents),
            gauges.hosts(_states(contents, heads, now)),
            gauges.pools(known, exhausted),
            gauges.gangs(contents, now),
            gauges.turns(self._turns.tally()),
            gauges.words(contents, said, now),
            gauges.inventory(contents, self._round.found),
            egress_gauges.hosts(contents, heads, now),
            egress_gauges.ledger(self._books.seen if self._books is not None else None),
            self._rules.samples(contents, evidence, self._evidence.broken),
            self._asked.samples(heads),
        )
        yield Sample("ringfence_inventory_age_seconds", (), self._round.age(now) / 1000)
        yield Sample("ringfence_answer_seconds", (), self._seconds)


class _Said(Generic[W]):
    """Words, parsed once for each text."""

    def __init__(self, parse: Callable[[str], W]) -> None:
        self._parse = parse
        self._known: dict[str, tuple[str, W | None]] = {}
        self.broken = 0

    def parse(self, words: tuple[Word, ...], now: int) -> dict[str, tuple[W, int]]:
        """By name, with their ages in ms; what can't be read is counted."""
        self._known = {word.name: self._one(word) for word in words}
        self.broken = sum(value is None for _, value in self._known.values())
        found = ((word, self._known[word.name][1]) for word in words)
        return {word.name: (value, now - word.stamp) for word, value in found if value is not None}

    def _one(self, word: Word) -> tuple[str, W | None]:
        known = self._known.get(word.name)
        if known is not None and known[0] == word.text:
            return known
        try:
            return word.text, self._parse(word.text)
        except ValueError:
            return word.text, None


class _Round:
    """Goes round the nodes, some for each answer. `found`: rules by node, see `gauges.inventory`."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, ...] | None] = {}
        self._read: dict[str, int] = {}

    def go_on(self, service: Service, contents: Contents, now: int) -> None:
        """Read those that were read longest ago."""
        for gone in [name for name in self._read if name not in contents.nodes]:
            del self._read[gone], self.found[gone]
        due = sorted(contents.nodes, key=lambda name: (self._read.get(name, -1), name))[:AT_ONCE]
        wanted = {name: contents.nodes[name].value for name in due}
        reports = service.reports(frozenset(str(node.host) for node in wanted.values())).readable
        for name, node in wanted.items():
            report, sku = reports.get(node.host), contents.skus.get(node.sku)
            self._read[name] = now
            if report is None or sku is None or report.devices == Sighting():
                self.found[name] = None
                continue
            seen = compare(sku.value, report.devices)
            each = chain(seen.gpus, *(pf.differences for pf in seen.pfs))
            self.found[name] = tuple(difference.rule for difference in each)

    def age(self, now: int) -> int:
        """ms since the node that was read longest ago was; 0 without nodes."""
        return max(now - min(self._read.values(), default=now), 0)


def _states(contents: Contents, heads: Mapping[str, Report], now: int) -> Iterator[str]:
    """As `ringfence status` says it."""
    for name, record in contents.hypervisors.items():
        head = heads.get(name)
        if record.value.external:
            yield "external"
        elif head is None:
            yield "silent"
        else:
            yield "dead" if now - head.stamp_ms > DEAD_AFTER_MS else head.state.value

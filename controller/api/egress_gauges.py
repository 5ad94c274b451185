"""Gauges of egress accounting: how hosts count, and how the ledger is, as samples for Prometheus.

Place: beside `controller.api.gauges`. Pure. The only metrics with a label for hosts: nine a host, never one a
port, tenant or class. Causes of gaps are those that the program knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from accounting.records import Cause
from controller.api.books import Seen
from controller.api.concern import DEAD_AFTER_MS
from controller.api.exposition import Metric, Sample
from controller.store.records import Contents
from model.report import EgressReport, Report

_HOST: Final = ("host",)
METRICS: Final = (
    Metric(
        "ringfence_egress_wire_bytes_total",
        "counter",
        _HOST,
        "What the interfaces of tenants' ports took in, with layer 2, since the agent began.",
    ),
    Metric(
        "ringfence_egress_counted_bytes_total",
        "counter",
        _HOST,
        "What was counted of that; the difference is what was refused, or missed.",
    ),
    Metric("ringfence_egress_unseen_ports", "gauge", _HOST, "Ports whose interfaces have no counter to see."),
    Metric("ringfence_egress_backlog_steps", "gauge", _HOST, "Readings that wait for the API."),
    Metric(
        "ringfence_egress_backlog_age_seconds", "gauge", _HOST, "Since the oldest of those; 0 if none waits."
    ),
    Metric("ringfence_egress_held_steps", "gauge", _HOST, "Readings that the journal does not take."),
    Metric("ringfence_egress_disk_free_bytes", "gauge", _HOST, "Free on the journal's disk."),
    Metric("ringfence_egress_disk_size_bytes", "gauge", _HOST, "The journal's disk."),
    Metric(
        "ringfence_egress_disk_full_seconds",
        "gauge",
        _HOST,
        "Until it is full at the present rate; none if it does not fill.",
    ),
    Metric("ringfence_ledger_up", "gauge", (), "1 if the ledger's database answered when it was asked last."),
    Metric("ringfence_ledger_size_bytes", "gauge", (), "The ledger's database."),
    Metric("ringfence_ledger_disk_free_bytes", "gauge", (), "Free on its disk, if that is on this machine."),
    Metric("ringfence_ledger_disk_size_bytes", "gauge", (), "Its disk."),
    Metric(
        "ringfence_ledger_disk_full_seconds",
        "gauge",
        (),
        "Until it is full at the present rate; none if it does not fill.",
    ),
    Metric("ringfence_ledger_gaps_total", "counter", ("cause",), "Gaps in what could be known."),
    Metric(
        "ringfence_ledger_conflicts_total", "counter", (), "Records refused: other content under their key."
    ),
    Metric("ringfence_ledger_unsummed", "gauge", (), "Hours of hosts that are not summed up yet."),
    Metric("ringfence_ledger_stale_age_seconds", "gauge", (), "Since the end of the earliest such hour."),
)


def hosts(contents: Contents, heads: Mapping[str, Report], now: int) -> Iterator[Sample]:
    """Of the declared hosts that speak; `now`: Unix ms. Agents of before say nothing of it."""
    for name in sorted(contents.hypervisors):
        head = heads.get(name)
        if head is not None and head.egress is not None and now - head.stamp_ms <= DEAD_AFTER_MS:
            yield from _host((name,), head.egress, now)


def _host(host: tuple[str], told: EgressReport, now: int) -> Iterator[Sample]:
    yield Sample("ringfence_egress_wire_bytes_total", host, told.wire)
    yield Sample("ringfence_egress_counted_bytes_total", host, told.counted)
    yield Sample("ringfence_egress_unseen_ports", host, told.unseen)
    yield Sample("ringfence_egress_backlog_steps", host, told.backlog)
    yield Sample("ringfence_egress_backlog_age_seconds", host, backlog_age(told, now) / 1000)
    yield Sample("ringfence_egress_held_steps", host, told.held)
    if told.size:
        yield Sample("ringfence_egress_disk_free_bytes", host, told.free)
        yield Sample("ringfence_egress_disk_size_bytes", host, told.size)
    if told.full_in_s is not None:
        yield Sample("ringfence_egress_disk_full_seconds", host, told.full_in_s)


def backlog_age(told: EgressReport, now: int) -> int:
    """ms since the oldest reading that waits; 0 if none does."""
    return max(now - told.oldest_ms, 0) if told.oldest_ms else 0


def ledger(seen: Seen | None) -> Iterator[Sample]:
    """Nothing before the first look."""
    if seen is None:
        return
    yield Sample("ringfence_ledger_up", (), int(seen.account is not None))
    if seen.space is not None:
        yield Sample("ringfence_ledger_disk_free_bytes", (), seen.space.free)
        yield Sample("ringfence_ledger_disk_size_bytes", (), seen.space.size)
    if seen.full_in_s is not None:
        yield Sample("ringfence_ledger_disk_full_seconds", (), seen.full_in_s)
    found = seen.account
    if found is None:
        return
    yield Sample("ringfence_ledger_size_bytes", (), found.size)
    for cause in Cause:
        yield Sample("ringfence_ledger_gaps_total", (cause.value,), found.gaps.get(cause.value, 0))
    yield Sample("ringfence_ledger_conflicts_total", (), found.conflicts)
    yield Sample("ringfence_ledger_unsummed", (), found.stale)
    yield Sample("ringfence_ledger_stale_age_seconds", (), seen.stale_for_ms / 1000)

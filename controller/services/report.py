"""Report: what ports asked, in words for people and Prometheus, as a file that a collector picks up.

Place: written by `controller.services.serving` now and then (the textfile collector of Prometheus's node
exporter reads such). Must not hold what a workload wrote.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from controller.api.exposition import Metric, Sample, expose
from model.ids import PortKey
from services.metadata.answering import Kind as Answered
from services.naming.outcome import Kind

QUESTIONS: Final = Metric(
    "ringfence_names_questions_total",
    "counter",
    ("tenant", "port", "kind"),
    "Questions for names that a port asked on this host, by what became of them.",
)
REQUESTS: Final = Metric(
    "ringfence_metadata_requests_total",
    "counter",
    ("tenant", "port", "kind"),
    "Requests for metadata that a port made on this host, by what became of them.",
)

Tally = Mapping[tuple[PortKey, Kind | Answered], int]


def render(questions: Tally, requests: Tally, labels: Mapping[PortKey, tuple[str, str]]) -> str:
    """In order of tenant, port and kind; a port that has no name any more is left out."""
    samples = (*_samples(QUESTIONS, questions, labels), *_samples(REQUESTS, requests, labels))
    return expose((QUESTIONS, REQUESTS), samples)


def _samples(metric: Metric, tally: Tally, labels: Mapping[PortKey, tuple[str, str]]) -> Iterator[Sample]:
    found = sorted(
        (*labels[port], kind.value, count) for (port, kind), count in tally.items() if port in labels
    )
    return (Sample(metric.name, (tenant, port, kind), count) for tenant, port, kind, count in found)


def put(path: Path, text: str) -> None:
    """Whole or not at all; what fails is written the next time."""
    part = path.with_suffix(".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError:
        return

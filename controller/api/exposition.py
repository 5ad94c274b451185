"""Exposition: Prometheus's text format, version 0.0.4.

Place: under `controller.api.metrics`. Pure. Written by hand: three rules of escaping need no library with a
registry of its own. Must not know what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured: `labels` are names, in order; `text` is one sentence."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of the metric `name`; `labels` are values, in the metric's order."""

    name: str
    labels: tuple[str, ...]
    value: float


def expose(metrics: Sequence[Metric], samples: Iterable[Sample]) -> str:
    """Every metric in its order, also those without a value. KeyError for a sample of no metric, ValueError
    for one with other labels: a defect."""
    lines: dict[str, list[str]] = {metric.name: [] for metric in metrics}
    labels = {metric.name: metric.labels for metric in metrics}
    for sample in samples:
        pairs = zip(labels[sample.name], sample.labels, strict=True)
        shown = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
        place = f"{sample.name}{{{shown}}}" if shown else sample.name
        lines[sample.name].append(f"{place} {_number(sample.value)}")
    found: list[str] = []
    for metric in metrics:
        text = metric.text.replace("\\", "\\\\").replace("\n", "\\n")
        found += [f"# HELP {metric.name} {text}", f"# TYPE {metric.name} {metric.kind}", *lines[metric.name]]
    return "\n".join([*found, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(round(value, 6))

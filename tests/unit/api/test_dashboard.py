"""The dashboard for Grafana: well formed, and every query uses metrics and labels that exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from controller.api.gauges import METRICS
from tests.meta.tree import ROOT

BOARD: dict[str, Any] = json.loads(
    (ROOT / "packaging" / "grafana" / "ringfence-egress.json").read_text(encoding="utf-8")
)
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
LABELS = {metric.name: set(metric.labels) for metric in METRICS}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_uses_what_exists(query: str) -> None:
    names = re.findall(r"ringfence_\w+", query)
    assert names
    assert set(names) <= set(LABELS)
    for name, label in re.findall(r"(ringfence_\w+)\{(\w+)=", query):
        assert label in LABELS[name]


def test_panels_have_places_and_numbers_of_their_own() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_what_a_legend_names_is_a_label_of_the_query() -> None:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            metrics = re.findall(r"ringfence_\w+", target["expr"])
            assert all(named <= LABELS[metric] for metric in metrics), panel["title"]


def test_every_metric_of_egress_is_shown() -> None:
    shown = set(re.findall(r"ringfence_\w+", " ".join(QUERIES)))
    assert {n for n in LABELS if n.startswith(("ringfence_egress", "ringfence_ledger"))} <= shown


def test_hosts_can_be_chosen_among_those_that_there_are() -> None:
    variables = {v["name"]: v for v in BOARD["templating"]["list"]}
    assert variables["host"]["query"]["query"] == "label_values(ringfence_egress_backlog_steps, host)"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD["panels"])))
    assert used == set(variables)

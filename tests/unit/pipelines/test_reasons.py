"""Every flow that drops says why."""

from __future__ import annotations

import pytest

from model.flow import Flow
from pipelines.reasons import REASONS, is_end, leads_nowhere, reason
from pipelines.shapes import SHAPES

DROPS = tuple(shape for shape in SHAPES if is_end(shape) or leads_nowhere(shape))
WORDS = {"source", "network", "tenant", "target", "ip", "mac", "mtu", "limit", "rule"}


@pytest.mark.parametrize("shape", DROPS, ids=lambda shape: shape.name)
def test_every_drop_has_its_words(shape) -> None:
    found = reason(Flow(shape, 0, (0,) * len(shape.slots)))
    assert found in REASONS, f"say in pipelines/reasons.py why {shape.name} drops, and what to do"


def test_words_can_be_filled_in() -> None:
    for each in REASONS:
        for text in (each.why, each.remedy):
            assert "{" not in text.format_map(dict.fromkeys(WORDS, "x"))


def test_no_reason_is_without_a_flow() -> None:
    found = {reason(Flow(shape, 0, (0,) * len(shape.slots))) for shape in DROPS}
    assert [each.shape for each in REASONS if each not in found] == []

"""Chains: what was done to a file is found, and named by its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounting.chain import NOTHING, Flaw, Link, Verdict, link, verify
from tests.unit.accounting.billing import chained

ROWS = [{"BilledCost": Decimal(n) / 8, "ConsumedQuantity": n, "name": f"row {n}"} for n in range(1, 8)]
FILE = chained(ROWS, query={"tenant": "blue"})
LINES = FILE.splitlines(keepends=True)
"""Of the file: header, seven rows, footer."""


def judge(lines: list[bytes], after: str | None = None) -> Verdict:
    return verify(b"".join(lines).splitlines(keepends=True), after)


def flaws(found: Verdict) -> list[tuple[int, Flaw]]:
    return [(finding.line, finding.flaw) for finding in found.findings]


def test_a_file_as_it_was_written() -> None:
    found = judge(LINES)
    assert not found.findings and found.rows == 7 and found.first == NOTHING
    assert found.header is not None and found.header["query"] == {"tenant": "blue"}
    assert found.footer is not None
    assert found.footer["sums"] == {"BilledCost": "3.500", "ConsumedQuantity": "28"}
    assert json.loads(LINES[1])["body"]["BilledCost"] == "0.125"
    assert found.last == json.loads(LINES[-1])["hash"]


def test_nothing_but_a_header_and_a_footer() -> None:
    assert not verify(chained([]).splitlines(keepends=True)).findings


def edit(old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line.replace(old, new) for line in lines]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (edit(b"row 3", b"row 9"), [(4, Flaw.CHANGED)]),
        (edit(b'"0.375"', b'"0.374"'), [(4, Flaw.CHANGED)]),
        (edit(b'"blue"', b'"green"'), [(1, Flaw.CHANGED)]),
        (edit(b'"28"', b'"29"'), [(9, Flaw.CHANGED)]),
        (lambda lines: lines[:3] + lines[4:], [(4, Flaw.MISSING)]),
        (lambda lines: lines[:3] + lines[6:], [(4, Flaw.MISSING)]),
        (lambda lines: lines[1:], [(1, Flaw.MISSING)]),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], [(5, Flaw.MOVED)]),
        (lambda lines: [*lines[:2], lines[7], *lines[3:7], lines[2], lines[8]],
         [(4, Flaw.MOVED), (5, Flaw.MOVED), (6, Flaw.MOVED), (7, Flaw.MOVED), (8, Flaw.MOVED)]),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], [(5, Flaw.ADDED)]),
        (lambda lines: [*lines, lines[3]], [(10, Flaw.ADDED)]),
        (lambda lines: lines[:-1], [(9, Flaw.TRUNCATED)]),
        (lambda lines: lines[:4], [(5, Flaw.TRUNCATED)]),
        (lambda lines: [*lines[:4], lines[4][:40]], [(5, Flaw.TRUNCATED), (6, Flaw.TRUNCATED)]),
        (lambda lines: [], [(1, Flaw.TRUNCATED)]),
        (lambda lines: [*lines[:-1], lines[-1].rstrip()], [(9, Flaw.TRUNCATED), (10, Flaw.TRUNCATED)]),
        (lambda lines: [*lines[:4], b"\n", *lines[4:]], [(5, Flaw.CHANGED), (6, Flaw.ADDED)]),
    ],
    ids=range(17),
)  # fmt: skip
def test_what_was_done_is_named(change: Callable[[list[bytes]], list[bytes]], expected: Any) -> None:
    found = flaws(judge(change(LINES)))
    assert found[: len(expected)] == expected


def test_a_line_with_a_hash_of_its_own_that_does_not_belong() -> None:
    """Whoever adds or replaces a line can make a hash for it; the next line says what stood there."""
    at = Link(4, json.loads(LINES[3])["hash"])
    _, forged = link(at, "row", {"name": "forged"})
    assert (5, Flaw.CHANGED) not in flaws(judge(LINES))
    assert flaws(judge([*LINES[:4], forged, *LINES[5:]])) == [(6, Flaw.CHANGED)]
    assert flaws(judge([*LINES[:4], forged, *LINES[4:]])) == [(6, Flaw.ADDED)]


def test_sums_of_a_file_that_was_made_wrong() -> None:
    at, lines = Link(0, NOTHING), []
    for kind, body in (
        ("header", {"form": "ringfence-egress-chain/1", "sums": ["x"]}),
        ("row", {"x": 3}),
        ("footer", {"rows": 2, "sums": {"x": "4"}}),
    ):
        at, line = link(at, kind, body)
        lines.append(line)
    assert flaws(judge(lines)) == [(3, Flaw.SUMS), (3, Flaw.SUMS)]


def test_months_follow_each_other() -> None:
    november = judge(LINES)
    december = chained([], before=november.last).splitlines(keepends=True)
    assert not verify(december, after=november.last).findings
    assert flaws(verify(december, after=NOTHING)) == [(1, Flaw.BEGIN)]
    other = verify(chained(ROWS[:2]).splitlines(keepends=True))
    assert flaws(verify(december, after=other.last)) == [(1, Flaw.BEGIN)]


@pytest.mark.parametrize("kind", ["header", "footer"])
def test_parts_in_wrong_places(kind: str) -> None:
    at, lines = Link(0, NOTHING), []
    for sort, body in (
        ("header", {"form": "ringfence-egress-chain/1"}),
        (kind, {}),
        ("row", {}),
        ("footer", {}),
    ):
        at, line = link(at, sort, body)
        lines.append(line)
    assert judge(lines).findings


def test_a_form_of_another_version_is_named() -> None:
    _, line = link(Link(0, NOTHING), "header", {"form": "other/9"})
    assert flaws(judge([line]))[0] == (1, Flaw.CHANGED)


def test_a_line_can_be_checked_without_ringfence() -> None:
    """As docs/billing.md says: the SHA-256 of what stands before `,"hash"`."""
    for line in LINES:
        front, _, rest = line.rpartition(b',"hash":"')
        assert hashlib.sha256(front).hexdigest().encode() == rest[:64]

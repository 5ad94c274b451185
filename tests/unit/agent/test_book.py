"""Receipts survive their agent: written when an audit mends, read back at start, no reason to fail."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from controller.agent.book import Book
from controller.agent.receipts import Mended
from model.ids import HostName
from model.report import MAX_RECEIPTS, Finding, Mending
from tests.unit.agent.test_loop import FLOW, TamperedSwitch, found, watch
from tests.unit.agent.test_reporting import snapshot

HERE = HostName("hv1")
ITEM = Mended(Finding.MISSING, Mending.PUT, FLOW)


def test_what_was_mended_is_known_after_a_restart(tmp_path: Path) -> None:
    hands = TamperedSwitch([found()])
    loop = watch(hands, tmp_path)
    loop._periodic()
    (told,) = hands.reports[-1].receipts
    loop._book.stop()
    after = TamperedSwitch([])
    again = watch(after, tmp_path)
    again._periodic()
    assert after.reports[-1].receipts == (told,)
    assert after.reports[-1].drift.missing == 0, "counts are since the start"


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    book = Book(tmp_path / "r.json", HERE)
    for at in range(MAX_RECEIPTS + 9):
        book.record((ITEM,), snapshot(), at)
    book.stop()
    kept = Book(tmp_path / "r.json", HERE).kept
    assert [r.at_ms for r in kept] == list(range(9, MAX_RECEIPTS + 9))
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o600


def test_nothing_mended_writes_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path / "r.json", HERE)
    assert book.record((), snapshot(), 1) == ()
    book.stop()
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 9_000, '{"host": "hv1"}', '{"host": "hv1", "receipts": [7]}',
     '{"host": "hv1", "receipts": [{"at_ms": -1}]}',
     json.dumps({"host": "hv2", "receipts": []})],
)  # fmt: skip
def test_a_file_that_cannot_be_trusted_is_passed_over(tmp_path: Path, text: str, caplog) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    book = Book(path, HERE)
    assert book.kept == () and "receipts passed over" in caplog.text
    book.record((ITEM,), snapshot(), 1)
    book.stop()
    assert len(Book(path, HERE).kept) == 1


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path, caplog) -> None:
    book = Book(tmp_path / "none" / "r.json", HERE)
    assert len(book.record((ITEM,), snapshot(), 1)) == 1, "it is reported all the same"
    deadline = time.monotonic() + 30
    while "not saved: receipts host=hv1" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    book.stop()

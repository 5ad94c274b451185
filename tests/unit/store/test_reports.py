"""Reports in a real store: what is new is written, what was lost is noticed, older forms are still read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controller.store.faults import Raced
from controller.store.records import PortRow
from controller.store.reports import Saying
from controller.store.writer import Store
from tests.unit.store.house import HOSTS

UP: PortRow = ("active", "", 7)
DOWN: PortRow = ("pending", "tap1: waiting for the store", 7)
HERE = HOSTS[0]


def saying(
    revision: int, ports: Mapping[str, PortRow | None], report: str | None = None, head: str = "h"
) -> Saying:
    return Saying(head, report, ports, 10 + revision, revision)


def rows(store: Store) -> dict[tuple[str, str], PortRow]:
    return {(host, uid): row for host, uid, row in store.port_rows()}


def test_a_head_and_what_changed_are_all_that_is_written(store: Store) -> None:
    store.say(HERE, saying(0, {"a": UP, "b": UP}, report="long"), None)
    store.say(HERE, saying(1, {"b": DOWN, "c": UP}, head="newer"), frozenset({"b"}))
    store.say(HERE, saying(2, {"a": None}, head="newest"), frozenset({"a"}))
    (report,) = store.reports()
    assert (report.host, report.head, report.report, report.stamp) == (HERE, "newest", "long", 12)
    assert rows(store) == {(HERE, "b"): DOWN, (HERE, "c"): UP}
    (brief,) = store.report_heads([HERE, HOSTS[1]])
    assert (brief.head, brief.report) == ("newest", "")
    assert store.port_rows("b") == ((HERE, "b", DOWN),)


def test_a_store_that_lost_something_is_told_everything(store: Store) -> None:
    store.say(HERE, saying(0, {"a": UP}, report="long"), None)
    with pytest.raises(Raced):
        store.say(HERE, saying(7, {"z": UP}), frozenset())
    assert rows(store) == {(HERE, "a"): UP}, "all or nothing"
    store.say(HERE, saying(7, {"a": DOWN, **{f"p{n}": UP for n in range(1_500)}}, report="long"), None)
    assert len(rows(store)) == 1_501 and rows(store)[HERE, "a"] == DOWN
    store.say(HERE, saying(7, {f"p{n}": UP for n in range(2)}, report="long"), None)
    assert len(rows(store)) == 2
    store.say(HERE, saying(8, {}), frozenset())


def test_of_another_host_nothing_is_touched(store: Store) -> None:
    store.say(HOSTS[1], saying(0, {"a": UP}), None)
    store.say(HERE, saying(0, {"a": DOWN}), None)
    store.say(HERE, saying(1, {"a": None}), frozenset({"a"}))
    store.say(HERE, saying(0, {}), None)
    assert rows(store) == {(HOSTS[1], "a"): UP}


def test_hosts_that_say_everything_in_one_text_are_read_as_before(store: Store) -> None:
    store.put_report(HOSTS[1], "all", 5)
    store.say(HERE, saying(0, {}, report="long"), None)
    assert [(r.host, r.report, r.head) for r in store.headless_reports()] == [(HOSTS[1], "all", "")]
    found = store.report_heads([HERE, HOSTS[1]])
    assert [(r.host, r.report, r.head) for r in found] == [(HERE, "", "h"), (HOSTS[1], "all", "")]
    store.put_report(HERE, "all of it", 6)  # a host that went back to an older version
    assert [r.report for r in store.headless_reports()] == ["all of it", "all"]
    versions = dict(store.report_versions([HERE]))
    store.put_report(HERE, "again", 7)
    assert dict(store.report_versions([HERE])) != versions

"""Planning of egress classes: whose a prefix or a relation is, and which version holds when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from ipam.trial import LONG_COOL_DOWN_MS
from model.classes import in_force
from model.errors import Conflict
from model.intent import Relation
from model.wanted import Kind, Reference, WantedEgressClass

ONE, TWO, THREE = (ip_network(f"203.0.113.{n}/32") for n in (1, 2, 3))
SAME, PEERED, INTERNET = Relation.SAME_TENANT, Relation.PEERED_TENANT, Relation.INTERNET


def wanted(name: str, *prefixes, effective: datetime | None = None, relations=None) -> WantedEgressClass:
    return WantedEgressClass(name, prefixes or None, effective, relations=relations)


def after(bench, **more: float) -> datetime:
    return datetime.fromtimestamp(bench.now / 1_000, UTC) + timedelta(**more)


def holds(bench, name: str, moment: int | None = None):
    value = in_force(bench.contents.classes[name].value, bench.now if moment is None else moment)
    return (*value.prefixes, *value.relations)


def test_relations_and_prefixes_may_stand_alone_and_what_is_left_out_stays(bench) -> None:
    bench.apply(wanted("near", relations=(SAME, PEERED)))
    assert holds(bench, "near") == (PEERED, SAME)
    bench.apply(wanted("near", ONE))
    assert holds(bench, "near") == (ONE, PEERED, SAME)
    bench.apply(wanted("near", relations=()))
    assert holds(bench, "near") == (ONE,)
    assert bench.contents.classes["near"].version == 3
    assert not bench.plan(wanted("near"))


def test_a_class_that_says_nothing_is_refused(bench) -> None:
    with pytest.raises(Conflict) as caught:
        bench.plan(wanted("void"))
    assert [(f.rule, f.path) for f in caught.value.faults] == [("class-empty", "spec")]


def test_a_relation_belongs_to_one_class(bench) -> None:
    bench.apply(wanted("out", relations=(INTERNET,)))
    with pytest.raises(Conflict) as caught:
        bench.plan(wanted("other", relations=(SAME, INTERNET)))
    assert [(f.rule, f.path) for f in caught.value.faults] == [("already-taken", "spec.relations[1]")]
    bench.apply(wanted("out", relations=()), wanted("other", relations=(INTERNET,)))
    assert holds(bench, "other") == (INTERNET,)
    bench.delete(Reference(Kind.EGRESS_CLASS, "other"))
    bench.apply(wanted("third", relations=(INTERNET,)))


def test_what_is_to_come_leaves_what_is_in_force(bench) -> None:
    bench.apply(wanted("s", ONE, relations=(SAME,)))
    due = after(bench, days=1)
    bench.apply(wanted("s", TWO, effective=due, relations=(PEERED,)))
    record = bench.contents.classes["s"]
    assert (record.version, record.effective, record.value.since) == (2, due, bench.now + 86_400_000)
    assert holds(bench, "s") == (ONE, SAME)
    assert holds(bench, "s", record.value.since) == (TWO, PEERED)
    assert not bench.plan(wanted("s", TWO, effective=due, relations=(PEERED,))), "said again it is nothing"


def test_a_version_to_come_may_be_changed_and_the_one_in_force_stays(bench) -> None:
    bench.apply(wanted("s", ONE))
    bench.apply(wanted("s", TWO, effective=after(bench, days=1)))
    bench.apply(wanted("s", THREE))
    assert holds(bench, "s") == (ONE,)
    assert holds(bench, "s", bench.now + 86_400_000) == (THREE,)
    bench.apply(wanted("s", THREE, effective=after(bench, days=-1)))
    assert holds(bench, "s") == (THREE,), "brought forward it holds at once"


def test_what_has_come_is_what_a_later_version_replaces(bench) -> None:
    bench.apply(wanted("s", ONE))
    bench.apply(wanted("s", TWO, effective=after(bench, days=1)))
    bench.now += 2 * 86_400_000
    bench.apply(wanted("s", THREE, effective=after(bench, days=1)))
    assert holds(bench, "s") == (TWO,)


def test_a_new_class_to_come_holds_nothing_until_then(bench) -> None:
    bench.apply(wanted("s", ONE, effective=after(bench, hours=1)))
    assert (holds(bench, "s"), holds(bench, "s", bench.now + 3_600_000)) == ((), (ONE,))


def test_a_prefix_may_pass_to_another_class_at_a_moment(bench) -> None:
    bench.apply(wanted("a", ONE, TWO), wanted("b", THREE))
    due = after(bench, days=1)
    bench.apply(wanted("a", TWO, effective=due), wanted("b", ONE, THREE, effective=due))
    for moment, sets in ((bench.now, ({ONE, TWO}, {THREE})), (bench.now + 86_400_000, ({TWO}, {ONE, THREE}))):
        assert tuple({*holds(bench, name, moment)} for name in "ab") == sets


def test_the_id_of_a_class_rests_for_a_week(bench) -> None:
    bench.apply(wanted("old", ONE))
    first = bench.contents.classes["old"].value.id
    bench.delete(Reference(Kind.EGRESS_CLASS, "old"))
    bench.now += LONG_COOL_DOWN_MS - 1
    bench.apply(wanted("soon", ONE))
    bench.now += 1
    bench.apply(wanted("later", TWO))
    ids = [bench.contents.classes[name].value.id for name in ("soon", "later")]
    assert ids[0] != first and ids[1] == first

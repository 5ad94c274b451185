"""Residual: two figures of a host that only rise, and hold nothing that was not seen at both ends."""

from __future__ import annotations

from accounting.balance import Tally
from accounting.bounds import Wire
from accounting.residual import Residual, followed
from model.ids import ClassId, PortKey
from tests.unit.accounting.examples import interval, owner_of

A, B = PortKey(7), PortKey(8)


def tallies(*ports: PortKey) -> dict[PortKey, Tally]:
    return {port: Tally(owner_of(port), 0, None) for port in ports}


def seen(**counts: int) -> dict[PortKey, Wire]:
    return {{"a": A, "b": B}[name]: Wire(f"{name}#1", count) for name, count in counts.items()}


def of(port: PortKey, packets: int, size: int, class_id: int = 1):
    return interval(1, series=(port, ClassId(class_id), 1), packets=packets, bytes=size, header_bytes=14)


def test_what_came_in_beside_what_was_counted():
    one = followed(Residual(), (of(A, 9, 999),), seen(a=100, b=5), tallies(A, B))
    assert (one.wire, one.counted, one.unseen) == (0, 0, 0), "the first look is where it begins"
    two = followed(one, (of(A, 2, 172), of(A, 1, 999, 256)), seen(a=340, b=5), tallies(A, B))
    assert (two.wire, two.counted) == (240, 200)


def test_an_interface_that_is_not_seen_once_is_made_up_for():
    one = followed(Residual(), (), seen(a=0), tallies(A))
    two = followed(one, (of(A, 1, 86),), {}, tallies(A))
    assert (two.wire, two.counted, two.unseen) == (0, 0, 1)
    three = followed(two, (of(A, 1, 86),), seen(a=200), tallies(A))
    assert (three.wire, three.counted, three.unseen) == (200, 200, 0)


def test_an_interface_made_anew_adds_to_neither():
    one = followed(Residual(), (), seen(a=50), tallies(A))
    two = followed(one, (of(A, 1, 86),), {A: Wire("a#2", 900)}, tallies(A))
    assert (two.wire, two.counted) == (0, 0)
    three = followed(two, (of(A, 1, 86),), {A: Wire("a#2", 1_000)}, tallies(A))
    assert (three.wire, three.counted) == (100, 100)


def test_the_last_reading_of_a_port_is_in_it_and_nothing_is_kept_of_it():
    one = followed(Residual(), (), seen(a=50), tallies(A))
    two = followed(one, (of(A, 1, 86),), seen(a=150), {})
    assert (two.wire, two.counted, dict(two.marks)) == (100, 100, {})

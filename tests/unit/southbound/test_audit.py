"""Audit and dump without a switch: what differs is found, and no bytes can break the parser."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.southbound.openflow import audit
from controller.southbound.openflow.audit import compare
from controller.southbound.openflow.dump import Dump, parse
from controller.southbound.openflow.encoder import Encoder
from model.flow import Field, Flow, Match, Shape, Slot
from model.ids import COOKIE_MARK

OURS = COOKIE_MARK << 48
NUMBER = Slot("n", 32)
TWO = Shape("two", 1, 1, (Match(Field("in_port", 32), 7), Match(Field("reg0", 32), NUMBER)), (), 2, (NUMBER,))
ONE = Shape("one", 1, 1, (Match(Field("reg0", 32), NUMBER),), (), 2, (NUMBER,))


def flow(number: int, shape: Shape = TWO, cookie: int = OURS) -> Flow:
    return Flow(shape, cookie, (number,))


def listed(*flows: Flow, packets: int = 0) -> Dump:
    """As a switch would list them after 3.5 s."""
    rows = []
    for row in Encoder().rows(flows):
        entry = bytearray(row)
        entry[4:12] = struct.pack("!II", 3, 500_000_000)
        entry[32:48] = struct.pack("!QQ", packets, 100 * packets)
        rows.append(bytes(entry))
    return parse(rows)


def test_right_flows_are_right_whatever_they_counted() -> None:
    flows = [flow(n, shape) for n in range(5) for shape in (ONE, TWO)]
    findings = compare(Encoder(), flows, [listed(*flows, packets=9)])
    assert not findings and (findings.right, findings.alien) == (10, 0)


def test_rows_of_one_sum_cost_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could choose addresses so that sums agree must gain nothing: bytes decide."""
    flows = [flow(n, shape) for n in range(100) for shape in (ONE, TWO)]
    found = (*flows[1:150], flow(0, ONE, cookie=OURS | 8), flow(200, ONE))
    apart = compare(Encoder(), flows, [listed(*found)])
    monkeypatch.setattr(audit, "_sums", lambda rows: np.zeros(len(rows), np.uint64))
    together = compare(Encoder(), flows, [listed(*found)])
    assert together.right == apart.right == 149
    assert set(together.missing) == set(apart.missing) == set(flows[150:])
    assert together.wrong == apart.wrong == (flow(0, ONE),)
    assert together.orphans == apart.orphans and len(apart.orphans) == 1


@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5))
def test_what_is_there_is_right_and_what_is_not_is_missing(have, want, slices) -> None:
    """However the switch cuts its answer."""
    held, wanted = ([flow(n, (ONE, TWO)[n % 2]) for n in sorted(set(some))] for some in (have, want))
    dumps = [listed(*held[start::slices]) for start in range(slices)]
    findings = compare(Encoder(), wanted, dumps)
    assert findings.right == len({*have} & {*want})
    assert findings.missing == tuple(f for f in wanted if f not in held)
    assert len(findings.orphans) == len({*have} - {*want}) and not findings.wrong


def test_each_kind_of_finding() -> None:
    seen = listed(flow(1), flow(2, cookie=OURS | 8), flow(3), flow(4, cookie=5))
    findings = compare(Encoder(), [flow(0), flow(1), flow(2)], [seen])
    assert findings.missing == (flow(0),)
    assert findings.wrong == (flow(2),)
    assert [o.cookie for o in findings.stood] == [OURS | 8]
    assert [o.match for o in findings.orphans] == [seen.entry(2).match]
    assert (findings.right, findings.alien) == (1, 1)


def test_another_order_of_the_match_is_the_same_flow() -> None:
    row = Encoder().row(flow(1))
    # ofp_match: type, length, then in_port (8 octets) and reg0 (8 octets), padded
    first, second = row[52:60], row[60:68]
    swapped = row[:52] + second + first + row[68:]
    findings = compare(Encoder(), [flow(1)], [parse([swapped])])
    assert not findings and findings.right == 1
    wrong = compare(Encoder(), [flow(1, cookie=OURS | 1)], [parse([swapped])])
    assert wrong.wrong == (flow(1, cookie=OURS | 1),)


def test_a_timeout_that_we_never_set_is_wrong() -> None:
    row = bytearray(Encoder().row(flow(1)))
    row[14:16] = b"\0\x05"
    assert compare(Encoder(), [flow(1)], [parse([bytes(row)])]).wrong == (flow(1),)


def test_an_alien_flow_where_ours_belongs_is_replaced() -> None:
    findings = compare(Encoder(), [flow(1)], [listed(flow(1, cookie=3))])
    assert findings.wrong == (flow(1),) and findings.alien == 0


def test_entries_and_counters() -> None:
    dump = listed(flow(1, ONE), flow(2), packets=4)
    entry = dump.entry(1)
    assert (entry.table, entry.priority, entry.seconds, entry.packets, entry.octets) == (1, 1, 3.5, 4, 400)
    assert entry.ours and entry.cookie == OURS
    counters = dump.counters()
    assert counters.packets.tolist() == [4, 4] and counters.octets.tolist() == [400, 400]
    alike = listed(flow(1), flow(2), packets=5).counters()
    assert alike.cookie.tolist() == [OURS, OURS] and alike.packets.tolist() == [5, 5]
    assert len(parse([])) == 0 and parse([]).counters().cookie.tolist() == []


@given(data=st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    try:
        dump = parse([data])
    except ValueError:
        return
    assert int(dump.lengths.sum()) == len(data)
    dump.rows()
    dump.counters()


def test_a_length_that_lies_is_an_error() -> None:
    good = Encoder().row(flow(1))
    with pytest.raises(ValueError, match="entry of 0 octets"):
        parse([good, bytes(len(good) + 1)])

"""Receipts: the words for what an audit mended, the last fifty, and the alarm if it comes again and again."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

from controller.agent import receipts
from controller.southbound.openflow.audit import compare
from controller.southbound.openflow.dump import Dump, parse
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.groups import Righted
from model.flow import Flow
from model.ids import PortKey
from model.report import MAX_RECEIPTS, DriftReceipt, Finding, Mending
from pipelines import compile as pipeline
from pipelines import cookies
from tests.unit.agent.test_reporting import snapshot

_BASE = snapshot()
HOUSE = replace(_BASE, epochs=_BASE.epochs.set(PortKey(1), 1))
FLOWS = tuple(pipeline.compile(HOUSE).flows())


def listed(*flows: Flow, packets: int = 0) -> Dump:
    """As a switch lists them: each with `packets`, of 100 octets."""
    rows = []
    for row in Encoder().rows(flows):
        entry = bytearray(row)
        entry[32:48] = struct.pack("!QQ", packets, 100 * packets)
        rows.append(bytes(entry))
    return parse(rows)


def told(desired: tuple[Flow, ...], *dumps: Dump, refused: Any = ()) -> list[DriftReceipt]:
    findings = compare(Encoder(), desired, dumps)
    items = receipts.mended(findings, frozenset(refused), findings.orphans)
    return [receipts.receipt(item, HOUSE, 7) for item in items]


def of_port() -> Flow:
    return next(f for f in FLOWS if f.cookie == cookies.port(PortKey(1)))


def test_a_missing_flow_is_told_in_words() -> None:
    (made,) = told((of_port(),))
    assert (made.at_ms, made.finding, made.action, made.packets) == (7, Finding.MISSING, Mending.PUT, 0)
    assert made.flow.startswith("port acme/p1: cookie=0x52f12")
    assert "actions=" in made.flow


def test_a_wrong_flow_has_the_counters_of_what_stood_there() -> None:
    wanted = of_port()
    changed = replace(wanted, shape=replace(wanted.shape, actions=(), goto=None))
    (made,) = told((wanted,), listed(changed, packets=9))
    assert (made.finding, made.action, made.packets, made.octets) == (Finding.WRONG, Mending.PUT, 9, 900)
    assert made.flow.startswith("port acme/p1: ")
    assert made.flow.endswith("; there were other actions or timeouts")


def test_another_flow_in_the_place_of_ours_is_named() -> None:
    wanted = of_port()
    (made,) = told((wanted,), listed(replace(wanted, cookie=5), packets=2))
    assert made.finding is Finding.WRONG and made.packets == 2
    assert made.flow.endswith("; there was another (cookie 0x0000000000000005, not ours)")


def test_an_orphan_is_told_by_table_priority_and_cookie() -> None:
    orphan = replace(of_port(), cookie=cookies.port(PortKey(77)))
    (made,) = told((), listed(orphan, packets=3))
    assert (made.finding, made.action, made.packets) == (Finding.ORPHAN, Mending.DELETED, 3)
    assert made.flow.startswith(f"port with key 77: cookie={orphan.cookie:#x},table=")
    assert f",priority={orphan.fill(orphan.shape.priority)}" in made.flow


def test_what_the_switch_refuses_is_not_told_as_put() -> None:
    (made,) = told((of_port(),), refused=(of_port(),))
    assert made.action is Mending.REFUSED


def test_groups_are_told_first() -> None:
    findings = compare(Encoder(), (of_port(),), ())
    righted = (Righted(0x52F1, stood=True), Righted(0x52F2, stood=False))
    made = [receipts.receipt(i, HOUSE, 7) for i in receipts.mended(findings, frozenset(), (), righted)]
    assert [(r.finding, r.action) for r in made] == [
        (Finding.WRONG, Mending.PUT),
        (Finding.MISSING, Mending.PUT),
        (Finding.MISSING, Mending.PUT),
    ]
    assert made[0].flow == "host: group 0x52f1, which shares load among next hops; it had other buckets"
    assert made[1].flow == "host: group 0x52f2, which shares load among next hops"
    assert made[2].flow.startswith("port acme/p1: ")


def test_every_flow_of_the_program_has_words() -> None:
    made = told(FLOWS)
    assert len(made) == len(FLOWS) > 20
    assert {r.flow.partition(":")[0] for r in made} >= {"host", "port acme/p1", "network acme/net"}
    assert not [r.flow for r in made if "with key" in r.flow]


def test_an_unknown_table_and_a_cookie_without_a_name_are_numbers() -> None:
    shape = replace(of_port().shape, table=251)
    (made,) = told((), listed(replace(of_port(), shape=shape, cookie=cookies.MARK | 0xF << 44)))
    assert made.flow.startswith("not ours: cookie=0x52f1f") and ",table=251," in made.flow


def test_the_last_fifty_are_kept() -> None:
    many = [DriftReceipt(n, Finding.MISSING, Mending.PUT, "f") for n in range(MAX_RECEIPTS + 5)]
    kept = receipts.keep(tuple(many[:10]), many[10:])
    assert [r.at_ms for r in kept] == list(range(5, MAX_RECEIPTS + 5))


def test_a_flow_changed_again_and_again_is_an_alarm_for_a_while() -> None:
    twice = tuple(DriftReceipt(n, Finding.WRONG, Mending.PUT, "flow x", n) for n in range(receipts.OFTEN - 1))
    assert receipts.alarms(twice, 10) == ()
    often = (*twice, DriftReceipt(9, Finding.MISSING, Mending.PUT, "flow x"))
    assert receipts.alarms(often, 10) == ("changed by somebody else 3 times in 10 minutes: flow x",)
    assert receipts.alarms(often, 10 + receipts.WINDOW_MS) == ()


def test_alarms_are_bounded() -> None:
    many = tuple(DriftReceipt(1, Finding.WRONG, Mending.PUT, f"f{n}") for n in range(16) for _ in range(3))
    said = receipts.alarms(many, 1)
    assert len(said) == 4 and said[-1] == "and 13 flows more: ringfence drift"

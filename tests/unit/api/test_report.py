"""Reports survive the way through text; what a host may not say is refused."""

from __future__ import annotations

import json

import pytest

from model.report import (
    Drift,
    DriftReceipt,
    EvpnReport,
    Finding,
    LearnedReport,
    Mending,
    PeerReport,
    PortReport,
    PortState,
    RejectedReport,
    Report,
    State,
    parse,
    render,
)

FULL = Report(
    "hv1",
    5,
    7,
    State.DEGRADED,
    "why",
    4,
    (PortReport("u", PortState.PENDING, "r", 9),),
    11,
    Drift(1, 2, 3, 4, 5),
    EvpnReport(
        (PeerReport("192.0.2.1", "established"),),
        1,
        2,
        3,
        4,
        (RejectedReport("r", "p", "w"),),
        (LearnedReport("mac", "a/n", "192.0.2.9", "02:00:00:00:00:01", ("10.0.0.1",), 3, "a/p", "x"),),
        5,
        6,
        ("peer 192.0.2.1 has reached its limit of 7 routes",),
    ),
    "netdev",
    "0.1.0",
    "stop-1",
    "confirm-1",
    (DriftReceipt(1, Finding.WRONG, Mending.PUT, "port a/p: x", 5, 500),),
)


def test_a_report_comes_back_as_it_went() -> None:
    assert parse(render(FULL)) == FULL


def test_keys_of_newer_agents_are_ignored_and_those_of_older_ones_default() -> None:
    plain = json.loads(render(FULL)) | {"novelty": {"a": 1}}
    assert parse(json.dumps(plain)) == FULL
    least = parse('{"host": "h", "state": "starting"}')
    assert least == Report("h", 0, 0, State.STARTING)


def test_only_the_last_receipts_are_read() -> None:
    one = {"finding": "orphan", "action": "deleted"}
    plain = {"host": "h", "state": "starting", "receipts": [one | {"at_ms": n} for n in range(60)]}
    assert [r.at_ms for r in parse(json.dumps(plain)).receipts] == list(range(10, 60))


@pytest.mark.parametrize(
    "change",
    [
        {"host": 1},
        {"state": "happy"},
        {"flows": -1},
        {"flows": True},
        {"flows": 1 << 64},
        {"flows": 1.5},
        {"ports": {}},
        {"ports": [1]},
        {"ports": [{"uid": "u", "state": "odd"}]},
        {"evpn": []},
        {"evpn": {"full": "x"}},
        {"evpn": {"full": [1]}},
        {"evpn": {"damped": -1}},
        {"receipts": [{"finding": "odd", "action": "put"}]},
        {"receipts": [{"finding": "wrong"}]},
        {"receipts": [{"finding": "wrong", "action": "put", "packets": -1}]},
        {"evpn": {"learned_routes": [{"addresses": [1]}]}},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        parse(json.dumps(json.loads(render(FULL)) | change))

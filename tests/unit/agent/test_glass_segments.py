"""The looking glass on Ethernet segments: RT-1 and RT-4 by type, and what waits for its segment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bgp.codec.update import Update
from bgp.table import Limits
from controller.agent import core, glass, seeking
from controller.agent.core import Core
from controller.cli.evpn import _TABLES
from model.ids import HostName
from model.inventory import Switch
from model.route import Route
from tests.unit.bgp.test_segments import BEHIND, behind, both, key, member, segmented, whole

RR = "192.0.2.200"
ESI = "00:00:00:00:00:00:00:00:00:01"


def known(*routes: Route) -> Core:
    started = core.start(HostName("h1"), replace(segmented(), switch=Switch("netdev", 1, "r")), Limits())
    update = Update(announced=tuple((key(route), route) for route in routes))
    return core.on_updates(core.on_peer_up(started, RR, 10.0).core, ((RR, update),), 11.0).core


def look(at: Core, what: str, **more: Any) -> list[Any]:
    question = seeking.choice(json.dumps({"what": what, "limit": 100} | more))
    return list(glass.answer(at, question, 75.0)["rows"])


def test_what_vteps_say_of_a_segment_is_listed_by_type() -> None:
    at = known(*both(), member("ext"), behind("ext"))
    rows = look(at, "routes")
    kinds = [(row["kind"], row["type"], row["network"], row["vtep"]) for row in rows]
    assert kinds == [
        ("discovery", 1, "", "192.0.2.4"),
        ("discovery", 1, "", "192.0.2.8"),
        ("discovery", 1, "t1/net", "192.0.2.4"),
        ("discovery", 1, "t1/net", "192.0.2.8"),
        ("mac", 2, "t1/net", rows[4]["vtep"]),
        ("segment", 4, "", "192.0.2.4"),
    ]
    assert {row["segment"] for row in rows} == {ESI}
    assert (rows[0]["mode"], rows[0]["label"]) == ("all-active", 0)
    assert [row["type"] for row in look(at, "routes", type=1)] == [1] * 4
    assert [row["type"] for row in look(at, "routes", type=4)] == [4]
    assert [row["network"] for row in look(at, "routes", type=1, tenant=1)] == ["t1/net"] * 2
    heads, line = _TABLES["routes"]
    assert [len(line(row | {"host": "h1"})) for row in rows] == [len(heads)] * len(rows)
    assert line(rows[0] | {"host": "h1"})[4] == f"{ESI} all-active"


def test_paths_and_neighbours_count_them() -> None:
    at = known(*both("ext"), member("ext"), behind("ext"))
    said = {(row["type"], row["use"]) for row in look(at, "paths")}
    assert said == {(1, "best"), (2, "best"), (4, "spare")}
    (neighbour,) = look(at, "neighbors")
    assert (neighbour["received"], neighbour["accepted"], neighbour["refused"]) == (4, 4, 0)


def test_what_waits_for_its_segment_and_what_is_undeclared_is_listed_with_the_reason() -> None:
    at = known(behind("ext"), whole("h2"))
    codes = {(row["type"], row["code"]) for row in look(at, "rejected")}
    assert codes == {(2, "segment-waiting"), (1, "segment")}
    (row,) = look(at, "rejected", type=2, tenant=1)
    assert row["mac"].endswith(f"{BEHIND:02x}") and ESI in row["reason"]
    assert look(at, "routes") == []

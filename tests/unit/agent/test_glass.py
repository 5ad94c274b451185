"""The looking glass: rows of neighbours, routes, paths, what is announced and refused; filters and bounds."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from immutables import Map

from bgp import learn
from bgp.codec.update import Update
from bgp.table import Limits
from controller.agent import core, doubles, glass, reporting, seeking, state
from controller.agent.core import Core
from model.change import Part
from model.errors import Invalid
from model.ids import HostName
from model.intent import Guard, Policy
from model.inventory import Switch
from model.route import PrefixRoute, Route
from tests.unit.bgp.world import (
    HERE,
    OUTSIDE,
    ROAMING,
    THERE,
    flood_route,
    hung,
    key,
    mac_route,
    rd,
    world,
)

RR = "192.0.2.200"
MAC = "02:00:00:00:00:"


def heard(*routes: Route, peer: str = RR, **more: Any) -> tuple[str, Update]:
    return peer, Update(announced=tuple((key(route), route) for route in routes), **more)


def known(*updates: tuple[str, Update]) -> Core:
    """h1 with its port HERE, and one reflector since second 10."""
    snapshot = replace(world(), switch=Switch("netdev", 1, "run-1"), epochs=Map({HERE: 1}))
    cluster = snapshot.cluster
    assert cluster is not None
    snapshot = replace(snapshot, cluster=replace(cluster, reflectors=(ip_address(RR),)))
    started = core.start(HostName("h1"), snapshot, Limits())
    return core.on_updates(core.on_peer_up(started, RR, 10.0).core, updates, 11.0).core


TOLD = heard(
    mac_route("h2", THERE),
    mac_route("h2", THERE, ip_address("10.0.0.2"), sequence=3),
    flood_route("h2"),
    mac_route("ext", OUTSIDE),
)


def look(at: Core, what: str, now: float = 75.0, **more: Any) -> list[Any]:
    return list(
        glass.answer(at, seeking.choice(json.dumps({"what": what, "limit": 100} | more)), now)["rows"]
    )


def test_routes_in_use_say_what_they_became() -> None:
    there, outside, flood = look(known(TOLD), "routes")
    assert (there["kind"], there["mac"], there["addresses"]) == ("mac", f"{MAC}02", ["10.0.0.2"])
    assert (there["vtep"], there["sequence"], there["port"]) == ("192.0.2.2", 3, "p2")
    assert there["network"] == "t1/net" and outside["vtep"] == "192.0.2.4"
    (became,) = (one for one in there["became"] if one["cookie"].endswith("2"))
    assert became["cookie"].startswith("0x52f1") and became["flows"] > 0
    assert (flood["kind"], flood["mac"], flood["vtep"]) == ("flood", "", "192.0.2.2") and flood["became"]


def test_each_cookie_is_that_of_the_flows_of_the_route() -> None:
    at = known(TOLD)
    for row in look(at, "routes"):
        for became in row["became"]:
            of_all = sum(f"{flow.cookie:#018x}" == became["cookie"] for flow in at.program.flows())
            assert 0 < became["flows"] <= of_all


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, 3),
        ({"tenant": 1}, 3),
        ({"tenant": 2}, 0),
        ({"type": 2}, 2),
        ({"type": 3}, 1),
        ({"type": 5}, 0),
        ({"mac": f"{MAC}02"}, 1),
        ({"mac": f"{MAC}09"}, 0),
        ({"ip": "10.0.0.2"}, 1),
        ({"ip": "10.0.0.0/24"}, 1),
        ({"ip": "10.0.1.0/24"}, 0),
        ({"ip": "fd00::/8"}, 0),
        ({"ip": "10.0.0.2", "mac": f"{MAC}04"}, 0),
    ],
)
def test_filters_of_routes(filters: dict[str, Any], found: int) -> None:
    assert len(look(known(TOLD), "routes", **filters)) == found


def test_paths_are_all_that_was_accepted_with_who_says_it() -> None:
    elder, newer = mac_route("h2", ROAMING, sequence=1), mac_route("h3", ROAMING, sequence=2)
    at = known(heard(elder, newer), heard(newer, peer="192.0.2.201"))
    first, second = look(at, "paths")
    assert {(p["vtep"], p["use"], p["state"]) for p in (first, second)} == {
        ("192.0.2.2", "spare", "live"),
        ("192.0.2.3", "best", "live"),
    }
    assert next(p for p in (first, second) if p["use"] == "best")["peers"] == [RR, "192.0.2.201"]
    at = core.on_peer_down(at, RR, 20.0, "hold timer expired").core
    assert {(p["vtep"], p["state"]) for p in look(at, "paths")} == {
        ("192.0.2.2", "held"),
        ("192.0.2.3", "live"),
    }
    assert [p["vtep"] for p in look(at, "paths", mac=f"{MAC}03", type=2, tenant=1)] == [
        "192.0.2.2",
        "192.0.2.3",
    ]
    assert look(at, "paths", mac=f"{MAC}01") == []


def test_what_is_announced() -> None:
    rows = look(known(), "advertised")
    assert {(r["type"], r["mac"], tuple(r["addresses"])) for r in rows} >= {
        (2, f"{MAC}01", ()),
        (2, f"{MAC}01", ("10.0.0.1",)),
        (3, "", ()),
    }
    assert all(r["network"] == "t1/net" and "65000:10100" in r["targets"] for r in rows)
    assert [r["addresses"] for r in look(known(), "advertised", ip="10.0.0.1")] == [["10.0.0.1"]]
    assert look(known(), "advertised", tenant=2) == []
    assert len(look(known(), "advertised", type=3)) == 1


def test_refusals_have_reason_and_remedy_and_are_found_by_what_they_say() -> None:
    stolen = mac_route("h3", THERE, ip_address("10.0.0.2"), sequence=9)
    prefix = Route(PrefixRoute(rd("h3"), world().networks[1].subnets[0], 10901), hung("h3", 10901))  # type: ignore[index, arg-type]
    at = known(heard(stolen, prefix))
    rows = look(at, "rejected")
    assert [r["type"] for r in rows] == [2, 5]
    assert rows[0]["code"] == "vtep-not-authorised" and "add the host to the port" in rows[0]["reason"]
    assert (rows[0]["peer"], rows[0]["mac"], rows[0]["sequence"]) == (RR, f"{MAC}02", 9)
    assert [len(look(at, "rejected", **f)) for f in ({"tenant": 1}, {"tenant": 2}, {"ip": "10.0.0.9"})] == [
        2,
        0,
        1,
    ]
    assert [len(look(at, "rejected", **f)) for f in ({"type": 5}, {"mac": f"{MAC}02"})] == [1, 1]


def test_neighbours_say_since_when_what_came_and_why_it_went() -> None:
    at = known(TOLD, heard(mac_route("h3", THERE), faults=("skipped an UPDATE: too short",)))
    (one,) = look(at, "neighbors")
    assert (one["peer"], one["state"], one["seconds"], one["sessions"]) == (RR, "established", 65, 1)
    assert (one["received"], one["accepted"], one["refused"]) == (5, 4, 1)
    assert (one["malformed"], one["error"], one["replayed"]) == (1, "skipped an UPDATE: too short", "no")
    at = core.on_peer_down(at, RR, 20.0, "hold timer expired").core
    (one,) = look(at, "neighbors", 25.0)
    assert (one["state"], one["seconds"], one["error"]) == ("connect", 5, "hold timer expired")
    assert (one["accepted"], one["refused"]) == (0, 0)
    at = core.on_peer_up(at, RR, 30.0).core
    (one,) = look(at, "neighbors", 31.0)
    assert (one["sessions"], one["received"], one["error"]) == (2, 0, "hold timer expired")


def test_a_reflector_that_never_came_is_listed() -> None:
    started = core.start(HostName("h1"), known().effective, Limits())
    (one,) = look(started, "neighbors")
    assert (one["peer"], one["state"], one["seconds"], one["sessions"]) == (RR, "connect", 0, 0)


def test_why_there_is_no_session_is_told_beside_why_the_last_one_ended() -> None:
    started = core.start(HostName("h1"), known().effective, Limits())
    silent = replace(started, table=learn.peer_silent(started.table, RR, "no answer to TCP"))
    assert look(silent, "neighbors")[0]["error"] == "no answer to TCP"
    up = core.on_peer_up(silent, RR, 10.0).core
    assert look(up, "neighbors")[0]["error"] == ""
    assert learn.peer_silent(up.table, RR, "late") == up.table
    lost = core.on_peer_down(up, RR, 20.0, "hold timer expired").core
    for reason in ("no answer to TCP", "bad peer AS"):
        lost = replace(lost, table=learn.peer_silent(lost.table, RR, reason))
    assert look(lost, "neighbors")[0]["error"] == "hold timer expired; now: bad peer AS"


def test_a_long_list_is_cut_and_says_so() -> None:
    at = known(TOLD)
    cut = glass.answer(at, seeking.choice('{"what": "routes", "limit": 1}'), 0.0)
    assert len(cut["rows"]) == 1 and cut["left"] == 2
    assert cut["rows"] == look(at, "routes")[:1]


def test_order_does_not_depend_on_the_order_of_arrival() -> None:
    routes = [route for _, route in TOLD[1].announced]
    for what in ("routes", "paths"):
        assert look(known(heard(*routes)), what) == look(known(*(heard(r) for r in reversed(routes))), what)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"what": "everything"}',
        '{"what": "routes", "tenant": "x"}',
        '{"what": "routes", "limit": true}',
        '{"what": "routes", "mac": "zz"}',
        '{"what": "routes", "ip": "300.0.0.0"}',
        "[" * 5000,
    ],
)
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        seeking.choice(text)


def test_nobody_asks_for_more_than_an_answer_holds() -> None:
    assert seeking.choice('{"what": "paths", "limit": 999999}').limit == seeking.MOST


def fighting(times: int) -> Core:
    at = known()
    for number in range(times + 1):
        host = ("h2", "h3")[number % 2]
        at = core.on_updates(at, [heard(mac_route(host, ROAMING, sequence=number))], 20.0 + number).core
    return at


def test_a_mac_that_is_fought_for_is_listed_with_who_says_it() -> None:
    (row,) = look(fighting(3), "duplicates", 30.0)
    assert (row["state"], row["moves"], row["vtep"], row["seconds"]) == ("moving", 3, "192.0.2.3", 7)
    at = fighting(5)
    (row,) = look(at, "duplicates", 30.0)
    assert (row["state"], row["moves"], row["vtep"], row["seconds"]) == ("damped", 5, "192.0.2.2", 5)
    assert (row["network"], row["mac"]) == ("t1/net", f"{MAC}03")
    assert row["contenders"] == ["192.0.2.2", "192.0.2.3"]
    assert [len(look(at, "duplicates", **f)) for f in ({"tenant": 2}, {"mac": f"{MAC}03"}, {"type": 5})] == [
        0,
        1,
        0,
    ]
    assert look(known(TOLD), "duplicates") == []


def test_a_release_names_what_it_ends_and_ends_it() -> None:
    at = fighting(5)
    spot = doubles.spot_of(json.dumps({"network": 1, "what": f"{MAC}03"}))
    (row,) = doubles.released(at, spot)["rows"]
    assert (row["vtep"], row["mac"], row["network"]) == ("192.0.2.2", f"{MAC}03", "t1/net")
    at = core.on_release(at, spot).core
    assert look(at, "duplicates") == [] and doubles.released(at, spot)["rows"] == []
    assert at.effective.remotes[spot[1], spot[2]].vtep == ip_address("192.0.2.3")  # type: ignore[index]
    assert reporting.report(fighting(5), reporting.Circumstance(), 1, 1).evpn.damped == 1


def test_a_port_of_this_host_that_others_say_they_have_is_listed() -> None:
    at = known()
    shared = replace(at.effective.ports[HERE], hosts=(HostName("h1"), HostName("ext")))
    at = core.on_store(at, ((Part.PORT, HERE, shared),), (), state.Whole.NO).core
    for number in range(7):
        at = core.on_updates(at, [heard(mac_route("ext", HERE, sequence=number))], 20.0 + number).core
    (row,) = look(at, "duplicates", 30.0)
    assert (row["state"], row["vtep"], row["contenders"]) == ("lost", "192.0.2.1", ["192.0.2.4"])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"network": "x", "what": "10.0.0.1"}', '{"network": 1, "what": "zz"}']
)
def test_what_names_nothing_to_release_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        doubles.spot_of(text)
    assert doubles.spot_of('{"network": 1, "what": "fd00::1"}') == ("address", 1, ip_address("fd00::1"))


def test_what_the_guard_only_counts_is_listed_as_such() -> None:
    at = known()
    cluster = at.effective.cluster
    assert cluster is not None
    counting = replace(cluster, policy=Policy(Guard.COUNT))
    at = core.on_store(at, ((Part.CLUSTER, None, counting),), (), state.Whole.NO).core
    at = core.on_updates(at, [heard(mac_route("h2", 77), mac_route("h3", THERE))], 20.0).core
    rows = look(at, "rejected")
    assert {(row["code"], row["verdict"]) for row in rows} == {
        ("mac-unknown", "counted"),
        ("vtep-not-authorised", "refused"),
    }
    evpn = reporting.report(at, reporting.Circumstance(), 1, 1).evpn
    assert (evpn.tolerated, evpn.refused, evpn.full) == (1, 1, ())
    assert [row["mac"] for row in look(at, "routes")] == [f"{MAC}4d"]

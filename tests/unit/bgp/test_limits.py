"""Limits of peers and tenants, and a guard that only counts: what was there first stays, all is listed."""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import ip_address, ip_network

import pytest
from immutables import Map

from bgp import judging, learn
from bgp.codec.update import Update
from bgp.table import Limits, limits_of
from model.change import Change, Part
from model.ids import Mac, PortKey
from model.intent import Guard, Pair, Policy
from model.route import MacRoute, Route
from model.snapshot import Snapshot, with_ports
from tests.unit.bgp.test_learn import END, RR1, RR2, announced, change, hear, up, withdrawn
from tests.unit.bgp.world import (
    HERE,
    HOSTS,
    OUTSIDE,
    RED,
    RED_VNI,
    ROAMING,
    THERE,
    V4,
    bind,
    flood_route,
    hung,
    key,
    mac,
    mac_route,
    port,
    rd,
    world,
)

FIRST = 100


def crowd(number: int, policy: Policy | None = None) -> Snapshot:
    """`number` more ports of the red network on h2, from key 100 on."""
    made = with_ports(world(), [port_at(n) for n in range(FIRST, FIRST + number)])
    return made if policy is None else governed(made, policy)


def port_at(number: int):
    made = port(number % 200, RED, ("h2",))
    return replace(made, key=PortKey(number), uid=f"port-{number}", mac=mac(number), addresses=())


def governed(snapshot: Snapshot, policy: Policy) -> Snapshot:
    assert snapshot.cluster is not None
    return replace(snapshot, cluster=replace(snapshot.cluster, policy=policy))


def routes(number: int, begin: int = FIRST) -> list[Route]:
    return [mac_route("h2", n) for n in range(begin, begin + number)]


def known(table) -> set[int]:
    return {spot[1] - mac(0) for spot in table.remotes}


@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(routes_per_peer=3), "peer-full"), (Limits(routes_per_tenant=3), "tenant-full")],
)
def test_what_is_over_the_limit_is_refused_and_what_was_there_stays(limits: Limits, code: str) -> None:
    table, _ = hear(up(snapshot=crowd(6), limits=limits), RR1, announced(*routes(3)))
    assert judging.alarms(table)  # it is reached
    table, outcome = hear(table, RR1, announced(*routes(3, FIRST + 3)))
    assert outcome == learn.Outcome() and known(table) == {100, 101, 102}
    assert [(one.code, one.peer) for one in learn.rejected(table)] == [(code, RR1)] * 3
    assert "3" in learn.rejected(table)[0].reason
    # an old one that is said again, with something new, is no new one
    table, outcome = hear(table, RR1, announced(mac_route("h2", FIRST, sequence=9)))
    assert outcome.put_remotes[0].sequence == 9
    (sentence,) = judging.alarms(table)
    assert "limit of 3 routes" in sentence and (RR1 in sentence or "tenant t1" in sentence)


@pytest.mark.parametrize("limits", [Limits(routes_per_peer=3), Limits(routes_per_tenant=3)])
def test_when_there_is_room_again_the_refused_are_judged_again(limits: Limits) -> None:
    table, _ = hear(up(snapshot=crowd(5), limits=limits), RR1, announced(*routes(5)))
    assert known(table) == {100, 101, 102}
    table, _ = hear(table, RR1, withdrawn(*routes(2)))
    table, outcome = learn.tick(table, 1.0)
    assert known(table) == {102, 103, 104} and len(outcome.put_remotes) == 2
    assert not learn.rejected(table) and not learn.tick(table, 2.0)[1].put_remotes


def test_a_limit_of_one_tenant_or_peer_is_not_anothers() -> None:
    blue = Route(MacRoute(rd("h3", 2), mac(5), None, 10200), hung("h3", 10200))  # type: ignore[arg-type]
    table = up(RR1, RR2, snapshot=crowd(5), limits=Limits(routes_per_tenant=3))
    table, _ = hear(table, RR1, announced(*routes(5), blue))
    assert (2, mac(5)) in table.remotes
    table = up(RR1, RR2, snapshot=crowd(5), limits=Limits(routes_per_peer=3))
    table, _ = hear(table, RR1, announced(*routes(5)))
    table, _ = hear(table, RR2, announced(*routes(2, FIRST + 3)))
    assert known(table) == {100, 101, 102, 103, 104}


def test_a_second_reflector_that_says_the_same_takes_no_room_of_the_tenant() -> None:
    table = up(RR1, RR2, snapshot=crowd(3), limits=Limits(routes_per_tenant=3))
    for peer in (RR1, RR2):
        table, _ = hear(table, peer, announced(*routes(3)))
    assert not learn.rejected(table) and dict(table.volumes) == {1: 3}
    table, _ = hear(table, RR1, withdrawn(*routes(3)))
    assert known(table) == {100, 101, 102} and dict(table.volumes) == {1: 3}


def test_after_a_lost_session_those_that_were_there_stay_whatever_comes_first() -> None:
    limits = Limits(routes_per_peer=3)
    table, _ = hear(up(snapshot=crowd(6), limits=limits), RR1, announced(*routes(3)))
    table, _ = learn.peer_down(table, RR1, 1.0)
    table, _ = learn.peer_up(table, RR1, 2.0)
    table, _ = hear(table, RR1, announced(*reversed(routes(6))), 3.0)
    table, _ = hear(table, RR1, END, 3.0)
    assert {100, 101, 102} <= known(table)


def test_the_clusters_policy_comes_before_the_agents_own() -> None:
    table = up(
        snapshot=crowd(5, Policy(peer_routes=2, mac_moves=0, mac_window=9)), limits=Limits(routes_per_peer=4)
    )
    assert (limits_of(table).routes_per_peer, limits_of(table).moves, limits_of(table).window) == (2, 0, 9.0)
    table, _ = hear(table, RR1, announced(*routes(5)))
    assert known(table) == {100, 101}
    raised = governed(table.snapshot, Policy(peer_routes=5))
    table, _ = change(table, raised, Change(Part.CLUSTER, None))
    assert known(table) == {100, 101, 102, 103, 104} and not learn.rejected(table)
    table, outcome = change(table, governed(raised, Policy(peer_routes=1)), Change(Part.CLUSTER, None))
    assert outcome.drop_remotes == () and len(table.remotes) == 5  # those that are there stay


def sizes(table) -> dict[str, int]:
    """Of all that a table remembers."""
    values = {field.name: getattr(table, field.name) for field in fields(table)}
    return {name: len(value) for name, value in values.items() if isinstance(value, Map)}


def test_a_hundred_thousand_routes_at_once_take_bounded_memory() -> None:
    """Of a host that may be in the network, for ports that do not exist; then for ports that do."""
    limits = Limits(refused=1_000, routes_per_peer=2_000)
    table = up(snapshot=crowd(3_000), limits=limits)

    def flood(table, count, begin):
        for start in range(begin, begin + count, 500):
            table, _ = hear(table, RR1, announced(*routes(500, start)))
        return table

    table = flood(table, 5_000, 1 << 20)
    before = sizes(table)
    table = flood(table, 95_000, (1 << 20) + 5_000)
    assert sizes(table) == before and before["refused"] == 1_000
    assert len(table.refused) == 1_000 and table.counters["refused-forgotten"] == 99_000
    assert len(table.trails) == len(table.remotes) == 0
    table = flood(table, 3_000, FIRST)
    assert (len(table.live), len(table.refused)) == (2_000, 1_000)
    assert table.counters["over-limit"] == 1_000
    sentences = judging.alarms(table)
    assert any("limit of 2000" in one for one in sentences) and any("not listed" in one for one in sentences)
    # What was not kept is asked for again when the store changes.
    _, outcome = change(table, bind(table.snapshot, FIRST, "h2"), Change(Part.BINDING, PortKey(FIRST)))
    assert outcome.relearn_all


COUNT = Policy(Guard.COUNT)


def counting() -> Snapshot:
    return governed(world(), COUNT)


def test_a_guard_that_counts_uses_what_nobody_declared_and_lists_it() -> None:
    told = {
        "mac-unknown": mac_route("h2", 77),
        "vtep-not-authorised": mac_route("h3", OUTSIDE),
        "address-foreign": mac_route("h2", THERE, ip_address("10.0.0.99")),
    }
    strict, _ = hear(up(), RR1, announced(*told.values()))
    assert {one.code for one in learn.rejected(strict)} == set(told) and not strict.remotes
    table, _ = hear(up(snapshot=counting()), RR1, announced(*told.values()))
    assert {mac(77), mac(OUTSIDE), mac(THERE)} == {spot[1] for spot in table.remotes}
    assert table.remotes[RED, mac(THERE)].addresses == (ip_address("10.0.0.99"),)
    assert {one.code: one.route for one in learn.tolerated(table)} == told
    assert not learn.rejected(table)
    table, _ = hear(table, RR1, withdrawn(*told.values()))
    assert not learn.tolerated(table)
    assert known(table) == {THERE}  # held a while, for it is bound there


def test_a_host_that_is_not_in_the_network_is_counted_too() -> None:
    without = with_ports(counting(), [port(ROAMING, RED, ("h2",))])
    table, outcome = hear(up(snapshot=without), RR1, announced(flood_route("h3")))
    assert outcome.put_floods and [one.code for one in learn.tolerated(table)] == ["vtep-not-in-network"]


def owned() -> Snapshot:
    """10.0.0.98 is somebody's pair."""
    made = counting()
    pairs = (Pair(ip_network("10.0.0.98/32")),)
    return with_ports(made, [replace(made.ports[ROAMING], allowed=pairs)])


@pytest.mark.parametrize(
    ("route", "code"),
    [
        (mac_route("h3", THERE, sequence=9), "vtep-not-authorised"),  # bound to h2
        (mac_route("h2", HERE), "vtep-not-authorised"),  # bound here
        (mac_route("h2", 77, V4), "mac-unknown"),  # the address is another's
        (mac_route("h3", THERE, ip_address("10.0.0.98")), "vtep-not-authorised"),
        (Route(MacRoute(rd("h2"), Mac(0x0A0052F10001), None, RED_VNI), hung("h2")), "gateway"),
        (Route(MacRoute(rd("h2"), Mac((1 << 48) - 1), None, RED_VNI), hung("h2")), "mac-martian"),
        (Route(MacRoute(rd("h2"), mac(77), None, 10200), hung("h2")), "vni-foreign"),  # type: ignore[arg-type]
        (mac_route("h2", 77, next_hop=ip_address("192.0.2.77")), "next-hop-unknown"),
        (mac_route("h2", 77, next_hop=HOSTS["h3"].vtep), "distinguisher"),
        (mac_route("h2", 77, default_gateway=True), "default-gateway"),
    ],
)
def test_but_never_what_is_known_to_be_elsewhere_or_wrong(route: Route, code: str) -> None:
    table, outcome = hear(up(snapshot=owned()), RR1, announced(route))
    assert outcome == learn.Outcome() and not learn.tolerated(table)
    assert [one.code for one in learn.rejected(table)] == [code]


def test_what_the_store_vouches_for_comes_before_what_is_only_counted() -> None:
    """Whatever the sequence, in either order."""
    own, other = mac_route("ext", OUTSIDE), mac_route("h2", OUTSIDE, sequence=1_000)
    for order in ((own, other), (other, own)):
        table, _ = hear(up(snapshot=counting()), RR1, announced(*order))
        assert table.remotes[RED, mac(OUTSIDE)].vtep == HOSTS["ext"].vtep


def test_turning_the_guard_on_and_off_judges_everything_again() -> None:
    stranger = mac_route("h2", 77)
    table, _ = hear(up(), RR1, announced(stranger, mac_route("h2", THERE)))
    assert len(table.remotes) == 1
    table, outcome = change(table, counting(), Change(Part.CLUSTER, None))
    assert outcome.put_remotes[0].mac == mac(77) and not learn.rejected(table)
    table, outcome = change(table, world(), Change(Part.CLUSTER, None))
    assert outcome.drop_remotes == ((RED, mac(77)),)
    assert [one.code for one in learn.rejected(table)] == ["mac-unknown"] and not learn.tolerated(table)


def test_a_declaration_ends_the_doubt() -> None:
    table, _ = hear(up(snapshot=counting()), RR1, announced(mac_route("h3", OUTSIDE)))
    assert learn.tolerated(table)
    declared = with_ports(counting(), [port(OUTSIDE, RED, ("ext", "h3"))])
    table, outcome = change(table, declared, Change(Part.PORT, OUTSIDE))
    assert not learn.tolerated(table) and (RED, mac(OUTSIDE)) in table.remotes
    assert not outcome.drop_remotes


def test_what_is_counted_is_bounded_and_withdrawn_at_once() -> None:
    limits = Limits(refused=10, routes_per_tenant=50)
    table = up(snapshot=counting(), limits=limits)
    table, _ = hear(table, RR1, announced(*routes(100, 1_000)))
    assert (len(table.remotes), len(learn.tolerated(table)), len(learn.rejected(table))) == (50, 10, 10)
    table, _ = hear(table, RR1, withdrawn(*routes(100, 1_000)))
    assert not table.remotes and not table.live and not table.held


def test_a_restart_in_between_keeps_what_is_counted() -> None:
    table, outcome = hear(up(snapshot=counting()), RR1, announced(mac_route("h2", 77)))
    saved, _ = outcome.apply(counting())
    table, _ = learn.peer_up(learn.restore(saved), RR1, 0.0)
    assert table.remotes == saved.remotes
    table, outcome = hear(table, RR1, announced(mac_route("h2", 77)))
    assert outcome == learn.Outcome() and len(learn.tolerated(table)) == 1
    table, outcome = hear(table, RR1, Update(withdrawn=(key(mac_route("h2", 77)),)))
    assert outcome.drop_remotes

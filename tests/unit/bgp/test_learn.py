"""The learner: choice, holds, sweeps, refusals, and judging again. Time is a number."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from bgp import learn
from bgp.codec import communities
from bgp.codec.update import Update
from bgp.table import Limits
from model.addresses import router_mac
from model.change import Change, Part
from model.ids import HostName, PortKey
from model.intent import Hypervisor
from model.route import FloodVtep, RemoteMac
from model.snapshot import with_port, without_port
from tests.unit.bgp.world import (
    ASN,
    HERE,
    HOSTS,
    OUTSIDE,
    RED,
    RED_L3,
    RED_VNI,
    ROAMING,
    THERE,
    V4,
    V6,
    bind,
    flood_route,
    key,
    mac,
    mac_route,
    port,
    routed_route,
    world,
)

RR1, RR2 = "10.0.0.1", "10.0.0.2"
SPOT = (RED, mac(THERE))


def announced(*routes):
    return Update(announced=tuple((key(route), route) for route in routes))


def withdrawn(*routes):
    return Update(withdrawn=tuple(key(route) for route in routes))


END = Update(end_of_rib=True)


def up(*peers, snapshot=None, limits=None):
    table = learn.start(snapshot or world(), limits or Limits())
    for peer in peers or (RR1,):
        table, _ = learn.peer_up(table, peer, 0.0)
    return table


def hear(table, peer, update, now=0.0):
    return learn.receive(table, peer, update, now)


def change(table, snapshot, *changes):
    return learn.consider(table, snapshot, frozenset(changes))


def remote(host, number, addresses=(), sequence=0):
    return RemoteMac(RED, mac(number), HOSTS[host].vtep, addresses, sequence)


def test_routes_of_one_mac_become_one_remote():
    routes = (
        mac_route("h2", THERE),
        mac_route("h2", THERE, V6),
        mac_route("h2", THERE, V4),
        flood_route("h2"),
    )
    table, outcome = hear(up(), RR1, announced(*routes))
    assert outcome.put_remotes == (remote("h2", THERE, (V4, V6)),)
    assert outcome.put_floods == (FloodVtep(RED, HOSTS["h2"].vtep),)
    assert table.remotes[SPOT] == remote("h2", THERE, (V4, V6))


def test_an_outcome_goes_into_the_snapshot_with_its_changes():
    table, outcome = hear(up(), RR1, announced(mac_route("h2", THERE), flood_route("h2")))
    snapshot, changes = outcome.apply(world())
    assert snapshot.remotes[SPOT] == remote("h2", THERE)
    assert changes == {Change(Part.REMOTE, SPOT), Change(Part.FLOOD, (RED, HOSTS["h2"].vtep))}
    unbound = change(table, bind(world(), THERE, "h3"), Change(Part.BINDING, THERE))[1]
    assert unbound.apply(snapshot)[0].remotes == world().remotes
    assert learn.Outcome().apply(snapshot) == (snapshot, frozenset())


def test_the_same_again_changes_nothing():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    again, outcome = hear(table, RR1, announced(mac_route("h2", THERE)))
    assert outcome == learn.Outcome()
    assert again == table


def test_a_withdrawn_route_is_held_while_bound_then_goes():
    table, _ = hear(up(limits=Limits(hold=180)), RR1, announced(mac_route("h2", THERE)))
    table, outcome = hear(table, RR1, withdrawn(mac_route("h2", THERE)), 10.0)
    assert not outcome.drop_remotes
    assert learn.probes(table) == {HOSTS["h2"].vtep}
    table, outcome = learn.tick(table, 189.9)
    assert not outcome.drop_remotes
    table, outcome = learn.tick(table, 190.0)
    assert outcome.drop_remotes == (SPOT,)
    assert learn.probes(table) == frozenset()


def test_a_held_flood_route_follows_the_same_rule():
    table, _ = hear(up(), RR1, announced(flood_route("h2"), flood_route("h3")))
    table, outcome = hear(table, RR1, withdrawn(flood_route("h2"), flood_route("h3")), 0.0)
    assert outcome.drop_floods == ((RED, HOSTS["h3"].vtep),)  # nothing is bound on h3
    assert learn.tick(table, 180.0)[1].drop_floods == ((RED, HOSTS["h2"].vtep),)


def test_a_vtep_that_stops_answering_ends_the_hold():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    table, _ = hear(table, RR1, withdrawn(mac_route("h2", THERE)))
    assert learn.probe_failed(table, HOSTS["h3"].vtep)[1] == learn.Outcome()
    assert learn.probe_failed(table, HOSTS["h2"].vtep)[1].drop_remotes == (SPOT,)


def test_a_failed_probe_does_not_touch_what_a_peer_stands_by():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    assert learn.probe_failed(table, HOSTS["h2"].vtep)[1] == learn.Outcome()


def test_an_unbound_port_ends_the_hold_at_once():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    table, _ = hear(table, RR1, withdrawn(mac_route("h2", THERE)))
    moved = bind(world(), THERE, "h3", 1)
    assert change(table, moved, Change(Part.BINDING, THERE))[1].drop_remotes == (SPOT,)


def test_an_external_hosts_withdrawal_acts_at_once():
    table, _ = hear(up(), RR1, announced(mac_route("ext", OUTSIDE)))
    assert hear(table, RR1, withdrawn(mac_route("ext", OUTSIDE)))[1].drop_remotes == ((RED, mac(OUTSIDE)),)


def test_the_other_reflector_still_stands_by_it():
    table = up(RR1, RR2)
    for peer in (RR1, RR2):
        table, _ = hear(table, peer, announced(mac_route("ext", OUTSIDE)))
    table, outcome = hear(table, RR1, withdrawn(mac_route("ext", OUTSIDE)))
    assert outcome == learn.Outcome()
    assert learn.probes(table) == frozenset()


def test_a_move_goes_to_the_newer_sequence_at_once():
    table, _ = hear(up(), RR1, announced(mac_route("h2", ROAMING, sequence=1)))
    table, outcome = hear(table, RR1, announced(mac_route("h3", ROAMING, sequence=2)))
    assert outcome.put_remotes == (remote("h3", ROAMING, (), 2),)
    _, outcome = hear(table, RR1, announced(mac_route("h2", ROAMING, sequence=1)))
    assert outcome == learn.Outcome()


def test_of_equal_sequences_the_lowest_vtep_wins_whatever_the_order():
    routes = [mac_route("h2", ROAMING, sequence=1), mac_route("h3", ROAMING, sequence=1)]
    for order in (routes, routes[::-1]):
        assert hear(up(), RR1, announced(*order))[0].remotes[RED, mac(ROAMING)].vtep == HOSTS["h2"].vtep


def test_local_preference_decides_before_the_vtep():
    routes = (mac_route("h2", ROAMING), mac_route("h3", ROAMING, local_preference=200))
    assert hear(up(), RR1, announced(*routes))[0].remotes[RED, mac(ROAMING)].vtep == HOSTS["h3"].vtep


def test_a_moved_binding_acts_at_once_and_the_old_route_waits_as_refused():
    table, _ = hear(up(), RR1, announced(mac_route("h2", ROAMING), mac_route("h3", ROAMING, sequence=1)))
    snapshot = bind(world(), ROAMING, "h2", 2)
    table, outcome = change(table, snapshot, Change(Part.BINDING, ROAMING))
    assert outcome.put_remotes == (remote("h2", ROAMING),)
    assert [one.code for one in learn.rejected(table)] == ["bound-elsewhere"]
    table, outcome = change(table, bind(world(), ROAMING, "h3", 3), Change(Part.BINDING, ROAMING))
    assert outcome.put_remotes == (remote("h3", ROAMING, (), 1),)


def test_a_refused_route_is_listed_and_judged_again_when_the_store_changes():
    stolen = mac_route("h3", THERE, sequence=9)
    table, outcome = hear(up(), RR1, announced(stolen))
    assert outcome == learn.Outcome()
    (one,) = learn.rejected(table)
    assert (one.code, one.peer, one.route) == ("vtep-not-authorised", RR1, stolen)
    assert table.counters["refused"] == 1
    allowed = bind(with_port(world(), port(THERE, RED, ("h2", "h3"))), THERE, "h3", 9)
    table, outcome = change(table, allowed, Change(Part.PORT, THERE), Change(Part.BINDING, THERE))
    assert outcome.put_remotes == (remote("h3", THERE, (), 9),)
    assert learn.rejected(table) == ()


def test_a_thief_changes_nothing_for_the_victim():
    """Not with a route of its own, nor with one that replaces the victim's at the reflector."""
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    table, outcome = hear(table, RR1, announced(mac_route("h3", THERE, sequence=9)))
    assert outcome == learn.Outcome()
    same_key = replace(
        mac_route("h2", THERE, sequence=9),
        attributes=replace(mac_route("h2", THERE, sequence=9).attributes, next_hop=HOSTS["h3"].vtep),
    )
    assert key(same_key) == key(mac_route("h2", THERE))
    table, outcome = hear(table, RR1, announced(same_key))
    assert outcome == learn.Outcome()
    assert len(learn.rejected(table)) == 2
    table, outcome = learn.tick(table, 1e6)
    table, outcome = hear(table, RR1, END, 1e6)
    assert table.remotes[SPOT].vtep == HOSTS["h2"].vtep
    assert learn.probes(table) == {HOSTS["h2"].vtep}
    table, _ = hear(table, RR1, withdrawn(same_key), 1e6)
    assert learn.tick(table, 1e6 + 180.0)[1].drop_remotes == (SPOT,)


def test_a_lost_peer_keeps_what_it_said_until_it_has_said_everything_again():
    table, _ = hear(
        up(), RR1, announced(mac_route("h2", THERE), mac_route("ext", OUTSIDE), flood_route("h2"))
    )
    table, outcome = learn.peer_down(table, RR1, 10.0)
    assert outcome == learn.Outcome()
    assert learn.tick(table, 1e6)[1] == learn.Outcome()  # the data plane outlives the reflectors
    table, _ = learn.peer_up(table, RR1, 1e6)
    table, outcome = hear(table, RR1, announced(mac_route("h2", THERE)), 1e6)
    assert outcome == learn.Outcome()
    table, outcome = hear(table, RR1, END, 1e6)
    assert outcome.drop_remotes == ((RED, mac(OUTSIDE)),)  # external: what is not repeated is gone
    assert learn.probes(table) == {HOSTS["h2"].vtep}
    table, outcome = learn.tick(table, 1e6 + 180.0)
    assert outcome.drop_floods == ((RED, HOSTS["h2"].vtep),)
    assert SPOT in table.remotes


def test_a_bound_on_lost_peers_can_be_set():
    table, _ = hear(up(limits=Limits(peer_hold=60)), RR1, announced(mac_route("h2", THERE)))
    table, _ = learn.peer_down(table, RR1, 10.0)
    assert learn.tick(table, 69.0)[1] == learn.Outcome()
    assert learn.tick(table, 70.0)[1].drop_remotes == (SPOT,)


def test_a_peer_that_never_says_end_of_rib_is_swept_after_a_while():
    table, _ = hear(up(), RR1, announced(mac_route("ext", OUTSIDE)))
    table, _ = learn.peer_down(table, RR1, 0.0)
    table, _ = learn.peer_up(table, RR1, 100.0)
    table, outcome = learn.tick(table, 159.0)
    assert outcome == learn.Outcome()
    assert learn.tick(table, 160.0)[1].drop_remotes == ((RED, mac(OUTSIDE)),)


def test_a_restored_snapshot_is_held_until_a_peer_has_replayed():
    first, outcome = hear(up(), RR1, announced(mac_route("h2", THERE, V4, sequence=2), flood_route("h2")))
    snapshot, _ = outcome.apply(world())
    table = learn.restore(snapshot)
    assert table.remotes == first.remotes
    assert table.floods == first.floods
    table, _ = learn.peer_up(table, RR1, 0.0)
    table, outcome = hear(table, RR1, announced(mac_route("h2", THERE, V4, sequence=2)))
    table, outcome = hear(table, RR1, END)
    assert outcome == learn.Outcome()
    assert learn.tick(table, 180.0)[1].drop_floods == ((RED, HOSTS["h2"].vtep),)


def test_router_macs_are_learned_kept_and_restored():
    table, outcome = learn.receive(up(), RR1, announced(mac_route("h2", THERE)), 1.0)
    assert outcome.put_remotes[0].router_mac is None
    table, _ = learn.receive(table, RR1, announced(routed_route("h2", THERE, V4)), 1.0)
    expected = RemoteMac(RED, mac(THERE), HOSTS["h2"].vtep, (V4,), 0, router_mac(HOSTS["h2"].router_id))
    assert table.remotes[SPOT] == expected
    restored = learn.restore(replace(world(), remotes=table.remotes))
    assert restored.remotes[SPOT] == expected


def test_a_peer_that_is_back_may_repeat_a_mac_before_its_addresses():
    """Each may come in an UPDATE of its own, and packets are routed meanwhile."""
    alone, routed = mac_route("h2", THERE), routed_route("h2", THERE, V4)
    table, _ = hear(up(), RR1, announced(alone, routed))
    expected = table.remotes[SPOT]
    assert expected.router_mac is not None
    table, _ = learn.peer_up(learn.peer_down(table, RR1, 10.0)[0], RR1, 20.0)
    for said in (announced(alone), announced(routed), END):
        table, outcome = hear(table, RR1, said, 20.0)
        assert (outcome, table.remotes[SPOT]) == (learn.Outcome(), expected)


def test_a_host_that_no_longer_routes_is_bridged_to_whatever_is_held():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE), routed_route("h2", THERE, V4)))
    table, _ = learn.peer_up(learn.peer_down(table, RR1, 10.0)[0], RR1, 20.0)
    table, _ = hear(table, RR1, announced(mac_route("h2", THERE), mac_route("h2", THERE, V4)), 20.0)
    assert table.remotes[SPOT].router_mac is None


def test_a_route_that_comes_before_the_tenants_l3vni_is_judged_again():
    tenants = world().tenants
    early = replace(world(), tenants=tenants.set(1, replace(tenants[1], l3vni=0)))
    table = up(snapshot=early)
    table, _ = learn.receive(
        table, RR1, announced(mac_route("h2", THERE), routed_route("h2", THERE, V4)), 1.0
    )
    assert [one.code for one in learn.rejected(table)] == ["l3vni-foreign"]
    assert table.remotes[SPOT].addresses == ()  # bridged to meanwhile
    table, outcome = learn.consider(table, world(), frozenset({Change(Part.TENANT, 1)}))
    assert outcome.put_remotes[0].router_mac == router_mac(HOSTS["h2"].router_id)
    table, outcome = learn.consider(table, early, frozenset({Change(Part.TENANT, 1)}))
    assert outcome.put_remotes[0].router_mac is None


def test_what_the_store_no_longer_knows_is_not_restored():
    _, outcome = hear(up(), RR1, announced(mac_route("h2", THERE)))
    snapshot, _ = outcome.apply(world())
    assert not learn.restore(without_port(snapshot, PortKey(THERE))).remotes


def test_a_network_that_becomes_known_asks_for_its_routes():
    bare = replace(world(), networks=world().networks.delete(RED))
    table, outcome = hear(up(snapshot=bare), RR1, announced(mac_route("h2", THERE)))
    assert outcome == learn.Outcome()
    assert table.counters["not-imported"] == 1
    table, outcome = change(table, world(), Change(Part.NETWORK, RED))
    assert outcome.relearn == tuple(communities.route_target(ASN, vni) for vni in (RED_VNI, RED_L3))
    table, outcome = hear(table, RR1, announced(mac_route("h2", THERE)))
    assert outcome.put_remotes == (remote("h2", THERE),)


def test_a_network_that_goes_takes_its_remotes_along():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE), flood_route("h2")))
    bare = replace(world(), networks=world().networks.delete(RED))
    _, outcome = change(table, bare, Change(Part.NETWORK, RED))
    assert outcome.drop_remotes == (SPOT,)
    assert outcome.drop_floods == ((RED, HOSTS["h2"].vtep),)


def test_a_vtep_that_moves_to_another_address_is_judged_again():
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    moved = Hypervisor(HostName("h2"), ip_address("192.0.2.99"), HOSTS["h2"].router_id)
    snapshot = replace(world(), hypervisors=world().hypervisors.set(HostName("h2"), moved))
    table, outcome = change(table, snapshot, Change(Part.HYPERVISOR, HostName("h2")))
    assert outcome.drop_remotes == (SPOT,)
    assert [one.code for one in learn.rejected(table)] == ["next-hop-unknown"]


def test_memory_is_bounded_per_peer():
    table = up(limits=Limits(routes_per_peer=1))
    table, outcome = hear(table, RR1, announced(mac_route("h2", THERE), mac_route("ext", OUTSIDE)))
    assert len(outcome.put_remotes) == 1
    assert table.counters["over-limit"] == 1
    table, outcome = hear(table, RR1, announced(mac_route("h2", THERE, sequence=3)))
    assert outcome.put_remotes == (remote("h2", THERE, (), 3),)
    table, _ = hear(table, RR1, withdrawn(mac_route("h2", THERE)))
    assert hear(table, RR1, announced(mac_route("ext", OUTSIDE)))[1].put_remotes == (remote("ext", OUTSIDE),)


def test_refused_routes_that_do_not_fit_are_asked_for_again():
    table = up(limits=Limits(refused=1))
    table, _ = hear(table, RR1, announced(mac_route("h3", THERE), mac_route("h3", HERE)))
    assert len(learn.rejected(table)) == 1
    assert table.counters["refused-forgotten"] == 1
    _, outcome = change(table, bind(world(), THERE, "h2", 1), Change(Part.BINDING, THERE))
    assert outcome.relearn_all


def test_faults_are_passed_on_and_counted():
    table, outcome = hear(up(), RR1, Update(faults=("skipped an NLRI",)))
    assert outcome.faults == ("skipped an NLRI",)
    assert table.counters["faults"] == 1


def test_what_is_not_there_can_be_withdrawn():
    assert hear(up(), RR1, withdrawn(mac_route("h2", THERE)))[1] == learn.Outcome()
    assert learn.peer_down(up(), RR2, 0.0)[1] == learn.Outcome()


@pytest.mark.parametrize("count", [3])
def test_changes_that_no_verdict_depends_on_cost_nothing(count):
    table, _ = hear(up(), RR1, announced(mac_route("h2", THERE)))
    for _ in range(count):
        table, outcome = change(table, world(), Change(Part.EPOCH, HERE), Change(Part.SWITCH, None))
        assert outcome == learn.Outcome()

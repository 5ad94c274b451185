"""MACs and addresses that several hosts say they have: counted, damped, released; static ones never move."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from bgp import learn, moves
from bgp.table import Limits, Table
from model.addresses import GATEWAY_MAC, router_mac
from model.change import Change, Part
from model.ids import HostName
from model.intent import Pair
from model.route import MacRoute, Route
from model.snapshot import with_port
from tests.unit.bgp.test_learn import RR1, RR2, announced, hear, up, withdrawn
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
    hung,
    mac,
    mac_route,
    port,
    rd,
    world,
)

SPOT = ("mac", RED, mac(ROAMING))
VIP = ip_address("10.0.0.99")


def fight(table: Table, times: int, step: float = 1.0, begin: float = 0.0) -> Table:
    """h2 and h3 take ROAMING from each other, `times` moves after the first announcement, each with the next
    sequence, and take their old route back, as RFC 7432 section 15 has it."""
    for number in range(times + 1):
        mine, other = ("h2", "h3") if number % 2 == 0 else ("h3", "h2")
        now = begin + number * step
        table, _ = hear(table, RR1, announced(mac_route(mine, ROAMING, sequence=number)), now)
        table, _ = hear(table, RR1, withdrawn(mac_route(other, ROAMING)), now)
    return table


def where(table: Table) -> str:
    return next(n for n, h in HOSTS.items() if h.vtep == table.remotes[RED, mac(ROAMING)].vtep)


def test_four_moves_are_followed_and_the_fifth_is_not():
    table = fight(up(), 4)
    assert (where(table), len(table.damped)) == ("h2", 0)
    table = fight(up(), 5)
    assert (where(table), list(table.damped)) == ("h2", [SPOT])
    assert table.damped[SPOT].moves == 5 and table.counters["damped"] == 1
    table = fight(table, 9, begin=50)
    assert where(table) == "h2"


def test_moves_that_are_far_apart_are_followed():
    table = fight(up(), 12, step=46.0)  # 4 within any 180 s
    assert not table.damped and where(table) == "h2"
    assert fight(up(), 12, step=44.0).damped


@pytest.mark.parametrize(
    ("limits", "found"), [(Limits(moves=2), 1), (Limits(moves=0), 0), (Limits(window=3), 0)]
)
def test_number_and_window_can_be_set(limits, found):
    assert len(fight(up(limits=limits), 6).damped) == found


def test_gone_and_back_elsewhere_is_a_move():
    table = up()
    for number in range(6):
        route = mac_route(("h2", "h3")[number % 2], ROAMING)
        table, _ = hear(table, RR1, announced(route), number)
        if number < 5:
            table, _ = hear(table, RR1, withdrawn(route), number)
    assert where(table) == "h2" and SPOT in table.damped  # though h2 has taken its route back


def test_the_same_place_again_and_again_is_no_move():
    table, route = up(), mac_route("h2", ROAMING)
    for number in range(20):
        table, _ = hear(table, RR1, announced(route), number)
        table, _ = hear(table, RR1, withdrawn(route), number)
    assert not table.damped


def test_while_it_is_damped_nothing_changes_whatever_is_said():
    table = fight(up(), 5)
    for routes in (
        announced(mac_route("h3", ROAMING, sequence=1_000)),
        withdrawn(mac_route("h3", ROAMING), mac_route("h2", ROAMING)),
        announced(mac_route("h2", ROAMING, V4, sequence=9)),
    ):
        table, outcome = hear(table, RR1, routes, 20.0)
        assert outcome == learn.Outcome()


def test_a_release_lets_the_claims_decide():
    table = fight(up(), 5)
    table, outcome = learn.release(table, SPOT)
    assert where(table) == "h3" and not table.damped and len(outcome.put_remotes) == 1
    assert learn.release(table, SPOT)[1] == learn.Outcome()
    table, outcome = hear(table, RR1, announced(mac_route("h2", ROAMING, sequence=99)), 30.0)
    assert where(table) == "h2"  # it counts from nothing


def test_the_store_ends_it_when_it_says_where_the_port_is():
    table = fight(up(), 5)
    table, _ = learn.consider(
        table, bind(world(), ROAMING, "h3", 9), frozenset({Change(Part.BINDING, ROAMING)})
    )
    assert where(table) == "h3" and not table.damped and not table.trails


def test_the_store_ends_it_when_it_forbids_the_place():
    table = fight(up(), 5)
    only = with_port(world(), port(ROAMING, RED, ("h3",)))
    table, outcome = learn.consider(table, only, frozenset({Change(Part.PORT, ROAMING)}))
    assert where(table) == "h3" and not table.damped
    table = fight(up(), 5)
    nowhere = with_port(world(), port(ROAMING, RED, ("h1",)))
    table, outcome = learn.consider(table, nowhere, frozenset({Change(Part.PORT, ROAMING)}))
    assert outcome.drop_remotes == ((RED, mac(ROAMING)),) and not table.damped


def test_where_the_store_says_who_has_it_nothing_is_counted():
    table = up(snapshot=bind(world(), ROAMING, "h2"))
    table = fight(table, 20)
    assert not table.damped and where(table) == "h2"


def test_what_nobody_says_for_long_is_forgotten():
    table = fight(up(), 5)
    table, _ = hear(table, RR1, withdrawn(mac_route("h3", ROAMING)), 10.0)
    table, _ = learn.tick(table, 11.0)
    table, outcome = learn.tick(table, 190.9)
    assert outcome == learn.Outcome() and where(table) == "h2"
    table, outcome = learn.tick(table, 191.0)
    assert outcome.drop_remotes == ((RED, mac(ROAMING)),) and not table.damped


def test_one_that_says_it_again_keeps_it_damped():
    table = fight(up(), 5)
    table, _ = hear(table, RR1, withdrawn(mac_route("h3", ROAMING)), 10.0)
    table, _ = learn.tick(table, 11.0)
    table, _ = hear(table, RR1, announced(mac_route("h3", ROAMING)), 100.0)
    for now in (101.0, 500.0, 5_000.0):
        table, _ = learn.tick(table, now)
    assert SPOT in table.damped and where(table) == "h2"


def test_trails_are_forgotten():
    table = fight(up(), 3)
    assert table.trails
    assert not learn.tick(table, 200.0)[0].trails


def test_a_lost_reflector_moves_nothing_and_counts_nothing():
    table = up(RR1, RR2)
    for peer in (RR1, RR2):
        table, _ = hear(table, peer, announced(mac_route("h2", ROAMING)))
    for now in range(1, 20):
        table, _ = learn.peer_down(table, RR1, now)
        table, _ = learn.peer_up(table, RR1, now)
        table, _ = hear(table, RR1, announced(mac_route("h2", ROAMING)), now)
    assert not table.damped and where(table) == "h2"


def shared():
    """VIP is allowed to OUTSIDE on ext and to ROAMING, which h2 has."""
    made = bind(world(), ROAMING, "h2")
    for key in (OUTSIDE, ROAMING):
        pairs = (Pair(ip_network(VIP)),)
        made = with_port(made, replace(made.ports[key], allowed=pairs))
    return made


def test_an_address_that_an_external_host_fights_for_is_damped():
    table = up(snapshot=shared())
    for number in range(6):
        host, key = (("ext", OUTSIDE), ("h2", ROAMING))[number % 2]
        table, _ = hear(table, RR1, announced(mac_route(host, key, VIP, sequence=number)), number)
    assert list(table.damped) == [("address", RED, VIP)]
    assert table.claimed[RED, VIP].vtep == HOSTS["ext"].vtep
    table, outcome = learn.release(table, ("address", RED, VIP))
    assert outcome.put_addresses[0].vtep == HOSTS["h2"].vtep


def test_addresses_between_hosts_of_ours_are_paced_by_their_agents():
    both = shared()
    both = with_port(
        both, replace(both.ports[HERE], hosts=(HostName("h3"),), allowed=(Pair(ip_network(VIP)),))
    )
    table = up(snapshot=bind(both, HERE, "h3"))
    for number in range(20):
        host, key = (("h3", HERE), ("h2", ROAMING))[number % 2]
        table, _ = hear(table, RR1, announced(mac_route(host, key, VIP, sequence=number)), number)
    assert not table.damped and table.claimed[RED, VIP].vtep == HOSTS["h2"].vtep


def fixed():
    """OUTSIDE may be on ext and on a second external host."""
    made = replace(world(), hypervisors=world().hypervisors.set("h2", replace(HOSTS["h2"], external=True)))  # type: ignore[call-overload]
    return with_port(made, port(OUTSIDE, RED, ("ext", "h2")))


def test_a_static_mac_never_moves():
    table, _ = hear(up(snapshot=fixed()), RR1, announced(mac_route("ext", OUTSIDE, sticky=True)))
    table, outcome = hear(table, RR1, announced(mac_route("h2", OUTSIDE, sequence=1 << 31)))
    assert outcome == learn.Outcome()
    assert table.remotes[RED, mac(OUTSIDE)].sticky
    table, outcome = hear(table, RR1, withdrawn(mac_route("ext", OUTSIDE, sticky=True)))
    assert outcome.put_remotes[0].vtep == HOSTS["h2"].vtep


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_static_ones_the_lowest_vtep_has_it_whatever_the_sequences(order):
    routes = [mac_route(h, OUTSIDE, sticky=True, sequence=s) for h, s in (("ext", 9), ("h2", 0))]
    table, _ = hear(up(snapshot=fixed()), RR1, announced(*routes[::order]))
    assert table.remotes[RED, mac(OUTSIDE)].vtep == HOSTS["h2"].vtep


def test_a_restart_keeps_a_static_mac_where_it_is():
    table, outcome = hear(up(snapshot=fixed()), RR1, announced(mac_route("h2", OUTSIDE, sticky=True)))
    saved, _ = outcome.apply(fixed())
    table = learn.restore(saved)
    table, _ = learn.peer_up(table, RR1, 0.0)
    assert table.remotes == saved.remotes
    table, outcome = hear(table, RR1, announced(mac_route("h2", OUTSIDE, sticky=True)))
    assert outcome == learn.Outcome()


@pytest.mark.parametrize(
    "body",
    [
        MacRoute(rd("ext"), GATEWAY_MAC, None, RED_VNI),
        MacRoute(rd("ext"), router_mac(0x0A000001), None, RED_VNI),
        MacRoute(rd("ext"), mac(OUTSIDE), ip_address("10.0.0.1"), RED_VNI),
    ],
    ids=["gateway", "router", "address"],
)
def test_gateways_never_move(body):
    """Not even where the store would let the MAC or the address be."""
    allowed = replace(
        port(OUTSIDE, RED, ("ext",)),
        mac=body.mac,
        addresses=(ip_address("10.0.0.1"),),
        allowed=(Pair(ip_network("10.0.0.1/32"), body.mac),),
    )
    table, outcome = hear(up(snapshot=with_port(world(), allowed)), RR1, announced(Route(body, hung("ext"))))
    assert outcome == learn.Outcome()
    assert [one.code for one in learn.rejected(table)] == ["gateway"]


def fought():
    """HERE is bound here; ext may have it, too."""
    return with_port(bind(world(), HERE, "h1", 3), port(HERE, RED, ("h1", "ext")))


def test_who_says_that_he_has_a_port_of_this_host_is_answered_with_a_higher_sequence():
    table = up(snapshot=fought())
    for said, answer in ((2, ()), (3, ((HERE, 4),)), (8, ((HERE, 9),))):
        _, outcome = hear(table, RR1, announced(mac_route("ext", HERE, sequence=said)))
        assert outcome.contested == answer and not outcome.put_remotes
    _, outcome = hear(table, RR1, announced(mac_route("h3", HERE, sequence=9)))
    assert outcome.contested == ()  # between hosts of ours the store decides


def test_a_host_that_may_not_have_it_any_more_is_answered_too():
    """Its hosts were ext, now it is ours: others may still follow ext."""
    table, _ = hear(up(), RR1, announced(mac_route("ext", HERE, sequence=8)))
    assert [one.code for one in learn.rejected(table)] == ["vtep-not-authorised"]
    _, outcome = hear(table, RR1, announced(mac_route("ext", HERE, sequence=2**32 - 1)))
    assert outcome.contested == ((HERE, 2**32 - 1),)  # it can't rise above
    _, outcome = hear(up(), RR1, announced(mac_route("ext", HERE, ip_address("10.0.0.77"), sequence=8)))
    assert outcome.contested == ()  # that is no address of the port


def test_but_not_more_often_than_a_mac_may_move():
    table, answers = up(snapshot=fought()), 0
    for number in range(20):
        table, outcome = hear(table, RR1, announced(mac_route("ext", HERE, sequence=3 + number)), number)
        answers += len(outcome.contested)
    assert answers == 5 and moves.is_lost(table, HERE)
    table, _ = learn.tick(table, 300.0)
    assert not moves.is_lost(table, HERE)


def test_what_the_store_says_later_is_answered_too():
    """It was free, ext had it; now it is bound here with a sequence that others do not believe."""
    free = replace(fought(), bindings=world().bindings.delete(HERE))
    table, _ = hear(up(snapshot=free), RR1, announced(mac_route("ext", HERE, sequence=6)))
    assert table.remotes
    _, outcome = learn.consider(table, fought(), frozenset({Change(Part.BINDING, HERE)}))
    assert outcome.contested == ((HERE, 7),)


@pytest.mark.parametrize("goes", ["stays", "withdrawn"])
def test_a_port_that_leaves_an_external_host_is_claimed_with_a_higher_sequence(goes):
    """Whether that host still says that it has the port, or has taken it back a moment ago."""
    assert moves.outbid(up(), OUTSIDE) == 0
    table, _ = hear(up(), RR1, announced(mac_route("ext", OUTSIDE, sequence=6)))
    assert moves.outbid(table, OUTSIDE) == 7
    ours = with_port(world(), port(OUTSIDE, RED, ("h1",)))
    table, outcome = learn.consider(table, ours, frozenset({Change(Part.PORT, OUTSIDE)}))
    assert outcome.drop_remotes and moves.outbid(table, OUTSIDE) == 7
    if goes == "withdrawn":
        table, _ = hear(table, RR1, withdrawn(mac_route("ext", OUTSIDE)), 3.0)
    table, outcome = learn.consider(
        table, bind(ours, OUTSIDE, "h1", 7), frozenset({Change(Part.BINDING, OUTSIDE)})
    )
    assert outcome.contested == ()  # it is higher already


def test_what_a_host_of_ours_may_not_say_outbids_nobody():
    ours = with_port(world(), port(OUTSIDE, RED, ("h1",)))
    table, _ = hear(up(snapshot=ours), RR1, announced(mac_route("h3", OUTSIDE, sequence=6)))
    assert moves.outbid(table, OUTSIDE) == 0
    table, _ = hear(table, RR1, announced(mac_route("ext", OUTSIDE, sequence=2**32 - 1)))
    assert moves.outbid(table, OUTSIDE) == 2**32 - 1


def stuck(snapshot, key):
    """The port of this key, declared sticky."""
    return with_port(snapshot, replace(snapshot.ports[key], sticky=True))


@pytest.mark.parametrize(("key", "host"), [(HERE, "ext"), (HERE, "h3"), (THERE, "ext"), (OUTSIDE, "h2")])
@pytest.mark.parametrize("sticky", [True, False])
def test_what_others_say_of_a_sticky_port_is_refused_and_counted_and_raises_nothing(key, host, sticky):
    """Also where its hosts would let them have it, and whether they say that it is static or not."""
    made = stuck(
        with_port(world(), replace(fought().ports[HERE], hosts=(HostName("h1"), HostName("ext")))), key
    )
    table = up(snapshot=made)
    for number in range(1, 8):
        route = mac_route(host, key, sequence=number, sticky=sticky)
        table, outcome = hear(table, RR1, announced(route), number)
        assert outcome == learn.Outcome()
    (refusal,) = learn.rejected(table)
    assert (refusal.code, "sticky" in refusal.reason) == ("sticky-elsewhere", True)
    assert table.counters["sticky"] == 7 and not table.damped and not moves.is_lost(table, key)


def test_a_sticky_port_is_not_damped():
    free = with_port(world(), replace(world().ports[ROAMING], sticky=True))
    table = fight(up(snapshot=free), 20)
    assert not table.damped and not table.trails


def test_a_sticky_port_of_a_host_of_ours_moves_with_its_binding():
    """Live migration: the host that it left may still say so when the other begins."""
    began = bind(stuck(world(), ROAMING), ROAMING, "h2")
    table, _ = hear(up(snapshot=began), RR1, announced(mac_route("h2", ROAMING, sequence=0, sticky=True)))
    assert where(table) == "h2" and table.remotes[RED, mac(ROAMING)].sticky
    table, outcome = hear(table, RR1, announced(mac_route("h3", ROAMING, sequence=1, sticky=True)), 1.0)
    assert outcome == learn.Outcome()
    table, _ = learn.consider(
        table, bind(began, ROAMING, "h3", 1), frozenset({Change(Part.BINDING, ROAMING)})
    )
    assert where(table) == "h3"
    table, outcome = hear(table, RR1, withdrawn(mac_route("h2", ROAMING)), 2.0)
    assert outcome == learn.Outcome()


def test_a_sticky_mac_learned_of_a_host_of_ours_outlives_a_restart():
    made = stuck(world(), THERE)
    _, outcome = hear(up(snapshot=made), RR1, announced(mac_route("h2", THERE, sequence=0, sticky=True)))
    saved, _ = outcome.apply(made)
    assert learn.restore(saved).remotes == saved.remotes and saved.remotes[RED, mac(THERE)].sticky

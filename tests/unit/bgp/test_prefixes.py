"""RT-5: what a host announces, and how next hops are learned, chosen, held and let go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from bgp import learn
from bgp.codec import communities, nlri
from bgp.codec.update import Update
from bgp.originate import originate, reoriginate
from bgp.table import Limits
from model import gateways
from model.addresses import router_mac
from model.change import Change, Part
from model.ids import HostName
from model.intent import Egress
from model.route import NextHop, PrefixRoute, RemotePrefix
from tests.unit.bgp.outside import (
    BEHIND,
    BLUE_VRF,
    BORDER_MAC,
    EGRESS,
    LINK,
    LINK_L3,
    NET,
    NET_L3,
    RED_VRF,
    outside,
    prefix_route,
)
from tests.unit.bgp.world import ASN, HERE, HOSTS, THERE, bind, plug

PEER = "10.0.0.1"
DEFAULT = ip_network("0.0.0.0/0")


def seen_from(host):
    """The cluster with HERE on h1 and THERE on h2, from one of the two."""
    made = replace(outside(), host=HostName(host))
    return plug(made, THERE if host == "h2" else HERE)


def said(snapshot):
    return {r for r in originate(snapshot).ordered() if isinstance(r.nlri, PrefixRoute)}


def test_a_host_says_what_leads_to_its_ports():
    assert said(seen_from("h1")) == {
        prefix_route("h1", RED_VRF, str(BEHIND)),
        prefix_route("h1", LINK, f"10.0.0.{HERE}/32"),
        prefix_route("h1", LINK, f"fd00::{HERE}/128"),
    }


def test_a_tenants_written_number_distinguishes_the_routes_of_its_vrf():
    before = outside()
    red = replace(before.tenants[RED_VRF], distinguisher=40001)
    after = replace(before, tenants=before.tenants.set(RED_VRF, red))
    changes = frozenset({Change(Part.TENANT, RED_VRF)})
    now, announce, withdraw = reoriginate(originate(before), before, after, changes)
    assert now == originate(after)
    assert {nlri.parse_distinguisher(route.nlri.rd).local_id for route in announce} == {40001}
    assert {nlri.parse_distinguisher(route.nlri.rd).local_id for route in withdraw} == {RED_VRF}
    assert {type(route.nlri) for route in announce} == {PrefixRoute}


def test_the_active_gateway_says_the_way_out_and_the_egress_address():
    assert said(seen_from("h2")) == {
        prefix_route("h2", RED_VRF, str(BEHIND)),
        prefix_route("h2", RED_VRF, "0.0.0.0/0", local_preference=gateways.FIRST),
        prefix_route("h2", NET, f"{EGRESS}/32", local_preference=gateways.FIRST),
        prefix_route("h2", NET, "203.0.113.5/32"),
        prefix_route("h2", LINK, f"10.0.0.{THERE}/32"),
        prefix_route("h2", LINK, f"fd00::{THERE}/128"),
    }


def test_the_bytes_are_those_of_the_interface_less_model():
    route = prefix_route("h1", RED_VRF, str(BEHIND))
    # type 5, 34 octets: RD, ESI 0, tag 0, /16, prefix, gateway 0, label = the L3VNI
    assert (
        nlri.encode(route.nlri).hex() == "0522" + "00010a0000010001" + "00" * 14 + "10ac10000000000000002a95"
    )


def test_a_standby_takes_over_with_a_higher_preference_and_gives_back():
    old = seen_from("h1")
    dead = replace(old, down=old.down.set(HOSTS["h2"].vtep, None))
    change = frozenset({Change(Part.DOWN, HOSTS["h2"].vtep)})
    before = originate(old)
    now, announce, withdraw = reoriginate(before, old, dead, change)
    weight = gateways.FIRST + gateways.STEP
    assert set(announce) == {
        prefix_route("h1", RED_VRF, "0.0.0.0/0", local_preference=weight),
        prefix_route("h1", NET, f"{EGRESS}/32", local_preference=weight),
    }
    assert withdraw == ()
    assert gateways.translating(dead, dead.tenants[RED_VRF])
    back, announce, withdraw = reoriginate(now, dead, old, change)
    assert (back, announce, len(withdraw)) == (before, (), 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"egress": Egress.NONE},
        {"external": 99},
        {"egress_addresses": ()},
        {"gateways": ("h1",)},
        {"gateways": ()},
    ],
)
def test_nobody_translates_without_all_that_it_takes(fields):
    made = seen_from("h2")
    tenant = replace(made.tenants[RED_VRF], **fields)
    assert gateways.preference(made, tenant) is None


@pytest.mark.parametrize(
    ("part", "key", "edit", "gone"),
    [
        (Part.STATIC_ROUTE, "r1", lambda s: replace(s, static_routes=s.static_routes.delete("r1")), 1),
        (Part.FLOATING, "f1", lambda s: replace(s, floating=s.floating.delete("f1")), 1),
        (Part.PEERING, LINK, lambda s: replace(s, peerings=s.peerings.delete(LINK)), 2),
        (Part.EXTERNAL, NET, lambda s: replace(s, externals=s.externals.delete(NET)), 3),
        (Part.BINDING, THERE, lambda s: bind(s, THERE, "h2", active="off"), 4),
    ],
)
def test_what_stands_behind_a_prefix_takes_it_away(part, key, edit, gone):
    old = seen_from("h2")
    new = edit(old)
    before = originate(old)
    now, announce, withdraw = reoriginate(before, old, new, frozenset({Change(part, key)}))
    assert now == originate(new)
    assert len([r for r in withdraw if isinstance(r.nlri, PrefixRoute)]) == gone
    assert announce == ()


def heard(*routes):
    return Update(announced=tuple((nlri.key(nlri.encode(r.nlri)), r) for r in routes))


def taken(*routes):
    return Update(withdrawn=tuple(nlri.key(nlri.encode(r.nlri)) for r in routes))


def hop(host):
    mac = BORDER_MAC if host == "ext" else router_mac(HOSTS[host].router_id)
    return NextHop(HOSTS[host].vtep, mac)


def table(snapshot=None, limits=None):
    return learn.peer_up(learn.start(snapshot or outside(), limits or Limits()), PEER, 0.0)[0]


def two_gateways():
    """Seen from h3, so that h1 and h2 both may send."""
    return replace(outside(), host=HostName("h3"))


def test_equal_preferences_share_and_the_highest_wins():
    made = table(two_gateways())
    one, two = (prefix_route(h, RED_VRF, str(BEHIND)) for h in ("h2", "h1"))
    made, outcome = learn.receive(made, PEER, heard(one, two), 0.0)
    both = RemotePrefix(RED_VRF, BEHIND, (hop("h1"), hop("h2")))
    assert outcome.put_prefixes == (both,)
    snapshot, changes = outcome.apply(made.snapshot)
    assert snapshot.prefixes[RED_VRF, BEHIND] == both
    assert changes == {Change(Part.PREFIX, (RED_VRF, BEHIND))}
    better = prefix_route("h2", RED_VRF, str(BEHIND), local_preference=200)
    made, outcome = learn.receive(made, PEER, heard(better), 0.0)
    assert outcome.put_prefixes == (RemotePrefix(RED_VRF, BEHIND, (hop("h2"),), 200),)
    made, outcome = learn.receive(made, PEER, taken(better), 0.0)
    assert outcome.put_prefixes == (RemotePrefix(RED_VRF, BEHIND, (hop("h1"),)),)


def test_a_vtep_that_probes_do_not_reach_is_left_out_unless_all_are():
    made = table(two_gateways())
    routes = [prefix_route(h, RED_VRF, str(BEHIND)) for h in ("h2", "h1")]
    made, _ = learn.receive(made, PEER, heard(*routes), 0.0)
    alone = replace(made.snapshot, down=made.snapshot.down.set(HOSTS["h2"].vtep, None))
    made, outcome = learn.consider(made, alone, frozenset({Change(Part.DOWN, HOSTS["h2"].vtep)}))
    assert outcome.put_prefixes == (RemotePrefix(RED_VRF, BEHIND, (hop("h1"),)),)
    none = replace(alone, down=alone.down.set(HOSTS["h1"].vtep, None))
    made, outcome = learn.consider(made, none, frozenset({Change(Part.DOWN, HOSTS["h1"].vtep)}))
    assert outcome.put_prefixes == (RemotePrefix(RED_VRF, BEHIND, (hop("h1"), hop("h2"))),)


def test_a_border_that_takes_its_route_back_is_not_waited_for():
    made = table()
    route = prefix_route("ext", BLUE_VRF, "0.0.0.0/0")
    made, _ = learn.receive(made, PEER, heard(route), 0.0)
    made, outcome = learn.receive(made, PEER, taken(route), 1.0)
    assert outcome.drop_prefixes == ((BLUE_VRF, DEFAULT),)


def test_a_prefix_behind_a_bound_port_is_held_and_then_let_go():
    made = table()
    route = prefix_route("h2", RED_VRF, str(BEHIND))
    made, _ = learn.receive(made, PEER, heard(route), 0.0)
    made, outcome = learn.receive(made, PEER, taken(route), 1.0)
    assert outcome.drop_prefixes == ()
    made, outcome = learn.tick(made, 1.0 + made.limits.hold)
    assert outcome.drop_prefixes == ((RED_VRF, BEHIND),)


def test_what_a_lost_peer_had_said_stays_and_a_restart_remembers_it():
    made = table()
    routes = (prefix_route("ext", BLUE_VRF, "0.0.0.0/0"), prefix_route("h2", RED_VRF, str(BEHIND)))
    made, outcome = learn.receive(made, PEER, heard(*routes), 0.0)
    snapshot, _ = outcome.apply(made.snapshot)
    made, outcome = learn.peer_down(made, PEER, 1.0)
    assert outcome.drop_prefixes == ()
    again = learn.restore(snapshot)
    assert again.prefixes == made.prefixes == snapshot.prefixes
    again, _ = learn.peer_up(again, PEER, 0.0)
    again, outcome = learn.receive(again, PEER, Update(end_of_rib=True), 0.0)
    assert outcome.drop_prefixes == ((BLUE_VRF, DEFAULT),)  # no port stands behind it


def test_a_refused_route_is_judged_again_when_the_store_allows_it_and_when_it_no_longer_does():
    made = outside()
    closed = replace(made.tenants[BLUE_VRF], egress=Egress.NONE)
    shut = replace(made, tenants=made.tenants.set(BLUE_VRF, closed))
    state = table(shut)
    state, outcome = learn.receive(state, PEER, heard(prefix_route("ext", BLUE_VRF, "0.0.0.0/0")), 0.0)
    assert outcome.put_prefixes == ()
    assert [one.code for one in learn.rejected(state)] == ["egress-closed"]
    change = frozenset({Change(Part.TENANT, BLUE_VRF)})
    state, outcome = learn.consider(state, made, change)
    assert outcome.put_prefixes == (RemotePrefix(BLUE_VRF, DEFAULT, (hop("ext"),)),)
    assert learn.rejected(state) == ()
    state, outcome = learn.consider(state, shut, change)
    assert outcome.drop_prefixes == ((BLUE_VRF, DEFAULT),)


@pytest.mark.parametrize(
    ("part", "key", "field", "l3vni"),
    [(Part.PEERING, LINK, "peerings", LINK_L3), (Part.EXTERNAL, NET, "externals", NET_L3)],
)
def test_a_new_vrf_asks_for_the_routes_that_nobody_wanted_before(part, key, field, l3vni):
    new = outside()
    old = replace(new, **{field: getattr(new, field).delete(key)})
    _, outcome = learn.consider(table(old), new, frozenset({Change(part, key)}))
    assert outcome.relearn == (communities.route_target(ASN, l3vni),)


def test_a_vrf_has_no_room_for_more_than_its_limit_and_asks_again_when_it_has():
    state = table(limits=Limits(prefixes_per_vrf=2))
    routes = [prefix_route("ext", BLUE_VRF, f"172.{n}.0.0/16") for n in (20, 21, 22)]
    state, _ = learn.receive(state, PEER, heard(*routes), 0.0)
    assert len(state.prefixes) == 2
    assert [one.code for one in learn.rejected(state)] == ["vrf-full"]
    state, _ = learn.receive(state, PEER, heard(routes[0]), 0.0)  # said again: takes no more room
    assert not state.forgotten
    state, outcome = learn.receive(state, PEER, heard(prefix_route("ext", NET, "172.20.0.0/16")), 0.0)
    assert outcome.put_prefixes  # another VRF has its own
    state, _ = learn.receive(state, PEER, taken(routes[0]), 0.0)
    assert state.forgotten
    _, outcome = learn.consider(state, state.snapshot, frozenset({Change(Part.TENANT, BLUE_VRF)}))
    assert outcome.put_prefixes == (RemotePrefix(BLUE_VRF, ip_network("172.22.0.0/16"), (hop("ext"),)),)


def test_ipv6_prefixes_are_no_different():
    state = table()
    route = prefix_route("ext", BLUE_VRF, "::/0")
    state, outcome = learn.receive(state, PEER, heard(route), 0.0)
    assert outcome.put_prefixes == (RemotePrefix(BLUE_VRF, ip_network("::/0"), (hop("ext"),)),)
    assert ip_address("::") in outcome.put_prefixes[0].prefix

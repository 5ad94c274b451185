"""Prefixes under a guard that only counts: what draws nobody's traffic away, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from bgp import learn
from bgp.table import Table
from model.addresses import router_mac
from model.change import Change, Part
from model.ids import Uid
from model.intent import Egress, Guard, Policy, Side, StaticRoute
from model.route import Route
from model.snapshot import Snapshot
from tests.unit.bgp.outside import BLUE_VRF, LINK, NET, RED_VRF, outside, prefix_route
from tests.unit.bgp.test_learn import RR1, announced, hear, withdrawn
from tests.unit.bgp.world import HOSTS

STRANGE = "192.168.7.0/24"


def world(guard: Guard = Guard.COUNT) -> Snapshot:
    """Seen from h1; ext is an external host and no border; red's static route leads to 172.16.0.0/16."""
    made = outside()
    assert made.cluster is not None
    cluster = replace(made.cluster, policy=Policy(guard))
    return replace(made, cluster=cluster, hypervisors=made.hypervisors.set(HOSTS["ext"].name, HOSTS["ext"]))


def told(*routes: Route, snapshot: Snapshot | None = None) -> Table:
    table, _ = learn.peer_up(learn.start(world() if snapshot is None else snapshot), RR1, 0.0)
    return hear(table, RR1, announced(*routes))[0]


@pytest.mark.parametrize("prefix", [STRANGE, "fd99::/64", "10.99.0.0/16", "172.17.0.0/16"])
def test_a_prefix_that_nobody_declared_is_used_and_counted(prefix: str) -> None:
    route = prefix_route("ext", RED_VRF, prefix)
    strict = told(route, snapshot=world(Guard.ENFORCE))
    assert [one.code for one in learn.rejected(strict)] == ["prefix-unknown"] and not strict.prefixes
    table = told(route)
    assert [hop.vtep for hop in table.prefixes[RED_VRF, ip_network(prefix)].hops] == [HOSTS["ext"].vtep]
    assert [one.code for one in learn.tolerated(table)] == ["prefix-unknown"] and not learn.rejected(table)
    table, _ = hear(table, RR1, withdrawn(route))
    assert not table.prefixes and not table.held and not learn.tolerated(table)


@pytest.mark.parametrize(
    "route",
    [
        prefix_route("ext", RED_VRF, "0.0.0.0/0"),  # all that leaves it
        prefix_route("ext", RED_VRF, "::/0"),
        prefix_route("ext", RED_VRF, "8.8.8.0/24"),  # a public one
        prefix_route("ext", RED_VRF, "10.0.0.0/25"),  # of its own subnet
        prefix_route("ext", RED_VRF, "10.0.0.0/8"),  # around it
        prefix_route("ext", RED_VRF, "172.16.9.0/24"),  # of its static route
        prefix_route("ext", RED_VRF, "172.16.0.0/12"),
        prefix_route("ext", RED_VRF, "fd00::/127"),  # of what its peer exports, or itself
        prefix_route("ext", BLUE_VRF, STRANGE),  # borders speak to it
        prefix_route("h2", RED_VRF, STRANGE),  # a host with an agent says what is declared
        prefix_route("ext", RED_VRF, STRANGE, router_mac=router_mac(1)),
        prefix_route("ext", LINK, "192.168.7.7/32"),
        prefix_route("ext", NET, "192.168.7.0/24"),
    ],
)
def test_but_nothing_that_may_draw_traffic_away(route: Route) -> None:
    table = told(route)
    assert not table.prefixes and not learn.tolerated(table) and len(learn.rejected(table)) == 1


def test_a_declaration_turns_it_at_once() -> None:
    """A static route beside it, a peer's export over it, an egress by borders, the guard itself."""
    table, old = told(prefix_route("ext", RED_VRF, STRANGE)), world()
    beside = StaticRoute(Uid("r2"), RED_VRF, "r2", ip_network("192.168.0.0/16"), ())
    sides = (Side(RED_VRF, ()), Side(BLUE_VRF, (ip_network("192.168.7.9/32"),)))
    fabric = replace(old.tenants[RED_VRF], egress=Egress.FABRIC)
    for new, change in (
        (
            replace(old, static_routes=old.static_routes.set(Uid("r2"), beside)),
            Change(Part.STATIC_ROUTE, "r2"),
        ),
        (
            replace(old, peerings=old.peerings.set(LINK, replace(old.peerings[LINK], sides=sides))),
            Change(Part.PEERING, LINK),
        ),
        (replace(old, tenants=old.tenants.set(RED_VRF, fabric)), Change(Part.TENANT, RED_VRF)),
        (world(Guard.ENFORCE), Change(Part.CLUSTER, None)),
    ):
        after, outcome = learn.consider(table, new, frozenset({change}))
        assert outcome.drop_prefixes == ((RED_VRF, ip_network(STRANGE)),), change
        assert not learn.tolerated(after) and len(learn.rejected(after)) == 1
        again, outcome = learn.consider(after, old, frozenset({change}))
        assert outcome.put_prefixes and not learn.rejected(again)


def test_what_the_store_vouches_for_comes_first() -> None:
    """The declared next hop of the same prefix, whatever the preferences."""
    declared = prefix_route("h2", RED_VRF, "172.16.0.0/16")
    table = told(prefix_route("ext", RED_VRF, "172.16.0.0/16", local_preference=900), declared)
    assert [hop.vtep for hop in table.prefixes[RED_VRF, ip_network("172.16.0.0/16")].hops] == [
        HOSTS["h2"].vtep
    ]


def test_deleting_a_peering_judges_what_was_refused_and_what_was_accepted_at_once() -> None:
    old = world(Guard.ENFORCE)
    accepted = prefix_route("h2", LINK, "10.0.0.2/32")
    table = told(accepted, prefix_route("h2", LINK, "10.0.0.77/32"), snapshot=old)
    assert len(table.prefixes) == 1 and len(learn.rejected(table)) == 1
    gone = replace(old, peerings=old.peerings.delete(LINK))
    after, outcome = learn.consider(table, gone, frozenset({Change(Part.PEERING, LINK)}))
    assert outcome.drop_prefixes == ((LINK, ip_network("10.0.0.2/32")),)
    assert not after.live and not learn.rejected(after) and not after.held

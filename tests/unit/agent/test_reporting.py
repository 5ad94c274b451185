"""Reporting: the state that the engineer on call reads first, and the routes that are still expected."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from bgp.table import Limits
from controller.agent import core, expecting, reporting, state
from model.change import Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Hypervisor, Network, Port, Tenant
from model.inventory import Interface, Switch
from model.report import State, parse, render
from model.route import FloodVtep, RemoteMac
from model.snapshot import Snapshot

HERE, THERE, FOREIGN = HostName("hv1"), HostName("hv2"), HostName("frr1")
NET = NetworkKey(1)
FAR = ip_address("192.0.2.12")


def port(n: int, host: HostName) -> Port:
    return Port(Uid(f"u{n}"), NET, f"p{n}", PortKey(n), Mac(n), (ip_address(f"10.0.0.{n + 1}"),), (host,))


def snapshot() -> Snapshot:
    items: list[state.Item] = [
        (Part.CLUSTER, None, Cluster(Uid("c"), 3, 65000)),
        (Part.TENANT, TenantKey(1), Tenant(Uid("t"), "acme", TenantKey(1))),
        (
            Part.NETWORK,
            NET,
            Network(Uid("n"), TenantKey(1), "net", NET, Vni(5), (ip_network("10.0.0.0/24"),)),
        ),
        (Part.HYPERVISOR, HERE, Hypervisor(HERE, ip_address("192.0.2.11"), 1)),
        (Part.HYPERVISOR, THERE, Hypervisor(THERE, FAR, 2)),
        (Part.HYPERVISOR, FOREIGN, Hypervisor(FOREIGN, ip_address("192.0.2.13"), 3, external=True)),
        (Part.PORT, PortKey(1), port(1, HERE)),
        (Part.PORT, PortKey(2), port(2, THERE)),
        (Part.PORT, PortKey(3), port(3, FOREIGN)),
        (Part.BINDING, PortKey(1), Binding(PortKey(1), HERE, 0, True)),
        (Part.BINDING, PortKey(2), Binding(PortKey(2), THERE, 0, True)),
    ]
    step = state.upsert(Snapshot(HERE), items)
    seen = {Uid("u1"): Interface("tap1", Uid("u1"), 7)}
    return state.observe_interfaces(
        state.observe_switch(step.snapshot, Switch("netdev", 1, "run")).snapshot, seen
    ).snapshot


def with_routes(base: Snapshot, *remotes: RemoteMac, flood: int = 1) -> Snapshot:
    items: list[state.Item] = [(Part.REMOTE, (r.network, r.mac), r) for r in remotes]
    if flood:
        items.append((Part.FLOOD, (NET, FAR), FloodVtep(NET, FAR)))
    return state.upsert(base, items).snapshot


def test_missing_counts_macs_addresses_and_rt3() -> None:
    base = snapshot()
    whole = RemoteMac(NET, Mac(2), FAR, (ip_address("10.0.0.3"),))
    foreign = RemoteMac(NET, Mac(3), ip_address("192.0.2.13"), ())
    assert expecting.missing(base) == 3
    assert expecting.missing(with_routes(base, whole, foreign)) == 0
    assert expecting.missing(with_routes(base, whole, foreign, flood=0)) == 1
    assert expecting.missing(with_routes(base, replace(whole, addresses=()), foreign)) == 1
    unbound = state.remove(base, [(Part.BINDING, PortKey(1))]).snapshot
    assert expecting.missing(unbound) == 0


def test_missing_counts_host_routes_to_routed_networks_without_a_local_port() -> None:
    far, away = NetworkKey(2), (ip_address("10.1.0.9"),)
    subnets = (ip_network("10.1.0.0/24"),)
    network = Network(Uid("n2"), TenantKey(1), "far", far, Vni(6), subnets)
    other = replace(port(9, THERE), network=far, addresses=away)
    items: list[state.Item] = [
        (Part.TENANT, TenantKey(1), Tenant(Uid("t"), "acme", TenantKey(1), Vni(77))),
        (Part.NETWORK, far, network),
        (Part.PORT, PortKey(9), other),
        (Part.BINDING, PortKey(9), Binding(PortKey(9), THERE, 0, True)),
    ]
    here = snapshot()
    base = state.upsert(here, items).snapshot
    assert expecting.missing(base) == expecting.missing(here) + 1  # and no RT-3 of it
    route = RemoteMac(far, Mac(9), FAR, away, 0, Mac(0x0E5200000002))
    assert expecting.missing(with_routes(base, route, flood=0)) == expecting.missing(here)
    for less in (replace(route, router_mac=None), replace(route, addresses=())):
        assert expecting.missing(with_routes(base, less, flood=0)) == expecting.missing(here) + 1
    unrouted = state.upsert(base, [(Part.NETWORK, far, replace(network, routed=False))]).snapshot
    older = state.upsert(base, [(Part.TENANT, TenantKey(1), Tenant(Uid("t"), "acme", TenantKey(1)))]).snapshot
    stranger = state.upsert(base, [(Part.NETWORK, far, replace(network, tenant=TenantKey(2)))]).snapshot
    for one in (unrouted, older, stranger):
        assert expecting.missing(one) == expecting.missing(here)


def running() -> core.Core:
    return replace(core.start(HERE, None, Limits()), effective=snapshot(), session=True)


def test_states_in_order_of_gravity() -> None:
    around = reporting.Circumstance(peers={"192.0.2.200": "up"})
    now = running()
    assert reporting.judge(now, around) == (State.IN_SYNC, "")
    lost = replace(around, peers={"192.0.2.200": "down"})
    assert reporting.judge(now, lost) == (State.DEGRADED, "BGP peer 192.0.2.200 is down")
    assert reporting.judge(replace(now, session=False), lost)[0] is State.DEGRADED
    bare = replace(now, effective=state.remove(now.effective, [(Part.HYPERVISOR, HERE)]).snapshot)
    assert reporting.judge(bare, lost)[0] is State.WAITING
    assert reporting.judge(replace(now, effective=Snapshot(HERE)), lost)[0] is State.STARTING


def test_a_report_survives_its_text() -> None:
    report = reporting.report(running(), reporting.Circumstance(), 1_000, 900)
    assert parse(render(report)) == report
    assert report.generation == 3 and report.ports[0].uid == "u1"


def test_a_bridge_that_could_not_be_made_is_said_instead_of_a_guess() -> None:
    now = replace(running(), session=False)
    assert "is ovs-vswitchd running?" in reporting.judge(now, reporting.Circumstance())[1]
    taken = reporting.Circumstance(bridge="bridge br-int bears no mark of Ringfence: hand it over")
    assert reporting.judge(now, taken) == (State.DEGRADED, taken.bridge)

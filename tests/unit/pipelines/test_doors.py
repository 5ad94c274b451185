"""Ways to ports under policy: all of them lead by their door, with the scope in which the sender is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.addresses import BROADCAST, GATEWAY_MAC, OUTSIDE_MAC, router_mac
from model.change import Change, Part
from model.flow import Copy, Flow, Match, Output
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.intent import Egress
from model.labels import matching
from model.policy import Policy, Seat, Selection, Standing
from model.snapshot import Snapshot, with_port
from pipelines import fields as f
from pipelines import tables as t
from pipelines.check import check_flows
from pipelines.compile import Program, compile, recompile
from pipelines.cookies import Kind, parse
from pipelines.index import build
from pipelines.policy.seated import UNROUTED
from pipelines.shapes.inward import BORDER4, LET_IN4
from tests.fakes import outward as out
from tests.fakes import packets, peering, world
from tests.fakes.governed import SHUT, governed
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch, Verdict
from tests.unit.pipelines.test_walks import A1, A3, A9, M1, M3

VTEP2 = int(ip_address("192.0.2.2"))
VTEP9 = int(ip_address("192.0.2.9"))
SERVER = int(ip_address("198.51.100.9"))
HOSTS = {1: int(router_mac(1)), 2: int(router_mac(2)), 9: int(router_mac(9))}


def shared() -> Snapshot:
    """Ports 11 and 12 have limits and may be virtual routers, in a network that replicates nothing else."""
    snapshot = world.allowing(world.allowing(world.qualified(), 11), 12)
    quiet = replace(snapshot.networks[NetworkKey(1)], replicate=False)
    return world.with_part(snapshot, Part.NETWORK, NetworkKey(1), quiet)


def border() -> Snapshot:
    """Tenant 1 leaves by the fabric, and port 12 has a limit."""
    snapshot = out.leaving()
    fabric = replace(snapshot.tenants[TenantKey(1)], egress=Egress.FABRIC)
    snapshot = world.with_part(snapshot, Part.TENANT, TenantKey(1), fabric)
    return with_port(snapshot, world.limited(snapshot.ports[PortKey(12)], 0, 1_000))


def hopped() -> Snapshot:
    """With a way out, so that next hops are reached from outside."""
    snapshot = world.hopped()
    fabric = replace(snapshot.tenants[TenantKey(1)], egress=Egress.FABRIC)
    return world.with_part(snapshot, Part.TENANT, TenantKey(1), fabric)


WORLDS = (world.qualified, world.routed, world.hopped, hopped, peering.peered, out.leaving, border, shared)
ALL = pytest.mark.parametrize("made", WORLDS)
_BEHIND = {t.ORIGIN.number, t.RECEIVED.number, t.LIMIT.number}


@ALL
def test_no_way_leads_past_the_door(made: Callable[[], Snapshot]) -> None:
    snapshot = governed(made())
    program = compile(snapshot)
    check_flows(program.flows())
    judged = {snapshot.interfaces[snapshot.ports[key].uid].ofport for key in program.index.policed.judged}
    assert judged
    past = [flow for flow in program.flows() if flow.shape.table < t.DOOR.number and _passes(flow, judged)]
    assert past == []
    # what is only noted leads to the door, too, and from there out
    for table in (t.OUTPUT, t.DOOR, t.LIMIT):
        exits = {flow.fill(m.value) for flow, m in _matched(program, table, f.EXIT.field.name)}
        assert judged <= exits, table.name


def _passes(flow: Flow, judged: set[int]) -> bool:
    """Whether a flow sends to one of these ports, or to what only the door may lead to."""
    sent = {flow.fill(action.port) for action in flow.shape.actions if isinstance(action, Output)}
    copied = {action.table for action in flow.shape.actions if isinstance(action, Copy)}
    return bool(sent & judged or ({flow.shape.goto} | copied) & _BEHIND)


def _matched(program: Program, table: t.Table, name: str) -> list[tuple[Flow, Match]]:
    mine = (flow for flow in program.flows() if flow.shape.table == table.number)
    return [(flow, term) for flow in mine for term in flow.shape.match if term.field.name == name]


def told(sender: int, target: int) -> Packet:
    """A packet of a routed port to another one's address, by the gateway."""
    one, other = world.routed_port(sender, world.HERE), world.routed_port(target, world.HERE)
    made = packets.ipv4(int(one.mac), int(GATEWAY_MAC), int(one.addresses[0]), int(other.addresses[0]))
    return packets.udp(made, 4000, 53) | {"in_port": sender}


def bridged(sender: int, target: int) -> Packet:
    return told(sender, target) | {"eth_dst": int(world.routed_port(target, world.HERE).mac)}


def afar(packet: Packet, vni: int, host: int = 2) -> Packet:
    """The same out of the tunnel, as a host has routed it."""
    outer = {"tun_id": vni, "tun_src": int(ip_address(f"192.0.2.{host}")), "in_port": world.TUNNEL}
    return packet | outer | {"eth_src": HOSTS[host], "eth_dst": HOSTS[1]}


def over(packet: Packet, vni: int) -> Packet:
    """The same out of the tunnel, as hv2 has bridged it."""
    return packet | {"tun_id": vni, "tun_src": VTEP2, "in_port": world.TUNNEL}


def outer(key: int, target: int, **more: int) -> Packet:
    """A packet of a server outside, by the border."""
    made = packets.ipv4(HOSTS[9], HOSTS[1], SERVER, target)
    brought = {"tun_src": VTEP9, "tun_id": key, "in_port": world.TUNNEL}
    return packets.udp(made, 53, 4000) | brought | more


TO12 = int(out.port(12).addresses[0])
FLOAT51 = int(out.floating(51, 4).address)
LEAD = {"tun_src": VTEP2, "eth_src": HOSTS[2]}
WAYS = {
    "bridged here": (world.hopped, bridged(11, 13), 13, 1),
    "bridged from afar": (world.routed, over(bridged(12, 11), 1001), 11, 1),
    "routed here": (world.routed, told(11, 21), 21, 1),
    "routed from afar": (world.routed, afar(told(12, 21), 5001), 21, 1),
    "across a peering here": (peering.peered, told(11, 61), 61, peering.KEY),
    "across a peering from afar": (peering.peered, afar(told(12, 61), peering.L3VNI), 61, peering.KEY),
    "from a border into a tenant": (border, outer(5001, TO12), 12, 0),
    "from a border to a floating IP": (out.leaving, outer(5009, FLOAT51), 51, 0),
    "to a floating IP here": (
        out.leaving,
        told(11, 11) | {"ip_dst": FLOAT51, "eth_src": int(out.port(11).mac)},
        51,
        0,
    ),
    "let in by a gateway": (
        lambda: out.leaving("hv2"),
        outer(5001, int(out.port(14).addresses[0]), tun_src=int(ip_address("192.0.2.1")))
        | {"eth_src": int(OUTSIDE_MAC), "eth_dst": HOSTS[2]},
        14,
        0,
    ),
    "from a gateway's own port": (
        lambda: out.leaving("hv2"),
        outer(5001, int(out.port(14).addresses[0]), tun_src=int(ip_address("192.0.2.1")))
        | {"eth_src": HOSTS[1], "eth_dst": HOSTS[2], "ip_src": TO12},
        14,
        1,
    ),
    "behind a next hop": (
        world.hopped,
        afar(told(12, 11), 5001) | {"ip_dst": int(ip_address("10.51.0.9"))},
        11,
        1,
    ),
    "behind a next hop that is reached from outside": (
        hopped,
        afar(told(12, 11), 5001) | {"ip_dst": int(ip_address("10.51.0.9"))},
        11,
        1,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_passes_the_door_in_its_senders_scope(way: str) -> None:
    made, packet, target, scope = WAYS[way]
    plain = Switch.of(compile(world.related(made())).flows()).receive(packet)
    let = Switch.of(compile(world.related(governed(made()))).flows()).receive(packet)
    shut = Switch.of(compile(world.related(governed(made(), SHUT))).flows()).receive(packet)
    assert plain.ports == let.ports == (target,) and shut.ports == ()
    assert let.sent[0].has(f.SCOPE.field.name) == scope
    assert "door" not in _tables(plain) and {"door", "limit"} <= _tables(let)
    assert _counted(plain) == _counted(let)


def _tables(verdict: Verdict) -> set[str]:
    return {t.table(number).name for number, _ in verdict.path}


def _counted(verdict: Verdict) -> list[tuple[Kind, int, int]]:
    """Which bytes were billed, in either direction: policy changes nothing of it."""
    found = (parse(flow.cookie) for _, flow in verdict.path if flow is not None)
    bills = (Kind.ACCOUNT, Kind.ACCOUNT_IN)
    return [(one.kind, one.port, one.cls) for one in found if one is not None and one.kind in bills]


def test_the_answer_to_a_tenant_behind_its_address_passes_the_door_and_is_counted() -> None:
    packet = told(12, 12) | {"ip_dst": SERVER}
    packet |= {"eth_src": int(out.port(12).mac), "ip_src": TO12}
    answers = {}
    for name, snapshot in (("plain", out.leaving()), ("governed", governed(out.leaving(), SHUT))):
        switch = Switch.of(compile(world.related(snapshot)).flows())
        assert switch.receive(packet).ports == (world.TUNNEL,)
        answers[name] = switch.receive(outer(5009, int(out.ADDRESSES[0])))
        assert answers[name].ports == (12,)
    assert "door" in _tables(answers["governed"])
    assert _counted(answers["plain"]) == _counted(answers["governed"]) == [(Kind.ACCOUNT_IN, 12, 8)]


def test_what_an_unrouted_network_sends_is_meant_in_it() -> None:
    alone = replace(world.two_tenants().networks[NetworkKey(1)], routed=False)
    snapshot = governed(world.with_part(world.two_tenants(), Part.NETWORK, NetworkKey(1), alone))
    sent = packets.ipv4(M1, 0x020000000002, A1, int(ip_address("10.0.0.2")))
    switch = Switch.of(compile(snapshot).flows())
    verdict = switch.receive(packets.udp(sent, 4000, 53) | {"in_port": 1})
    assert verdict.ports == (2,) and verdict.sent[0].has(f.SCOPE.field.name) == UNROUTED | 1


def test_a_group_frame_is_judged_at_each_port_that_gets_it_but_its_sender() -> None:
    snapshot = governed(world.qualified(), SHUT)
    frame = packets.ipv4(M1, int(BROADCAST), A1, 0xFFFFFFFF)
    asked = packets.arp(1, M3, A3, A9)
    here = packets.udp(frame, 4000, 53) | {"in_port": 1}
    for made, ports in ((snapshot, ()), (governed(world.qualified()), (2,))):
        verdict = Switch.of(compile(made).flows()).receive(here)
        assert tuple(port for port in verdict.ports if port != world.TUNNEL) == ports
        names = [flow.shape.name for _, flow in verdict.path if flow is not None]
        assert "door-self" in names and names.count("settle-left4") == 1
    far = over(packets.udp(frame, 4000, 53) | {"eth_src": M3}, 1001)
    assert Switch.of(compile(snapshot).flows()).receive(far).ports == ()
    assert Switch.of(compile(governed(world.qualified())).flows()).receive(far).ports == (1, 2)
    assert Switch.of(compile(snapshot).flows()).receive(over(asked, 1001)).ports == (1, 2)


def test_virtual_routers_hear_each_other_by_their_doors() -> None:
    vrrp = packets.ipv4(M1, f.VRRP_GROUPS[0], A1, int(ip_address("224.0.0.18")))
    packet = vrrp | {"in_port": 1, "ip_proto": 112, "nw_ttl": 255}
    for made, ports in ((shared(), (2,)), (governed(shared()), (2,)), (governed(shared(), SHUT), ())):
        verdict = Switch.of(compile(made).flows()).receive(packet)
        assert tuple(port for port in verdict.ports if port != world.TUNNEL) == ports


def test_who_comes_from_outside_is_meant_nowhere() -> None:
    found = {
        flow.shape.name: flow.values[-1]
        for snapshot in (border(), out.leaving("hv2"))
        for flow in compile(snapshot).flows()
        if flow.shape in (BORDER4, LET_IN4)
    }
    assert found == {BORDER4.name: 0, LET_IN4.name: 0}


@ALL
def test_ways_follow_ports_under_policy(made: Callable[[], Snapshot]) -> None:
    plain = made()
    program, before = compile(plain), plain
    after = governed(plain)
    for step in (after, plain):
        changes = [Change(Part.TENANT, key) for key in plain.tenants]
        changes += [Change(Part.ZONE, key) for key in {*before.zones, *step.zones}]
        program, _ = recompile(program, before, step, changes)
        assert set(program.flows()) == set(compile(step).flows())
        before = step


@ALL
def test_ways_follow_the_labels_of_one_port(made: Callable[[], Snapshot]) -> None:
    """Only what leads to it is made anew, whether its labels or the policy changed."""
    plain = made()
    for key in sorted(key for group in build(plain).locals.values() for key in group):
        policy = Policy("web", "", subject=Selection(ports=matching([("app", "web")])), defaults=SHUT)
        standing = Standing(Uid("policy-web"), policy, TenantKey(0), (), Seat(1, 10), Seat(2, 9))
        ruled = world.with_part(plain, Part.POLICY, standing.uid, standing)
        ruled = world.with_part(ruled, Part.ZONE, ("policy", key), 900)
        labelled = with_port(ruled, replace(ruled.ports[key], labels=(("app", "web"),)))
        steps = (
            (ruled, [Change(Part.POLICY, standing.uid), Change(Part.ZONE, ("policy", key))]),
            (labelled, [Change(Part.PORT, key)]),
            (ruled, [Change(Part.PORT, key)]),
            (labelled, [Change(Part.PORT, key)]),
            (world.with_part(labelled, Part.POLICY, standing.uid, None), [Change(Part.POLICY, standing.uid)]),
        )
        program, before = compile(plain), plain
        for step, changes in steps:
            program, _ = recompile(program, before, step, changes)
            assert set(program.flows()) == set(compile(step).flows())
            before = step
        assert key in compile(labelled).index.policed.judged

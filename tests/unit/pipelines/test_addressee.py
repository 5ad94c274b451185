"""What a port that some rule forbids to send may send within its network: only to MACs that have the
destination, here and behind tunnels, by every right that the store gives; and what it costs.

Port 11 (OpenFlow 1, M1) may send to all but 198.51.100.0/24. Ports 12 (OpenFlow 2, M2), 13 (behind hv2, M3)
and 14 (an external host, M4) are its neighbours; 12 has pairs.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.addresses import BROADCAST, GATEWAY_MAC, link_local
from model.change import Change, Part
from model.flow import Flow
from model.ids import Mac, NetworkKey, PortKey
from model.policy import Action, Block, Direction, Policy, Rule, Selection, State, Tier
from model.snapshot import Snapshot
from pipelines import tables as t
from pipelines.check import check_flows
from pipelines.compile import Program, compile, recompile
from tests.fakes import packets, ruled, world
from tests.fakes.governed import governed
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch, Verdict

M1, M2, M3, M4, V = (*(0x020000000000 | n for n in (1, 2, 3, 4)), world.VIRTUAL_MAC)
TUNNEL = 100
AFAR = Block(ip_network("198.51.100.0/24"))


def forbidden(
    snapshot: Snapshot, direction: Direction = Direction.OUT, action: Action = Action.DENY,
    state: State = State.ENFORCE,
) -> Snapshot:  # fmt: skip
    """All ports are judged, and of port 11's network none may send far away."""
    rule = Rule(direction, action, (AFAR,), state=state)
    policy = Policy("afar", "", Tier.OPERATOR, subject=Selection(), rules=(rule,))
    standing = ruled.seated(policy, owner=0, first=1, top=900)
    return world.with_part(governed(snapshot), Part.POLICY, standing.uid, standing)


def shared() -> Snapshot:
    """A prefix is routed to 12, which has pairs, and one to 13."""
    routes = (
        world.static_route("a", "10.50.0.0/16", ["10.0.0.2"]),
        world.static_route("b", "10.60.0.0/16", ["10.0.0.3"]),
    )
    snapshot = world.allowing(world.two_tenants(), 12)
    for route in routes:
        snapshot = world.with_part(snapshot, Part.STATIC_ROUTE, route.uid, route)
    return snapshot


SWITCH = Switch.of(compile(forbidden(shared())).flows())


def to(mac: int, address: str, switch: Switch = SWITCH) -> Verdict:
    return switch.receive(packets.udp(of(mac, address), 4000, 53) | {"in_port": 1})


def of(mac: int, address: str) -> Packet:
    far = ip_address(address)
    if far.version == 4:
        return packets.ipv4(M1, mac, 0x0A000001, int(far))
    return packets.ipv6(M1, mac, int(ip_address("fd00::1")), int(far))


HAD = [
    (M2, "10.0.0.2", 2), (M2, "fd00::2", 2), (M2, str(link_local(Mac(M2))), 2),
    (M2, "10.0.0.100", 2), (M2, "10.0.0.129", 2), (M2, "fd00:0:0:0:1::7", 2),  # pairs
    (M2, "10.50.1.1", 2), (M3, "10.60.1.1", TUNNEL),  # routed to them
    (M3, "10.0.0.3", TUNNEL), (M3, "fd00::3", TUNNEL), (M4, "10.0.0.4", TUNNEL), (M4, "fd00::4", TUNNEL),
]  # fmt: skip
ASTRAY = [
    (M2, "10.0.0.3"), (M3, "10.0.0.2"), (M2, "fd00::3"), (M2, str(link_local(Mac(M3)))),
    (M2, "8.8.8.8"), (M2, "2001:db8::1"), (M4, "10.0.0.77"),  # of nobody here
    (M3, "10.50.1.1"), (M2, "10.60.1.1"), (M3, "10.0.0.100"), (V, "10.0.0.100"), (M2, "10.0.0.101"),
    (M2, "224.0.0.251"), (M2, "ff02::fb"), (M2, "255.255.255.255"), (M2, "10.0.0.255"),
    (BROADCAST, "10.0.0.2"), (BROADCAST, "8.8.8.8"),
    (0x01005E0000FB, "10.0.0.2"), (0x3333000000FB, "fd00::2"),
]  # fmt: skip


@pytest.mark.parametrize(("mac", "address", "port"), HAD)
def test_a_frame_goes_to_a_mac_that_has_the_address(mac: int, address: str, port: int) -> None:
    assert to(mac, address).ports == (port,)


@pytest.mark.parametrize(("mac", "address"), ASTRAY)
def test_a_frame_goes_to_no_other(mac: int, address: str) -> None:
    found = to(mac, address)
    assert found.ports == ()
    assert found.last is not None and found.last.shape.name == "addressee-stray"


@pytest.mark.parametrize(
    ("mac", "address"),
    [(0x01005E0000FB, "224.0.0.251"), (0x3333000000FB, "ff02::fb"), (BROADCAST, "255.255.255.255"),
     (BROADCAST, "10.0.0.255")],
)  # fmt: skip
def test_what_is_for_a_group_goes_to_it(mac: int, address: str) -> None:
    assert {2, TUNNEL} <= {*to(mac, address).ports}


def test_what_is_for_the_gateway_is_routed_whatever_its_address() -> None:
    found = to(GATEWAY_MAC, "10.50.1.1")
    assert found.ports == (2,) and t.ADDRESSEE.number not in dict(found.path)


@pytest.mark.parametrize(
    ("direction", "action", "state"),
    [(Direction.IN, Action.DENY, State.ENFORCE), (Direction.OUT, Action.ALLOW, State.ENFORCE),
     (Direction.OUT, Action.PASS, State.ENFORCE)],
)  # fmt: skip
def test_a_port_that_nothing_forbids_to_send_is_not_asked(
    direction: Direction, action: Action, state: State
) -> None:
    program = compile(forbidden(shared(), direction, action, state))
    assert {flow.shape.name for flow in _flows(program)} == NOTHING
    for mac, address in ((M2, "10.0.0.3"), (M2, "8.8.8.8"), (BROADCAST, "10.0.0.2")):
        assert 2 in to(mac, address, Switch.of(program.flows())).ports


NOTHING = {"addressee-group4", "addressee-group6", "addressee-broadcast", "addressee-miss"}


def test_what_only_counts_lets_it_go_and_counts() -> None:
    switch = Switch.of(compile(forbidden(shared(), state=State.COUNT)).flows())
    for mac, address, counted in ((M2, "10.0.0.3", 1), (M2, "10.0.0.2", 1), (M2, "8.8.8.8", 2)):
        assert to(mac, address, switch).ports == (2,)
        stray = (flow for flow in switch.flows.values() if flow.shape.name == "addressee-stray-counted")
        assert sum(switch.counts[flow.key()] for flow in stray) == counted


def test_a_flow_for_each_address_serves_all_ports_of_a_network() -> None:
    """Their sum, not their product."""
    one, two = compile(forbidden(shared())), compile(forbidden(world.allowing(shared(), 11)))
    check_flows(two.flows())
    addresses = [flow for flow in _flows(one) if flow.shape.name.startswith("addressee-has")]
    assert len({flow.key() for flow in addresses}) == len(addresses) == NETWORK_1 + NETWORK_2
    of_ports = [flow for flow in one.flows() if flow.shape.name in PER_PORT]
    assert len(of_ports) == 4 * len(PER_PORT)  # four local ports


PER_PORT = {"gateway-held4", "gateway-held6", "addressee-stray"}
NETWORK_1 = 4 * 3 + 4 + 1 + 2 + 1
"""Of four ports two addresses and the link-local one, pairs, one of them with another MAC, two MACs of 12 and
one of 13 with a prefix."""
NETWORK_2 = 3 * 3


@pytest.mark.parametrize("part", [Part.POLICY, Part.STATIC_ROUTE, Part.PORT])
def test_a_change_costs_what_it_changes(part: Part) -> None:
    """Of a policy that comes: all of its networks. Of a route or a port: what that has."""
    full = forbidden(shared())
    found = {
        Part.POLICY: next(iter(full.policies)),
        Part.STATIC_ROUTE: next(key for key in full.static_routes if key.endswith("b")),
        Part.PORT: PortKey(13),
    }
    before = world.with_part(full, part, found[part], None)
    program, patch = recompile(compile(before), before, full, [Change(part, found[part])])
    assert program == compile(full)
    came = [f for put, _ in patch.groups for f in put if f.shape.name.startswith("addressee-has")]
    wanted = {Part.POLICY: NETWORK_1 + NETWORK_2, Part.STATIC_ROUTE: 1, Part.PORT: 3 + 1}
    assert len(came) == wanted[part]


def test_addresses_are_there_before_a_port_is_held_to_them_and_as_long_as_it_is() -> None:
    with_it = forbidden(shared())
    uid = next(iter(with_it.policies))
    without = world.with_part(with_it, Part.POLICY, uid, None)
    for old, new in ((without, with_it), (with_it, without)):
        before = compile(old)
        switch = Switch.of(before.flows())
        assert to(M2, "10.0.0.2", switch).ports == (2,)
        for put, drop in recompile(before, old, new, [Change(Part.POLICY, uid)])[1].groups:
            switch.apply(put, drop)
            for mac, address, port in HAD:
                assert to(mac, address, switch).ports == (port,)


def test_a_network_that_is_not_routed_is_no_different() -> None:
    island = shared()
    network = replace(island.networks[NetworkKey(1)], routed=False)
    switch = Switch.of(
        compile(forbidden(world.with_part(island, Part.NETWORK, network.key, network))).flows()
    )
    assert to(M2, "10.0.0.2", switch).ports == (2,)
    assert to(M2, "10.0.0.3", switch).ports == to(M2, "10.50.1.1", switch).ports == ()


def _flows(program: Program) -> list[Flow]:
    return [flow for flow in program.flows() if flow.shape.table == t.ADDRESSEE.number]

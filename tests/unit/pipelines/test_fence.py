"""The fence of a host with a partner: closed by itself, and all that ports send or get passes it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.change import Change, Part
from model.flow import Flow
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.compile import compile, recompile
from pipelines.lookup import build
from pipelines.shapes.fence import CLOSED, PASSES, passes
from pipelines.tables import FENCE, GUARD
from pipelines.walk import walk
from tests.fakes import packets, world
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch

HELD = world.paired(world.two_tenants())
FREE = world.two_tenants()


def flows_of(shapes: tuple) -> list[Flow]:
    return [Flow(shape, cookies.host(table=FENCE.number)) for shape in shapes]


def ways(snapshot: Snapshot) -> list[Packet]:
    """From each local port to each MAC of its network, and from the tunnel to each local port."""
    found = []
    here = [p for p in snapshot.ports.values() if replace(snapshot, term=1).bound_here(p.key)]
    for port in here:
        source = int(port.addresses[0])
        for network, mac in snapshot.remotes:
            if network == port.network:
                far = packets.ipv4(port.mac, mac, source, int(ip_address("10.0.0.99")))
                found.append(far | {"in_port": snapshot.interfaces[port.uid].ofport})
                outer = {"in_port": world.TUNNEL, "tun_src": int(snapshot.remotes[network, mac].vtep)}
                near = packets.ipv4(mac, port.mac, int(ip_address("10.0.0.99")), source)
                found.append(near | outer | {"tun_id": snapshot.networks[network].vni})
    return found


def sent(flows: list[Flow], packet: Packet) -> list[int]:
    return sorted(one.port for one in Switch.of(flows).receive(packet).sent)


def test_without_its_flows_nothing_passes_and_with_them_all_that_else_would() -> None:
    program = list(compile(HELD).flows())
    usual = list(compile(FREE).flows())
    every = ways(FREE)
    assert len(every) >= 4
    for packet in every:
        assert sent(usual, packet), "the control: a host without a partner lets it pass"
        assert not sent(program, packet)
        assert not sent([*program, *flows_of(CLOSED)], packet)
        assert sent([*program, *flows_of(PASSES)], packet) == sent(usual, packet)


def test_routed_packets_of_others_pass_to_where_they_arrive() -> None:
    program = list(compile(world.paired()).flows())
    from_afar = [f for f in program if "vrf" in f.shape.name and f.shape.goto == FENCE.number]
    assert from_afar and not [f for f in compile(world.routed()).flows() if f.shape.goto == FENCE.number]


def test_who_does_not_hold_the_lease_has_no_port() -> None:
    fenced = replace(HELD, term=0)
    assert fenced.fenced() and not HELD.fenced() and not FREE.fenced()
    assert not [key for key in fenced.ports if fenced.bound_here(key)]
    assert not [f for f in compile(fenced).flows() if cookies.parse(f.cookie).port]


@pytest.mark.parametrize("made", [world.two_tenants, world.routed, world.qualified])
def test_taking_and_losing_the_lease_come_to_the_same_as_from_nothing(made) -> None:
    held = world.paired(made())
    changes = [Change(Part.BINDING, key) for key in held.bindings]
    for old, new in ((held, replace(held, term=0)), (replace(held, term=0), held)):
        program, _ = recompile(compile(old), old, new, changes)
        assert set(program.flows()) == set(compile(new).flows())


def test_a_walk_sees_the_flows_that_are_part_of_no_program() -> None:
    program = compile(HELD)
    packet = next(p for p in ways(FREE) if p["in_port"] != world.TUNNEL)
    for found, through in ((build(program), False), (build(program, passes()), True)):
        tables = [step.table for step in walk(found, packet).steps]
        assert FENCE.number in tables and (GUARD.number in tables) is through

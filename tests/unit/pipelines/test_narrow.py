"""The checks of what is routed to where the MTU is smaller: who takes them, which MTU counts, what changes
them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.addresses import GATEWAY_MAC
from model.change import Change, Part
from model.flow import Flow
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines import objects as o
from pipelines.compile import compile, recompile
from pipelines.index import build
from pipelines.touch import touched
from pipelines.walk import SIZE
from tests.fakes import packets, peering, world
from tests.fakes.switch import CONTROLLER, Switch, Verdict

ETHERNET = 14


def to_gateway(snapshot: Snapshot, key: int, target: str, octets: int) -> Verdict:
    """A port of `world.routed` sends a packet of so many octets to another network."""
    one = snapshot.ports[PortKey(key)]
    family = packets.ipv6 if ":" in target else packets.ipv4
    to = ip_address(target)
    source = next(a for a in one.addresses if a.version == to.version)
    packet = family(one.mac, GATEWAY_MAC, int(source), int(to)) | {"in_port": key}
    return Switch.of(compile(snapshot).flows()).receive(packet | {SIZE: octets + ETHERNET})


def told_by(verdict: Verdict) -> NetworkKey | None:
    """The network whose MTU the sender is told; None if the packet was not too large."""
    last = verdict.path[-1][1]
    if verdict.ports != (CONTROLLER,) or last is None:
        return None
    cookie = cookies.parse(last.cookie)
    if cookie is None or cookie.reason is not cookies.Reason.TOO_BIG:
        return None
    assert not any(flow is not None and flow.shape.name.startswith("account") for _, flow in verdict.path)
    return cookie.network


@pytest.mark.parametrize(
    ("key", "target", "mtu", "network"),
    [
        (13, "10.0.2.11", 1400, 2),  # a local port of a narrower network
        (13, "10.0.3.12", 1300, 3),  # a remote one
        (13, "fd00:0:0:2::b", 1400, 2),
        (13, "fd00:0:0:3::c", 1300, 3),
        (21, "10.0.3.12", 1300, 3),
        (13, "10.50.7.9", 1400, 2),  # behind a next hop in a narrower network
        (13, "10.50.0.1", 1400, 2),  # behind several: the narrowest
        (13, "198.51.100.1", 1400, 2),  # the default route leads there, too
        (13, "fd50:0:0:7::9", 1400, 2),
        (11, "10.0.2.11", 1400, 2),  # a port that is checked itself: the smaller MTU counts
        (11, "10.51.0.1", 1450, 1),  # no narrower, but inside a prefix that is: its own network's
    ],
)
def test_the_smallest_mtu_of_the_way_counts(key: int, target: str, mtu: int, network: int) -> None:
    snapshot = world.narrowed()
    assert told_by(to_gateway(snapshot, key, target, mtu + 1)) == network
    fits = to_gateway(snapshot, key, target, mtu)
    assert told_by(fits) is None and CONTROLLER not in fits.ports


@pytest.mark.parametrize("target", ["10.0.1.12", "10.51.0.1", "fd51::1"])
def test_a_way_that_is_no_narrower_keeps_the_mtu_of_the_network(target: str) -> None:
    """Also inside the default route, which is narrower."""
    assert told_by(to_gateway(world.narrowed(), 13, target, 1450)) is None


def test_the_narrowest_network_checks_nothing() -> None:
    found = [flow for flow in compile(world.narrowed()).flows() if "narrow" in flow.shape.name]
    assert {flow.values[1] for flow in found} == {1, 2}


def test_networks_of_one_mtu_pay_nothing() -> None:
    assert not [flow for flow in compile(world.hopped()).flows() if "narrow" in flow.shape.name]


def checked(snapshot: Snapshot) -> list[str]:
    """The peer's addresses to which port 11 of tenant 1 may send 1300 octets and no more."""
    return [
        target
        for target in ("10.0.6.11", "fd00:0:0:6::b")
        if told_by(to_gateway(snapshot, 11, target, 1301)) == 6
        and CONTROLLER not in to_gateway(snapshot, 11, target, 1300).ports
    ]


def test_what_a_peer_exports_counts() -> None:
    before = peering.peered()
    assert not checked(before)
    narrow = replace(before.networks[NetworkKey(6)], mtu=1300)
    after = world.with_part(before, Part.NETWORK, narrow.key, narrow)
    assert checked(after) == ["10.0.6.11", "fd00:0:0:6::b"]
    assert told_by(to_gateway(after, 61, "10.0.1.11", 1450)) is None, "the way back is no narrower"
    assert not checked(world.with_part(after, Part.PEERING, peering.KEY, None))


def _narrow(snapshot: Snapshot) -> set[Flow]:
    return {flow for flow in compile(snapshot).flows() if "narrow" in flow.shape.name}


@pytest.mark.parametrize(
    ("part", "key"), [(Part.NETWORK, NetworkKey(2)), (Part.STATIC_ROUTE, Uid("route-rest-4"))]
)
def test_a_change_follows(part: Part, key: object) -> None:
    before = world.narrowed()
    values = getattr(before, part.value)
    value = None if part is Part.STATIC_ROUTE else replace(values[key], mtu=1350)
    after = world.with_part(before, part, key, value)
    program, patch = recompile(compile(before), before, after, [Change(part, key)])
    assert set(program.flows()) == set(compile(after).flows())
    changed = {flow for add, drop in patch.groups for flow in (*add, *drop) if "narrow" in flow.shape.name}
    assert changed and changed <= _narrow(before) | _narrow(after)


def test_a_port_touches_no_ways() -> None:
    """However many networks there are: they are not looked at for it."""
    snapshot = world.narrowed()
    index = build(snapshot)
    found = touched(snapshot, snapshot, index, index, [Change(Part.PORT, PortKey(13))])
    assert not [one for one in found if one.kind is o.Kind.NARROW]


def test_a_network_as_large_as_others_touches_only_itself() -> None:
    before = peering.peered()
    index = build(before)
    found = touched(before, before, index, index, [Change(Part.NETWORK, NetworkKey(2))])
    assert [one for one in found if one.kind is o.Kind.NARROW] == [o.narrow(NetworkKey(2))]


def test_a_network_of_another_tenant_does_not_count() -> None:
    """It has the same addresses as network 1, and nothing to do with it."""
    before = world.narrowed()
    other = replace(before.networks[NetworkKey(5)], mtu=600, subnets=(ip_network("10.0.2.0/24"),))
    assert other.tenant == TenantKey(2)
    after = world.with_part(before, Part.NETWORK, other.key, other)
    assert told_by(to_gateway(after, 13, "10.0.2.11", 1400)) is None
    assert told_by(to_gateway(after, 13, "10.0.2.11", 1401)) == 2

"""Prefixes behind next hops of a tenant; see `world.hopped` for what leads where."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model import rendezvous
from model.addresses import GATEWAY_MAC, router_mac
from model.change import Change, Part
from model.flow import Flow, Group
from model.ids import Mac, NetworkKey, PortKey, TenantKey
from model.intent import Egress, Pair
from model.route import Sighting
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines import objects as o
from pipelines import tables as t
from pipelines.compile import compile, recompile
from pipelines.groups import SLOTS
from pipelines.reasons import ending
from pipelines.walk import HASH
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Sent, Switch, Verdict
from tests.fakes.world import TUNNEL

GW, HERE, THERE = int(GATEWAY_MAC), int(router_mac(1)), int(router_mac(2))
HV2 = int(ip_address("192.0.2.2"))
SHARED, LOCAL, REMOTE, DEAD = "50", "51", "52", "53"


def inside(prefix: str, family: int, host: int = 9) -> int:
    return int(ip_address(f"10.{prefix}.0.{host}" if family == 4 else f"fd{prefix}::{host:x}"))


def sent(key: int, to: int, family: int, hash_: int = 0) -> Packet:
    port = world.routed_port(key, "hv1")
    if family == 4:
        made = packets.ipv4(int(port.mac), GW, int(port.addresses[0]), to)
    else:
        made = packets.ipv6(int(port.mac), GW, int(port.addresses[1]), to)
    return made | {"in_port": key, "nw_ttl": 64, HASH: hash_}


def arriving(to: int, family: int, hash_: int = 0, **more: int) -> Packet:
    port = world.routed_port(32, "hv2")
    if family == 4:
        made = packets.ipv4(THERE, HERE, int(port.addresses[0]), to)
    else:
        made = packets.ipv6(THERE, HERE, int(port.addresses[1]), to)
    return made | {"in_port": TUNNEL, "tun_id": 5001, "tun_src": HV2, "nw_ttl": 64, HASH: hash_} | more


def send(packet: Packet, snapshot: Snapshot | None = None) -> Verdict:
    shown = world.hopped() if snapshot is None else snapshot
    verdict = Switch.of(compile(shown).flows()).receive(packet)
    assert violations(shown, packet, verdict) == []
    return verdict


def only(verdict: Verdict) -> Sent:
    (found,) = verdict.sent
    return found


def decider(verdict: Verdict) -> Flow:
    """The flow that decided where a packet ended."""
    return ending([flow for _, flow in verdict.path if flow is not None])


def ended(verdict: Verdict) -> str:
    return decider(verdict).shape.name


def spread(key: int, to: int, family: int, snapshot: Snapshot) -> Counter[int]:
    """How many of the slots leave through each port."""
    switch, found = Switch.of(compile(snapshot).flows()), Counter[int]()
    for slot in range(SLOTS):
        packet = sent(key, to, family, slot) if key else arriving(to, family, slot)
        verdict = switch.receive(packet)
        assert violations(snapshot, packet, verdict) == []
        found.update([only(verdict).port])
    return found


def members(snapshot: Snapshot, prefix: str) -> dict[int, tuple[int, ...]]:
    """Slot to what its flow says, in table nexthop."""
    found = {}
    for flow in compile(snapshot).flows_of(o.prefix(TenantKey(1), ip_network(prefix))):
        if flow.shape.table == t.NEXTHOP.number:
            names = [slot.name for slot in flow.shape.slots]
            found[flow.values[names.index("slot")]] = flow.values[names.index("slot") + 1 :]
    return found


@pytest.mark.parametrize("family", [4, 6])
def test_one_next_hop_here(family: int) -> None:
    found = only(send(sent(21, inside(LOCAL, family), family)))
    assert (found.port, found.has("eth_dst"), found.has("nw_ttl")) == (
        11,
        world.routed_port(11, "hv1").mac,
        63,
    )
    assert found.has("eth_src") == GW


@pytest.mark.parametrize("family", [4, 6])
def test_one_next_hop_there(family: int) -> None:
    found = only(send(sent(11, inside(REMOTE, family), family)))
    assert (found.port, found.has("eth_src"), found.has("eth_dst")) == (TUNNEL, HERE, THERE)
    assert (found.has("tun_id"), found.has("tun_dst"), found.has("nw_ttl")) == (5001, HV2, 63)


@pytest.mark.parametrize("family", [4, 6])
def test_no_next_hop_at_all_is_told(family: int) -> None:
    verdict = send(sent(11, inside(DEAD, family), family))
    assert only(verdict).port == CONTROLLER
    told = cookies.parse(decider(verdict).cookie)
    assert told is not None and told.reason is cookies.Reason.NO_NETWORK
    assert send(arriving(inside(DEAD, family), family)).sent == ()


@pytest.mark.parametrize("family", [4, 6])
def test_what_comes_from_a_next_hop_does_not_go_back_there(family: int) -> None:
    """Nor to another one of the same prefix: it would come round for ever."""
    for prefix, key in ((LOCAL, 11), (SHARED, 11), (SHARED, 21)):
        verdict = send(sent(key, inside(prefix, family), family))
        assert verdict.sent == () and ended(verdict).startswith("route-back"), (prefix, key)


@pytest.mark.parametrize("family", [4, 6])
def test_the_longest_prefix_wins(family: int) -> None:
    narrow = int(ip_address("10.50.7.9" if family == 4 else "fd50:0:0:7::9"))
    assert only(send(sent(11, narrow, family))).port == 21  # though 11 is a next hop of what contains it
    assert only(send(arriving(narrow, family))).port == 21
    subnet = ("10.0.0.0/15", "fd00::/32")[family == 6]
    wide = world.added(world.hopped(), world.static_route("w", subnet, [_own(21, family)]))
    nobody = int(ip_address("10.0.2.99" if family == 4 else "fd00:0:0:2::99"))
    assert ended(send(sent(11, nobody, family), wide)).startswith("route-connected")
    known = int(world.routed_port(32, "hv2").addresses[family == 6])
    assert only(send(sent(11, known, family), wide)).port == TUNNEL
    other = int(ip_address("10.1.2.3" if family == 4 else "fd00:0:77::3"))
    assert only(send(sent(11, other, family), wide)).port == 21


def _own(key: int, family: int) -> str:
    return str(world.routed_port(key, "hv1").addresses[family == 6])


@pytest.mark.parametrize("family", [4, 6])
def test_several_next_hops_share_the_slots(family: int) -> None:
    base = world.hopped()
    found = spread(13, inside(SHARED, family), family, base)
    assert found.total() == SLOTS and set(found) == {11, 21, TUNNEL}
    assert min(found.values()) > SLOTS // 8
    there = spread(0, inside(SHARED, family), family, base)
    assert set(there) == {11, 21} and there.total() == SLOTS  # never into a tunnel again
    assert only(send(sent(13, inside(SHARED, family), family))).has("nw_ttl") == 63


def test_a_next_hop_that_goes_moves_its_own_slots_only() -> None:
    prefix, base = "10.50.0.0/16", world.hopped()
    before = members(base, prefix)
    left = world.with_part(base, Part.BINDING, 21, None)
    after = members(left, prefix)
    assert len(before) == len(after) == SLOTS
    gone = (int(world.routed_port(21, "hv1").mac), 21)
    moved = {slot for slot in before if before[slot] != after[slot]}
    assert moved == {slot for slot, value in before.items() if value == gone} and moved
    silent = replace(base, down=base.down.set(ip_address("192.0.2.2"), None))
    assert all(TUNNEL not in value for value in members(silent, prefix).values())


def test_silent_vteps_are_left_out_unless_all_are_silent() -> None:
    base = world.added(world.hopped(), world.hypervisor("hv5", "192.0.2.5"))
    base = world.added(base, world.remote_prefix("10.52.0.0/16", ["192.0.2.2", "192.0.2.5"]))
    to, down = inside(REMOTE, 4), base.down
    assert set(members(base, "10.52.0.0/16")) == set(range(SLOTS))
    for vtep in ("192.0.2.2", "192.0.2.5"):
        one = replace(base, down=down.set(ip_address(vtep), None))
        assert only(send(sent(11, to, 4), one)).has("tun_dst") != int(ip_address(vtep))
    both = replace(base, down=down.set(ip_address("192.0.2.2"), None).set(ip_address("192.0.2.5"), None))
    assert members(both, "10.52.0.0/16") == members(base, "10.52.0.0/16")


@pytest.mark.parametrize("family", [4, 6])
def test_a_next_hop_may_send_out_of_its_prefixes_only(family: int) -> None:
    name, to = ("ip_src" if family == 4 else "ipv6_src"), int(ip_address(_own(21, family)))
    for prefix in (LOCAL, SHARED):
        packet = sent(11, to, family) | {name: inside(prefix, family)}
        assert only(send(packet)).port == 21
        refused = sent(11, to, family) | {name: inside(REMOTE, family)}
        assert ended(send(refused)) == "guard-refused"
    assert (
        ended(send(sent(21, inside(LOCAL, family), family) | {name: inside(LOCAL, family)}))
        == "guard-refused"
    )


@pytest.mark.parametrize(
    "more", [{"eth_dst": THERE}, {"tun_src": int(ip_address("192.0.2.4"))}, {"tun_id": 5002}]
)
def test_the_tunnel_gets_no_further(more: dict[str, int]) -> None:
    assert only(send(arriving(inside(LOCAL, 4), 4))).port == 11
    assert send(arriving(inside(LOCAL, 4), 4, **more)).sent == ()
    assert send(arriving(inside(REMOTE, 4), 4)).sent == ()


def test_another_tenant_has_none_of_it() -> None:
    verdict = send(sent(51, inside(LOCAL, 4), 4))
    assert only(verdict).port == CONTROLLER and ended(verdict) == "translate-nowhere4"


def test_a_default_route_needs_a_way_out() -> None:
    """Whatever a border or a gateway host announces."""
    base = world.added(
        world.hopped(), *(world.remote_prefix(p, ["192.0.2.2"]) for p in ("0.0.0.0/0", "::/0"))
    )
    for family, outside in ((4, "8.8.8.8"), (6, "2001:db8::8")):
        to = int(ip_address(outside))
        assert only(send(sent(11, to, family), base)).port == CONTROLLER
        for way in (Egress.FABRIC, Egress.SNAT):
            opened = world.added(base, replace(world.tenant(1), egress=way))
            assert Switch.of(compile(opened).flows()).receive(sent(11, to, family)).ports == (TUNNEL,)


def test_a_next_hop_may_be_an_address_that_a_port_speaks_for() -> None:
    virtual = ip_address("10.0.1.50")
    base = world.added(world.routed(), world.static_route("v", "10.60.0.0/16", [str(virtual)]))
    base = world.allowing(base, 11, (Pair(ip_network("10.0.1.50/32")),))
    to = int(ip_address("10.60.0.1"))
    assert Switch.of(compile(base).flows()).receive(sent(21, to, 4)).ports == (CONTROLLER,)
    seen = Sighting(NetworkKey(1), virtual, Mac(0x02000000AA), PortKey(11), 1)
    spot = (NetworkKey(1), virtual)
    spoken = world.with_part(base, Part.SIGHTING, spot, seen)
    found = only(Switch.of(compile(spoken).flows()).receive(sent(21, to, 4)))
    assert (found.port, found.has("eth_dst")) == (11, 0x02000000AA)
    program, _ = recompile(compile(base), base, spoken, [Change(Part.SIGHTING, spot)])
    assert program == compile(spoken)


@pytest.mark.parametrize(
    ("part", "key", "value", "groups"),
    [
        (Part.STATIC_ROUTE, "route-1-0", None, 2),  # the prefix, and what port 11 may send
        (Part.PREFIX, (TenantKey(1), ip_network("10.52.0.0/16")), None, 1),
        (Part.DOWN, ip_address("192.0.2.2"), ..., 2),  # of two shared prefixes; alone, it stays
        (Part.DOWN, ip_address("192.0.2.9"), ..., 0),
    ],
)
def test_cost_follows_the_change(part: Part, key: object, value: object, groups: int) -> None:
    old = world.hopped()
    if value is ...:
        new = replace(old, down=old.down.set(key, None))
    else:
        new = world.with_part(old, part, key, value)
    program, patch = recompile(compile(old), old, new, [Change(part, key)])
    assert program == compile(new)
    assert len(patch.groups) == groups


def test_rendezvous_is_even_and_moves_nothing_in_vain() -> None:
    names = [f"vtep 192.0.2.{n}" for n in range(1, 9)]
    before = rendezvous.assign(names, "1 10.0.0.0/8", 1024)
    counts = Counter(before)
    assert set(counts) == set(range(8)) and max(counts.values()) < 2 * 1024 // 8
    less = rendezvous.assign(names[:-1], "1 10.0.0.0/8", 1024)
    assert all(was == now or was == 7 for was, now in zip(before, less, strict=True))
    assert rendezvous.assign(names, "2 10.0.0.0/8", 1024) != before
    assert rendezvous.assign(names[:1], "", 3) == (0, 0, 0)
    with pytest.raises(ValueError, match="nobody"):
        rendezvous.assign([], "x", 1)


def grouped(flow: Flow) -> bool:
    return any(isinstance(action, Group) for action in flow.shape.actions)


def test_no_group_without_a_choice() -> None:
    flows = list(compile(world.hopped()).flows())
    assert sum(map(grouped, flows)) == 4  # 10.50/16 and fd50::/48, sent and arrived
    assert not any(map(grouped, compile(world.routed()).flows()))

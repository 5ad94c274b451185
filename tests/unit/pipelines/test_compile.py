"""What has flows and what has not; who wins; and what a change costs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from model.change import Change, Part, Patch
from model.flow import Flow
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, Vni
from model.intent import Binding
from model.inventory import Interface, Switch
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines import objects as o
from pipelines.accounts import ACCOUNT_TABLE, is_counter, split
from pipelines.compile import Program, compile, install, key, recompile
from pipelines.cookies import Kind
from pipelines.render import named
from pipelines.tables import GUARD
from tests.fakes import world
from tests.fakes.world import Step, plugged, port, stepped, two_tenants

ONE = NetworkKey(1)
ELEVEN = PortKey(11)
ROOT = Path(__file__).parents[3]


def lines(snapshot: Snapshot, *parts: str) -> list[str]:
    """Flows whose text holds all of `parts`."""
    made = (named(flow) for flow in compile(snapshot).flows())
    return [line for line in made if all(part in line for part in parts)]


def of_port(snapshot: Snapshot, number: PortKey) -> list[Flow]:
    found = []
    for flow in compile(snapshot).flows():
        cookie = cookies.parse(flow.cookie)
        assert cookie is not None
        if cookie.kind in (Kind.PORT, Kind.ACCOUNT) and cookie.port == number:
            found.append(flow)
    return found


def changed(snapshot: Snapshot, part: Part, at: Any, value: Any) -> Snapshot:
    return stepped(snapshot, [Step(part, at, value)])


def test_a_complete_port_has_flows() -> None:
    assert of_port(two_tenants(), ELEVEN)


@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        (Part.INTERFACE, "port-11", None),
        (Part.INTERFACE, "port-11", Interface("tap", world.Uid("port-11"), -1)),
        (Part.INTERFACE, "port-11", Interface("tap", world.Uid("port-11"), 0)),
        (Part.INTERFACE, "port-11", Interface("vxlan", world.Uid("port-11"), world.TUNNEL)),
        (Part.BINDING, 11, None),
        (Part.BINDING, 11, Binding(ELEVEN, world.HERE, 1, False)),
        (Part.BINDING, 11, Binding(ELEVEN, HostName("hv2"), 1, True)),
        (Part.EPOCH, 11, None),
        (Part.NETWORK, 1, None),
        (Part.PORT, 11, None),
        (Part.HYPERVISOR, world.HERE, None),
        (Part.SWITCH, None, None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_an_incomplete_port_has_none(part: Part, at: Any, value: Any) -> None:
    assert of_port(changed(two_tenants(), part, at, value), ELEVEN) == []


def test_an_undeclared_host_has_no_flow_at_all() -> None:
    assert list(compile(changed(two_tenants(), Part.HYPERVISOR, world.HERE, None)).flows()) == []


def test_an_empty_host_counts_what_it_drops() -> None:
    shapes = {flow.shape.name for flow in compile(world.empty()).flows()}
    assert {"classify-miss", "classify-refused", "delivery-miss"} <= shapes


def test_a_network_without_a_local_port_is_not_here() -> None:
    snapshot = two_tenants()
    for number in (11, 12):
        snapshot = changed(snapshot, Part.BINDING, number, None)
    assert lines(snapshot, "=1001") == []
    assert lines(two_tenants(), "=1001") != []
    assert lines(snapshot, "reg0=1,") == []


def test_who_may_send_what() -> None:
    assert len(lines(two_tenants(), "table=classify", "tun_id=1001")) == 2
    assert len(lines(two_tenants(), "table=classify", "tun_id=1002", "tun_src=192.0.2.2")) == 1
    # hv2 is named by ports 11, 12 and 13: only the last that goes takes the right away
    snapshot = two_tenants()
    for number in (11, 12):
        with_less = replace(snapshot.ports[PortKey(number)], hosts=(world.HERE,))
        snapshot = changed(snapshot, Part.PORT, number, with_less)
        assert len(lines(snapshot, "tun_id=1001", "tun_src=192.0.2.2")) == 1
    assert lines(changed(snapshot, Part.PORT, 13, None), "tun_id=1001", "tun_src=192.0.2.2") == []


def test_a_local_mac_wins_over_a_remote_one() -> None:
    double = world.added(two_tenants(), world.remote(1, 0x020000000001, "192.0.2.3", ["10.0.0.1"]))
    for parts, wins in (
        (("table=resolve", "reg0=1,", "eth_dst=02:00:00:00:00:01"), "set_field:1->reg2"),
        (("table=services", "reg0=1,", "arp_tpa=10.0.0.1 "), "IN_PORT"),
    ):
        by_height = {line.partition("priority=")[2][:3]: line for line in lines(double, *parts)}
        assert max(by_height) == "210"
        assert wins in by_height["210"]
        assert "200" in by_height


def test_of_two_claims_the_first_wins_until_it_withdraws() -> None:
    low = world.remote(1, 0x020000000005, "192.0.2.2", ["10.0.0.7"])
    high = world.remote(1, 0x020000000006, "192.0.2.3", ["10.0.0.7"])
    both = world.added(two_tenants(), high, low)
    (line,) = lines(both, "arp_tpa=10.0.0.7")
    assert "02:00:00:00:00:05" in line
    gone = changed(both, Part.REMOTE, (ONE, low.mac), None)
    program, patch = recompile(compile(both), both, gone, [Change(Part.REMOTE, (ONE, low.mac))])
    assert program == compile(gone)
    puts = [named(flow) for put, _ in patch.groups for flow in put]
    drops = [named(flow) for _, drop in patch.groups for flow in drop]
    assert [line for line in puts if "arp_tpa=10.0.0.7" in line and "02:00:00:00:00:06" in line]
    assert not [line for line in drops if "arp_tpa=10.0.0.7" in line]


def test_two_classes_of_one_prefix() -> None:
    snapshot = world.added(
        world.empty(), world.egress_class(9, ["10.9.0.0/16"]), world.egress_class(4, ["10.9.0.0/16"])
    )
    (line,) = lines(snapshot, "ip_dst=10.9.0.0")
    assert "set_field:4->reg3" in line


def test_a_vtep_of_the_other_ip_version_is_out_of_reach() -> None:
    snapshot = changed(two_tenants(), Part.HYPERVISOR, "hv2", world.hypervisor("hv2", "2001:db8::2"))
    snapshot = world.added(snapshot, world.remote(1, 0x020000000003, "2001:db8::2"))
    assert lines(snapshot, "2001:db8::2") == []
    assert lines(snapshot, "table=resolve", "eth_dst=02:00:00:00:00:03") == []


def test_an_epoch_goes_round() -> None:
    snapshot = changed(two_tenants(), Part.EPOCH, 11, 4096 + 5)
    found = [cookies.parse(flow.cookie) for flow in of_port(snapshot, ELEVEN) if is_counter(flow)]
    assert {cookie.epoch for cookie in found if cookie} == {5}


def test_every_class_has_a_counter_at_every_port() -> None:
    def counters(snapshot: Snapshot) -> int:
        return sum(is_counter(flow) for flow in compile(snapshot).flows())

    assert counters(two_tenants()) == 4 * 4
    assert counters(world.added(two_tenants(), world.egress_class(200, []))) == 4 * 5


def test_reserved_addresses_give_no_identity() -> None:
    odd = port(15, 1, 0x020000000015, ["0.0.0.0", "::", "224.0.0.1", "ff02::1"])
    snapshot = plugged(two_tenants(), odd, 15)
    assert {flow.shape.name for flow in of_port(snapshot, odd.key) if flow.shape.table == GUARD.number} == {
        "guard-refused"
    }


STEPS: list[tuple[Step, int]] = [
    (Step(Part.REMOTE, (ONE, Mac(3)), world.remote(1, 3, "192.0.2.2", ["10.0.0.8"])), 1),
    (Step(Part.EPOCH, 11, 2), 1),
    (Step(Part.BINDING, 11, None), 2),  # the port, and its network's replication
    (Step(Part.CLUSTER, None, None), 0),
    (Step(Part.TENANT, 1, None), 5),  # no L3VNI: nothing from afar to ports 11 and 12, nor from hv2 and hv3
    (Step(Part.FLOOD, (ONE, ip_address("192.0.2.3")), None), 1),
    (Step(Part.CLASS, 2, world.egress_class(2, ["10.8.0.0/16"])), 1),
    (Step(Part.CLASS, 2, None), 5),  # the class, and a counter of each of four ports
    (Step(Part.PORT, 13, None), 0),  # ports 11 and 12 still name hv2
    (Step(Part.PORT, 14, None), 2),  # the only one that named hv3, which may send the L2VNI and the L3VNI
]


@pytest.mark.parametrize(("step", "groups"), STEPS, ids=lambda value: str(value)[:40])
def test_cost_follows_the_change(step: Step, groups: int) -> None:
    old = two_tenants()
    new = stepped(old, [step])
    program, patch = recompile(compile(old), old, new, [step.change()])
    assert len(patch.groups) == groups
    assert program == compile(new)


ROUTED_STEPS: list[tuple[Step, int]] = [
    (Step(Part.REMOTE, (NetworkKey(3), Mac(3)), world.remote(3, 3, "192.0.2.2", ["10.0.3.8"], router=2)), 1),
    (Step(Part.REMOTE, (NetworkKey(3), Mac(3)), world.remote(3, 3, "192.0.2.2", ["10.0.3.8"])), 0),
    (Step(Part.REMOTE, (ONE, Mac(3)), world.remote(1, 3, "192.0.2.2", ["10.0.1.8"], router=2)), 2),
    (Step(Part.REMOTE, (NetworkKey(5), Mac(3)), world.remote(5, 3, "192.0.2.2", ["10.0.1.8"], router=2)), 2),
    (Step(Part.REMOTE, (NetworkKey(4), Mac(3)), world.remote(4, 3, "192.0.2.2", ["10.0.4.8"], router=2)), 1),
    (Step(Part.PORT, 33, None), 1),  # the only one of the tenant that named hv3
    (Step(Part.PORT, 32, None), 0),  # 12 still names hv2
    (
        Step(Part.TENANT, 1, world.tenant(1, l3vni=0)),
        7,
    ),  # the tenant; ports 11, 21; hv2, hv3; routes to 12, 32
    (Step(Part.BINDING, 21, None), 2),  # the port, and its network, of which it was the last here
    (Step(Part.NETWORK, 3, None), 3),
]


@pytest.mark.parametrize(("step", "groups"), ROUTED_STEPS, ids=lambda value: str(value)[:60])
def test_cost_of_routes_follows_the_change(step: Step, groups: int) -> None:
    old = world.routed()
    new = stepped(old, [step])
    program, patch = recompile(compile(old), old, new, [step.change()])
    assert program == compile(new)
    assert len(patch.groups) == groups


def test_a_tenant_comes_and_goes_with_its_first_port() -> None:
    """All that is known of it elsewhere, networks without a port here among it."""
    old = world.routed()
    alone = stepped(old, [Step(Part.BINDING, key, None) for key in (11, 21)])
    program, patch = recompile(compile(old), old, alone, [Change(Part.BINDING, key) for key in (11, 21)])
    assert program == compile(alone)
    gone = {flow.shape.name for _, drop in patch.groups for flow in drop}
    assert {"route-remote4-over-vtep4", "classify-vrf4", "gateway-expired4"} <= gone
    back, patch = recompile(program, alone, old, [Change(Part.BINDING, 21), Change(Part.BINDING, 11)])
    assert back == compile(old)
    assert {flow.shape.name for put, _ in patch.groups for flow in put} >= gone


def test_the_tunnel_takes_a_port_number() -> None:
    """An interface that was a port's, and is the tunnel's with the next run of the switch."""
    old = two_tenants()
    new = changed(old, Part.SWITCH, None, Switch("netdev", 1, "run-2"))
    program, _ = recompile(compile(old), old, new, [Change(Part.SWITCH, None)])
    assert program == compile(new)
    assert of_port(new, ELEVEN) == []


def test_a_change_of_the_network_key_moves_everything() -> None:
    old = two_tenants()
    new = changed(old, Part.NETWORK, 1, replace(old.networks[ONE], vni=Vni(77)))
    program, patch = recompile(compile(old), old, new, [Change(Part.NETWORK, 1)])
    assert program == compile(new)
    assert patch
    assert lines(new, "=1001") == []


def test_drops_come_before_puts() -> None:
    """A port number that changes hands never serves both owners at once."""
    old = two_tenants()
    steps = [
        Step(Part.INTERFACE, "port-11", None),
        Step(Part.INTERFACE, "port-21", Interface("tap1", world.Uid("port-21"), 1)),
    ]
    new = stepped(old, steps)
    _, patch = recompile(compile(old), old, new, [step.change() for step in steps])
    kinds = ["put" if put else "drop" for put, _ in patch.groups]
    assert kinds == sorted(kinds)
    assert kinds[0] == "drop"


def test_install_groups_by_object() -> None:
    program = compile(two_tenants())
    patch = install(program)
    assert sum(len(put) for put, _ in patch.groups) == len(list(program.flows()))
    assert len(patch.groups) == len(program.groups)
    assert all(not drop for _, drop in patch.groups)
    assert not install(Program())


def test_unbinding_leaves_the_counters_for_later() -> None:
    old = two_tenants()
    new = changed(old, Part.BINDING, 11, None)
    _, patch = recompile(compile(old), old, new, [Change(Part.BINDING, 11)])
    now, later = split(patch)
    assert not any(is_counter(flow) for _, drop in now.groups for flow in drop)
    dropped = [flow for _, drop in later.groups for flow in drop]
    assert {flow.shape.table for flow in dropped} == {ACCOUNT_TABLE}
    assert len(dropped) == 4
    assert not any(put for put, _ in later.groups)
    assert split(Patch(())) == (Patch(()), Patch(()))


def test_keys_are_those_of_the_switch() -> None:
    flows = list(compile(two_tenants()).flows())
    assert len({key(flow) for flow in flows}) == len({flow.key() for flow in flows}) == len(flows)


def test_a_program_says_what_an_object_has() -> None:
    program = compile(two_tenants())
    assert list(program.flows_of(o.egress_class(ClassId(2))))
    assert list(program.flows_of(o.port(PortKey(999)))) == []


def test_the_order_of_flows_does_not_depend_on_the_process() -> None:
    """Text hashes differ from process to process; nothing that is sent may."""
    script = (
        "from tests.fakes.world import two_tenants\n"
        "from pipelines.compile import compile, install\n"
        "from pipelines.render import text\n"
        "print([[text(f) for f in put] for put, _ in install(compile(two_tenants())).groups])\n"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(shown) == 1
    assert b"priority" in shown.pop()

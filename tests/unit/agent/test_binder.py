"""The binder: who claims what, and what the report says of each interface."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from controller.agent import binder, state
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, Uid
from model.intent import Binding, Hypervisor, Port
from model.inventory import Interface, Switch
from model.report import PortState
from model.serving import IFACE_ID
from model.snapshot import Snapshot
from tests.fakes import world

HOST = HostName("hv1")
KEY = PortKey(1)
UID = Uid("uid-1")
PORT = Port(UID, NetworkKey(1), "p1", KEY, Mac(0x020000000001), (ip_address("10.0.0.2"),), (HOST,))


def snapshot(port: Port = PORT, plugged: int = 1, binding: Binding | None = None) -> Snapshot:
    items: list[state.Item] = [
        (Part.HYPERVISOR, HOST, Hypervisor(HOST, ip_address("192.0.2.11"), 1)),
        (Part.PORT, KEY, port),
    ]
    if binding is not None:
        items.append((Part.BINDING, KEY, binding))
    step = state.upsert(Snapshot(HOST), items)
    step = state.observe_switch(step.snapshot, Switch("netdev", 1, "run"))
    seen = {UID: Interface("tap1", UID, 11)} if plugged else {}
    return state.observe_interfaces(step.snapshot, seen).snapshot


def test_a_plugged_port_is_claimed_once() -> None:
    assert binder.claims(snapshot(), [KEY]).bind == (KEY,)
    bound = snapshot(binding=Binding(KEY, HOST, 0, True))
    assert binder.claims(bound, [KEY]) == binder.Claims((), ())


def test_a_host_that_is_not_allowed_claims_nothing_and_says_so() -> None:
    foreign = snapshot(replace(PORT, hosts=(HostName("hv2"),)))
    assert binder.claims(foreign, [KEY]) == binder.Claims((), ())
    (line,) = binder.port_reports(foreign, {})
    assert line.state is PortState.REFUSED and "hv1" in line.reason


def test_a_port_that_was_unplugged_is_given_back() -> None:
    gone = snapshot(plugged=0, binding=Binding(KEY, HOST, 0, True))
    assert binder.claims(gone, [KEY]).release == (KEY,)


def test_a_port_bound_elsewhere_is_claimed_and_the_refusal_shown() -> None:
    other = snapshot(binding=Binding(KEY, HostName("hv2"), 0, True))
    assert binder.claims(other, [KEY]).bind == (KEY,)
    (line,) = binder.port_reports(other, {KEY: "bound on hv2"})
    assert (line.state, line.reason) == (PortState.REFUSED, "tap1: bound on hv2")


def test_nothing_is_claimed_while_this_host_is_undeclared() -> None:
    bare = state.remove(snapshot(), [(Part.HYPERVISOR, HOST)]).snapshot
    assert binder.claims(bare, [KEY]) == binder.Claims((), ())


def test_touched_follows_the_change() -> None:
    base = snapshot()
    assert binder.touched(base, [Change(Part.INTERFACE, UID)]) == {KEY}
    assert binder.touched(base, [Change(Part.REMOTE, (NetworkKey(1), Mac(3)))]) == frozenset()
    assert binder.touched(base, [Change(Part.SWITCH, None)]) == {KEY}


def test_an_interface_that_ovs_could_not_make_claims_nothing_and_says_so() -> None:
    broken = {UID: Interface("tap1", UID, 0)}
    base = state.observe_interfaces(snapshot(binding=Binding(KEY, HOST, 0, True)), broken).snapshot
    assert binder.claims(base, [KEY]).release == (KEY,)
    (line,) = binder.port_reports(base, {})
    assert line.state is PortState.ERROR and "tap1" in line.reason


def test_an_unknown_iface_id_is_named() -> None:
    stranger = {Uid("x"): Interface("tap9", Uid("x"), 9)}
    (line,) = binder.port_reports(state.observe_interfaces(snapshot(), stranger).snapshot, {})
    assert line.state is PortState.UNKNOWN and "tap9" in line.reason


def test_the_wire_of_who_answers_names_is_no_port() -> None:
    snapshot = world.served(world.two_tenants())
    assert IFACE_ID not in {report.uid for report in binder.port_reports(snapshot, {})}
    assert binder.port_report(snapshot, IFACE_ID, {}) is None
    stray = world.with_part(snapshot, Part.INTERFACE, Uid("stray"), Interface("tap-stray", Uid("stray"), 77))
    assert binder.port_report(stray, Uid("stray"), {}) is not None

"""A port moves here: it waits, blocked, until its workload or the operator says that it is here."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from immutables import Map

from bgp.table import Limits
from controller.agent import announcements, binder, commands, core, state
from controller.agent.announcements import Announced
from model.change import Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Hypervisor, Network, Port, Tenant
from model.inventory import Interface, Switch
from model.report import PortState
from pipelines import cookies

HERE, THERE = HostName("hv1"), HostName("hv2")
KEY, MAC = PortKey(1), Mac(0x020000000001)
MOVING = Port(
    Uid("uid-1"),
    NetworkKey(1),
    "p1",
    KEY,
    MAC,
    (ip_address("10.0.0.2"), ip_address("fd00::2")),
    (HERE, THERE),
    migration=HERE,
)
ELSEWHERE = Binding(KEY, THERE, 3, active=True)


def waiting(port: Port = MOVING, binding: Binding = ELSEWHERE) -> core.Result:
    """Here with the port plugged in, and bound to the other host."""
    now = core.on_session(core.start(HERE, None, Limits()), Map()).core
    seen = state.Seen(Switch("netdev", 1, "run-1"), {port.uid: Interface("tap1", port.uid, 11)})
    now = core.on_inventory(now, seen).core
    prefixes = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
    network = Network(Uid("n1"), TenantKey(1), "net", NetworkKey(1), Vni(5), prefixes)
    items = (
        (Part.CLUSTER, None, Cluster(Uid("c1"), 1, 65000)),
        (Part.TENANT, TenantKey(1), Tenant(Uid("t1"), "acme", TenantKey(1), Vni(9))),
        (Part.NETWORK, NetworkKey(1), network),
        (Part.HYPERVISOR, HERE, Hypervisor(HERE, ip_address("192.0.2.11"), 1)),
        (Part.HYPERVISOR, THERE, Hypervisor(THERE, ip_address("192.0.2.12"), 2)),
        (Part.PORT, KEY, port),
        (Part.BINDING, KEY, binding),
    )
    return core.on_store(now, items, (), state.Whole.YES)


def binds(result: core.Result) -> list[PortKey]:
    return [c.port for c in result.commands if isinstance(c, commands.Bind)]


def flows(now: core.Core) -> set[str]:
    return {f.shape.name for f in now.program.flows() if cookies.parse(f.cookie).port == KEY}  # type: ignore[union-attr]


def test_it_waits_and_hears_only_announcements() -> None:
    result = waiting()
    assert binds(result) == []
    assert flows(result.core) == {
        "classify-refused",
        "classify-waiting-rarp",
        "classify-waiting-arp",
        "classify-waiting-nd",
    }
    (report,) = binder.port_reports(result.core.effective, {})
    assert report.state is PortState.MOVING


def test_its_announcement_claims_it_once() -> None:
    first = core.on_announced(waiting().core, Announced(KEY, MAC, None), 0.0)
    assert binds(first) == [KEY]
    assert binds(core.on_announced(first.core, Announced(KEY, MAC, None), 0.0)) == []


def test_with_the_answer_it_lives_here_and_is_announced_with_a_higher_sequence() -> None:
    claimed = core.on_announced(waiting().core, Announced(KEY, MAC, None), 0.0).core
    result = core.on_answer(claimed, KEY, Binding(KEY, HERE, 4, active=True))
    assert "classify-local" in flows(result.core)
    assert not any("waiting" in name for name in flows(result.core))
    (said,) = [c for c in result.commands if isinstance(c, commands.Announce)]
    assert {r.attributes.sequence for r in said.routes if r.attributes.sequence} == {4}
    assert result.core.announced == frozenset()


def test_a_claim_that_failed_comes_again() -> None:
    claimed = core.on_announced(waiting().core, Announced(KEY, MAC, None), 0.0).core
    refused = core.on_answer(claimed, KEY, "the store is away").core
    assert binds(core.on_tick(refused, core.Synced.NO, 1.0)) == [KEY]


def test_the_operator_can_say_it() -> None:
    assert binds(waiting(replace(MOVING, activate=True))) == [KEY]


def test_a_port_that_nobody_holds_needs_no_announcement() -> None:
    assert binds(waiting(binding=replace(ELSEWHERE, active=False))) == [KEY]


def test_an_announcement_of_a_port_that_does_not_move_changes_nothing() -> None:
    still = waiting(replace(MOVING, migration=HostName("")))
    assert core.on_announced(still.core, Announced(KEY, MAC, None), 0.0).commands == ()


def ethernet(kind: int, body: bytes) -> bytes:
    return b"\xff" * 6 + MAC.to_bytes(6, "big") + struct.pack("!H", kind) + body


ARP = (
    struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + ip_address("10.0.0.9").packed + bytes(6) + bytes(4)
)
NA = struct.pack("!IHBB", 6 << 28, 24, 58, 255) + bytes(32) + bytes((136, 0, 0, 0)) + bytes(4)
NA += ip_address("fd00::9").packed


@pytest.mark.parametrize(
    ("frame", "address"),
    [
        (ethernet(0x8035, b""), None),
        (ethernet(0x0806, ARP), ip_address("10.0.0.9")),
        (ethernet(0x86DD, NA), ip_address("fd00::9")),
    ],
)
def test_frames_are_read(frame: bytes, address: object) -> None:
    assert announcements.read(cookies.announced(KEY), frame) == Announced(KEY, MAC, address)  # type: ignore[arg-type]
    assert announcements.read(cookies.port(KEY), frame) is None


@pytest.mark.parametrize("length", range(0, 80, 3))
def test_nothing_short_is_an_announcement_of_an_address(length: int) -> None:
    for whole in (ethernet(0x0806, ARP), ethernet(0x86DD, NA), b"\0" * 90):
        cut = whole[: min(length, len(whole) - 1)]
        assert announcements.read(cookies.announced(KEY), cut) is None

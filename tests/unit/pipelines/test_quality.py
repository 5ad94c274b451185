"""Marks and limits: which packets meet which meter, and what a change of a limit sends."""

from __future__ import annotations

from dataclasses import replace

from model.change import Change, Part
from model.flow import Flow, Meter, Metered, Recirculate, Unit
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines import limits, tables
from pipelines.compile import Program, compile, install, recompile
from tests.fakes import packets, world
from tests.fakes.switch import Switch, Verdict
from tests.unit.pipelines.test_walks import A1, A2, A3, HV2, M1, M2, M3, S1, S3

OUT, INTO = 2, 3
"""Meters of port 11, at OpenFlow port 1."""


def send(packet: dict[str, int], port: int, snapshot: Snapshot | None = None) -> Verdict:
    made = world.qualified() if snapshot is None else snapshot
    return Switch.of(compile(made).flows()).receive(packet | {"in_port": port})


def meters(verdict: Verdict) -> list[int]:
    """In the order in which the packet met them."""
    return [
        flow.fill(action.meter)
        for _, flow in verdict.path
        if flow is not None
        for action in flow.shape.actions
        if isinstance(action, Metered)
    ]


def _ids(program: Program) -> list[int]:
    """Of the limits' meters."""
    return [meter.id for meter in program.meters() if meter.unit is Unit.KBITS]


def names(verdict: Verdict) -> list[str]:
    return [tables.table(number).name for number, _ in verdict.path]


def test_the_limit_of_the_sender_stands_before_its_account_in_a_pass_of_its_own() -> None:
    for packet in (packets.ipv4(M1, M3, A1, A3), packets.ipv6(M1, M3, S1, S3), packets.arp(2, M1, A1, A3)):
        verdict = send(packet | {"eth_dst": M3}, 1)
        assert verdict.ports == (world.TUNNEL,) and meters(verdict) == [OUT]
        order = names(verdict)
        assert order.index("rate") < order.index("class") < order.index("account")
        rate = next(flow for number, flow in verdict.path if number == tables.RATE.number)
        assert rate is not None and rate.shape.actions == (rate.shape.actions[0], Recirculate())


def test_the_limit_of_the_receiver_is_met_from_here_and_from_the_tunnel() -> None:
    assert meters(send(packets.ipv4(M2, M1, A2, A1), 2)) == [INTO]
    assert meters(send(packets.ipv4(M1, M2, A1, A2), 1)) == [OUT, 5]
    far = packets.ipv4(M3, M1, A3, A1) | {"tun_id": 1001, "tun_src": HV2}
    verdict = send(far, world.TUNNEL)
    assert meters(verdict) == [INTO] and verdict.ports == (1,)
    assert "account" not in names(verdict)


def test_a_port_without_limits_meets_no_meter() -> None:
    plain = world.two_tenants()
    assert {meter.unit for meter in compile(plain).meters()} == {Unit.PACKETS}, "those of questions"
    verdict = send(packets.ipv4(M1, M2, A1, A2), 1, plain)
    assert meters(verdict) == [] and verdict.ports == (2,)


def test_a_group_frame_is_copied_for_each_receiver_with_a_limit() -> None:
    frame = packets.ipv4(M1, 0x01005E000001, A1, A2)
    verdict = send(frame, 1)
    # by its sender's meter once, then by that of 12, and by its own, which sends nothing back
    assert meters(verdict) == [OUT, INTO, 5]
    assert sorted(verdict.ports) == [2, world.TUNNEL, world.TUNNEL]
    far = send(frame | {"eth_src": M3, "ip_src": A3, "tun_id": 1001, "tun_src": HV2}, world.TUNNEL)
    assert far.ports == (1, 2) and meters(far) == [INTO, 5]


def test_packets_of_a_network_get_its_mark() -> None:
    for packet in (packets.ipv4(M1, M3, A1, A3), packets.ipv6(M1, M3, S1, S3)):
        (sent,) = send(packet, 1).sent
        assert sent.has("ip_dscp") == 46
    (sent,) = send(packets.ipv4(M1, M3, A1, A3), 1, world.two_tenants()).sent
    assert not sent.has("ip_dscp")


def test_a_changed_limit_changes_the_meter_and_no_flow() -> None:
    before = world.qualified()
    faster = replace(before.ports[PortKey(11)], rate_out=20_000)
    after = world.with_part(before, Part.PORT, PortKey(11), faster)
    _, patch = recompile(compile(before), before, after, [Change(Part.PORT, PortKey(11))])
    assert patch.meters == (Meter(OUT, 20_000, 2_000),)
    assert patch.groups == () and patch.stale_meters == () and patch


def test_a_limit_that_ends_takes_its_meter_along() -> None:
    before = world.qualified()
    free = world.limited(before.ports[PortKey(11)], 0, 0)
    after = world.with_part(before, Part.PORT, PortKey(11), free)
    program, patch = recompile(compile(before), before, after, [Change(Part.PORT, PortKey(11))])
    assert patch.stale_meters == (OUT, INTO) and patch.meters == ()
    assert _ids(program) == [5]
    dropped: list[Flow] = [flow for _, drop in patch.groups for flow in drop]
    assert {flow.shape.name for flow in dropped} >= {"rate-metered", "limit-metered", "output-limited"}


def test_a_program_is_installed_with_its_meters() -> None:
    program = compile(world.qualified())
    assert install(program).meters == program.meters()
    assert _ids(program) == [OUT, INTO, 5]


def test_a_burst_is_a_tenth_of_a_second_and_lets_two_large_frames_pass() -> None:
    assert limits.burst(1_000_000) == 100_000
    assert limits.burst(64) * 1000 >= 2 * 8 * 65_536

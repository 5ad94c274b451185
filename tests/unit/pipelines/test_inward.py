"""What comes from outside, walked: counted once, for the port that gets it, by the class of its source."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.addresses import GATEWAY_MAC, OUTSIDE_MAC, router_mac
from model.change import Change, Part
from model.ids import PortKey, TenantKey
from model.intent import Egress
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.accounts import is_counter
from pipelines.check import check_flows
from pipelines.compile import compile, recompile
from pipelines.shapes.fence import FENCED
from pipelines.tables import ORIGIN, RECEIVED
from tests.fakes import outward as out
from tests.fakes import packets, world
from tests.fakes.switch import Sent, Switch, Verdict

SERVER = {4: int(ip_address("198.51.100.9")), 6: int(ip_address("2001:db8:7::9"))}
"""Class 8 of `world.related`."""
ELSEWHERE = {4: int(ip_address("8.8.8.8")), 6: int(ip_address("2a00::8"))}
FAMILIES = pytest.mark.parametrize("version", [4, 6])
RED, OUTSIDE = 5001, 5009


def switch(host: str = "hv1", snapshot: Snapshot | None = None) -> Switch:
    flows = tuple(compile(world.related(snapshot or out.leaving(host))).flows())
    check_flows(flows)
    return Switch.of(flows)


def counts(verdict: Verdict, kind: cookies.Kind) -> list[tuple[int, int]]:
    """(port, class) of each counter of this kind on the way."""
    found = (cookies.parse(flow.cookie) for _, flow in verdict.path if flow is not None and is_counter(flow))
    return [(one.port, one.cls) for one in found if one is not None and one.kind is kind]


def received(verdict: Verdict) -> list[tuple[int, int]]:
    return counts(verdict, cookies.Kind.ACCOUNT_IN)


def sent_by(verdict: Verdict) -> list[tuple[int, int]]:
    return counts(verdict, cookies.Kind.ACCOUNT)


def packet(version: int, macs: tuple[int, int], source: int, target: int, **more: int) -> packets.Packet:
    make = packets.ipv4 if version == 4 else packets.ipv6
    ports = (more.pop("sport", 4000), more.pop("dport", 53))
    return packets.udp(make(*macs, source, target), *ports) | more


def from_border(version: int, source: int, target: int, vni: int = OUTSIDE, host: int = 1) -> packets.Packet:
    outer = {"tun_src": int(ip_address(out.VTEPS["hv9"])), "tun_id": vni, "in_port": world.TUNNEL}
    macs = (int(router_mac(9)), int(router_mac(host)))
    return packet(version, macs, source, target, sport=53, dport=4000, **outer)


def to_gateway(key: int, version: int, target: int) -> packets.Packet:
    one = out.port(key)
    macs = (int(one.mac), int(GATEWAY_MAC))
    return packet(version, macs, int(one.addresses[version == 6]), target, in_port=key)


def carried(sent: Sent, host: str) -> packets.Packet:
    """What another host gets of what `host` sent into the tunnel."""
    assert sent.port == world.TUNNEL
    inner = {k: v for k, v in sent.packet.items() if not k.startswith(("reg", "tun_", "ct_"))}
    outer = {"tun_src": int(ip_address(out.VTEPS[host])), "tun_id": sent.has("tun_id")}
    return inner | outer | {"in_port": world.TUNNEL}


@FAMILIES
def test_by_a_floating_ip(version: int) -> None:
    target = int(out.floating(51, version).address)
    known = switch().receive(from_border(version, SERVER[version], target))
    assert (known.ports, received(known), sent_by(known)) == ((51,), [(51, 8)], [])
    public = switch().receive(from_border(version, ELSEWHERE[version], target))
    assert received(public) == [(51, 7)]


@FAMILIES
def test_a_floating_ip_beside_or_on_another_host_sends_what_it_pays_for_itself(version: int) -> None:
    here, there = switch(), switch("hv2")
    beside = here.receive(to_gateway(11, version, int(out.floating(51, version).address)))
    assert (beside.ports, len(sent_by(beside)), received(beside)) == ((51,), 1, [])
    away = there.receive(to_gateway(13, version, int(out.floating(51, version).address)))
    assert len(sent_by(away)) == 1
    (sent,) = away.sent
    landed = here.receive(carried(sent, "hv2"))
    assert (landed.ports, received(landed)) == ((51,), [])


@FAMILIES
def test_the_answer_for_a_tenant_behind_its_address_is_counted_at_its_port(version: int) -> None:
    """Of a port beside the gateway there, of another host's port on that host, where the mark tells."""
    here, egress = switch(), int(out.ADDRESSES[version == 6])
    assert here.receive(to_gateway(12, version, SERVER[version])).ports == (world.TUNNEL,)
    own = here.receive(from_border(version, SERVER[version], egress))
    assert (own.ports, received(own)) == ((12,), [(12, 8)])

    here, there = switch(), switch("hv2")
    led = {"eth_src": int(router_mac(2)), "eth_dst": int(router_mac(1)), "tun_id": RED}
    outer = {"tun_src": int(ip_address(out.VTEPS["hv2"])), "in_port": world.TUNNEL}
    assert here.receive(to_gateway(14, version, SERVER[version]) | led | outer).ports == (world.TUNNEL,)
    back = here.receive(from_border(version, SERVER[version], egress))
    (sent,) = back.sent
    assert (sent.has("tun_id"), sent.has("eth_src"), received(back)) == (RED, OUTSIDE_MAC, [])
    home = there.receive(carried(sent, "hv1"))
    assert (home.ports, received(home)) == ((14,), [(14, 8)])


@FAMILIES
def test_what_a_port_beside_the_gateway_sends_is_not_taken_for_an_answer(version: int) -> None:
    here, there = switch(), switch("hv2")
    (sent,) = here.receive(to_gateway(12, version, int(out.port(14).addresses[version == 6]))).sent
    assert sent.has("eth_src") == router_mac(1)
    plain = there.receive(carried(sent, "hv1"))
    assert (plain.ports, received(plain)) == ((14,), [])


def fabric() -> Snapshot:
    snapshot = world.added(out.leaving(), out.tenant(egress=Egress.FABRIC))
    return world.with_part(snapshot, Part.ZONE, ("tenant", 1), None)


@FAMILIES
def test_from_a_border_into_the_tenants_own_network(version: int) -> None:
    here = switch(snapshot=fabric())
    target = int(out.port(12).addresses[version == 6])
    verdict = here.receive(from_border(version, SERVER[version], target, RED))
    assert (verdict.ports, received(verdict), sent_by(verdict)) == ((12,), [(12, 8)], [])
    from_hv2 = from_border(version, SERVER[version], target, RED) | {
        "tun_src": int(ip_address(out.VTEPS["hv2"]))
    }
    host = here.receive(from_hv2)
    assert (host.ports, received(host)) == ((12,), [])
    assert host.path[-2][1].shape.name == "origin-inside"


def test_a_private_source_is_of_what_declares_it_or_of_nothing() -> None:
    target = int(out.port(12).addresses[0])
    private = switch(snapshot=fabric()).receive(from_border(4, int(ip_address("10.9.9.9")), target, RED))
    assert received(private) == [(12, 9)]
    bare = Switch.of(compile(fabric()).flows()).receive(from_border(4, SERVER[4], target, RED))
    assert received(bare) == [(12, 1)]


@FAMILIES
def test_the_limit_of_what_a_port_gets_stands_behind_its_counter(version: int) -> None:
    snapshot = fabric()
    limited = world.with_part(
        snapshot, Part.PORT, PortKey(12), replace(snapshot.ports[PortKey(12)], rate_in=1_000)
    )
    target = int(out.port(12).addresses[version == 6])
    verdict = switch(snapshot=limited).receive(from_border(version, SERVER[version], target, RED))
    names = [flow.shape.name for _, flow in verdict.path if flow is not None]
    assert verdict.ports == (12,) and names[-2:] == ["received-counter", "limit-metered"]


def test_ports_that_nothing_outside_reaches_cost_nothing() -> None:
    flows = tuple(compile(world.related(world.routed())).flows())
    tables = [flow.shape.table for flow in flows if flow.shape.match]
    assert RECEIVED.number not in tables and tables.count(ORIGIN.number) == 2
    assert not any(flow.shape.name.endswith("-open") for flow in flows)
    # the port with a floating IP has counters, its neighbour of another tenant has none
    here = out.leaving()
    closed = world.added(here, replace(out.tenant(egress=Egress.NONE), gateways=(), egress_addresses=()))
    found = [cookies.parse(f.cookie) for f in compile(closed).flows() if f.shape.table == RECEIVED.number]
    assert {one.port for one in found if one is not None} == {0, 11, 51}, "and the miss"


def test_a_floating_ip_that_comes_and_goes_brings_and_takes_the_counters() -> None:
    whole = world.related(
        world.added(out.leaving(), replace(out.tenant(egress=Egress.NONE), gateways=(), egress_addresses=()))
    )
    bare, changes = whole, set()
    for key in (11, 51):
        for version in (4, 6):
            uid = out.floating(key, version).uid
            bare = world.with_part(bare, Part.FLOATING, uid, None)
            changes.add(Change(Part.FLOATING, uid))
    for old, new in ((bare, whole), (whole, bare)):
        result, patch = recompile(compile(old), old, new, changes)
        assert set(result.flows()) == set(compile(new).flows())
        held = Switch.of(compile(old).flows())
        for put, drop in patch.groups:
            held.apply(put, drop)
        assert set(held.flows.values()) == set(compile(new).flows())
    assert not any(flow.shape.table == RECEIVED.number and flow.shape.match for flow in compile(bare).flows())


def test_on_a_host_with_a_partner_all_senders_pass_the_fence() -> None:
    entries = [shape for shape in FENCED if "vrf" in shape.name]
    assert {shape.name for shape in entries} == {
        f"classify-vrf{v}{rest}" for v in (4, 6) for rest in ("", "-outside", "-let-in")
    }


def test_who_is_a_border_of_the_tenant_or_its_gateway_is_known_from_the_store() -> None:
    flows = [f for f in compile(out.leaving("hv2")).flows() if f.shape.name.startswith("classify-vrf4")]
    named = {(f.values[1], f.values[2] & 0xFF, f.shape.name.removeprefix("classify-vrf4")) for f in flows}
    assert (OUTSIDE, 9, "-outside") in named and (OUTSIDE, 9, "") not in named
    assert {(RED, 1, ""), (RED, 1, "-let-in")} <= named
    assert TenantKey(1) in out.leaving("hv2").tenants

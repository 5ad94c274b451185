"""Peerings in the pipeline: what crosses, what does not, and what goes with a deleted half."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.addresses import GATEWAY_MAC, router_mac
from model.change import Change, Part
from model.ids import HostName, TenantKey
from model.intent import Egress
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.compile import compile, recompile
from pipelines.index import build
from pipelines.tables import table
from pipelines.views.outward import may_send
from tests.fakes import packets as p
from tests.fakes import peering, world
from tests.fakes.isolation import violations
from tests.fakes.mutants import PEERING_MUTANTS, Mutant
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Switch, Verdict

VTEP2 = int(ip_address("192.0.2.2"))


def host(key: int, family: int) -> int:
    """An address of a port, as a number."""
    return int(world.routed_port(key, world.HERE).addresses[family // 6])


def packet(sender: int, target: int, family: int) -> Packet:
    make = p.ipv4 if family == 4 else p.ipv6
    mac = int(world.routed_port(sender, world.HERE).mac)
    return make(mac, int(GATEWAY_MAC), host(sender, family), host(target, family)) | {"in_port": sender}


def arriving(target: int, family: int, **more: int) -> Packet:
    make = p.ipv4 if family == 4 else p.ipv6
    made = make(int(router_mac(2)), int(router_mac(1)), host(12, family), host(target, family))
    return made | {"in_port": world.TUNNEL, "tun_id": peering.L3VNI, "tun_src": VTEP2} | more


def send(sent: Packet, snapshot: Snapshot | None = None) -> Verdict:
    snapshot = peering.peered() if snapshot is None else snapshot
    verdict = Switch.of(compile(snapshot).flows()).receive(sent)
    assert violations(snapshot, sent, verdict) == []
    return verdict


def ended(verdict: Verdict) -> str:
    return table(verdict.path[-1][0]).name


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("sender", "target"), [(11, 61), (61, 11)])
def test_both_ways_on_one_host(family: int, sender: int, target: int) -> None:
    (sent,) = send(packet(sender, target, family)).sent
    assert (sent.port, sent.has("eth_src"), sent.has("nw_ttl")) == (target, GATEWAY_MAC, 63)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("sender", "target"), [(11, 62), (61, 12)])
def test_to_another_host_under_the_peerings_own_vni(family: int, sender: int, target: int) -> None:
    (sent,) = send(packet(sender, target, family)).sent
    assert (sent.port, sent.has("tun_id"), sent.has("tun_dst")) == (world.TUNNEL, peering.L3VNI, VTEP2)
    assert (sent.has("eth_src"), sent.has("eth_dst")) == (router_mac(1), router_mac(2))


@pytest.mark.parametrize("family", [4, 6])
def test_what_arrives_reaches_exported_addresses_only(family: int) -> None:
    (sent,) = send(arriving(61, family)).sent
    assert (sent.port, sent.has("eth_src"), sent.has("nw_ttl")) == (61, GATEWAY_MAC, 63)
    for target in (66, 21, 71):
        assert ended(send(arriving(target, family))) == "arrival"
    assert ended(send(arriving(61, family, tun_id=5003))) == "classify"
    assert ended(send(arriving(61, family, tun_src=int(ip_address("192.0.2.4"))))) == "classify"
    assert send(arriving(61, family, eth_dst=int(router_mac(2)))).sent == ()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("sender", "target"),
    [
        (21, 61),  # not from what tenant 1 does not export,
        (11, 66),  # not to what tenant 2 does not,
        (66, 11),
        (61, 21),
        (71, 11),  # and a third tenant neither sends
        (71, 61),
        (11, 71),  # nor gets
    ],
)
def test_nothing_else_crosses(family: int, sender: int, target: int) -> None:
    verdict = send(packet(sender, target, family))
    assert target not in verdict.ports and world.TUNNEL not in verdict.ports


def twinned() -> Snapshot:
    """As peered, and port 81 of tenant 3 has the addresses of tenant 1's port 11."""
    like = world.routed_port(11, world.HERE)
    twin = replace(world.routed_port(81, world.HERE), addresses=like.addresses)
    made = world.added(
        peering.peered(), world.network(8, owner=3, subnets=["10.0.1.0/24", "fd00:0:0:1::/64"])
    )
    return world.plugged(made, twin, 81)


CROSSING = [(21, 61, 21), (66, 11, 66), (11, 61, 81)]
"""(whose addresses, to whom, through which port)"""


def breaches(mutant: Mutant | None, snapshot: Snapshot) -> list[str]:
    flows = compile(snapshot).flows()
    switch = Switch.of(flows if mutant is None else mutant(flows))
    found = []
    for speaker, target, through in CROSSING:
        for family in (4, 6):
            mac = int(world.routed_port(through, world.HERE).mac)
            sent = packet(speaker, target, family) | {"in_port": through, "eth_src": mac}
            found += violations(snapshot, sent, switch.receive(sent))
    return found


def test_what_guards_a_peering_is_needed() -> None:
    snapshot = twinned()
    assert breaches(None, snapshot) == []
    for mutant in PEERING_MUTANTS:
        assert breaches(mutant, snapshot), mutant.__name__


@pytest.mark.parametrize("family", [4, 6])
def test_a_ttl_that_ends_at_the_second_router_is_told(family: int) -> None:
    for ttl in (0, 1):
        verdict = send(arriving(61, family, nw_ttl=ttl))
        assert verdict.ports == (CONTROLLER,)
        cookie = cookies.parse(verdict.path[-1][1].cookie)
        assert (cookie.kind, cookie.tenant, cookie.reason) == (
            cookies.Kind.TOLD,
            peering.KEY,
            cookies.Reason.TTL_AFAR,
        )
    assert send(arriving(61, family, nw_ttl=1, eth_dst=int(router_mac(2)))).sent == ()


def test_an_exported_address_of_nobody_is_billed_and_sent_nowhere() -> None:
    verdict = send(packet(11, 61, 4) | {"ip_dst": int(ip_address("10.0.6.14"))})
    assert verdict.sent == () and ended(verdict) == "output"
    assert [table(number).name for number, _ in verdict.path][-6:] == [
        "peer", "mark", "rate", "class", "account", "output"
    ]  # fmt: skip


def test_a_deleted_half_takes_everything_of_it_away() -> None:
    whole = peering.peered()
    half = peering.without_a_half(whole)
    before = compile(whole)
    after, patch = recompile(before, whole, half, [Change(Part.PEERING, peering.KEY)])
    assert after == compile(half)
    assert sum(len(drop) for _, drop in patch.groups) > 0 and not any(put for put, _ in patch.groups)
    for sent in (packet(11, 61, 4), packet(61, 12, 6), arriving(61, 4)):
        assert send(sent, whole).sent
        assert {one.port for one in send(sent, half).sent} <= {0xFFFFFFFD}
    assert all(flow.shape.table != 26 or not flow.shape.priority for flow in after.flows())


def test_own_addresses_come_before_a_peers() -> None:
    """Overlapping exports are refused on apply; should they come, nobody loses what is his."""
    made = peering.peered()
    wide = peering.peering(peering.ONE, ("0.0.0.0/0",))
    made = world.added(made, wide)
    (sent,) = send(packet(11, 21, 4), made).sent
    assert sent.port == 21


def test_of_two_peerings_to_one_place_the_older_has_it() -> None:
    other = peering.peering(("10.0.0.0/16",), ("10.0.6.0/24",), key=20, l3vni=5020)
    made = world.added(peering.peered(), other)
    (sent,) = send(packet(11, 62, 4), made).sent
    assert sent.has("tun_id") == peering.L3VNI
    assert send(packet(11, 61, 4), made).ports == (61,)


def test_only_a_declared_border_may_send_to_a_tenant_whose_way_out_it_is() -> None:
    one, border = TenantKey(1), HostName("hv5")
    for egress in Egress:
        for declared in (True, False):
            host_ = replace(world.hypervisor("hv5", "192.0.2.5", external=True), border=declared)
            made = world.added(world.routed(), host_)
            made = world.added(made, replace(made.tenants[one], egress=egress))
            assert may_send(made, build(made), one, border) is (declared and egress is Egress.FABRIC)
            assert not may_send(made, build(made), TenantKey(2), border)
            tunnelled = arriving(11, 4, tun_id=5001, tun_src=int(ip_address("192.0.2.5")))
            sent = Switch.of(compile(made).flows()).receive(tunnelled).sent
            assert bool(sent) is (declared and egress is Egress.FABRIC)


def test_who_may_send_in_a_peering() -> None:
    made = peering.peered()
    for key, hosts in ((62, {"hv2"}), (63, {"hv2", "hv4"}), (68, {"hv2"})):  # 68 has an address outside
        more = made if key == 62 else world.added(made, world.routed_port(key, "hv4"))
        known = {h for h in more.hypervisors if may_send(more, build(more), peering.KEY, h)}
        assert known == hosts

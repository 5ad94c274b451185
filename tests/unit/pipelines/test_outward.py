"""The ways out, walked: floating IPs both ways, hosts behind a gateway, and what must never leave."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import pytest

from model.addresses import GATEWAY_MAC, router_mac
from model.change import Part
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines import tables as t
from pipelines.check import check_flows
from pipelines.compile import compile
from tests.fakes import outward as out
from tests.fakes import packets, world
from tests.fakes.switch import CONTROLLER, Sent, Switch, Verdict

SERVER = {4: int(ip_address("198.51.100.9")), 6: int(ip_address("2001:db8:5::9"))}
FAMILIES = pytest.mark.parametrize("version", [4, 6])
ENDS = {4: ("ip_src", "ip_dst"), 6: ("ipv6_src", "ipv6_dst")}


@dataclass
class Cluster:
    """Hosts and what lies between: a packet that leaves for a VTEP arrives there."""

    switches: dict[str, Switch] = field(default_factory=dict)

    @classmethod
    def of(cls, *hosts: str, gateways: tuple[str, ...] = ("hv1", "hv3")) -> Cluster:
        return cls({h: Switch.of(compile(out.leaving(h, gateways)).flows()) for h in hosts})

    def carry(self, host: str, sent: Sent) -> tuple[str, Verdict]:
        """Across the underlay, to the host whose VTEP it is for."""
        assert sent.port == world.TUNNEL
        to = next(h for h, vtep in out.VTEPS.items() if int(ip_address(vtep)) == sent.has("tun_dst"))
        outer = {"tun_src": int(ip_address(out.VTEPS[host])), "tun_id": sent.has("tun_id")}
        inner = {k: v for k, v in sent.packet.items() if not k.startswith(("reg", "tun_", "ct_"))}
        return to, self.switches[to].receive(inner | outer | {"in_port": world.TUNNEL})


def to_gateway(key: int, version: int, target: int, *, sport: int = 4000, dport: int = 53) -> packets.Packet:
    one = out.port(key)
    made = packets.ipv4 if version == 4 else packets.ipv6
    frame = made(int(one.mac), int(GATEWAY_MAC), int(one.addresses[version == 6]), target)
    return packets.udp(frame, sport, dport) | {"in_port": key}


def from_border(
    version: int, source: int, target: int, *, vni: int = 5009, sport: int = 53, dport: int = 4000
):  # type: ignore[no-untyped-def]
    made = packets.ipv4 if version == 4 else packets.ipv6
    frame = made(int(router_mac(9)), int(router_mac(1)), source, target)
    outer = {"tun_src": int(ip_address(out.VTEPS["hv9"])), "tun_id": vni, "in_port": world.TUNNEL}
    return packets.udp(frame, sport, dport) | outer


def floating(key: int, version: int) -> int:
    return int(out.floating(key, version).address)


def own(key: int, version: int) -> int:
    return int(out.port(key).addresses[version == 6])


def egress(version: int) -> int:
    return int(out.ADDRESSES[version == 6])


def tables_of(verdict: Verdict) -> list[str]:
    return [t.table(number).name for number, _ in verdict.path]


def gone(verdict: Verdict) -> bool:
    """Nobody got it, but for the agent, which tells its sender."""
    return all(sent.port == CONTROLLER for sent in verdict.sent)


def last(verdict: Verdict) -> str:
    assert verdict.last is not None
    return verdict.last.shape.name


@pytest.mark.parametrize("host", ["hv1", "hv2", "hv3"])
def test_flows_are_sound(host: str) -> None:
    check_flows(compile(out.leaving(host)).flows())


@FAMILIES
def test_out_by_the_floating_ip_and_back(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    source, target = ENDS[version]
    verdict = switch.receive(to_gateway(11, version, SERVER[version]))
    (sent,) = verdict.sent
    assert sent.port == world.TUNNEL and sent.has("tun_id") == 5009
    assert sent.has("tun_dst") == int(ip_address("192.0.2.9"))
    assert (sent.has(source), sent.has(target)) == (floating(11, version), SERVER[version])
    assert (sent.has("eth_src"), sent.has("eth_dst")) == (router_mac(1), router_mac(9))
    assert sent.has("nw_ttl") == 63
    # it is tracked before it is counted
    names = tables_of(verdict)
    assert names.index("translated") < names.index("class") < names.index("account") < names.index("output")
    back = switch.receive(from_border(version, SERVER[version], floating(11, version)))
    (sent,) = back.sent
    assert sent.port == 11 and sent.has(target) == own(11, version)
    assert (sent.has("eth_src"), sent.has("eth_dst")) == (GATEWAY_MAC, out.port(11).mac)


@FAMILIES
def test_in_by_the_floating_ip_and_back(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    source, target = ENDS[version]
    (sent,) = switch.receive(
        from_border(version, SERVER[version], floating(51, version), sport=9, dport=80)
    ).sent
    assert sent.port == 51 and sent.has(target) == own(51, version)
    (sent,) = switch.receive(to_gateway(51, version, SERVER[version], sport=80, dport=9)).sent
    assert sent.port == world.TUNNEL and sent.has(source) == floating(51, version)


@FAMILIES
def test_two_floating_ips_of_one_host_talk(version: int) -> None:
    """Of two tenants with the same addresses."""
    switch = Cluster.of("hv1").switches["hv1"]
    source, target = ENDS[version]
    there = switch.receive(to_gateway(11, version, floating(51, version)))
    (sent,) = there.sent
    assert (sent.port, sent.has(source), sent.has(target)) == (51, floating(11, version), own(51, version))
    assert sent.has("nw_ttl") == 63
    assert tables_of(there).index("account") < tables_of(there).index("landing")
    (sent,) = switch.receive(to_gateway(51, version, floating(11, version), sport=53, dport=4000)).sent
    assert (sent.port, sent.has(source), sent.has(target)) == (11, floating(51, version), own(11, version))


@FAMILIES
def test_a_floating_ip_never_meets_itself(version: int) -> None:
    verdict = Cluster.of("hv1").switches["hv1"].receive(to_gateway(11, version, floating(11, version)))
    assert verdict.sent == () and last(verdict) == f"outside-self{version}"


@FAMILIES
def test_two_floating_ips_of_two_hosts_talk(version: int) -> None:
    cluster = Cluster.of("hv1", "hv2")
    source, target = ENDS[version]
    (sent,) = cluster.switches["hv1"].receive(to_gateway(11, version, floating(13, version))).sent
    host, verdict = cluster.carry("hv1", sent)
    (sent,) = verdict.sent
    assert (host, sent.port) == ("hv2", 13)
    assert (sent.has(source), sent.has(target)) == (floating(11, version), own(13, version))
    answer = to_gateway(13, version, floating(11, version), sport=53, dport=4000)
    (sent,) = cluster.switches["hv2"].receive(answer).sent
    host, verdict = cluster.carry("hv2", sent)
    assert (host, [s.port for s in verdict.sent]) == ("hv1", [11])
    assert verdict.sent[0].has(source) == floating(13, version)


@FAMILIES
def test_behind_the_gateway_from_another_host_and_back(version: int) -> None:
    """Host 2 has the default route of the active gateway, which the routes of a tenant bring there."""
    cluster = Cluster.of("hv1", "hv2")
    source, target = ENDS[version]
    arrived = to_gateway(14, version, SERVER[version]) | {
        "in_port": world.TUNNEL,
        "tun_id": 5001,
        "tun_src": int(ip_address("192.0.2.2")),
        "eth_src": int(router_mac(2)),
        "eth_dst": int(router_mac(1)),
    }
    verdict = cluster.switches["hv1"].receive(arrived)
    (sent,) = verdict.sent
    assert sent.port == world.TUNNEL and sent.has("tun_id") == 5009
    assert (sent.has(source), sent.has(target)) == (egress(version), SERVER[version])
    assert "account" in tables_of(verdict) and verdict.path[-2][1].shape.name == "account-router"  # type: ignore[union-attr]
    back = cluster.switches["hv1"].receive(from_border(version, SERVER[version], egress(version)))
    (sent,) = back.sent
    assert sent.port == world.TUNNEL and sent.has("tun_id") == 5001
    assert sent.has("tun_dst") == int(ip_address("192.0.2.2")) and sent.has(target) == own(14, version)
    host, verdict = cluster.carry("hv1", sent)
    assert (host, [s.port for s in verdict.sent]) == ("hv2", [14])


@FAMILIES
def test_a_port_of_the_gateway_host_goes_by_the_same_address(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    source, target = ENDS[version]
    (sent,) = switch.receive(to_gateway(12, version, SERVER[version])).sent
    assert sent.port == world.TUNNEL and sent.has(source) == egress(version)
    (sent,) = switch.receive(from_border(version, SERVER[version], egress(version))).sent
    assert (sent.port, sent.has(target)) == (12, own(12, version))


@FAMILIES
def test_behind_the_gateway_to_a_floating_ip_beside_it(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    source, target = ENDS[version]
    (sent,) = switch.receive(to_gateway(12, version, floating(51, version))).sent
    assert (sent.port, sent.has(source)) == (51, egress(version))
    answer = switch.receive(to_gateway(51, version, egress(version), sport=53, dport=4000))
    (sent,) = answer.sent
    assert (sent.port, sent.has(source), sent.has(target)) == (12, floating(51, version), own(12, version))


@FAMILIES
def test_nobody_from_outside_begins_with_an_egress_address(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    stranger = switch.receive(from_border(version, SERVER[version], egress(version)))
    assert stranger.sent == () and last(stranger) == "returned-refused"


@FAMILIES
def test_without_a_way_out_nothing_leaves(version: int) -> None:
    snapshot = out.leaving("hv1", ())
    verdict = Switch.of(compile(snapshot).flows()).receive(to_gateway(12, version, SERVER[version]))
    assert gone(verdict) and last(verdict) == f"translate-nowhere{version}"
    # positive control: with a gateway it would
    assert Cluster.of("hv1").switches["hv1"].receive(to_gateway(12, version, SERVER[version])).sent


@FAMILIES
def test_inside_nothing_is_translated(version: int) -> None:
    """To a port of the tenant on another host, and to an address that nobody has."""
    switch = Cluster.of("hv1").switches["hv1"]
    source, _ = ENDS[version]
    (sent,) = switch.receive(to_gateway(11, version, own(13, version))).sent
    assert sent.has("tun_id") == 5001 and sent.has(source) == own(11, version)
    nobody = switch.receive(to_gateway(11, version, own(13, version) + 99))
    assert gone(nobody) and "translate" not in tables_of(nobody)


@FAMILIES
def test_the_gateway_translates_nothing_that_is_the_tenants_own(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    astray = to_gateway(14, version, own(13, version) + 99) | {
        "in_port": world.TUNNEL,
        "tun_id": 5001,
        "tun_src": int(ip_address("192.0.2.2")),
        "eth_dst": int(router_mac(1)),
    }
    verdict = switch.receive(astray)
    assert verdict.sent == () and last(verdict) == f"arrival-inside{version}-masked"


@FAMILIES
def test_a_full_zone_stops_its_port_and_no_other(version: int) -> None:
    switch = Cluster.of("hv1").switches["hv1"]
    switch.tracker.limits[out.ZONES[11]] = 1
    assert switch.receive(to_gateway(11, version, SERVER[version], sport=1)).sent
    full = switch.receive(to_gateway(11, version, SERVER[version], sport=2))
    assert full.sent == () and last(full) == "translated-refused" and "account" not in tables_of(full)
    assert switch.receive(to_gateway(51, version, SERVER[version], sport=2)).sent
    stranger = switch.receive(from_border(version, SERVER[version], floating(11, version), dport=80))
    assert stranger.sent == () and last(stranger) == "landing-refused"


@FAMILIES
def test_who_may_send_in_an_external_network(version: int) -> None:
    """The border and hosts of floating IPs and gateways; not for addresses of the tenants themselves."""
    switch = Cluster.of("hv1").switches["hv1"]
    packet = from_border(version, SERVER[version], floating(51, version))
    assert switch.receive(packet).sent
    stranger = switch.receive(packet | {"tun_src": int(ip_address("192.0.2.66"))})
    assert stranger.sent == () and last(stranger) == "classify-refused"
    direct = switch.receive(from_border(version, SERVER[version], own(51, version)))
    assert direct.sent == () and tables_of(direct)[-1] == "arrival"


def _without(snapshot: Snapshot, part: Part, key: object) -> Snapshot:
    return world.with_part(snapshot, part, key, None)


@pytest.mark.parametrize(
    "missing",
    [(Part.ZONE, ("port", 11)), (Part.EXTERNAL, out.EXTERNAL), (Part.PREFIX, (out.EXTERNAL, "0"))],
    ids=["zone", "external", "border"],
)
def test_without_one_part_it_ends(missing: tuple[Part, object]) -> None:
    snapshot = out.leaving("hv1", ())
    part, key = missing
    if part is Part.PREFIX:
        key = next(k for k in snapshot.prefixes if k[1].prefixlen == 0 and k[1].version == 4)
    packet = to_gateway(11, 4, SERVER[4])
    assert not gone(Switch.of(compile(snapshot).flows()).receive(packet))
    assert gone(Switch.of(compile(_without(snapshot, part, key)).flows()).receive(packet))


def test_a_lost_border_is_left_out_while_there_is_another() -> None:
    """All hosts that stay with theirs keep their way."""
    snapshot = out.learned(out.leaving("hv1"), out.prefix(out.EXTERNAL, "0.0.0.0/0", "hv9", "hv3"))
    packet = to_gateway(11, 4, SERVER[4])

    def way(snapshot: Snapshot) -> int:
        (sent,) = Switch.of(compile(snapshot).flows()).receive(packet).sent
        return sent.has("tun_dst")

    first = way(snapshot)
    lost = replace(snapshot, down=snapshot.down.set(ip_address(first), None))
    assert way(lost) != first
    everything = replace(lost, down=lost.down.set(ip_address(way(lost)), None))
    assert way(everything) == first


def test_an_address_of_ours_that_nobody_has_goes_nowhere() -> None:
    verdict = Cluster.of("hv1").switches["hv1"].receive(to_gateway(11, 4, int(ip_address("203.0.113.77"))))
    assert verdict.sent == () and last(verdict) == "outside-pool4-masked"


def test_an_invalid_packet_ends_at_the_verdict() -> None:
    class Broken:
        def track(self, zone: int, commit: object, packet: object) -> dict[str, int]:
            return {"ct_state": f.CT_TRACKED | f.CT_INVALID, "ct_zone": zone}

    switch = Cluster.of("hv1").switches["hv1"]
    switch.tracker = Broken()  # type: ignore[assignment]
    verdict = switch.receive(to_gateway(11, 4, SERVER[4]))
    assert verdict.sent == () and last(verdict) == "translated-invalid"
    verdict = switch.receive(from_border(4, SERVER[4], floating(11, 4)))
    assert verdict.sent == () and last(verdict) == "landing-invalid"

"""Connections in the fake switch are those of a real Open vSwitch: the same packets meet the same flows.

Real packets, by packet-out: conntrack translates, forgets and refuses as the data path does it. Afterwards
each flow must have counted as many packets in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from controller.southbound import connections
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import GATEWAY_MAC, format_mac, router_mac
from pipelines import groups
from pipelines.compile import compile, install
from tests.contract.ovs import PrivateOvs
from tests.fakes import outward as out
from tests.fakes import packets, world
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch

HERE = (11, 12, 51)
SERVER = {4: "198.51.100.9", 6: "2001:db8:5::9"}


def local(key: int, version: int, to: str, ports: tuple[int, int] = (4000, 53)) -> Packet:
    one = out.port(key)
    make = packets.ipv4 if version == 4 else packets.ipv6
    frame = make(int(one.mac), int(GATEWAY_MAC), int(one.addresses[version == 6]), int(ip_address(to)))
    return packets.udp(frame, *ports) | {"in_port": key}


def outer(version: int, to: str, ports: tuple[int, int] = (53, 4000)) -> Packet:
    make = packets.ipv4 if version == 4 else packets.ipv6
    frame = make(
        int(router_mac(9)), int(router_mac(1)), int(ip_address(SERVER[version])), int(ip_address(to))
    )
    tunnel = {"tun_id": 5009, "tun_src": int(ip_address("192.0.2.9")), "in_port": world.TUNNEL}
    return packets.udp(frame, *ports) | tunnel


def led(key: int, version: int, to: str, ports: tuple[int, int]) -> Packet:
    """What another host brings to the gateway, of a port of its own."""
    macs = {"eth_src": int(router_mac(2)), "eth_dst": int(router_mac(1))}
    tunnel = {"tun_id": 5001, "tun_src": int(ip_address("192.0.2.2")), "in_port": world.TUNNEL}
    return local(key, version, to, ports) | macs | tunnel


def floating(key: int, version: int) -> str:
    return str(out.floating(key, version).address)


def history(version: int) -> list[Packet]:
    """Out and back, in and back, strangers, two floating IPs, behind the gateway, a zone that is full."""
    egress = str(out.ADDRESSES[version == 6])
    return [
        outer(version, egress),
        local(11, version, SERVER[version]),
        outer(version, floating(11, version)),
        local(11, version, SERVER[version]),
        outer(version, floating(51, version), (9, 80)),
        local(51, version, SERVER[version], (80, 9)),
        local(12, version, SERVER[version]),
        outer(version, egress),
        outer(version, egress, (53, 4001)),
        local(11, version, floating(51, version), (5, 6)),
        local(51, version, floating(11, version), (6, 5)),
        local(12, version, floating(51, version), (7, 8)),
        local(51, version, egress, (8, 7)),
        local(11, version, floating(11, version)),
        led(14, version, SERVER[version], (4010, 53)),
        outer(version, egress, (53, 4010)),
        *(local(51, version, SERVER[version], (port, 9)) for port in range(100, 110)),
    ]


LIMITED = 51
MOST = 6


@pytest.fixture(scope="module")
def programmed(shared_ovs: PrivateOvs) -> Iterator[PrivateOvs]:
    shared_ovs.ofctl("del-flows")
    for key in HERE:
        new = ("add-port", "br-int", f"o{key}", "--", "set", "Interface", f"o{key}", "type=internal")
        shared_ovs.vsctl(*new, f"ofport_request={key}")
    yield shared_ovs
    for key in HERE:
        shared_ovs.vsctl("del-port", f"o{key}")
    shared_ovs.ofctl("del-flows")


def send(ovs: PrivateOvs, packet: Packet) -> None:
    """By packet-out; what a tunnel would say of it is written before."""
    if "ip_src" in packet:
        head = IP(src=str(ip_address(packet["ip_src"])), dst=str(ip_address(packet["ip_dst"])), ttl=64)
    else:
        head = IPv6(src=str(ip_address(packet["ipv6_src"])), dst=str(ip_address(packet["ipv6_dst"])), hlim=64)
    macs = Ether(src=format_mac(packet["eth_src"]), dst=format_mac(packet["eth_dst"]))
    raw = bytes(macs / head / UDP(sport=packet["udp_src"], dport=packet["udp_dst"]) / b"payload")
    tunnel = ""
    if "tun_id" in packet:
        tunnel = f"set_field:{packet['tun_id']}->tun_id,set_field:{ip_address(packet['tun_src'])}->tun_src,"
    ovs.ofctl("packet-out", f"in_port={packet['in_port']} packet={raw.hex()} actions={tunnel}resubmit(,0)")


@pytest.mark.parametrize("version", [4, 6])
def test_the_same_packets_meet_the_same_flows(programmed: PrivateOvs, version: int) -> None:
    snapshot = world.related(out.leaving())
    program, encoder = compile(snapshot), Encoder()
    fake, zone = Switch.of(program.flows()), snapshot.zones["port", LIMITED]
    fake.tracker.limits[zone] = MOST
    channel = Channel(programmed.management, encoder, standing=groups.GROUPS)
    programmed.ofctl("del-flows")
    channel.ensure_groups()
    assert channel.send(install(program)).refused == ()
    for each in snapshot.zones.values():
        connections.flush(programmed.rundir, each)
    connections.limit(programmed.rundir, "netdev", [(zone, MOST)])
    try:
        for packet in history(version):
            fake.receive(packet)
            send(programmed, packet)
        programmed.tell()
        rows = {encoder.row(flow): flow for flow in program.flows()}
        seen: Counter[str] = Counter()
        for table in channel.active_tables():
            dump = channel.dump(table)
            for index, row in enumerate(dump.rows()):
                if dump.entry(index).packets:
                    flow = rows[row]
                    seen[f"{flow.shape.name} {flow.values}"] += dump.entry(index).packets
    finally:
        connections.limit(programmed.rundir, "netdev", [(zone, 0)])
        channel.close()
    by_key = {flow.key(): flow for flow in program.flows()}
    said = Counter({f"{by_key[k].shape.name} {by_key[k].values}": n for k, n in fake.counts.items()})
    assert seen == said
    names = " ".join(said)
    for shape in (
        "translated-leaving",
        "returned-known",
        "returned-refused",
        "landing-local",
        "outside-self",
        "origin-inside",
        "origin-declared",
        "received-counter",
        "output-open",
        "output-let-in",
    ):
        assert shape in names, f"the history never came to {shape}"
    assert "translated-refused" in names, "the zone was never full"

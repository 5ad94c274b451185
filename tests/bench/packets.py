"""What a packet costs: the whole pipeline against a bare one of two tables, conntrack, and how well the flow
cache holds it.

Place: part of `make bench`; needs root. A real Open vSwitch (userspace data path) in a namespace of its own
with three veth ports; one core floods the first, the switch forwards on another, the kernel counts what
comes out.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.addresses import GATEWAY_MAC, format_mac
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines.compile import compile, install
from tests.bench.figures import Row, Table, used
from tests.contract.ovs import PrivateOvs
from tests.fakes import outward as out
from tests.fakes import world

ROUNDS = 5
SECONDS = 1.0
MIXED = 2000
PAYLOAD = 64
RATE = 100_000_000
"""kbit/s of a meter that never drops: only its price counts here."""
_SERVER = "198.51.100.9"
_FAR = out.port(13)
_MACS = tuple((6 << 40) + n for n in (1, 2, 3))
_V4 = ("10.0.1.1", "10.0.1.2", "10.0.2.3")
_V6 = ("fd00:1::1", "fd00:1::2", "fd00:2::3")
_LINKS = tuple((f"p{n}", f"q{n}") for n in (1, 2, 3))


def run() -> tuple[Table, ...]:
    """Make a switch with three ports, measure, remove it."""
    ovs = PrivateOvs()
    try:
        ovs.start()
        lay(ovs)
        return _rates(ovs), _conntrack(ovs), _cache(ovs)
    finally:
        ovs.stop()


def lay(ovs: PrivateOvs) -> None:
    """A bridge with three veth ports."""
    ovs.lay_bridge()
    for number, (inner, outer) in enumerate(_LINKS, 1):
        _inside(ovs, "ip", "link", "add", inner, "type", "veth", "peer", "name", outer)
        for name in (inner, outer):
            _inside(ovs, "ip", "link", "set", name, "up", "mtu", "1500", "addrgenmode", "none")
            _inside(ovs, "ethtool", "-K", name, "tx", "off")
        ovs.vsctl("add-port", "br-int", inner, "--", "set", "Interface", inner, f"ofport_request={number}")


def _rates(ovs: PrivateOvs) -> Table:
    """In turns, so that what else the machine does hits all of them."""
    variants = (
        ("bare: two tables, in_port, then destination MAC", None),
        ("whole pipeline, plain port", plain()),
        ("whole pipeline, port with a meter", _metered(plain())),
    )
    found: dict[str, list[float]] = {name: [] for name, _ in variants}
    frame = [bytes(frame_of(0, 1, UDP(sport=1000, dport=2000)))]
    for _ in range(ROUNDS):
        for name, snapshot in variants:
            fill(ovs, snapshot)
            found[name].append(flood(ovs, SECONDS, frame))
    bare = median(found[variants[0][0]])
    rows = [Row(name, (median(rates), median(rates) / bare)) for name, rates in found.items()]
    return Table(
        "Packets a second between two local ports, warm flow cache",
        ("median packets/s", "of bare"),
        tuple(rows),
        (
            f"medians of {ROUNDS} rounds of {SECONDS:g} s in turns; {PAYLOAD} octets of payload",
            "userspace data path; the switch has one core, the sender the other",
        ),
    )


def _conntrack(ovs: PrivateOvs) -> Table:
    """What leaves the host, through a port of plain veth that the program takes for its tunnel: so nothing is
    encapsulated, and what differs is conntrack."""
    variants = (
        ("to another host, plain port", 12, (str(_FAR.addresses[0]), int(_FAR.mac))),
        ("to a border, by the port's floating IP", 11, (_SERVER, int(GATEWAY_MAC))),
        ("to a border, behind the tenant's egress address", 12, (_SERVER, int(GATEWAY_MAC))),
    )
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in variants}
    for _ in range(ROUNDS):
        for name, sender, (target, mac) in variants:
            fill(ovs, _leaving(sender))
            one = out.port(sender)
            outer = Ether(src=format_mac(one.mac), dst=format_mac(mac))
            packet = outer / IP(src=str(one.addresses[0]), dst=target) / UDP(sport=1, dport=2)
            found[name].append(_burdened(ovs, bytes(packet / bytes(PAYLOAD))))
    typical = {
        name: [median(column) for column in zip(*rounds, strict=True)] for name, rounds in found.items()
    }
    rate, cost = typical[variants[0][0]]
    return Table(
        "Packets a second that leave the host, with and without conntrack",
        ("median packets/s", "of plain", "us of the switch a packet", "of plain's us"),
        tuple(Row(name, (pace, pace / rate, us, us / cost)) for name, (pace, us) in typical.items()),
        (
            f"medians of {ROUNDS} rounds of {SECONDS:g} s in turns; one connection, {PAYLOAD} octets inside",
            "processor time of ovs-vswitchd over packets that came out",
            "userspace data path and its conntrack; without the price of encapsulation, which all would pay",
        ),
    )


def _burdened(ovs: PrivateOvs, frame: bytes) -> tuple[float, float]:
    """Packets a second, and microseconds of the switch's processor time for each that came out."""
    pids = (int((ovs.rundir / "ovs-vswitchd.pid").read_text()),)
    packets, seconds = _came_out(ovs), used(pids)
    pace = flood(ovs, SECONDS, [frame])
    return pace, (used(pids) - seconds) * 1e6 / max(1, _came_out(ovs) - packets)


def _came_out(ovs: PrivateOvs) -> int:
    """Packets at the far end of the second link, by the kernel's own counters."""
    lines = ovs.run("nsenter", f"--net={ovs.namespace()}", "cat", "/proc/net/dev").splitlines()
    found = next(line.partition(":")[2] for line in lines if line.strip().startswith(f"{_LINKS[1][1]}:"))
    return int(found.split()[1])


def _leaving(sender: int) -> Snapshot:
    """The world of the tests of ways out: a sender behind the first link, the tunnel is the second."""
    snapshot = world.plugged(out.leaving(), out.port(sender), 1)
    assert snapshot.switch is not None
    return replace(snapshot, switch=replace(snapshot.switch, tunnel=2))


def _cache(ovs: PrivateOvs) -> Table:
    """Megaflows and masks that packets of many kinds leave in the cache."""
    fill(ovs, plain())
    ovs.run("ovs-appctl", "-t", str(ovs.rundir / "vswitchd.ctl"), "revalidator/purge")
    draw = random.Random(MIXED)
    frames = [bytes(_mixed(draw)) for _ in range(MIXED)]
    came = flood(ovs, 0, frames)
    lines = ovs.run("ovs-appctl", "-t", str(ovs.rundir / "vswitchd.ctl"), "dpctl/dump-flows").splitlines()
    matches = [line.partition(", packets:")[0] for line in lines if "in_port" in line]
    masks = {re.sub(r"=[^,/()]+", "=", match) for match in matches}
    return Table(
        f"Flow cache after {MIXED:,} mixed packets",
        ("megaflows", "masks", "packets at the neighbour"),
        (Row("whole pipeline", (len(matches), len(masks), int(came))),),
        (
            "drawn: TCP, UDP and ICMP, IPv4 and IPv6, ports, lengths, to the neighbour and, with four TTLs,"
            " to another network of the tenant",
        ),
    )


def plain() -> Snapshot:
    """Three ports of one tenant, of which one is in another network."""
    snapshot = world.added(
        world.empty(),
        world.tenant(1),
        world.network(1, owner=1, subnets=["10.0.1.0/24", "fd00:1::/64"]),
        world.network(2, owner=1, subnets=["10.0.2.0/24", "fd00:2::/64"]),
    )
    for n, net in enumerate((1, 1, 2)):
        snapshot = world.plugged(snapshot, world.port(n + 1, net, _MACS[n], [_V4[n], _V6[n]]), n + 1)
    return snapshot


def _metered(snapshot: Snapshot) -> Snapshot:
    key = PortKey(1)
    return replace(snapshot, ports=snapshot.ports.set(key, replace(snapshot.ports[key], rate_out=RATE)))


def fill(ovs: PrivateOvs, snapshot: Snapshot | None) -> None:
    """The flows of a snapshot, or the bare pipeline, and none else."""
    ovs.ofctl("del-flows")
    ovs.ofctl("del-meters")
    if snapshot is None:
        ovs.ofctl("add-flow", "table=0,in_port=1,actions=goto_table:1")
        ovs.ofctl("add-flow", f"table=1,dl_dst={format_mac(_MACS[1])},actions=output:2")
        return
    channel = Channel(ovs.management, Encoder())
    try:
        outcome = channel.send(install(compile(snapshot)))
    finally:
        channel.close()
    if outcome.refused:
        raise RuntimeError(f"refused: {outcome.refused[:3]}")


def frame_of(source: int, target: int, inner: object, version: int = 4, ttl: int = 64) -> Ether:
    routed = _V4[source].rpartition(".")[0] != _V4[target].rpartition(".")[0]
    to = format_mac(GATEWAY_MAC if routed else _MACS[target])
    outer = Ether(src=format_mac(_MACS[source]), dst=to)
    if version == 4:
        return outer / IP(src=_V4[source], dst=_V4[target], ttl=ttl) / inner / bytes(PAYLOAD)
    return outer / IPv6(src=_V6[source], dst=_V6[target], hlim=ttl) / inner / bytes(PAYLOAD)


def _mixed(draw: random.Random) -> Ether:
    version, target = draw.choice((4, 6)), draw.choice((1, 1, 1, 2))
    ends = {
        "sport": draw.randrange(1024, 65536),
        "dport": draw.choice((22, 80, 443, draw.randrange(1, 65536))),
    }
    kinds = [TCP(**ends), UDP(**ends)]
    if version == 4:
        kinds.append(ICMP(id=draw.randrange(65536)))
    return frame_of(0, target, draw.choice(kinds), version, draw.choice((32, 64, 128, 255)))


def flood(ovs: PrivateOvs, seconds: float, frames: Sequence[bytes]) -> float:
    command = [sys.executable, "-m", "tests.bench.flood", str(seconds), _LINKS[0][1], _LINKS[1][1]]
    done = subprocess.run(
        ["nsenter", f"--net={ovs.namespace()}", *command],
        input="\n".join(frame.hex() for frame in frames),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout)


def _inside(ovs: PrivateOvs, *command: str) -> None:
    ovs.run("nsenter", f"--net={ovs.namespace()}", *command)

"""What policy costs: a change that concerns a thousand ports, the flows of a rule, and new connections a
second through conntrack, with few rules and with many.

Place: part of `make bench`; needs root. The whole product in a lab, as in `ports`; in OVN (`acls`) the same
change beside it, if its packages are there. Times are taken here, outside of the processes that are measured.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from tests.bench import acls
from tests.bench.figures import Row, Table, spread, used
from tests.bench.hail import received
from tests.bench.rig import Rig, build, port
from topologies.nodes.hypervisor import Hypervisor
from topologies.nodes.vm import INTERFACE as DEVICE
from topologies.nodes.vm import Vm
from topologies.scenarios.two_tenants import API_VERSION

PORTS = 1000
SAMPLES = 15
PAUSE = 0.25
PAIRS = {10: ("p0", "p50"), 1000: ("p1", "p51")}
"""By how many rules: two ports of one network that are judged by so many, real VMs, both on hv1."""
FEW = min(PAIRS)
ROUNDS = 30
"""Single ones scatter by a third: medians of 11 were up to a sixth apart where nothing differed."""
CONNECTIONS = 8_000
"""Fewer than a zone may hold (controller.agent.shares): replies to what is beyond are judged one by one."""
SERVICE = 443
_PEERS, _PORTS_OF_RULE = 20, 10

Document = dict[str, Any]
Pair = tuple[tuple[Vm, str], tuple[Vm, str]]
"""Who opens connections and to whom, with their addresses."""


def run() -> tuple[Table, ...]:
    """Build the lab, fill it, measure; then OVN."""
    with build() as rig:
        pairs = _fill(rig)
        changes = _changes(rig)
        flows = _flows(rig)
        connections = _connections(rig, pairs)
    peer = acls.rows(PORTS, SAMPLES, PAUSE) if shutil.which("ovn-nbctl") else []
    return _table(changes, peer), flows, connections


def _fill(rig: Rig) -> dict[int, Pair]:
    names = [f"p{n}" for n in range(PORTS)]
    rig.write([port(name, 1) for name in names])
    pairs = {rules: (rig.plug_vm(1, one), rig.plug_vm(1, other)) for rules, (one, other) in PAIRS.items()}
    real = {name for pair in PAIRS.values() for name in pair}
    rig.plug(1, [name for name in names if name not in real])
    rig.await_bound(names)
    rig.await_settled()
    return pairs


def policy(rules: Sequence[Document], *ports: str) -> Document:
    """For these ports, or every port of every tenant: what no rule lets in is dropped."""
    name = f"talk-{ports[0]}" if ports else "bench"
    named = {"key": "ringfence/name", "operator": "In", "values": list(ports)}
    subject = {"subject": {"ports": {"matchExpressions": [named]}}} if ports else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "OperatorPolicy",
        "metadata": {"name": name},
        "spec": {
            "tier": "operator",
            "order": 0 if ports else 1,
            "rules": list(rules),
            "defaults": {"in": "deny"},
        }
        | subject,
    }


def allow(cidrs: Sequence[str], *numbers: int) -> Document:
    services = [{"protocol": "tcp", "port": number} for number in numbers]
    return {"direction": "in", "action": "allow", "from": [{"cidr": c} for c in cidrs], "services": services}


def _changes(rig: Rig) -> list[Row]:
    """Each is a request, durable, until every host has acknowledged what came of it."""
    ground = [allow(["10.0.0.0/8"], SERVICE)]
    taken: dict[str, list[float]] = {"added": [], "changed": [], "taken away": []}
    _timed(rig, policy(ground))
    for n in range(SAMPLES):
        more = allow([f"192.0.2.{n}/32"], 1000 + n)
        taken["added"].append(_timed(rig, policy([*ground, more])))
        taken["changed"].append(_timed(rig, policy([*ground, allow([f"192.0.2.{n}/32"], 2000 + n)])))
        taken["taken away"].append(_timed(rig, policy(ground)))
    return [Row(f"Ringfence: a rule {what}, until --wait returns", spread(s)) for what, s in taken.items()]


def _timed(rig: Rig, document: Document) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    rig.wait(rig.write([document]))
    return time.perf_counter() - began


def _table(changes: list[Row], peer: list[Row]) -> Table:
    return Table(
        f"A change of policy that concerns {PORTS:,} ports of one host",
        ("p50 ms", "p99 ms", "most ms"),
        (*changes, *peer),
        (
            f"{SAMPLES} samples each, {PAUSE} s apart; all ports plugged on one hypervisor, in 50 networks",
            "OVN: an ACL of one port group of all ports, --wait=hv, with the start of ovn-nbctl"
            if peer
            else "OVN is not here: `scripts/setup.sh bench` installs it",
        ),
    )


def _flows(rig: Rig) -> Table:
    """What the switch has more with one rule more."""
    ground = [allow(["10.0.0.0/8"], SERVICE)]
    known = _counted(rig, ground)
    shapes = (
        ("one prefix, one port", allow(["192.0.2.0/24"], 1)),
        (f"{_PEERS} prefixes, one port", allow(_prefixes(), 1)),
        (f"one prefix, {_PORTS_OF_RULE} ports", allow(["192.0.2.0/24"], *range(1, 20, 2))),
        (f"{_PEERS} prefixes, {_PORTS_OF_RULE} ports", allow(_prefixes(), *range(1, 20, 2))),
    )
    rows = [Row(what, (_counted(rig, [*ground, one]) - known,)) for what, one in shapes]
    return Table(
        f"Flows of one more rule for {PORTS:,} ports",
        ("flows more",),
        tuple(rows),
        (f"{known:,} flows with the first rule; one says of all ports that the rule is theirs",),
    )


def _prefixes() -> list[str]:
    return [f"192.0.2.{n * 4}/32" for n in range(_PEERS)]


def _counted(rig: Rig, rules: Sequence[Document]) -> int:
    _timed(rig, policy(rules))
    host = rig.host(1)
    return int(host.ofctl("dump-aggregate", host.management).rpartition("flow_count=")[2])


def _connections(rig: Rig, pairs: dict[int, Pair]) -> Table:
    """In turns, so that what else the machine does costs either as much."""
    host = rig.host(1)
    for rules, names in PAIRS.items():
        # the last of them is the one that lets pass
        filler = [allow([f"198.51.100.{n % 250}/32"], 10_000 + n) for n in range(rules - 1)]
        _timed(rig, policy([*filler, allow(["10.0.0.0/8"], SERVICE)], *names))
    found: dict[int, list[tuple[float, float]]] = {rules: [] for rules in PAIRS}
    for turn in range(ROUNDS):
        for rules, pair in sorted(pairs.items(), reverse=turn % 2 == 1):
            found[rules].append(_flood(host, pair[0][0], pair[1][0], _opening(pair)))
    typical = {rules: [median(column) for column in zip(*some, strict=True)] for rules, some in found.items()}
    rate, cost = typical[FEW]
    return Table(
        "New connections a second between two ports of one host",
        (
            "median connections/s",
            f"of {FEW} rules",
            "us of the switch for each",
            f"of {FEW} rules' us",
        ),
        tuple(
            Row(f"{rules:,} rules", (pace, pace / rate, us, us / cost))
            for rules, (pace, us) in typical.items()
        ),
        (
            f"medians of {ROUNDS} rounds in turns; {CONNECTIONS:,} SYN, each of a connection of its own, as"
            " fast as one core sends them; committed in a zone at both ends, judged by the rules at one",
            "the last rule lets them pass; userspace data path and its conntrack, emptied before each round",
            "processor time of ovs-vswitchd over what came out",
        ),
    )


def _opening(pair: Pair) -> bytes:
    """The first packet of a connection."""
    (source, mine), (target, theirs) = pair
    frame = Ether(src=source.mac, dst=target.mac) / IP(src=mine, dst=theirs) / TCP(dport=SERVICE, flags="S")
    return bytes(frame)


def _flood(host: Hypervisor, source: Vm, target: Vm, frame: bytes) -> tuple[float, float]:
    """(connections a second that came out, microseconds of the switch for each)."""
    host.appctl("dpctl/flush-conntrack")
    pids = (host.daemons["ovs-vswitchd"].pid,)
    before, seconds = received(target.pid, DEVICE), used(pids)
    # not as a process of the VM, which has a /proc of its own
    words = ["nsenter", f"--net=/proc/{source.pid}/ns/net", sys.executable, "-m", "tests.bench.hail"]
    done = subprocess.run(
        [*words, DEVICE, str(target.pid), str(CONNECTIONS)],
        input=frame.hex(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    pace = float(done.stdout)
    return pace, (used(pids) - seconds) * 1e6 / max(1, received(target.pid, DEVICE) - before)

"""What a host answers its ports: addresses by DHCP from one agent, names from one `ringfenced services`, both
through the switch, as VMs see it; and what an answer of the agent costs alone.

Place: part of `make bench`; needs root and scripts/names.sh. Bounds are the product's own: a port may ask ten
times a second for addresses, 500 times for names. `names` has the server of names without them.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scapy.layers.dhcp6 import DHCP6_Solicit

from controller.agent.responding import HOST_RATE, Responder
from controller.southbound.openflow.questions import Question
from model.change import Part
from model.ids import PortKey, Uid
from pipelines import cookies
from pipelines.limits import QUESTION_RATE, SERVED_RATE
from tests.bench.askers import Askers, Heard
from tests.bench.figures import Row, Table, quantile, used
from tests.bench.nameservers import ROOT, Said, read
from tests.bench.rig import Rig, await_that, build, port
from tests.fakes import askers, world
from topologies.nodes.vm import Vm

ASKERS = 100
NAMES_FROM = 8
SECONDS = 10.0
RATES = (100, 500, 900)
ALONE = 20_000
_STEP = 50
"""Ports of one network have numbers so far apart."""
_RESOLVER = "169.254.169.253"


def run() -> tuple[Table, ...]:
    """The lab, then the agent's part alone."""
    if not (ROOT / "complete").exists():
        raise RuntimeError("dnsperf is not here: `scripts/names.sh` fetches it")
    with build() as rig:
        vms = _fill(rig)
        tables = _addresses(rig, vms), _names(rig, vms[:NAMES_FROM])
    return (*tables, _alone())


def _fill(rig: Rig) -> list[Vm]:
    names = [f"p{n * _STEP}" for n in range(ASKERS)]
    rig.write([port(name, 1) for name in names])
    vms = [rig.plug_vm(1, name)[0] for name in names]
    rig.await_bound(names)
    rig.await_settled()
    return vms


def _addresses(rig: Rig, vms: Sequence[Vm]) -> Table:
    agent = (rig.control.agents["hv1"].pid,)
    switch = (rig.host(1).daemons["ovs-vswitchd"].pid,)
    rows = []
    with Askers(vms) as some:
        await_that(lambda: not some.ask(ASKERS, 1.0).lost, "every port is answered")
        for rate in RATES:
            before = used(agent), used(switch)
            heard = some.ask(rate, SECONDS)
            rows.append(_row(rate, heard, used(agent) - before[0], used(switch) - before[1]))
    return Table(
        f"Addresses by DHCP from one agent, asked by {ASKERS} ports",
        (
            "answers/s",
            "p50 ms",
            "p99 ms",
            "most ms",
            "not answered",
            "agent ms for each",
            "switch ms for each",
        ),
        tuple(rows),
        (
            f"DISCOVERs by VMs of one host, each in its turn, for {SECONDS:g} s; until the OFFER is back",
            f"a port may ask {QUESTION_RATE} times a second, all of a host {HOST_RATE:g} times",
            "processor time of the whole agent and of ovs-vswitchd (userspace data path) over the answers;"
            " counters are read each second here",
        ),
    )


def _row(rate: int, heard: Heard, agent: float, switch: float) -> Row:
    waited = heard.waited
    times = [share * 1e3 for share in (quantile(waited, 0.5), quantile(waited, 0.99), max(waited))]
    each = [seconds * 1e3 / len(waited) for seconds in (agent, switch)]
    return Row(f"{rate} questions a second", (len(waited) / SECONDS, *times, heard.lost, *each))


def _names(rig: Rig, vms: Sequence[Vm]) -> Table:
    services = rig.control.serve(rig.host(1))
    for vm in vms:
        vm.run(f"ip route replace {_RESOLVER}/32 dev eth0")
    tenant = "t0"
    asked = "".join(
        f"p{n * _STEP}.{tenant}.internal {kind}\n" for n in range(ASKERS) for kind in ("A", "AAAA")
    )
    await_that(lambda: _resolves(vms[0], f"p0.{tenant}.internal"), "names are served")
    rows = []
    for what, some, pace in (
        ("one port, 100 a second", vms[:1], 100),
        ("one port, as fast as it can", vms[:1], 0),
        (f"{len(vms)} ports, 100 a second each", vms, 100),
        (f"{len(vms)} ports, 450 a second each", vms, 450),
    ):
        before = used((services.pid,))
        said = _perf(some, asked, pace)
        seconds, answers = used((services.pid,)) - before, sum(one.answers for one in said)
        buckets = Counter[float]()
        for one in said:
            buckets.update(dict(one.buckets))
        whole = replace(said[0], buckets=tuple(sorted(buckets.items())))
        times = [whole.quantile(share) * 1e3 for share in (0.5, 0.99)]
        lost = sum(one.lost for one in said)
        rows.append(Row(what, (sum(one.rate for one in said), *times, lost, seconds * 1e6 / answers)))
    return Table(
        "Names from one ringfenced services, through the switch",
        ("answers/s", "p50 ms", "p99 ms", "not answered", "us of it for each"),
        tuple(rows),
        (
            f"dnsperf in VMs of one host, by UDP, for {SECONDS:g} s; what takes more than 2 s is lost",
            "a port may ask 500 times a second in the long run and 1,000 at once;"
            f" its meter lets {SERVED_RATE:,} packets a second through",
        ),
    )


def _resolves(vm: Vm, name: str) -> bool:
    return bool(
        vm.attempt(["dig", f"@{_RESOLVER}", "+short", "+tries=1", "+time=1", name], 20).stdout.strip()
    )


def _perf(vms: Sequence[Vm], asked: str, pace: int) -> list[Said]:
    """All at once; 0 is as fast as answers come."""
    words = [
        "dnsperf",
        "-s",
        _RESOLVER,
        "-l",
        f"{SECONDS:g}",
        "-t",
        "2",
        "-T",
        "1",
        "-O",
        "latency-histogram",
    ]
    bound = ["-Q", str(pace)] if pace else ["-q", "10"]
    with tempfile.NamedTemporaryFile("w", dir=ROOT / "tmp") as file:
        file.write(asked)
        file.flush()
        inside = ["chroot", str(ROOT), *words, *bound, "-d", f"/tmp/{Path(file.name).name}"]
        started = [
            subprocess.Popen(
                ["nsenter", f"--net=/proc/{vm.pid}/ns/net", *inside],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for vm in vms
        ]
        return [read(one.communicate(timeout=SECONDS + 30)[0]) for one in started]


def _alone() -> Table:
    """In a process that has nothing else to do."""
    command = [sys.executable, "-m", "tests.bench.answers"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return Table(
        "What an answer costs the agent, without switch and loop",
        ("processor us", "answers/s of one core"),
        tuple(Row(what, (us, 1e6 / us)) for what, us in found.items()),
        (f"{ALONE:,} of each, from the frame that came to the frame that goes back",),
    )


def _measure() -> None:
    snapshot = world.two_tenants()
    for key, network in snapshot.networks.items():
        named = replace(network, uid=Uid(f"11111111-2222-4333-8444-{key:012}"))
        snapshot = world.with_part(snapshot, Part.NETWORK, key, named)
    later = itertools.count(0, 0.01)
    responder = Responder(lambda: next(later))
    wanted = ("param_req_list", askers.ALL)
    found = {}
    for what, frame in (
        ("DHCPv4: DISCOVER", askers.dhcp4(("message-type", "discover"), wanted)),
        (
            "DHCPv4: REQUEST",
            askers.dhcp4(("message-type", "request"), ("requested_addr", "10.0.0.1"), wanted),
        ),
        ("DHCPv6: SOLICIT", askers.dhcp6(DHCP6_Solicit(), askers.own_id(), askers.association())),
        ("router solicitation", askers.solicitation()),
    ):
        question = Question(cookies.asked(PortKey(11)), 1, frame)
        if responder.respond(snapshot, question) is None:
            raise RuntimeError(f"{what}: no answer: {responder.counts}")
        began = time.process_time()
        for _ in range(ALONE):
            responder.respond(snapshot, question)
        found[what] = (time.process_time() - began) * 1e6 / ALONE
    print(json.dumps(found))


if __name__ == "__main__":
    _measure()

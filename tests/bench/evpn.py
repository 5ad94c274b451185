"""EVPN from end to end: thousands of RT-2 from a peer's first UPDATE to the last flow in the switch, and the
same routes received by FRR and GoBGP, in one run.

Place: part of `make bench`; needs root. Processes are the real ones (`arena`); what is said is prepared
(`crowd`) and said by one sender to all of them, one after the other. Time begins with the first octet and
ends when the receiver has everything, as seen from outside: for ours, the flows in the switch, which are then
read back as text and compared with what was said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.bench import crowd, peers
from tests.bench.arena import ASN, FEW_TENANTS, NETWORKS, RR, Arena, build, own_port, progress
from tests.bench.crowd import Member
from tests.bench.figures import Row, Table
from tests.bench.gauge import Gauge, Used
from tests.bench.peers import Heard
from tests.bench.rig import await_that

MANY, SOME = 50_000, 10_000
LEGION, FEW = 150_000, 3_000
"""Routes of which 2 % concern hv2."""
OWN = 2_000
"""Ports that hv2 announces."""
_EACH = 3
"""Flows of a remote MAC with an IPv4 address: where it is, its ARP answer, its host route."""
_PATIENCE = 240.0
_POLL = 0.1
_DEAF = 3.0
_WATCHED = 10.0
_AGES = re.compile(r"duration=([0-9.]+)s")
HV1, HV2 = "172.16.0.1", "172.16.0.2"


@dataclass(slots=True)
class Report:
    """What came of a run; `ours`: by what was done. Each is shown at once: a run takes long."""

    ours: dict[str, Used] = field(default_factory=dict)
    theirs: list[Heard] = field(default_factory=list)

    def note(self, what: str, used: Used) -> None:
        """File one of ours; the first of a kind counts."""
        self.ours.setdefault(what, used)
        busy = " ".join(f"{name} {seconds:.2f}" for name, seconds in used.processor.items())
        peak = " ".join(f"{name} {size:.0f}" for name, size in used.peak.items())
        progress(f"  {used.seconds:.2f} s; processor s: {busy}; MB: {peak}")


def brief() -> tuple[Table, ...]:
    """10,000 routes, received by all."""
    return _run(SOME, _receive_some)


def run() -> tuple[Table, ...]:
    """Everything: 10,000, 50,000 and 150,000 routes; minutes."""
    return _run(MANY, _receive_some, _receive_many, _flap, _hold, _few_of_many, _announce)


def _run(count: int, *steps: Callable[[Arena, Sequence[Member], Report], None]) -> tuple[Table, ...]:
    progress("two hypervisors, a sender, FRR and GoBGP")
    with build() as arena:
        report = Report()
        members = crowd.members(count, arena.places, arena.hosts)
        _prepare(arena, members)
        progress(f"{count:,} ports of other hosts go to the store")
        arena.uids = crowd.write(arena.store, members)
        _start(arena, 1)
        for step in steps:
            step(arena, members, report)
        for size in dict.fromkeys((SOME, count)):
            report.theirs += peers.hear(arena, size)
    return _tables(report, count)


def _prepare(arena: Arena, members: Sequence[Member]) -> None:
    """What is said, as files."""
    for size in dict.fromkeys((SOME, len(members))):
        some = members[:size]
        arena.prepare(f"packed-{size}", crowd.announced(some, ASN, packed=True))
        arena.prepare(f"single-{size}", crowd.announced(some, ASN, packed=False))
        arena.prepare(f"gone-{size}", crowd.withdrawn(some))
    arena.prepare("end", crowd.end_of_rib())


def _start(arena: Arena, number: int) -> None:
    """Speaker and agent of a host, its ports plugged and programmed, its sessions up."""
    name = f"hv{number}"
    progress(f"{name} takes its part of the store in")
    control = arena.rig.control
    control.speakers[name].start()
    control.agents[name].start()
    ports = range(NETWORKS) if number == 1 else range(NETWORKS, NETWORKS + FEW_TENANTS)
    arena.rig.plug(number, [f"p{n}" for n in ports])
    arena.rig.await_bound(ports)
    arena.await_session(HV1 if number == 1 else HV2)
    _quiet(arena, number)


def _quiet(arena: Arena, number: int) -> None:
    """Until the agent has had nothing to do for two seconds."""
    gauge = Gauge(arena.ours(number), arena.switch(number))
    still = 0
    while still < 4:
        before = gauge.busy()
        time.sleep(0.5)
        still = still + 1 if gauge.busy() - before < 0.08 else 0


def _receive_some(arena: Arena, members: Sequence[Member], report: Report) -> None:
    for how in ("packed", "single"):
        _received(arena, members[:SOME], how, report)
        _withdrawn(arena, members[:SOME], how, report)


def _receive_many(arena: Arena, members: Sequence[Member], report: Report) -> None:
    _received(arena, members, "single", report)
    _withdrawn(arena, members, "single", report)
    _reflected(arena, members, report)
    _received(arena, members, "packed", report)


def _received(arena: Arena, members: Sequence[Member], how: str, report: Report) -> None:
    what = f"{len(members):,} received, {'packed' if how == 'packed' else 'one in an UPDATE'}"
    progress(what)
    report.note(what, _until(arena, 1, HV1, f"{how}-{len(members)}", _EACH * len(members)))
    _compare(arena, 1, members)


def _until(arena: Arena, number: int, peer: str, file: str, more: int) -> Used:
    """Say a file; until the switch has so many flows more (or fewer)."""
    base = arena.flows(number)
    gauge = Gauge(arena.ours(number), arena.switch(number))
    with ThreadPoolExecutor(1) as pool:
        saying = pool.submit(arena.say, peer, file)
        end = _await_flows(arena, number, base + more)
        began, _ = saying.result()
    used = gauge.read(end - began)
    _quiet(arena, number)
    return used


def _await_flows(arena: Arena, number: int, wanted: int) -> float:
    limit = time.monotonic() + _PATIENCE
    while (found := arena.flows(number)) != wanted:
        if time.monotonic() > limit:
            raise TimeoutError(f"{found:,} flows instead of {wanted:,} within {_PATIENCE:g} s")
        time.sleep(_POLL)
    return time.monotonic()


def _compare(arena: Arena, number: int, members: Sequence[Member]) -> None:
    """Every MAC leads to the VTEP that said it, under its network's VNI, and none else leads anywhere."""
    found, wanted = arena.leads(number), crowd.expected(members)
    if found != wanted:
        odd = {key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys()
               if found.get(key) != wanted.get(key)}  # fmt: skip
        raise RuntimeError(f"{len(odd):,} MACs lead elsewhere than was said: {list(odd.items())[:3]}")


def _withdrawn(arena: Arena, members: Sequence[Member], how: str, report: Report) -> None:
    """Ports that are bound nowhere: nothing is held."""
    what = f"{len(members):,} withdrawn (packed), bound nowhere: flows gone"
    progress(what)
    used = _until(arena, 1, HV1, f"gone-{len(members)}", -_EACH * len(members))
    report.note(what, used)
    _compare(arena, 1, ())


def _reflected(arena: Arena, members: Sequence[Member], report: Report) -> None:
    """The sender as a client of FRR, which reflects."""
    what = f"{len(members):,} received through FRR as reflector"
    progress(what)
    arena.sender.ask("dial", peer=RR)
    arena.await_session(RR)
    report.note(what, _until(arena, 1, RR, f"packed-{len(members)}", _EACH * len(members)))
    _compare(arena, 1, members)
    _until(arena, 1, RR, f"gone-{len(members)}", -_EACH * len(members))
    arena.sender.ask("drop", peer=RR)


def _flap(arena: Arena, members: Sequence[Member], report: Report) -> None:
    """The session ends, is refused for a while, comes back, and everything is said again."""
    what = f"session lost and back with {len(members):,}: until the agent is done with the replay"
    progress(what)
    gauge, began = Gauge(arena.ours(1), arena.switch(1)), time.monotonic()
    arena.sender.ask("drop", peer=HV1)
    time.sleep(_DEAF)
    arena.sender.ask("hear", peer=HV1)
    arena.await_session(HV1)
    said, _ = arena.say(HV1, f"packed-{len(members)}")
    arena.say(HV1, "end")
    _quiet(arena, 1)
    report.note(what, gauge.read(time.monotonic() - said - 2.0))
    _untouched(arena, time.monotonic() - began)
    _compare(arena, 1, members)


def _untouched(arena: Arena, seconds: float) -> None:
    """No flow is younger than that."""
    host = arena.rig.host(1)
    text = host.ofctl("dump-flows", host.management, "cookie=0x52f1300000000000/0xfffff00000000000")
    youngest = min(float(age) for age in _AGES.findall(text))
    if youngest < seconds:
        raise RuntimeError(f"a flow was put {youngest:g} s ago: the flap has touched it")


def _hold(arena: Arena, members: Sequence[Member], report: Report) -> None:
    """What the store binds to the host that withdraws it is held."""
    progress(f"{len(members):,} ports are bound in the store")
    gauge, began = Gauge(arena.ours(1), arena.switch(1)), time.monotonic()
    crowd.bind(arena.store, members, arena.uids)
    _quiet(arena, 1)
    report.note(f"{len(members):,} bindings in the store", gauge.read(time.monotonic() - began - 2.0))
    what = f"{len(members):,} withdrawn, bound: held, no flow changes"
    progress(what)
    gauge, began = Gauge(arena.ours(1), arena.switch(1)), time.monotonic()
    arena.say(HV1, f"gone-{len(members)}")
    _quiet(arena, 1)
    used = gauge.read(time.monotonic() - began - 2.0)
    time.sleep(_WATCHED)
    _untouched(arena, time.monotonic() - began)
    _compare(arena, 1, members)
    report.note(what, used)
    arena.rig.control.agents["hv1"].stop()
    arena.rig.control.speakers["hv1"].stop()


def _few_of_many(arena: Arena, _members: Sequence[Member], report: Report) -> None:
    """150,000 routes of which 2 % are of this host's tenants."""
    progress(f"{LEGION:,} routes of which {FEW:,} concern hv2 are made")
    own = crowd.members(FEW, arena.few, arena.hosts, first=1_000_000)
    crowd.write(arena.store, own)
    others = crowd.strangers(LEGION - FEW, 50 * FEW_TENANTS, arena.hosts, first=2_000_000)
    half = len(others) // 2
    some = [*others[:half], *own, *others[half:]]
    for packed in (True, False):
        arena.prepare(f"{'packed' if packed else 'single'}-legion", crowd.announced(some, ASN, packed=packed))
    arena.prepare("gone-legion", crowd.withdrawn(some))
    _start(arena, 2)
    for how, words in (("packed", "packed"), ("single", "one in an UPDATE")):
        what = f"{LEGION:,} received, {words}, 2 % of them for this host"
        progress(what)
        report.note(what, _until(arena, 2, HV2, f"{how}-legion", _EACH * FEW))
        _compare(arena, 2, own)
        _until(arena, 2, HV2, "gone-legion", -_EACH * FEW)


def _announce(arena: Arena, _members: Sequence[Member], report: Report) -> None:
    """Ports plugged at once, until FRR has their routes; then all of it again in a new session."""
    what = f"{OWN:,} ports plugged at once, until FRR has their routes"
    progress(what)
    names = [f"q{n}" for n in range(OWN)]
    arena.rig.write([own_port(name, NETWORKS + n % FEW_TENANTS) for n, name in enumerate(names)])
    _quiet(arena, 2)
    before = peers.received(arena.lab.reflectors[0], HV2)
    gauge, began = Gauge(arena.ours(2), arena.switch(2)), time.monotonic()
    arena.rig.plug(2, names)
    await_that(lambda: peers.received(arena.lab.reflectors[0], HV2) >= before + OWN, what, _PATIENCE)
    report.note(what, gauge.read(time.monotonic() - began))
    _quiet(arena, 2)
    what = f"{OWN:,} routes announced again in a new session, first to last UPDATE"
    progress(what)
    arena.sender.ask("drop", peer=HV2)
    gauge = Gauge(arena.ours(2), arena.switch(2))
    arena.sender.ask("hear", peer=HV2)
    arena.await_session(HV2)
    await_that(lambda: arena.sender.ask("state", peer=HV2)["announced"] >= OWN, what, _PATIENCE)
    state = arena.sender.ask("state", peer=HV2)
    report.note(what, gauge.read(state["last"] - state["first"]))


def _tables(report: Report, count: int) -> tuple[Table, ...]:
    columns = ("s", "agent cpu s", "relay cpu s", "ExaBGP cpu s", "switch cpu s",
               "agent MB", "relay MB", "ExaBGP MB", "agent+relay MB")  # fmt: skip
    rows = []
    for what, used in report.ours.items():
        busy = [used.processor[name] for name in ("agent", "relay", "exabgp", "switch")]
        peak = [used.peak[name] for name in ("agent", "relay", "exabgp")]
        rows.append(Row(what, (used.seconds, *busy, *peak, peak[0] + peak[1])))
    ours = Table(
        "EVPN from a peer's UPDATEs to flows",
        columns,
        tuple(rows),
        (
            f"hv1: {count:,} remote ports in the store, a port in each of {NETWORKS} networks;"
            f" {_EACH} flows a route, read back and compared",
            "s: from the first octet sent until the switch has the last flow; looked at ten times a second",
            "MB: most that was resident in that step; ExaBGP with its helper process",
        ),
    )
    others = []
    for one in report.theirs:
        mine = report.ours.get(one.like)
        busy = 0.0 if mine is None else sum(mine.processor[n] for n in ("agent", "relay", "exabgp"))
        peak = 0.0 if mine is None else sum(mine.peak[n] for n in ("agent", "relay", "exabgp"))
        ratios = (None, None, None) if mine is None or not one.complete else (
            mine.seconds / one.seconds, busy / one.processor, peak / one.peak)  # fmt: skip
        others.append(Row(one.what, (one.seconds, one.processor, one.peak, *ratios)))
    theirs = Table(
        "The same routes from the same sender, received by others",
        ("s", "cpu s", "MB", "ours s, of theirs", "ours cpu, of theirs", "ours MB, of theirs"),
        tuple(others),
        (
            "ours: agent, relay and ExaBGP together, until flows are in the switch",
            "FRR and GoBGP keep the routes; FRR as VTEP puts each MAC into the kernel's FDB as well",
        ),
    )
    return ours, theirs

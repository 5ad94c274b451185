"""How long until a port is programmed, a restart, and what the processes weigh: all real, from API to switch.

Place: part of `make bench`; needs root. Times are taken here, outside of the processes that are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median

from pipelines import cookies
from pipelines.tables import CLASSIFY
from tests.bench.figures import Row, Table, family, resident, spread, used
from tests.bench.rig import Rig, UdpStream, address_in, await_that, build, port

KNOWN = (1000, 10_000)
HERE = 50
"""Ports bound on hv1, where times are taken; all others are bound on hv2, so hv1 learns them by EVPN."""
SAMPLES = 40
PAUSE = 0.25
"""Seconds between samples: a change that comes alone, not in the wake of the one before."""
CHANGED = 20
"""Of the samples, whose address changes too."""
IDLE = 10.0
FROM, TO = "p0", f"p{HERE}"
"""Two ports of one network, on hv1 and on hv2, that are real VMs."""
RATE = 500
RESTARTS = 2
CLASSIFY_TABLE = CLASSIFY.number
_EVERY_TABLE = 0xFF
_EXACT = (1 << 64) - 1


def run() -> tuple[Table, ...]:
    """Build the lab, fill it in steps, measure at each."""
    rows: list[Row] = []
    with build() as rig:
        fresh = (f"x{n}" for n in count())
        filled = []
        for known in KNOWN:
            filled.append(_fill(rig, known))
            rows += _added(rig, fresh, known)
        return _times(rows, filled), _restarted(rig), _weights(rig)


def _fill(rig: Rig, known: int) -> Row:
    """Bring the lab to that many bound ports; how long the bindings took."""
    names = [f"p{n}" for n in range(len([u for u in rig.uids if u.startswith("p")]), known)]
    mine = [n for n in names if int(n[1:]) < HERE]
    others = [n for n in names if int(n[1:]) >= HERE]
    rig.write([*(port(n, 1) for n in mine), *(port(n, 2) for n in others)])
    if FROM in mine:
        rig.vms = (rig.plug_vm(1, FROM), rig.plug_vm(2, TO))
    mine, others = ([n for n in some if n not in (FROM, TO)] for some in (mine, others))
    began = time.perf_counter()
    for number, some in ((1, mine), (2, others)):
        if some:
            rig.plug(number, some)
    rig.await_bound(names)
    seconds = time.perf_counter() - began
    rig.await_settled()
    return Row(f"{len(names):,} ports plugged at once", (seconds, len(names) / seconds))


def _added(rig: Rig, fresh: Iterator[str], known: int) -> list[Row]:
    names = [next(fresh) for _ in range(SAMPLES)]
    written, waited = [], []
    for name in names:
        time.sleep(PAUSE)
        began = time.perf_counter()
        answer = rig.write([port(name, 1)])
        written.append(time.perf_counter() - began)
        rig.wait(answer)
        waited.append(time.perf_counter() - began)
    plugged = [_plugged(rig, name) for name in names]
    more = [next(fresh) for _ in range(SAMPLES)]
    placed = [_placed(rig, name) for name in more]
    changed = [_changed(rig, name, known, n) for n, name in enumerate(names[:CHANGED])]
    rig.remove(1, [*names, *more])  # or the next step would have more ports here than this one
    what = f"{known:,} ports known: "
    return [
        Row(what + "port written (API, durable)", spread(written)),
        Row(what + "port added, until --wait returns", spread(waited)),
        Row(what + "interface added, until its flows stand", spread(plugged)),
        Row(what + "port added and plugged, API to flows", spread(placed)),
        Row(what + "bound port's address changed, --wait", spread(changed)),
    ]


def _plugged(rig: Rig, name: str) -> float:
    """From the transaction that adds the interface to the first sight of the port's (atomic) flows."""
    cookie = cookies.port(rig.key(name))
    switch = rig.switch(1)
    try:
        time.sleep(PAUSE)
        began = time.perf_counter()
        rig.plug(1, [name])
        return await_that(lambda: len(switch.dump(_EVERY_TABLE, cookie, _EXACT)), f"flows of {name}") - began
    finally:
        switch.close()


def _placed(rig: Rig, name: str) -> float:
    """The whole way of a port: written through the API, plugged, programmed."""
    switch = rig.switch(1)
    try:
        before = len(switch.dump(CLASSIFY_TABLE))
        time.sleep(PAUSE)
        began = time.perf_counter()
        rig.write([port(name, 1)])
        rig.plug(1, [name])
        return await_that(lambda: len(switch.dump(CLASSIFY_TABLE)) > before, f"flows of {name}") - began
    finally:
        switch.close()


def _restarted(rig: Rig) -> Table:
    """Killed and started under traffic. A port is written meanwhile: in sync is who has programmed that."""
    (source, _), (target, address) = rig.vms
    rig.await_settled()
    agent, seconds, lost = rig.control.agents["hv1"], [], 0
    sent = 0
    with UdpStream(source, target, address, rate=RATE) as first:  # the tunnel's own ARP costs a packet
        await_that(lambda: first.received > RATE // 10, "traffic flows")
    for n in range(RESTARTS):
        with UdpStream(source, target, address, rate=RATE) as stream:
            await_that(lambda stream=stream: stream.received > RATE // 10, "traffic flows")  # type: ignore[misc]
            agent.kill()
            answer = rig.write([port(f"r{n}", 1)])
            began = time.perf_counter()
            agent.launch()
            rig.wait(answer)
            seconds.append(time.perf_counter() - began)
            result = stream.stop()
        lost, sent = lost + result.lost, sent + result.sent
    return Table(
        f"The agent of hv1 killed and started, with {len(rig.uids):,} ports known",
        ("median s", "most s", "packets lost"),
        (Row("until it has programmed what was written meanwhile", (median(seconds), max(seconds), lost)),),
        (
            f"{RESTARTS} times; meanwhile {sent:,} packets at {RATE} a second between VMs on the two hosts",
            "all of it: Python, the snapshot on disk, store, switch, audit, report",
        ),
    )


def _changed(rig: Rig, name: str, known: int, n: int) -> float:
    """Spoof guard, ARP and ND answers of a bound port change with its address."""
    time.sleep(2 * PAUSE)  # two reports of the other host: "a route is missing", "no longer"
    began = time.perf_counter()
    rank = KNOWN.index(known) * SAMPLES + n
    rig.wait(rig.write([port(name, 1, addresses=[address_in(name, rank)])]))
    return time.perf_counter() - began


def _times(rows: list[Row], filled: list[Row]) -> Table:
    p50 = {row.what: float(row.numbers[0] or 0.0) for row in rows}
    few, many = (f"{known:,} ports known: " for known in KNOWN)
    kinds = [what.removeprefix(few) for what in p50 if what.startswith(few)]
    ratios = ", ".join(f"{kind}: {p50[many + kind] / p50[few + kind]:.2f}" for kind in kinds)
    binds = "; ".join(f"{row.what}: {row.numbers[0]:.1f} s, {row.numbers[1]:.0f} a second" for row in filled)
    return Table(
        "One port, from the API to the switch",
        ("p50 ms", "p99 ms", "most ms"),
        tuple(rows),
        (
            f"p50 at {KNOWN[1]:,} over that at {KNOWN[0]:,}: {ratios}",
            f"{SAMPLES} samples each ({CHANGED} of addresses), {PAUSE} s apart: p99 is the slowest one",
            f"two hypervisors: {HERE} ports (and the samples) here, the others there, learned through EVPN",
            f"bound until the API shows it: {binds}",
        ),
    )


def _weights(rig: Rig) -> Table:
    """Memory and idle processor time of each process with its children."""
    rig.await_settled()
    control = rig.control
    roots: list[tuple[str, Callable[[], int]]] = [
        (f"agent of hv1 ({HERE}+ ports here)", lambda: control.agents["hv1"].pid),
        (f"agent of hv2 ({KNOWN[-1] - HERE:,} ports here)", lambda: control.agents["hv2"].pid),
        ("speaker of hv1 (ExaBGP, relay)", lambda: control.speakers["hv1"].pid),
        ("speaker of hv2 (ExaBGP, relay)", lambda: control.speakers["hv2"].pid),
        ("API", lambda: control.api.pid),
        ("store (launcher, ovsdb-server)", lambda: control.store.pid),
        ("ovs-vswitchd of hv1", lambda: rig.host(1).daemons["ovs-vswitchd"].pid),
    ]
    trees = [(name, family(pid())) for name, pid in roots]
    before = [used(pids) for _, pids in trees]
    time.sleep(IDLE)
    rows = [
        Row(name, (resident(pids), (used(pids) - start) / IDLE * 100))
        for (name, pids), start in zip(trees, before, strict=True)
    ]
    return Table(
        f"Memory, and idle processor time, with {len(rig.uids):,} ports known",
        ("RSS MB", "idle % of a core"),
        tuple(rows),
        (
            f"over {IDLE:g} s without any change; the agent reads its counters each second here"
            " (10 s by default)",
        ),
    )

"""How long until Open vSwitch has acknowledged the flows of a host, against `ovs-ofctl --bundle add-flows`.

Place: part of `make bench`; needs root. A real Open vSwitch (userspace data path) in a namespace of its own.
Both senders get the same flows, each time into an empty switch, in turns. Then, on the loaded switch: small
changes, the audit, the poll of counters.
"""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from controller.southbound.openflow import audit
from controller.southbound.openflow.bundles import BUNDLE_FLOWS
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.change import Change, Part, Patch
from model.flow import Flow
from model.snapshot import Snapshot
from pipelines.accounts import ACCOUNT_TABLE
from pipelines.compile import Program, compile, install, recompile
from pipelines.render import text
from tests.bench import bulk, echo
from tests.bench.beside import Beside
from tests.bench.figures import Cost, Row, Table, frozen_heap, spread, timed, typical
from tests.bench.snapshots import crowded, populate, strangers
from tests.contract.ovs import PrivateOvs
from tests.fakes import world

FLOWS = 100_000
ROUNDS = 5
CHANGES = 1000
MACS = 5
"""That come and go in one change; each has four flows."""
BUSY_PAUSE = 0.005
POLLS = 10


def run() -> tuple[Table, ...]:
    """Make a switch, measure, remove it."""
    snapshot = populate(FLOWS)
    ovs = PrivateOvs()
    try:
        ovs.start()
        ovs.lay_bridge()
        with frozen_heap():
            program = compile(snapshot)
            bulk = _bulk(ovs, snapshot, program)
        with frozen_heap():
            return bulk, *_loaded(ovs, snapshot, program)
    finally:
        ovs.stop()


def _bulk(ovs: PrivateOvs, snapshot: Snapshot, program: Program) -> Table:
    """Both senders in turns, each into an empty switch; it stays loaded with ours."""
    listing = ovs.rundir / "flows.txt"
    lines = [text(flow) for flow in program.flows()]
    listing.write_text("\n".join(lines) + "\n")
    channel = Channel(ovs.management, Encoder())
    patch = install(program)
    channel.send(Patch((), patch.meters))  # without its meter a flow is refused, by whomever it is sent
    compiled, paused, listed, sent, theirs = [], [], [], [], []
    for _ in range(ROUNDS):
        compiled.append(timed(lambda: compile(snapshot)))
        gc.disable()
        try:
            paused.append(timed(lambda: compile(snapshot)))
        finally:
            gc.enable()
        ovs.ofctl("del-flows")
        theirs.append(timed(lambda: _ofctl(ovs, listing)))
        ovs.ofctl("del-flows")
        listed.append(timed(lambda: install(program)))
        sent.append(timed(lambda: _send(channel, patch, len(lines))))
    if channel.audit(program.flows()):
        raise RuntimeError("the switch does not hold what was sent")
    channel.close()
    whole = [Cost(a.wall + b.wall, a.processor + b.processor) for a, b in zip(listed, sent, strict=True)]
    all_of_it = [Cost(a.wall + b.wall, a.processor + b.processor) for a, b in zip(paused, whole, strict=True)]
    peer = typical(theirs)
    named = (
        ("ovs-ofctl -O OpenFlow14 --bundle add-flows", theirs),
        ("compile: snapshot to program", compiled),
        ("compile, garbage collector paused", paused),
        ("program to patch", listed),
        ("patch to last acknowledgement", sent),
        ("program to last acknowledgement", whole),
        ("snapshot to last acknowledgement (collector paused)", all_of_it),
    )
    return Table(
        f"{len(lines):,} flows into an empty switch",
        ("median s", "of ovs-ofctl", "flows/s", "processor s", "of ovs-ofctl's"),
        tuple(_beside(what, costs, peer, len(lines)) for what, costs in named),
        (
            f"medians of {ROUNDS} rounds in turns; the same flows, to the same switch, emptied before each",
            "processor: of the sender, not of the switch; ovs-ofctl's includes parsing its text",
        ),
    )


def _beside(what: str, costs: Sequence[Cost], peer: Cost, flows: int) -> Row:
    cost = typical(costs)
    shares = (cost.wall / peer.wall, cost.processor / peer.processor)
    return Row(what, (cost.wall, shares[0], flows / cost.wall, cost.processor, shares[1]))


def _loaded(ovs: PrivateOvs, snapshot: Snapshot, program: Program) -> tuple[Table, ...]:
    channel = Channel(ovs.management, Encoder(), counted=frozenset({ACCOUNT_TABLE}))
    try:
        changes = _changes(ovs, channel, snapshot, program)
        audited = _audit(ovs, channel, program)
        return changes, audited, _poll(ovs, channel)
    finally:
        channel.close()


def _changes(ovs: PrivateOvs, channel: Channel, snapshot: Snapshot, program: Program) -> Table:
    """Five MACs behind tunnels come and go on the loaded switch: alone, then while others load it in bulk."""
    flows, calm = _come_and_go(channel, snapshot, program, CHANGES)
    with Beside("bulk", ovs.management, FLOWS) as load:
        _, busy = _come_and_go(channel, snapshot, program, CHANGES, BUSY_PAUSE)
    return Table(
        f"A change of {flows} flows on a switch with {FLOWS:,} (MACs come, MACs go)",
        ("p50 ms", "p99 ms", "most ms"),
        (
            Row("recompile what changed", spread([thought for thought, _ in calm])),
            Row("patch to acknowledgement", spread([sent for _, sent in calm])),
            Row("both", spread([sum(one) for one in calm])),
            Row("patch to acknowledgement, beside a bulk load", spread([sent for _, sent in busy])),
        ),
        (
            f"{CHANGES} changes, one after the other; beside the bulk load {BUSY_PAUSE * 1e3:g} ms apart",
            f"bulk load: another process and connection, bundles of {BUNDLE_FLOWS:,},"
            f" {bulk.rate(load.told):,.0f} flows a second meanwhile",
        ),
    )


def _come_and_go(
    channel: Channel, snapshot: Snapshot, program: Program, changes: int, pause: float = 0.0
) -> tuple[int, list[tuple[float, float]]]:
    """(flows of a change, (seconds to recompile, seconds to the acknowledgement) of each)."""
    some = strangers(MACS, 0)
    full = world.added(snapshot, *some)
    touched = frozenset(Change(Part.REMOTE, (one.network, one.mac)) for one in some)
    old, new, flows, taken = snapshot, full, 0, []
    for _ in range(changes):
        time.sleep(pause)
        began = time.perf_counter()
        program, patch = recompile(program, old, new, touched)
        between = time.perf_counter()
        flows = channel.send(patch).flows
        taken.append((between - began, time.perf_counter() - between))
        old, new = new, old
    return flows, taken


def _audit(ovs: PrivateOvs, channel: Channel, program: Program) -> Table:
    """Read everything back, slice by slice, and compare it byte by byte; others ask for an echo meanwhile."""
    read, longest, compared, whole, slices = [], [], [], [], 0
    encoder = Encoder()
    with Beside("echo", ovs.management) as asking:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            dumps, times, before = [], [], began
            for dump in channel.dumps():
                dumps.append(dump)
                now = time.perf_counter()
                times.append(now - before)
                before = now
            found = audit.compare(encoder, program.flows(), dumps)
            ended = time.perf_counter()
            if found:
                raise RuntimeError("the audit found a difference where there is none")
            read.append(before - began)
            compared.append(ended - before)
            longest.append(max(times))
            whole.append(ended - began)
            slices = len(times)
    echoes = echo.seconds(asking.told)
    p50, p99, most = spread(echoes)
    return Table(
        f"Audit of {len(program.claims):,} flows",
        ("median ms",),
        (
            Row(f"read all tables, in {slices} slices", (median(read) * 1e3,)),
            Row("  of which the longest slice", (median(longest) * 1e3,)),
            Row("compare with the program", (median(compared) * 1e3,)),
            Row("both", (median(whole) * 1e3,)),
            Row("echo on another connection meanwhile, p50", (p50,)),
            Row("  p99", (p99,)),
            Row("  longest", (most,)),
        ),
        (f"medians of {ROUNDS}; {len(echoes):,} echoes, from a process of their own",),
    )


def _poll(ovs: PrivateOvs, channel: Channel) -> Table:
    """The accounting table with many counters, read as the agent's meter does."""
    flows: list[Flow] = [f for f in compile(crowded()).flows() if f.shape.table == ACCOUNT_TABLE]
    ovs.ofctl("del-flows")
    _send(channel, Patch(tuple(((flow,), ()) for flow in flows)), len(flows))
    seconds = []
    for _ in range(POLLS):
        began = time.perf_counter()
        if len(channel.counters(ACCOUNT_TABLE).cookie) != len(flows):
            raise RuntimeError("counters are missing")
        seconds.append(time.perf_counter() - began)
    return Table(
        f"Poll of {len(flows):,} egress counters",
        ("p50 ms", "p99 ms", "most ms"),
        (Row("one reading", spread(seconds)),),
        (f"{POLLS} readings; they reset nothing",),
    )


def _send(channel: Channel, patch: Patch, flows: int) -> None:
    outcome = channel.send(patch)
    if outcome.refused or outcome.flows != flows:
        raise RuntimeError(f"refused: {outcome.refused[:3]}")


def _ofctl(ovs: PrivateOvs, listing: Path) -> None:
    command = [
        "ovs-ofctl",
        "-O",
        "OpenFlow14",
        "--bundle",
        "add-flows",
        f"unix:{ovs.management}",
        str(listing),
    ]
    done = subprocess.run(command, check=False, timeout=300, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ovs-ofctl: {done.stderr[:2000]}")

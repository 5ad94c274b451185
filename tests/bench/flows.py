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
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.change import Change, Part, Patch
from model.flow import Flow
from model.snapshot import Snapshot
from pipelines.accounts import ACCOUNT_TABLE
from pipelines.compile import Program, compile, install, recompile
from pipelines.render import text
from tests.bench.figures import Cost, Row, Table, frozen_heap, spread, timed, typical
from tests.contract.ovs import PrivateOvs
from tests.fakes import world

FLOWS = 100_000
ROUNDS = 5
CHANGES = 200
POLLS = 10
NETWORKS = 50
LOCAL_PORTS = 200
FLOWS_OF_REMOTE = 4
FLOWS_OF_THE_REST = 4800
VTEPS = 200
COUNTED_PORTS = 1000
CLASSES = 18
"""Declared egress classes of the poll's host; two are built in."""


def populate(flows: int) -> Snapshot:
    """A host with local ports and as many dual-stack remote MACs as make about `flows` flows."""
    values = [world.tenant(1)]
    values += [world.network(n, owner=1) for n in range(1, NETWORKS + 1)]
    values += [world.hypervisor(f"hv{n}", f"192.0.{2 + n // 250}.{1 + n % 250}") for n in range(2, VTEPS + 2)]
    for n in range(max((flows - FLOWS_OF_THE_REST) // FLOWS_OF_REMOTE, 1)):
        rank = n // NETWORKS
        high, low = divmod(rank + LOCAL_PORTS, 250)
        addresses = [f"10.0.{high}.{low + 1}", f"fd00::{rank + LOCAL_PORTS:x}"]
        vtep = 2 + n % VTEPS
        values.append(
            world.remote(
                1 + n % NETWORKS, (2 << 40) + n, f"192.0.{2 + vtep // 250}.{1 + vtep % 250}", addresses
            )
        )
    snapshot = world.added(world.empty(), *values)
    for n in range(LOCAL_PORTS):
        one = world.port(n + 1, 1 + n % NETWORKS, (6 << 40) + n, [f"10.0.0.{n + 1}", f"fd00::{n + 1:x}"])
        snapshot = world.plugged(snapshot, one, n + 1)
    return snapshot


def crowded() -> Snapshot:
    """A host whose ports have as many counters as 20 egress classes make."""
    classes = [world.egress_class(2 + n, [f"198.51.{n}.0/24"]) for n in range(CLASSES)]
    snapshot = world.added(
        world.empty(), world.tenant(1), world.network(1, subnets=["10.0.0.0/16"]), *classes
    )
    for n in range(COUNTED_PORTS):
        high, low = divmod(n, 250)
        one = world.port(n + 1, 1, (6 << 40) + n, [f"10.0.{high}.{low + 1}"])
        snapshot = world.plugged(snapshot, one, n + 1)
    return snapshot


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
    channel = Channel(ovs.management, Encoder())
    try:
        changes = _changes(channel, snapshot, program)
        audited = _audit(channel, program)
        return changes, audited, _poll(ovs, channel)
    finally:
        channel.close()


def _changes(channel: Channel, snapshot: Snapshot, program: Program) -> Table:
    """A port comes and goes on the loaded switch."""
    extra = world.port(LOCAL_PORTS + 1, 1, (6 << 40) + LOCAL_PORTS, ["10.0.0.250", "fd00::fff"])
    full = world.plugged(snapshot, extra, LOCAL_PORTS + 1)
    parts = (
        (Part.PORT, extra.key),
        (Part.BINDING, extra.key),
        (Part.INTERFACE, extra.uid),
        (Part.EPOCH, extra.key),
    )
    touched = frozenset(Change(part, key) for part, key in parts)
    thought, sent, flows = [], [], 0
    old, new = snapshot, full
    for _ in range(CHANGES):
        began = time.perf_counter()
        program, patch = recompile(program, old, new, touched)
        between = time.perf_counter()
        flows = channel.send(patch).flows
        sent.append(time.perf_counter() - between)
        thought.append(between - began)
        old, new = new, old
    both = [a + b for a, b in zip(thought, sent, strict=True)]
    return Table(
        f"A change of {flows} flows on a switch with {FLOWS:,} (a port comes, a port goes)",
        ("p50 ms", "p99 ms", "most ms"),
        (
            Row("recompile what changed", spread(thought)),
            Row("patch to acknowledgement", spread(sent)),
            Row("both", spread(both)),
        ),
        (f"{CHANGES} changes one after the other",),
    )


def _audit(channel: Channel, program: Program) -> Table:
    """Read everything back, table by table, and compare it byte by byte."""
    read, longest, compared, whole = [], [], [], []
    encoder = Encoder()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        dumps, times = [], []
        for table in channel.active_tables():
            before = time.perf_counter()
            dumps.append(channel.dump(table))
            times.append(time.perf_counter() - before)
        between = time.perf_counter()
        found = audit.compare(encoder, program.flows(), dumps)
        if found:
            raise RuntimeError("the audit found a difference where there is none")
        compared.append(time.perf_counter() - between)
        read.append(between - began)
        longest.append(max(times))
        whole.append(time.perf_counter() - began)
    return Table(
        f"Audit of {found.right:,} flows",
        ("median ms",),
        (
            Row("read all tables", (median(read) * 1e3,)),
            Row("  of which the largest table", (median(longest) * 1e3,)),
            Row("compare with the program", (median(compared) * 1e3,)),
            Row("both", (median(whole) * 1e3,)),
        ),
        (f"medians of {ROUNDS}; each table is one request, the largest the longest pause",),
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
    subprocess.run(command, check=True, timeout=300, capture_output=True)

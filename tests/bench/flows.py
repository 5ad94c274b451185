"""How long until Open vSwitch has acknowledged the flows of a host, against `ovs-ofctl --bundle add-flows`.

Place: `python -m tests.bench.flows [--flows N] [--rounds N]`, part of `make bench`; needs root. Both
senders get the same flows, each time into an empty switch, in turns. Prints figures and asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.change import Patch
from model.snapshot import Snapshot
from pipelines.compile import Program, compile, install
from pipelines.render import text
from tests.contract.ovs import PrivateOvs
from tests.fakes import world

NETWORKS = 50
LOCAL_PORTS = 200
FLOWS_OF_REMOTE = 4
FLOWS_OF_THE_REST = 4800
VTEPS = 200


@dataclass(frozen=True)
class Cost:
    """Seconds of one sender: wall clock till the last acknowledgement, and its processor time."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Figures:
    """Medians. `compiled`: snapshot to program, `listed`: program to patch, `sent`: patch to acknowledged."""

    flows: int
    compiled: float
    listed: float
    sent: Cost
    ofctl: Cost

    def lines(self) -> str:
        """For people."""
        total = self.listed + self.sent.wall
        return (
            f"flows                                {self.flows}\n"
            f"ovs-ofctl --bundle add-flows         {_shown(self.ofctl, self.flows)}\n"
            f"patch to last acknowledgement        {_shown(self.sent, self.flows)}\n"
            f"  of the time of ovs-ofctl           {self.sent.wall / self.ofctl.wall:.2f} "
            f"(processor {self.sent.processor / self.ofctl.processor:.2f})\n"
            f"program to last acknowledgement      {total:.3f} s, {total / self.ofctl.wall:.2f} of it\n"
            f"snapshot to last acknowledgement     {self.compiled + total:.3f} s"
        )


def _shown(cost: Cost, flows: int) -> str:
    return f"{cost.wall:.3f} s  {flows / cost.wall:9,.0f} flows/s  processor {cost.processor:.3f} s"


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


def timed(act: Callable[[], object]) -> Cost:
    """What it costs this process and its children."""
    began, used = time.perf_counter(), _processor()
    act()
    return Cost(time.perf_counter() - began, _processor() - used)


def _processor() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def median(costs: list[Cost]) -> Cost:
    """Of each figure on its own."""
    return Cost(statistics.median(c.wall for c in costs), statistics.median(c.processor for c in costs))


def measure(ovs: PrivateOvs, program: Program, compiled: float, rounds: int) -> Figures:
    """Both senders in turns, each into an empty switch."""
    listing = ovs.rundir / "flows.txt"
    lines = [text(flow) for flow in program.flows()]
    listing.write_text("\n".join(lines) + "\n")
    patch = install(program)
    listed = [timed(lambda: install(program)).wall for _ in range(rounds)]
    channel = Channel(ovs.management, Encoder())
    ours, theirs = [], []
    for _ in range(rounds):
        ovs.ofctl("del-flows")
        theirs.append(timed(lambda: _ofctl(ovs, listing)))
        ovs.ofctl("del-flows")
        ours.append(timed(lambda: _send(channel, patch, len(lines))))
    if channel.audit(program.flows()):
        raise SystemExit("the switch does not hold what was sent")
    channel.close()
    return Figures(len(lines), compiled, statistics.median(listed), median(ours), median(theirs))


def _send(channel: Channel, patch: Patch, flows: int) -> None:
    outcome = channel.send(patch)
    if outcome.refused or outcome.flows != flows:
        raise SystemExit(f"refused: {outcome.refused[:3]}")


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


def run(flows: int, rounds: int) -> Figures:
    """Make a switch, measure, remove it."""
    snapshot = populate(flows)
    compiled = timed(lambda: compile(snapshot)).wall
    program = compile(snapshot)
    ovs = PrivateOvs()
    try:
        ovs.start()
        ovs.lay_bridge()
        return measure(ovs, program, compiled, rounds)
    finally:
        ovs.stop()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flows", description=__doc__.splitlines()[0])
    parser.add_argument("--flows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(run(given.flows, given.rounds).lines())


if __name__ == "__main__":
    main()

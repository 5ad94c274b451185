"""What a restart of the agent costs within its own process, in time and in memory, with 10,000 ports known.

Place: part of `make bench`; needs no root and touches no switch. Processor time, so that other work on the
machine matters little; `ports` has the whole way, by the clock on the wall. The steps are the agent's own
(controller.agent.core), in a process of their own, one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from immutables import Map

from model.ids import Uid
from model.intent import Binding, Cluster
from model.route import Route
from model.snapshot import Snapshot, with_ports
from tests.bench.figures import Row, Table
from tests.fakes import world

KNOWN = 10_000
HERE = 50
NETWORKS = 50
PEER = "192.0.2.250"
ASN = 65000
ROUNDS = 3
_TOGETHER = 1000
"""Updates that the agent takes at once."""


def run() -> tuple[Table, ...]:
    """Save a snapshot, read and bring it up in children, median of each step."""
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        path = Path(directory) / "snapshot.json"
        save(path)
        rounds = [_child(path) for _ in range(ROUNDS)]
    middle = len(rounds) // 2
    rows = []
    for name in rounds[0]:
        seconds, resident = (sorted(one[name][i] for one in rounds)[middle] for i in range(2))
        rows.append(Row(name, (seconds, resident)))
    return (
        Table(
            f"The steps of a restart with {KNOWN:,} ports known, one after the other",
            ("processor s", "RSS MB after it"),
            tuple(rows),
            (
                f"medians of {ROUNDS} processes; {HERE} ports here; the others' routes held, then said again",
                "without store, switch and speaker: what they send is made here, in memory",
            ),
        ),
    )


def save(path: Path) -> None:
    """The snapshot of a host as it would be on its disk."""
    from controller.agent import disk

    disk.save(snapshot(), path)


def snapshot() -> Snapshot:
    """50 dual-stack ports in 50 networks here, the others on a second host and learned."""
    made = world.added(
        world.empty(),
        *(world.tenant(n) for n in range(1, 11)),
        *(
            world.network(n, owner=1 + n % 10, subnets=[f"10.{n}.0.0/16", f"fd00:{n:x}::/64"])
            for n in range(1, NETWORKS + 1)
        ),
        world.hypervisor("hv2", "192.0.2.2"),
    )
    made = replace(made, cluster=Cluster(Uid("cluster"), 1, ASN))
    here, there = ((range(1, HERE + 1), "hv1"), (range(HERE + 1, KNOWN + 1), "hv2"))
    ports = [_port(n, host) for some, host in (here, there) for n in some]
    made = with_ports(made, ports)
    made = replace(made, bindings=Map({p.key: Binding(p.key, p.hosts[0], 0, True) for p in ports}))
    for one in ports[:HERE]:
        made = world.plugged(made, one, one.key)
    remotes = (
        world.remote(p.network, p.mac, "192.0.2.2", map(str, p.addresses), router=2) for p in ports[HERE:]
    )
    return replace(made, remotes=Map({(r.network, r.mac): r for r in remotes}))


def _port(number: int, host: str):  # type: ignore[no-untyped-def]
    network, rank = 1 + number % NETWORKS, number // NETWORKS
    addresses = [f"10.{network}.{rank // 250}.{rank % 250 + 2}", f"fd00:{network:x}::{rank + 2:x}"]
    return world.port(number, network, (2 << 40) + number, addresses, [host])


def _child(path: Path) -> dict[str, tuple[float, float]]:
    """The steps in a process that has nothing else in memory."""
    command = [sys.executable, "-m", "tests.bench.start", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return found


def _steps(path: Path) -> None:
    """In the child: print what each step took."""
    sys.modules["eventlet"] = None  # type: ignore[assignment]  # as `ringfenced` does
    import gc
    import os
    import time

    from tests.bench.figures import resident

    taken: dict[str, tuple[float, float]] = {}

    def step(name: str, act: Callable[[], object]) -> object:
        began = time.process_time()
        with calm:
            result = act()
        taken[name] = (time.process_time() - began, resident([os.getpid()]))
        return result

    began = time.process_time()
    from bgp import restored
    from bgp.codec import update
    from bgp.lookup import index
    from bgp.table import Limits
    from controller.agent import core, disk
    from controller.agent.calm import Calm
    from controller.agent.state import Seen
    from controller.daemon import agent, allocator

    gc.set_threshold(*agent._COLLECT)
    calm = Calm()
    allocator.give_back()
    taken["import everything"] = (time.process_time() - began, resident([os.getpid()]))
    saved = step("read the snapshot", lambda: disk.load(path))
    assert isinstance(saved, Snapshot)
    now = step("judge what was learned", lambda: core.start(saved.host, saved, Limits()))
    assert isinstance(now, core.Core)
    routes: list[Route] = restored.routes_of(saved, index(saved))
    said = [update.encode(route) for route in routes]
    seen, before = Seen(world.empty().switch, dict(saved.interfaces)), now
    routes, saved = [], None
    now = step("compile", lambda: core.on_inventory(before, seen).core)
    assert isinstance(now, core.Core) and now.program.claims
    before = None
    held = [core.on_peer_up(now, PEER, 1.0).core]
    now = None

    def replay() -> None:
        for start in range(0, len(said), _TOGETHER):
            some = [(PEER, update.decode(body)) for body in said[start : start + _TOGETHER]]
            held[0] = core.on_updates(held[0], some, 2.0).core

    step(f"take {len(said):,} routes of a replay in", replay)
    table = held[0].table
    assert len(table.live) == len(said) and not table.held and ip_address("192.0.2.2") in table.lookup.vteps
    print(json.dumps(taken))


if __name__ == "__main__":
    _steps(Path(sys.argv[1]))

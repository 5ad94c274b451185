"""Snapshots of hosts that the benchmarks of flows compile.

Place: made here, compiled and sent by `flows` and `bulk`. Must not touch a switch.
"""

from __future__ import annotations

from model.route import RemoteMac
from model.snapshot import Snapshot
from tests.fakes import world

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


def strangers(count: int, shift: int) -> tuple[RemoteMac, ...]:
    """Dual-stack remote MACs that no populated snapshot has: four flows each."""
    first = shift * count
    return tuple(
        world.remote(
            1, (3 << 40) + n, "192.0.2.9", [f"10.0.{200 + n // 250}.{1 + n % 250}", f"fd00::f:{n:x}"]
        )
        for n in range(first, first + count)
    )

"""How fast addresses are allocated, and how fast they are on disk: the planner alone, then with the store.

Place: part of `make bench`; needs no root. A store of its own in a temporary directory, with the durable
commits of the product. One port takes four numbers: key, MAC, IPv4 and IPv6.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

from controller.store.server import Server
from controller.store.writer import Store, clock, random_uid
from ipam.plan import plan
from ipam.steps import Plan
from model.ids import HostName
from model.wanted import Wanted, WantedHypervisor, WantedNetwork, WantedPort, WantedTenant
from tests.bench.figures import Row, Table, frozen_heap, quantile, spread

NUMBERS = 4
"""Allocated for each port."""
GANG = 1000
STORED = 10_000
SINGLES = 200
ROUNDS = 5
_SUBNETS = (ip_network("10.128.0.0/16"), ip_network("fd00:128::/64"))


def run() -> tuple[Table, ...]:
    """Start a store, fill it, measure, remove it."""
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        server = Server(Path(directory))
        server.start()
        try:
            store = Store(server.remote)
            try:
                return (_measure(store),)
            finally:
                store.close()
        finally:
            server.stop()


def _measure(store: Store) -> Table:
    store.ensure_cluster(65000, ())
    _write(
        store,
        [
            WantedHypervisor(HostName("hv1"), ip_address("192.0.2.1")),
            WantedTenant("bench"),
            WantedNetwork("bench", "net", _SUBNETS),
        ],
    )
    names = (f"p{n}" for n in itertools.count())
    with frozen_heap():
        rows = [
            _planned(store, names, 1, "an empty network"),
            _planned(store, names, GANG, "an empty network"),
        ]
        gangs = [_committed(store, _ports(names, GANG)) for _ in range(STORED // GANG)]
        rows += [
            _planned(store, names, 1, f"{STORED:,} ports"),
            _planned(store, names, GANG, f"{STORED:,} ports"),
            _row(f"{GANG:,} ports in one durable commit", gangs, GANG),
            _row(
                f"one port in a durable commit, {STORED:,} stored",
                [_committed(store, _ports(names, 1)) for _ in range(SINGLES)],
                1,
            ),
        ]
    return Table(
        "Allocations (key, MAC, IPv4 and IPv6 for each port)",
        ("p50 ms", "p99 ms", "most ms", "ports/s", "allocations/s"),
        tuple(rows),
        (
            "plan: the pure planner on contents in memory; commit: plan, transaction and fsync of the store",
            f"{ROUNDS} rounds of each plan, {STORED // GANG} large and {SINGLES} single commits;"
            " the p99 of few rounds is their most",
        ),
    )


def _planned(store: Store, names: Iterator[str], ports: int, beside: str) -> Row:
    """Plans are made and thrown away."""
    contents = store.contents()
    seconds = []
    for _ in range(ROUNDS if ports > 1 else ROUNDS * 40):
        wanted = _ports(names, ports)
        began = time.perf_counter()
        plan(contents, wanted, clock(), random_uid)
        seconds.append(time.perf_counter() - began)
    return _row(f"plan of {ports:,} beside {beside}", seconds, ports)


def _row(what: str, seconds: Sequence[float], ports: int) -> Row:
    rate = ports / quantile(seconds, 0.5)
    return Row(what, (*spread(seconds), rate, rate * NUMBERS))


def _ports(names: Iterator[str], ports: int) -> list[Wanted]:
    taken = itertools.islice(names, ports)
    return [WantedPort("bench", name, "net", hosts=(HostName("hv1"),)) for name in taken]


def _committed(store: Store, wanted: Sequence[Wanted]) -> float:
    began = time.perf_counter()
    _write(store, wanted)
    return time.perf_counter() - began


def _write(store: Store, wanted: Sequence[Wanted]) -> None:
    store.change(lambda contents: plan(contents, wanted, clock(), random_uid), "", "", _untold)


def _untold(_made: Plan) -> str:
    return ""

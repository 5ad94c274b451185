"""`python -m tests.bench`: all benchmarks, or some; tables for people or JSON. Prints figures, asserts none.

Place: run by `make bench`. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted; what was made is
removed in each case.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

# After `su` without a dash, PATH lacks the folders of ovs-vswitchd and nft; the Makefile does the same.
os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

from tests.bench import (
    allocations,
    answers,
    counters,
    evpn,
    flows,
    gangs,
    ledger,
    metrics,
    names,
    neighbours,
    ovn,
    packets,
    pkeys,
    policies,
    ports,
    routes,
    start,
)
from tests.bench.aims import summary
from tests.bench.figures import Table

BENCHMARKS: tuple[tuple[str, Callable[[], tuple[Table, ...]], str], ...] = (
    ("flows", flows.run, "100,000 flows compiled, sent, audited and counted, beside ovs-ofctl (root)"),
    ("counters", counters.run, "40,000 egress counters read, beside changes and packets; counted (root)"),
    ("packets", packets.run, "packets a second of the whole pipeline and of a bare one (root)"),
    ("ports", ports.run, "one port from API to switch, beside 1,000 and 10,000; a restart (root)"),
    ("start", start.run, "the steps of an agent's restart with 10,000 ports, in processor time and memory"),
    ("policy", policies.run, "a policy of 1,000 ports changed, flows of a rule, connections a second (root)"),
    ("answers", answers.run, "addresses and names that a host's ports ask for, through the switch (root)"),
    ("names", names.run, "names a second by dnsperf, beside dnsmasq and Knot (root)"),
    ("neighbours", neighbours.run, "a port's names, metadata and addresses beside ports that flood (root)"),
    ("ovn", ovn.run, "the same with OVN on this machine (root)"),
    ("allocations", allocations.run, "addresses planned, and written durably"),
    ("gangs", gangs.run, "gangs of 1,024 and 5,000 interfaces, durable, beside a linear scan"),
    ("metrics", metrics.run, "an answer to Prometheus with 40,960 interfaces, in processor time"),
    ("pkeys", pkeys.run, "a gang's partition on 5,120 simulated InfiniBand ports, until all have it (root)"),
    ("ledger", ledger.brief, "uploads of 1,000 hosts, sums, a month's report; all of it by --only (root)"),
    ("routes", routes.run, "EVPN routes received: decoded, dropped early, learned"),
    (
        "evpn",
        evpn.brief,
        "10,000 RT-2 from the wire to flows, beside FRR and GoBGP; all of it by --only (root)",
    ),
)
WHOLE: dict[str, Callable[[], tuple[Table, ...]]] = {"evpn": evpn.run, "ledger": ledger.run}
"""What takes long: run in full only when it is named."""
UNPRIVILEGED = ("start", "allocations", "gangs", "metrics", "routes")
INTERRUPTED = 130


def main() -> int:
    """Run what was asked for."""
    names = [name for name, _, _ in BENCHMARKS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Benchmarks of Ringfence on this machine.",
        epilog="; ".join(f"{name}: {meaning}" for name, _, meaning in BENCHMARKS),
    )
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args()
    chosen = [b for b in BENCHMARKS if not given.only or b[0] in given.only]
    if given.only:
        chosen = [(name, WHOLE.get(name, measure), meaning) for name, measure, meaning in chosen]
    if os.geteuid() and any(name not in UNPRIVILEGED for name, _, _ in chosen):
        print(
            f"bench: root is needed for all but {', '.join(UNPRIVILEGED)}: name them by --only",
            file=sys.stderr,
        )
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(chosen, given.output)
    except KeyboardInterrupt:
        print("bench: interrupted; everything that it made is removed", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(chosen: list[tuple[str, Callable[[], tuple[Table, ...]], str]], form: str) -> None:
    plain, results = {}, {}
    for name, measure, meaning in chosen:
        began = time.perf_counter()
        print(f"bench: {name}: {meaning} ...", file=sys.stderr, flush=True)
        tables = measure()
        print(f"bench: {name}: done in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        results[name] = tables
        plain[name] = [table.plain() for table in tables]
        if form == "table":
            print("\n\n".join(table.text() for table in tables), end="\n\n", flush=True)
    aims = summary(results)
    plain["aims"] = [aims.plain()]
    if form == "table" and aims.rows:
        print(aims.text())
    if form == "json":
        print(json.dumps(plain, indent=2))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""A port that asks now and then, beside ports of its host that flood: how long its answers take.

Place: part of `make bench`; needs root. What answers is the product's own with its bounds, in a network
namespace of its own (`throng`); no switch takes part, so floods come as its meters would let them through.
`tests/integration/product/test_floods.py` has one flood through a switch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.agent import disk
from controller.services.roster import FILE
from tests.bench import quiet
from tests.bench.beside import Beside
from tests.bench.figures import Row, Table, quantile
from tests.bench.throng import FLOODS, HERE, snapshot

FLOODING = (1, 8, 50)
_LOST = 2_000.0
"""Milliseconds, for an answer that did not come."""
Waited = dict[str, list[float]]


def run() -> tuple[Table, ...]:
    """In a namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.bench.neighbours"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=1800)
    plain = json.loads(done.stdout)
    return (_served(plain["served"]), _addresses(plain["addresses"]))


def _measure(floods: tuple[str, ...]) -> dict[str, dict[str, Waited]]:
    """What the quiet port waited, by flood and by what it asked; then the same of addresses."""
    served: dict[str, Waited] = {}
    with _served_here():
        served["none"] = quiet.ask()
        for flood in floods:
            for count in FLOODING:
                with Beside("throng", "flood", flood, count):
                    served[f"{count} × {flood}"] = quiet.ask()
        served["none, afterwards"] = quiet.ask()
    addresses = {f"{count} × DHCP": quiet.ask_addresses(count) for count in (0, *FLOODING, 500)}
    return {"served": served, "addresses": addresses}


@contextmanager
def _served_here() -> Iterator[None]:
    for words in ("link set lo up", *(f"address add {one} dev lo" for one in HERE)):
        subprocess.run(["ip", *words.split()], check=True)
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        disk.save(snapshot(0), Path(directory) / FILE)
        with Beside("throng", "outside"), Beside("throng", "serve", directory):
            quiet.await_answers()
            yield


def _served(found: dict[str, Waited]) -> Table:
    return Table(
        "What a quiet port waits for names and metadata beside ports that flood, ms",
        tuple(f"{asked} {what}" for asked in quiet.ASKED for what in ("p50", "p99", "lost")),
        _rows(found, quiet.ASKED),
        (
            f"{quiet.SECONDS:g} s each; an answer that did not come within 2 s is lost, and counts as 2,000",
            "each port floods with what its meter lets through: 2,000 datagrams a second, or 700 connections,"
            " or all of them together as fast as one process can",
        ),
    )


def _addresses(found: dict[str, Waited]) -> Table:
    return Table(
        "What a quiet port waits for an address beside ports that flood at their meters' bound, ms",
        ("p50", "p99", "lost"),
        _rows(found, ("DHCP",)),
        ("20 questions of each at once, then ten a second of each; the agent's thread without its loop",),
    )


def _rows(found: dict[str, Waited], asked: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(what, tuple(number for one in asked for number in _figures(waited[one])))
        for what, waited in found.items()
    )


def _figures(waited: list[float]) -> tuple[float, float, int]:
    lost = sum(one >= _LOST for one in waited)
    return quantile(waited, 0.5), quantile(waited, 0.99), lost


if __name__ == "__main__":
    print(json.dumps(_measure(tuple(sys.argv[1:]) or FLOODS)))

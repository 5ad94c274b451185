"""A bulk load that goes on for as long as it is wanted, in a process of its own.

Place: started by `flows` (`Beside`) while it measures small changes on a connection beside it. As a program
(`python -m tests.bench.bulk SOCKET FLOWS`) it puts the flows of a snapshot again and again, in the product's
bundles, until its standard input ends; then it prints how many it put, and in how many seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from pipelines.compile import compile, install
from tests.bench.beside import begun, over
from tests.bench.snapshots import populate


def rate(told: str) -> float:
    """How many flows it put in a second, of what it printed."""
    flows, seconds = told.split()
    return int(flows) / float(seconds)


def main() -> None:
    """Put all of them, again."""
    patch = install(compile(populate(int(sys.argv[2]))))
    channel, ended = Channel(Path(sys.argv[1]), Encoder()), over()
    begun()
    began, sent = time.perf_counter(), 0
    while not ended.is_set():
        sent += channel.send(patch).flows
    print(sent, time.perf_counter() - began)


if __name__ == "__main__":
    main()

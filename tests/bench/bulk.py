"""A bulk load that goes on for as long as it is wanted, in a process of its own.

Place: started by `flows` (`Bulk`) while it measures small changes on a connection beside it. As a program
(`python -m tests.bench.bulk SOCKET FLOWS`) it puts the flows of a snapshot again and again, in the product's
bundles, until its standard input ends; then it prints how many it put, and in how many seconds.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from pipelines.compile import compile, install
from tests.bench.snapshots import populate


class Bulk:
    """A context manager; afterwards `rate` is how many flows it put in a second."""

    def __init__(self, path: Path, flows: int) -> None:
        self.rate = 0.0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bulk", str(path), str(flows)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Bulk:
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        told, _ = self._process.communicate(timeout=60)
        if kind is None:
            flows, seconds = told.split()
            self.rate = int(flows) / float(seconds)


def main() -> None:
    """Put all of them, again."""
    patch = install(compile(populate(int(sys.argv[2]))))
    channel, over = Channel(Path(sys.argv[1]), Encoder()), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print("begun", flush=True)
    began, sent = time.perf_counter(), 0
    while not over.is_set():
        sent += channel.send(patch).flows
    print(sent, time.perf_counter() - began)


if __name__ == "__main__":
    main()

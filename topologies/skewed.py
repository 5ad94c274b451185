"""Skewed: an agent whose wall clock can be stepped, and all else of it as ever.

Place: in a lab, in the place of `ringfenced agent`: the kernel's clock is the machine's (`wallclock`).
Must not decide anything.

`python -m topologies.skewed FILE AGENT-FLAGS...`
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from controller.daemon import agent
from topologies.wallclock import skew


def main(arguments: Sequence[str]) -> int:
    """Until terminated."""
    path, *flags = arguments
    skew(Path(path))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return agent.run(flags)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

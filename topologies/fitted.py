"""Fitted: an agent whose VFs are simulated, and all else of it as ever.

Place: in a lab, in the place of `ringfenced agent`, because this machine's kernel has no VFs with
representors. What it is given as its kernel is `topologies.firmware`; Open vSwitch is the real one. Must not
decide anything.

`python -m topologies.fitted DIRECTORY AGENT-FLAGS...`
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from controller.daemon import agent
from topologies.firmware import Distant


def main(arguments: Sequence[str]) -> int:
    """Until terminated."""
    directory, *flags = arguments
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return agent.run(flags, Distant(Path(directory)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

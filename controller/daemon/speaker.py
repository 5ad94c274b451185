"""`ringfenced speaker`: hands over to the ExaBGP launcher, with the same process id.

Place: a unit of its own, so that agent and speaker never end each other. Must not import exabgp.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def run(argv: Sequence[str]) -> int:
    """Does not return."""
    os.execv(sys.executable, [sys.executable, "-m", "bgp.speaker", *argv])

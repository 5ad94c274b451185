"""Private: how the agent opens files that nobody else may read.

Place: for whoever in this room writes one. Must not write.
"""

from __future__ import annotations

import os


def opener(name: str, flags: int) -> int:
    """For `open(..., opener=opener)`: mode 0600 from the first moment."""
    return os.open(name, flags, 0o600)

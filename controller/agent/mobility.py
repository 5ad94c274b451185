"""Mobility: what the log says of MACs that are fought for.

Place: told by `controller.agent.core`. Must not decide anything.
"""

from __future__ import annotations

import logging
from typing import Final

from bgp.table import Table
from model.addresses import format_mac
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)


def tell(snapshot: Snapshot, before: Table, after: Table) -> None:
    """Log what began to be damped, and what no longer is."""
    if before.damped is after.damped:
        return
    for spot in (*after.damped, *before.damped):
        if (spot in before.damped) == (spot in after.damped):
            continue
        what = format_mac(spot[2]) if spot[0] == "mac" else str(spot[2])
        words = "damped" if spot in after.damped else "released"
        LOG.warning("%s host=%s network=%d what=%s", words, snapshot.host, spot[1], what)

"""Mobility: the sequence with which a port that comes here is claimed, and what the log says of MACs that are
fought for.

Place: pure, but for the log; asked by `controller.agent.core`. Must not choose routes.
"""

from __future__ import annotations

import logging
from typing import Final

from bgp.table import Table
from model.addresses import format_mac
from model.ids import PortKey
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)


def least(snapshot: Snapshot, key: PortKey) -> int:
    """One more than the sequence with which somebody else has the port now (RFC 7432 section 7.7); 0 if
    nobody has. The store counts moves between our hosts; an external host counts for itself.
    """
    port = snapshot.ports[key]
    remote = snapshot.remotes.get((port.network, port.mac))
    return 0 if remote is None else remote.sequence + 1


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

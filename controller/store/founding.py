"""The cluster's own row: made with the first pools, and changed where settings are.

Place: called by `writer`. Must not touch what manifests declare.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from controller.store import rows
from controller.store.assembly import WANTED_COLUMNS
from controller.store.faults import Lost, Raced
from controller.store.identity import row_uid
from controller.store.records import DATABASE
from controller.store.statements import Operation, insert, select, update, wait
from controller.store.wire import TIMEOUT, Connection
from ipam.pools import defaults
from model.addresses import Address
from model.errors import Fault
from model.ids import Uid
from model.intent import Cluster, Policy

log = logging.getLogger(__name__)
ATTEMPTS: Final = 8


def ensure(
    connection: Connection,
    new_uid: Callable[[], Uid],
    asn: int,
    reflectors: Sequence[Address],
    site: int,
    policy: Policy,
) -> Cluster:
    """The cluster's settings, written if they are missing or differ. `site` counts only the first time.

    `site`: 0..65535, part of every MAC that the cluster allocates.
    """
    for _ in range(ATTEMPTS):
        found = read(connection)
        try:
            if found is None:
                uid = new_uid()
                fresh = Cluster(uid, 1, asn, tuple(reflectors), policy)
                connection.commit(DATABASE, _found(fresh, site))
                log.info("cluster made uid=%s asn=%d", uid, asn)
                return fresh
            wanted = Cluster(found.uid, found.generation, asn, tuple(reflectors), policy)
            if found == wanted:
                return found
            changed = replace(wanted, generation=found.generation + 1)
            guard = wait("Cluster", [], ("generation",), [{"generation": found.generation}])
            change = update("Cluster", found.uid, rows.cluster_columns(changed))
            connection.commit(DATABASE, [guard, change])
            return changed
        except (Raced, Lost):
            continue
    raise restless()


def read(connection: Connection) -> Cluster | None:
    """The cluster's settings now; None before there are any."""
    columns = ("_uuid", *WANTED_COLUMNS["Cluster"])
    (found,) = connection.read(DATABASE, [select("Cluster", [], columns)], TIMEOUT)
    if not found["rows"]:
        return None
    row = found["rows"][0]
    return rows.cluster(rows.reference(row["_uuid"]), row)


def restless() -> Raced:
    """Of whoever gave up."""
    message = f"other writers were faster {ATTEMPTS} times"
    return Raced(Fault("store", "changed-meanwhile", message, "Try again."))


def _found(cluster: Cluster, site: int) -> list[Operation]:
    operations = [
        wait("Cluster", [], ("generation",), []),
        insert("Cluster", cluster.uid, rows.cluster_columns(cluster)),
    ]
    for pool in defaults(site):
        operations.append(insert("Pool", row_uid("Pool", pool.name), rows.pool_columns(pool)))
    return operations

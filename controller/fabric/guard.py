"""Guard: whether a fabric may be driven by what a store says now.

Place: asked by the conductor in each round. Pure. Must not let an empty, foreign or older store take running
jobs out of their partitions.
"""

from __future__ import annotations

from ipam.contents import Contents
from ipam.fabric.partitions import Partitions, ports
from model.errors import Fault
from model.fabric import Guid, format_guid
from model.ids import Uid


def objection(
    contents: Contents, fabric: str, cluster: tuple[Uid, int] | None, held: Partitions | None
) -> Fault | None:
    """Why nothing may be done; None if it may. `cluster`: its id and generation as they were seen last.

    `held`: what the fabric was last told to hold: members that no gang of the store has, nor had, mean that
    it is not the store by which they became members.
    """
    name = f"Fabric {fabric}"
    if contents.cluster is None:
        return Fault(name, "store-empty", "the store holds no cluster", "Start the API once, or restore it.")
    if cluster is not None and contents.cluster.uid != cluster[0]:
        message = "the store became another cluster's"
        return Fault(name, "store-other", message, "Restore the store; or start this process again.")
    if cluster is not None and contents.cluster.generation < cluster[1]:
        message = f"the store went back from generation {cluster[1]} to {contents.cluster.generation}"
        return Fault(name, "store-older", message, "Restore the store; or start this process again.")
    if fabric not in contents.fabrics:
        return Fault(
            name, "fabric-unknown", "the store knows no such fabric", "Declare it, or correct --fabric."
        )
    strange = _strange(contents, fabric, held)
    if strange:
        message = f"{len(strange)} ports are in partitions, and no gang of the store has them: "
        message += ", ".join(format_guid(guid) for guid in strange[:4])
        remedy = "Restore the store that made them members. If they are to leave, remove the partitions file."
        return Fault(name, "store-foreign", message, remedy)
    return None


def _strange(contents: Contents, fabric: str, held: Partitions | None) -> tuple[Guid, ...]:
    members = {g for each in (held.tenants if held else ()) for g in (*each.full, *each.limited)}
    if not members:
        return ()
    ledger = contents.ledger
    gangs = (*ledger.gangs.values(), *(gang for gang, _ in ledger.cooling.values()))
    for gang in gangs:
        if gang.request.fabric == fabric:
            members.difference_update(ports(gang))
    return tuple(sorted(members))

"""Booking: from what the store holds to the gang that would be written, and to what becomes of one that goes.

Place: called by the API with contents; `controller.store.gangs` writes the result. Pure: the clock is handed
in. Must not retry: the store builds again if another writer was faster.
"""

from __future__ import annotations

from typing import Final

from ipam.contents import Contents
from ipam.gangs.ledger import Ledger
from ipam.gangs.place import Estate, Placement, place, reserve
from ipam.gangs.refusal import Cause, Refusal
from ipam.pools import MAC, capacity
from model.errors import Fault, NotFound, Unavailable
from model.gang import IN_STORE, Event, Gang, GangRequest, Progress, Quota, due, finish
from model.ids import Mac

_NO_QUOTA: Final = Quota()


def estate(contents: Contents) -> Estate:
    """What gangs are placed on."""
    return Estate(
        {name: record.value for name, record in contents.fabrics.items()},
        {name: record.value for name, record in contents.skus.items()},
        {name: record.value for name, record in contents.nodes.items()},
        {name: record.quota for name, record in contents.tenants.items() if record.quota != _NO_QUOTA},
    )


def thawed(contents: Contents, now: int) -> Ledger:
    """The ledger without what has cooled down by `now` (Unix ms), which the next write sweeps."""
    if all(until > now for _, until in contents.ledger.cooling.values()):
        return contents.ledger
    ledger = contents.ledger.copy()
    ledger.thaw(now)
    return ledger


def survey(contents: Contents, request: GangRequest, now: int) -> Placement | Refusal:
    """Where a gang would be. NotFound if there is no such tenant."""
    if request.tenant not in contents.tenants:
        raise no_tenant(request.tenant)
    return place(estate(contents), thawed(contents, now), request, now)


def no_tenant(name: str) -> NotFound:
    """There is no tenant of that name."""
    advice = "See those that do: ringfence get tenant"
    return NotFound(Fault(f"Tenant {name}", "not-found", "it does not exist", advice))


def book(contents: Contents, request: GangRequest, now: int) -> Gang:
    """The gang, of the generation that the cluster has next. Raises Exhausted, Conflict, Invalid or NotFound
    with everything that is missing, where.
    """
    if contents.cluster is None:
        raise Unavailable(
            Fault(
                "Cluster", "cluster-missing", "the store holds no cluster settings yet", "Start the API once."
            )
        )
    placed = survey(contents, request, now)
    if isinstance(placed, Refusal):
        raise placed.error()
    macs = _macs(contents, placed.macs)
    if len(macs) < placed.macs:
        used = contents.taken[MAC].used if MAC in contents.taken else 0
        size = capacity(contents.pools[MAC])
        raise Refusal(
            request,
            Cause.SHORT,
            "pool-exhausted",
            f"pool {MAC} has too little left for {placed.macs}: {used} of {size} used or cooling down",
            "Release gangs or delete ports that are not needed.",
        ).error()
    return reserve(placed, contents.cluster.generation + 1, macs)


def _macs(contents: Contents, count: int) -> tuple[Mac, ...]:
    """The lowest free ones of the pool that ports have theirs from; fewer if it has no more."""
    if not count:
        return ()
    pool, taken = contents.pools[MAC], contents.taken.get(MAC)
    stop = capacity(pool)
    if taken is None:
        return tuple(Mac(pool.first + offset) for offset in range(min(count, stop)))
    found: list[Mac] = []
    offset = taken.next_free(0, stop)
    while offset is not None and len(found) < count:
        found.append(Mac(pool.first + offset))
        offset = taken.next_free(offset + 1, stop)
    return tuple(found)


def leave(contents: Contents, tenant: str, name: str, generation: int) -> tuple[Gang, Progress]:
    """The gang that goes, and what is written of its life. `generation`: which one is meant, 0 = the one that
    there is. RELEASED: nothing was begun, so that it departs at once; else its fabric's process has hosts and
    ports give it back, and the same may be asked again meanwhile.

    NotFound if there is none, or another one: then there is nothing to give back.
    """
    gang = contents.ledger.gangs.get((tenant, name))
    if gang is None or generation not in (0, gang.generation):
        why = "it does not exist" if gang is None else f"it is of generation {gang.generation} now"
        raise NotFound(
            Fault(
                f"Gang {tenant}/{name}",
                "not-found",
                f"{why}; nothing was released",
                "See those that exist: ringfence gang get",
            )
        )
    progress = finish(gang.progress, Event.RELEASE)
    if IN_STORE.issuperset(due(progress, Event.CLEAR)):
        return gang, finish(progress, Event.CLEAR)
    return gang, progress

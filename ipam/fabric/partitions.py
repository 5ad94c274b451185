"""Partitions: which ports are to be members of which partition of an InfiniBand fabric, by the gangs there.

Place: first step of the fabric's driver; `grammar` writes it down, `tables` compares ports with it. Pure.
Must not believe the store: what two gangs claim, nobody gets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.fabric import Fabric, Guid, PKey
from model.gang import Gang, GangState, Membership

_BEGUN: Final = frozenset({GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE})
_ALIVE: Final = _BEGUN | {GangState.RESERVED}


@dataclass(frozen=True, slots=True)
class Partition:
    """Port GUIDs by membership, each in order and in one of both."""

    pkey: PKey
    full: tuple[Guid, ...] = ()
    limited: tuple[Guid, ...] = ()


@dataclass(frozen=True, slots=True)
class Partitions:
    """`managers`: port GUIDs of subnet managers, full members of the default partition beside the one that
    reads this; all other ports are limited there. `tenants`: by PKey, none without a member.
    """

    managers: tuple[Guid, ...] = ()
    tenants: tuple[Partition, ...] = ()


class Oddity(Enum):
    """Why a port is in no tenant's partition, though a gang has it. TORN: gangs want different things of it.

    FOREIGN_GUID, FOREIGN_PKEY: not of this fabric's spaces. MANAGER: it is a subnet manager's.
    """

    TORN = "torn"
    FOREIGN_GUID = "foreign-guid"
    FOREIGN_PKEY = "foreign-pkey"
    MANAGER = "manager"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`gangs`: tenant and name of all that have the port."""

    guid: Guid
    why: Oddity
    gangs: tuple[tuple[str, str], ...]


def want(
    gangs: Iterable[Gang], fabric: Fabric, managers: Iterable[Guid]
) -> tuple[Partitions, tuple[LeftOut, ...]]:
    """What the gangs of a fabric need, and which of their ports get nothing; in whatever order they come."""
    allowed = frozenset(managers)
    claims: dict[Guid, set[tuple[PKey, Membership]]] = defaultdict(set)
    owners: dict[Guid, list[tuple[str, str]]] = defaultdict(list)
    for gang in gangs:
        if gang.request.fabric != fabric.name or not joins(gang):
            continue
        for guid in ports(gang):
            claims[guid].add((gang.pkey, gang.request.membership))
            owners[guid].append((gang.request.tenant, gang.request.name))
    members: dict[PKey, dict[Membership, list[Guid]]] = defaultdict(lambda: defaultdict(list))
    out: list[LeftOut] = []
    for guid in sorted(claims):
        why = _objection(guid, claims[guid], len(owners[guid]), fabric, allowed)
        if why is not None:
            out.append(LeftOut(guid, why, tuple(sorted(owners[guid]))))
            continue
        ((pkey, membership),) = claims[guid]
        members[pkey][membership].append(guid)
    tenants = (
        Partition(pkey, tuple(members[pkey][Membership.FULL]), tuple(members[pkey][Membership.LIMITED]))
        for pkey in sorted(members)
    )
    return Partitions(tuple(sorted(allowed)), tuple(tenants)), tuple(out)


def joins(gang: Gang) -> bool:
    """Whether its ports are to be members: it is not being undone, and the store knows that they may be, so
    that whoever lets it go has them leave first. They join while its devices are being set, which does no
    harm: OpenSM passes over a port that is not there.
    """
    return gang.progress.state in _ALIVE and gang.progress.begun in _BEGUN


def ports(gang: Gang) -> tuple[Guid, ...]:
    """Port GUIDs of a gang, in order; () unless InfiniBand."""
    return tuple(sorted(i.port_guid for berth in gang.berths for i in berth.interfaces if i.port_guid))


def _objection(
    guid: Guid,
    claims: set[tuple[PKey, Membership]],
    owners: int,
    fabric: Fabric,
    managers: frozenset[Guid],
) -> Oddity | None:
    if guid in managers:
        return Oddity.MANAGER
    if not any(guid in span for span in fabric.guids):
        return Oddity.FOREIGN_GUID
    if any(pkey not in fabric.pkeys for pkey, _ in claims):
        return Oddity.FOREIGN_PKEY
    # A port has one owner, also when all who claim it want the same.
    return Oddity.TORN if owners > 1 or len(claims) > 1 else None

"""Course: where each gang of a fabric stands with its partitions, and what may be said of it.

Place: pure; before and after the driver's `hold`, in each round of who follows the store. Must not say of a
gang that it joined, or is gone, for any other reason than that every one of its ports was read and shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ipam.fabric.opensm import Alarm, Verdict
from ipam.fabric.partitions import LeftOut, Partitions, joins, ports, want
from ipam.fabric.tables import Difference, Drift, lingering
from model.fabric import FULL_MEMBER, Fabric, Guid
from model.gang import Effect, Event, Gang, GangState, due

_UNTRUSTED = frozenset({Alarm.SILENT, Alarm.MUTE, Alarm.STRANGER, Alarm.DEPOSED})
"""Under these somebody else may write tables, or nobody: what was read will not do for a promise."""


class Stand(Enum):
    """BEGIN: the store has to know of it first (`model.gang.begin`), nothing was done. JOINING, LEAVING:
    under way, or kept from it. JOINED: its part of READ_BACK is done. GONE: so are LEAVE_PARTITIONS and
    SEE_GONE.
    """

    BEGIN = "begin"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Course:
    """What a round sets out to do. `ask`: ports to read, beside those that are wanted."""

    gangs: tuple[Gang, ...]
    wanted: Partitions
    out: tuple[LeftOut, ...]
    ask: tuple[Guid, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Of one gang after a round. `by`: ports that it waits for; () also if no port is the reason."""

    gang: Gang
    stand: Stand
    by: tuple[Guid, ...] = ()


def plan(gangs: Iterable[Gang], fabric: Fabric, managers: Iterable[Guid]) -> Course:
    """The round for all gangs that there are, released ones left out; those of other fabrics have no part."""
    mine = sorted(
        (g for g in gangs if g.request.fabric == fabric.name and ports(g) and _concerned(g)),
        key=lambda gang: gang.generation,
    )
    wanted, out = want(mine, fabric, managers)
    asked = {guid for gang in mine if not _untouched(gang) for guid in ports(gang)}
    return Course(tuple(mine), wanted, out, tuple(sorted(asked)))


def judge(course: Course, verdict: Verdict) -> tuple[Account, ...]:
    """What may be said of each gang of the round, by generation."""
    trusted = not _UNTRUSTED.intersection(verdict.alarms)
    out = frozenset(each.guid for each in course.out)
    return tuple(_account(gang, verdict, out, trusted=trusted) for gang in course.gangs)


def _account(gang: Gang, verdict: Verdict, out: frozenset[Guid], *, trusted: bool) -> Account:
    if _untouched(gang):
        return Account(gang, Stand.BEGIN)
    own = frozenset(ports(gang))
    if joins(gang):
        unread = {guid for guid in own if verdict.tables.get(guid) is None}
        wrong = {drift.guid for drift in verdict.left if _concerns(drift, gang, own)}
        by = tuple(sorted(unread | wrong | (own & out)))
        return Account(gang, Stand.JOINED if trusted and not by else Stand.JOINING, by)
    dead = _vouched(gang, verdict)
    by = lingering(own - dead, gang.pkey, verdict.tables)
    return Account(gang, Stand.GONE if trusted and not by else Stand.LEAVING, by)


def _vouched(gang: Gang, verdict: Verdict) -> frozenset[Guid]:
    """Ports that do not answer, of nodes that an operator vouches for: they are out of their partition by the
    driver's word, and nobody can ask them. One that answers has to show that it left.
    """
    named = frozenset(gang.vouched)
    of_them = (i.port_guid for berth in gang.berths if berth.node in named for i in berth.interfaces)
    return frozenset(guid for guid in of_them if verdict.tables.get(guid) is None)


def _concerns(drift: Drift, gang: Gang, own: frozenset[Guid]) -> bool:
    """Whether it is the gang's own port; or one that reaches it, being in its partition or open to all."""
    if drift.guid in own or drift.what is Difference.OPEN:
        return True
    return drift.what is Difference.STRAY and drift.pkey & ~FULL_MEMBER == gang.pkey


def _untouched(gang: Gang) -> bool:
    return gang.progress.state is GangState.RESERVED and not joins(gang)


def _concerned(gang: Gang) -> bool:
    """Whether it has ports in partitions, or is to have them: not if nothing of it was ever begun."""
    if joins(gang) or _untouched(gang):
        return True
    undone = gang.progress.state in (GangState.RELEASING, GangState.FAILED)
    return undone and Effect.SEE_GONE in due(gang.progress, Event.CLEAR)

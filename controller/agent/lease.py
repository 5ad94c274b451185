"""Lease: which of two partners serves ports, as a pure state machine of one of them.

Place: `controller.agent.leasing` asks it what to do, does it, and tells it what came of it. Clocks come in:
each host counts by its own, and compares no time with another's. Must not do I/O.

Why two never serve at once (docs/decisions/0028-dual-dpu.md): Open vSwitch lets packets pass for `hard`
seconds after each renewal of the flows, and a renewal is a modification, which finds nothing once they are
gone. The agent renews the lease in the store after it renewed the flows, and the flows after the lease: so
of a host that was stopped anywhere in between, they are gone 2 x `hard` after it last began to renew the
lease, which is before the other has seen no sign of life for `patience` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from controller.store.leases import Lease
from model.ids import HostName

LEAST: Final = 4
MOST: Final = 20
"""Seconds of patience: with less, Open vSwitch's whole seconds leave no room; with more, clocks that differ
by 1 % don't."""
_NOBODY: Final = HostName("")


class Act(Enum):
    """What to do next. RENEW and GIVE_BACK: as the holder; STAND_BY: give a sign of life; TAKE: become it;
    WATCH: nobody has it yet, and it is too early."""

    RENEW = "renew"
    GIVE_BACK = "give-back"
    STAND_BY = "stand-by"
    TAKE = "take"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class Timing:
    """`patience`: seconds without a sign of life after which the other takes over."""

    patience: int = LEAST

    @property
    def hard(self) -> int:
        """Seconds for which Open vSwitch lets pass; half a second more until it has noticed, twice."""
        return self.patience // 2 - 1

    @property
    def pause(self) -> float:
        """Seconds between renewals."""
        return self.hard / 4

    @property
    def mute(self) -> float:
        """Seconds after the last renewal from which on nothing is announced and the ports are given up."""
        return self.patience * 0.75


@dataclass(frozen=True, slots=True)
class Standing:
    """What one of the partners knows. `term`: of the lease that it holds, 0 = it holds none. `renewed`:
    when it began its last renewal that went well. `seen`: the row as it was read last; `since`: when its
    holder, term and beat were first seen as they are; `other_since`: the same for the beat of the standby.
    """

    host: HostName
    partner: HostName
    timing: Timing = Timing()
    term: int = 0
    renewed: float = 0.0
    seen: Lease | None = None
    since: float | None = None
    other_since: float | None = None
    gave_back: bool = False
    taken_from: HostName = _NOBODY


def observe(standing: Standing, row: Lease | None, now: float) -> Standing:
    """The row as it was found now: signs of life begin the count anew, and so does the first look of all."""
    known = standing.seen
    first = standing.since is None
    stirred = first or _life(known) != _life(row)
    other = standing.other_since
    if row is not None and (known is None or known.standby_beat != row.standby_beat):
        other = now if known is not None else None  # one that was there before may be of a dead life
    since = now if stirred else standing.since
    taken_over = row is not None and row.holder == standing.partner  # what was given back has arrived
    gave_back = standing.gave_back and not taken_over
    return replace(standing, seen=row, since=since, other_since=other, gave_back=gave_back)


def blind(standing: Standing) -> Standing:
    """The store can't be read: who was silent meanwhile can't be known."""
    return replace(standing, since=None, other_since=None)


def decide(standing: Standing, now: float, *, fit: bool) -> Act:
    """What this host should do. `fit`: it reaches the fabric and its switch."""
    row = standing.seen
    if standing.term:
        ready = row is not None and row.standby_fit and lives(standing, now)
        unwanted = row is not None and row.wanted == standing.partner
        return Act.GIVE_BACK if ready and (unwanted or not fit) else Act.RENEW
    if standing.since is None:
        return Act.WATCH
    patience = standing.timing.patience if row is None else max(row.patience, standing.timing.patience)
    silent = now - standing.since
    if row is not None and row.holder == standing.host:
        return Act.TAKE  # an earlier life of this agent had it
    if row is not None and not row.holder and fit and not standing.gave_back:
        return Act.TAKE
    if silent >= (patience if fit else 2 * patience):
        return Act.TAKE
    return Act.WATCH if row is None else Act.STAND_BY


def lives(standing: Standing, now: float) -> bool:
    """Whether the holder hears the other: within `patience`."""
    return standing.other_since is not None and now - standing.other_since < standing.timing.patience


def proposal(standing: Standing) -> Lease:
    """The row with which this host takes the lease."""
    row = standing.seen
    term = 1 if row is None else row.term + 1
    beat = 1 if row is None else row.beat + 1
    return Lease(standing.host, term, beat, standing.timing.patience)


def taken(standing: Standing, row: Lease, began: float) -> Standing:
    """The store accepted the proposal, which was begun to be written at `began`."""
    before = _NOBODY if standing.seen is None else standing.seen.holder
    former = before if before not in (_NOBODY, standing.host) else _NOBODY
    return replace(
        standing,
        term=row.term,
        renewed=began,
        seen=row,
        since=began,
        other_since=None,
        gave_back=False,
        taken_from=former,
    )


def renewed(standing: Standing, row: Lease, began: float, now: float) -> Standing:
    """The store took a sign of life of the holder."""
    after = replace(observe(standing, row, now), renewed=began)
    return replace(after, taken_from=_NOBODY) if lives(after, now) else after


def lost(standing: Standing) -> Standing:
    """It is another's, could not be renewed in time, or was given back."""
    return replace(standing, term=0, seen=None, since=None, other_since=None, taken_from=_NOBODY)


def given_back(standing: Standing) -> Standing:
    """It was, by this host: who takes it back at once would only hand it to and fro."""
    return replace(lost(standing), gave_back=True)


def holds(standing: Standing, now: float) -> bool:
    """Whether it holds the lease, and may speak for the ports: by its own clock, not by what it was told."""
    return bool(standing.term) and now - standing.renewed < standing.timing.mute


def _life(row: Lease | None) -> tuple[HostName, int, int] | None:
    return None if row is None else (row.holder, row.term, row.beat)

"""Fights: which MACs and addresses moved how often, and which are damped, on disk across an agent's restarts.

Place: the loop hands each new table over, the agent reads the file once at its start. What is kept are ages,
since the learner's clock means nothing to another life. Must not decide anything; a file that is cut short,
or of another format, counts as absent: then the counting begins anew.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from immutables import Map

from bgp.table import Table
from bgp.trail import Damped, Past, Place, Spot, Trail
from controller.agent import private
from controller.agent.decoding import decoder
from controller.agent.encoding import encoder
from model.ids import PortKey
from model.route import RemoteAddress, RemoteMac

LOG: Final = logging.getLogger(__name__)
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class _Fight:
    """Of a MAC or an address. Numbers are seconds ago. `damped`: since when; None = it is not."""

    mac: RemoteMac | None
    address: RemoteAddress | None
    moves: tuple[float, ...] = ()
    at: float = 0.0
    damped: float | None = None
    count: int = 0
    quiet: float | None = None


@dataclass(frozen=True, slots=True)
class _Contest:
    port: PortKey
    times: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """`stamp`: seconds of the wall's clock, when it was written."""

    format: int
    stamp: float
    trails: tuple[_Fight, ...]
    damped: tuple[_Fight, ...]
    contests: tuple[_Contest, ...]


class Fights:
    """`directory`: the agent's state. `clock`: the learner's, in seconds; `wall`: seconds that go
    on while nothing runs."""

    def __init__(self, directory: Path, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._path = directory / "moves"
        self._clock = clock
        self._wall = wall
        self._kept: Past | None = None

    def keep(self, table: Table) -> None:
        """Write what differs from what is on disk; nothing, most times."""
        now = Past(table.damped, table.trails, table.contests)
        if now == self._kept:
            return
        self._kept = now
        try:
            part = self._path.with_suffix(".part")
            with open(part, "w", encoding="ascii", opener=private.opener) as out:
                json.dump(_ENCODE(self._file(now)), out)
            os.replace(part, self._path)
        except OSError as error:
            LOG.error("moves not kept path=%s: %s", self._path, error)

    def recall(self) -> Past:
        """What the last life knew, in times of this one's clock."""
        try:
            found: _File = _DECODE(json.loads(self._path.read_text(encoding="ascii")))
            if found.format != FORMAT:
                return Past()
            return self._past(found)
        except FileNotFoundError:
            return Past()
        except (OSError, ValueError, TypeError, KeyError) as error:
            LOG.warning("moves not read path=%s: %s", self._path, error)
            return Past()

    def _file(self, past: Past) -> _File:
        now = self._clock()
        trails = (
            _Fight(*_sides(trail.last), tuple(now - at for at in trail.moves), now - trail.at)
            for _, trail in sorted(past.trails.items(), key=_order)
        )
        damped = (
            _Fight(
                *_sides(one.place),
                damped=now - one.since,
                count=one.moves,
                quiet=None if one.quiet is None else now - one.quiet,
            )
            for _, one in sorted(past.damped.items(), key=_order)
        )
        contests = (
            _Contest(port, tuple(now - at for at in past.contests[port])) for port in sorted(past.contests)
        )
        return _File(FORMAT, self._wall(), tuple(trails), tuple(damped), tuple(contests))

    def _past(self, found: _File) -> Past:
        zero = self._clock() - max(self._wall() - found.stamp, 0.0)
        trails, damped = dict[Spot, Trail](), dict[Spot, Damped]()
        for one in found.trails:
            place = _place(one)
            trails[_spot(place)] = Trail(place, tuple(zero - age for age in one.moves), zero - one.at)
        for one in found.damped:
            place = _place(one)
            quiet = None if one.quiet is None else zero - one.quiet
            damped[_spot(place)] = Damped(place, zero - (one.damped or 0.0), one.count, quiet)
        contests = {one.port: tuple(zero - age for age in one.times) for one in found.contests}
        return Past(Map(damped), Map(trails), Map(contests), self._clock())


_ENCODE: Final[Callable[[Any], Any]] = encoder(_File) or (lambda value: value)
_DECODE: Final = decoder(_File)


def _sides(place: Place) -> tuple[RemoteMac | None, RemoteAddress | None]:
    return (place, None) if isinstance(place, RemoteMac) else (None, place)


def _place(one: _Fight) -> Place:
    found = one.mac or one.address
    if found is None:
        raise ValueError("a move of nothing")
    return found


def _spot(place: Place) -> Spot:
    if isinstance(place, RemoteMac):
        return ("mac", place.network, place.mac)
    return ("address", place.network, place.address)


def _order(item: tuple[Spot, object]) -> tuple[str, int, str]:
    kind, network, what = item[0]
    return (kind, network, str(what))

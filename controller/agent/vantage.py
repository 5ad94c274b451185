"""Vantage: which interface is whose, what its own counter said lately, and who left the switch unannounced.

Place: beside `controller.agent.metering`, which asks it at each tick. It bounds what Open vSwitch loses when
an interface is pulled out of the bridge. Must not touch a counter of the switch, nor decide what is billed.

A count is *sure* (all of it in the flows' counters) if it was taken LAG_MS before a moment at which the port
was known to be in the switch: no news of its leaving were waiting, and the kernel did not say so either.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from accounting.bounds import LAG_MS, Departure, Wire
from accounting.records import UNKNOWN, Owner, Series
from accounting.state import Standing, State
from controller.agent.seating import Seat, Seating
from controller.southbound.netlink.counters import LinkCounters, Look
from model.change import Change, Part
from model.errors import Unavailable
from model.ids import PortKey, Uid
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Track:
    """`sure`, and what was counted since: (ms on the monotonic clock, count), oldest first."""

    sure: Wire
    recent: tuple[tuple[float, Wire], ...] = ()

    def after(self, now_ms: float, wire: Wire) -> Track:
        """With one more count; an interface made anew began at zero."""
        if wire.identity != self.sure.identity:
            return Track(Wire(wire.identity, 0), ((now_ms, wire),))
        old = [seen for at, seen in self.recent if now_ms - at >= LAG_MS]
        young = tuple(entry for entry in self.recent if now_ms - entry[0] < LAG_MS)
        return Track(old[-1] if old else self.sure, (*young, (now_ms, wire)))


@dataclass(frozen=True, slots=True)
class _Leaver:
    """Who was pulled out, with what is known of the interface. Nothing, if it happened twice."""

    identity: str | None = None
    sure: Wire | None = None


class Vantage:
    """Knows a port's interface longer than the snapshot: a vswitchd that starts shows none for a while."""

    def __init__(
        self,
        counters: LinkCounters | None = None,
        clock: Callable[[], float] = time.monotonic,
        seating: Seating | None = None,
    ) -> None:
        """`seating`: where the seats are kept for the agent's next life."""
        self._seating = Seating() if seating is None else seating
        self._kept: dict[Uid, Seat] = {}
        self._unkept, self._waits = True, False
        self._counters = LinkCounters() if counters is None else counters
        self._clock = clock
        self._names: dict[str, PortKey] = {}
        self._seats: dict[Uid, Seat] = {}
        self._started = ""
        self._remembered: frozenset[PortKey] = frozenset()
        self._recalled: frozenset[Series] = frozenset()
        self._tracks: dict[PortKey, Track] = {}
        self._pulled: dict[PortKey, _Leaver] = {}
        self._identities: dict[PortKey, str] = {}
        self._last: Look | None = None

    def recall(self, state: State, saved: Snapshot) -> None:
        """What the journal and the saved snapshot know of an earlier life; call it first."""
        self._started = state.run.vswitchd_start if state.run is not None else ""
        # One that was closed may be unplugged, and come back by another interface: nothing of it is pending.
        self._recalled = frozenset(_counting(state))
        counting = {series[0] for series in self._recalled}
        known = ((port, seen.newer.identity) for port, seen in state.sightings.items())
        self._identities = {port: identity for port, identity in known if port in counting}
        self._names = {name.rpartition("#")[0]: port for port, name in self._identities.items()}
        self.look(saved)
        if (kept := self._seating.load(self._started)) is not None:  # the snapshot may be older
            self._seats, self._kept, self._waits = kept, dict(kept), True
            self._names |= {seat.name: seat.port for seat in kept.values()}
        self._remembered = frozenset(seat.port for seat in self._seats.values())

    def keep(self) -> None:
        """Put the seats on disk, if they are others: call it before anything is read, since a port that came
        may be among it. Who left has his seat there until that is in the journal's keeping."""
        if self._waits or not self._unkept:
            return
        left = {uid: seat for uid, seat in self._kept.items() if seat.port in self._pulled}
        seats = {uid: seat for uid, seat in self._seats.items() if seat.port not in self._pulled} | left
        if self._seating.save(self._started, seats):
            self._kept, self._unkept = seats, bool(self._pulled)

    def look(self, snapshot: Snapshot, changes: frozenset[Change] | None = None) -> None:
        """Take in what a snapshot shows. Who left, or sits elsewhere, was pulled out.

        `changes`: all since the last look, None = look at everything. They save time, and nothing else.
        """
        if self._waits and snapshot.switch is None:
            return  # its interfaces are those of the saved snapshot, which may be older than the seats
        uids = None if changes is None or self._waits else _touched(snapshot, changes)
        self._waits = False
        if uids is None:
            self._look_everywhere(snapshot)
            return
        for uid in uids:
            now, before = self._seat(uid, snapshot), self._seats.get(uid)
            if now == before:
                continue
            self._unkept = True
            if before is not None:
                heir = snapshot.ports.get(before.port)
                del self._seats[uid]
                if heir is None or heir.uid == uid:
                    self.depart(before.port)
            if now is not None:
                self._seats[uid] = now
                self._names[now.name] = now.port

    def _seat(self, uid: Uid, snapshot: Snapshot) -> Seat | None:
        interface, port = snapshot.interfaces.get(uid), self._port(uid, snapshot)
        if interface is None or port is None:
            return None
        return Seat(port, interface.name, interface.ofport)

    def _look_everywhere(self, snapshot: Snapshot) -> None:
        kept = {name: port for name, port in self._names.items() if port in snapshot.ports}
        seats = {
            uid: Seat(port, i.name, i.ofport)
            for uid, i in snapshot.interfaces.items()
            if (port := self._port(uid, snapshot)) is not None
        }
        self._names = kept | {seat.name: seat.port for seat in seats.values()}
        started = snapshot.switch.started if snapshot.switch else self._started
        for uid, seat in self._seats.items():
            heir = snapshot.ports.get(seat.port)
            now = seats.get(uid)
            stays = now is not None and (now == seat or started != self._started)
            if not stays and (heir is None or heir.uid == uid):
                self.depart(seat.port)
        self._unkept |= seats != self._seats or started != self._started
        self._seats, self._started = seats, started

    def _port(self, uid: Uid, snapshot: Snapshot) -> PortKey | None:
        """A port that the store has forgotten keeps its seat while its interface is there."""
        known = snapshot.by_uid.get(uid)
        if known is None and uid in self._seats:
            return self._seats[uid].port
        return known

    def search(self, state: State, snapshot: Snapshot) -> None:
        """Once per life: ports that left while no agent watched, or that no snapshot says the seats of. What
        began to count in this life, which may be before anybody could look, has not.
        """
        for series, owner in _counting(state).items():
            stayed = Uid(owner.port_uid) in snapshot.interfaces and series[0] in self._remembered
            gone = owner != UNKNOWN and not stayed
            if gone and series in self._recalled and series[0] not in self._pulled:
                self.depart(series[0])
        self._recalled = frozenset()

    def sight(self) -> frozenset[PortKey]:
        """Count at the interfaces; the ports that are surely in the switch. Only when all news were heard."""
        try:
            look = self._counters.look()
        except Unavailable as error:
            LOG.warning("interface counters not read: %s", error)
            return frozenset()
        now_ms = self._clock() * 1e3
        found = self._wires_of(look)
        seated = {seat.port for seat in self._seats.values()}
        here = {p for p, (index, _) in found.items() if p in seated and index not in look.left}
        here -= self._pulled.keys()
        for port in sorted(here):
            if self._identities.get(port, found[port][1].identity) != found[port][1].identity:
                # made anew before the switch database said so
                self.depart(port)
        here -= self._pulled.keys()
        tracks = {port: track for port, track in self._tracks.items() if port in seated}
        for port in here:
            wire = found[port][1]
            tracks[port] = tracks.get(port, Track(Wire(wire.identity, 0))).after(now_ms, wire)
            self._identities[port] = wire.identity
        self._tracks = tracks
        return frozenset(here)

    def wires(self) -> Mapping[PortKey, Wire]:
        """What came in by the kernel's counters, now."""
        self._last = None
        look = self._counters.look()
        self._last = look
        found = {port: wire for port, (_, wire) in self._wires_of(look).items()}
        for seat in self._seats.values():
            if seat.port in found:
                self._identities.setdefault(seat.port, found[seat.port].identity)
        return found

    def ports(self, links: Iterable[str]) -> frozenset[PortKey]:
        """Whose interfaces these are."""
        return frozenset(self._names[name] for name in links if name in self._names)

    @property
    def pending(self) -> bool:
        """Whether somebody was pulled out whose departure is not settled."""
        return bool(self._pulled)

    def depart(self, port: PortKey) -> None:
        """A port was pulled out; stays noted until `settle`."""
        track, identity = self._tracks.pop(port, None), self._identities.pop(port, None)
        leaver = _Leaver(identity, None if track is None else track.sure)
        self._pulled[port] = _Leaver() if port in self._pulled else leaver

    def leave(self, ports: frozenset[PortKey]) -> None:
        """As `depart`, for ports whose leaving no snapshot needs to tell again."""
        for port in ports:
            self.depart(port)
        self._seats = {uid: seat for uid, seat in self._seats.items() if seat.port not in ports}
        self._unkept = True

    def departures(self) -> Mapping[PortKey, Departure]:
        """Those who were pulled out; call `wires` before, so that their last counts are known."""
        return {
            port: Departure(leaver.sure, self._final(leaver.identity))
            for port, leaver in sorted(self._pulled.items())
        }

    def settle(self, told: Mapping[PortKey, Departure]) -> None:
        """These departures are in the journal's keeping."""
        self._pulled = {port: leaver for port, leaver in self._pulled.items() if port not in told}

    def close(self) -> None:
        """Give the kernel's sockets back."""
        self._counters.close()

    def _final(self, identity: str | None) -> Wire | None:
        look = self._last
        if identity is None or look is None:
            return None
        index = int(identity.rpartition("#")[2])
        if index in look.left:
            received = look.left[index]
            return None if received is None else Wire(identity, received)
        return next((Wire(identity, c.received) for c in look.counts if c.index == index), None)

    def _wires_of(self, look: Look) -> dict[PortKey, tuple[int, Wire]]:
        return {
            self._names[c.name]: (c.index, Wire(f"{c.name}#{c.index}", c.received))
            for c in look.counts
            if c.name in self._names
        }


def _counting(state: State) -> dict[Series, Owner]:
    """Whose counters run."""
    found = state.baselines.items()
    return {series: each.owner for series, each in found if each.standing is Standing.OPEN}


def _touched(snapshot: Snapshot, changes: Iterable[Change]) -> tuple[Uid, ...] | None:
    """The iface-ids whose seats may differ; None if that takes a look at everything: the switch began anew,
    or the store has forgotten a port.
    """
    found: dict[Uid, None] = {}
    for change in changes:
        key: Any = change.key
        if change.part is Part.SWITCH:
            return None
        if change.part is Part.INTERFACE:
            found[key] = None
        elif change.part is Part.PORT:
            port = snapshot.ports.get(key)
            if port is None:
                return None
            found[port.uid] = None
    return tuple(sorted(found))

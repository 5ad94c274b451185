"""Leasing: holds the lease of this host and its partner, on a thread of its own, and the gate in the switch
with it.

Place: an effect over `controller.agent.lease`. The loop says who is the partner and whether this host is
fit; who serves the ports goes to the loop as an event. Each round in this order: flows armed or renewed,
store, flows renewed; the proof in `lease` rests on it. Must not wait for the loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from controller.agent import lease
from controller.agent.lease import Act, Standing, Timing
from controller.store import leases
from controller.store.leases import Hold, Lease
from controller.store.wire import Connection
from model.errors import RingfenceError
from model.ids import HostName

LOG: Final = logging.getLogger(__name__)
_LOOP: Final = 30.0
"""Seconds without a word of the loop after which this host does not count as fit."""
_IDLE: Final = 1.0
_CLOSING: Final = 2.0
"""Seconds that the loop gets for closing accounts. The fence may close by itself meanwhile."""
_NOBODY: Final = HostName("")


@dataclass(frozen=True, slots=True)
class Leased:
    """An event: this host holds the lease under `term`, and may serve ports; 0 = it may not."""

    term: int


class Gate(Protocol):
    """See `controller.southbound.openflow.gate.Gate`."""

    def arm(self, seconds: int) -> None: ...
    def renew(self) -> bool: ...
    def shut(self) -> None: ...
    def close(self) -> None: ...


class Rows(Protocol):
    """What is asked of the store: see `controller.store.leases`."""

    def read(self) -> Lease | None: ...
    def take(self, seen: Lease | None, wanted: Lease) -> bool: ...
    def renew(self, term: int, beat: int) -> Lease | None: ...
    def give_back(self, term: int) -> Lease | None: ...
    def stand_by(self, seen: Lease, beat: int, *, fit: bool) -> Lease | None: ...


@dataclass(frozen=True, slots=True)
class StoreRows:
    """The row of one pair in the store."""

    connection: Connection
    host: HostName
    partner: HostName

    def read(self) -> Lease | None:
        """See leases.read."""
        return leases.read(self.connection, self._pair)

    def take(self, seen: Lease | None, wanted: Lease) -> bool:
        """See leases.take."""
        return leases.take(self.connection, self._pair, seen, wanted)

    def renew(self, term: int, beat: int) -> Lease | None:
        """See leases.renew."""
        return leases.renew(self.connection, self._pair, self.host, term, beat)

    def give_back(self, term: int) -> Lease | None:
        """See leases.give_back."""
        return leases.give_back(self.connection, self._pair, self.host, term)

    def stand_by(self, seen: Lease, beat: int, *, fit: bool) -> Lease | None:
        """See leases.stand_by."""
        return leases.stand_by(self.connection, self._pair, seen, beat, fit=fit)

    @property
    def _pair(self) -> str:
        return leases.pair_of(self.host, self.partner)


class Leasing:
    """`want`, `hold`, `speaks`, `alarms` and `words` may be called from any thread, and none waits."""

    def __init__(
        self,
        host: HostName,
        timing: Timing,
        gate: Gate,
        rows: Callable[[HostName], Rows],
        on_change: Callable[[Leased], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host = host
        self._timing = timing
        self._gate = gate
        self._rows = rows
        self._on_change = on_change
        self._clock = clock
        self._partner = _NOBODY
        self._fit = False
        self._asked = 0.0
        self._standing: Standing | None = None
        self._row: Rows | None = None
        self._open = False
        self._lapsed = self._breaches = 0
        self._released = threading.Event()
        self._trouble = ""
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. The flows run out by themselves: the next life of the agent may renew them."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._gate.close()

    def want(self, partner: HostName, *, fit: bool) -> None:
        """Whom this host shares its ports with, nobody: empty; whether it reaches the fabric."""
        with self._changed:
            if partner != self._partner:
                self._changed.notify()
            self._partner, self._fit, self._asked = partner, fit, self._clock()

    def hold(self) -> Hold | None:
        """What to show with claims; None for a host without a partner. Term 0 is refused."""
        standing = self._standing
        return None if standing is None else Hold(standing.partner, standing.term)

    def speaks(self) -> bool:
        """Whether routes may be announced now: there is no partner, or the lease is held, by the clock.

        Once it was no, this term is over: whoever asked has given up the ports.
        """
        standing = self._standing
        if standing is None or lease.holds(standing, self._clock()):
            return True
        if standing.term and self._lapsed != standing.term:
            self._breaches += 1
        self._lapsed = standing.term
        return False

    def breaches(self) -> int:
        """How often the fence has, or may have, dropped what served ports sent: it was not given back."""
        return self._breaches

    def released(self) -> None:
        """The loop has closed the accounts of the ports: nothing that passed is still to be counted."""
        self._released.set()

    def words(self) -> str:
        """Who holds it, for the report; empty for a host without a partner."""
        standing = self._standing
        if standing is None:
            return ""
        if standing.term:
            return f"active, term {standing.term}, partner {standing.partner}"
        row = standing.seen
        if row is None or not row.holder:
            return f"fenced, nobody is active, partner {standing.partner}"
        return f"standby, {row.holder} is active, term {row.term}"

    def alarms(self) -> tuple[str, ...]:
        """In words; empty if there is no partner, or all is well."""
        standing = self._standing
        if standing is None:
            return ()
        if not standing.term:
            why = self._trouble or ("" if self._fit else "this host does not reach the fabric")
            return (f"not ready to take over from {standing.partner}: {why}",) if why else ()
        if lease.lives(standing, self._clock()):
            return ()
        if standing.taken_from:
            return (f"took over from {standing.taken_from}, term {standing.term}; it gives no sign of life",)
        return (f"partner {standing.partner} gives no sign of life: nobody would take over",)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                partner = self._partner
                fit = self._fit and self._clock() - self._asked < _LOOP
            try:
                self.round(partner, fit=fit)
                self._trouble = ""
            except RingfenceError as error:
                self._fail(str(error))
            except Exception as error:  # a defect must not end the thread: it would look like a dead host
                LOG.exception("lease not looked after host=%s", self._host)
                self._fail(f"{type(error).__name__}: {error}")
            with self._changed:
                if not self._stopping and self._partner == partner:
                    self._changed.wait(self._timing.pause if self._standing else _IDLE)

    def round(self, partner: HostName, *, fit: bool) -> None:
        """One look at the lease, and what follows. Raises RingfenceError: nothing is known then."""
        standing = self._standing
        if standing is None or standing.partner != partner:
            standing = self._meet(partner)
        if standing is None:
            return
        if standing.term:
            self._hold(standing, fit=fit)
        else:
            self._seek(standing, fit=fit)

    def _meet(self, partner: HostName) -> Standing | None:
        """Another partner than before, or none: what was held is not."""
        if self._standing is not None and self._standing.term:
            self._lose("its partner changed")
        fresh = Standing(self._host, partner, self._timing) if partner else None
        self._row = self._rows(partner) if partner else None
        self._standing = fresh
        return fresh

    def _hold(self, standing: Standing, *, fit: bool) -> None:
        assert self._row is not None and standing.seen is not None
        if self._lapsed == standing.term or not lease.holds(standing, self._clock()):
            self._expire(standing)
            return
        if lease.decide(standing, self._clock(), fit=fit) is Act.GIVE_BACK:
            self._give_back(standing)
            return
        if not self._open:
            self._breaches += 1
            self._gate.arm(self._timing.hard)
        began = self._clock()
        row = self._row.renew(standing.term, standing.seen.beat + 1)
        if row is None:
            self._lose("another has it")
            return
        self._standing = lease.renewed(standing, row, began, self._clock())
        self._open = self._gate.renew()
        if not self._open:
            LOG.warning("fence had closed host=%s term=%d: renewed too late", self._host, standing.term)

    def _seek(self, standing: Standing, *, fit: bool) -> None:
        assert self._row is not None
        now = self._clock()
        standing = self._standing = lease.observe(standing, self._row.read(), now)
        act = lease.decide(standing, now, fit=fit)
        if act is Act.TAKE:
            self._take(standing)
        elif act is Act.STAND_BY and standing.seen is not None:
            self._row.stand_by(standing.seen, standing.seen.standby_beat + 1, fit=fit)

    def _take(self, standing: Standing) -> None:
        assert self._row is not None
        self._gate.arm(self._timing.hard)
        began, wanted = self._clock(), lease.proposal(standing)
        if not self._row.take(standing.seen, wanted):
            self._gate.shut()
            self._standing = lease.lost(standing)
            return
        self._standing = lease.taken(standing, wanted, began)
        former = self._standing.taken_from
        LOG.warning(
            "lease taken host=%s partner=%s term=%d from=%s",
            self._host,
            standing.partner,
            wanted.term,
            former,
        )
        self._on_change(Leased(wanted.term))
        self._open = self._gate.renew()

    def _give_back(self, standing: Standing) -> None:
        """First the loop closes the accounts of the ports, then nothing passes any more, then the other
        may."""
        assert self._row is not None
        self._released.clear()
        LOG.warning("lease given back host=%s term=%d", self._host, standing.term)
        self._standing = lease.lost(standing)
        self._open = False
        self._on_change(Leased(0))
        if not self._released.wait(_CLOSING):
            self._breaches += 1
        self._gate.shut()
        self._row.give_back(standing.term)
        self._standing = lease.given_back(standing)

    def _lose(self, why: str) -> None:
        standing = self._standing
        assert standing is not None
        LOG.warning("lease lost host=%s term=%d reason=%s", self._host, standing.term, why)
        self._breaches += 1
        self._standing = lease.lost(standing)
        self._open = False
        self._on_change(Leased(0))
        self._gate.shut()

    def _fail(self, why: str) -> None:
        """Store or switch gave no answer. Who holds the lease lets go of it before the other may take it."""
        if why != self._trouble:
            LOG.warning("lease not renewed host=%s reason=%s", self._host, why)
        self._trouble = why
        self._open = False
        standing = self._standing
        if standing is None:
            return
        if not standing.term:
            self._standing = lease.blind(standing)
        elif not lease.holds(standing, self._clock()):
            self._expire(standing)

    def _expire(self, standing: Standing) -> None:
        LOG.warning("lease lost host=%s term=%d reason=not renewed in time", self._host, standing.term)
        self._breaches += 1
        self._standing = lease.lost(standing)
        self._on_change(Leased(0))

"""Conductor: moves the gangs of one fabric on, by what the store, their hosts and the fabric's driver say.

Place: the round of `ringfenced fabric`. Nobody else writes how far a gang is, but for the API, which reserves
it and lets it go. Each write holds only if the gang is as it was read. Must not write what nobody
has read back, nor drive a fabric by a store that does not know what the fabric bears.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from controller.fabric.guard import objection
from controller.fabric.hearing import Hearing
from controller.fabric.office import Office
from controller.store.faults import Lost, Raced
from controller.store.gangs import advance, departure
from controller.store.records import Contents
from controller.store.writer import Store
from ipam.fabric import alarms
from ipam.fabric.course import Account, Course, judge, plan
from ipam.fabric.hold import Hold
from ipam.fabric.opensm import Verdict
from ipam.fabric.partitions import Partitions
from ipam.gangs.ledger import Ledger
from ipam.gangs.life import Move, answers, step
from model.bearing import FabricWord, Wait, format_fabric
from model.errors import Fault, RingfenceError
from model.fabric import Fabric, Guid
from model.gang import Gang, GangState
from model.ids import Uid

log = logging.getLogger(__name__)
PATIENCE: Final = 120.0
SWEEP: Final = 10.0
"""Seconds after which a fabric is looked at, though nothing was changed."""
LISTEN: Final = 2.0
"""Seconds after which all hosts of a fabric are heard, though nothing is under way."""
RETRY: Final = 1.0
"""Seconds after which it is looked at again because of ports that are other than wanted, or do not answer."""
_MOVED, _WAITING, _IDLE, _STILL = 0.02, 0.1, 0.25, 1.0
"""Seconds until the next round. STILL: something is waited for that did not come for a while."""
_A_WHILE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Duty:
    """`driver`: its name. `managers`: port GUIDs of the subnet managers that there may be. `patience`:
    seconds for each step of a gang. `inherited`: what the fabric was last told to hold, None = not known.
    `standing`: alarms that stay as long as this process lives.
    """

    fabric: str
    driver: str
    managers: tuple[Guid, ...] = ()
    patience: float = PATIENCE
    inherited: Partitions | None = None
    standing: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Round:
    """The last look at the fabric. `at`: seconds; `read`: Unix ms at which it began to read `tables`."""

    course: Course
    accounts: tuple[Account, ...] = ()
    faults: tuple[Fault, ...] = ()
    tables: dict[Guid, tuple[int, ...] | None] = field(default_factory=dict)
    at: float = 0.0
    read: int = 0
    done: bool = False


class Conductor:
    """`now`: Unix ms; `elapsed`: seconds that only go forward."""

    def __init__(
        self,
        store: Store,
        office: Office,
        driver: Hold,
        duty: Duty,
        now: Callable[[], int],
        elapsed: Callable[[], float],
    ) -> None:
        self._store, self._office, self._driver, self._duty = store, office, driver, duty
        self._now, self._elapsed = now, elapsed
        self._hearing = Hearing(now, elapsed)
        self._heard = float("-inf")
        self._held = duty.inherited
        self._before: Partitions | None = None
        self._cluster: tuple[Uid, int] | None = None
        self._steady: int | None = None
        self._round: _Round | None = None
        self._told: FabricWord | None = None
        self._objected = ""
        self._cleared: Contents | None = None
        self._stirred = float("-inf")
        self._planned: tuple[Ledger, Fabric, Course] | None = None

    def turn(self) -> float:
        """One round; seconds until the next. Raises RingfenceError if the store does not answer."""
        try:
            return self._turn()
        except RingfenceError:
            # What was waited for meanwhile is nobody's fault: patience counts anew.
            self._steady = None
            raise

    def end(self) -> None:
        """Let another process speak at once. Raises RingfenceError if the store does not answer."""
        if self._told is not None:
            self._office.leave(format_fabric(replace(self._told, owner="")))

    def _turn(self) -> float:
        contents = self._store.contents()
        if not self._enter():
            # Whoever speaks meanwhile may have others join and leave.
            self._steady = self._round = self._before = self._held = None
            return _IDLE
        fault = None
        if contents is not self._cleared:
            fault = objection(contents, self._duty.fabric, self._cluster, self._held)
        self._cleared = contents if fault is None else None
        if (fault.rule if fault else "") != self._objected:
            self._objected = fault.rule if fault else ""
            log.warning("fabric=%s %s", self._duty.fabric, fault.message if fault else "goes on")
        if fault is not None:
            self._steady = None
            self._say((fault,), (), {}, 0)
            return _IDLE
        assert contents.cluster is not None
        self._cluster = (contents.cluster.uid, contents.cluster.generation)
        if self._steady is None:
            self._steady = self._now()
        return self._conduct(contents, contents.fabrics[self._duty.fabric].value)

    def _enter(self) -> bool:
        """Whether this process is the one that speaks."""
        word = self._told or FabricWord(self._duty.fabric, self._duty.driver, self._office.owner)
        return self._office.held or self._office.speak(format_fabric(word))

    def _conduct(self, contents: Contents, fabric: Fabric) -> float:
        gangs = sorted(
            (g for g in contents.ledger.gangs.values() if g.request.fabric == fabric.name),
            key=lambda gang: gang.generation,
        )
        under_way = [gang for gang in gangs if gang.progress.state is not GangState.ACTIVE]
        last = self._round
        course = self._plan(contents.ledger, fabric, gangs)
        seen = self._look(course, self._driver.of(fabric))
        all_heard = self._listen(contents, fabric, under_way)
        if not under_way and not all_heard and seen is last:
            return _IDLE
        accounts = {account.gang.generation: account for account in seen.accounts}
        hosts, waits, moved = self._hearing.hosts(), [], False
        for gang in gangs:
            account = accounts.get(gang.generation)
            found = step(self._patient(gang), account, answers(hosts, gang), self._now(), self._duty.patience)
            if isinstance(found, Move):
                moved = self._write(contents, fabric, gang, found) or moved
            elif found is not None:
                waits.append(found)
        self._say((*self._duty.standing, *seen.faults), tuple(waits), seen.tables, seen.read)
        if moved or seen.course is not (last and last.course):
            self._stirred = self._elapsed()
        if moved:
            return _MOVED
        if not under_way:
            return _IDLE
        return _WAITING if self._elapsed() - self._stirred < _A_WHILE else _STILL

    def _plan(self, ledger: Ledger, fabric: Fabric, gangs: list[Gang]) -> Course:
        """Worked out again only if a gang or the fabric is another: there may be thousands of ports."""
        if self._planned is None or self._planned[0] is not ledger or self._planned[1] != fabric:
            self._planned = (ledger, fabric, plan(gangs, fabric, self._duty.managers))
        return self._planned[2]

    def _patient(self, gang: Gang) -> Gang:
        """Nobody is impatient for what was not looked after."""
        assert self._steady is not None
        since = gang.since if gang.since <= self._now() else 0
        return replace(gang, since=max(since, self._steady))

    def _look(self, course: Course, driver: Hold) -> _Round:
        """Have the driver hold the fabric; what it said last will do for a while if nothing is under way."""
        last, at = self._round, self._elapsed()
        if (
            last is not None
            and (last.course is course or last.course == course)
            and at - last.at < (SWEEP if last.done else RETRY)
        ):
            return last
        found = _Round(course, read=self._now())
        try:
            verdict = driver.hold(self._before, course.wanted, course.ask)
        except (OSError, ValueError) as error:
            self._before = None
            message = f"the driver {self._duty.driver} failed: {error}"
            name = f"Fabric {self._duty.fabric}"
            found.faults = (Fault(name, "fabric-driver", message, "Look at the log of this process."),)
        else:
            self._before = self._held = course.wanted
            self._judge(found, verdict)
        if last is None or [f.rule for f in last.faults] != [f.rule for f in found.faults]:
            for fault in found.faults:
                log.warning("fabric=%s %s: %s", self._duty.fabric, fault.rule, fault.message)
        found.at = self._elapsed()
        self._round = found
        return found

    def _judge(self, found: _Round, verdict: Verdict) -> None:
        found.accounts = judge(found.course, verdict)
        found.faults = alarms.faults(found.course, verdict, self._duty.fabric)
        found.tables = verdict.tables
        found.done = not found.faults and not any(account.by for account in found.accounts)

    def _listen(self, contents: Contents, fabric: Fabric, under_way: list[Gang]) -> bool:
        """Those whose gangs are under way each time, the others now and then; whether it was all of them."""
        at = self._elapsed()
        every = at - self._heard >= LISTEN
        if every:
            self._heard = at
            nodes = (record.value for record in contents.nodes.values())
            names = {node.host for node in nodes if node.fabric == fabric.name}
        else:
            names = {berth.host for gang in under_way for berth in gang.berths}
        self._hearing.take(self._store.host_words(names))
        return every

    def _write(self, contents: Contents, fabric: Fabric, gang: Gang, move: Move) -> bool:
        """Whether it was written. If the gang is not as it was read, the next round sees what it is."""
        if not self._office.held:
            return False
        now, name = self._now(), f"{gang.request.tenant}/{gang.request.name}"
        gone = move.progress.state is GangState.RELEASED
        if gone:
            changes = departure(contents, gang, move.progress, now + 1000 * fabric.cool_down, now)
        else:
            changes = advance(gang, move.progress, now, move.why)
        try:
            self._store.move(changes)
        except (Raced, Lost) as error:
            log.debug("gang=%s looks again: %s", name, error)
            return False
        log.info(
            "gang=%s generation=%d %s -> %s%s",
            name,
            gang.generation,
            gang.progress.state.value,
            move.progress.state.value,
            f" why={move.why}" if move.why else "",
        )
        return True

    def _say(
        self,
        faults: tuple[Fault, ...],
        waits: tuple[Wait, ...],
        tables: dict[Guid, tuple[int, ...] | None],
        read: int,
    ) -> None:
        """At once if it is news; else the office repeats it."""
        word = FabricWord(
            self._duty.fabric, self._duty.driver, self._office.owner, faults, waits, tables, read
        )
        if word != self._told:
            self._told = word
            self._office.speak(format_fabric(word))

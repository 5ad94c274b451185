"""UFM: holds the partitions of a fabric as wanted in NVIDIA UFM Enterprise, by its REST API.

Place: the driver of `ringfenced fabric` where UFM manages the subnet; the same contract as `opensm`. Written
from UFM's documentation and tried against a server that behaves so, never on a real one. Must not report
what it has not read after the last change, must not touch partitions that are not the fabric's, and must not
say of a port that it is out while a request that nobody answered may still put it in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from ipam.fabric import credential
from ipam.fabric.https import Server
from ipam.fabric.managers import Seen, Standing, strangers
from ipam.fabric.members import Change, Deed, Members, changes, intruders, occupied, strange, tables
from ipam.fabric.opensm import Alarm, Clock, Verdict
from ipam.fabric.partitions import Partitions
from ipam.fabric.tables import LEAKS, Difference, Drift, compare, set_aside
from ipam.fabric.talk import MOST_GUIDS, Came, Talk
from model.errors import Fault, Invalid
from model.fabric import FULL_MEMBER, PKEYS, Fabric, Guid, PKey

Tables = dict[Guid, tuple[int, ...] | None]
_NOBODY: Final = Guid(0)
_PAUSE: Final = 0.2
"""Seconds between looks."""
_GRACE: Final = 5.0
"""Seconds until a change that does not show is asked for again."""
_SHOWING: Final = 10.0
"""Seconds that a change of UFM's may take to show at ports."""
_REWRITTEN: Final = 64
"""Ports at a time."""
_AGAIN: Final = 300.0
"""Seconds until a port that was taken out and put back in vain may be so again, and is waited for again."""
_REFUSALS: Final = 64
"""Requests of a round that UFM may refuse before the rest is left for the next one."""


class Ports(Protocol):
    """Whoever asks ports themselves."""

    def tables(self, guids: Iterable[Guid]) -> Tables:
        """Each port's table; None = it did not answer."""

    def managers(self) -> tuple[Seen, ...] | None:
        """All subnet managers; None = nobody says."""


@dataclass(slots=True)
class Memory:
    """What a driver knows from its last rounds, and forgets with its process.

    `doubts`: who may yet be put into which partition by a request that was not answered, and until when.
    `settled`: what was wanted when everything last was so, by the ports `seen`: what differs later was
    somebody else.
    `spared`: members that nobody knew when it began: the store may be the wrong one. None = not begun.
    `rewritten`: ports that were taken out and put back, until when that is not done again.
    """

    doubts: dict[tuple[PKey, Guid], float] = field(default_factory=dict)
    settled: Partitions | None = None
    seen: frozenset[Guid] = frozenset()
    spared: frozenset[tuple[PKey, Guid]] | None = None
    rewritten: dict[Guid, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ufm:
    """`allowed`: GUIDs of ports that subnet managers may be at, UFM's and its standby's. `ports`: None =
    UFM's word is taken for what ports have. `patience`: seconds that a round may take. `doubt`: seconds that
    a request without an answer may still be under way.
    """

    server: Server
    credential: Path
    fabric: Fabric
    allowed: tuple[Guid, ...]
    ports: Ports | None
    clock: Clock
    patience: float = 30.0
    doubt: float = 120.0
    memory: Memory = field(default_factory=Memory)

    def of(self, fabric: Fabric) -> Ufm:
        """The same, for the fabric as it is declared now."""
        return replace(self, fabric=fabric)

    def hold(self, before: Partitions | None, wanted: Partitions, ports: Iterable[Guid]) -> Verdict:
        """As `opensm.OpenSm.hold`, but that nothing is raised: why UFM did not do it is in `said`."""
        asked = {*ports, *(guid for each in wanted.tenants for guid in (*each.full, *each.limited))}
        try:
            talk = Talk(self.server, credential.read(self.credential), self.fabric)
        except Invalid as error:
            found = self._tables(None, asked)
            left = compare(wanted, found, _NOBODY)
            judged, managers = self._judge()
            return Verdict((Alarm.SILENT, *judged), (), left, found, managers, error.faults)
        end = self.clock.now() + self.patience
        members = talk.everyone()
        self._forget(members)
        self._spare(members, wanted, asked)
        found = self._tables(members, asked)
        alarms, altered = self._altered(before, members, found)
        members = self._converge(talk, members, wanted, end)
        if self.ports is None:
            found = self._tables(members, asked)
        elif members is not None:
            found = self._await(wanted, found)
            members, found = self._rewrite(talk, members, wanted, found)
        return self._verdict(talk, members, wanted, found, tuple(alarms), altered)

    def _spare(self, members: Members | None, wanted: Partitions, asked: set[Guid]) -> None:
        """Remember at the beginning whom no gang of the store has, and leave those alone until one has them:
        an empty store, or one from before, shall not end jobs.
        """
        if members is not None:
            now = strange(members, wanted, self.fabric, asked)
            self.memory.spared = now if self.memory.spared is None else self.memory.spared & now

    def _altered(
        self, before: Partitions | None, members: Members | None, found: Tables
    ) -> tuple[list[Alarm], tuple[Drift, ...]]:
        """Nothing if the last round left something undone: then it is not known who did what."""
        if before is None or before != self.memory.settled:
            return [], ()
        told = members is not None and bool(changes(members, before, self.fabric))
        known = {guid: table for guid, table in found.items() if guid in self.memory.seen}
        altered = _heard(compare(before, known, _NOBODY))
        return [Alarm.FILE] * told + [Alarm.PORTS] * bool(altered), altered

    def _converge(
        self, talk: Talk, members: Members | None, wanted: Partitions, end: float
    ) -> Members | None:
        """UFM made as wanted, as far as it lets us; None = it is not known what it has now."""
        refused: set[tuple[Deed, PKey, Guid]] = set()
        if members is None:
            members = self._look(talk, wanted, set(), min(end, self.clock.now() + _GRACE))
        while members is not None:
            todo = self._possible(changes(members, wanted, self.fabric), refused)
            over = self.clock.now() >= end or len(refused) >= _REFUSALS
            if not todo or over or talk.barred or talk.forbidden:
                return members
            for part in (part for change in todo for part in _parts(change)):
                # A server that answers slowly shall not make a round of hours: the rest is for the next one.
                if self.clock.now() < end:
                    self._carry(talk, wanted, part, refused, end)
            members = self._look(talk, wanted, _keys(todo) - refused, min(end, self.clock.now() + _GRACE))
        return None

    def _possible(
        self, todo: tuple[Change, ...], refused: set[tuple[Deed, PKey, Guid]]
    ) -> tuple[Change, ...]:
        """Without what was refused, and without putting in who may yet be put in elsewhere."""
        doubted: dict[Guid, set[PKey]] = {}
        for pkey, guid in self.memory.doubts:
            doubted.setdefault(guid, set()).add(pkey)

        def may(change: Change, guid: Guid) -> bool:
            other = change.deed is Deed.PUT and doubted.get(guid, set()) - {change.pkey}
            spared = change.deed is Deed.TAKE and (change.pkey, guid) in (self.memory.spared or ())
            return not other and not spared and (change.deed, change.pkey, guid) not in refused

        kept = (replace(each, guids=tuple(guid for guid in each.guids if may(each, guid))) for each in todo)
        return tuple(change for change in kept if change.guids)

    def _carry(
        self,
        talk: Talk,
        wanted: Partitions,
        change: Change,
        refused: set[tuple[Deed, PKey, Guid]],
        end: float,
    ) -> None:
        came = talk.carry(change)
        if came is Came.MAYBE and change.deed is Deed.PUT:
            until = self.clock.now() + self.doubt
            self.memory.doubts |= {(change.pkey, guid): until for guid in change.guids}
        if came is Came.BARRED:
            return
        if came is Came.REFUSED:
            # One that it does not like shall not keep the others out.
            if len(change.guids) == 1 or len(refused) >= _REFUSALS or self.clock.now() >= end:
                refused |= _keys((change,))
                return
            half = len(change.guids) // 2
            for guids in (change.guids[:half], change.guids[half:]):
                self._carry(talk, wanted, replace(change, guids=guids), refused, end)
            return
        told, seats = talk.partition(change.pkey)
        needed = any(each.pkey == change.pkey for each in wanted.tenants)
        if change.deed is Deed.TAKE and told and seats is not None and not seats and not needed:
            # We emptied it; UFM does away with such a partition by itself, or it does not.
            talk.close(change.pkey)

    def _look(
        self, talk: Talk, wanted: Partitions, sent: set[tuple[Deed, PKey, Guid]], until: float
    ) -> Members | None:
        """All partitions, as soon as nothing of what was sent is still to be done, or at the end of time: an
        answer may be older than the change."""
        while True:
            members = talk.everyone()
            if members is not None and not sent & _keys(changes(members, wanted, self.fabric)):
                return members
            if talk.barred or talk.forbidden or self.clock.now() >= until:
                return members
            self.clock.sleep(_PAUSE)

    def _await(self, wanted: Partitions, found: Tables) -> Tables:
        """Ports asked until they are as wanted, and then once at everything: UFM knows before they do. A port
        that nothing mended lately is not waited for: it shall not cost all gangs their time.
        """
        if self.ports is None or not _heard(compare(wanted, found, _NOBODY)):
            return found
        end = self.clock.now() + _SHOWING
        while True:
            wrong = {drift.guid for drift in compare(wanted, found, _NOBODY)}
            found = {**found, **self.ports.tables(wrong)}
            hoped = self._hoped(compare(wanted, found, _NOBODY))
            if not hoped:
                found = self.ports.tables(found)
                hoped = self._hoped(compare(wanted, found, _NOBODY))
            if not hoped or self.clock.now() >= end:
                return found
            self.clock.sleep(_PAUSE)

    def _hoped(self, drifts: tuple[Drift, ...]) -> tuple[Drift, ...]:
        """Those that may yet go away."""
        now = self.clock.now()
        return tuple(d for d in _heard(drifts) if self.memory.rewritten.get(d.guid, now) <= now)

    def _rewrite(
        self, talk: Talk, members: Members, wanted: Partitions, found: Tables
    ) -> tuple[Members | None, Tables]:
        """Have the manager write tables that it believes to be right: see `opensm`. Only when UFM itself is
        as wanted, so that it is the port that differs.
        """
        drifts = self._hoped(compare(wanted, found, _NOBODY))
        ordered = sorted(drifts, key=lambda drift: (drift.what not in LEAKS, drift.guid))
        # What is wrong with the default partition is no tenant's membership, and not ours to set.
        other = {d.guid for d in drifts if d.what in (Difference.OPEN, Difference.DEFAULT)}
        self.memory.rewritten |= dict.fromkeys(other, self.clock.now() + _AGAIN)
        mended = (d.guid for d in ordered if d.what not in (Difference.OPEN, Difference.DEFAULT))
        guids = tuple(dict.fromkeys(mended))[:_REWRITTEN]
        if not guids or talk.barred or changes(members, wanted, self.fabric):
            return members, found
        free = {*self.fabric.pkeys} - {*members.seats, *(each.pkey for each in wanted.tenants)}
        if not free:
            return members, found
        foreign = tuple(sorted({*PKEYS} - free))
        now: Members | None = members
        for step in (set_aside(wanted, guids, {**found, _NOBODY: foreign}), wanted):
            now = self._converge(talk, now, step, self.clock.now() + _SHOWING)
            found = self._await(step, found)
        vain = {drift.guid for drift in _heard(compare(wanted, found, _NOBODY))}.intersection(guids)
        self.memory.rewritten |= dict.fromkeys(vain, self.clock.now() + _AGAIN)
        return now, found

    def _verdict(
        self,
        talk: Talk,
        members: Members | None,
        wanted: Partitions,
        found: Tables,
        alarms: tuple[Alarm, ...],
        altered: tuple[Drift, ...],
    ) -> Verdict:
        self._forget(members)
        todo = () if members is None else changes(members, wanted, self.fabric)
        told = self._doubted(wanted, set(_takes(todo)), found)
        left = {*compare(wanted, told, _NOBODY)}
        if members is not None:
            # Ports know better than UFM who is a full member of the default partition.
            said = members if self.ports is None else replace(members, base=0)
            left |= {*_heard(compare(wanted, tables(said, found), _NOBODY))}
            left |= {*intruders(members, wanted, self.fabric)}
        settled = members is not None and not todo
        ordered = tuple(sorted(left, key=lambda d: (d.guid, d.what.value, d.pkey)))
        self.memory.settled = wanted if settled and not _heard(ordered) else None
        self.memory.seen = frozenset(guid for guid, table in told.items() if table is not None)
        silent = (Alarm.SILENT,) if members is None else ()
        undone = (Alarm.LEFT,) if _heard(ordered) or todo else ()
        judged, managers = self._judge()
        why = (*(() if settled else talk.faults.values()), *self._standing(members, wanted, found))
        return Verdict((*alarms, *silent, *undone, *judged), altered, ordered, told, managers, why)

    def _doubted(self, wanted: Partitions, taken: set[Guid], found: Tables) -> Tables:
        """Nobody is out who may yet be put in, or whom UFM still has in: both are as good as unseen."""
        place = {guid: each.pkey for each in wanted.tenants for guid in (*each.full, *each.limited)}
        unsure = {guid for pkey, guid in self.memory.doubts if place.get(guid) != pkey}
        if self.ports is not None:
            unsure |= taken
        return {guid: None if guid in unsure else table for guid, table in found.items()}

    def _forget(self, members: Members | None) -> None:
        """Doubts whose time is over, or that came true."""
        now = self.clock.now()
        for (pkey, guid), until in tuple(self.memory.doubts.items()):
            if now >= until or (members is not None and guid in members.of(pkey)):
                del self.memory.doubts[pkey, guid]
        for guid, until in tuple(self.memory.rewritten.items()):
            if now >= until:
                del self.memory.rewritten[guid]

    def _standing(self, members: Members | None, wanted: Partitions, found: Tables) -> tuple[Fault, ...]:
        """What is wrong with how UFM is set up."""
        if members is None:
            return ()
        name, out = f"UFM of fabric {self.fabric.name}", []
        if members.base == FULL_MEMBER:
            remedy = "set default_membership = limited in its gv.cfg, and restart it"
            out.append(
                Fault(name, "ufm-open", "every port is a full member of the default partition", remedy)
            )
        if members.base is None and self.ports is None and found:
            message = "it does not say how ports are members of the default partition"
            out.append(Fault(name, "ufm-old", message, "take UFM 6.19 or newer, or have ports asked"))
        if self.memory.spared:
            names = ", ".join(f"0x{guid:016x}" for _, guid in sorted(self.memory.spared)[:4])
            many = len(self.memory.spared)
            message = f"{many} ports are in partitions, and no gang of the store has them: {names}"
            remedy = "restore the store that made them members; if they are to leave, remove them in UFM"
            out.append(Fault(name, "store-foreign", message, remedy))
        for pkey in occupied(members, wanted, self.fabric)[:8]:
            message = f"partition 0x{pkey:04x} has members, none of them of this fabric"
            remedy = "name the key in reservedPkeys of the fabric, or delete the partition in UFM"
            out.append(Fault(name, "ufm-occupied", message, remedy))
        return tuple(out)

    def _tables(self, members: Members | None, asked: Iterable[Guid]) -> Tables:
        if self.ports is not None:
            return self.ports.tables(asked)
        return dict.fromkeys(asked) if members is None else tables(members, asked)

    def _judge(self) -> tuple[tuple[Alarm, ...], tuple[Seen, ...]]:
        """UFM's API has no call that says which managers there are, so only ports tell."""
        if self.ports is None:
            return (), ()
        seen = self.ports.managers()
        if seen is None:
            return (Alarm.MUTE,), ()
        unknown = strangers(seen, self.allowed)
        deposed = any(each.standing is Standing.MASTER for each in unknown)
        return ((Alarm.STRANGER,) if unknown else ()) + ((Alarm.DEPOSED,) if deposed else ()), unknown


def _parts(change: Change) -> Iterable[Change]:
    for begin in range(0, len(change.guids), MOST_GUIDS):
        yield replace(change, guids=change.guids[begin : begin + MOST_GUIDS])


def _keys(todo: Iterable[Change]) -> set[tuple[Deed, PKey, Guid]]:
    return {(change.deed, change.pkey, guid) for change in todo for guid in change.guids}


def _takes(todo: Iterable[Change]) -> Iterable[Guid]:
    return (guid for change in todo if change.deed is Deed.TAKE for guid in change.guids)


def _heard(drifts: tuple[Drift, ...]) -> tuple[Drift, ...]:
    """Without ports that did not answer: a device that is not there can't be mended by a change."""
    return tuple(drift for drift in drifts if drift.what is not Difference.UNSEEN)

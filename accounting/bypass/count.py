"""Count: readings of gangs' devices -> intervals and gaps. Pure; `fold` recovers the state from the journal.

Place: called by `controller.agent.gauging`. Must not do I/O, read a clock, or raise on odd counters.

The rules:
- What a device counts is its holder's from the reading at which its links were about to be raised; before, it
  is nobody's. So that reading, and the step that names the holder, stand before the links are up.
- A holder is followed by the next one at a reading. Where that reading, or the step, is not on disk and
  the next one's links may be up, nobody is billed: both get a gap.
- `Settled` devices (links down, and read after that) have nothing more to tell: whatever becomes of their
  counters is no gap.
- A device that tells zeros after it had counted is not believed while its links may be up: that is what
  Linux says when the device could not be asked (rtnl_fill_vfinfo). What it tells next decides.
- Counters that were there before the journal began are not billed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from accounting.bypass.registers import Missing, Rise, limit, rise
from accounting.classes import INBOUND, UNCLASSIFIED
from accounting.records import Cause, Gap, Interval, Owner, Run
from model.ids import ClassId, HostName, PortKey
from model.tally import FULL, Manner, Tally

CLASS_NAME: Final = "unclassified"
AGAIN_MS: Final = 600_000
"""A device that is still is journalled this often all the same, so that bounds don't grow without end."""
FULL_AGAIN_MS: Final = 3_600_000
"""As long as a counter stands at its end, it is told once in this time."""
_EPOCHS: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class Holding:
    """Who has a device. `number` stands for it in the ledger. `generation`: of the gang.

    `up`: its links may be up, by the store. `going`: it is being taken back.
    """

    number: PortKey
    generation: int
    owner: Owner
    up: bool = False
    going: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What is journalled of a device. `tally`: the holder's bytes are counted from here; None = not known
    from where. `at_ms`: Unix time, `up_ms`: since boot, of that reading, or of when it should have been.

    `flowing`: the links may be up since then. `settled`: they are down, and it was read since. `doubted`: it
    told zeros.
    """

    boot_id: str
    at_ms: int
    up_ms: int
    tally: Tally | None = None
    holding: Holding | None = None
    flowing: bool = False
    settled: bool = False
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What the journal amounts to. `recovered`: holders were not named since the process began."""

    next_sequence: int
    accounts: Mapping[str, Account] = field(default_factory=dict)
    recovered: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """`tallies`: by device; one that is left out could not be read. `holdings`: of all devices, now.

    `settling`: devices whose links were lowered, just before they are taken from their driver.
    """

    host: HostName
    boot_id: str
    at_ms: int
    up_ms: int
    tallies: Mapping[str, Tally]
    holdings: Mapping[str, Holding]
    settling: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One reading's worth: journalled whole or not at all. `accounts`: those that changed."""

    host: HostName
    boot_id: str
    at_ms: int
    records: tuple[Interval | Gap, ...] = ()
    accounts: Mapping[str, Account] = field(default_factory=dict)


def advance(state: State, reading: Reading) -> Step:
    """What `reading` adds to `state`."""
    draft = _Draft(state, reading)
    for place in sorted(state.accounts.keys() | reading.holdings.keys()):
        draft.device(place)
    return Step(reading.host, reading.boot_id, reading.at_ms, tuple(draft.records), draft.accounts)


def fold(state: State, step: Step) -> State:
    """The state after a step, at each reading; `recover` does it over the journal."""
    sequence = max((record.sequence + 1 for record in step.records), default=0)
    accounts = {**state.accounts, **step.accounts} if step.accounts else state.accounts
    return State(max(state.next_sequence, sequence), accounts, recovered=False)


def recover(state: State, steps: Iterable[Step]) -> State:
    """The state after all `steps`, of a process that just began."""
    for step in steps:
        state = fold(state, step)
    return replace(state, recovered=True)


@dataclass(frozen=True, slots=True)
class _Case:
    """One device at one reading. `tally`: None also if it is not believed. `known`: it has an account.

    `stays`: the holder is the same. `flowing`: its links may have been up since the last reading.
    `unclear`: the new holder's may have been.
    """

    place: str
    old: Account
    hold: Holding | None
    tally: Tally | None
    doubted: bool
    known: bool
    stays: bool
    flowing: bool
    unclear: bool
    settling: bool
    elapsed: int | None

    @property
    def most(self) -> int | None:
        return limit(self.old.tally, self.tally, self.elapsed)

    @property
    def mixed(self) -> bool:
        """Whether the holder's bytes can't be told from another's."""
        return not self.old.flowing or (not self.stays and self.unclear)


class _Draft:
    """The records of one step while they are made; lives inside `advance` only."""

    def __init__(self, state: State, reading: Reading) -> None:
        self.state, self.reading = state, reading
        self.records: list[Interval | Gap] = []
        self.accounts: dict[str, Account] = {}
        self.sequence = state.next_sequence

    def device(self, place: str) -> None:
        old, hold = self.state.accounts.get(place), self.reading.holdings.get(place)
        if hold is None and (old is None or old.holding is None):
            return
        case = self._case(place, old, hold)
        if case.stays and _still(case):
            return
        if case.old.holding is not None and case.flowing:
            owner = hold if case.stays and hold is not None else case.old.holding
            self._settle(case, owner)
        if hold is not None and hold.up and not case.stays:
            self._begin(case, hold)
        if case.stays and case.tally is None and case.old.flowing and not case.doubted:
            return  # not read: it goes on from where it was
        self.accounts[place] = self._account(case)

    def _case(self, place: str, old: Account | None, hold: Holding | None) -> _Case:
        reading, recovered = self.reading, self.state.recovered
        before = old or Account(reading.boot_id, reading.at_ms, reading.up_ms)
        stays = hold is not None and _same(before.holding, hold)
        # An earlier process may have raised links without a word on disk.
        unclear = recovered and hold is not None and hold.up
        at_rest = before.settled or not (before.flowing or (recovered and _may_be_up(before.holding)))
        tally = reading.tallies.get(place)
        doubted = _zeroed(before, tally, reading.boot_id) and not (
            at_rest and before.doubted
        )  # told twice at rest: believed
        same_boot = before.boot_id == reading.boot_id
        elapsed = reading.up_ms - before.up_ms if same_boot else reading.at_ms - before.at_ms
        return _Case(
            place=place,
            old=before,
            hold=hold,
            tally=None if doubted else tally,
            doubted=doubted and at_rest,
            known=old is not None,
            stays=stays,
            flowing=before.flowing or (stays and unclear),
            unclear=unclear,
            settling=place in reading.settling,
            elapsed=elapsed if elapsed >= 0 else None,
        )

    def _settle(self, case: _Case, owner: Holding) -> None:
        """What the holder had since the last reading."""
        old, tally = case.old, case.tally
        if old.tally is not None and tally is not None and _continues(old, self.reading.boot_id, tally):
            sent, received = (
                rise(before, now, tally.manner, tally.unit, case.most)
                for before, now in ((old.tally.sent, tally.sent), (old.tally.received, tally.received))
            )
            fell = Cause.COUNTER_FELL in {each.missing.cause for each in (sent, received) if each.missing}
            if not fell and not case.mixed:
                self._bill(case, owner, tally, sent, received)
            elif not old.settled:
                self._gap(case, owner, Cause.OWNER_UNCLEAR if case.mixed else Cause.COUNTER_FELL)
        elif old.settled:
            return
        elif tally is not None:
            self._gap(case, owner, Cause.OWNER_UNCLEAR if old.tally is None else Cause.DEVICE_ENDED)
        elif case.mixed or not case.stays:
            self._gap(case, owner, Cause.DEVICE_UNREAD)

    def _bill(self, case: _Case, owner: Holding, tally: Tally, sent: Rise, received: Rise) -> None:
        directions = ((sent, tally.sent, UNCLASSIFIED), (received, tally.received, UNCLASSIFIED | INBOUND))
        for risen, counter, number in directions:
            if risen.packets or risen.bytes:
                self.records.append(
                    Interval(
                        self._run(case), (owner.number, ClassId(number), owner.generation % _EPOCHS),
                        owner.owner, CLASS_NAME, self._next(), min(case.old.at_ms, self.reading.at_ms),
                        self.reading.at_ms, risen.packets, risen.bytes, tally.medium.value, 0,
                        (counter[0], counter[1] * tally.unit),
                    )
                )  # fmt: skip
        missing = [each.missing for each in (sent, received) if each.missing is not None]
        if missing:
            self._add_gap(case, owner, missing[0].cause, _sum(missing))

    def _begin(self, case: _Case, hold: Holding) -> None:
        """A holder's first reading, whose links may have been up before."""
        if case.unclear and case.known:
            self._gap(case, hold, Cause.OWNER_UNCLEAR)
        elif not case.known and (case.tally is None or not case.tally.blank):
            self._add_gap(case, hold, Cause.JOURNAL_MISSING, _all(case.tally))

    def _account(self, case: _Case) -> Account:
        """As it is from now on."""
        old, hold = case.old, case.hold
        up = hold is not None and hold.up
        # Of a device at rest its last counters are remembered, so that zeros are noticed; what is raised
        # without a reading counts from nobody knows where.
        from_here = case.tally or (None if up and not (case.stays and old.flowing) else old.tally)
        settled = case.stays and old.settled
        if case.settling:
            settled = case.tally is not None
        going = hold is not None and hold.going
        reading = self.reading
        return Account(
            reading.boot_id, reading.at_ms, reading.up_ms,
            from_here, hold, up, settled and going, case.doubted,
        )  # fmt: skip

    def _gap(self, case: _Case, owner: Holding, cause: Cause) -> None:
        """Of both directions."""
        self._add_gap(case, owner, cause, None if case.most is None else 2 * case.most)

    def _add_gap(self, case: _Case, owner: Holding, cause: Cause, bound: int | None) -> None:
        start, end = min(case.old.at_ms, self.reading.at_ms), self.reading.at_ms
        run = self._run(case)
        self.records.append(Gap(run, owner.number, owner.owner, cause, self._next(), start, end, bound))

    def _run(self, case: _Case) -> Run:
        """The life of the device in which the bytes were counted, or not: never one of ovs-vswitchd."""
        tally = case.old.tally or case.tally
        life = "unread" if tally is None else tally.life
        return Run(self.reading.host, case.old.boot_id, f"device {case.place} {life}")

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence - 1


def _same(before: Holding | None, now: Holding) -> bool:
    return before is not None and before.generation == now.generation


def _continues(old: Account, boot_id: str, tally: Tally) -> bool:
    before = old.tally
    return (
        before is not None
        and old.boot_id == boot_id
        and (before.life, before.unit) == (tally.life, tally.unit)
    )


def _may_be_up(hold: Holding | None) -> bool:
    return hold is not None and hold.up


def _zeroed(old: Account, tally: Tally | None, boot_id: str) -> bool:
    """Whether a device says that it counted nothing, which had counted before in the same life."""
    if tally is None or old.tally is None or not _continues(old, boot_id, tally):
        return False
    return tally.blank and not old.tally.blank


def _still(case: _Case) -> bool:
    """Whether there is nothing to write: it counted nothing, and nothing else changed."""
    old, tally = case.old, case.tally
    if case.settling or old.holding != case.hold or old.doubted or tally is None or old.tally is None:
        return False
    if tally.life != old.tally.life or tally.manner is Manner.WRAPS or case.elapsed is None:
        return False
    if (tally.sent, tally.received) != (old.tally.sent, old.tally.received):
        return False
    full = tally.manner is Manner.STICKS and FULL in {tally.sent[1], tally.received[1]}
    return old.flowing == _may_be_up(case.hold) and case.elapsed < (FULL_AGAIN_MS if full else AGAIN_MS)


def _sum(missing: Iterable[Missing]) -> int | None:
    total = 0
    for each in missing:
        if each.bound is None:
            return None
        total += each.bound
    return total


def _all(tally: Tally | None) -> int | None:
    """All that a device has ever counted; None = not known."""
    if tally is None or tally.manner is not Manner.WIDE:
        return None
    return (tally.sent[1] + tally.received[1]) * tally.unit

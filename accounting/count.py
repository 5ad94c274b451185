"""Count: cumulative readings -> intervals and gaps. Pure; the heart of the ledger.

Place: called by `controller.agent.meter` at each tick; the same `fold` recovers the state from the journal
after a restart, so nothing is counted twice and nothing is lost. Must not do I/O, read a clock, or raise on
odd counters.

The rules:
- A difference is never negative. A counter that is lower than before began anew: it counts from zero, and
  what it may have counted between the last reading and its end is a gap.
- Another run of ovs-vswitchd begins all counters anew; every port with an open series gets a gap. A host
  that is given another name goes on counting: its next intervals bear that name, no byte is billed again.
- Counters that were there before the journal began (`State.run` is None) are not billed: they become a gap,
  since a lost journal may have billed them. So the first reading stands before the first flow is programmed.
- What may hold a byte twice is not billed, in whatever class (`Reading.withheld`). A gap tells it.
- The owner of a series stays while its counter rises: a port key given to another port gets a new epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from accounting.balance import Look, Tally, carried, endings, is_sent, layer2
from accounting.bounds import Wire, at_departure, sights, since_reading, unseen, within
from accounting.records import (
    ETHERNET_HEADER,
    UNKNOWN,
    Balance,
    Cause,
    Closed,
    Counter,
    Ended,
    Gap,
    Interval,
    Owner,
    Record,
    Run,
    Series,
)
from accounting.state import Baseline, Catalogue, Reading, Standing, State, Step
from accounting.turns import ROWS, Turns, whole
from model.ids import ClassId, PortKey

_WIRED: Final = (Cause.PORT_REMOVED, Cause.PASS_MOVED)
_CLOSES_NOTHING: Final[frozenset[Series]] = frozenset()


def advance(
    state: State, reading: Reading, catalogue: Catalogue, closing: frozenset[Series] = _CLOSES_NOTHING
) -> Step:
    """What `reading` adds to `state`. `closing`: series whose flows are deleted once this is journalled."""
    return whole(advancing(state, reading, catalogue, closing))


def advancing(
    state: State, reading: Reading, catalogue: Catalogue, closing: frozenset[Series] = _CLOSES_NOTHING
) -> Turns[Step]:
    """`advance`, in turns."""
    same = state.run is not None and state.run.goes_on(reading.run)
    before = state.baselines if same else {}
    draft = _Draft(state, reading, catalogue)
    counters, moved = reading.counters, reading.moved if same else None
    some = counters if moved is None else {*moved, *closing} if closing else moved
    vanished = sorted(before.keys() - counters.keys()) if moved is None else []
    for at, series in enumerate(sorted(some)):
        if not at % ROWS:
            yield
        if moved is not None and series not in counters:
            vanished.append(series)
            continue
        counter, baseline = counters[series], before.get(series)
        if baseline is None or _fell(baseline.counter, counter):
            draft.begin(series, counter, baseline)
        elif counter != baseline.counter:
            draft.go_on(series, counter, baseline)
        if series in closing and (baseline is None or baseline.standing is Standing.OPEN):
            draft.records.append(Closed(series))
    for series in vanished:
        draft.end(series, before[series])
    if state.run is not None and not same:
        draft.end_run(state.run, state.baselines)
    yield
    draft.depart(before)
    draft.add_gaps()
    begun = yield from draft.balance(closing)
    blind = reading.blind & state.sightings.keys()
    wires = _changed_wires(state, reading)
    yield
    return Step(reading.run, reading.at_ms, tuple(draft.records), wires, blind, begun)


def fold(state: State, step: Step) -> State:
    """The state after a step: used at each tick and, over the journal, at start."""
    return whole(folding(state, step))


def folding(state: State, step: Step) -> Turns[State]:
    """`fold`, in turns."""
    same = state.run is not None and state.run.goes_on(step.run)
    baselines = dict(state.baselines) if same else {}
    ended: set[PortKey] = set()
    closed: set[PortKey] = set()
    raws: dict[PortKey, int] = {}
    counted: dict[PortKey, int] = {}
    sequence = state.next_sequence
    for at, record in enumerate(step.records):
        if not at % ROWS:
            yield
        match record:
            case Interval():
                series = record.series
                old = baselines.get(series)
                standing = Standing.OPEN if old is None else old.standing
                baselines[series] = Baseline(record.counter, record.owner, standing)
                sequence = max(sequence, record.sequence + 1)
                if is_sent(series):  # what came in from the port, as its wire says
                    port, raw = series[0], record.bytes + record.header_bytes * record.packets
                    raws[port] = raws.get(port, 0) + raw
                    counted[port] = counted.get(port, 0) + layer2(record)
            case Gap() | Balance():
                sequence = max(sequence, record.sequence + 1)
            case Closed():
                baselines[record.series] = replace(baselines[record.series], standing=Standing.CLOSED)
                closed.add(record.series[0])
            case Ended():
                baselines.pop(record.series, None)
                ended.add(record.series[0])
    yield
    gone = ended - {series[0] for series in baselines} if ended else ended
    sightings = yield from sights(state.sightings, step.wires, raws, step.at_ms, step.blind)
    for port in gone:
        sightings.pop(port, None)
    tallies = carried(state.tallies if same else {}, counted, step.begun)
    if ended or closed:
        sending = {s[0] for s, b in baselines.items() if b.standing is Standing.OPEN and is_sent(s)}
        tallies = {port: tally for port, tally in tallies.items() if port in sending}
    return State(sequence, step.run, step.at_ms, baselines, sightings, tallies, step.unsure)


def foreseen(state: State, ports: frozenset[PortKey]) -> Step | None:
    """Not a reading: a change follows that may put `ports` in doubt if the agent dies; none: it did not."""
    if state.run is None:
        return None
    return Step(state.run, state.read_ms, blind=frozenset(state.sightings), unsure=ports)


def recover(state: State, steps: Iterable[Step]) -> State:
    """The state after all `steps`. Those of before there were tallies began none."""
    for step in steps:
        state = fold(state, step)
    tallies = {
        series[0]: Tally(baseline.owner, state.read_ms, None)
        for series, baseline in sorted(state.baselines.items(), key=lambda item: item[0])
        if baseline.standing is Standing.OPEN and is_sent(series)
    }
    return replace(state, tallies=tallies | dict(state.tallies))


def resembles_restart(state: State, reading: Reading) -> bool:
    """True if every counter that had risen is lower or gone though the run is said to be the same.

    Then news of another ovs-vswitchd are probably still on their way: reading again first is wiser, since
    counters are cumulative and a reading that is left out loses nothing.
    """
    if state.run is None or not state.run.goes_on(reading.run):
        return False
    if reading.moved is not None and not reading.moved:
        return False
    risen = (
        (s, b.counter) for s, b in state.baselines.items() if b.standing is Standing.OPEN and b.counter[0]
    )
    fell = False
    for series, counter in risen:  # one that has not fallen settles it
        fell = _fell(counter, reading.counters.get(series, (0, 0)))
        if not fell:
            return False
    return fell


class _Draft:
    """The records of one step while they are made; lives inside `advance` only."""

    def __init__(self, state: State, reading: Reading, catalogue: Catalogue) -> None:
        self.state, self.reading, self.catalogue = state, reading, catalogue
        self.records: list[Record] = []
        self.sequence = state.next_sequence
        self.from_ms = reading.at_ms if state.run is None else min(state.read_ms, reading.at_ms)
        self.counted: dict[PortKey, int] = {}
        self.sent: dict[PortKey, int] = {}
        self.owners: dict[PortKey, Owner | None] = {}
        self.classes: dict[ClassId, str] = {}
        self.gaps: dict[PortKey, tuple[Cause, Owner, int | None]] = {}
        self.fresh: set[Series] = set()
        self.unbilled: set[PortKey] = set()

    def begin(self, series: Series, counter: Counter, old: Baseline | None) -> None:
        """A series that is new or began anew counts from zero, unless the journal began just now."""
        owner = self._known(series[0]) or UNKNOWN
        self.fresh.add(series)
        if old is not None:
            self.end(series, old, Cause.COUNTER_FELL)
        if self.state.run is None and counter != (0, 0):
            port = series[0]
            sent = counter[1] if is_sent(series) else 0
            bound = sent + (self.gaps[port][2] or 0 if port in self.gaps else 0)
            self.gaps[port] = (Cause.JOURNAL_MISSING, owner, bound)
            self._interval(series, owner, (0, 0), counter)
        else:
            self._interval(series, owner, self._sure(series, counter), counter)

    def go_on(self, series: Series, counter: Counter, old: Baseline) -> None:
        owner = self._owner(series[0], old.owner)
        rise = (counter[0] - old.counter[0], counter[1] - old.counter[1])
        self._interval(series, owner, self._sure(series, rise), counter)

    def end(self, series: Series, old: Baseline, cause: Cause = Cause.FLOW_VANISHED) -> None:
        """The flow is gone; a gap, unless its last reading was made."""
        self.records.append(Ended(series))
        if old.standing is Standing.OPEN:
            self.gaps.setdefault(series[0], (cause, old.owner, None))

    def end_run(self, run: Run, baselines: Mapping[Series, Baseline]) -> None:
        for series in sorted(baselines):
            if baselines[series].standing is Standing.OPEN:
                self.gaps[series[0]] = (Cause.RUN_ENDED, baselines[series].owner, None)

    def depart(self, before: Mapping[Series, Baseline]) -> None:
        """A gap for each port that was pulled out, or put in doubt, while it counted, and has none yet."""
        reading = self.reading
        concerned = reading.pulled.keys() | reading.doubted | self.unbilled
        for series in sorted(s for s in reading.counters if s[0] in concerned) if concerned else ():
            old, port = before.get(series), series[0]
            if old is not None and old.standing is Standing.CLOSED and port not in self.unbilled:
                continue
            owner = (self._known(port) if old is None else old.owner) or UNKNOWN
            if port in reading.pulled:
                self.gaps.setdefault(port, (Cause.PORT_REMOVED, owner, None))
            elif port in reading.doubted or port in self.unbilled:
                self.gaps.setdefault(port, (Cause.PASS_MOVED, owner, None))

    def add_gaps(self) -> None:
        """Gaps belong to the run in which the bytes were not read, and to ports: the class can't be known."""
        run = self.state.run or self.reading.run
        for port in sorted(self.gaps):
            cause, owner, bound = self.gaps[port]
            limit = bound if cause is Cause.JOURNAL_MISSING else self._bound(port, cause)
            if limit == 0 and cause in _WIRED and port not in self.unbilled:
                continue  # the wire had stood still: nothing can have been pending
            start, end = self.from_ms, self.reading.at_ms
            self.records.append(Gap(run, port, owner, cause, self._next(), start, end, limit))

    def balance(self, closing: frozenset[Series]) -> Turns[dict[PortKey, Tally]]:
        """Compare what interfaces took in with what was counted, where it is time; what begins with that."""
        reading, run, tallies = self.reading, self.state.run, self.state.tallies
        goes_on, gone = run is not None and run.goes_on(reading.run), self._lapsed(closing)
        look = self._look(gone) if goes_on else Look(reading.at_ms, lapsed=frozenset(tallies))
        again = {series[0] for series in self.fresh if is_sent(series)}
        if goes_on:
            again -= tallies.keys()
        for at, ending in enumerate(endings(tallies, look, self.state.sightings)):
            if not at % ROWS:
                yield
            if ending is None:
                continue
            port, tally = ending.port, tallies[ending.port]
            if goes_on:
                again.add(port)
            if run is not None and ending.told:
                owner, start = self._owner(port, tally.owner), min(tally.from_ms, reading.at_ms)
                number, wire = self._next(), ending.wire
                self.records.append(
                    Balance(run, port, owner, number, start, reading.at_ms, wire, ending.counted)
                )
        return {
            port: Tally(self._known(port) or UNKNOWN, reading.at_ms, reading.wires.get(port))
            for port in sorted(again - gone)
        }

    def _look(self, gone: frozenset[PortKey]) -> Look:
        reading, tallies = self.reading, self.state.tallies
        left = {port: departure.last for port, departure in reading.pulled.items()}
        named = {series[0] for series in self.fresh} & tallies.keys()
        owners = {port: self._known(port) for port in named}
        others = {p for p, owner in owners.items() if owner and _differ(tallies[p].owner, owner)}
        return Look(reading.at_ms, reading.wires, self.sent, left, gone, frozenset(others))

    def _lapsed(self, closing: frozenset[Series]) -> frozenset[PortKey]:
        """Ports that no longer count what they send once this step is journalled."""
        touched = {r.series[0] for r in self.records if isinstance(r, (Closed, Ended))}
        if not touched:
            return frozenset()
        before = self.state.baselines
        for series in self.reading.counters:
            open_now = series in self.fresh or before[series].standing is Standing.OPEN
            if open_now and is_sent(series) and series not in closing:
                touched.discard(series[0])
        return frozenset(touched)

    def _owner(self, port: PortKey, before: Owner) -> Owner:
        """As it is called now, if it is the one that it was."""
        known = self._known(port)
        if known is not None and (before == UNKNOWN or known.port_uid == before.port_uid):
            return known
        return before

    def _bound(self, port: PortKey, cause: Cause) -> int | None:
        """What the interface saw and no interval holds, at most; None = unknown."""
        departure = self.reading.pulled.get(port)
        now = self.reading.wires.get(port) if departure is None else departure.last
        same_boot = self.state.run is not None and self.state.run.boot_id == self.reading.run.boot_id
        sighting = self.state.sightings.get(port, unseen(now)) if same_boot else None
        counted = self.counted.get(port, 0)
        if cause is Cause.PASS_MOVED:  # what was counted may have been counted twice: nothing is taken off
            return within(sighting.older, self.reading.wires.get(port)) if sighting else None
        if cause is not Cause.PORT_REMOVED or departure is None:
            return since_reading(sighting, now, counted)
        if port in self.unbilled:  # nor is what it had surely counted when it left
            departure = replace(departure, sure=None)
        return at_departure(departure, sighting, counted)

    def _interval(self, series: Series, owner: Owner, raw: Counter, counter: Counter) -> None:
        packets, octets = raw
        # Flows offloaded by TC count no layer-2 header; fewer bytes than headers shows that.
        header = ETHERNET_HEADER if octets >= ETHERNET_HEADER * packets else 0
        reading = self.reading
        name = self.classes.get(series[1])
        if name is None:
            name = self.classes[series[1]] = self.catalogue.class_name(series[1])
        made = Interval(
            reading.run, series, owner, name, self._next(), self.from_ms, reading.at_ms,
            packets, octets - header * packets, reading.datapath, header, counter,
        )  # fmt: skip
        self.records.append(made)
        if is_sent(series):
            port = series[0]
            self.counted[port] = self.counted.get(port, 0) + octets
            self.sent[port] = self.sent.get(port, 0) + layer2(made)

    def _known(self, port: PortKey) -> Owner | None:
        """Asked once for each port."""
        if port not in self.owners:
            self.owners[port] = self.catalogue.owner(port)
        return self.owners[port]

    def _sure(self, series: Series, rise: Counter) -> Counter:
        """What is billed of it: nothing, if a byte may be in it twice."""
        if series[0] not in self.reading.withheld or rise == (0, 0):
            return rise
        self.unbilled.add(series[0])
        return (0, 0)

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence - 1


def _fell(before: Counter, now: Counter) -> bool:
    return now[0] < before[0] or now[1] < before[1]


def _changed_wires(state: State, reading: Reading) -> dict[PortKey, Wire]:
    seen, blind, found = state.sightings, reading.blind, []
    for port, wire in reading.wires.items():
        old = seen.get(port)
        if old is None or (old.newer != wire and port not in blind):
            found.append(port)
    return {port: reading.wires[port] for port in sorted(found)}


def _differ(before: Owner, now: Owner) -> bool:
    """Whether a port's key is another port's now."""
    return before != UNKNOWN and before.port_uid != now.port_uid

"""Watching: reads what the switch counts for rules, keeps it on disk, and tells it, on a thread of its own.

Place: an effect beside the loop, whose state it only looks at (`controller.agent.evidence` is the pure part).
One reading a minute, some zones of connections with each; whatever fails costs a reading, never the thread.
Must not change the switch, and must not use what the loop uses: it has a channel and a connection of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.agent import evidence, private, zones
from controller.agent.core import Core
from controller.agent.evidence import Counted, Reading, Spot, State
from controller.agent.gauging import Clocks
from controller.agent.meter import run_of
from controller.agent.rulebook import Book, Ruled, denies, exposed, exposed_since, rulebook
from controller.southbound import connections
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.dump import Dump
from controller.store import words
from controller.store.wire import Connection
from controller.store.words import Word
from model.errors import RingfenceError
from model.evidence import Amount, RuleName, render
from model.ids import HostName, PortKey, Uid
from model.policy import Action
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines import tables_policy as tables
from pipelines.fields import LABEL_NOTED

LOG: Final = logging.getLogger(__name__)
EVERY: Final = 60.0
"""Seconds between readings."""
_KEEP_EVERY: Final = 600_000
"""Milliseconds between writings of the file: the switch's counters remember what is not in it."""
ZONES_AT_ONCE: Final = 4
"""Zones that are listed after one reading."""
FULL: Final = 20_000
"""Connections: a zone with more is not listed, for Open vSwitch does nothing else meanwhile."""
_JOIN: Final = 10.0
_NOTED_AT: Final = LABEL_NOTED.low or 0
_NOTED_MASK: Final = (1 << LABEL_NOTED.bits) - 1


_FORESEEN: Final = tuple(t.number for t in (*tables.OUTWARD_CHAIN[:4], *tables.INWARD_CHAIN[:4]))
_REAL: Final = tuple(t.number for t in (*tables.OUTWARD_CHAIN[4:], *tables.INWARD_CHAIN[4:]))
_PASSED: Final = (tables.LEFT.number, tables.ENTERED.number)
_STRAY: Final = tables.ADDRESSEE.number
_HITS: Final = (tables.LEFT_HITS.number, tables.ENTERED_HITS.number, _STRAY)

Slices = Callable[..., Iterator[Dump]]


class Watching:
    """`connect` makes a connection to the store that nobody else uses; `rundir`, `bridge`: the switch;
    `path`: the file."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        host: HostName,
        look: Callable[[], Core],
        channel: Channel,
        rundir: Path,
        path: Path,
        boot_id: str,
        clocks: Clocks,
        every: float = EVERY,
    ) -> None:
        self._connect, self._host, self._look, self._channel = connect, host, look, channel
        self._rundir, self._path, self._boot_id, self._clocks = rundir, path, boot_id, clocks
        self._every = every
        self._state = _restored(path)
        self._book: Book | None = None
        self._connection: Connection | None = None
        self._kept, self._next_port = clocks.up_ms(), 0
        self._trouble = ""
        self._told = bool(self._state.spots or self._state.totals)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)

    @property
    def state(self) -> State:
        """What is known so far."""
        return self._state

    def __enter__(self) -> Watching:
        """Begin to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the thread, and keep what is known."""
        self._stopping.set()
        if self._connection is not None:
            self._connection.close()
        if self._thread.is_alive():
            self._thread.join(_JOIN)
        self._channel.close()
        self._keep()

    def tick(self) -> None:
        """Read, keep, tell. Raises RingfenceError if the switch or the store is away."""
        core = self._look()
        snapshot, run = core.effective, run_of(core.effective, self._boot_id)
        if run is None or not core.session:
            return
        book = rulebook(snapshot)
        if not book and not (self._told and core.store_complete):
            return  # of no rules at all only the store may tell: all that is known would go
        life = f"{run.boot_id}/{run.vswitchd_start}"
        names = self._state.names
        self._state = evidence.advance(self._state, self._read(snapshot, book, life))
        self._book = book
        if self._state.names != names:  # a rule that came and went has to be known to the agent's next life
            self._keep()
        try:
            self._sample(snapshot, book)
        finally:
            if self._clocks.up_ms() - self._kept >= _KEEP_EVERY:
                self._keep()
            self._tell()
        self._told = bool(book)

    def _read(self, snapshot: Snapshot, book: Book, life: str) -> Reading:
        wall, began = self._clocks.now_ms(), self._clocks.up_ms()
        decided, noted = read_rules(self._channel.dump_slices, book)
        spots = read_spots(self._channel.dump_slices, book, _uids(snapshot))
        before = self._book
        bare = exposed_since(self._state.names, book) if before is None else exposed(before, book)
        ended = self._clocks.up_ms()
        return Reading(life, began, ended, wall, decided, noted, spots, denies(book), bare)

    def _sample(self, snapshot: Snapshot, book: Book) -> None:
        """Of ports that were hit since the last reading, some with each, in turns."""
        newest = max((known.until for known in self._state.spots.values()), default=0)
        fresh = sorted({port for (_, port), known in self._state.spots.items() if known.last == newest})
        if not fresh:
            return
        self._next_port %= len(fresh)
        turn = (fresh[self._next_port :] + fresh[: self._next_port])[:ZONES_AT_ONCE]
        self._next_port += len(turn)
        for port in turn:
            key = snapshot.by_uid.get(port)
            zone = None if key is None else snapshot.zones.get((zones.POLICY, key))
            if zone is not None and connections.count(self._rundir, zone) <= FULL:
                self._state = evidence.add_samples(self._state, port, self._noted(zone, book))

    def _noted(self, zone: int, book: Book) -> Iterator[tuple[RuleName, str]]:
        for one in connections.labelled(self._rundir, zone):
            ruled = book.get((one.label >> _NOTED_AT & _NOTED_MASK) >> 1)
            if ruled is not None:
                yield ruled.name, one.words

    def _tell(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        text = render(evidence.tell(self._state))
        words.put_evidence(self._connection, Word(self._host, text, self._clocks.now_ms()))

    def _keep(self) -> None:
        """Write the file: whole or not at all. What fails is tried again later."""
        self._kept = self._clocks.up_ms()
        if not self._state.life:
            return
        part = self._path.with_suffix(".part")
        try:
            with open(part, "wb", opener=private.opener) as out:
                out.write(evidence.dump(self._state))
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, self._path)
        except OSError as error:
            LOG.warning("evidence not kept host=%s reason=%s", self._host, error)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.tick()
                self._note("")
            except RingfenceError as error:
                self._note(str(error))
            except Exception as error:  # a defect costs a reading, never the thread
                if not self._trouble:
                    LOG.exception("evidence not read host=%s", self._host)
                self._note(str(error))

    def _note(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble) and not self._stopping.is_set():
            if trouble:
                LOG.warning("evidence is not told host=%s reason=%s", self._host, trouble)
            else:
                LOG.info("evidence is told again host=%s", self._host)
        self._trouble = trouble


def read_rules(slices: Slices, book: Book) -> tuple[dict[RuleName, Amount], dict[RuleName, Amount]]:
    """What rules decided where they are enforced, and the packets that allows which count would have judged:
    what denies and passes would have dropped is counted by port."""
    decided: dict[RuleName, Amount] = {}
    noted: dict[RuleName, Amount] = {}
    for dump in slices(*_PASSED):
        _add(decided, ((ruled, amount) for ruled, amount, _ in _rows(dump, book)))
    for dump in slices(*_REAL):
        # What is allowed goes on, and is counted behind the chain with all that follows it.
        rows = _rows(dump, book)
        _add(decided, ((ruled, amount) for ruled, amount, _ in rows if ruled.action is not Action.ALLOW))
    for dump in slices(_STRAY):
        _add(decided, ((ruled, amount) for ruled, amount, counts in _rows(dump, book) if not counts))
    for dump in slices(*_FORESEEN):
        rows = _rows(dump, book)
        _add(noted, ((r, amount) for r, amount, state in rows if r.action is Action.ALLOW and state))
    return decided, noted


def read_spots(slices: Slices, book: Book, uids: Mapping[PortKey, Uid]) -> dict[Spot, Counted]:
    """The counters of rules that count, by port: of what it sent and of what it got, answers too."""
    found: dict[Spot, Counted] = {}
    for dump in slices(*_HITS):
        counters = dump.counters()
        columns = (counters.cookie, counters.packets, counters.octets, dump.ages())
        for cookie, packets, octets, age in zip(*(c.tolist() for c in columns), strict=True):
            said = cookies.parse(cookie)
            if said is None or said.kind is not cookies.Kind.POLICY or not said.rule & 1:
                continue
            ruled, uid = book.get(said.rule >> 1), uids.get(said.port)
            if ruled is not None and uid is not None:
                seen, spot = Counted(Amount(packets, octets), age), (ruled.name, uid)
                other = found.get(spot, Counted(Amount(), age))
                found[spot] = Counted(other.amount.plus(seen.amount), min(other.age, seen.age))
    return found


def _add(into: dict[RuleName, Amount], rows: Iterable[tuple[Ruled, Amount]]) -> None:
    for ruled, amount in rows:
        into[ruled.name] = into.get(ruled.name, Amount()).plus(amount)


def _rows(dump: Dump, book: Book) -> Iterator[tuple[Ruled, Amount, int]]:
    """(rule, amount, 1 if it counts there) of the flows of rules that took something."""
    counters = dump.counters()
    columns = (counters.cookie, counters.packets, counters.octets)
    for cookie, packets, octets in zip(*(c.tolist() for c in columns), strict=True):
        said = cookies.parse(cookie) if packets else None
        if said is not None and said.kind is cookies.Kind.POLICY:
            ruled = book.get(said.rule >> 1)
            if ruled is not None:
                yield ruled, Amount(packets, octets), said.rule & 1


def _uids(snapshot: Snapshot) -> dict[PortKey, Uid]:
    return {key: uid for uid, key in snapshot.by_uid.items()}


def _restored(path: Path) -> State:
    with suppress(OSError):
        found = evidence.load(path.read_bytes())
        if found is not None:
            return found
        LOG.warning("evidence of rules begins anew: %s can't be read", path)
    return State()

"""Watching: reads what the switch counts for rules, keeps it on disk, and tells it, on a thread of its own.

Place: an effect beside the loop, whose state it only looks at (`controller.agent.evidence` is the pure part).
One reading a minute, some zones of connections with each; whatever fails costs a reading, never the thread.
Must not change the switch, and must not use what the loop uses: it has a channel and a connection of its own.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.agent import evidence, private
from controller.agent.core import Core
from controller.agent.evidence import Counted, Reading, Spot, State
from controller.agent.gauging import Clocks
from controller.agent.meter import run_of
from controller.agent.rulebook import Ruled, rulebook
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
POLICY: Final = "policy"
"""Of zones that policies judge in; see controller.agent.zones."""
_JOIN: Final = 10.0
_NOTED_AT: Final = LABEL_NOTED.low or 0
_NOTED_MASK: Final = (1 << LABEL_NOTED.bits) - 1


@dataclass(frozen=True, slots=True)
class Tables:
    """`rules`: a flow for each rule that lets pass or would not have; `hits`: for each rule that counts and
    port; `chains`: where packets are judged, and end."""

    rules: tuple[int, ...]
    hits: tuple[int, ...]
    chains: tuple[int, ...]


TABLES: Final = Tables((17, 72), (18, 74), (104, 105, 106, 107, 114, 115, 116, 117))

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
        if not book and not self._told:
            return
        life = f"{run.boot_id}/{run.vswitchd_start}"
        self._state = evidence.advance(self._state, self._read(snapshot, book, life))
        try:
            self._sample(snapshot, book)
        finally:
            if self._clocks.up_ms() - self._kept >= _KEEP_EVERY:
                self._keep()
            self._tell()
        self._told = bool(book)

    def _read(self, snapshot: Snapshot, book: Mapping[int, Ruled], life: str) -> Reading:
        wall, began = self._clocks.now_ms(), self._clocks.up_ms()
        decided, noted = read_rules(self._channel.dump_slices, book)
        spots = read_spots(self._channel.dump_slices, book, _uids(snapshot))
        names = frozenset(ruled.name for ruled in book.values())
        return Reading(life, began, self._clocks.up_ms(), wall, decided, noted, spots, names)

    def _sample(self, snapshot: Snapshot, book: Mapping[int, Ruled]) -> None:
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
            zone = None if key is None else snapshot.zones.get((POLICY, key))
            if zone is not None and connections.count(self._rundir, zone) <= FULL:
                self._state = evidence.add_samples(self._state, port, self._noted(zone, book))

    def _noted(self, zone: int, book: Mapping[int, Ruled]) -> Iterator[tuple[RuleName, str]]:
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


def read_rules(
    slices: Slices, book: Mapping[int, Ruled], tables: Tables = TABLES
) -> tuple[dict[RuleName, Amount], dict[RuleName, Amount]]:
    """What rules decided where they are enforced, and what those that count would have decided."""
    decided: dict[RuleName, Amount] = {}
    noted: dict[RuleName, Amount] = {}
    for dump in slices(*tables.rules):
        for mark, amount in _rows(dump):
            if (ruled := book.get(mark >> 1)) is not None:
                into = noted if mark & 1 else decided
                into[ruled.name] = into.get(ruled.name, Amount()).plus(amount)
    for dump in slices(*tables.chains):
        for mark, amount in _rows(dump):
            ruled = book.get(mark >> 1)
            # What is allowed goes on, and is counted behind the chain with all that follows it.
            if ruled is not None and not mark & 1 and ruled.action is not Action.ALLOW:
                decided[ruled.name] = decided.get(ruled.name, Amount()).plus(amount)
    return decided, noted


def read_spots(
    slices: Slices, book: Mapping[int, Ruled], uids: Mapping[PortKey, Uid], tables: Tables = TABLES
) -> dict[Spot, Counted]:
    """The counters of rules that count, by port."""
    found: dict[Spot, Counted] = {}
    for dump in slices(*tables.hits):
        counters = dump.counters()
        columns = (counters.cookie, counters.packets, counters.octets, dump.ages())
        for cookie, packets, octets, age in zip(*(c.tolist() for c in columns), strict=True):
            said = cookies.parse(cookie)
            if said is None or said.kind is not cookies.Kind.POLICY or not said.rule & 1:
                continue
            ruled, uid = book.get(said.rule >> 1), uids.get(said.port)
            if ruled is not None and uid is not None:
                spot, now = (ruled.name, uid), Counted(Amount(packets, octets), age)
                had = found.get(spot)
                found[spot] = (
                    now if had is None else Counted(had.amount.plus(now.amount), min(had.age, now.age))
                )
    return found


def _rows(dump: Dump) -> Iterator[tuple[int, Amount]]:
    """(mark, amount) of the flows of rules."""
    counters = dump.counters()
    columns = (counters.cookie, counters.packets, counters.octets)
    for cookie, packets, octets in zip(*(c.tolist() for c in columns), strict=True):
        said = cookies.parse(cookie) if packets else None
        if said is not None and said.kind is cookies.Kind.POLICY:
            yield said.rule, Amount(packets, octets)


def _uids(snapshot: Snapshot) -> dict[PortKey, Uid]:
    return {key: uid for uid, key in snapshot.by_uid.items()}


def _restored(path: Path) -> State:
    with suppress(OSError):
        found = evidence.load(path.read_bytes())
        if found is not None:
            return found
        LOG.warning("evidence of rules begins anew: %s can't be read", path)
    return State()

"""Survey: thousands of ports asked for their tables of partition keys, many at a time.

Place: run by `surveyor` over a wire of `umad`. Must not report a table unless the port at that LID said,
before it and after it, that it has the GUID that was wanted: a subnet manager may give a LID to another port.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from ipam.fabric import mad
from ipam.fabric.mad import Attribute, Identity, Question
from model.fabric import Guid

WINDOW: Final = 8
"""Questions on their way. Subnet management has no flow control (it goes in VL15, section 7.6), and ibsim's
sockets hold eleven datagrams: when both directions are full, its library stands still for good."""
FRESH: Final = 0.05
"""Seconds after which a question that got no answer is on nobody's way any more; it is waited for still."""
WAIT: Final = 0.25
"""Seconds for an answer. OpenSM gives ports 0.2."""
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Said:
    """A datagram that came. `lid`: from whom. `lost`: it is our own question, which the kernel gave up."""

    lid: int
    datagram: bytes
    lost: bool = False


class Wire(Protocol):
    """One port's way into the fabric. OSError: it is broken."""

    def send(self, question: Question) -> None: ...

    def receive(self, seconds: float) -> Said | None: ...


@dataclass(frozen=True, slots=True)
class Home:
    """Where we are: GID of our port, LID of the subnet administrator."""

    gid: bytes
    administrator: int


@dataclass(frozen=True, slots=True)
class Found:
    """A port's whole table by index, and where it was."""

    lid: int
    table: tuple[int, ...]


class _Step(Enum):
    PLACE = "place"
    BEFORE = "before"
    BLOCKS = "blocks"
    AFTER = "after"


@dataclass(slots=True)
class _Port:
    """`told`: the administrator was asked in this survey."""

    guid: Guid
    lid: int
    step: _Step
    told: bool
    tries: int = 0
    capacity: int = 0
    entries: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Survey:
    """`now`: seconds that only go forward. `refused`: answers that were not to what was asked."""

    wire: Wire
    home: Home
    now: Callable[[], float]
    refused: int = 0
    _ready: deque[_Port] = field(default_factory=deque)
    _again: deque[_Port] = field(default_factory=deque)
    _open: dict[int, tuple[_Port, Question, float]] = field(default_factory=dict)
    _sent: int = 0

    def ask(self, wanted: Mapping[Guid, int], seconds: float) -> Iterator[tuple[Guid, Found | None]]:
        """Each port as soon as it is known; None = it can't be found, or does not answer. `wanted`: the LID
        that it had last, 0 if that is not known. Those of whom nothing is known in time come at the end.
        """
        end = self.now() + seconds
        left = dict.fromkeys(sorted(wanted))
        self._ready.extend(
            _Port(g, wanted[g], _Step.BEFORE, told=False)
            if wanted[g] in mad.LIDS
            else _Port(g, 0, _Step.PLACE, told=True)
            for g in left
        )
        while left and (now := self.now()) < end:
            self._send(now)
            for guid, found in self._settle(self.wire.receive(self._pause(now, end))):
                del left[guid]
                yield guid, found
        yield from ((guid, None) for guid in left)

    def _send(self, now: float) -> None:
        fresh = len(self._open)
        if fresh >= WINDOW:
            fresh = sum(1 for *_, sent in self._open.values() if now - sent < FRESH)
        while fresh < WINDOW and (self._ready or self._again):
            # Who did not answer waits for all who may.
            port = (self._ready or self._again).popleft()
            self._sent = self._sent % 0xFFFF_FFFF + 1
            question = self._question(port, self._sent)
            self._open[self._sent] = (port, question, now)
            self.wire.send(question)
            fresh += 1

    def _question(self, port: _Port, number: int) -> Question:
        match port.step:
            case _Step.PLACE:
                gid = self.home.gid[:8] + port.guid.to_bytes(8)
                return mad.path_record(self.home.administrator, self.home.gid, gid, number)
            case _Step.BLOCKS:
                return mad.p_key_table(port.lid, len(port.entries) // mad.ENTRIES, number)
            case _:
                return mad.node_info(port.lid, number)

    def _pause(self, now: float, end: float) -> float:
        """Until a question is late, or no longer on its way while others wait."""
        for *_, sent in self._open.values():  # the oldest first
            if now - sent < FRESH and (self._ready or self._again):
                return min(sent + FRESH, end) - now
        first = next((sent for *_, sent in self._open.values()), end)
        return max(min(first + WAIT, end) - now, 0.0)

    def _settle(self, said: Said | None) -> Iterator[tuple[Guid, Found | None]]:
        """What is known now of ports: by what came, and of those that are late."""
        if said is not None:
            yield from self._heard(said)
        now = self.now()
        while self._open:
            number, (port, _, sent) = next(iter(self._open.items()))  # the oldest
            if now - sent < WAIT:
                return
            del self._open[number]
            yield from self._unheard(port)

    def _heard(self, said: Said) -> Iterator[tuple[Guid, Found | None]]:
        try:
            number = mad.transaction(said.datagram)
        except ValueError:
            self.refused += 1
            return
        port, question, _ = self._open.get(number, (None, None, 0.0))
        if port is None or question is None:
            return  # too late
        if said.lost:
            del self._open[number]
            yield from self._unheard(port)
            return
        if not mad.answers(question, said.lid, said.datagram):
            self.refused += 1  # whom we asked may answer yet
            return
        del self._open[number]
        status = mad.status(said.datagram)
        if status & mad.BUSY:
            yield from self._unheard(port)
        elif status:
            yield from self._lost(port)
        else:
            yield from self._learned(port, question, said.datagram)

    def _learned(
        self, port: _Port, question: Question, datagram: bytes
    ) -> Iterator[tuple[Guid, Found | None]]:
        port.tries = 0
        if question.attribute is Attribute.PATH_RECORD:
            gid, lid = mad.place(datagram)
            if gid != self.home.gid[:8] + port.guid.to_bytes(8) or lid not in mad.LIDS:
                self.refused += 1
                yield port.guid, None
                return
            port.lid, port.step = lid, _Step.BEFORE
        elif question.attribute is Attribute.P_KEY_TABLE:
            port.entries.extend(mad.block(datagram))
            if len(port.entries) >= port.capacity:
                port.step = _Step.AFTER
        else:
            who = mad.identity(datagram)
            if port.step is _Step.AFTER and who == Identity(port.guid, port.capacity):
                yield port.guid, Found(port.lid, tuple(port.entries[: port.capacity]))
                return
            if port.step is _Step.AFTER or who.guid != port.guid or not who.capacity:
                yield from self._lost(port)
                return
            port.capacity, port.step = who.capacity, _Step.BLOCKS
        self._ready.append(port)

    def _unheard(self, port: _Port) -> Iterator[tuple[Guid, Found | None]]:
        port.tries += 1
        if port.tries < TRIES:
            self._again.append(port)
        else:
            yield from self._lost(port)

    def _lost(self, port: _Port) -> Iterator[tuple[Guid, Found | None]]:
        """Another port is there, or none: once the administrator is asked where it is now."""
        if port.told:
            yield port.guid, None
            return
        self._again.append(_Port(port.guid, 0, _Step.PLACE, told=True))

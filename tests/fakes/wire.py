"""A subnet on a wire: ports that answer subnet management and an administrator, slowly, badly or not at all.

Laid out after the InfiniBand Architecture 1.2.1 by offsets, not with the product's own structures.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ipam.fabric.mad import Question
from ipam.fabric.survey import Home, Said
from model.fabric import Guid

PREFIX = bytes.fromhex("fe80000000000000")
ADMINISTRATOR = 1
HOME = Home(PREFIX + bytes(8), ADMINISTRATOR)


def put(datagram: bytearray, at: int, size: int, value: int) -> None:
    datagram[at : at + size] = value.to_bytes(size)


def get(datagram: bytes, at: int, size: int) -> int:
    return int.from_bytes(datagram[at : at + size])


@dataclass
class Subnet:
    """`places`: LID by port; an administrator that is `behind` believes `believed`. `fate`: what becomes of a
    question: None = nothing comes, else seconds until the answer. `forge`: what else comes, before it.
    """

    tables: dict[Guid, tuple[int, ...]]
    places: dict[Guid, int]
    believed: dict[Guid, int] | None = None
    fate: Callable[[Question], float | None] = lambda _: 0.00001
    forge: Callable[[Said], tuple[Said, ...]] = lambda _: ()
    meanwhile: Callable[[int], None] = lambda _: None
    time: float = 0.0
    asked: list[Question] = field(default_factory=list)
    coming: list[tuple[float, int, Said]] = field(default_factory=list)
    waiting: int = 0

    def now(self) -> float:
        return self.time

    def send(self, question: Question) -> None:
        self.meanwhile(len(self.asked))
        self.asked.append(question)
        delay = self.fate(question)
        answer = None if delay is None else self._answer(question)
        if answer is not None and delay is not None:
            for said in (*self.forge(answer), answer):
                self.coming.append((self.time + delay, len(self.asked), said))
            self.waiting = max(self.waiting, len(self.coming))

    def receive(self, seconds: float) -> Said | None:
        self.coming.sort(key=lambda each: each[:2])
        if not self.coming or self.coming[0][0] > self.time + seconds:
            self.time += max(seconds, 0.000001)
            return None
        when, _, said = self.coming.pop(0)
        self.time = max(self.time, when)
        return said

    def _answer(self, question: Question) -> Said | None:
        out = bytearray(question.datagram)
        out[3] |= 0x80
        kind, attribute, modifier = out[1], get(out, 16, 2), get(out, 20, 4)
        assert (out[0], out[3], get(out, 4, 4)) == (1, 0x81, 0), "a Get of base version 1"
        if kind == 0x03:
            assert out[2] == 2 and question.lid == ADMINISTRATOR
            assert (get(out, 48, 8), out[56 + 49]) == (0x100C, 1), "by DGID and SGID, one path"
            guid = Guid(get(out, 72, 8))
            lid = (self.believed if self.believed is not None else self.places).get(guid, 0)
            put(out, 56 + 40, 2, lid)
            put(out, 4, 2, 0 if lid else 0x0300)
            return Said(ADMINISTRATOR, bytes(out))
        assert (kind, out[2]) == (0x01, 1)
        guid = next((Guid(g) for g, lid in self.places.items() if lid == question.lid), Guid(0))
        if not guid:
            return None
        table = self.tables[guid]
        if attribute == 0x11:
            put(out, 64 + 20, 8, guid)
            put(out, 64 + 28, 2, len(table))
        else:
            assert attribute == 0x16
            block = table[modifier * 32 : modifier * 32 + 32]
            for place, entry in enumerate(block):
                put(out, 64 + 2 * place, 2, entry)
            put(out, 4, 2, 0 if block else 0x1C)
        return Said(question.lid, bytes(out))


def subnet(count: int, capacity: int = 64) -> Subnet:
    """Ports whose tables say who they are; LIDs from 10 on."""
    guids = [Guid(0x0200_0000_0000_0001 + n * 2) for n in range(count)]
    tables = {g: (0x8001 + n, 0x7FFF, *range(n + 3, n + capacity + 1)) for n, g in enumerate(guids)}
    return Subnet(tables, {g: 10 + n for n, g in enumerate(guids)})


def lossy(chance: random.Random, share: float) -> Callable[[Question], float | None]:
    return lambda _: None if chance.random() < share else chance.random() * 0.01

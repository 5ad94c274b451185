"""Resolver: one question of one port to the octets that go back, or to the wait for somebody outside.

Place: between sockets (`controller.services.server`) and `services.naming`, which says what is answered.
Keeps what is worth keeping between questions. Must not let anything kept for one tenant reach another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from controller.services.cache import Cache
from controller.services.rates import Rate, Rates
from model.ids import PortKey, TenantKey
from services.naming.answering import Terms, answer
from services.naming.directory import Directory, Zone
from services.naming.forwarding import FAILED, Kept, finish
from services.naming.outcome import Asker, Forward, Kind, Question, Reply, Transport
from services.seats import Seats

_REMEMBERED: Final = frozenset({Kind.ANSWERED, Kind.NO_DATA, Kind.NO_NAME})
_MEMORY: Final = 1024
"""Answers of a tenant's zone that are kept as octets; then all of them are made anew."""


_USUAL: Final = Rate()
_BEYOND: Final = Rate(100.0, 200.0)
"""To ask somebody outside costs this process four times what a name of ours does, and all ports share it."""


class Outside(Protocol):
    """Who asks others: `controller.services.upstream`."""

    async def ask(self, question: Question, zone: Zone, directory: Directory) -> Kept: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a port. `outside`: questions for which somebody outside is asked, which are of those of `rate`;
    `waiting`: how many may wait for that at once; `whole`: how many are asked at once for all ports."""

    rate: Rate = _USUAL
    outside: Rate = _BEYOND
    waiting: int = 64
    whole: int = 256


@dataclass(slots=True)
class _Memory:
    """Octets that the zone, as it is, answers to octets, both without their id."""

    zone: Zone
    answers: dict[bytes, tuple[Kind, bytes]]


_Asked = tuple[TenantKey, Question]


@dataclass(frozen=True, slots=True)
class _Errand:
    """A question that is asked outside: once, however many of its tenant wait for the answer. `port`: who was
    the first of them, in whose seat it is. `told`: what is believed; None: another port needed the seat."""

    port: PortKey
    task: asyncio.Task[None]
    told: asyncio.Future[Kept | None]


class Resolver:
    """`clock`: seconds that never go back. `tally`: questions by port and kind, for whoever reports them."""

    def __init__(
        self,
        directory: Directory,
        terms: Terms,
        outside: Outside,
        clock: Callable[[], float],
        bounds: Bounds = Bounds(),
    ) -> None:
        self.directory = directory
        self.tally: Counter[tuple[PortKey, Kind]] = Counter()
        self._terms = terms
        self._outside = outside
        self._clock = clock
        self._bounds = bounds
        self._rates = Rates(bounds.rate)
        self._beyond = Rates(bounds.outside)
        self._cache = Cache()
        self._memory: dict[TenantKey, _Memory] = {}
        self._waiting: Counter[PortKey] = Counter()
        self._under_way: dict[_Asked, _Errand] = {}
        self._seats: Seats[PortKey] = Seats(bounds.waiting, bounds.whole)
        self._errands: dict[PortKey, dict[_Asked, None]] = {}

    def ask(self, wire: bytes, asker: Asker, transport: Transport) -> bytes | Awaitable[bytes | None] | None:
        """What goes back; None: nothing."""
        if not self._rates.take(asker.port, self._clock()):
            return self._count(asker, Kind.CROWDED, None)
        zone = self.directory.zones.get(asker.tenant)
        memory = self._recall(asker.tenant, zone) if transport is Transport.UDP else None
        known = memory.answers.get(wire[2:]) if memory else None
        if known is not None:
            return self._count(asker, known[0], wire[:2] + known[1])
        outcome = answer(wire, asker, self.directory, self._terms, transport)
        if isinstance(outcome, Forward):
            return self._hand_on(outcome, asker, transport)
        if not isinstance(outcome, Reply):
            return self._count(asker, outcome.kind, None)
        if memory is not None and outcome.kind in _REMEMBERED:
            if len(memory.answers) >= _MEMORY:
                memory.answers.clear()
            memory.answers[wire[2:]] = (outcome.kind, outcome.wire[2:])
        return self._count(asker, outcome.kind, outcome.wire)

    def note(self, asker: Asker, kind: Kind) -> None:
        """Count what came to nothing before anybody asked it of the resolver."""
        self._count(asker, kind, None)

    def forget_port(self, port: PortKey) -> None:
        """Of a port that is gone: what was counted of it too."""
        self._rates.forget(port)
        self._beyond.forget(port)
        for key in [key for key in self.tally if key[0] == port]:
            del self.tally[key]

    def forget_tenant(self, tenant: TenantKey) -> None:
        """Of a tenant that has no port here any more."""
        self._cache.forget(tenant)
        self._memory.pop(tenant, None)

    def _hand_on(
        self, forward: Forward, asker: Asker, transport: Transport
    ) -> bytes | Awaitable[bytes | None] | None:
        known = self._cache.get(asker.tenant, forward.question, self._clock())
        if known is not None:
            return self._finish(forward, known[0], known[1], asker, transport)
        key = (asker.tenant, forward.question)
        if self._waiting[asker.port] >= self._bounds.waiting:
            return self._count(asker, Kind.CROWDED, None)
        # The same question once: else each further copy would be one more that a guess may hit.
        errand = self._under_way.get(key) or self._begin(key, asker.port)
        if errand is None:
            return self._count(asker, Kind.CROWDED, None)
        return self._wait(errand, forward, asker, transport)

    def _begin(self, key: _Asked, port: PortKey) -> _Errand | None:
        """None: the port may not now."""
        if not self._beyond.take(port, self._clock()):
            return None
        seated = self._seats.take(port)
        if seated is None:
            return None
        if seated.instead is not None:
            self._give_up(seated.instead)
        told: asyncio.Future[Kept | None] = asyncio.get_running_loop().create_future()
        errand = _Errand(port, asyncio.create_task(self._fetch(key, told)), told)
        errand.task.add_done_callback(lambda _: self._end(key, errand))
        self._under_way[key] = errand
        self._errands.setdefault(port, {})[key] = None
        return errand

    def _give_up(self, port: PortKey) -> None:
        """The oldest of this port, whose seat is another's by now. Others of its tenant that wait for it are
        told nothing either, and ask again."""
        key = next(iter(self._errands[port]))
        errand = self._forget_errand(key)
        errand.task.cancel()
        errand.told.set_result(None)

    def _end(self, key: _Asked, errand: _Errand) -> None:
        if self._under_way.get(key) is errand:
            self._forget_errand(key)
            self._seats.leave(errand.port)
        if not errand.told.done():  # a defect, or the end of the process
            errand.told.set_result(FAILED)

    def _forget_errand(self, key: _Asked) -> _Errand:
        errand = self._under_way.pop(key)
        own = self._errands[errand.port]
        del own[key]
        if not own:
            del self._errands[errand.port]
        return errand

    async def _wait(
        self, errand: _Errand, forward: Forward, asker: Asker, transport: Transport
    ) -> bytes | None:
        self._waiting[asker.port] += 1
        try:
            kept = await asyncio.shield(errand.told)
        finally:
            self._waiting[asker.port] -= 1
            if not self._waiting[asker.port]:
                del self._waiting[asker.port]
        if kept is None:
            return self._count(asker, Kind.CROWDED, None)
        return self._finish(forward, kept, 0, asker, transport)

    async def _fetch(self, key: _Asked, told: asyncio.Future[Kept | None]) -> None:
        tenant, question = key
        zone = self.directory.zones.get(tenant)
        kept = FAILED
        if zone is not None:
            kept = await self._outside.ask(question, zone, self.directory)
            if tenant in self.directory.zones:
                self._cache.put(tenant, question, kept, self._clock())
        if not told.done():
            told.set_result(kept)

    def _finish(
        self, forward: Forward, kept: Kept, age: int, asker: Asker, transport: Transport
    ) -> bytes | None:
        reply = finish(forward, kept, age, asker, self.directory, transport)
        if reply is None:
            return self._count(asker, Kind.NO_ZONE, None)
        return self._count(asker, reply.kind, reply.wire)

    def _recall(self, tenant: TenantKey, zone: Zone | None) -> _Memory | None:
        """What is kept of the zone as it is now: a zone that changed is another value."""
        if zone is None:
            return None
        memory = self._memory.get(tenant)
        if memory is None or memory.zone is not zone:
            memory = self._memory[tenant] = _Memory(zone, {})
        return memory

    def _count(self, asker: Asker, kind: Kind, wire: bytes | None) -> bytes | None:
        self.tally[asker.port, kind] += 1
        return wire

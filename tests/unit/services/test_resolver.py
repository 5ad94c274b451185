"""The resolver: what is kept between questions, for whom and for how long; what a port may ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import dns.message
import dns.rcode
import dns.rrset

from controller.services.cache import LARGEST, Cache
from controller.services.rates import Rate, Rates
from controller.services.resolver import Bounds, Resolver
from model.ids import PortKey, TenantKey
from services.naming.answering import Terms
from services.naming.directory import Directory, Zone, direct, with_holding
from services.naming.forwarding import FAILED, Kept
from services.naming.holdings import hold_port
from services.naming.outcome import Asker, Kind, Question, Transport
from tests.fakes.tenants import ACME, RIVAL, network, port, question, tenant

FRONT = network("front", 1, ACME, "10.0.0.0/24")
DIRECTORY = direct(
    "internal", (tenant("acme", ACME), tenant("rival", RIVAL)), (FRONT,), (port("web", 1, 1, "10.0.0.2"),)
)
HERS = Asker(PortKey(1), ACME)
HIS = Asker(PortKey(2), RIVAL)
EXAMPLE = question("www.example.com")
TERMS = Terms(resolvers=DIRECTORY.zones[ACME].addresses_of((b"web",)) or ())


class _Outside:
    """Answers once `go` is set; at once if `go` was set before."""

    def __init__(self, life: int = 60, size: int = 100) -> None:
        self.asked: list[Question] = []
        self.go = asyncio.Event()
        self._kept = Kept(
            Kind.FORWARDED,
            dns.rcode.NOERROR,
            (dns.rrset.from_text("www.example.com.", life, "IN", "A", "198.51.100.1"),),
            life=life,
            size=size,
        )

    async def ask(self, question: Question, zone: Zone, directory: Directory) -> Kept:
        self.asked.append(question)
        await self.go.wait()
        return self._kept


class _World:
    """A resolver, what is outside, and a clock that stands until it is set."""

    def __init__(self, life: int = 60, bounds: Bounds | None = None) -> None:
        self.now = 0.0
        self.outside = _Outside(life)
        self.outside.go.set()
        self.resolver = Resolver(DIRECTORY, TERMS, self.outside, lambda: self.now, bounds or Bounds())

    async def ask(
        self, asker: Asker = HERS, wire: bytes = EXAMPLE, transport: Transport = Transport.UDP
    ) -> dns.message.Message | None:
        said = self.resolver.ask(wire, asker, transport)
        octets = await said if isinstance(said, Awaitable) else said
        return None if octets is None else dns.message.from_wire(octets)


def test_an_answer_is_kept_while_it_holds() -> None:
    async def run() -> None:
        world = _World()
        for now, ttl, times in ((0, 60, 1), (59, 1, 1), (60, 60, 2)):
            world.now = now
            response = await world.ask()
            assert response is not None
            assert (response.answer[0].ttl, len(world.outside.asked)) == (ttl, times)

    asyncio.run(run())


def test_what_one_tenant_asked_for_another_does_not_find() -> None:
    async def run() -> None:
        world = _World()
        await world.ask(HERS)
        await world.ask(HIS)
        await world.ask(HIS)
        assert len(world.outside.asked) == 2

    asyncio.run(run())


def test_the_same_question_is_asked_once() -> None:
    async def run() -> None:
        world = _World()
        world.outside.go.clear()
        waiting = [asyncio.create_task(world.ask(wire=question("www.example.com", id=n))) for n in range(3)]
        while not world.outside.asked:
            await asyncio.sleep(0)
        world.outside.go.set()
        found = await asyncio.gather(*waiting)
        assert [message.id for message in found if message] == [0, 1, 2]
        assert len(world.outside.asked) == 1

    asyncio.run(run())


def test_who_gives_up_takes_nobody_along() -> None:
    async def run() -> None:
        world = _World()
        world.outside.go.clear()
        first, second = (asyncio.create_task(world.ask()) for _ in range(2))
        while not world.outside.asked:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        world.outside.go.set()
        assert await second is not None

    asyncio.run(run())


def test_who_waits_for_nothing_outside_gets_a_seat_of_who_waits_for_most() -> None:
    async def run() -> None:
        world = _World(bounds=Bounds(whole=3))
        world.outside.go.clear()
        tasks = [
            asyncio.create_task(world.ask(wire=question(f"n{number}.example.com"))) for number in range(3)
        ]
        while len(world.outside.asked) < 3:
            await asyncio.sleep(0)
        other = asyncio.create_task(world.ask(HIS))
        assert await tasks[0] is None, "its oldest is given up"
        assert await world.ask(wire=question("n9.example.com")) is None, "and none is taken back"
        world.outside.go.set()
        assert None not in await asyncio.gather(*tasks[1:], other)
        assert world.resolver.tally == {
            (HERS.port, Kind.CROWDED): 2,
            (HERS.port, Kind.FORWARDED): 2,
            (HIS.port, Kind.FORWARDED): 1,
        }
        # All seats are free again.
        found = [await world.ask(wire=question(f"m{number}.example.com")) for number in range(4)]
        assert None not in found

    asyncio.run(run())


def test_a_port_waits_for_so_many_answers_and_no_more() -> None:
    async def run() -> None:
        world = _World(bounds=Bounds(waiting=2))
        world.outside.go.clear()
        tasks = [
            asyncio.create_task(world.ask(wire=question(f"n{number}.example.com"))) for number in range(2)
        ]
        while len(world.outside.asked) < 2:
            await asyncio.sleep(0)
        assert await world.ask(wire=question("n9.example.com")) is None
        other = asyncio.create_task(world.ask(HIS))
        world.outside.go.set()
        assert None not in await asyncio.gather(*tasks, other)
        assert world.resolver.tally[HERS.port, Kind.CROWDED] == 1
        # And again, now that it waits for nothing.
        assert await world.ask(wire=question("n9.example.com")) is not None

    asyncio.run(run())


def test_a_port_that_floods_hurts_only_itself() -> None:
    async def run() -> None:
        world = _World(bounds=Bounds(rate=Rate(steady=1, burst=3)))
        own = question("web.acme.internal")
        assert [await world.ask(wire=own) is None for _ in range(5)] == [False] * 3 + [True] * 2
        assert await world.ask(HIS, own) is not None
        world.now = 1.0
        assert [await world.ask(wire=own) is None for _ in range(2)] == [False, True]
        assert world.resolver.tally == {
            (HERS.port, Kind.ANSWERED): 4,
            (HERS.port, Kind.CROWDED): 3,
            (HIS.port, Kind.NO_NAME): 1,
        }

    asyncio.run(run())


def test_a_port_that_asks_for_ever_new_names_outside_does_not_take_all_of_the_process() -> None:
    """What is known here, or asked for already, it is answered all the same."""

    async def run() -> None:
        world = _World(bounds=Bounds(outside=Rate(steady=1, burst=3)))
        answers = [await world.ask(wire=question(f"n{number}.example.com")) for number in range(9)]
        assert [message is not None for message in answers] == [True] * 3 + [False] * 6
        assert len(world.outside.asked) == 3 and world.resolver.tally[HERS.port, Kind.CROWDED] == 6
        assert await world.ask(wire=question("n0.example.com")) is not None
        assert await world.ask(wire=question("web.acme.internal")) is not None
        assert await world.ask(HIS, question("n9.example.com")) is not None
        world.now, number = 1.0, len(world.outside.asked)
        world.outside.go.clear()
        tasks = [asyncio.create_task(world.ask(wire=question("n9.example.com"))) for _ in range(3)]
        while len(world.outside.asked) == number:
            await asyncio.sleep(0)
        world.outside.go.set()
        assert None not in await asyncio.gather(*tasks), "one of them has asked"
        assert await world.ask(wire=question("n10.example.com")) is None
        world.resolver.forget_port(HERS.port)
        assert await world.ask(wire=question("n10.example.com")) is not None, "another port has its key now"

    asyncio.run(run())


def test_a_change_of_names_is_told_at_once() -> None:
    """Answers are remembered as octets, but only of the zone as it is."""

    async def run() -> None:
        world = _World()
        for address in ("10.0.0.2", "10.0.0.3"):
            held = hold_port(port("web", 1, 1, address), FRONT)
            world.resolver.directory = with_holding(DIRECTORY, held)
            for identity in (7, 8):
                wire = question("web.acme.internal", id=identity)
                response = await world.ask(wire=wire)
                assert response is not None and response.id == identity
                assert response.answer[0][0].to_text() == address

    asyncio.run(run())


def test_what_is_remembered_is_the_tenant_s() -> None:
    async def run() -> None:
        world = _World()
        own = question("web.acme.internal")
        first, second, third = [await world.ask(asker, own) for asker in (HERS, HIS, HERS)]
        assert first is not None and second is not None
        assert first.answer and not second.answer and first == third

    asyncio.run(run())


def test_what_is_gone_is_forgotten() -> None:
    async def run() -> None:
        world = _World()
        await world.ask()
        world.resolver.forget_tenant(ACME)
        world.resolver.forget_port(HERS.port)
        assert not world.resolver.tally
        await world.ask()
        assert len(world.outside.asked) == 2

    asyncio.run(run())


def test_a_cache_is_bounded_by_what_was_not_used() -> None:
    cache = Cache(most=2)
    asked = [Question((name,), 1) for name in (b"a", b"b", b"c")]
    for one in asked[:2]:
        cache.put(ACME, one, FAILED, 0)
    cache.put(RIVAL, asked[0], FAILED, 0)
    assert cache.get(ACME, asked[0], 1) == (FAILED, 1)
    cache.put(ACME, asked[2], FAILED, 1)
    assert [cache.get(ACME, one, 1) is None for one in asked] == [False, True, False]
    assert (cache.held(ACME), cache.held(RIVAL), cache.held(TenantKey(9))) == (2, 1, 0)


def test_a_cache_keeps_nothing_huge_and_nothing_that_does_not_hold() -> None:
    cache = Cache()
    one = Question((b"a",), 1)
    for kept in (
        Kept(Kind.FORWARDED, dns.rcode.NOERROR, life=60, size=LARGEST + 1),
        Kept(Kind.FORWARDED, dns.rcode.NOERROR, life=0),
    ):
        cache.put(ACME, one, FAILED, 0)
        cache.put(ACME, one, kept, 0)
        assert cache.get(ACME, one, 0) is None


def test_a_rate_saves_up_to_a_burst() -> None:
    rates = Rates(Rate(steady=2, burst=2))
    assert [rates.take(HERS.port, now) for now in (0, 0, 0, 0.5, 0.5, 99, 99, 99)] == [
        True,
        True,
        False,
        True,
        False,
        True,
        True,
        False,
    ]

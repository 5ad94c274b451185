"""Upstream: real sockets to resolvers on loopback that answer well, late, wrongly or not at all."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.name
import dns.rcode

from controller.services.upstream import Patience, Upstream
from services.naming.directory import direct
from services.naming.forwarding import FAILED, Kept
from services.naming.outcome import Question
from tests.fakes.resolvers import Resolver
from tests.fakes.tenants import ACME, tenant

DIRECTORY = direct("internal", (tenant("acme", ACME),), (), ())
ASKED = Question((b"www", b"example"), 1)
LONG = Patience(wait=5.0)
LOOPBACK = ip_address("127.0.0.1")


def _ask(
    *resolvers: Resolver,
    times: int = 1,
    patience: Patience = LONG,
    chance: Callable[[int], int] = secrets.randbits,
) -> list[Kept]:
    async def run() -> list[Kept]:
        for resolver in resolvers:
            await resolver.start()
        upstream = Upstream(tuple((LOOPBACK, resolver.port) for resolver in resolvers), chance, patience)
        try:
            zone = DIRECTORY.zones[ACME]
            return [await upstream.ask(ASKED, zone, DIRECTORY) for _ in range(times)]
        finally:
            for resolver in resolvers:
                resolver.close()

    return asyncio.run(run())


def _told(kept: Kept) -> list[str]:
    return [rdata.to_text() for rrset in kept.answer for rdata in rrset]


def _silent(response: dns.message.Message, transport: str) -> list[bytes]:
    return []


def _refuse(response: dns.message.Message, transport: str) -> list[bytes]:
    response.set_rcode(dns.rcode.REFUSED)
    return [response.to_wire()]


def _cut(response: dns.message.Message, transport: str) -> list[bytes]:
    if transport == "udp":
        response.flags |= dns.flags.TC
        response.answer.clear()
    return [response.to_wire()]


def _guessed(response: dns.message.Message, transport: str) -> list[bytes]:
    """By UDP, more wrong ids than anybody but a guesser would send, and then the right one."""
    good = response.to_wire()
    if transport == "tcp":
        return [good]
    forged = [
        bytes([good[0] ^ 1, number]) + good[2:].replace(b"\x01\x01\x01\x01", b"\x06\x06\x06\x06")
        for number in range(20)
    ]
    return [*forged, good]


def _wrong_once(response: dns.message.Message, transport: str) -> list[bytes]:
    good = response.to_wire()
    return [bytes([good[0] ^ 1]) + good[1:-1] + b"\x06", b"\0", good]


def test_an_answer_comes_from_a_resolver() -> None:
    resolver = Resolver("60 A 198.51.100.1")
    (kept,) = _ask(resolver)
    assert _told(kept) == ["198.51.100.1"] and kept.size > 0
    assert [transport for transport, _ in resolver.asked] == ["udp"]


def test_each_question_has_a_port_and_an_id_of_its_own() -> None:
    resolver = Resolver("60 A 198.51.100.1")
    _ask(resolver, times=8)
    assert len(set(resolver.ports)) > 1
    assert len({message.id for _, message in resolver.asked}) > 1
    assert len({message.question[0].name.labels for _, message in resolver.asked}) > 1


def test_a_cut_answer_comes_whole_by_tcp() -> None:
    resolver = Resolver("60 A 198.51.100.1", twist=_cut)
    assert _told(_ask(resolver)[0]) == ["198.51.100.1"]
    assert [transport for transport, _ in resolver.asked] == ["udp", "tcp"]


def test_an_answer_to_something_else_is_passed_over() -> None:
    resolver = Resolver("60 A 198.51.100.1", twist=_wrong_once)
    assert _told(_ask(resolver)[0]) == ["198.51.100.1"]
    assert [transport for transport, _ in resolver.asked] == ["udp"]


def test_who_guesses_is_left_for_tcp() -> None:
    resolver = Resolver("60 A 1.1.1.1", twist=_guessed)
    assert _told(_ask(resolver)[0]) == ["1.1.1.1"]
    assert [transport for transport, _ in resolver.asked] == ["udp", "tcp"]


def test_the_next_resolver_is_asked_and_stays_the_first() -> None:
    refusing, alive = Resolver(twist=_refuse), Resolver("60 A 198.51.100.1")
    assert [_told(kept) for kept in _ask(refusing, alive, times=2)] == [["198.51.100.1"]] * 2
    assert (len(refusing.asked), len(alive.asked)) == (1, 2)


def test_a_resolver_that_is_silent_is_not_the_last_word() -> None:
    dead, alive = Resolver(twist=_silent), Resolver("60 A 198.51.100.1")
    (kept,) = _ask(dead, alive, patience=Patience(wait=0.3, rounds=9))
    assert _told(kept) == ["198.51.100.1"] and dead.asked


def test_nobody_answers() -> None:
    dead = Resolver(twist=_silent)
    assert _ask(dead, patience=Patience(wait=0.3, rounds=2)) == [FAILED]
    assert len(dead.asked) == 2


def _lowered(response: dns.message.Message, transport: str) -> list[bytes]:
    (asked,) = response.question
    asked.name = dns.name.from_text(asked.name.to_text().lower())
    return [response.to_wire()]


def test_a_resolver_that_does_not_repeat_the_case_of_letters_is_asked_by_tcp() -> None:
    there = Resolver("60 A 198.51.100.1", twist=_lowered)
    patience = Patience(wait=0.3, rounds=60, whole=20.0)
    (kept,) = _ask(there, patience=patience, chance=lambda bits: (1 << bits) - 1)
    assert _told(kept) == ["198.51.100.1"]
    (first, _), *_, (last, _) = there.asked
    assert (first, last) == ("udp", "tcp")


def test_it_ends_in_time_however_many_are_silent() -> None:
    silent = [Resolver(twist=_silent) for _ in range(4)]
    assert _ask(*silent, patience=Patience(wait=20.0, rounds=20, whole=0.3)) == [FAILED]
    assert [len(one.asked) for one in silent] == [1, 0, 0, 0]
    assert Patience().whole < 5 and Patience().wait < Patience().whole


def test_nobody_listens() -> None:
    """The kernel says so at once; a refused datagram is no answer, and no error of ours either."""

    async def run() -> Kept:
        gone = Resolver()
        await gone.start()
        gone.close()
        await asyncio.sleep(0)
        upstream = Upstream(((LOOPBACK, gone.port),), random.Random(1).getrandbits, Patience(wait=5.0))
        return await upstream.ask(ASKED, DIRECTORY.zones[ACME], DIRECTORY)

    assert asyncio.run(run()) is FAILED

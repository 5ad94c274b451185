"""Names hold for whatever happens: one by one is the same as at once, nobody learns of another, octets of any
kind end in an answer or in silence."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

import dns.message
import dns.name
from hypothesis import given
from hypothesis import strategies as st

from model.ids import PortKey
from model.intent import Network, Port
from model.roll import Roll
from services.naming.answering import Terms, answer
from services.naming.directory import (
    Directory,
    direct,
    open_directory,
    with_holding,
    with_network,
    with_tenant,
    without_holding,
    without_network,
)
from services.naming.forwarding import Kept, accept, finish, prepare
from services.naming.holdings import hold_gang, hold_port
from services.naming.outcome import Asker, Forward, Question, Reply, Silence, Transport
from tests.fakes.tenants import ACME, RIVAL, gang, network, port, question, tenant

TENANTS: Final = (tenant("acme", ACME), tenant("rival", RIVAL))
NETWORKS: Final = (
    network("n1", 1, ACME, "10.0.0.0/24", "fd00::/64"),
    network("n2", 2, ACME, "10.1.0.0/24"),
    network("n1", 3, RIVAL, "10.0.0.0/24", "fd00::/64"),
    network("n3", 4, RIVAL, "203.0.113.0/24"),
)
NAMES: Final = ("a", "b", "n1", "gang", "rank-0", "job")
ADDRESSES: Final = ("10.0.0.2", "10.0.0.3", "10.1.0.2", "fd00::2", "203.0.113.5")
TERMS: Final = Terms(resolvers=(ip_address("192.0.2.53"),))
ASKER: Final = Asker(PortKey(1), ACME)

ports = st.builds(
    lambda key, name, home, found: port(name, key, home, *found),
    st.integers(1, 5),
    st.sampled_from(NAMES),
    st.integers(1, 4),
    st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=2),
)
gangs = st.builds(
    lambda owner, name, nodes: gang(owner, name, *(tuple(node) for node in nodes)),
    st.sampled_from(("acme", "rival")),
    st.sampled_from(NAMES),
    st.lists(st.lists(st.sampled_from(ADDRESSES), max_size=2), max_size=2),
)


@dataclass(frozen=True, slots=True)
class _Gone:
    key: int


@dataclass(frozen=True, slots=True)
class _Left:
    gang: Roll


steps = st.lists(
    st.one_of(
        ports,
        gangs,
        st.builds(_Left, gangs),
        st.sampled_from(NETWORKS),
        st.builds(_Gone, st.integers(1, 5)),
    )
)


def _all(found: list[Port], held: list[Roll], networks: tuple[Network, ...] = NETWORKS) -> Directory:
    return direct("internal", TENANTS, networks, found, held)


@given(steps)
def test_one_by_one_is_the_same_as_at_once(made: list[Port | Roll | Network | _Left | _Gone]) -> None:
    """Networks that the steps name go and come back; ports move between tenants only as what is new does."""
    directory = open_directory("internal")
    for one in TENANTS:
        directory = with_tenant(directory, one)
    for home in NETWORKS:
        directory = with_network(directory, home)
    of = {home.key: home for home in NETWORKS}
    there: dict[int, Port] = {}
    jobs: dict[tuple[str, str], Roll] = {}
    for step in made:
        if isinstance(step, Network):
            directory = without_network(directory, step.tenant, step.key)
            directory = with_network(directory, step)
        elif isinstance(step, Roll | _Left):
            job = step if isinstance(step, Roll) else step.gang
            owner = ACME if job.tenant == "acme" else RIVAL
            held = hold_gang(job, owner)
            directory = without_holding(directory, owner, held.key)
            jobs.pop((job.tenant, job.name), None)
            if isinstance(step, Roll):
                directory = with_holding(directory, held)
                jobs[job.tenant, job.name] = job
        else:
            old = there.pop(int(step.key), None)
            if old is not None:
                directory = without_holding(directory, of[old.network].tenant, ("port", old.uid))
            if isinstance(step, Port):
                directory = with_holding(directory, hold_port(step, of[step.network]))
                there[int(step.key)] = step
    assert directory == _all(list(there.values()), list(jobs.values()))


def _labels() -> st.SearchStrategy[str]:
    known = st.sampled_from((*NAMES, "acme", "rival", "internal", "rail-0", "example", "com", "x"))
    return st.lists(known, min_size=1, max_size=5).map(".".join)


questions = st.builds(
    question,
    st.one_of(
        _labels(),
        st.builds("{}.{}.internal".format, _labels(), st.sampled_from(("acme", "rival"))),
        st.sampled_from(ADDRESSES).map(lambda text: ip_address(text).reverse_pointer),
    ),
    st.sampled_from(("A", "AAAA", "PTR", "SOA", "ANY", "TXT")),
    id=st.just(1),
    use_edns=st.sampled_from((False, 0)),
)


@given(
    st.lists(ports, max_size=5, unique_by=lambda one: one.key),
    st.lists(gangs, max_size=2, unique_by=lambda one: (one.tenant, one.name)),
    questions,
    st.sampled_from(Transport),
)
def test_nothing_of_another_tenant_is_in_any_answer(
    found: list[Port], held: list[Roll], wire: bytes, transport: Transport
) -> None:
    """With the rival and all it has, and without it, the answer is the same to the octet."""
    own = {home.key for home in NETWORKS if home.tenant == ACME}
    both = _all(found, held)
    alone = direct(
        "internal",
        TENANTS[:1],
        tuple(home for home in NETWORKS if home.key in own),
        [one for one in found if one.network in own],
        [one for one in held if one.tenant == "acme"],
    )
    assert answer(wire, ASKER, both, TERMS, transport) == answer(wire, ASKER, alone, TERMS, transport)


@given(st.lists(ports, max_size=5, unique_by=lambda one: one.key))
def test_what_a_port_has_is_found_by_name_and_by_address(found: list[Port]) -> None:
    directory = _all(found, [])
    of = {home.key: home for home in NETWORKS}
    for one in found:
        home = of[one.network]
        zone = directory.zones[home.tenant]
        for address in one.addresses:
            assert address in (zone.addresses_of((one.name.encode(),)) or ())
            long = (one.name.encode(), home.name.encode())
            assert address in (zone.addresses_of(long) or ())
            assert (*long, *zone.origin) in zone.names_of(address)


DIRECTORY: Final = _all(
    [port("a", 1, 1, "10.0.0.2"), port("secret", 2, 3, "10.0.0.2")], [gang("rival", "hidden", ("10.2.0.2",))]
)


@st.composite
def _mangled(draw: st.DrawFn) -> bytes:
    """A good question, some octets of which are others, and which may end early or late."""
    wire = bytearray(draw(questions))
    for place, octet in draw(
        st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)), max_size=6)
    ):
        wire[place] = octet
    end = draw(st.integers(0, len(wire)))
    return bytes(wire[:end] if draw(st.booleans()) else wire) + draw(st.binary(max_size=20))


@given(st.one_of(st.binary(max_size=600), _mangled()), st.sampled_from(Transport))
def test_octets_of_any_kind_end_somehow(wire: bytes, transport: Transport) -> None:
    outcome = answer(wire, ASKER, DIRECTORY, TERMS, transport)
    if isinstance(outcome, Reply):
        # Never an amplifier: what is not understood is answered by a header.
        assert outcome.wire[:2] == wire[:2] and outcome.wire[2] & 0x80
        assert len(outcome.wire) <= (65535 if transport is Transport.TCP else 1232)
        assert b"secret" not in outcome.wire or b"secret" in wire.lower()
        dns.message.from_wire(outcome.wire)
    else:
        assert isinstance(outcome, Silence | Forward)


ASKED: Final = Question((b"www", b"example"), 1)


@st.composite
def _answers(draw: st.DrawFn) -> tuple[int, bytes]:
    """An answer that fits, and then again some octets of which are others."""
    chance = draw(st.integers(0, 2**272 - 1))
    response = dns.message.make_response(dns.message.from_wire(prepare(ASKED, chance).wire))
    text = draw(
        st.sampled_from(
            (
                "www.example. 60 IN A 198.51.100.1",
                "www.example. 60 IN CNAME b.example.\nb.example. 5 IN A 198.51.100.1",
                "www.example. 60 IN CNAME www.example.",
                "www.example. 60 IN HTTPS 1 . ipv4hint=10.0.0.2",
            )
        )
    )
    for line in text.splitlines():
        name, ttl, _, rdtype, rest = line.split(" ", 4)
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, rest))
    wire = bytearray(response.to_wire())
    for place, octet in draw(
        st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)), max_size=6)
    ):
        wire[place] = octet
    return chance, bytes(wire)


@given(_answers(), st.binary(max_size=100), st.integers(0, 4000))
def test_answers_of_any_kind_end_somehow(made: tuple[int, bytes], noise: bytes, age: int) -> None:
    chance, wire = made
    zone = DIRECTORY.zones[ACME]
    accept(prepare(ASKED, chance), noise, zone, DIRECTORY)
    kept = accept(prepare(ASKED, chance), wire, zone, DIRECTORY)
    if isinstance(kept, Kept):
        forward = Forward(ASKED, question("www.example", "A"))
        reply = finish(forward, kept, age, ASKER, DIRECTORY, Transport.UDP)
        assert reply is not None
        for rrset in dns.message.from_wire(reply.wire).answer:
            assert rrset.ttl <= 3600
            assert not [rdata for rdata in rrset if rdata.to_text() in ADDRESSES]


def test_the_networks_that_are_asked_about_are_the_tenant_s() -> None:
    """The other tests of this file would pass if nothing were anybody's."""
    assert DIRECTORY.zones[ACME].contains(ip_network("10.0.0.2/32"))
    assert not DIRECTORY.zones[ACME].contains(ip_network("203.0.113.5/32"))

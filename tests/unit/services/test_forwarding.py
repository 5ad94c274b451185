"""Names outside: what is asked there, what of the answer is believed, and what the port gets of it."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from model.ids import PortKey, Uid
from model.intent import StaticRoute
from services.naming.directory import direct, with_route, without_route
from services.naming.forwarding import FAILED, Kept, Partial, Sent, accept, finish, prepare
from services.naming.outcome import Asker, Forward, Kind, Question, Reply, Transport
from tests.fakes.tenants import ACME, gang, network, port, question, tenant

DIRECTORY = direct(
    "internal",
    (tenant("acme", ACME),),
    (network("front", 1, ACME, "10.0.0.0/24", "fd00:1::/64"),),
    (port("web", 1, 1, "10.0.0.2"),),
    (gang("acme", "job", ("10.9.0.1",)),),
)
ZONE = DIRECTORY.zones[ACME]
ASKER = Asker(PortKey(1), ACME)
CHANCE = 0x5A5A_BEEF
ASKED = Question((b"www", b"example"), 1)


def _response(sent: Sent, *records: str, rcode: str = "NOERROR") -> dns.message.Message:
    """Records of the answer, as `NAME TTL TYPE VALUE`; `^` before the name for one of authority."""
    response = dns.message.make_response(dns.message.from_wire(sent.wire), recursion_available=True)
    response.set_rcode(dns.rcode.from_text(rcode))
    for record in records:
        name, ttl, rdtype, value = record.removeprefix("^").split(" ", 3)
        section = response.authority if record.startswith("^") else response.answer
        section.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, value))
    return response


def _kept(*records: str, rcode: str = "NOERROR", asked: Question = ASKED) -> Kept:
    sent = prepare(asked, CHANCE)
    kept = accept(sent, _response(sent, *records, rcode=rcode).to_wire(), ZONE, DIRECTORY)
    assert isinstance(kept, Kept)
    return kept


def _given(kept: Kept, age: int = 0, wire: bytes | None = None) -> dns.message.Message:
    wire = question("WWW.example", use_edns=0) if wire is None else wire
    reply = finish(Forward(ASKED, wire), kept, age, ASKER, DIRECTORY, Transport.UDP)
    assert isinstance(reply, Reply)
    return dns.message.from_wire(reply.wire)


def test_what_leaves_bears_nothing_of_the_port_but_its_question() -> None:
    message = dns.message.from_wire(prepare(ASKED, CHANCE).wire)
    assert message.id == 0xBEEF and message.flags == dns.flags.RD
    assert message.question[0].name.to_text().lower() == "www.example." and message.options == ()
    assert message.payload == 1232 and not message.ednsflags


def test_letters_have_a_case_by_chance() -> None:
    texts = {prepare(ASKED, chance << 16).name.to_text() for chance in range(1 << 10)}
    assert len(texts) == 2**10


def test_an_answer_is_given_as_the_port_asked() -> None:
    kept = _kept("www.example. 60 A 198.51.100.1")
    response = _given(kept, 20)
    assert kept.life == 60
    assert [rrset.to_text() for rrset in response.answer] == ["WWW.example. 40 IN A 198.51.100.1"]
    assert not response.flags & dns.flags.AA and response.flags & dns.flags.RA


@pytest.mark.parametrize(
    "change",
    ["identity", "case", "type", "class", "opcode", "question", "two"],
)
def test_what_does_not_repeat_the_question_is_no_answer(change: str) -> None:
    sent = prepare(ASKED, CHANCE)
    response = _response(sent, "www.example. 60 A 198.51.100.1")
    good = accept(sent, response.to_wire(), ZONE, DIRECTORY)
    assert isinstance(good, Kept)
    asked = response.question[0]
    match change:
        case "identity":
            response.id ^= 1
        case "case":
            asked.name = dns.name.Name(tuple(label.swapcase() for label in asked.name.labels))
        case "type":
            asked.rdtype = dns.rdatatype.AAAA
        case "class":
            asked.rdclass = dns.rdataclass.CH
        case "opcode":
            response.set_opcode(dns.opcode.NOTIFY)
        case "question":
            response.flags &= ~dns.flags.QR
        case "two":
            response.question.append(dns.rrset.from_text("www.example.", 0, "IN", "TXT"))
    wire = response.to_wire()
    assert accept(sent, wire, ZONE, DIRECTORY) is None


def test_a_cut_answer_is_asked_for_again() -> None:
    sent = prepare(ASKED, CHANCE)
    response = _response(sent)
    response.flags |= dns.flags.TC
    assert accept(sent, response.to_wire(), ZONE, DIRECTORY) == Partial()


def test_a_resolver_that_fails_is_remembered_for_a_short_while() -> None:
    kept = _kept(rcode="REFUSED")
    assert kept == FAILED and kept.life == 5
    assert _given(kept).rcode() == dns.rcode.SERVFAIL


def test_a_chain_is_followed_and_the_rest_left() -> None:
    kept = _kept(
        "other.example. 60 A 198.51.100.66",
        "www.example. 60 CNAME a.example.",
        "b.example. 9 A 198.51.100.1",
        "a.example. 30 CNAME b.example.",
    )
    assert [rrset.name.to_text().lower() for rrset in kept.answer] == [
        "www.example.",
        "a.example.",
        "b.example.",
    ]
    assert kept.life == 9


def test_a_chain_without_end_ends() -> None:
    assert _kept("www.example. 60 CNAME www.example.").life == 0


@pytest.mark.parametrize(
    "record",
    [
        "www.example. 60 A 10.0.0.2",
        "www.example. 60 A 10.0.0.77",
        "www.example. 60 A 10.9.0.1",
        "www.example. 60 A 169.254.169.254",
        "www.example. 60 A 127.0.0.1",
        "www.example. 60 A 0.0.0.0",
        "www.example. 60 AAAA fd00:1::5",
        "www.example. 60 AAAA fd00:ec2::254",
        "www.example. 60 AAAA fe80::1",
        "www.example. 60 AAAA ::ffff:10.0.0.2",
        "www.example. 60 AAAA 64:ff9b::10.0.0.2",
        "www.example. 60 AAAA 2002:a00:2::1",
        "www.example. 60 HTTPS 1 . ipv4hint=10.0.0.2",
        "www.example. 60 SVCB 1 . ipv6hint=fe80::1",
        "www.example. 60 CNAME web.acme.internal.",
        "www.example. 60 CNAME a.rival.internal.",
        "www.example. 60 CNAME 2.0.0.10.in-addr.arpa.",
    ],
)
def test_nobody_outside_leads_a_program_inside(record: str) -> None:
    rdtype = dns.rdatatype.from_text(record.split(" ")[2])
    asked = Question(ASKED.name, 1 if rdtype == dns.rdatatype.CNAME else int(rdtype))
    kept = _kept(record, asked=asked)
    assert kept.kind is Kind.FILTERED
    response = _given(kept)
    assert response.rcode() == dns.rcode.NOERROR and not response.answer
    assert [int(one.code) for one in response.options if isinstance(one, dns.edns.EDEOption)] == [17]


def test_nobody_outside_answers_for_a_suffix_of_the_operator_s_own() -> None:
    directory = direct("cloud.example", (tenant("acme", ACME),), (), ())
    sent = prepare(ASKED, CHANCE)
    response = _response(
        sent, "www.example. 60 CNAME a.acme.cloud.example.", "a.acme.cloud.example. 60 A 198.51.100.1"
    )
    kept = accept(sent, response.to_wire(), directory.zones[ACME], directory)
    assert isinstance(kept, Kept) and kept.kind is Kind.FILTERED


def test_no_import_of_another_library_opens_the_way_inside() -> None:
    """eventlet imports dnspython for itself, and leaves other classes behind than were imported before."""
    program = (
        "import dns.rrset, services.naming.rebinding as own, services.naming.directory as names;"
        "import eventlet;"
        "zone = names.direct('internal', (tenant('acme', ACME),), (), ()).zones[ACME];"
        "found = [dns.rrset.from_text('a.example.', 9, 'IN', *words.split())"
        " for words in ('A 127.0.0.1', 'AAAA fe80::1', 'A 198.51.100.1')];"
        "print(*(own.leads([one], zone) for one in found))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"from tests.fakes.tenants import ACME, tenant;{program}"],
        capture_output=True, text=True, timeout=60, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout.split() == ["True", "True", "False"]


def test_one_bad_address_spoils_the_answer() -> None:
    sent = prepare(ASKED, CHANCE)
    response = _response(sent)
    response.answer.append(dns.rrset.from_text("www.example.", 60, "IN", "A", "198.51.100.1", "10.0.0.2"))
    kept = accept(sent, response.to_wire(), ZONE, DIRECTORY)
    assert isinstance(kept, Kept) and kept.kind is Kind.FILTERED


@pytest.mark.parametrize("record", ["A 10.77.0.1", "A 192.168.0.1", "AAAA fd00:2::1", "AAAA 2001:db8::1"])
def test_private_addresses_of_others_pass(record: str) -> None:
    """The operator's storage may have them; the tenant's networks do not."""
    asked = Question(ASKED.name, 28 if record.startswith("AAAA") else 1)
    assert _kept(f"www.example. 60 {record}", asked=asked).kind is Kind.FORWARDED


@pytest.mark.parametrize("prefix", ["10.77.0.0/16", "0.0.0.0/0"])
def test_nobody_outside_leads_to_private_addresses_behind_a_route_of_the_tenant(prefix: str) -> None:
    """What is everybody's behind it is not barred: a tenant may route all through a port of its own."""
    route = StaticRoute(Uid("r"), ACME, "r", ip_network(prefix), ())
    there = with_route(DIRECTORY, route)
    for address, before, after in (
        ("10.77.0.9", Kind.FORWARDED, Kind.FILTERED),
        ("203.0.113.9", Kind.FORWARDED, Kind.FORWARDED),
    ):
        for directory, expected in (
            (DIRECTORY, before),
            (there, after),
            (without_route(there, route), before),
        ):
            sent = prepare(ASKED, CHANCE)
            wire = _response(sent, f"www.example. 60 A {address}").to_wire()
            kept = accept(sent, wire, directory.zones[ACME], directory)
            assert isinstance(kept, Kept) and kept.kind is expected


def test_what_was_remembered_is_judged_again() -> None:
    """A network with these addresses was made since."""
    kept = _kept("www.example. 60 A 10.77.0.1")
    later = direct("internal", (tenant("acme", ACME),), (network("new", 9, ACME, "10.77.0.0/24"),), ())
    reply = finish(Forward(ASKED, question("www.example")), kept, 1, ASKER, later, Transport.UDP)
    assert reply is not None and reply.kind is Kind.FILTERED
    assert not dns.message.from_wire(reply.wire).answer


def test_what_is_not_there_is_remembered_as_its_zone_says() -> None:
    soa = "^example. 900 SOA ns.example. a.example. 1 1 1 1 40"
    kept = _kept(soa, rcode="NXDOMAIN")
    assert kept.life == 40
    response = _given(kept, 10)
    assert response.rcode() == dns.rcode.NXDOMAIN and response.authority[0].ttl == 890
    assert _kept("^example. 900 SOA ns.example. a.example. 1 1 1 1 9999").life == 300
    assert _kept(rcode="NXDOMAIN").life == 0
    assert _kept(soa.replace("^example.", "^elsewhere."), rcode="NXDOMAIN").life == 0


def test_nothing_is_remembered_for_more_than_an_hour() -> None:
    kept = _kept("www.example. 999999 A 198.51.100.1")
    assert kept.life == 3600
    assert _given(kept, 3000).answer[0].ttl == 600


def test_a_port_that_validates_gets_signatures_and_proofs() -> None:
    asked = Question(ASKED.name, 1, dnssec=1)
    signature = "A 8 2 60 20300101000000 20200101000000 1 example. AAAA"
    records = ("www.example. 60 A 198.51.100.1", f"www.example. 60 RRSIG {signature}")
    assert len(_kept(*records, asked=asked).answer) == 2
    assert len(_kept(*records).answer) == 1
    assert prepare(asked, CHANCE).wire != prepare(ASKED, CHANCE).wire


def test_authenticated_only_for_who_asks() -> None:
    sent = prepare(ASKED, CHANCE)
    response = _response(sent, "www.example. 60 A 198.51.100.1")
    response.flags |= dns.flags.AD
    kept = accept(sent, response.to_wire(), ZONE, DIRECTORY)
    assert isinstance(kept, Kept)
    assert not _given(kept).flags & dns.flags.AD
    assert _given(kept, 0, question("www.example", flags=dns.flags.AD)).flags & dns.flags.AD

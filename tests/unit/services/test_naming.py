"""Names: what ports are told of their tenant's own, and how every other question ends."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rcode
import pytest

from model.ids import PortKey, TenantKey
from services.naming.answering import Terms, answer
from services.naming.directory import direct, open_directory
from services.naming.outcome import Asker, Forward, Kind, Outcome, Reply, Silence, Transport
from tests.fakes.tenants import ACME, RIVAL, gang, network, port, question, tenant

HERE = (tenant("acme", ACME), tenant("rival", RIVAL))
DIRECTORY = direct(
    "internal",
    HERE,
    (
        network("front", 1, ACME, "10.0.0.0/24", "fd00:1::/64"),
        network("back", 2, ACME, "8.8.8.0/24"),
        network("front", 3, RIVAL, "10.0.0.0/24"),
    ),
    (
        port("web", 1, 1, "10.0.0.2", "fd00:1::2"),
        port("db", 2, 2, "8.8.8.9"),
        port("quiet", 3, 1),
        port("secret", 4, 3, "10.0.0.2"),
    ),
    (gang("acme", "job", ("10.9.0.1", "10.9.1.1"), ("10.9.0.2", "10.9.1.2")),),
)
TERMS = Terms(servers=(ip_address("169.254.169.253"),))
"""No resolver: what would be forwarded is refused."""
FORWARDING = Terms(resolvers=(ip_address("192.0.2.53"),))


def _ask(wire: bytes, owner: TenantKey = ACME, terms: Terms = TERMS) -> Outcome:
    return answer(wire, Asker(PortKey(1), owner), DIRECTORY, terms, Transport.UDP)


def _read(outcome: Outcome) -> dns.message.Message:
    assert isinstance(outcome, Reply)
    return dns.message.from_wire(outcome.wire)


def _told(name: str, rdtype: str = "A", owner: TenantKey = ACME) -> list[str]:
    return [rdata.to_text() for rrset in _read(_ask(question(name, rdtype), owner)).answer for rdata in rrset]


@pytest.mark.parametrize(
    ("name", "rdtype", "told"),
    [
        ("web.front.acme.internal", "A", ["10.0.0.2"]),
        ("web.acme.internal", "A", ["10.0.0.2"]),
        ("web.acme.internal", "AAAA", ["fd00:1::2"]),
        ("WEB.Front.acme.INTERNAL", "A", ["10.0.0.2"]),
        ("2.0.0.10.in-addr.arpa", "PTR", ["web.front.acme.internal."]),
        ("9.8.8.8.in-addr.arpa", "PTR", ["db.back.acme.internal."]),
        (ip_address("fd00:1::2").reverse_pointer, "PTR", ["web.front.acme.internal."]),
        ("rank-1.job.gang.acme.internal", "A", ["10.9.0.2", "10.9.1.2"]),
        ("rail-1.rank-0.job.gang.acme.internal", "A", ["10.9.1.1"]),
        ("2.1.9.10.in-addr.arpa", "PTR", ["rail-1.rank-1.job.gang.acme.internal."]),
        ("acme.internal", "NS", ["acme.internal."]),
        ("acme.internal", "A", ["169.254.169.253"]),
        ("localhost", "A", ["127.0.0.1"]),
        ("a.localhost", "AAAA", ["::1"]),
        ("web.acme.internal", "ANY", ['"RFC8482" ""']),
        ("example.com", "ANY", ['"RFC8482" ""']),
    ],
)
def test_a_port_is_told(name: str, rdtype: str, told: list[str]) -> None:
    assert _told(name, rdtype) == told


@pytest.mark.parametrize(
    ("name", "rdtype", "kind"),
    [
        ("nobody.acme.internal", "A", Kind.NO_NAME),
        ("nobody.front.acme.internal", "A", Kind.NO_NAME),
        ("below.web.front.acme.internal", "A", Kind.NO_NAME),
        ("web.back.acme.internal", "A", Kind.NO_NAME),
        ("front.acme.internal", "A", Kind.NO_DATA),
        ("gang.acme.internal", "A", Kind.NO_DATA),
        ("job.gang.acme.internal", "A", Kind.NO_DATA),
        ("rank-0.gone.gang.acme.internal", "A", Kind.NO_NAME),
        ("quiet.acme.internal", "A", Kind.NO_DATA),
        ("db.acme.internal", "AAAA", Kind.NO_DATA),
        ("web.acme.internal", "MX", Kind.NO_DATA),
        ("secret.rival.internal", "A", Kind.NO_NAME),
        ("rival.internal", "SOA", Kind.NO_NAME),
        ("internal", "A", Kind.ANSWERED),
        ("3.0.0.10.in-addr.arpa", "PTR", Kind.NO_NAME),
        ("x.2.0.0.10.in-addr.arpa", "PTR", Kind.NO_NAME),
        ("02.0.0.10.in-addr.arpa", "PTR", Kind.NO_NAME),
        ("9.2.0.0.10.in-addr.arpa", "PTR", Kind.NO_NAME),
        (f"f.{ip_address('fd00:1::2').reverse_pointer}", "PTR", Kind.NO_NAME),
        ("0.10.in-addr.arpa", "PTR", Kind.NO_DATA),
        ("9.9.168.192.in-addr.arpa", "PTR", Kind.NO_NAME),
        ("1.8.8.8.in-addr.arpa", "PTR", Kind.NO_NAME),
        ("1.9.8.8.in-addr.arpa", "PTR", Kind.NO_RESOLVER),
        ("printer.local", "A", Kind.NO_NAME),
        ("_dns.resolver.arpa", "SVCB", Kind.NO_NAME),
        ("printer", "A", Kind.NO_NAME),
        ("com", "NS", Kind.NO_RESOLVER),
        ("example.com", "A", Kind.NO_RESOLVER),
        ("acme.internal.example.com", "A", Kind.NO_RESOLVER),
        ("acme.internal", "AXFR", Kind.TRANSFER),
        ("acme.internal", "IXFR", Kind.TRANSFER),
        ("acme.internal", "MAILA", Kind.TYPE),
    ],
)
def test_how_a_question_ends(name: str, rdtype: str, kind: Kind) -> None:
    assert _ask(question(name, rdtype)).kind is kind


def test_equal_addresses_of_two_tenants_have_names_of_their_own() -> None:
    assert _told("2.0.0.10.in-addr.arpa", "PTR", ACME) == ["web.front.acme.internal."]
    assert _told("2.0.0.10.in-addr.arpa", "PTR", RIVAL) == ["secret.front.rival.internal."]


def test_a_suffix_of_the_operator_s_own_is_ours_and_what_it_lies_in_is_not() -> None:
    directory = direct("cloud.example", HERE, (), ())

    def kind(name: str) -> Kind:
        return answer(question(name), Asker(PortKey(1), ACME), directory, FORWARDING, Transport.UDP).kind

    assert kind("a.acme.cloud.example") is kind("a.rival.cloud.example") is Kind.NO_NAME
    assert kind("www.example.example") is kind("www.example.com") is Kind.FORWARDED
    assert kind("acme.internal") is Kind.NO_NAME


def test_another_tenant_s_name_ends_as_one_that_nobody_has() -> None:
    """Octet by octet, but for the name itself."""
    hers = _read(_ask(question("secret.front.rival.internal", id=7)))
    none = _read(_ask(question("secret.front.never.internal", id=7)))
    assert hers.to_text().replace("rival", "never") == none.to_text()


def test_what_is_not_there_says_how_long_that_holds() -> None:
    response = _read(_ask(question("nobody.acme.internal")))
    assert response.rcode() == dns.rcode.NXDOMAIN and response.flags & dns.flags.AA
    (soa,) = response.authority
    assert (soa.name.to_text(), soa.ttl, soa[0].minimum) == ("acme.internal.", 5, 5)


def test_a_name_outside_is_handed_on() -> None:
    outcome = _ask(question("Example.COM", "AAAA", want_dnssec=True), terms=FORWARDING)
    assert isinstance(outcome, Forward)
    assert (outcome.question.name, outcome.question.rdtype) == ((b"example", b"com"), 28)
    assert (outcome.question.dnssec, outcome.question.unchecked) == (1, 0)


def test_nobody_is_told_what_others_asked_for() -> None:
    assert _ask(question("example.com", flags=0), terms=FORWARDING).kind is Kind.NO_RECURSION


def test_what_is_too_long_is_cut_and_said_so() -> None:
    wide = gang("acme", "wide", tuple(f"10.8.{n}.9" for n in range(120)))
    directory = direct("internal", HERE, (), (), (wide,))
    wire = question("rank-0.wide.gang.acme.internal", use_edns=0, payload=65535)
    asker = Asker(PortKey(1), ACME)
    cut = answer(wire, asker, directory, TERMS, Transport.UDP)
    whole = answer(wire, asker, directory, TERMS, Transport.TCP)
    assert _read(cut).flags & dns.flags.TC and not _read(cut).answer
    assert not _read(whole).flags & dns.flags.TC and len(_read(whole).answer[0]) == 120


@pytest.mark.parametrize(
    ("wire", "kind", "rcode"),
    [
        (b"", Kind.SHORT, None),
        (b"\0" * 11, Kind.SHORT, None),
        (struct.pack("!6H", 1, 0x8000, 1, 0, 0, 0), Kind.REPLY, None),
        (question("web.acme.internal") + b"\0" * 1300, Kind.LONG, dns.rcode.FORMERR),
        (struct.pack("!6H", 1, 0x2800, 1, 0, 0, 0), Kind.OPCODE, dns.rcode.NOTIMP),
        (struct.pack("!6H", 1, 0x100, 0, 0, 0, 0), Kind.COUNTS, dns.rcode.FORMERR),
        (struct.pack("!6H", 1, 0x100, 2, 0, 0, 0), Kind.COUNTS, dns.rcode.FORMERR),
        (struct.pack("!6H", 1, 0x100, 1, 0, 0, 0), Kind.GARBLED, dns.rcode.FORMERR),
        # A name that points at itself.
        (
            struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
            Kind.GARBLED,
            dns.rcode.FORMERR,
        ),
        (question("version.bind", "TXT", rdclass="CH"), Kind.CLASS, dns.rcode.REFUSED),
        (question("web.acme.internal", use_edns=1), Kind.VERSION, dns.rcode.BADVERS),
    ],
)
def test_what_is_no_question(wire: bytes, kind: Kind, rcode: dns.rcode.Rcode | None) -> None:
    outcome = _ask(wire)
    assert outcome.kind is kind
    if rcode is None:
        assert isinstance(outcome, Silence)
    else:
        response = _read(outcome)
        assert response.rcode() == rcode and response.id == int.from_bytes(wire[:2], "big")


def test_dots_within_a_label_make_no_other_name() -> None:
    name = b"\x09web.front\x04acme\x08internal\0"
    wire = struct.pack("!6H", 1, 0x100, 1, 0, 0, 0) + name + b"\0\1\0\1"
    assert _ask(wire).kind is Kind.NO_NAME


def test_a_tenant_that_is_not_known_has_no_names() -> None:
    assert _ask(question("web.acme.internal"), TenantKey(9)).kind is Kind.NO_ZONE


@pytest.mark.parametrize("suffix", ["", "a..b", "-a", "a_b", ".".join(["x" * 60, "y" * 60])])
def test_a_suffix_must_leave_room(suffix: str) -> None:
    with pytest.raises(ValueError, match="is"):
        open_directory(suffix)

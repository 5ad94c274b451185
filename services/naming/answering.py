"""Answering: a question of a port, and what it is told, or that it is for somebody outside.

Place: the entry of this room. Pure: the same for the same octets, port and directory. Must not let one tenant
learn of another: only the asker's zone is handed to what answers, and names of others take the way of names
that nobody has. A workload wrote the octets: nothing in them may raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from model.addresses import Address
from services.naming.directory import Directory, Zone
from services.naming.labels import PRIVATE, Labels, reversed_prefix, within
from services.naming.outcome import Asker, Forward, Kind, Outcome, Reply, Transport
from services.naming.reading import Asked, read, refuse, respond
from services.naming.records import (
    MINIMAL,
    bear_addresses,
    bear_authority,
    bear_server,
    point,
    spelled,
)

_LOCALHOST: Final = (b"localhost",)
_LOOPBACK: Final[tuple[Address, ...]] = (ip_address("127.0.0.1"), ip_address("::1"))
_NOBODYS: Final[tuple[Labels, ...]] = (
    (b"invalid",),
    (b"local",),
    (b"onion",),
    (b"internal",),
    (b"home", b"arpa"),
    (b"resolver", b"arpa"),
)
"""Never asked outside: RFC 6761, 6762, 7686, 8375, 9462; `internal` is for private use, as ICANN has it. What
is asked of `resolver.arpa` would be the resolver behind us, not we."""
_A, _AAAA, _PTR = dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.PTR
_SOA, _NS, _ANY = dns.rdatatype.SOA, dns.rdatatype.NS, dns.rdatatype.ANY


@dataclass(frozen=True, slots=True)
class Terms:
    """How answers look. `servers`: where zones are served. `ttl`, `negative`: for how many seconds
    what is there, and what is not, may be remembered. `resolvers`: asked for what is outside."""

    servers: tuple[Address, ...] = ()
    resolvers: tuple[Address, ...] = ()
    ttl: int = 30
    negative: int = 5


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name has: `apex` is the zone that says so; `records` None = there is no such name."""

    apex: Labels
    records: tuple[dns.rdata.Rdata, ...] | None


def answer(wire: bytes, asker: Asker, directory: Directory, terms: Terms, transport: Transport) -> Outcome:
    """What becomes of octets that a port sent."""
    asked = read(wire, transport)
    if not isinstance(asked, Asked):
        return asked
    zone = directory.zones.get(asker.tenant)
    if zone is None:
        return refuse(asked.message, Kind.NO_ZONE, dns.rcode.REFUSED)
    found = _find(asked, zone, directory.suffix, terms)
    if found is not None:
        return _tell(asked, found, terms)
    if asked.question.rdtype == _ANY:
        return _decline(asked)
    if not terms.resolvers:
        return refuse(asked.message, Kind.NO_RESOLVER, dns.rcode.REFUSED)
    if not asked.message.flags & dns.flags.RD:
        return refuse(asked.message, Kind.NO_RECURSION, dns.rcode.REFUSED)
    return Forward(asked.question, wire)


def local(name: Labels, zone: Zone, suffix: Labels) -> bool:
    """Whether names like this are never asked outside, nor believed from there."""
    if within(name, suffix) or within(name, _LOCALHOST) or any(within(name, one) for one in _NOBODYS):
        return True
    turned = reversed_prefix(name)
    if turned is None or not turned[0].prefixlen:
        return False
    prefix, whole = turned
    if zone.contains(prefix) or (whole and bool(zone.names_of(prefix.network_address))):
        return True
    return any(
        prefix.version == one.version and prefix.prefixlen >= one.prefixlen and prefix.network_address in one
        for one in PRIVATE
    )


def _find(asked: Asked, zone: Zone, suffix: Labels, terms: Terms) -> _Found | None:
    """None: it is for somebody outside."""
    name, rdtype = asked.question.name, asked.question.rdtype
    if within(name, zone.origin):
        below = name[: -len(zone.origin)]
        addresses = zone.addresses_of(below)
        records = None if addresses is None else bear_addresses(rdtype, addresses)
        return _Found(zone.origin, records if below else _apex(rdtype, zone.origin, terms))
    if within(name, suffix):
        # Another tenant's name, or nobody's: nothing here looks which.
        return _Found(suffix, _apex(rdtype, suffix, terms) if name == suffix else None)
    if within(name, _LOCALHOST):
        return _Found(_LOCALHOST, bear_addresses(rdtype, _LOOPBACK))
    if len(name) == 1 and rdtype in (_A, _AAAA):
        # A host without a domain is nobody outside; asking would only tell others what is looked for here.
        return _Found(name, None)
    if not local(name, zone, suffix):
        return None
    turned = reversed_prefix(name)
    if turned is None:
        apex = next(one for one in _NOBODYS if within(name, one))
        return _Found(apex, () if within(suffix, name) else None)
    return _reverse(rdtype, name, turned[0].network_address, zone)


def _reverse(rdtype: int, name: Labels, address: Address, zone: Zone) -> _Found:
    digits = 4 if address.version == 4 else 32
    apex = name[-2:]
    if len(name) < digits + 2:
        # There may be names below; that says no more than that there are addresses.
        return _Found(apex, ())
    names = zone.names_of(address) if len(name) == digits + 2 else ()
    if not names:
        return _Found(apex, None)
    return _Found(apex, tuple(point(one) for one in names) if rdtype in (_PTR, _ANY) else ())


def _tell(asked: Asked, found: _Found, terms: Terms) -> Reply:
    if found.records and asked.question.rdtype == _ANY:
        return _decline(asked)
    response = respond(asked.message)
    response.flags |= dns.flags.AA
    if found.records:
        kind = Kind.ANSWERED
        name = asked.message.question[0].name
        response.answer.append(dns.rrset.from_rdata_list(name, terms.ttl, found.records))
    else:
        kind = Kind.NO_NAME if found.records is None else Kind.NO_DATA
        response.set_rcode(dns.rcode.NXDOMAIN if found.records is None else dns.rcode.NOERROR)
        # RFC 2308 section 3: how long it may be remembered is the least of the record's TTL and its minimum.
        soa = dns.rrset.from_rdata_list(
            spelled(found.apex), terms.negative, [bear_authority(found.apex, terms.negative)]
        )
        response.authority.append(soa)
    return Reply(kind, cut(response, asked))


def _decline(asked: Asked) -> Reply:
    """RFC 8482 section 4.2: one record that says so, instead of all that there are."""
    response = respond(asked.message)
    response.answer.append(dns.rrset.from_rdata_list(asked.message.question[0].name, 3600, [MINIMAL]))
    return Reply(Kind.ANY, cut(response, asked))


def cut(response: dns.message.Message, asked: Asked) -> bytes:
    """As octets; without its records and marked as cut if there are too many (RFC 2181 section 9).

    Addresses stay in their order: the library would shuffle them, and one question have two answers.
    """
    try:
        return response.to_wire(max_size=asked.limit, want_shuffle=False)
    except dns.exception.TooBig:
        response.flags |= dns.flags.TC
        response.answer.clear()
        response.authority.clear()
        response.additional.clear()
        return response.to_wire()


def _apex(rdtype: int, origin: Labels, terms: Terms) -> tuple[dns.rdata.Rdata, ...]:
    if rdtype in (_SOA, _ANY):
        return (bear_authority(origin, terms.negative),)
    return (bear_server(origin),) if rdtype == _NS else bear_addresses(rdtype, terms.servers)

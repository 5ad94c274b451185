"""DHCPv6: what a port is answered (RFC 8415), by its addresses alone: there are no leases to remember.

Place: called by `services.answering` with a question that `services.codec6` has read. Must not parse.

The port is its own identity: a DUID is repeated to its client and means nothing else, since disks that are
copied bring theirs along.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import Final

from model.addresses import GATEWAY_MAC, link_local
from services import codec6
from services.client import Client, Six
from services.codec6 import Association, Kind6, Question6, encode, nest
from services.frames import Datagram, wrap6
from services.outcome import Answer, Outcome

SERVER_PORT: Final = 547
CLIENT_PORT: Final = 546
SERVERS: Final = IPv6Address("ff02::1:2")
"""All_DHCP_Relay_Agents_and_Servers: where questions go. None goes to one server alone, as no answer of ours
lets them (RFC 8415 section 18.4)."""
RELAYS: Final = frozenset((Kind6.RELAYED, Kind6.RELAYED_REPLY))
"""Relay-forward and relay-reply, whose form is another."""
_NAMED: Final = frozenset((Kind6.REQUEST, Kind6.RENEW, Kind6.RELEASE, Kind6.DECLINE))
"""They name the server that they are for; of the others only an Information-request may."""
_SUCCESS: Final = struct.pack("!H", 0)
_NO_ADDRESS: Final = struct.pack("!H", 2)
_NOT_ON_LINK: Final = struct.pack("!H", 4)
_NO_PREFIX: Final = struct.pack("!H", 6)
_AT_ONCE: Final = b"\xff"
"""The highest preference: who gets it waits for no other server (RFC 8415 section 18.2.1)."""
_SOURCE: Final = link_local(GATEWAY_MAC)
_HEADERS: Final = 40 + 8
"""Octets of IPv6 and UDP."""


def answer6(client: Client, six: Six, datagram: Datagram, question: Question6) -> Answer:
    """To one DHCPv6 message of the port."""
    refusal = _refuse(six, question)
    if refusal is not None:
        return Answer(refusal)
    kind, outcome, options = _decide(client, six, question)
    if outcome is Outcome.MALFORMED:
        return Answer(outcome)
    ids = ((codec6.SERVER, six.duid),) if question.client is None else _both(six, question.client)
    message = encode(kind, question.transaction, (*ids, *options))
    if len(message) > client.mtu - _HEADERS:
        return Answer(Outcome.LONG)  # of many associations each is answered with more than it asks with
    ends = (_SOURCE, IPv6Address(int(datagram.source)))
    return Answer(outcome, wrap6(client.mac, *ends, (SERVER_PORT, CLIENT_PORT), message))


def _both(six: Six, client: bytes) -> tuple[tuple[int, bytes], ...]:
    return ((codec6.CLIENT, client), (codec6.SERVER, six.duid))


def _refuse(six: Six, question: Question6) -> Outcome | None:
    """RFC 8415 section 16: why it gets no answer; None: it may."""
    kind = question.kind
    if kind in (Kind6.ADVERTISE, Kind6.REPLY, Kind6.RECONFIGURE):
        return Outcome.SERVER
    if not Kind6.SOLICIT <= kind <= Kind6.INFORM:
        return Outcome.UNKNOWN
    if question.client is None and kind != Kind6.INFORM:
        return Outcome.MALFORMED
    if kind in _NAMED and question.server is None:
        return Outcome.MALFORMED
    if kind not in _NAMED | {Kind6.INFORM} and question.server is not None:
        return Outcome.MALFORMED
    if kind == Kind6.INFORM and question.associations:
        return Outcome.MALFORMED
    return Outcome.ELSEWHERE if question.server not in (None, six.duid) else None


def _decide(
    client: Client, six: Six, question: Question6
) -> tuple[Kind6, Outcome, tuple[tuple[int, bytes], ...]]:
    """The kind of the answer, what became of the question, and the options besides the two ids."""
    match question.kind:
        case Kind6.SOLICIT:
            return _solicit(client, six, question)
        case Kind6.REQUEST | Kind6.RENEW | Kind6.REBIND:
            given, outcome = _give(client, six, question)
            return Kind6.REPLY, outcome, (*given, *_settings(client, six, question))
        case Kind6.CONFIRM:
            return _confirm(six, question)
        case Kind6.RELEASE:
            return Kind6.REPLY, Outcome.RELEASED, ((codec6.STATUS, _SUCCESS),)
        case Kind6.DECLINE:
            return Kind6.REPLY, Outcome.DECLINED, ((codec6.STATUS, _SUCCESS),)
    return Kind6.REPLY, Outcome.ANSWERED, _settings(client, six, question)


def _solicit(
    client: Client, six: Six, question: Question6
) -> tuple[Kind6, Outcome, tuple[tuple[int, bytes], ...]]:
    """RFC 8415 section 18.3.1: at once with the addresses where the client takes that."""
    given, outcome = _give(client, six, question)
    rest = (*given, *_settings(client, six, question))
    if question.rapid:
        return Kind6.REPLY, outcome, ((codec6.RAPID, b""), *rest)
    return Kind6.ADVERTISE, outcome, ((codec6.PREFERENCE, _AT_ONCE), *rest)


def _confirm(six: Six, question: Question6) -> tuple[Kind6, Outcome, tuple[tuple[int, bytes], ...]]:
    """RFC 8415 section 18.3.3, and more: what is on the link but another's is denied as well, so that its
    client asks anew."""
    claimed = [a for held in question.associations for a in held.addresses]
    if not claimed:
        return Kind6.REPLY, Outcome.MALFORMED, ()
    own = all(address in six.addresses for address in claimed)
    status = _SUCCESS if own else _NOT_ON_LINK
    return Kind6.REPLY, Outcome.ANSWERED if own else Outcome.DENIED, ((codec6.STATUS, status),)


def _give(client: Client, six: Six, question: Question6) -> tuple[tuple[tuple[int, bytes], ...], Outcome]:
    """All addresses of the port in its first association for addresses; nothing in the others.

    What its client believes to hold besides has no life left (RFC 8415 section 18.3.4).
    """
    first = next((held for held in question.associations if held.option == codec6.IA_NA), None)
    filled = bool(six.addresses)
    made = tuple(
        (held.option, _filled(client, six, held) if filled and held is first else _empty(held, question.kind))
        for held in question.associations
    )
    return made, Outcome.DENIED if first is not None and not filled else Outcome.ANSWERED


def _filled(client: Client, six: Six, held: Association) -> bytes:
    lease = client.lease
    gone = tuple(address for address in held.addresses if address not in six.addresses)
    inner = tuple((codec6.IA_ADDRESS, a.packed + struct.pack("!II", lease, lease)) for a in six.addresses)
    # RFC 8415 section 14.2: half of the lifetime, and 0.8 of it
    return held.id + struct.pack("!II", lease // 2, lease * 4 // 5) + nest((*inner, *_gone(gone)))


def _empty(held: Association, kind: int) -> bytes:
    """RFC 8415 sections 18.3.2 and 18.3.9: no address, no temporary address, no prefix. Of what is renewed
    the addresses come back, without a life."""
    times = b"" if held.option == codec6.IA_TA else struct.pack("!II", 0, 0)
    if held.addresses and kind in (Kind6.RENEW, Kind6.REBIND):
        return held.id + times + nest(_gone(held.addresses))
    status = _NO_PREFIX if held.option == codec6.IA_PD else _NO_ADDRESS
    return held.id + times + nest(((codec6.STATUS, status),))


def _gone(addresses: tuple[IPv6Address, ...]) -> tuple[tuple[int, bytes], ...]:
    return tuple((codec6.IA_ADDRESS, address.packed + bytes(8)) for address in dict.fromkeys(addresses))


def _settings(client: Client, six: Six, question: Question6) -> tuple[tuple[int, bytes], ...]:
    """To who wants them, or does not say what. When to ask again is for those who lease nothing."""
    settings = [
        (codec6.RESOLVERS, b"".join(address.packed for address in six.resolvers)),
        (codec6.SEARCH, b"".join(client.search)),
    ]
    if question.kind == Kind6.INFORM:
        settings.append((codec6.REFRESH, struct.pack("!I", client.lease)))  # RFC 8415 section 21.23
    wanted = question.wanted
    return tuple((code, value) for code, value in settings if value and (wanted is None or code in wanted))

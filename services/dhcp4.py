"""DHCPv4: what a port is answered (RFC 2131), by its address alone: there are no leases to remember.

Place: called by `services.answering` with a question that `services.codec4` has read. Must not parse.

The port is its own identity, whatever client identifiers it makes up: so no addresses can be used up, and
what a port asks again is answered as before.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Final

from model.addresses import BROADCAST
from model.ids import Mac
from services.client import Client, Four
from services.codec4 import RAPID, Kind4, Question4, Reply4, encode
from services.frames import Datagram, wrap4
from services.outcome import Answer, Outcome

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68
_SERVERS: Final = frozenset((Kind4.OFFER, Kind4.ACK, Kind4.NAK))
_ETHERNET: Final = 1
_NOBODY: Final = IPv4Address(0)
_EVERYBODY: Final = IPv4Address(0xFFFFFFFF)
_MASK: Final = 1
_ROUTER: Final = 3
_RESOLVERS: Final = 6
_HOST: Final = 12
_DOMAIN: Final = 15
_MTU: Final = 26
_LEASE: Final = 51
_KIND: Final = 53
_SERVER: Final = 54
_MESSAGE: Final = 56
_RENEW: Final = 58
_REBIND: Final = 59
_CLIENT: Final = 61
_SEARCH: Final = 119
_ROUTES: Final = 121
_SPARE: Final = frozenset((_ROUTES, _RESOLVERS, _HOST, _DOMAIN, _SEARCH))
"""Those that make an answer long, and without which a client can still be reached."""


def answer4(client: Client, four: Four, datagram: Datagram, question: Question4) -> Answer:
    """To one DHCPv4 message of the port."""
    refusal = _refuse(client, four, datagram, question)
    if refusal is not None:
        return Answer(refusal)
    match question.kind:
        case Kind4.DISCOVER:
            return _discover(client, four, question)
        case Kind4.REQUEST:
            return _request(client, four, question)
        case Kind4.INFORM:
            return _inform(client, four, question)
        case Kind4.DECLINE:
            return Answer(Outcome.DECLINED)
        case Kind4.RELEASE:
            return Answer(Outcome.RELEASED)
    return Answer(Outcome.UNKNOWN)


def _refuse(client: Client, four: Four, datagram: Datagram, question: Question4) -> Outcome | None:
    """Why it gets no answer; None: it may."""
    if question.reply or question.kind in _SERVERS:
        return Outcome.SERVER
    if question.relayed:
        return Outcome.RELAYED
    if question.hardware != (_ETHERNET, client.mac.to_bytes(6, "big")):
        return Outcome.FOREIGN
    if datagram.source not in (_NOBODY, question.current, *four.addresses):
        return Outcome.FOREIGN  # who renews an address that is no longer its own is to hear of it
    if question.kind is None:
        return Outcome.BOOTP
    if datagram.destination not in (_EVERYBODY, four.server, four.router):
        return Outcome.ELSEWHERE
    if question.server not in (None, four.server):
        return Outcome.ELSEWHERE
    return None


def _discover(client: Client, four: Four, question: Question4) -> Answer:
    """RFC 2131 section 4.3.1; at once with the address where the client takes that (RFC 4039)."""
    if not four.addresses:
        return Answer(Outcome.ADDRESSLESS)
    asked = question.requested
    yours = asked if asked is not None and asked in four.addresses else four.addresses[0]
    kind = Kind4.ACK if question.rapid else Kind4.OFFER
    rapid = ((RAPID, b""),) if question.rapid else ()
    return _tell(client, four, question, yours, (*_leased(client, four, kind), *rapid))


def _request(client: Client, four: Four, question: Question4) -> Answer:
    """RFC 2131 section 4.3.2. Selecting and after a reboot it names the address in an option, renewing and
    rebinding it has it already. Nobody but us knows the port's addresses, so that a wrong one is denied in
    each of these states."""
    current = question.current
    claimed = question.requested if current == _NOBODY else current
    if claimed is None or (question.requested not in (None, claimed)):
        return Answer(Outcome.MALFORMED)
    if claimed not in four.addresses:
        return _deny(client, four, question)
    return _tell(client, four, question, claimed, _leased(client, four, Kind4.ACK), current)


def _inform(client: Client, four: Four, question: Question4) -> Answer:
    """RFC 2131 section 4.3.5: it has its address, and wants the rest. Nothing is leased."""
    if question.current not in four.addresses:
        return Answer(Outcome.ADDRESSLESS if not four.addresses else Outcome.FOREIGN)
    options = ((_KIND, bytes((Kind4.ACK,))), (_SERVER, four.server.packed))
    return _tell(client, four, question, _NOBODY, options, question.current)


def _deny(client: Client, four: Four, question: Question4) -> Answer:
    """DHCPNAK, which goes to all (RFC 2131 section 4.1): its client may not have the address it says."""
    options = [(_KIND, bytes((Kind4.NAK,))), (_SERVER, four.server.packed)]
    options.append((_MESSAGE, b"this address is not the port's"))
    if question.client is not None:
        options.append((_CLIENT, question.client))
    message = encode(Reply4(question, _NOBODY, _NOBODY, tuple(options), frozenset()), client.mtu)
    return Answer(Outcome.DENIED, _wrap(BROADCAST, four, _EVERYBODY, message))


def _tell(
    client: Client,
    four: Four,
    question: Question4,
    yours: IPv4Address,
    first: tuple[tuple[int, bytes], ...],
    current: IPv4Address = _NOBODY,
) -> Answer:
    """RFC 2131 section 4.1: to the address that it has, to all if it says so, else to the one it gets."""
    own = () if question.client is None else ((_CLIENT, question.client),)  # RFC 6842 section 3
    options = (*first, *own, *_settings(client, four, question))
    message = encode(Reply4(question, current, yours, options, _SPARE), client.mtu)
    if current != _NOBODY:
        return Answer(Outcome.ANSWERED, _wrap(client.mac, four, current, message))
    if question.broadcast:
        return Answer(Outcome.ANSWERED, _wrap(BROADCAST, four, _EVERYBODY, message))
    return Answer(Outcome.ANSWERED, _wrap(client.mac, four, yours, message))


def _wrap(to: Mac, four: Four, destination: IPv4Address, message: bytes) -> bytes:
    return wrap4(to, four.server, destination, (SERVER_PORT, CLIENT_PORT), message)


def _leased(client: Client, four: Four, kind: Kind4) -> tuple[tuple[int, bytes], ...]:
    """What goes with an address: T1 and T2 as RFC 2131 section 4.4.5 has them."""
    lease = client.lease
    return (
        (_KIND, bytes((kind,))),
        (_SERVER, four.server.packed),
        (_LEASE, struct.pack("!I", lease)),
        (_RENEW, struct.pack("!I", lease // 2)),
        (_REBIND, struct.pack("!I", lease * 7 // 8)),
    )


def _settings(client: Client, four: Four, question: Question4) -> list[tuple[int, bytes]]:
    """Mask and MTU always, as nobody is well without; the rest to who wants it, or does not say what."""
    settings = [
        (_MASK, four.subnet.netmask.packed),
        (_MTU, struct.pack("!H", min(client.mtu, 0xFFFF))),
        (_ROUTER, b"" if four.router is None else four.router.packed),
        (_ROUTES, _routes(four)),
        (_RESOLVERS, b"".join(address.packed for address in four.resolvers)),
        (_HOST, client.host_name.encode("ascii")),
        (_DOMAIN, client.domain.encode("ascii")),
        (_SEARCH, b"".join(client.search)),
    ]
    always = (_MASK, _MTU)
    wanted = question.wanted
    return [
        (code, value) for code, value in settings if value and (wanted is None or code in (*always, *wanted))
    ]


def _routes(four: Four) -> bytes:
    """RFC 3442: the length of each prefix, those of its octets that count, its next hop."""
    made = b""
    for prefix, hop in four.routes:
        made += (
            bytes((prefix.prefixlen,))
            + prefix.network_address.packed[: (prefix.prefixlen + 7) // 8]
            + hop.packed
        )
    return made

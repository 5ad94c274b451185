"""Answering: a frame of a port, and what goes back to it.

Place: the one entry of this room; the agent hands in what the switch hands up. A workload wrote the frame:
nothing in it may raise. Must not send, count or remember.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from services import codec4, codec6
from services.advertising import SOLICITATION, answer_solicitation
from services.client import Client
from services.dhcp4 import CLIENT_PORT as CLIENT4
from services.dhcp4 import SERVER_PORT as SERVER4
from services.dhcp4 import answer4
from services.dhcp6 import CLIENT_PORT as CLIENT6
from services.dhcp6 import RELAYS, SERVERS, answer6
from services.dhcp6 import SERVER_PORT as SERVER6
from services.frames import Datagram, Message6, parse
from services.outcome import Answer, Outcome

_ADVERTISEMENTS = (134, 137)
"""And redirects: what only a router says."""


def answer(frame: bytes, client: Client) -> Answer:
    """What becomes of a frame that the port sent. The same for the same frame and port, always."""
    if not client.answers:
        return Answer(Outcome.OFF)
    read = parse(frame)
    if isinstance(read, Outcome):
        return Answer(read)
    if read.mac != client.mac:
        return Answer(Outcome.FOREIGN)
    if isinstance(read, Message6):
        return _discovery(client, read)
    if isinstance(read.source, IPv4Address):
        return _dhcp4(client, read)
    return _dhcp6(client, read, read.source)


def _dhcp4(client: Client, datagram: Datagram) -> Answer:
    if datagram.ports != (CLIENT4, SERVER4):
        return Answer(Outcome.SERVER if datagram.ports[0] == SERVER4 else Outcome.UNKNOWN)
    if client.four is None:
        return Answer(Outcome.ADDRESSLESS)
    question = codec4.decode(datagram.payload)
    if question is None:
        return Answer(Outcome.MALFORMED)
    return answer4(client, client.four, datagram, question)


def _dhcp6(client: Client, datagram: Datagram, source: IPv6Address) -> Answer:
    if datagram.ports != (CLIENT6, SERVER6):
        return Answer(Outcome.SERVER if datagram.ports[0] == SERVER6 else Outcome.UNKNOWN)
    if client.six is None:
        return Answer(Outcome.ADDRESSLESS)
    if not source.is_link_local and source not in client.six.addresses:
        return Answer(Outcome.FOREIGN)
    if datagram.destination != SERVERS:
        return Answer(Outcome.ELSEWHERE)
    if datagram.payload[:1] and datagram.payload[0] in RELAYS:
        return Answer(Outcome.RELAYED)
    question = codec6.decode(datagram.payload)
    if question is None:
        return Answer(Outcome.MALFORMED)
    return answer6(client, client.six, datagram, question)


def _discovery(client: Client, message: Message6) -> Answer:
    if message.payload[0] != SOLICITATION:
        return Answer(Outcome.SERVER if message.payload[0] in _ADVERTISEMENTS else Outcome.UNKNOWN)
    six = client.six
    if six is None or not six.addresses:
        return Answer(Outcome.ADDRESSLESS)
    own = message.source.is_unspecified or message.source.is_link_local or message.source in six.addresses
    return answer_solicitation(client, six, message) if own else Answer(Outcome.FOREIGN)

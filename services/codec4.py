"""Codec of DHCPv4: messages between octets and values.

Place: the only importer of pydhcp, which knows overloaded and split options (RFC 2131 section 4.1, RFC 3396).
Must not decide what is answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Final

from pydhcp.options import DHCPOptions
from pydhcp.packet import DHCPFlags, DHCPMessage, DHCPOpcode, HardwareAddressType

REQUESTED: Final = 50
RAPID: Final = 80
_KIND: Final = 53
_SERVER: Final = 54
_WANTED: Final = 55
_LONGEST: Final = 57
_CLIENT: Final = 61
_RELAY: Final = 82
_LONGEST_CLIENT: Final = 255
_LONGEST_PART: Final = 255
"""Of an option; a longer one is written as several (RFC 3396 section 6)."""
_LEAST_SIZE: Final = 576
"""Of a datagram that each client takes (RFC 2131 section 2)."""


class Kind4(IntEnum):
    """RFC 2132 section 9.6."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


@dataclass(frozen=True, slots=True)
class Question4:
    """A message. `kind` None: BOOTP. `reply`: it says of itself that a server sent it. `hardware`: its type
    and address. `relayed`: a relay agent touched it. `wanted` None: it did not say which options it wants.
    `size`: of the largest datagram that its sender takes. `client` None: it gave no client identifier."""

    transaction: int
    reply: bool
    kind: int | None
    hardware: tuple[int, bytes]
    broadcast: bool
    relayed: bool
    current: IPv4Address
    requested: IPv4Address | None
    server: IPv4Address | None
    wanted: tuple[int, ...] | None
    size: int
    client: bytes | None
    rapid: bool


@dataclass(frozen=True, slots=True)
class Reply4:
    """An answer. `options` by number, in the order in which they are sent; from the last on, those of
    `spare` are left out where the datagram would be longer than its reader takes. Without them it never is.
    """

    question: Question4
    current: IPv4Address
    yours: IPv4Address
    options: tuple[tuple[int, bytes], ...]
    spare: frozenset[int]


def decode(payload: bytes) -> Question4 | None:
    """None: malformed."""
    try:
        message = DHCPMessage.decode(payload)
    except Exception:  # noqa: BLE001 - a workload wrote it, and others wrote the parser: whatever it raises is one question lost
        return None
    options = {int(code): bytes(message.options[code]) for code in message.options}
    lengths = ((_KIND, 1), (REQUESTED, 4), (_SERVER, 4), (_LONGEST, 2))
    if any(code in options and len(options[code]) != length for code, length in lengths):
        return None
    if len(options.get(_CLIENT, b"")) > _LONGEST_CLIENT:
        return None  # each answer repeats it
    return Question4(
        transaction=message.xid,
        reply=message.op != DHCPOpcode.BOOTREQUEST,
        kind=options[_KIND][0] if _KIND in options else None,
        hardware=(int(message.htype), bytes(message.chaddr)),
        broadcast=bool(int(message.flags) & int(DHCPFlags.BROADCAST)),
        relayed=bool(int(message.giaddr)) or bool(message.hops) or _RELAY in options,
        current=message.ciaddr,
        requested=IPv4Address(options[REQUESTED]) if REQUESTED in options else None,
        server=IPv4Address(options[_SERVER]) if _SERVER in options else None,
        wanted=tuple(options[_WANTED]) if _WANTED in options else None,
        size=max(_LEAST_SIZE, int.from_bytes(options.get(_LONGEST, b""), "big")),
        client=options.get(_CLIENT),
        rapid=RAPID in options,
    )


def encode(reply: Reply4, longest: int) -> bytes:
    """At most as long as the asker takes, and as `longest`, the MTU of its network."""
    question = reply.question
    options = list(reply.options)
    while True:
        message = DHCPMessage(
            DHCPOpcode.BOOTREPLY,
            htype=HardwareAddressType(question.hardware[0]),
            xid=question.transaction,
            flags=DHCPFlags.BROADCAST if question.broadcast else DHCPFlags.UNICAST,
            ciaddr=reply.current,
            yiaddr=reply.yours,
            chaddr=question.hardware[1],
            options=_bag(options),
        )
        try:
            return message.encode(max(_LEAST_SIZE, min(question.size, longest)))
        except OverflowError:
            last = max(place for place, (code, _) in enumerate(options) if code in reply.spare)
            del options[last]


def _bag(options: list[tuple[int, bytes]]) -> DHCPOptions:
    """As if they had been read: set one by one, each costs more than all the rest of an answer."""
    made = b""
    for code, value in options:
        for at in range(0, len(value) or 1, _LONGEST_PART):
            part = value[at : at + _LONGEST_PART]
            made += bytes((code, len(part))) + part
    return DHCPOptions.decode(made)

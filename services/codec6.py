"""Codec of DHCPv6: messages between octets and values.

Place: the only importer of os_ken here, of whose packets it takes DHCPv6 alone. Must not decide what is
answered.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final

from os_ken.lib.packet import dhcp6

CLIENT: Final = 1
SERVER: Final = 2
IA_NA: Final = 3
IA_TA: Final = 4
IA_ADDRESS: Final = 5
WANTED: Final = 6
PREFERENCE: Final = 7
STATUS: Final = 13
RAPID: Final = 14
RESOLVERS: Final = 23
SEARCH: Final = 24
IA_PD: Final = 25
REFRESH: Final = 32
_HEAD: Final = 4
"""Octets of a message before its options; those of a relay agent have more."""
_IDENTITIES: Final = {IA_NA: 12, IA_TA: 4, IA_PD: 12}
"""Octets of an identity association before the options in it: its id, and where there are some, T1 and T2."""
_ADDRESS: Final = 24
_LONGEST_DUID: Final = 130
"""RFC 8415 section 11.1: type code and 128 octets."""


class Kind6(IntEnum):
    """RFC 8415 section 7.3."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORM = 11
    RELAYED = 12
    RELAYED_REPLY = 13


@dataclass(frozen=True, slots=True)
class Association:
    """An identity association: its option, its id and the addresses that its client thinks are in it."""

    option: int
    id: bytes
    addresses: tuple[IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class Question6:
    """A message. `client`, `server`: DUIDs, None = none. `wanted` None: it did not say which options."""

    kind: int
    transaction: int
    client: bytes | None
    server: bytes | None
    associations: tuple[Association, ...]
    wanted: tuple[int, ...] | None
    rapid: bool


def decode(payload: bytes) -> Question6 | None:
    """A message that is not a relay agent's; None: malformed."""
    if len(payload) < _HEAD:
        return None
    try:
        message = dhcp6.dhcp6.parser(payload)[0]
        if message is None:  # that is how it says that there are no options
            return Question6(payload[0], int.from_bytes(payload[1:_HEAD], "big"), None, None, (), None, False)
        options = [(option.code, option.data) for option in message.options.option_list]
        associations = tuple(_association(code, data) for code, data in options if code in _IDENTITIES)
    except Exception:  # noqa: BLE001 - a workload wrote it, and others wrote the parser: whatever it raises is one question lost
        return None
    single: dict[int, bytes] = {}
    for code, data in options:
        if code in (CLIENT, SERVER, WANTED, RAPID):
            if code in single:
                return None  # RFC 8415 section 24: each at most once
            single[code] = data
    if any(not 3 <= len(single[code]) <= _LONGEST_DUID for code in (CLIENT, SERVER) if code in single):
        return None
    wanted = single.get(WANTED)
    if wanted is not None and len(wanted) % 2:
        return None
    return Question6(
        kind=message.msg_type,
        transaction=message.transaction_id,
        client=single.get(CLIENT),
        server=single.get(SERVER),
        associations=associations,
        wanted=None if wanted is None else struct.unpack(f"!{len(wanted) // 2}H", wanted),
        rapid=RAPID in single,
    )


def encode(kind: Kind6, transaction: int, options: tuple[tuple[int, bytes], ...]) -> bytes:
    """A message of a server."""
    made = dhcp6.options([dhcp6.option(code, data) for code, data in options])
    return bytes(dhcp6.dhcp6(int(kind), made, transaction_id=transaction).serialize())


def nest(options: tuple[tuple[int, bytes], ...]) -> bytes:
    """Options that stand in another."""
    return bytes(dhcp6.options([dhcp6.option(code, data) for code, data in options]).serialize())


def _association(code: int, data: bytes) -> Association:
    """ValueError if it is cut short."""
    head = _IDENTITIES[code]
    if len(data) < head:
        raise ValueError("an identity association is cut short")
    inner = dhcp6.options.parser(data[head:]).option_list
    addresses = tuple(_address(option.data) for option in inner if option.code == IA_ADDRESS)
    return Association(code, data[:4], addresses)


def _address(data: bytes) -> IPv6Address:
    if len(data) < _ADDRESS:
        raise ValueError("an address is cut short")
    return IPv6Address(data[:16])

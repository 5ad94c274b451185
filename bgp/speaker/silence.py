"""Which peers leave our attempts unanswered, as the kernel sees it.

Place: an effect of the speaker: reads /proc/net/tcp and tcp6 of its own network namespace. Of a peer with
another TCP MD5 password (RFC 2385), or one that our TTL does not reach (RFC 5082), nothing else is ever
heard: its kernel drops what we send. Must not send anything.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from model.addresses import Address

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class Silence(Enum):
    """What waits for an answer; the values are states of TCP as in Linux's include/net/tcp_states.h."""

    SYN = "02"
    OPEN = "01"
    """TCP is established: of use only for peers that have no session."""


def silent(port: int, tables: tuple[Path, ...] = TABLES) -> Mapping[str, Silence]:
    """Peers whose `port` we have connected to, or try to. A table that cannot be read has none."""
    states = {one.value: one for one in Silence}
    found: dict[str, Silence] = {}
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, _, remote, state, *_ = line.split()
            address, _, number = remote.partition(":")
            if state in states and int(number, 16) == port:
                found[str(_address(address))] = states[state]
    return found


def _address(text: str) -> Address:
    """Words of 32 bits in the host's own order, each in hex."""
    words = (bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8))
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)

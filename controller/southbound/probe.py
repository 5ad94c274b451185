"""Signs of life of VTEPs: ICMP and ICMPv6 echo, for holding withdrawn routes.

Place: started by the agent's loop, whose poll watches `fileno()`s; nothing here waits. An answer proves
that the host lives, its absence proves nothing. Needs CAP_NET_RAW. Sources: RFC 792 (echo), RFC 1071
(checksum), RFC 4443 section 4.1 (ICMPv6: the kernel adds the checksum).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from model.addresses import Address

_ECHO: Final = struct.Struct("!BBHHH")
_COOKIE: Final = struct.Struct("!Q")
_REQUEST_4: Final = 8
_REPLY_4: Final = 0
_REQUEST_6: Final = 128
_REPLY_6: Final = 129
_ICMP6_FILTER: Final = 1
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ANSWERS: Final = 1_000
"""Packets looked at in one go: who floods this host with answers must not keep the rest waiting."""
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a probe: `alive` is False when the deadline passed without an answer."""

    address: Address
    alive: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    address: Address
    deadline: float


class Prober:
    """Probes under way. `token` tells this prober's answers from others' (64 bits, drawn by the caller)."""

    def __init__(self, token: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._sequence = 0
        self._pending: dict[int, _Pending] = {}
        self._v4 = _raw(socket.AF_INET, socket.IPPROTO_ICMP)
        self._v6 = _raw(socket.AF_INET6, socket.IPPROTO_ICMPV6)
        blocked = 0xFFFFFFFF & ~(1 << _REPLY_4)  # raw(7): a bit set blocks that type
        self._v4.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))
        # let only echo replies in (RFC 3542 section 3.2: a bit set blocks that type)
        allowed = bytearray(b"\xff" * 32)
        word, bit = divmod(_REPLY_6, 32)
        mask = int.from_bytes(allowed[word * 4 : word * 4 + 4], "little") & ~(1 << bit)
        allowed[word * 4 : word * 4 + 4] = mask.to_bytes(4, "little")
        self._v6.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(allowed))

    def close(self) -> None:
        """Give the sockets back."""
        self._v4.close()
        self._v6.close()

    def filenos(self) -> tuple[int, int]:
        """What to poll for answers."""
        return self._v4.fileno(), self._v6.fileno()

    def send(self, addresses: Iterable[Address], timeout: float) -> None:
        """Ask each once. Where sending fails (no route), the deadline will say so."""
        for address in addresses:
            self._sequence = (self._sequence + 1) & 0xFFFF
            self._pending[self._sequence] = _Pending(address, self._clock() + timeout)
            with suppress(OSError):
                if isinstance(address, IPv4Address):
                    self._v4.sendto(self._message(_REQUEST_4, self._sequence), (str(address), 0))
                else:
                    self._v6.sendto(self._message(_REQUEST_6, self._sequence), (str(address), 0))

    def collect(self) -> tuple[Verdict, ...]:
        """The probes that ended since: answered, then overdue ones. Never waits."""
        answered = [*self._answers(self._v4, 4), *self._answers(self._v6, 6)]
        now = self._clock()
        overdue = [n for n, p in self._pending.items() if p.deadline <= now]
        late = [Verdict(self._pending.pop(n).address, False) for n in overdue]
        return (*answered, *late)

    def next_deadline(self) -> float | None:
        """When to call `collect` at the latest; None if nothing is under way."""
        return min((p.deadline for p in self._pending.values()), default=None)

    def _answers(self, source: socket.socket, version: int) -> list[Verdict]:
        found: list[Verdict] = []
        for _ in range(_ANSWERS):
            try:
                packet, sender = source.recvfrom(_LONGEST)
            except OSError:  # nothing more to read, or an error that ICMP brought back
                break
            # a raw IPv4 socket gives the IP header too (raw(7)), an IPv6 one does not
            start = (packet[0] & 0x0F) * 4 if version == 4 and packet else 0
            sequence = self._recognise(packet[start:], _REPLY_4 if version == 4 else _REPLY_6)
            pending = None if sequence is None else self._pending.get(sequence)
            if sequence is None or pending is None:
                continue
            if pending.address == _address(sender[0]):
                del self._pending[sequence]
                found.append(Verdict(pending.address, True))
        return found

    def _recognise(self, message: bytes, reply: int) -> int | None:
        """The sequence number, if this is an echo reply to one of ours."""
        if len(message) < _ECHO.size + _COOKIE.size:
            return None
        kind, code, _, identifier, sequence = _ECHO.unpack_from(message)
        token = _COOKIE.unpack_from(message, _ECHO.size)[0]
        ours = (kind, code, identifier, token) == (reply, 0, self._identifier, self._token)
        return int(sequence) if ours else None

    @property
    def _identifier(self) -> int:
        return self._token & 0xFFFF

    def _message(self, kind: int, sequence: int) -> bytes:
        body = _COOKIE.pack(self._token)
        blank = _ECHO.pack(kind, 0, 0, self._identifier, sequence) + body
        return _ECHO.pack(kind, 0, _checksum(blank), self._identifier, sequence) + body


def _raw(family: int, protocol: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.setblocking(False)
    return made


def _address(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(text.partition("%")[0])
    return None


def _checksum(message: bytes) -> int:
    """RFC 1071 over whole 16-bit words; the kernel replaces it in ICMPv6."""
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

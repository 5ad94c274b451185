"""Paths: the state of the tunnels to other VTEPs, from probes that come back or do not.

Place: pure but for its own state; `controller.agent.pathing` drives it from one thread. Each probe of a VTEP
has another UDP source port inside, so that each takes another of the underlay's equal paths (RFC 7348 section
5: the outer port is made of the inner headers). Must not read a clock or send.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from model.addresses import PROBE_REPLY_MAC, PROBE_REQUEST_MAC, Address
from model.ids import Mac

INTERVAL: Final = 0.5
"""Seconds between probes of one VTEP, as long as all of them together stay below RATE a second."""
RATE: Final = 200.0
TIMEOUT: Final = 1.0
LIMIT: Final = 4
"""Probes in a row that must stay unanswered before a VTEP counts as down,"""
RECOVERY: Final = 2
"""and that must be answered before it counts as up again."""
ENTROPY: Final = 16
"""Different source ports."""
WINDOW: Final = 2 * ENTROPY
LOSSY: Final = 4
"""Lost probes of a window that are worth a word."""
_FIRST_PORT: Final = 49152
_PROBE_PORT: Final = 3784
_ETHERNET: Final = struct.Struct("!6s6sH")
_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_UDP: Final = struct.Struct("!HHHH")
_BODY: Final = struct.Struct("!QQ")
_ENDS: Final = (bytes((169, 254, 82, 241)), bytes((169, 254, 82, 242)))
"""Inside the tunnel; nobody else ever sees them."""


@dataclass(slots=True)
class Path:
    """One VTEP. `results`: of the last WINDOW probes, as (source port's number, answered)."""

    vtep: Address
    due: float
    waiting: dict[int, float] = field(default_factory=dict)
    results: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    misses: int = 0
    hits: int = 0
    answered: bool = False
    down: bool = False

    def judge(self, entropy: int, *, came: bool) -> None:
        """One probe's end. A VTEP that has never answered is no news: its host may be older than probes."""
        self.results.append((entropy, came))
        self.answered = self.answered or came
        self.misses, self.hits = (0, self.hits + 1) if came else (self.misses + 1, 0)
        if self.misses >= LIMIT and self.answered:
            self.down = True
        elif self.hits >= RECOVERY:
            self.down = False


class Paths:
    """Used by one thread. `token`: 64 bits that tell this agent's probes from another's."""

    def __init__(self, token: int) -> None:
        self._token = token
        self._number = 0
        self._paths: dict[Address, Path] = {}
        self._numbers: dict[int, Address] = {}

    def want(self, vteps: Iterable[Address], now: float) -> None:
        """These are of interest now; the others are forgotten."""
        wanted = set(vteps)
        for gone in [vtep for vtep in self._paths if vtep not in wanted]:
            for number in self._paths.pop(gone).waiting:
                self._numbers.pop(number, None)
        for fresh in sorted(wanted - self._paths.keys(), key=str):
            self._paths[fresh] = Path(fresh, now)

    def pause(self) -> None:
        """This host can't send: what is under way says nothing."""
        for path in self._paths.values():
            path.waiting.clear()
        self._numbers.clear()

    def interval(self) -> float:
        """Between two probes of one VTEP."""
        return max(INTERVAL, len(self._paths) / RATE)

    def send(self, now: float) -> list[tuple[Address, int]]:
        """The probes that are due, as (VTEP, number)."""
        made: list[tuple[Address, int]] = []
        for path in self._paths.values():
            if path.due <= now:
                path.due = max(path.due + self.interval(), now)
                self._number += 1
                path.waiting[self._number] = now + TIMEOUT
                self._numbers[self._number] = path.vtep
                made.append((path.vtep, self._number))
        return made

    def hear(self, path: int, frame: bytes) -> None:
        """An answer; `path`: the low bits of the VTEP that it came from, as the flow's cookie says them."""
        number = read(frame, self._token)
        vtep = None if number is None else self._numbers.get(number)
        if number is None or vtep is None or int(vtep) & (1 << 44) - 1 != path:
            return
        del self._numbers[number], self._paths[vtep].waiting[number]
        self._paths[vtep].judge(number % ENTROPY, came=True)

    def expire(self, now: float) -> None:
        """Probes whose time is over are lost."""
        for path in self._paths.values():
            for number in [n for n, deadline in path.waiting.items() if deadline <= now]:
                del path.waiting[number], self._numbers[number]
                path.judge(number % ENTROPY, came=False)

    def due(self) -> float | None:
        """When there is something to do next; None if nothing is of interest."""
        times = [path.due for path in self._paths.values()]
        times += [deadline for path in self._paths.values() for deadline in path.waiting.values()]
        return min(times, default=None)

    def down(self) -> frozenset[Address] | None:
        """The VTEPs that do not answer; None if none of several does: this host itself is cut off."""
        lost = frozenset(vtep for vtep, path in self._paths.items() if path.down)
        return None if len(lost) > 1 and len(lost) == len(self._paths) else lost

    def silent(self) -> bool:
        """Whether all VTEPs that are asked, at least one, have stopped to answer."""
        return bool(self._paths) and all(path.down for path in self._paths.values())

    def unanswered(self) -> frozenset[Address]:
        """The VTEPs of which the last LIMIT probes were lost, whether they ever answered or not."""
        return frozenset(vtep for vtep, path in self._paths.items() if path.misses >= LIMIT)

    def losses(self) -> dict[Address, tuple[int, int, tuple[int, ...]]]:
        """(lost, of how many, source ports on which the last two were lost) of VTEPs that lose probes."""
        found: dict[Address, tuple[int, int, tuple[int, ...]]] = {}
        for vtep, path in self._paths.items():
            lost = sum(1 for _, came in path.results if not came)
            if lost >= LOSSY or path.down:
                found[vtep] = (lost, len(path.results), _broken(path))
        return found


def _broken(path: Path) -> tuple[int, ...]:
    """Source ports that lost their last two probes while others get through."""
    last: dict[int, list[bool]] = {}
    for entropy, came in path.results:
        last.setdefault(entropy, []).append(came)
    dead = sorted(entropy for entropy, came in last.items() if len(came) > 1 and not any(came[-2:]))
    return () if len(dead) == len(last) else tuple(_FIRST_PORT + entropy for entropy in dead)


def probe(source: Mac, token: int, number: int) -> bytes:
    """The frame of a probe: `number` decides its UDP source port."""
    body = _BODY.pack(token, number)
    udp = _UDP.pack(_FIRST_PORT + number % ENTROPY, _PROBE_PORT, _UDP.size + len(body), 0)
    plain = (0x45, 0, _IPV4.size + len(udp) + len(body), 0, 0x4000, 64, 17)
    total = sum(struct.unpack("!10H", _IPV4.pack(*plain, 0, *_ENDS)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head = _IPV4.pack(*plain, ~total & 0xFFFF, *_ENDS)
    macs = (PROBE_REQUEST_MAC.to_bytes(6, "big"), source.to_bytes(6, "big"))
    return _ETHERNET.pack(*macs, 0x0800) + head + udp + body


def read(frame: bytes, token: int) -> int | None:
    """The number in an answer to a probe of ours; None for anything else."""
    at = _ETHERNET.size + _IPV4.size + _UDP.size
    if len(frame) < at + _BODY.size or frame[:6] != PROBE_REPLY_MAC.to_bytes(6, "big"):
        return None
    said, number = _BODY.unpack_from(frame, at)
    return int(number) if said == token else None

"""Meters on the wire: changes, what the switch has of ours, and what they dropped.

Place: used by `channel`, before and after the bundles of a patch: Open vSwitch takes no meter in a bundle.
Must not touch a meter outside our range. Source: OpenFlow 1.4.1 sections 7.3.4.5 and 7.3.5.13 to 7.3.5.16.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from controller.southbound.openflow.conversation import Conversation, Refusal
from controller.southbound.openflow.stream import HEADER, VERSION
from model.flow import Meter, Unit
from model.ids import METERS

METER_MOD: Final = 29
METER_STATS: Final = 9
METER_CONFIG: Final = 10
METER_FEATURES: Final = 11
_ALL: Final = 0xFFFFFFFF
_BURST_STATS: Final = 4 | 8
_UNITS: Final = {Unit.KBITS: 1, Unit.PACKETS: 2}
"""OFPMF_KBPS, OFPMF_PKTPS."""
_FLAGS: Final = {flag | _BURST_STATS: unit for unit, flag in _UNITS.items()}
_DROP: Final = 1
_MOD: Final = struct.Struct("!HHI")
_BAND: Final = struct.Struct("!HHII4x")
_REQUEST: Final = struct.Struct("!I4x")
_CONFIG: Final = struct.Struct("!HHI")
_STATS: Final = struct.Struct("!IH6xIQQII")
_BAND_STATS: Final = struct.Struct("!QQ")
_FEATURES: Final = struct.Struct("!III2B2x")
_UNKNOWN: Final = Refusal(12, 3)
"""OFPET_METER_MOD_FAILED, OFPMMFC_UNKNOWN_METER."""


class _Command(Enum):
    ADD = 0
    MODIFY = 1
    DELETE = 2


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a meter dropped since it was made or changed last."""

    id: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Gauge:
    """What was found of our meters: `put` were missing or other than wanted, `stale` nobody wants."""

    put: tuple[Meter, ...] = ()
    stale: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.stale)


def put(conversation: Conversation, meters: Iterable[Meter]) -> dict[int, Refusal]:
    """Change those that are there, make the others; what the switch refused, by id.

    A meter is changed in its place, so that its flows stay what they are.
    """
    todo = tuple(meters)
    changed = _send(conversation, _Command.MODIFY, todo)
    absent = tuple(meter for meter in todo if changed.get(meter.id) == _UNKNOWN)
    refused = {number: error for number, error in changed.items() if error != _UNKNOWN}
    return refused | _send(conversation, _Command.ADD, absent)


def delete(conversation: Conversation, numbers: Iterable[int]) -> dict[int, Refusal]:
    """Take meters away, with whatever flows still use them; one that is not there is none."""
    return _send(conversation, _Command.DELETE, tuple(Meter(number, 0, 0) for number in numbers))


def read(conversation: Conversation) -> dict[int, Meter | None]:
    """Our meters by id; None for one that is not as we make them."""
    body = b"".join(conversation.multipart(METER_CONFIG, _REQUEST.pack(_ALL)))
    return {number: meter for number, meter in _configs(body) if number in METERS}


def room(conversation: Conversation) -> int:
    """How many meters the switch has room for, those of others among them; 0: it knows none (section
    7.3.5.16)."""
    body = b"".join(conversation.multipart(METER_FEATURES, b""))
    if len(body) < _FEATURES.size:
        raise ValueError(f"features of meters in {len(body)} octets")
    most, *_ = _FEATURES.unpack_from(body)
    return int(most)


def dropped(conversation: Conversation) -> tuple[Dropped, ...]:
    """What each of our meters dropped, by id."""
    body = b"".join(conversation.multipart(METER_STATS, _REQUEST.pack(_ALL)))
    return tuple(sorted(_stats(body), key=lambda found: found.id))


def compare(wanted: Mapping[int, Meter], observed: Mapping[int, Meter | None]) -> Gauge:
    """What has to be done that the switch has what is wanted; pure."""
    amiss = tuple(meter for number, meter in sorted(wanted.items()) if observed.get(number) != meter)
    return Gauge(amiss, tuple(sorted(observed.keys() - wanted.keys())))


def _send(conversation: Conversation, command: _Command, meters: tuple[Meter, ...]) -> dict[int, Refusal]:
    if not meters:
        return {}
    first = conversation.take(len(meters))
    messages = [message(command, meter, first + k) for k, meter in enumerate(meters)]
    barrier, closing = conversation.barrier()
    conversation.write(b"".join([*messages, closing]))
    conversation.wait(barrier)
    errors = conversation.errors(first, len(meters))
    return {meters[xid - first].id: error for xid, error in errors.items()}


def message(command: _Command, meter: Meter, xid: int) -> bytes:
    """One ofp_meter_mod with one drop band; a delete carries none."""
    band = b""
    if command is not _Command.DELETE:
        band = _BAND.pack(_DROP, _BAND.size, meter.rate, meter.burst)
    body = _MOD.pack(command.value, _UNITS[meter.unit] | _BURST_STATS, meter.id) + band
    return HEADER.pack(VERSION, METER_MOD, HEADER.size + len(body), xid) + body


def _configs(body: bytes) -> Iterator[tuple[int, Meter | None]]:
    at = 0
    while at + _CONFIG.size <= len(body):
        length, flags, number = _CONFIG.unpack_from(body, at)
        if length < _CONFIG.size or at + length > len(body):
            raise ValueError(f"meter of {length} octets at {at} of {len(body)}")
        meter = None
        if length == _CONFIG.size + _BAND.size and flags in _FLAGS:
            kind, _, rate, burst = _BAND.unpack_from(body, at + _CONFIG.size)
            meter = Meter(number, rate, burst, _FLAGS[flags]) if kind == _DROP else None
        yield number, meter
        at += length


def _stats(body: bytes) -> Iterator[Dropped]:
    at = 0
    while at + _STATS.size <= len(body):
        number, length, *_ = _STATS.unpack_from(body, at)
        if length < _STATS.size or at + length > len(body):
            raise ValueError(f"statistics of a meter of {length} octets at {at} of {len(body)}")
        if number in METERS and length >= _STATS.size + _BAND_STATS.size:
            packets, octets = _BAND_STATS.unpack_from(body, at + _STATS.size)
            yield Dropped(number, packets, octets)
        at += length

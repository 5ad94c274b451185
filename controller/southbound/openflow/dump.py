"""What a switch holds, straight from the bytes of its flow statistics.

Place: made by `channel`, read by `audit`, the meter and tests. Must not interpret matches or actions beyond
putting them into a comparable form.
Source: ofp_flow_stats, OpenFlow 1.4.1 section 7.3.5.2; ofp_match, section 7.2.3.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from model.ids import COOKIE_MARK

_HEAD: Final = struct.Struct("!HBxIIHHHHH2xQQQ")
_LENGTH: Final = struct.Struct("!H")
_MATCH_AT: Final = _HEAD.size
_TABLE_AT: Final = 2
_UINT32: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Observed:
    """One flow as the switch lists it. `match` is the padded ofp_match, `instructions` what follows it."""

    table: int
    priority: int
    cookie: int
    seconds: float
    packets: int
    octets: int
    match: bytes
    instructions: bytes

    @property
    def ours(self) -> bool:
        """Whether its cookie bears our mark."""
        return self.cookie >> 48 == COOKIE_MARK


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of flows: three arrays of the same length, unsigned 64 bits. `octets` are layer-2 bytes."""

    cookie: npt.NDArray[np.uint64]
    packets: npt.NDArray[np.uint64]
    octets: npt.NDArray[np.uint64]


def joined(parts: Iterable[Counters]) -> Counters:
    """The counters of several slices or tables, one after the other; there is at least one."""
    found = tuple(parts)
    return Counters(
        np.concatenate([part.cookie for part in found]),
        np.concatenate([part.packets for part in found]),
        np.concatenate([part.octets for part in found]),
    )


@dataclass(frozen=True, slots=True)
class Dump:
    """The flow_stats entries of one table, end to end, and where each starts."""

    data: bytes
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self) -> list[bytes]:
        """Each entry with duration and counters zero: equal to `Encoder.row` of the flow that it is."""
        rows: list[bytes] = [b""] * len(self.starts)
        for _, indices, matrix in self.matrices():
            same, length = matrix.tobytes(), matrix.shape[1]
            for k, index in enumerate(indices.tolist()):
                rows[index] = same[k * length : (k + 1) * length]
        return rows

    def matrices(self) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
        """The same by table and length: (table, which entries, a row of bytes for each)."""
        flat = np.frombuffer(self.data, np.uint8)
        kinds = flat[self.starts + _TABLE_AT].astype(np.int64) << 16 | self.lengths
        for kind in np.unique(kinds).tolist():
            table, length = kind >> 16, kind & 0xFFFF
            indices = np.nonzero(kinds == kind)[0]
            if len(indices) == len(self.starts):
                matrix = flat.reshape(len(indices), length).copy()
            else:
                matrix = flat[self.starts[indices][:, None] + np.arange(length)]
            matrix[:, 4:12] = 0
            matrix[:, 32:48] = 0
            yield table, indices, matrix

    def entry(self, index: int) -> Observed:
        """One flow, parsed."""
        start, length = int(self.starts[index]), int(self.lengths[index])
        head = _HEAD.unpack_from(self.data, start)
        _, table, seconds, nanoseconds, priority, _, _, _, _, cookie, packets, octets = head
        match_size = _LENGTH.unpack_from(self.data, start + _MATCH_AT + 2)[0]
        rest = start + _MATCH_AT + (match_size + 7) // 8 * 8
        return Observed(
            table,
            priority,
            cookie,
            seconds + nanoseconds / 1e9,
            packets,
            octets,
            self.data[start + _MATCH_AT : rest],
            self.data[rest : start + length],
        )

    def counters(self) -> Counters:
        """Cookie, packets and octets of every flow. A table of flows of one length costs one reshape."""
        flat = np.frombuffer(self.data, np.uint8)
        count = len(self.starts)
        if count and bool((self.lengths == self.lengths[0]).all()):
            heads = flat.reshape(count, int(self.lengths[0]))[:, 24:48]
        else:
            heads = flat[self.starts[:, None] + np.arange(24, 48)]
        words = np.ascontiguousarray(heads).view(">u8").astype(np.uint64).reshape(count, 3)
        return Counters(words[:, 0].copy(), words[:, 1].copy(), words[:, 2].copy())

    def ages(self) -> npt.NDArray[np.int64]:
        """Of every flow, for how long it has stood there: ms."""
        flat = np.frombuffer(self.data, np.uint8)
        heads = flat[self.starts[:, None] + np.arange(4, 12)]
        words = np.ascontiguousarray(heads).view(">u4").astype(np.int64).reshape(len(self.starts), 2)
        ages: npt.NDArray[np.int64] = words[:, 0] * 1_000 + words[:, 1] // 1_000_000
        return ages


def parse(parts: Iterable[bytes]) -> Dump:
    """Join the bodies of multipart replies; raises ValueError if they are no flow statistics."""
    data = b"".join(parts)
    uniform = _uniform(data)
    if uniform is not None:
        return uniform
    starts, at = [], 0
    unpack, end = _LENGTH.unpack_from, len(data)
    while at < end:
        starts.append(at)
        length = unpack(data, at)[0] if end - at >= 2 else 0
        if length < _MATCH_AT + 8 or at + length > end:
            raise ValueError(f"flow statistics entry of {length} octets at {at} of {end}")
        at += length
    begins = np.array(starts, np.int64)
    return Dump(data, begins, np.diff(np.append(begins, end)))


def _uniform(data: bytes) -> Dump | None:
    """The cheap way for entries of one length: each stride must begin with that length."""
    length = _LENGTH.unpack_from(data)[0] if len(data) >= 2 else 0
    if length < _MATCH_AT + 8 or len(data) % length:
        return None
    count = len(data) // length
    heads = np.frombuffer(data, np.uint8).reshape(count, length)[:, :2]
    if not bool((heads == heads[0]).all()):
        return None
    starts = np.arange(count, dtype=np.int64) * length
    return Dump(data, starts, np.full(count, length, np.int64))


def match_terms(match: bytes) -> tuple[bytes, ...]:
    """The OXM TLVs of a padded ofp_match, sorted: the same set of terms compares equal in any order."""
    end, at = _LENGTH.unpack_from(match, 2)[0], 4
    terms = []
    while at + 4 <= end:
        size = 4 + (_UINT32.unpack_from(match, at)[0] & 0xFF)
        terms.append(match[at : at + size])
        at += size
    return tuple(sorted(terms))


def parse_row(row: bytes) -> tuple[int, int, int, bytes, bytes]:
    """(table, priority, cookie, match, instructions) of a row of `Dump.rows` or `Encoder.rows`."""
    match_size = _LENGTH.unpack_from(row, _MATCH_AT + 2)[0]
    rest = _MATCH_AT + (match_size + 7) // 8 * 8
    cookie = int.from_bytes(row[24:32], "big")
    return row[2], int.from_bytes(row[12:14], "big"), cookie, row[_MATCH_AT:rest], row[rest:]

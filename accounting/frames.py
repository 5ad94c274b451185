"""Frames: how the journal's segments look on disk. Pure.

Place: under `accounting.journal`. Must not know what bodies mean.
A segment: 8 bytes of magic, then frames: length of body u32, CRC-32 u32 (over kind, number, body), kind u8,
number u64, body; big-endian. The first frame that does not fit its CRC ends a segment (a torn tail).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAGIC: Final = b"RFJRNL1\n"
MAX_BODY: Final = 256 << 20
"""A longer body is taken as damage: a wrong length must not make a reader allocate the world."""
_HEAD: Final = struct.Struct(">IIBQ")
_SEALED: Final = struct.Struct(">BQ")


class Kind(IntEnum):
    """What a frame is. A checkpoint bears the number of the last frame that it covers."""

    CHECKPOINT = 0
    STEP = 1


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    number: int
    body: bytes


def frame_bytes(frame: Frame) -> bytes:
    """The frame as it stands on disk."""
    sealed = _SEALED.pack(frame.kind, frame.number) + frame.body
    return _HEAD.pack(len(frame.body), zlib.crc32(sealed), frame.kind, frame.number) + frame.body


def parse_frames(data: bytes) -> Iterator[tuple[int, Frame]]:
    """(offset of its body, frame) for each whole frame of a segment; ends at the first that is not."""
    if data[: len(MAGIC)] != MAGIC:
        return
    offset = len(MAGIC)
    while offset + _HEAD.size <= len(data):
        length, crc, kind, number = _HEAD.unpack_from(data, offset)
        start = offset + _HEAD.size
        if length > MAX_BODY or start + length > len(data) or kind not in (Kind.CHECKPOINT, Kind.STEP):
            return
        body = data[start : start + length]
        if zlib.crc32(_SEALED.pack(kind, number) + body) != crc:
            return
        yield start, Frame(Kind(kind), number, body)
        offset = start + length

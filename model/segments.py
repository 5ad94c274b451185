"""Ethernet segments: links that several VTEPs share (RFC 7432 section 5), by their identifiers.

Place: a manifest's texts become 10 octets here, and octets become text for people; shared by the edge and by
`bgp`. Must not know routes. Text that is none is a ValueError that says what is allowed.
"""

from __future__ import annotations

from typing import Final

SIZE: Final = 10
NO_SEGMENT: Final = bytes(SIZE)
MAX_SEGMENT: Final = b"\xff" * SIZE
RESERVED: Final = (NO_SEGMENT, MAX_SEGMENT)
"""What names no segment (RFC 7432 section 5): a MAC with one of them stands for itself (section 9.2.2)."""

_IMPORT_KIND: Final = bytes((0x06, 0x02))


def parse_segment(text: str) -> bytes:
    """Ten octets in hex with colons between them, the type first."""
    parts = text.split(":")
    wrong = f"ten octets in hex are wanted, as in {segment_text(bytes(range(SIZE)))}"
    if len(parts) != SIZE or any(len(part) != 2 for part in parts):
        raise ValueError(wrong)
    try:
        found = bytes(int(part, 16) for part in parts)
    except ValueError:
        raise ValueError(wrong) from None
    if found in RESERVED:
        raise ValueError("all zeros and all ones are reserved (RFC 7432 section 5)")
    return found


def segment_text(segment: bytes) -> str:
    """The inverse of `parse_segment`, in lower case."""
    return ":".join(f"{octet:02x}" for octet in segment)


def import_target(segment: bytes) -> bytes:
    """ES-Import route target: the six octets behind the type (RFC 7432 section 7.6), whatever the type, as
    other stacks do it; 8 octets."""
    return _IMPORT_KIND + segment[1:7]

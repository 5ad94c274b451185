"""Addresses: as CNI writes them, and as the kernel has them.

Place: under everything else here. Python's own module for it would cost as much as all of ours.
"""

from __future__ import annotations

import socket
from typing import NamedTuple

from controller.cni.refusal import BAD_CONFIG, Refusal


class Network(NamedTuple):
    """Destination and length of a prefix, as the kernel has them."""

    family: int
    address: bytes
    length: int


def prefix(text: object, code: int = BAD_CONFIG) -> Network:
    """`10.0.0.1/31`; host bits may be set."""
    if isinstance(text, str):
        address, slash, length = text.partition("/")
        for family, most in ((socket.AF_INET, 32), (socket.AF_INET6, 128)):
            try:
                raw = socket.inet_pton(family, address)
            except (OSError, ValueError):
                continue
            if slash and length.isascii() and length.isdigit() and len(length) < 4 and int(length) <= most:
                return Network(family, raw, int(length))
    raise Refusal(code, f"{text!r:.60} is no prefix", "It is 10.0.0.0/8 or 2001:db8::/32.")


def packed(text: object) -> tuple[int, bytes]:
    """Family and bytes of an address without length."""
    if isinstance(text, str):
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                return family, socket.inet_pton(family, text)
            except (OSError, ValueError):
                continue
    raise Refusal(BAD_CONFIG, f"{text!r:.60} is no address", "It is 10.0.0.1 or 2001:db8::1.")

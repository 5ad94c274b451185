"""Tokens: what a workload must show if it shows one: good for a port and a time, kept by nobody.

Place: made and judged by `services.metadata.answering`, with a key that the process drew. A restart of it
makes them worthless; who used one asks for another. Must not be worth anything at another port.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final

from model.ids import PortKey

LIFE: Final = range(1, 21_601)
"""Seconds for which a token may be asked for, as EC2 has it."""
_BODY: Final = struct.Struct("!Q")
_PORT: Final = struct.Struct("!I")
_SEAL: Final = 24


def make_token(key: bytes, port: PortKey, until: int) -> str:
    """`until`: seconds of the process's clock."""
    body = _BODY.pack(until)
    return base64.urlsafe_b64encode(body + _seal(key, port, body)).decode("ascii")


def is_good(key: bytes, port: PortKey, token: bytes, now: int) -> bool:
    """Whether it was made for this port, and holds."""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    body, seal = raw[: _BODY.size], raw[_BODY.size :]
    if len(raw) != _BODY.size + _SEAL or not hmac.compare_digest(seal, _seal(key, port, body)):
        return False
    return bool(now < _BODY.unpack(body)[0])


def _seal(key: bytes, port: PortKey, body: bytes) -> bytes:
    return hmac.new(key, _PORT.pack(port) + body, hashlib.sha256).digest()[:_SEAL]

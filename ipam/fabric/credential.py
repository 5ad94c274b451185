"""Credential: who we are to a manager of fabrics, read from a file that only we can read.

Place: effects below `ufm`, read again before each round, so that a new token needs no restart. Must not let
the secret into an error, a log or a `repr`.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model.errors import Fault, Invalid

_MOST: Final = 4096
_OTHERS: Final = 0o077
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{8,}")
_REMEDY: Final = (
    "make it one line, `basic USER:PASSWORD` or `token TOKEN`, mode 0600, owned by root or by who runs this"
)


@dataclass(frozen=True, slots=True)
class Credential:
    """`prefix`: of all paths; the API has one for each way to authenticate. `authorization`: the header."""

    prefix: str
    authorization: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def clean(self, text: str) -> str:
        """Nothing of `text` if it repeats something of the secret."""
        return "" if any(secret in text for secret in self.secrets) else text


def read(path: Path) -> Credential:
    """Invalid: what is wrong with the file, without anything of what it says."""
    try:
        # Without waiting: a pipe would hang, and a link could lead to what others write.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _invalid(path, f"it can't be opened: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _invalid(path, "it is no file")
        if found.st_uid not in (0, os.geteuid()):
            raise _invalid(path, "it belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & _OTHERS:
            raise _invalid(path, f"others may use it: its mode is {stat.S_IMODE(found.st_mode):04o}")
        raw = os.read(descriptor, _MOST + 1)
    except OSError as error:
        raise _invalid(path, f"it can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return _parse(path, raw)


def _parse(path: Path, raw: bytes) -> Credential:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid(path, "it is no text") from None
    line = text.removesuffix("\n")
    if len(raw) > _MOST or not line.isprintable():
        raise _invalid(path, "it is not one line")
    kind, _, secret = line.partition(" ")
    if kind == "basic":
        user, colon, password = secret.partition(":")
        if not colon or not user or not password:
            raise _invalid(path, "a user and a password are missing")
        packed = base64.b64encode(secret.encode()).decode()
        return Credential("/ufmRest", f"Basic {packed}", (packed, password))
    if kind == "token" and _TOKEN.fullmatch(secret):
        # UFM takes a token where a password would stand: `Basic`, not `Bearer`.
        return Credential("/ufmRestV3", f"Basic {secret}", (secret,))
    raise _invalid(path, "it has no such form")


def _invalid(path: Path, message: str) -> Invalid:
    return Invalid(Fault(str(path), "credential-file", message, _REMEDY))

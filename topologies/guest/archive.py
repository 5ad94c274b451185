"""A cpio archive in the "newc" form, the one in which Linux takes its first file system.

Place: under `image`. Values in, bytes out. Must not read the machine.
Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGN = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link: `mode` as in stat(2), type included; `content` of a link is its target."""

    path: str
    mode: int
    content: bytes = b""


def folder(path: str) -> Entry:
    """A folder, readable by all."""
    return Entry(path, stat.S_IFDIR | 0o755)


def program(path: str, content: bytes) -> Entry:
    """A file that can be run."""
    return Entry(path, stat.S_IFREG | 0o755, content)


def link(path: str, target: str) -> Entry:
    """A symbolic link."""
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def cpio(entries: Iterable[Entry]) -> bytes:
    """The archive. Folders must come before what lies in them; times and owners are zero."""
    numbered = enumerate([*entries, Entry(_TRAILER, 0)], 1)
    return b"".join(_record(number, entry) for number, entry in numbered)


def _record(number: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # inode, mode, uid, gid, links, time, size, device (2), special device (2), length of name, checksum
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + name
    return _padded(head) + _padded(entry.content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % _ALIGN)

"""Tree: reading of a sysfs tree that may be half broken, or made by somebody who wishes us ill.

Place: under `ipam.devices.sysfs`. What can't be read is an oddity of the tree, never an exception. Must not
write, must not wait (a FIFO in a file's place), must not read more than a page of a file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from model.sighting import MOST_FINDINGS, MOST_TEXT, Oddity

_PAGE: Final = 4096
_MOST_NAMES: Final = 4096
"""Of one directory."""


class Tree:
    """`root`: where sysfs is mounted. Paths are relative to it. `oddities` gathers what was not as it
    should be."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._oddities: set[Oddity] = set()

    def oddities(self) -> tuple[Oddity, ...]:
        """The first of them, by rule and place: the same tree tells the same."""
        ordered = sorted(self._oddities, key=lambda o: (o.rule, o.where, o.message))
        return tuple(ordered[:MOST_FINDINGS])

    def note(self, rule: str, where: str, message: str) -> None:
        """Something is not as it should be."""
        self._oddities.add(Oddity(rule, _printable(where), _printable(message)))

    def has(self, path: str) -> bool:
        """Whether anything is there: also a link that leads nowhere."""
        return os.path.lexists(self.at(path))

    def text(self, path: str) -> str:
        """The file's text without white space at its ends; "" and an oddity if it can't be read."""
        try:
            handle = os.open(self.at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            self.note("file-missing", path, _reason(error))
            return ""
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                self.note("file-garbled", path, "it is no plain file")
                return ""
            raw = os.read(handle, _PAGE + 1)
        except OSError as error:
            self.note("file-missing", path, _reason(error))
            return ""
        finally:
            os.close(handle)
        if len(raw) > _PAGE or not raw.isascii():
            self.note("file-garbled", path, "it is longer than a page, or no ASCII text")
            return ""
        return raw.decode("ascii").strip()

    def quiet(self, path: str) -> str:
        """As `text`, of a file that drivers are free not to answer for: that is no oddity."""
        return Tree(Path(self._root)).text(path)

    def number(self, path: str, most: int, base: int = 10) -> int | None:
        """The file's number, 0 to `most`; -1 is the kernel's word for none: None. None and an oddity for
        what is no such number."""
        text = self.text(path)
        if text in {"", "-1"}:
            return None
        try:
            value = int(text, base)
        except ValueError:
            value = -1
        if not 0 <= value <= most:
            self.note("file-garbled", path, f"{text[:40]!r} is no number from 0 to {most}")
            return None
        return value

    def names(self, path: str) -> tuple[str, ...]:
        """What a directory holds, in order; () if it is not there; an oddity if it can't be read."""
        try:
            found = os.listdir(self.at(path))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            self.note("directory-unreadable", path, _reason(error))
            return ()
        if len(found) > _MOST_NAMES:
            self.note("too-many", path, f"{len(found)} entries; the first {_MOST_NAMES} are looked at")
        return tuple(sorted(found)[:_MOST_NAMES])

    def target(self, path: str) -> str:
        """Where a symbolic link leads, as it is written; "" if there is none. It is not followed."""
        try:
            return os.readlink(self.at(path))
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            self.note("link-broken", path, _reason(error))
            return ""

    @property
    def root(self) -> Path:
        """Where it is mounted."""
        return Path(self._root)

    def at(self, path: str) -> str:
        """The whole path."""
        return f"{self._root}/{path}"


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in text[:MOST_TEXT])

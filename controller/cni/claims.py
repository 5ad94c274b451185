"""Claims: which container has which VF of this host, a file for each VF.

Place: between runs of the plugin, which several runtimes' threads start at once: whoever reads in order to
write holds the lock. A claim bears the gang's generation: what was claimed of an earlier gang is no claim on
the VF any more. Must not move devices.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from controller.cni.refusal import INPUT_OUTPUT, LATER, Refusal
from controller.cni.request import Attachment

PATIENCE = 20.0
"""Seconds for the lock; kubelet gives a pod's network minutes."""
_FILE = re.compile(r"([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\.json")
_MOST = 65_536
_OWN = os.O_CLOEXEC | os.O_NOFOLLOW


class Claim(NamedTuple):
    """`link`: the netdev's name on the host, "" if another plugin has moved it; `mtu`: what it was there;
    `parent`: the PCI address that the kernel told of it.
    """

    network: str
    container: str
    ifname: str
    netns: str
    pci: str
    tenant: str
    gang: str
    generation: int
    link: str = ""
    mtu: int = 0
    parent: str = ""

    @property
    def attachment(self) -> Attachment:
        """Whose it is."""
        return Attachment(self.container, self.ifname)

    def same(self, other: Claim | None) -> bool:
        """Whether both are of one attachment and one gang: the fence of late deletions."""
        return other is not None and (self.network, self.attachment, self.generation) == (
            other.network,
            other.attachment,
            other.generation,
        )


class Claims:
    """Those in one directory. What can't be read is `broken`: somebody may have that VF."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the directory; makes it. Refusal if others keep it for too long."""
        try:
            os.makedirs(self._directory, 0o700, exist_ok=True)
            file = os.open(f"{self._directory}/lock", os.O_RDWR | os.O_CREAT | _OWN, 0o600)
        except OSError as error:
            raise _unwritable(self._directory, error) from None
        try:
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Refusal(
                            LATER, f"{self._directory}/lock is held by another process", "Look what it does."
                        ) from None
                    time.sleep(0.005)
            yield
        finally:
            os.close(file)

    def observe(self) -> tuple[dict[str, Claim], tuple[str, ...]]:
        """By PCI address; and the PCI addresses of the broken ones. Nothing if there is no directory yet."""
        try:
            names = sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return {}, ()
        except OSError as error:
            raise _unwritable(self._directory, error) from None
        found, broken = {}, []
        for name in names:
            if (match := _FILE.fullmatch(name)) is not None:
                claim = self._read(match[1])
                if claim is None:
                    broken.append(match[1])
                else:
                    found[claim.pci] = claim
        return found, tuple(broken)

    def put(self, claim: Claim) -> None:
        """Whole or not at all, also if the power fails."""
        path, fresh = self.path(claim.pci), f"{self._directory}/.{claim.pci}.new"
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _OWN, 0o600)
            with open(file, "w", encoding="utf-8") as opened:
                opened.write(json.dumps(claim._asdict()))
                opened.flush()
                os.fsync(file)
            os.rename(fresh, path)
            self._settle()
        except OSError as error:
            raise _unwritable(self._directory, error) from None

    def drop(self, pci: str) -> None:
        """Nothing happens if it is not there."""
        try:
            os.unlink(self.path(pci))
            self._settle()
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritable(self._directory, error) from None

    def path(self, pci: str) -> str:
        """Where the claim on a VF stands."""
        return f"{self._directory}/{pci}.json"

    def _settle(self) -> None:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _read(self, pci: str) -> Claim | None:
        try:
            file = os.open(self.path(pci), os.O_RDONLY | os.O_NONBLOCK | _OWN)
            with open(file, "rb") as opened:
                found = json.loads(opened.read(_MOST).decode())
            claim = Claim(**found)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = (*claim[:7], claim.link, claim.parent)
        numbers = (claim.generation, claim.mtu)
        fits = all(isinstance(text, str) and "\0" not in text for text in texts)
        fits = fits and all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
        return claim if fits and claim.pci == pci else None


def _unwritable(directory: str, error: OSError) -> Refusal:
    return Refusal(
        INPUT_OUTPUT,
        f"claims can't be kept in {directory}: {error.strerror}",
        "It belongs to root.",
    )

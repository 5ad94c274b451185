"""Credence: whether what the store says of this host's devices is to be acted upon.

Place: between `controller.store.moorings` and `controller.agent.settling`; the same law as `controller.agent
.brake` has for flows, and released by the same word of the operator. Remembers on disk which cluster was
obeyed last, and its generation: a store that was replaced, or restored from an old copy, touches no device.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.store.moorings import Moorings
from model.errors import Fault
from model.ids import HostName, Uid

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The cluster that was obeyed last, and the highest generation of it."""

    cluster: Uid
    generation: int


class Credence:
    """`path`: the file; a broken one counts as none."""

    def __init__(self, host: HostName, path: Path) -> None:
        self._host, self._path = host, path
        self._kept = self._obeyed = _load(path)

    def judge(self, found: Moorings) -> Fault | None:
        """None if it may be acted upon; else why not."""
        if found.frozen:
            return self._fault("frozen", "the operator froze this host", "unfreeze", "")
        known = self._obeyed
        if found.cluster is None:
            return self._fault("store-empty", "the store holds no cluster", "confirm", "empty")
        if known is None:
            return None
        if found.cluster != known.cluster:
            message = f"the store says cluster {found.cluster}, this host obeyed {known.cluster}"
            return self._unless(found, self._fault_of("other-cluster", message, f"cluster-{found.cluster}"))
        if found.generation < known.generation:
            message = f"the store is at generation {found.generation}, this host has seen {known.generation}"
            return self._unless(
                found, self._fault_of("older-generation", message, f"generation-{found.generation}")
            )
        return None

    def obey(self, found: Moorings) -> None:
        """It is acted upon from now on. Written to disk where that has to outlive this process: whoever
        changes a device has it written before."""
        if found.cluster is not None:
            self._obeyed = Obeyed(found.cluster, found.generation)

    def keep(self) -> None:
        """On disk when it returns; OSError if that fails: then nothing may be changed."""
        if self._obeyed is None or self._obeyed == self._kept:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        text = json.dumps({"cluster": self._obeyed.cluster, "generation": self._obeyed.generation})
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._kept = self._obeyed

    def _unless(self, found: Moorings, stop: tuple[Fault, str]) -> Fault | None:
        fault, token = stop
        return None if found.confirm == token else fault

    def _fault_of(self, rule: str, message: str, token: str) -> tuple[Fault, str]:
        return self._fault(rule, message, "confirm", token), token

    def _fault(self, rule: str, message: str, verb: str, token: str) -> Fault:
        remedy = " ".join(part for part in ("ringfence", verb, self._host, token) if part)
        return Fault(f"devices of {self._host}", rule, message, f"If that is right: {remedy}")


def _load(path: Path) -> Obeyed | None:
    try:
        found = json.loads(path.read_text())
        return Obeyed(Uid(str(found["cluster"])), int(found["generation"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None

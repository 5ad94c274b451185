"""Desk: what this host wants to be known of it, and what the store has of that.

Place: under `keeper`, which calls it with its lock held, but for `write`. Newer words replace those that
still wait. Must not decide when to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.store.records import PortRow
from controller.store.reports import Saying
from model.ids import HostName, Uid
from model.report import PortReport, Report, render


class Shelf(Protocol):
    """The part of `controller.store.writer.Store` that takes reports."""

    def say(self, host: HostName, saying: Saying, known: frozenset[str] | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one write carries. `known`: uids with a row, None = everything must be written anew."""

    head: Report
    details: Report | None
    ports: Mapping[str, PortReport | None]
    known: frozenset[str] | None


class Desk:
    """`note` what is new, `take` what is to be written, `write` it, and say how that went by `settle`."""

    def __init__(self) -> None:
        self._head: Report | None = None
        self._details: Report | None = None
        self._ports: dict[str, PortReport] = {}
        self._unwritten: set[str] = set()
        self._written: set[str] = set()
        self._due = self._details_due = False
        self._anew = True
        self._revision = 0

    @property
    def due(self) -> bool:
        """Whether something waits to be written."""
        return self._due

    def note(self, head: Report, details: Report | None, ports: Mapping[Uid, PortReport | None]) -> None:
        """The newest word: `details` None = nothing new; `ports` = what changed, None = gone."""
        self._head, self._due = head, True
        if details is not None:
            self._details, self._details_due = details, True
        for uid, one in ports.items():
            self._unwritten.add(uid)
            if one is None:
                self._ports.pop(uid, None)
            else:
                self._ports[uid] = one

    def take(self) -> Bundle | None:
        """What is to be written now; it counts as under way."""
        if not self._due or self._head is None:
            return None
        self._due = False
        if self._anew:
            self._unwritten.clear()
            self._details_due = False
            return Bundle(self._head, self._details, dict(self._ports), None)
        ports = {uid: self._ports.get(uid) for uid in self._unwritten}
        details = self._details if self._details_due else None
        self._unwritten, self._details_due = set(), False
        return Bundle(self._head, details, ports, frozenset(self._written & ports.keys()))

    def write(self, store: Shelf, host: HostName, bundle: Bundle) -> None:
        """Raises model.errors if it could not be written. Call it without the keeper's lock."""
        saying = Saying(
            head=render(bundle.head),
            report=None if bundle.details is None else render(bundle.details),
            ports={uid: _row(one) for uid, one in bundle.ports.items()},
            stamp=bundle.head.stamp_ms,
            revision=self._revision,
        )
        store.say(host, saying, bundle.known)

    def settle(self, bundle: Bundle) -> None:
        """It is written."""
        if bundle.known is None:
            self._anew, self._written = False, set()
        self._revision += 1
        for uid, one in bundle.ports.items():
            if one is None:
                self._written.discard(uid)
            else:
                self._written.add(uid)

    def fail(self) -> None:
        """It is not, or nobody knows: the next one says everything."""
        self._anew = self._due = True


def _row(one: PortReport | None) -> PortRow | None:
    return None if one is None else (one.state.value, one.reason, one.ofport)

"""Roster: what the report says of each interface, kept in step with the changes.

Place: between core and keeper: what is new since the last report is written, not all of it. `binder` judges
each interface. Must not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.agent import binder
from model.change import Change, Part
from model.ids import PortKey, Uid
from model.report import PortReport
from model.snapshot import Snapshot

_PORTS: Final = frozenset({Part.PORT, Part.BINDING})


class Roster:
    """The last word on each interface, and whose it is."""

    def __init__(self) -> None:
        self._said: dict[Uid, PortReport] = {}
        self._uids: dict[PortKey, Uid] = {}

    def follow(
        self, snapshot: Snapshot, refusals: Mapping[PortKey, str], changes: Iterable[Change] | None
    ) -> dict[Uid, PortReport | None]:
        """What differs from before, None for interfaces that are gone. `changes` None: look at everything."""
        if changes is None:
            uids: set[Uid] = {*self._said, *snapshot.interfaces}
        else:
            uids = {uid for change in changes for uid in self._touched(snapshot, change)}
        news: dict[Uid, PortReport | None] = {}
        for uid in sorted(uids):
            now = binder.port_report(snapshot, uid, refusals)
            key = snapshot.by_uid.get(uid)
            if key is not None and now is not None:
                self._uids[key] = uid  # nobody else will know it of a port that is deleted
            if now == self._said.get(uid):
                continue
            news[uid] = now
            if now is None:
                del self._said[uid]
            else:
                self._said[uid] = now
        return news

    def _touched(self, snapshot: Snapshot, change: Change) -> Iterable[Uid]:
        key: Any = change.key
        if change.part is Part.INTERFACE:
            yield key
        elif change.part in _PORTS:
            port, before = snapshot.ports.get(key), self._uids.pop(key, None)
            if before is not None:
                yield before
            if port is not None:
                yield port.uid

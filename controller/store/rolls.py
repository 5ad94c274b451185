"""Rolls: rows of gangs and of their nodes, as they come and go, to who is in each gang.

Place: under `view`, which tells it of rows and asks for values. Pure state. Must not wait for anything: a
gang whose nodes are not all there has no value yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from controller.store import gangs
from controller.store.rows import Row, reference
from model.gang import GangState
from model.ids import Uid
from model.roll import NAMED, Roll, line_up

TABLES: Final = frozenset({"Gang", "Gang_Node"})
UNREAD: Final = {
    "Gang": frozenset({"fabric", "begun", "until", "request", "pkey", "block", "why", "vouched", "since"}),
    "Gang_Node": frozenset({"gpus", "host"}),
}
"""Columns that say nothing of names."""
Look = Callable[[Uid], "Row | None"]
"""A row of Gang_Node."""


class Rolls:
    """Which gang each node's row belongs to."""

    def __init__(self) -> None:
        self._of: dict[int, Uid] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._of.clear()

    def touch(self, table: str, uid: Uid, old: Row | None, new: Row | None) -> Uid | None:
        """A row as it was and is; the gang whose value may be another now."""
        row = old if new is None else new
        if row is None:
            return None
        generation = int(row["generation"])
        if table == "Gang_Node":
            return self._of.get(generation)
        if new is None:
            self._of.pop(generation, None)
        else:
            self._of[generation] = uid
        return uid


def named(row: Row) -> tuple[str, int] | None:
    """Tenant and generation of a row of Gang; None if it has no names. ValueError for a state of nobody."""
    return (str(row["tenant"]), int(row["generation"])) if GangState(row["state"]) in NAMED else None


def roll(row: Row, look: Look) -> Roll | None:
    """Of a row of Gang. KeyError or ValueError for what no gang of ours is."""
    if named(row) is None:
        return None
    found = [look(uid) for uid in _nodes(row["nodes"])]
    there = [node for node in found if node is not None]
    if len(there) < len(found):
        return None
    berths = (gangs.berth({"gpus": "", "host": "", **node}) for node in there)
    return Roll(int(row["generation"]), str(row["tenant"]), str(row["name"]), line_up(berths))


def _nodes(value: Any) -> list[Uid]:
    return [reference(each) for each in (value[1] if value[:1] == ["set"] else [value])]

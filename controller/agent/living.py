"""Living: which ports live here, which come and go with a change, and what that asks for.

Place: pure; used by `controller.agent.core` with each commit. Must not decide whether a change may happen.
"""

from __future__ import annotations

from typing import Final

from controller.agent import binder, commands, state
from controller.agent.binder import lives_here
from model.change import Change, Part, Patch
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines import accounts, cookies

EPOCHS: Final = 1 << 12
"""Accounting epochs wrap here (12 bits of the cookie); 0 is never used."""


def number(
    effective: Snapshot, adopted: frozenset[PortKey], new: Snapshot, changes: frozenset[Change]
) -> tuple[Snapshot, frozenset[Change]]:
    """A new accounting epoch for each port that comes to live here, unless the switch still counts for it."""
    items: list[state.Item] = []
    for key in sorted(binder.touched(new, changes)):
        if not lives_here(new, key) or (key in adopted and key in new.epochs):
            continue
        if key not in new.epochs or not lives_here(effective, key):
            items.append((Part.EPOCH, key, new.epochs.get(key, 0) % (EPOCHS - 1) + 1))
    step = state.upsert(new, items)
    return step.snapshot, step.changes


def leaving(old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> tuple[PortKey, ...]:
    keys = binder.touched(new, changes) | binder.touched(old, changes)
    return tuple(sorted(k for k in keys if lives_here(old, k) and not lives_here(new, k)))


def programming(patch: Patch, leaving: tuple[PortKey, ...]) -> list[commands.Command]:
    """The patch as it is; in two parts if counters of ports that stay go (a class was deleted)."""
    if not patch:
        return []
    now, later = accounts.split(patch)
    doomed = [flow.cookie for _, drop in later.groups for flow in drop]
    staying = tuple(c for c in doomed if (parsed := cookies.parse(c)) and parsed.port not in leaving)
    if not staying:
        return [commands.Program(patch)]
    return [commands.Program(now), commands.CloseCounters(staying), commands.Program(later)]


def links(ports: Snapshot, present: Snapshot, keys: tuple[PortKey, ...]) -> tuple[str, ...]:
    """Names of the interfaces of ports, known from one snapshot and still there in another."""
    found = (present.interfaces.get(ports.ports[key].uid) for key in keys)
    return tuple(interface.name for interface in found if interface is not None)

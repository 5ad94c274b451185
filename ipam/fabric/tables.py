"""Tables: the partition keys that ports really have, compared with those that they are to have.

Place: pure; between `diagnostics`, which reads ports, and `opensm`, which acts on the difference. Must not
take a port that could not be read for one that is right, or for one that is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ipam.fabric.partitions import Partition, Partitions
from model.fabric import DEFAULT_PKEY, FULL_MEMBER, PKEYS, Guid, PKey

_ROW: Final = re.compile(r" *([0-9]+):((?: 0x[0-9a-f]{4}){8}) *")
_END: Final = re.compile(r"([0-9]+) pkeys capacity for this port")
_EMPTY: Final = 0x0000
_ROOM: Final = 1 << 16


class Difference(Enum):
    """What is wrong with a port. OPEN: a full member of the default partition that is no manager: it can talk
    with everybody. STRAY: a member of a partition that is not its own. LACKING: not a member of its own.
    LEVEL: full for limited, or the reverse. INDEX: its own is not first. DEFAULT: not even a limited member
    of the default, so it finds no subnet manager. UNSEEN: it did not answer.
    """

    OPEN = "open"
    STRAY = "stray"
    LACKING = "lacking"
    LEVEL = "level"
    INDEX = "index"
    DEFAULT = "default"
    UNSEEN = "unseen"


LEAKS: Final = frozenset({Difference.OPEN, Difference.STRAY})
"""Through these a tenant may reach another; the others only keep one from its own."""


@dataclass(frozen=True, slots=True)
class Drift:
    """`pkey`: the entry of the table, or the partition, that is meant; 0 if none is."""

    guid: Guid
    what: Difference
    pkey: int = 0


def parse_table(text: str) -> tuple[int, ...]:
    """The whole table by index, from what `smpquery pkeys` prints: entries of 16 bits, 0 = free.

    ValueError unless all of it is there.
    """
    *rows, end = text.splitlines() or [""]
    capacity = _END.fullmatch(end)
    if capacity is None or not 0 < int(capacity[1]) < _ROOM:
        raise ValueError("a table of partition keys ends with its capacity")
    found: list[int] = []
    for row in rows:
        match = _ROW.fullmatch(row)
        if match is None or int(match[1]) != len(found):
            raise ValueError("a row of a table of partition keys has its place and eight entries")
        found.extend(int(entry, 16) for entry in match[2].split())
    room = int(capacity[1])
    if not room <= len(found) < room + 32:
        raise ValueError("a table of partition keys has as many rows as its capacity says")
    return tuple(found[:room])


def compare(
    wanted: Partitions, found: Mapping[Guid, tuple[int, ...] | None], manager: Guid
) -> tuple[Drift, ...]:
    """What differs at the ports of `found`, in order of GUIDs; None = it did not answer.

    `manager`: the port of the manager that reads the file, SELF to it.
    """
    own = {
        guid: (each.pkey, level)
        for each in wanted.tenants
        for guids, level in ((each.full, FULL_MEMBER), (each.limited, 0))
        for guid in guids
    }
    masters = {*wanted.managers, manager}
    out: list[Drift] = []
    for guid in sorted(found):
        table = found[guid]
        if table is None:
            out.append(Drift(guid, Difference.UNSEEN))
        else:
            out.extend(
                _differences(guid, table, own.get(guid), DEFAULT_PKEY | FULL_MEMBER * (guid in masters))
            )
    return tuple(out)


def set_aside(
    wanted: Partitions, guids: Iterable[Guid], found: Mapping[Guid, tuple[int, ...] | None]
) -> Partitions:
    """The same partitions without these ports. Those that were in none are alone, as limited members who
    reach nobody, in one whose key no port has: what is wanted of each of them changes.
    """
    gone = frozenset(guids)
    members = {guid for each in wanted.tenants for guid in (*each.full, *each.limited)}
    kept = [
        Partition(
            each.pkey,
            tuple(guid for guid in each.full if guid not in gone),
            tuple(guid for guid in each.limited if guid not in gone),
        )
        for each in wanted.tenants
    ]
    alone = tuple(sorted(gone - members))
    if alone:
        taken = {entry & ~FULL_MEMBER for table in found.values() for entry in table or ()}
        taken |= {each.pkey for each in wanted.tenants}
        free = next(key for key in reversed(PKEYS) if key not in taken)
        kept.append(Partition(PKey(free), (), alone))
    tenants = sorted((each for each in kept if each.full or each.limited), key=lambda each: each.pkey)
    return Partitions(wanted.managers, tuple(tenants))


def holds(table: tuple[int, ...], pkey: PKey) -> bool:
    """Whether a port is still a member of a partition, at any level."""
    return any(entry & ~FULL_MEMBER == pkey for entry in table)


def _differences(guid: Guid, table: tuple[int, ...], own: tuple[PKey, int] | None, base: int) -> list[Drift]:
    out: list[Drift] = []
    entries = [entry for entry in table if entry != _EMPTY]
    for entry in dict.fromkeys(entries):
        pkey = entry & ~FULL_MEMBER
        if pkey == DEFAULT_PKEY:
            if entry != base and entry & FULL_MEMBER:
                out.append(Drift(guid, Difference.OPEN, entry))
        elif own is None or pkey != own[0]:
            out.append(Drift(guid, Difference.STRAY, entry))
        elif entry != own[0] | own[1]:
            out.append(Drift(guid, Difference.LEVEL, entry))
    if base not in entries:
        out.append(Drift(guid, Difference.DEFAULT, base))
    if own is not None:
        entry = own[0] | own[1]
        if not holds(table, own[0]):
            out.append(Drift(guid, Difference.LACKING, entry))
        elif table[0] & ~FULL_MEMBER != own[0]:
            out.append(Drift(guid, Difference.INDEX, entry))
    return out


def lingering(
    guids: Iterable[Guid], pkey: PKey, found: Mapping[Guid, tuple[int, ...] | None]
) -> tuple[Guid, ...]:
    """Ports of which nobody has seen that they left a partition: they are still members, or did not answer.

    Only when there are none may GUIDs and key be given to others.
    """
    return tuple(
        guid for guid in sorted(set(guids)) if (table := found.get(guid)) is None or holds(table, pkey)
    )

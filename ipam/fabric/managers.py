"""Managers: which subnet managers a fabric has, against those that it may have.

Place: pure; beside `tables`. Who manages a subnet writes its partitions, so one that nobody allowed is an
alarm whatever the ports' tables say. Must not decide what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.fabric import Guid, parse_guid

_MASTER: Final = re.compile(
    r"sminfo: sm lid [0-9]+ sm guid (0x[0-9a-f]{1,16}), activity count [0-9]+ priority [0-9]+ "
    r"state ([0-9]+) SMINFO_[A-Z]+"
)
_RECORD: Final = "SMInfoRecord dump:"
_OFFERING: Final = re.compile(r"(?m)^IsSMdisabled ports$")
_PORT: Final = "PortInfoRecord dump:"
_LID: Final = re.compile(r"(?m)^\s*EndPortLid\.+([0-9]+)$")
_GUID: Final = re.compile(r"\s*GUID\.+(0x[0-9a-f]{16})")
_STATE: Final = re.compile(r"\s*SMState\.+([0-9]+)")


class Standing(Enum):
    """State of a subnet manager (InfiniBand Architecture 1.2.1, section 14.2.5.13, SMInfo)."""

    INACTIVE = 0
    DISCOVERING = 1
    STANDBY = 2
    MASTER = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """A subnet manager by its port."""

    guid: Guid
    standing: Standing


def parse_master(text: str) -> Seen:
    """The one that a port obeys, from what `sminfo` prints. ValueError for anything else."""
    match = _MASTER.fullmatch(text.strip())
    if match is None:
        raise ValueError("sminfo says one line about one subnet manager")
    return Seen(parse_guid(match[1]), Standing(int(match[2])))


def parse_known(text: str) -> tuple[Seen, ...]:
    """Those that the master knows, and itself, from what `saquery SMIR` prints. ValueError for all else."""
    first, *records = text.split(_RECORD)
    if first.strip():
        raise ValueError("saquery says records of subnet managers")
    found = []
    for record in records:
        guids, standings = _GUID.findall(record), _STATE.findall(record)
        if len(guids) != 1 or len(standings) != 1:
            raise ValueError("a record of a subnet manager has its GUID and its state")
        found.append(Seen(parse_guid(guids[0]), Standing(int(standings[0]))))
    return tuple(sorted(found, key=lambda each: each.guid))


def parse_offering(text: str) -> tuple[int, ...]:
    """LIDs of ports that say that a subnet manager runs there, or a disabled one, from what `saquery
    -s` prints. ValueError for anything else.
    """
    if not _OFFERING.search(text):
        raise ValueError("saquery says which ports have a subnet manager")
    lids = _LID.findall(text)
    if len(lids) != text.count(_PORT):
        raise ValueError("a record of a port has its LID")
    return tuple(sorted({int(lid) for lid in lids}))


def strangers(seen: Iterable[Seen], allowed: Iterable[Guid]) -> tuple[Seen, ...]:
    """Those that nobody allowed, each once, by GUID."""
    known = frozenset(allowed)
    return tuple(sorted({s for s in seen if s.guid not in known}, key=lambda s: (s.guid, s.standing.value)))

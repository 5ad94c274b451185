"""Members: what UFM says who is in which partition, and the fewest changes that make it what is wanted.

Place: pure; below `ufm`, which asks and changes. Must not have a change touch a partition that is not ours: a
key outside of the fabric's, the management partition, or one whose members are all somebody else's. Must not
let a port in where a stranger still is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from ipam.fabric.partitions import Partitions
from ipam.fabric.tables import Difference, Drift
from model.fabric import DEFAULT_PKEY, FULL_MEMBER, PKEYS, Fabric, Guid, PKey, parse_guid, parse_pkey

_LEVELS: Final = {"full": FULL_MEMBER, "limited": 0}


class Garbled(ValueError):
    """What UFM says can't be understood, so nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """How a port is in a partition. `level`: FULL_MEMBER or 0. `first`: at index 0 of its table."""

    level: int
    first: bool


@dataclass(frozen=True, slots=True)
class Members:
    """Of all partitions, by key, members or not. `base`: level of all ports in the default partition that
    are not named there; None = not told (before UFM 6.19).
    """

    seats: Mapping[PKey, Mapping[Guid, Seat]] = field(default_factory=dict)
    base: int | None = None

    def of(self, pkey: PKey) -> Mapping[Guid, Seat]:
        """Members of one; none if it is not there."""
        return self.seats.get(pkey, {})

    def instead(self, pkey: PKey, seats: Mapping[Guid, Seat] | None) -> Members:
        """With other members of one partition; None = it is gone."""
        rest = {key: held for key, held in self.seats.items() if key != pkey}
        return Members(rest if seats is None else {**rest, pkey: seats}, self.base)


class Deed(Enum):
    """TAKE: out of a partition. PUT: into it."""

    TAKE = "take"
    PUT = "put"


@dataclass(frozen=True, slots=True)
class Change:
    """Of members of one partition, in order. `level`: of those who are put."""

    deed: Deed
    pkey: PKey
    guids: tuple[Guid, ...]
    level: int = 0


def parse_all(raw: bytes, fabric: Fabric) -> Members:
    """From the answer to a question for all partitions with their GUIDs. Garbled unless it can be relied on
    for every key of the fabric; of what others put into theirs, what is no GUID is passed over.
    """
    found = _object(_json(raw))
    seats: dict[PKey, Mapping[Guid, Seat]] = {}
    base = None
    for text, held in found.items():
        pkey = _pkey(text)
        if pkey is None:
            continue
        if pkey in seats:
            raise Garbled(f"partition 0x{pkey:04x} is told twice")
        if pkey == DEFAULT_PKEY and (level := _object(held).get("membership")) is not None:
            base = _level(pkey, level)
        seats[pkey] = _seats(pkey, held, strictly=pkey in fabric.pkeys)
    return Members(seats, base)


def parse_one(raw: bytes, pkey: PKey) -> Mapping[Guid, Seat] | None:
    """From the answer to a question for one partition of ours. None = there is none: UFM says `{}` then."""
    found = _object(_json(raw))
    return _seats(pkey, found, strictly=True) if found else None


def changes(members: Members, wanted: Partitions, fabric: Fabric) -> tuple[Change, ...]:
    """Everything that may be done now, what takes out first. Again after it was done and seen: only then are
    those put in who have to wait, because they are elsewhere, or because a stranger is where they belong. Who
    is in with another level, or not first, is taken out and put in again.
    """
    out: list[Change] = []
    level_of = _wanted(wanted)
    ours = _ours(members, wanted, fabric)
    for pkey in ours:
        due = level_of.get(pkey, {})
        gone = [g for g, seat in members.of(pkey).items() if not seat.first or seat.level != due.get(g)]
        if gone:
            # Strangers first: were it to end here, the partition would still be known for ours by the others.
            out.append(Change(Deed.TAKE, pkey, tuple(sorted(gone, key=lambda g: (_local(g, fabric), g)))))
    taken = {change.pkey for change in out}
    elsewhere = _places(members)
    for pkey in ours:
        if pkey in taken:
            continue
        for level in (FULL_MEMBER, 0):
            missing = sorted(
                guid
                for guid, held in level_of.get(pkey, {}).items()
                if held == level and guid not in members.of(pkey) and not elsewhere.get(guid)
            )
            if missing:
                out.append(Change(Deed.PUT, pkey, tuple(missing), level))
    return tuple(out)


def intruders(members: Members, wanted: Partitions, fabric: Fabric) -> tuple[Drift, ...]:
    """Ports that are none of the fabric's, in partitions that gangs are to have, by partition."""
    return tuple(
        Drift(guid, Difference.STRAY, each.pkey | seat.level)
        for each in wanted.tenants
        for guid, seat in sorted(members.of(each.pkey).items(), key=lambda item: item[0])
        if not _local(guid, fabric) and guid not in (*each.full, *each.limited)
    )


def strange(
    members: Members, wanted: Partitions, fabric: Fabric, known: Iterable[Guid]
) -> frozenset[tuple[PKey, Guid]]:
    """Members of partitions of ours of whom nobody knows. Ports of others as well, if nothing is wanted there
    or somebody strange of ours is there: whose partition it is, is not known then.
    """
    needed, ports = {each.pkey for each in wanted.tenants}, frozenset(known)
    out: set[tuple[PKey, Guid]] = set()
    for pkey in _ours(members, wanted, fabric):
        unknown = {guid for guid in members.of(pkey) if guid not in ports}
        if pkey not in needed or any(_local(guid, fabric) for guid in unknown):
            out |= {(pkey, guid) for guid in unknown}
    return frozenset(out)


def occupied(members: Members, wanted: Partitions, fabric: Fabric) -> tuple[PKey, ...]:
    """Keys that gangs are to have and somebody else uses already."""
    ours = frozenset(_ours(members, wanted, fabric))
    return tuple(each.pkey for each in wanted.tenants if each.pkey in fabric.pkeys and each.pkey not in ours)


def tables(members: Members, guids: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
    """What tables of ports should be by UFM's word; None while it does not say who is a full member of the
    default partition, for then nobody knows what a port reaches.
    """
    if members.base is None:
        return dict.fromkeys(guids)
    named = members.of(DEFAULT_PKEY)
    held: dict[Guid, list[tuple[bool, int]]] = {}
    for pkey, seats in members.seats.items():
        for guid, seat in seats.items():
            if pkey != DEFAULT_PKEY:
                held.setdefault(guid, []).append((not seat.first, pkey | seat.level))
    found: dict[Guid, tuple[int, ...] | None] = {}
    for guid in guids:
        level = named[guid].level if guid in named else members.base
        entries = [*held.get(guid, ()), (False, 0x1_0000)]
        ordered = [entry for _, entry in sorted(entries)]
        found[guid] = tuple(DEFAULT_PKEY | level if entry == 0x1_0000 else entry for entry in ordered)
    return found


def _ours(members: Members, wanted: Partitions, fabric: Fabric) -> tuple[PKey, ...]:
    """Keys of the fabric where we may change something: without members, or with one whose GUID is of the
    fabric's own, which nobody else can have. Others' partitions are not emptied for having our key.
    """
    keys = {*members.seats, *(each.pkey for each in wanted.tenants)}
    return tuple(
        pkey
        for pkey in sorted(keys)
        if pkey in fabric.pkeys and pkey in PKEYS
        if not members.of(pkey) or any(_local(guid, fabric) for guid in members.of(pkey))
    )


def _wanted(wanted: Partitions) -> dict[PKey, dict[Guid, int]]:
    return {
        each.pkey: {**dict.fromkeys(each.full, FULL_MEMBER), **dict.fromkeys(each.limited, 0)}
        for each in wanted.tenants
    }


def _places(members: Members) -> dict[Guid, list[PKey]]:
    """Partitions of each port, without the default."""
    found: dict[Guid, list[PKey]] = {}
    for pkey, seats in members.seats.items():
        if pkey != DEFAULT_PKEY:
            for guid in seats:
                found.setdefault(guid, []).append(pkey)
    return found


def _local(guid: Guid, fabric: Fabric) -> bool:
    return any(guid in span for span in fabric.guids)


def _seats(pkey: PKey, held: object, *, strictly: bool) -> Mapping[Guid, Seat]:
    listed = _object(held).get("guids", [])
    if not isinstance(listed, list):
        raise Garbled(f"members of 0x{pkey:04x} are no list")
    found: dict[Guid, Seat] = {}
    for each in listed:
        try:
            guid, seat = _seat(pkey, each)
        except ValueError:
            if strictly:
                raise Garbled(f"a member of 0x{pkey:04x} is no GUID with a membership") from None
            continue
        if found.setdefault(guid, seat) != seat:
            raise Garbled(f"member 0x{guid:016x} of 0x{pkey:04x} is told twice, differently")
    return found


def _seat(pkey: PKey, value: object) -> tuple[Guid, Seat]:
    said = _object(value)
    guid, first = said.get("guid"), said.get("index0", False)
    if not isinstance(guid, str) or not isinstance(first, bool):
        raise Garbled(f"a member of 0x{pkey:04x} has no GUID")
    return parse_guid(guid), Seat(_level(pkey, said.get("membership")), first)


def _level(pkey: PKey, value: object) -> int:
    if not isinstance(value, str) or value not in _LEVELS:
        raise Garbled(f"a membership of 0x{pkey:04x} is neither full nor limited")
    return _LEVELS[value]


def _pkey(text: str) -> PKey | None:
    """None for what no tenant of ours can have, so that it is nothing to us."""
    try:
        number = int(text, 16) if text.lower().startswith("0x") and len(text) <= 6 else -1
        return DEFAULT_PKEY if number == DEFAULT_PKEY else parse_pkey(text)
    except ValueError:
        return None


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw, object_pairs_hook=_once)
    except Garbled:
        raise
    except (ValueError, RecursionError):
        raise Garbled("it is no JSON: a page to log in, or another program's answer") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Garbled("a name stands twice in an object")
    return found


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Garbled("what should be an object is none")
    return value

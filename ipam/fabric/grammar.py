"""Grammar: partitions as the text of OpenSM's partitions.conf, and back.

Place: between `partitions` and `publish`. Pure. Must not accept what OpenSM would have to guess at: it takes
a damaged file for none and makes every port a full member of the default partition, takes `AL` for `ALL`, an
unknown membership for `limited` and the second mention of a port for the last word, and cuts lines at 4,094
bytes. So `parse` knows less than opensm(8), section PARTITION CONFIGURATION, allows, and all of it exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ipam.fabric.partitions import Partition, Partitions
from model.fabric import DEFAULT_PKEY, PKEYS, Guid, PKey, parse_guid

LONGEST: Final = 1000
"""Bytes of a line, end of line left out."""
_HEAD: Final = (
    "# Written by Ringfence from the gangs in its store, and written again when it is changed by hand.\n"
    "# Index 0 of a gang's port is its tenant's key; every other port is a limited member of the default.\n"
)
_DEFAULT: Final = "Default"
_EVERYBODY: Final = ("ALL", "limited")
_SELF: Final = ("SELF", "full")
_FLAGS: Final = ("indx0", "ipoib")
"""First in a port's table; with the broadcast group that IP over InfiniBand needs."""

_PLAIN: Final = re.compile(r"[ -~\t]*")
_BLANK: Final = " \t"
_DEFINITION: Final = re.compile(r"([A-Za-z][A-Za-z0-9]{0,30})[ \t]*=[ \t]*0x([0-9a-f]{4})")
_MEMBER: Final = re.compile(r"(ALL|SELF|0x[0-9a-f]{16})[ \t]*=[ \t]*(full|limited)")


class PartitionsError(ValueError):
    """Not a file that may reach OpenSM: which line, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """From a definition to its semicolon. `line`: where it begins."""

    line: int
    head: str
    body: str


def render(partitions: Partitions) -> str:
    """The whole file. A member a line, so that no line is long and a difference is easy to read."""
    everybody = [f"{who}={how}" for who, how in (_EVERYBODY, _SELF)]
    told = [_statement(f"{_DEFAULT}=0x{DEFAULT_PKEY:04x}", everybody + _members(partitions.managers, "full"))]
    for each in partitions.tenants:
        definition = ",".join((f"{_name(each.pkey)}=0x{each.pkey:04x}", *_FLAGS))
        told.append(_statement(definition, _members(each.full, "full") + _members(each.limited, "limited")))
    return _HEAD + "".join(told)


def parse(text: str) -> Partitions:
    """The inverse. PartitionsError for all that `render` would not say, but for blanks, comments, names, and
    the order of partitions and members.
    """
    managers: tuple[Guid, ...] | None = None
    tenants: dict[PKey, Partition] = {}
    for statement in _statements(text):
        name, pkey, flags = _definition(statement)
        members = _specified(statement)
        if pkey == DEFAULT_PKEY:
            if managers is not None or name != _DEFAULT or flags:
                raise _fault(
                    statement.line, "the default partition is defined once, by its name, without flags"
                )
            managers = _default(statement, members)
        elif pkey not in PKEYS or pkey in tenants or sorted(flags) != sorted(_FLAGS) or name == _DEFAULT:
            raise _fault(statement.line, f"a tenant's partition is defined once, with {' and '.join(_FLAGS)}")
        else:
            tenants[pkey] = _tenant(statement, pkey, members)
    if managers is None:
        raise PartitionsError("partitions.conf: the default partition is missing")
    return Partitions(managers, tuple(tenants[pkey] for pkey in sorted(tenants)))


def _statement(definition: str, members: list[str]) -> str:
    return f"{definition}:\n" + ",\n".join(members) + ";\n"


def _members(guids: tuple[Guid, ...], how: str) -> list[str]:
    return [f"0x{guid:016x}={how}" for guid in guids]


def _name(pkey: PKey) -> str:
    """Told in OpenSM's log only. No tenant's name: those have characters that mean something here."""
    return f"tenant{pkey:04x}"


def _fault(line: int, why: str) -> PartitionsError:
    return PartitionsError(f"partitions.conf, line {line}: {why}")


def _statements(text: str) -> Iterator[_Statement]:
    """OpenSM reads line by line: a definition has its colon on the line where it begins; a list of ports goes
    on over lines, a port does not."""
    if not text.endswith("\n"):
        raise PartitionsError("partitions.conf: the last line has no end, so something may be cut off")
    begun, head, body = 0, "", ""
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        if len(line) > LONGEST or not _PLAIN.fullmatch(line):
            raise _fault(number, f"a line has at most {LONGEST} characters, all of them plain")
        rest = line.partition("#")[0]
        while rest.strip(_BLANK):
            if not begun:
                head, colon, rest = rest.partition(":")
                if not colon:
                    raise _fault(number, "a definition has its colon on the same line")
                begun, body = number, ""
            part, semicolon, rest = rest.partition(";")
            body += part + ("" if semicolon else "\n")
            if semicolon:
                yield _Statement(begun, head, body)
                begun = 0
    if begun:
        raise _fault(begun, "this definition has no semicolon")


def _definition(statement: _Statement) -> tuple[str, PKey, list[str]]:
    first, *flags = (part.strip(_BLANK) for part in statement.head.split(","))
    found = _DEFINITION.fullmatch(first)
    if found is None:
        raise _fault(
            statement.line, "a definition begins with a name and a key of four digits: tenant0010=0x0010"
        )
    return found[1], PKey(int(found[2], 16)), flags


def _specified(statement: _Statement) -> list[tuple[str, str]]:
    """Members in the order of the text, none of them twice."""
    found: list[tuple[str, str]] = []
    for part in statement.body.split(","):
        match = _MEMBER.fullmatch(part.strip(_BLANK + "\n"))
        if match is None:
            raise _fault(statement.line, "a member is ALL, SELF or 0x and 16 digits, with =full or =limited")
        found.append((match[1], match[2]))
    if len({who for who, _ in found}) < len(found):
        raise _fault(statement.line, "a port is named twice, and OpenSM would believe the last mention")
    return found


def _default(statement: _Statement, members: list[tuple[str, str]]) -> tuple[Guid, ...]:
    # ALL first: what comes after it may raise a port, and nothing may lower one again.
    if members[:2] != [_EVERYBODY, _SELF] or any(how != "full" for _, how in members[2:]):
        raise _fault(statement.line, "the default partition is ALL=limited, SELF=full, then full managers")
    return tuple(sorted(_guid(statement, who) for who, _ in members[2:]))


def _tenant(statement: _Statement, pkey: PKey, members: list[tuple[str, str]]) -> Partition:
    by = {
        how: tuple(sorted(_guid(statement, w) for w, h in members if h == how)) for how in ("full", "limited")
    }
    return Partition(pkey, by["full"], by["limited"])


def _guid(statement: _Statement, text: str) -> Guid:
    try:
        return parse_guid(text)
    except ValueError as error:
        raise _fault(statement.line, f"{text}: {error}") from None

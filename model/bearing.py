"""Bearing: what hosts and fabrics say that they bear of gangs.

Place: hosts' words are made by agents, a fabric's by its driver's process; both are read from the reports by
whoever moves gangs on, and by the audit. Must not hold what should be there. Text is parsed here too, because
a host may be compromised: what does not fit is a ValueError, and what is too long is cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from model.errors import Fault
from model.fabric import Guid, format_guid, parse_guid
from model.foreign import items, mapping, number, text
from model.gang import GangState

MOST_PARTS: Final = 1024
"""Gangs on one host."""
MOST_FAULTS: Final = 16
"""Of one gang on one host."""
MOST_PORTS: Final = 65_536
"""Of one fabric."""
MOST_TEXT: Final = 400
_MOST_KEYS: Final = 128
_MOST_HOSTS: Final = 64


class Reached(Enum):
    """How far a host's devices are for one gang. NOTHING: not begun, or not all of it. SET: every device is
    as wanted, and was read back; links are down. UP: links are raised too. PARKED: nothing of the gang is
    left on this host.
    """

    NOTHING = "nothing"
    SET = "set"
    UP = "up"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class HostPart:
    """Of the gang of that generation. `state`, `begun`: of the gang's row that the host acted upon, so that
    who reads knows whether it is an answer. `faults`: why it got no further.
    """

    generation: int
    state: GangState
    begun: GangState
    reached: Reached
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class HostWord:
    """Everything that a host says, by generation."""

    parts: tuple[HostPart, ...] = ()

    def part(self, generation: int) -> HostPart | None:
        """Of one gang; None if it says nothing of it."""
        return next((part for part in self.parts if part.generation == generation), None)


@dataclass(frozen=True, slots=True)
class Wait:
    """What a gang waits for: a sentence, and what it names. `hosts`, `ports`: the first of them."""

    generation: int
    why: str
    hosts: tuple[str, ...] = ()
    ports: tuple[Guid, ...] = ()


@dataclass(frozen=True, slots=True)
class FabricWord:
    """Of one fabric. `driver`: `opensm`, `ufm`, `none`. `owner`: which process says it. `alarms`: by rule.

    `tables`: P_Key tables (16-bit entries) of all ports that gangs have or had, None = it did not answer.
    `read`: when that reading began (Unix ms), 0 = not told: the word is said again and again between two.
    """

    fabric: str
    driver: str
    owner: str
    alarms: tuple[Fault, ...] = ()
    waits: tuple[Wait, ...] = ()
    tables: Mapping[Guid, tuple[int, ...] | None] = field(default_factory=dict)
    read: int = 0


def format_host(word: HostWord) -> str:
    """As JSON."""
    return _dump({"parts": [_part(part) for part in word.parts[:MOST_PARTS]]})


def parse_host(text: str) -> HostWord:
    """Inverse of `format_host`; ValueError for what does not fit. Unknown keys are ignored."""
    parts = (_parse_part(each) for each in items(_load(text), "parts", MOST_PARTS))
    return HostWord(tuple(sorted(parts, key=lambda part: part.generation)))


def format_fabric(word: FabricWord) -> str:
    """As JSON."""
    tables = sorted(word.tables.items())[:MOST_PORTS]
    return _dump(
        {
            "fabric": word.fabric,
            "driver": word.driver,
            "owner": word.owner,
            "alarms": [_fault(fault) for fault in word.alarms[:MOST_FAULTS]],
            "waits": [_wait(wait) for wait in word.waits[:MOST_PARTS]],
            "read": word.read,
            # Entries in hex, side by side: a fabric may have thousands of ports.
            "tables": {
                format_guid(guid): None if table is None else " ".join(f"{entry:x}" for entry in table)
                for guid, table in tables
            },
        }
    )


def parse_fabric(text: str) -> FabricWord:
    """Inverse of `format_fabric`; ValueError for what does not fit."""
    found = _load(text)
    return replace(_summary(found), tables=_tables(found))


def parse_summary(text: str) -> FabricWord:
    """The same without its tables, of which there may be thousands."""
    return _summary(_load(text))


def _tables(found: Mapping[str, Any]) -> dict[Guid, tuple[int, ...] | None]:
    tables = found.get("tables", {})
    if not isinstance(tables, dict) or len(tables) > MOST_PORTS:
        raise ValueError("tables are no JSON object, or too many")
    return {parse_guid(guid): _table(entries) for guid, entries in tables.items()}


def _summary(found: Mapping[str, Any]) -> FabricWord:
    return FabricWord(
        fabric=_text(found, "fabric"),
        driver=_text(found, "driver"),
        owner=_text(found, "owner"),
        alarms=tuple(_parse_fault(each) for each in items(found, "alarms", MOST_FAULTS)),
        waits=tuple(_parse_wait(each) for each in items(found, "waits", MOST_PARTS)),
        read=_number(found, "read") if "read" in found else 0,
    )


def _part(part: HostPart) -> dict[str, Any]:
    said: dict[str, Any] = {
        "generation": part.generation,
        "state": part.state.value,
        "begun": part.begun.value,
        "reached": part.reached.value,
    }
    return said | ({"faults": [_fault(f) for f in part.faults[:MOST_FAULTS]]} if part.faults else {})


def _parse_part(each: Mapping[str, Any]) -> HostPart:
    return HostPart(
        generation=_number(each, "generation"),
        state=GangState(_text(each, "state")),
        begun=GangState(_text(each, "begun")),
        reached=Reached(_text(each, "reached")),
        faults=tuple(_parse_fault(fault) for fault in items(each, "faults", MOST_FAULTS)),
    )


def _wait(wait: Wait) -> dict[str, Any]:
    said: dict[str, Any] = {"generation": wait.generation, "why": wait.why}
    if wait.hosts:
        said["hosts"] = list(wait.hosts[:_MOST_HOSTS])
    if wait.ports:
        said["ports"] = [format_guid(guid) for guid in wait.ports[:_MOST_HOSTS]]
    return said


def _parse_wait(each: Mapping[str, Any]) -> Wait:
    return Wait(
        _number(each, "generation"),
        _text(each, "why"),
        tuple(_texts(each, "hosts")),
        tuple(parse_guid(guid) for guid in _texts(each, "ports")),
    )


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "object": fault.object,
        "rule": fault.rule,
        "message": fault.message,
        "remedy": fault.remedy,
    }


def _parse_fault(each: Mapping[str, Any]) -> Fault:
    object_, rule, message, remedy = (_text(each, key) for key in ("object", "rule", "message", "remedy"))
    return Fault(object_, rule, message, remedy)


def _table(entries: object) -> tuple[int, ...] | None:
    if entries is None:
        return None
    if not isinstance(entries, str):
        raise ValueError("a table of partition keys is no text")
    found = tuple(int(entry, 16) for entry in entries.split()[:_MOST_KEYS])
    if not all(0 <= entry < 1 << 16 for entry in found):
        raise ValueError("an entry of a table of partition keys has 16 bits")
    return found


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _load(text: str) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(text))
    except RecursionError as error:
        raise ValueError("a report is nested too deeply") from error


def _texts(found: Mapping[str, Any], key: str) -> list[str]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key} is no list of texts")
    return [item[:MOST_TEXT] for item in value[:_MOST_HOSTS]]


def _text(found: Mapping[str, Any], key: str) -> str:
    return text(found, key, MOST_TEXT)


def _number(found: Mapping[str, Any], key: str) -> int:
    return number(found.get(key), key, 53)

"""Alarms: what a driver's verdict means for the person who reads it.

Place: pure; between a round's verdict and the word of the fabric's process. Must not hide one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipam.fabric.course import Course
from ipam.fabric.opensm import Alarm, Verdict
from model.errors import Fault
from model.fabric import format_guid

_TOLD: Final = 4
_WORDS: Final[Mapping[Alarm, tuple[str, str]]] = MappingProxyType(
    {
        Alarm.FILE: (
            "the partitions were changed by somebody else",
            "They were written again: find out who writes them.",
        ),
        Alarm.PORTS: (
            "tables of ports were other than they were seen last",
            "They were mended: find out who writes them.",
        ),
        Alarm.LEFT: (
            "ports are other than wanted, and nothing mended them",
            "Look at these ports, and at the log of the subnet manager.",
        ),
        Alarm.SILENT: (
            "the subnet manager takes no orders",
            "Start it, or correct the flags by which it is reached.",
        ),
        Alarm.MUTE: (
            "nobody says who manages the fabric",
            "Look whether this host's port is up, and the subnet manager runs.",
        ),
        Alarm.STRANGER: (
            "a subnet manager that nobody allowed is there",
            "Find it and stop it, or name it with --manager.",
        ),
        Alarm.DEPOSED: ("the master is not ours", "Find the other one and stop it."),
    }
)


def faults(course: Course, verdict: Verdict, fabric: str) -> tuple[Fault, ...]:
    """One for each alarm, and one for each reason why a port is in no partition; in a fixed order."""
    name = f"Fabric {fabric}"
    found = [
        Fault(name, f"fabric-{alarm.value}", f"{_WORDS[alarm][0]}{_which(alarm, verdict)}", _WORDS[alarm][1])
        for alarm in Alarm
        if alarm in verdict.alarms
    ]
    found.extend(verdict.said)
    for why in dict.fromkeys(each.why for each in course.out):
        those = [each for each in course.out if each.why is why]
        message = f"ports in no partition, though gangs have them ({why.value}): "
        message += ", ".join(format_guid(each.guid) for each in those[:_TOLD])
        owners = sorted({"/".join(gang) for each in those for gang in each.gangs})
        message += f" of {', '.join(owners[:_TOLD])}"
        found.append(Fault(name, "fabric-left-out", message, "Release one of these gangs."))
    return tuple(found)


def _which(alarm: Alarm, verdict: Verdict) -> str:
    match alarm:
        case Alarm.PORTS:
            names = [f"{format_guid(d.guid)} ({d.what.value})" for d in verdict.altered]
        case Alarm.LEFT:
            names = [f"{format_guid(d.guid)} ({d.what.value})" for d in verdict.left]
        case Alarm.STRANGER:
            names = [f"{format_guid(s.guid)} ({s.standing.name.lower()})" for s in verdict.managers]
        case _:
            return ""
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f": {', '.join(names[:_TOLD])}{more}" if names else ""

"""What people and schedulers hear of a gang's life: how it stands, what it waits for, why it failed.

Place: beside `controller.api.gangs`; what fabrics' processes and hosts say comes from the reports, and is
text of others. Must not say that something goes on if nobody says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.store.records import Contents
from controller.store.words import Word
from model.bearing import FabricWord, Reached, Wait, parse_fabric, parse_host
from model.errors import Conflict, Fault, Invalid
from model.fabric import format_guid
from model.gang import Gang, GangState

QUIET_MS: Final = 30_000
"""A fabric's process speaks every few seconds; one whose word is older is not there."""
ALIVE_MS: Final = 15_000
"""A host whose word is newer is there, and gives back itself what it has."""


def said(words: Iterable[Word], now: int) -> dict[str, FabricWord | None]:
    """By fabric, what its process says; None = it says nothing any more, or nothing that can be read."""
    found: dict[str, FabricWord | None] = {}
    for word in words:
        try:
            found[word.name] = None if now - word.stamp > QUIET_MS else parse_fabric(word.text)
        except (ValueError, KeyError, TypeError):
            found[word.name] = None
    return found


def status(gang: Gang, said_of: Mapping[str, FabricWord | None]) -> dict[str, Any]:
    """What is added to the status of a gang that is not gone."""
    found: dict[str, Any] = {"why": gang.why} if gang.why else {}
    if gang.since:
        found["since"] = gang.since
    fabric = gang.request.fabric
    word = said_of.get(fabric)
    if word is None:
        wait: Wait | None = Wait(gang.generation, f"no process speaks for fabric {fabric}")
    else:
        wait = next((each for each in word.waits if each.generation == gang.generation), None)
        if wait is None and word.alarms and gang.progress.state is not GangState.ACTIVE:
            first = word.alarms[0]
            wait = Wait(gang.generation, f"{first.object}: {first.message}")
    return found | ({"waitsFor": _wait(wait)} if wait is not None else {})


def alarms(contents: Contents, said_of: Mapping[str, FabricWord | None]) -> list[dict[str, str]]:
    """For `ringfence status`: of fabrics whose gangs nobody looks after, what their processes say, and gangs
    that failed.
    """
    found = []
    count = Counter(gang.request.fabric for gang in contents.ledger.gangs.values())
    for fabric in sorted(contents.fabrics):
        word = said_of.get(fabric)
        if word is not None:
            found += [_alarm(each.object, each.message, each.remedy) for each in word.alarms]
        elif count[fabric]:
            message = f"no process speaks for it; {count[fabric]} gangs are there"
            found.append(_alarm(f"Fabric {fabric}", message, "Start ringfenced fabric for it."))
    for (tenant, name), gang in sorted(contents.ledger.gangs.items()):
        if gang.progress.state is GangState.FAILED:
            advice = f"See what it still waits for: ringfence gang get {name} --tenant {tenant}"
            found.append(_alarm(f"Gang {tenant}/{name}", f"failed: {gang.why or 'nobody said why'}", advice))
    return found


def _alarm(subject: str, message: str, remedy: str) -> dict[str, str]:
    return {"object": subject, "message": message, "remedy": remedy}


def departed(contents: Contents, tenant: str, name: str) -> tuple[Gang, int] | None:
    """The last gang of that name whose things cool down, and until when (Unix ms)."""
    found = [
        (gang, until)
        for gang, until in contents.ledger.cooling.values()
        if (gang.request.tenant, gang.request.name) == (tenant, name)
    ]
    return max(found, key=lambda each: each[0].generation, default=None)


def farewell(gang: Gang, until: int) -> dict[str, Any]:
    """What is said of one that is gone, in place of `status`."""
    found: dict[str, Any] = {"state": GangState.RELEASED.value, "coolsDownUntil": until}
    return found | ({"why": gang.why} if gang.why else {})


def check_vouched(gang: Gang, nodes: Iterable[str], words: Iterable[Word], now: int) -> None:
    """Invalid for a node that the gang is not on; Conflict for one whose host says that it is alive."""
    title = f"Gang {gang.request.tenant}/{gang.request.name}"
    hosts = {berth.node: berth.host for berth in gang.berths}
    heard = {word.name: word for word in words}
    for node in nodes:
        if node not in hosts:
            known = ", ".join(sorted(hosts)[:8])
            message = f"it has nothing on node {node}"
            raise Invalid(Fault(title, "node-not-of-gang", message, f"It is on {known}.", "without"))
        word = heard.get(hosts[node])
        if word is not None and now - word.stamp < ALIVE_MS and not _parked(word, gang.generation):
            message = f"host {hosts[node]} of node {node} speaks, so that it gives back itself what it has"
            advice = "Vouch for a node only when nothing runs on it any more; its agent is to be stopped."
            raise Conflict(Fault(title, "node-alive", message, advice, "without"))


def _parked(word: Word, generation: int) -> bool:
    try:
        part = parse_host(word.text).part(generation)
    except (ValueError, KeyError, TypeError):
        return False
    return part is not None and part.reached is Reached.PARKED


def _wait(wait: Wait) -> dict[str, Any]:
    told: dict[str, Any] = {"why": wait.why}
    if wait.hosts:
        told["hosts"] = list(wait.hosts)
    if wait.ports:
        told["ports"] = [format_guid(guid) for guid in wait.ports]
    return told

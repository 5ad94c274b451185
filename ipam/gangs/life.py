"""Life: what is next for a gang, by what the store, its hosts and its fabric say.

Place: pure; called for each gang in each round of `ringfenced fabric`, which writes what is decided here.
Walks `model.gang.TABLE` and knows no state by itself. Must not take for done what nobody has read back, and
must not take an old word of a host for one that it still says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ipam.fabric.course import Account, Stand
from ipam.fabric.partitions import ports
from model.bearing import HostPart, Reached, Wait
from model.gang import (
    IN_STORE,
    Berth,
    Effect,
    Event,
    Gang,
    GangState,
    Progress,
    begin,
    due,
    finish,
    resume,
)
from model.ids import HostName

_TOLD: Final = 3
"""Hosts that a sentence names."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a host says of one gang. `part` None: nothing of it. `fresh`: the host goes on saying it."""

    part: HostPart | None
    fresh: bool


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be written of the gang; `why`: the reason, if it failed. RELEASED: it departs."""

    progress: Progress
    why: str = ""


Hosts = Mapping[HostName, Heard]
_NOBODY: Final = Heard(None, fresh=False)
_REACHED: Final[Mapping[Effect, tuple[Reached, str]]] = MappingProxyType(
    {
        Effect.SET_DEVICES: (Reached.SET, "set their devices"),
        Effect.READ_BACK: (Reached.SET, "read their devices back"),
        Effect.RAISE_LINKS: (Reached.UP, "raised their links"),
        Effect.LOWER_LINKS: (Reached.PARKED, "parked their devices"),
        Effect.RESET_DEVICES: (Reached.PARKED, "parked their devices"),
    }
)
"""What every host of the gang has to say before an effect is done."""
_STANDS: Final[Mapping[Effect, tuple[Stand, str]]] = MappingProxyType(
    {
        Effect.JOIN_PARTITIONS: (Stand.JOINED, "joined its partition"),
        Effect.READ_BACK: (Stand.JOINED, "joined its partition"),
        Effect.LEAVE_PARTITIONS: (Stand.GONE, "left its partition"),
        Effect.SEE_GONE: (Stand.GONE, "left its partition"),
    }
)
"""What has to be true of all its ports."""


def step(gang: Gang, account: Account | None, hosts: Hosts, now: int, patience: float) -> Move | Wait | None:
    """What is to be written, or what the gang waits for; None if it is as it is to be.

    `account`: of its ports, read after the store said what `gang` is; None = nobody read them. `hosts`: what
    those of its nodes say. `now`: Unix ms. `patience`: seconds since `gang.since` in which what was begun has
    to be done, else it fails; undoing has no end.
    """
    event = resume(gang.progress)
    if event is None:
        active = gang.progress.state is GangState.ACTIVE
        return _lack(gang, (Effect.RAISE_LINKS, Effect.READ_BACK), account, hosts) if active else None
    started = begin(gang.progress, event)
    if started != gang.progress:
        return Move(started)
    wait = _lack(gang, due(gang.progress, event), account, hosts)
    if wait is None:
        return Move(_onward(finish(gang.progress, event)))
    if event is not Event.CLEAR and now - gang.since > patience * 1000:
        wanted = finish(gang.progress, event).state.value
        why = f"not {wanted} within {patience:g} s: {wait.why}"
        return Move(finish(gang.progress, Event.FAIL), why)
    return wait


def _onward(after: Progress) -> Progress:
    """What is next is begun with the same write."""
    following = resume(after)
    return after if following is None else begin(after, following)


def _lack(gang: Gang, effects: Iterable[Effect], account: Account | None, hosts: Hosts) -> Wait | None:
    """The first of the effects that is not done, and why; None = all are."""
    for effect in effects:
        if effect in IN_STORE:
            continue
        wait = _of_hosts(gang, effect, hosts) or _of_ports(gang, effect, account)
        if wait is not None:
            return wait
    return None


def _of_hosts(gang: Gang, effect: Effect, hosts: Hosts) -> Wait | None:
    if effect not in _REACHED:
        return None
    reached, done = _REACHED[effect]
    if gang.progress.state is GangState.ACTIVE:
        reached = Reached.UP
    undoing = reached is Reached.PARKED
    short = [
        berth
        for berth in gang.berths
        if not (undoing and berth.node in gang.vouched)
        and not _says(gang, hosts.get(berth.host, _NOBODY), reached, undoing=undoing)
    ]
    if not short:
        return None
    names = tuple(dict.fromkeys(str(berth.host) for berth in short))
    told = "; ".join(_complaint(gang, berth, hosts) for berth in short[:_TOLD])
    more = f"; and {len(short) - _TOLD} more" if len(short) > _TOLD else ""
    return Wait(
        gang.generation,
        f"{len(short)} of {len(gang.berths)} hosts have not {done}: {told}{more}",
        names,
    )


def _says(gang: Gang, heard: Heard, reached: Reached, *, undoing: bool) -> bool:
    """Whether it is an answer to what the store says now. That nothing is left stays true when the host is
    silent: nothing but another state raises it again.
    """
    part = heard.part
    return part is not None and _answers(gang, part) and part.reached is reached and (heard.fresh or undoing)


def _answers(gang: Gang, part: HostPart) -> bool:
    if gang.progress.state is GangState.ACTIVE and part.begun is GangState.ACTIVE:
        # The same is asked of a host before and after this state was written.
        return part.generation == gang.generation
    said = (part.generation, part.state, part.begun)
    return said == (gang.generation, gang.progress.state, gang.progress.begun)


def _complaint(gang: Gang, berth: Berth, hosts: Hosts) -> str:
    heard = hosts.get(berth.host, _NOBODY)
    if not heard.fresh:
        return f"{berth.host} is silent"
    if heard.part is None or not _answers(gang, heard.part):
        return f"{berth.host} has not answered yet"
    if heard.part.faults:
        fault = heard.part.faults[0]
        return f"{berth.host}: {fault.object}: {fault.message} ({fault.rule})"
    return f"{berth.host} is at it ({heard.part.reached.value})"


def _of_ports(gang: Gang, effect: Effect, account: Account | None) -> Wait | None:
    if effect not in _STANDS or not ports(gang):
        return None
    stand, done = _STANDS[effect]
    if account is None:
        return Wait(gang.generation, "nobody has read the tables of its ports: see the alarms of its fabric")
    if account.stand is stand:
        return None
    if not account.by:
        return Wait(gang.generation, "what its ports say can't be trusted: see the alarms of its fabric")
    count = f"{len(account.by)} of {len(ports(gang))} ports have not {done}, or do not answer"
    return Wait(gang.generation, count, ports=account.by)


def answers(
    found: Mapping[HostName, tuple[Mapping[int, HostPart], bool]], gang: Gang
) -> dict[HostName, Heard]:
    """Of the hosts of one gang. `found`: what each host says, by generation, and whether it goes on."""
    hosts: dict[HostName, Heard] = {}
    for berth in gang.berths:
        parts, fresh = found.get(berth.host, ({}, False))
        hosts[berth.host] = Heard(parts.get(gang.generation), fresh)
    return hosts

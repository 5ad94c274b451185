"""Expanders: the same facts, told in another way, or interrupted; what comes of them must be the same.

Place: multiplied with the states. Must not change what is finally so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from controller.agent import commands
from controller.agent.core import Result, Synced
from tests.scenarios import strangers
from tests.scenarios.facts import Delivery, Fact, Heard, Row, Step, Wire
from tests.scenarios.golden import differences, seen
from tests.scenarios.house import House
from tests.scenarios.state import Memory, Phase, State

Expander = Callable[[House, State, Path], None]
Event = Callable[[], None]


def plain(house: House, state: State, folder: Path) -> None:
    """A step for each phase."""
    for phase in state.phases:
        house.run(_whole(phase))


def reverse(house: House, state: State, folder: Path) -> None:
    """Items in reverse order: routes before interfaces before the store, the last first."""
    for phase in state.phases:
        house.run(Step(tuple(reversed(phase.facts)), phase.delivery))


def duplicate(house: House, state: State, folder: Path) -> None:
    """Each step twice: the second time nothing is news, so nothing is commanded."""
    for phase in state.phases:
        house.run(_whole(phase))
        if not phase.momentary():
            _silently(house, lambda p=phase: house.run(_again(house, p)))


def split(house: House, state: State, folder: Path) -> None:
    """A step for each fact."""
    for phase in state.phases:
        for step in _single(phase):
            house.run(step)


def split_reversed(house: House, state: State, folder: Path) -> None:
    """A step for each fact, the last first."""
    for phase in state.phases:
        for step in reversed(list(_single(phase))):
            house.run(step)


def squash(house: House, state: State, folder: Path) -> None:
    """All phases as one step, the last word on each thing; where the past matters, phase by phase."""
    if state.memory is Memory.PATH:
        for phase in state.phases:
            twice = phase.facts if phase.momentary() else phase.facts * 2
            house.run(Step(twice, phase.delivery))
        return
    latest: dict[object, Fact] = {}
    for fact in (f for phase in state.phases for f in phase.facts):
        latest[_subject(fact)] = fact
    house.run(Step(tuple(latest.values())))


def detour(house: House, state: State, folder: Path) -> None:
    """Strangers come (a tenant with a port here, routes, a class, a host) and go again, after each phase."""
    for phase in state.phases:
        house.run(_whole(phase))
        for step in (strangers.COME, strangers.GO):
            house.run(step)


def through_bare(house: House, state: State, folder: Path) -> None:
    """All goes, but the cluster and this host, and comes back; where the past matters, only a stranger."""
    if state.memory is Memory.PATH:
        return detour(house, state, folder)
    plain(house, state, folder)
    rows, wires, rib = dict(house.rows), dict(house.wires), dict(house.rib)
    gone = [Row(*at, None) for at in rows if at not in strangers.STAY]
    house.run(Step((*gone, *(Wire(uid, None) for uid in wires), *(Heard(*at, None) for at in rib))))
    assert seen(house).learned == () and seen(house).announced == ()
    back = [Row(*at, value) for at, value in rows.items()]
    lines = [Wire(uid, one.ofport) for uid, one in wires.items()]
    # routes of networks that nobody knows yet are not kept: the core must ask for them again
    house.run(Step((*(Heard(*at, route) for at, route in rib.items()), *lines, *back)))
    return None


def reconnect(house: House, state: State, folder: Path) -> None:
    """Store, reflectors and switch break off and come back, after each phase: no flow, no route moves."""
    for phase in state.phases:
        house.run(_whole(phase))
        _silently(house, house.reconnect_store)
        house.reconnect_switch()
        if state.memory is Memory.NONE:
            house.reconnect_peers()
    _unmoved(house, house.reconnect_store)
    assert house.mended == []


def restart(house: House, state: State, folder: Path) -> None:
    """A new process, switch first: it takes over what it finds, and nothing that carries traffic moves."""
    plain(house, state, folder)
    house.settle()
    _unmoved(house, lambda: house.restart(folder / "snapshot.json"))
    for event in (house.inventory, house.session, house.reconnect_store, house.peers):
        _unmoved(house, event)
    assert house.mended == []


def restart_backwards(house: House, state: State, folder: Path) -> None:
    """The same, but everybody else speaks before the switch."""
    plain(house, state, folder)
    house.settle()
    _unmoved(house, lambda: house.restart(folder / "snapshot.json"))
    for event in (house.peers, house.reconnect_store, house.session, house.inventory):
        _unmoved(house, event)
    assert house.mended == []


def forgotten(house: House, state: State, folder: Path) -> None:
    """A new process without a snapshot finds a switch full of flows: it keeps them, counters and all, and
    sweeps nothing before it knows as much again. Where the past matters, the snapshot is there."""
    if state.memory is Memory.PATH:
        return restart(house, state, folder)
    plain(house, state, folder)
    house.settle()
    flows, routes = dict(house.switch.flows), dict(house.announced)
    house.forget()
    no_store: tuple[Event, ...] = (house.session, house.inventory, lambda: house.tick(Synced.YES))
    no_routes: tuple[Event, ...] = (house.reconnect_store, lambda: house.tick(Synced.NO))
    for event in (*no_store, *no_routes, house.peers, house.settle):
        event()
        # copies to VTEPs of which it has not heard yet may be missing in a flow; no flow may
        assert house.switch.flows.keys() == flows.keys()
        assert house.announced == routes
    assert house.switch.flows == flows
    assert house.mended == []
    return None


def orphans(house: House, state: State, folder: Path) -> None:
    """Strangers leave while no agent runs: their flows stand until all sides are in sync, and then go."""
    plain(house, state, folder)
    house.run(strangers.COME)
    house.settle()
    house.restart(folder / "snapshot.json") if state.memory is Memory.PATH else house.forget()
    house.forget_all_of(strangers.GO)
    for event in (house.session, house.inventory, house.reconnect_store, house.peers):
        event()


def slow_store(house: House, state: State, folder: Path) -> None:
    """The store answers claims late, after it has said everything again: nothing is asked twice."""
    for phase in state.phases:
        house.slow = "a leader is being elected"
        house.run(_whole(phase))
        house.reconnect_store()
        house.inventory()
        house.answer()
        house.slow = "again"
        for _ in range(2):  # a refused claim is asked again, but once
            house.tick(Synced.NO)
        house.answer()


def weary(house: House, state: State, folder: Path) -> None:
    """The data path has just been stilled: what would still it again waits, whatever comes meanwhile, and is
    taken in at once; where the past matters, before the next phase."""
    for phase in state.phases:
        for step in _single(phase):
            house.weary = "it was stilled a moment ago"
            house.run(step)
        if state.memory is Memory.PATH:
            house.rest()
    house.rest()


def exhausted(house: House, state: State, folder: Path) -> None:
    """As `weary`, but whatever changes a flow would still the data path: intent and routes wait alike."""
    with mock.patch.object(Result, "stills", _changes_flows):
        weary(house, state, folder)


def _changes_flows(result: Result) -> bool:
    return any(isinstance(command, commands.Program | commands.Shift) for command in result.commands)


def reboot(house: House, state: State, folder: Path) -> None:
    """The host went down; while store and reflectors are away it comes up as it was; then they come."""
    plain(house, state, folder)
    house.settle()
    before = dict(house.switch.flows), seen(house)
    house.reboot(folder / "snapshot.json")
    house.inventory()
    house.session()
    came = seen(house)
    assert house.switch.flows == before[0]
    assert differences(before[1], replace(came, refused=before[1].refused, report=before[1].report)) == []
    house.mended.clear()
    house.reconnect_store()
    house.peers()
    assert house.mended == []


EXPANDERS: tuple[Expander, ...] = (
    plain,
    reverse,
    duplicate,
    split,
    split_reversed,
    squash,
    detour,
    through_bare,
    reconnect,
    restart,
    restart_backwards,
    forgotten,
    orphans,
    slow_store,
    weary,
    exhausted,
    reboot,
)


def _whole(phase: Phase) -> Step:
    return Step(phase.facts, phase.delivery)


def _again(house: House, phase: Phase) -> Step:
    """The same once more; a row that an answer to us has changed since comes as it is now."""
    rows = house.rows
    facts = (replace(f, value=rows.get((f.part, f.key))) if isinstance(f, Row) else f for f in phase.facts)
    return Step(tuple(facts), phase.delivery)


def _single(phase: Phase) -> Iterator[Step]:
    """One fact each; what the store says as a whole stays whole."""
    if phase.delivery is Delivery.EVERYTHING:
        yield _whole(phase)
        return
    for fact in phase.facts:
        yield Step((fact,))


def _subject(fact: Fact) -> object:
    match fact:
        case Row(part, key):
            return part, key
        case Wire(uid):
            return uid
        case Heard(peer, key):
            return peer, key
    raise TypeError(f"{fact!r} has a moment")


def _silently(house: House, event: Event) -> None:
    """What is no news commands nothing."""
    mark = len(house.said)
    event()
    assert house.said[mark:] == []


def _unmoved(house: House, event: Event) -> None:
    """Whatever is commanded: the switch keeps each flow, the peers keep each route."""
    flows, routes = dict(house.switch.flows), dict(house.announced)
    event()
    assert house.switch.flows == flows
    assert house.announced == routes


def ids(expanders: Iterable[Expander]) -> list[str]:
    """Readable names."""
    return [one.__name__.replace("_", "-") for one in expanders]

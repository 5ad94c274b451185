"""Policy: what leaves and enters ports under policy is judged by rules, remembered, and counted.

Place: tables watch to left_hits, door to entered_hits, the chains, and settle. A rule has flows of its own,
its peers have theirs, and so have the ports that it judges, each by itself and those that the same rules
judge as a group, so that each change costs what it changes (docs/decisions/0058). Must not decide what rules
mean: decision 0056 does.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.flow import Flow
from model.policy import Action, Direction, State
from pipelines import cookies
from pipelines.policy.clauses import Stage, mark, stage
from pipelines.shapes import policy as s
from pipelines.views import DrainingView, GroupView, HostView, JudgedView, MemberView, RuleView


def host(_: HostView) -> tuple[Flow, ...]:
    """What never leaves the link; the turns of datagrams in parts."""
    links = (s.WATCH_LINK, s.DOOR_LINK)
    parts = (*s.LEAVING_LATER, *s.ENTERING_LATER, *s.SETTLE_FIRST_LEFT, *s.SETTLE_FIRST_ENTERED)
    return (
        *(Flow(shape, cookies.host(), (kind,)) for shape in links for kind in s.NEVER_JUDGED),
        *(Flow(shape, cookies.host()) for shape in parts),
    )


def rule(view: RuleView) -> tuple[Flow, ...]:
    """Its prefixes, services and ends, and the counters of what it lets through on either side."""
    made = [flow for each in _stages(view) for flow in each.rest()]
    if view.here.real and view.ruling.entry.action is Action.ALLOW:
        number = mark(view.ruling.number, State.ENFORCE)
        made += [Flow(shape, cookies.policy(number), (number,)) for shape in (s.LEFT_TALLY, s.ENTERED_TALLY)]
    return tuple(made)


def member(view: MemberView) -> tuple[Flow, ...]:
    """Its addresses, as a clause of each rule that takes it."""
    return tuple(flow for rule, places in view.of for each in _stages(rule) for flow in each.peers(places))


def group(view: GroupView) -> tuple[Flow, ...]:
    """Its ports as subjects: a flow for each rule in each world, however many they are; what of theirs was
    judged by what holds now; and where all else is judged."""
    return (*_subjects(view), *_sides(view))


def judged(view: JudgedView) -> tuple[Flow, ...]:
    """The ways of a port to its group and from its judges, and its hits."""
    if not view.zone:
        return tuple(_closed(view))
    return (*_watched(view), *_settled(view), *_hits(view))


def draining(view: DrainingView) -> tuple[Flow, ...]:
    """What is still looked up of a port that nothing judges any more goes on as all else of it."""
    return tuple(Flow(shape, cookies.port(view.key), (view.key, view.zone)) for shape in s.DRAINING)


def _stages(view: RuleView) -> Iterator[Stage]:
    """Where a rule stands: as if it were enforced, for ports of which something counts; and really."""
    ruling, here = view.ruling, view.here
    chain, level = s.CHAINS[ruling.entry.direction], ruling.entry.place.level
    given = ((State.ENFORCE, here.expected), (State.COUNT, here.counted))
    marks = {state: mark(ruling.number, state) for state, needed in given if needed}
    if marks:
        yield stage(chain, chain.foreseen[level], ruling.entry, ruling.height, marks, ruling.owner)
    if here.real:
        marks = {State.ENFORCE: mark(ruling.number, State.ENFORCE)}
        yield stage(chain, chain.real[level], ruling.entry, ruling.height, marks, ruling.owner)


def _closed(view: JudgedView) -> Iterator[Flow]:
    cookie = cookies.port(view.key)
    yield Flow(s.WATCH_CLOSED, cookie, (view.key,))
    yield Flow(s.DOOR_PLAIN, cookie, (view.ofport,))
    yield from (Flow(shape, cookie, (view.ofport,)) for shape in s.DOOR_CLOSED)


def _watched(view: JudgedView) -> Iterator[Flow]:
    cookie = cookies.port(view.key)
    for shape in s.WATCH_JUDGED:
        yield Flow(shape, cookie, (view.key, view.key, view.tenant, view.zone))
    yield Flow(s.DOOR_PLAIN, cookie, (view.ofport,))
    for shape in s.DOOR_JUDGED:
        yield Flow(shape, cookie, (view.ofport, view.key, view.tenant, view.zone))


def _sides(view: GroupView) -> Iterator[Flow]:
    cookie = cookies.group(view.name)
    for shape in (s.LEAVING_KNOWN, s.ENTERING_KNOWN, s.LEFT_PARTS_KNOWN, s.ENTERED_PARTS_KNOWN):
        yield Flow(shape, cookie, (view.name, view.epoch))
    for side in (s.LEAVING_UNKNOWN, s.ENTERING_UNKNOWN):
        for direction in Direction:
            yield Flow(side[direction][direction in view.counts], cookie, (view.name,))


def _settled(view: JudgedView) -> Iterator[Flow]:
    cookie = cookies.port(view.key)
    yield from (Flow(shape, cookie, (view.key, view.zone, view.group)) for shape in s.OWN_JUDGED)
    yield from (Flow(shape, cookie, (view.key, view.zone)) for shape in s.OWN)
    for shape in (s.LEAVING_INVALID, s.ENTERING_INVALID):
        yield Flow(shape, cookie, (view.key,))
    for shape in (*s.SETTLE_LEFT, *s.SETTLE_ENTERED):
        yield Flow(shape, cookie, (view.key, view.group, view.zone, view.epoch))
    for shape in (*s.LEFT_PARTS, *s.ENTERED_PARTS):
        yield Flow(shape, cookie, (view.key, view.zone))


def _subjects(view: GroupView) -> Iterator[Flow]:
    for ruling, state in view.rulings:
        direction, level = ruling.entry.direction, ruling.entry.place.level
        chain, marks = s.CHAINS[direction], {state: mark(ruling.number, state)}
        tables = [chain.real[level]] if state is State.ENFORCE else []
        if direction in view.counts:
            tables.append(chain.foreseen[level])
        for table in tables:
            here = stage(chain, table, ruling.entry, ruling.height, marks, ruling.owner)
            yield here.subject(view.name, state)


def _hits(view: JudgedView) -> Iterator[Flow]:
    """For each rule that counts, also one that allows: that nothing is to blame on it, is evidence too.

    Evidence is of one rule on one port, so there are as many as rules count on each of the ports."""
    for ruling in view.counting:
        number = mark(ruling.number, State.COUNT)
        for shape in (s.LEFT_HIT, s.ENTERED_HIT):
            yield Flow(shape, cookies.policy(number, view.key), (number, view.key))

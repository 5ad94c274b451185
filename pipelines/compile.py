"""Compile: a snapshot becomes a program, and a change of the snapshot a patch of the program.

Place: the door of this room; the agent calls it, the southbound sends what comes out. Pure. `recompile` must
come to the same program as `compile` of the new snapshot: a property test holds it.

Two objects may claim one flow (two MACs with one IP, learned from different hosts): the first in the order of
objects (kind, then keys) has it, the others wait and get it when the first withdraws. Within one object the
first feature wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter

from immutables import Map

from model.change import Change, Patch
from model.flow import Flow, Meter, Shape, Slot
from model.snapshot import Snapshot
from pipelines.features import Feature, features_of
from pipelines.index import Index, advance, build
from pipelines.objects import Kind, Object
from pipelines.touch import objects, touched
from pipelines.turns import arrange
from pipelines.views import PortView, View, view

Key = tuple[str | int, ...]
"""What OpenFlow holds one flow for, as `Flow.key` but cheaper: a text for the form, then the numbers."""
Group = tuple[tuple[Flow, ...], tuple[Flow, ...]]


@dataclass(frozen=True, slots=True)
class Program:
    """All flows of a host. `groups`: what each object claims; `claims`: who claims a flow,
    the winner first."""

    index: Index = field(default_factory=Index)
    groups: Map[Object, tuple[Flow, ...]] = Map()
    claims: Map[Key, tuple[Object, ...]] = Map()
    limits: Map[Object, tuple[Meter, ...]] = Map()
    """The meters of each port that has some: their ids are its own."""

    def flows(self) -> Iterator[Flow]:
        """The flows that the switch should have, in a fixed order."""
        for _, flows in self.won():
            yield from flows

    def won(self) -> Iterator[tuple[Object, tuple[Flow, ...]]]:
        """The flows that each object has won, in the same order; objects that have none are left out.

        Few flows are claimed twice, so keys are made for objects that have lost one only.
        """
        losers = {loser for held in self.claims.values() if len(held) > 1 for loser in held[1:]}
        for subject in sorted(self.groups):
            flows = tuple(self.flows_of(subject)) if subject in losers else self.groups[subject]
            if flows:
                yield subject, flows

    def meters(self) -> tuple[Meter, ...]:
        """The meters that the switch should have, by id."""
        return tuple(meter for _, meter in sorted(_measured(self).items()))

    def flows_of(self, subject: Object) -> Iterator[Flow]:
        """The flows that an object has won; none if it has none."""
        for flow in self.groups.get(subject, ()):
            if self.claims[key(flow)][0] == subject:
                yield flow


def compile(snapshot: Snapshot) -> Program:
    """The program of a snapshot from nothing."""
    index = build(snapshot)
    features = {kind: features_of(kind) for kind in Kind}
    groups: dict[Object, tuple[Flow, ...]] = {}
    claims: dict[Key, tuple[Object, ...]] = {}
    limits: Map[Object, tuple[Meter, ...]] = Map()
    for subject in sorted(objects(snapshot, index)):
        shown = view(snapshot, index, subject)
        if isinstance(shown, PortView):
            limits = _limit(limits, subject, shown)
        made = _flows(shown, features[subject.kind])
        if made:
            groups[subject] = tuple(made.values())
            alone = (subject,)
            for each in made:
                held = claims.setdefault(each, alone)
                if held is not alone:
                    claims[each] = (*held, subject)  # in order: the subjects are sorted
    return Program(index, Map(groups), Map(claims), limits)


def recompile(
    program: Program, old: Snapshot, new: Snapshot, changes: Iterable[Change]
) -> tuple[Program, Patch]:
    """The program of `new`, and what turns `program` (that of `old`) into it.

    `changes` must name every key that differs between the snapshots; naming more is harmless.
    """
    if not program.groups and old.switch is None and new.switch is not None:
        result = compile(new)  # all of it is new: a quarter of what following each change would cost
        return result, install(result)
    changed = tuple(changes)
    index = advance(program.index, old, new, changed)
    subjects = touched(old, new, program.index, index, changed)
    result, turned = _replace(program, index, new, subjects)
    return result, _with_meters(_patch(program, result, turned, subjects), program, result, subjects)


def install(program: Program) -> Patch:
    """The whole program as a patch of an empty switch."""
    return Patch(tuple((flows, ()) for _, flows in program.won()), program.meters())


def key(flow: Flow) -> Key:
    """Equal for two flows exactly if `Flow.key` is."""
    form, pick = _form(flow.shape)
    return (form, *pick(flow.values))


@lru_cache(maxsize=4096)
def _form(shape: Shape) -> tuple[str, Callable[[tuple[int, ...]], tuple[int, ...]]]:
    """The constant part of a shape's key as text, and what picks the variable part of the values. A memo."""
    text, slots = [str(shape.table)], list[int]()
    terms = sorted(((m.field.name, m.value, m.mask) for m in shape.match), key=lambda term: term[0])
    for name, value, mask in (("priority", shape.priority, None), *terms):
        text.append(name)
        for number in (value, mask):
            text.append("*" if isinstance(number, Slot) else str(number))
            if isinstance(number, Slot):
                slots.append(shape.slots.index(number))
    return " ".join(text), _picker(slots)


def _picker(slots: list[int]) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """Gives the values of these slots, as a tuple however many they are."""
    if not slots:
        return lambda _: ()
    if len(slots) == 1:
        only = slots[0]
        return lambda values: (values[only],)
    return itemgetter(*slots)


@dataclass(slots=True)
class _Turned:
    """What compiling again has changed: flows by key of each object, as they were and as they are.

    `plain`: objects that only came, or only went, and whose flows nobody else claimed or claims: almost all,
    when a peer says thousands of routes. Of the others, `disturbed` are the keys whose winner is to be found.
    """

    was: dict[Object, dict[Key, Flow]] = field(default_factory=dict)
    now: dict[Object, dict[Key, Flow]] = field(default_factory=dict)
    plain: set[Object] = field(default_factory=set)
    left: dict[Key, Object] = field(default_factory=dict)
    """Of plain ones that went: who comes for such a flow makes it a matter of comparison for both."""

    def note(self, subject: Object, was: dict[Key, Flow], now: dict[Key, Flow], *, alone: bool) -> None:
        """`alone`: nobody else had to do with any of its flows."""
        self.was[subject], self.now[subject] = was, now
        heirs = [each for each in now if each in self.left] if self.left else []
        self.plain -= {self.left[each] for each in heirs}
        if alone and not heirs and not (was and now):
            self.plain.add(subject)
            self.left.update(dict.fromkeys(was, subject))

    def disturbed(self) -> Iterator[Key]:
        """Each once, in a fixed order."""
        told: dict[Key, None] = {}
        for subject, was in self.was.items():
            if subject not in self.plain:
                told.update(dict.fromkeys(was))
                told.update(dict.fromkeys(self.now[subject]))
        return iter(told)


def _replace(
    program: Program, index: Index, snapshot: Snapshot, subjects: Iterable[Object]
) -> tuple[Program, _Turned]:
    """Compile `subjects` again and put them in place of what they were; with what that has changed."""
    features = {kind: features_of(kind) for kind in Kind}
    groups, claims = program.groups.mutate(), program.claims.mutate()
    limits = program.limits
    turned = _Turned()
    for subject in sorted(subjects):
        before = program.groups.get(subject, ())
        shown = view(snapshot, index, subject)
        now = _flows(shown, features[subject.kind])
        limits = _limit(limits, subject, shown)
        after = tuple(now.values())
        if after == before:
            continue
        if after:
            groups[subject] = after
        else:
            del groups[subject]
        was = {key(flow): flow for flow in before}
        own, contested = (subject,), False
        for each in was.keys() - now.keys():
            left = tuple(s for s in claims[each] if s != subject)
            contested = contested or program.claims[each] != own  # the others may have gone before it
            if left:
                claims[each], contested = left, True
            else:
                del claims[each]
        for each in now.keys() - was.keys():
            held = claims.get(each)
            contested = contested or held is not None
            claims[each] = own if held is None else tuple(sorted((*held, subject)))
        turned.note(subject, was, now, alone=not contested)
    return Program(index, groups.finish(), claims.finish(), limits), turned


def _limit(
    limits: Map[Object, tuple[Meter, ...]], subject: Object, shown: View | None
) -> Map[Object, tuple[Meter, ...]]:
    meters: tuple[Meter, ...] = ()
    if isinstance(shown, PortView):
        every = (shown.meter_out, shown.meter_in, shown.meter_asked, shown.meter_served)
        meters = tuple(meter for meter in every if meter is not None)
    if meters:
        return limits.set(subject, meters)
    return limits.delete(subject) if subject in limits else limits


def _flows(shown: View | None, features: tuple[Feature, ...]) -> dict[Key, Flow]:
    if shown is None:
        return {}
    made: dict[Key, Flow] = {}
    for feature in features:
        for flow in feature.flows(shown):
            made.setdefault(key(flow), flow)
    return made


def _patch(old: Program, new: Program, turned: _Turned, subjects: Iterable[Object]) -> Patch:
    """Compare winners of each key that objects may contend for, so that no group drops what another puts."""
    before, after = _Winners(old, turned.was), _Winners(new, turned.now)
    puts: dict[Object, list[Flow]] = {}
    drops: dict[Object, list[Flow]] = {}
    for subject in turned.plain:
        came, went = turned.now[subject], turned.was[subject]
        (puts if came else drops)[subject] = [*came.values(), *went.values()]
    for each in turned.disturbed():
        was, now = before.find(each), after.find(each)
        if was == now or (now is not None and now[0] in turned.plain):
            continue
        if now is not None:
            puts.setdefault(now[0], []).append(now[1])
        elif was is not None:
            drops.setdefault(was[0], []).append(was[1])
    judging = (s for s in subjects if s.kind is Kind.GROUP)
    return Patch(arrange(puts, drops, {s: (old.groups.get(s, ()), new.groups.get(s, ())) for s in judging}))


def _with_meters(patch: Patch, old: Program, new: Program, subjects: Iterable[Object]) -> Patch:
    """Meters of the objects that were compiled again, where they differ. Their ids follow the port numbers,
    so that one which goes with a port may come with another, or be another's already."""
    turned = [each for each in subjects if old.limits.get(each) != new.limits.get(each)]
    if not turned:
        return patch
    ids = {meter.id for limits in (old.limits, new.limits) for s in turned for meter in limits.get(s, ())}
    before, after = _measured(old), _measured(new)
    changed = tuple(after[n] for n in sorted(ids) if n in after and before.get(n) != after[n])
    return replace(patch, meters=changed, stale_meters=tuple(sorted(ids & before.keys() - after.keys())))


def _measured(program: Program) -> dict[int, Meter]:
    """The meters by id. Two ports have one number for a moment, when one takes the place of another: then the
    first in order has the meter, and it stays as long as either is there."""
    found: dict[int, tuple[Object, Meter]] = {}
    for subject, meters in program.limits.items():
        for meter in meters:
            held = found.get(meter.id)
            if held is None or subject < held[0]:
                found[meter.id] = (subject, meter)
    return {number: meter for number, (_, meter) in found.items()}


@dataclass(frozen=True, slots=True)
class _Winners:
    """Flows of a program by key, read object by object as they are asked for."""

    program: Program
    read: dict[Object, dict[Key, Flow]]

    def find(self, each: Key) -> tuple[Object, Flow] | None:
        claimants = self.program.claims.get(each)
        if claimants is None:
            return None
        winner = claimants[0]
        if winner not in self.read:
            self.read[winner] = {key(flow): flow for flow in self.program.groups[winner]}
        return winner, self.read[winner][each]

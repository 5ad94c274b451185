"""Sentence: what the rules that judge a group of ports mean together, the same for each of its ports.

Place: asked of `pipelines.policed`, which keeps each until something changes; read by views. Must not look at
single ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from immutables import Map

from model.policy import Change, Direction, State
from pipelines.grouped import States
from pipelines.policy.seated import Ruling, RulingKey
from pipelines.strict import forbids

Given = tuple[tuple[Ruling, State], ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """`given`: in the order in which they judge, with their states. `epoch`: of all of it that is to judge
    anew, never 0. `counting`: those that count. `counts`: in which directions. `stray`: the rule by which a
    frame for a MAC that has not its packet's destination ends, or only counts; None = nothing forbids to
    send."""

    given: Given
    counting: tuple[Ruling, ...]
    epoch: int
    counts: frozenset[Direction]
    stray: tuple[Ruling, State] | None


def sentence(states: States, rules: Map[RulingKey, Ruling], digests: Map[RulingKey, int]) -> Sentence:
    """Of a group; `digests`: of whom the rules take as peers."""
    rulings = sorted((rules[key] for key in states), key=Ruling.order)
    given = tuple((ruling, states[ruling.key]) for ruling in rulings)
    return Sentence(
        given=given,
        counting=tuple(ruling for ruling, state in given if state is State.COUNT),
        epoch=_epoch(given, digests),
        counts=counts(states, rules),
        stray=_stray(given),
    )


def counts(states: States, rules: Map[RulingKey, Ruling]) -> frozenset[Direction]:
    """The directions in which something counts."""
    return frozenset(rules[key].entry.direction for key, state in states.items() if state is State.COUNT)


def _epoch(given: Given, digests: Map[RulingKey, int]) -> int:
    """Of meanings, their order and who is meant: not of numbers and heights, which may change for nothing."""
    told = [
        (ruling.entry.identity, state.value, digests[ruling.key])
        for ruling, state in given
        if ruling.on_change is Change.JUDGE
    ]
    digest = blake2b(repr(told).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") or 1


def _stray(given: Given) -> tuple[Ruling, State] | None:
    """The last one that is enforced, or, if none is, that counts (`pipelines.policy.verdict.stray`)."""
    denies = [one for one in given if forbids(one[0])]
    real = [one for one in denies if one[1] is State.ENFORCE]
    return (real or denies or (None,))[-1]

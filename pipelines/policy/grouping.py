"""Grouping: the name of all local ports that the very same rules judge, in the same states.

Place: between rules and `pipelines.grouped`; the flows of a chain match it, so that each rule has one for a
group and none for a port. Must not know ports.

A pure function of the snapshot: no number is given out, and an agent that restarts finds the same names. Two
groups of one name would be judged by the rules of both, which would open what is closed. That 64 bits make
that unthinkable, and 32 would not: of 10,000 groups of a host two have one name with a chance of 3 in 10^12
(of 32 bits it is 1 in 100). Whoever aims at the group of another has to hit its very name, 2^64 trials; each
is a policy that the store has to write and to number, and numbers and uids are the store's, not the writer's.
Pairs, for which 2^32 would do, a tenant finds among his own groups only.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import blake2b

from model.flow import Shape
from model.policy import State
from pipelines import fields as f
from pipelines.policy.seated import RulingKey


def name(judging: Iterable[tuple[RulingKey, State]]) -> int:
    """64 bits, never 0, which no packet has that was not judged."""
    told = sorted((*key, state.value) for key, state in judging)
    return int.from_bytes(blake2b(repr(told).encode(), digest_size=8).digest(), "big") or 1


@cache
def shared(shape: Shape) -> bool:
    """Whether its flows are those of a group, not of one of its ports."""
    fields = {term.field for term in shape.match}
    return f.ALIKE.field in fields and f.SUBJECT.field not in fields

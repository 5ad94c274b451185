"""Rulebook: the rules and defaults that a host judges by, by the number that flows and labels bear.

Place: pure; read by who makes evidence of counters (`controller.agent.watching`). Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model.evidence import RuleName
from model.policy import UNREAD, Action, State
from model.snapshot import Snapshot
from pipelines.policy.regions import may_meet
from pipelines.policy.seated import Ruling, rulings


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule or a default: its name in evidence, and all that it says."""

    name: RuleName
    ruling: Ruling

    @property
    def action(self) -> Action:
        return self.ruling.entry.action


Book = Mapping[int, Ruled]


def rulebook(snapshot: Snapshot) -> Book:
    """By number. Without what stands for policies that can't be read: nobody wrote that."""
    return {
        one.number: Ruled(RuleName(one.number, one.entry.identity), one)
        for one in rulings(snapshot)
        if one.number not in UNREAD
    }


def denies(book: Book) -> Mapping[RuleName, int]:
    """Each rule with the percentage of the ports on which it denies."""
    return {
        one.name: _enforced(one.ruling) if one.action is Action.DENY else 0 for _, one in sorted(book.items())
    }


def exposed_since(names: Mapping[RuleName, int], now: Book) -> frozenset[RuleName]:
    """The same as `exposed`, for an agent that began anew and knows of what was only this much: all, if
    anything of it is no more, or does less."""
    known = denies(now)
    lost = any(name not in known or known[name] < share for name, share in names.items())
    return frozenset(known) if lost else frozenset()


def exposed(before: Book, now: Book) -> frozenset[RuleName]:
    """The rules that may drop now what they could not before, because another one that took it, or dropped
    it, is no more, or does no more. What was seen of them until then says nothing of that."""
    gone = list(_gone(before, now))
    return frozenset(
        ruled.name
        for ruled in now.values()
        if ruled.action is not Action.ALLOW
        and any(_concerns(one, ruled.ruling) and may_meet(one.entry, ruled.ruling.entry) for one in gone)
    )


def _gone(before: Book, now: Book) -> Iterator[Ruling]:
    for number, ruled in before.items():
        after = now.get(number)
        if after is None or after.name != ruled.name or _weaker(ruled.ruling, after.ruling):
            yield ruled.ruling


def _weaker(before: Ruling, now: Ruling) -> bool:
    """A deny that was enforced, and is on fewer ports."""
    return before.entry.action is Action.DENY and _enforced(now) < _enforced(before)


def _enforced(ruling: Ruling) -> int:
    return ruling.entry.share if ruling.entry.state is State.ENFORCE else 0


def _concerns(gone: Ruling, other: Ruling) -> bool:
    """Whether what is gone stood above, or was a deny: one below really dropped what the other only noted."""
    if gone.owner and other.owner and gone.owner != other.owner:
        return False
    return gone.entry.action is Action.DENY or _rank(gone) <= _rank(other)


def _rank(ruling: Ruling) -> tuple[int, int]:
    return ruling.entry.place.level, -ruling.height

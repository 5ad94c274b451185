"""Analysis: rules that can never decide anything, each with those that take everything before it.

Place: asked when a policy is applied. Exact for prefixes, protocols, ports and ICMP types; of selectors, one
rule must take all of a selection. What is named is really unreachable; must not accuse on a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from model.errors import Fault
from model.labels import NAME, covers, matching
from model.policy import Action, Direction, Policy, State
from model.wanted import Kind, Reference, title
from pipelines.policy import regions
from pipelines.policy.entries import Entry, Level, Tenants, standing
from pipelines.policy.regions import Piece, Reach, Selections, Span

EMPTY: Final = "policy-rule-empty"
UNREACHABLE: Final = "policy-rule-unreachable"
CONTRADICTED: Final = "policy-rule-contradicted"


Written = tuple[str, str]
"""A policy by its tenant, empty for the operator's, and its name."""


def analyse(
    policies: Iterable[Policy], tenants: Tenants, about: frozenset[Written] | None = None
) -> tuple[Fault, ...]:
    """A fault for each rule that can never match, in the order in which they judge.

    `about`: only of these policies' rules, and of those that could match if these policies were not there.
    """
    given = tuple(policies)
    entries = (standing(given, tenants, direction) for direction in Direction)
    return tuple(fault for each in entries for fault in _analyse(each, about))


@dataclass(frozen=True, slots=True)
class _Ready:
    """An entry, and what it matches."""

    entry: Entry
    reach: Reach


def _analyse(entries: tuple[Entry, ...], about: frozenset[Written] | None) -> Iterator[Fault]:
    named = sorted({service.protocol for entry in entries for service in entry.services})
    selections = Selections()
    ready = [_Ready(entry, regions.reach(entry, named, selections)) for entry in entries]
    subjects = _Subjects()
    news: list[_Ready] = []
    for index, one in enumerate(ready):
        asked = about is None or _written(one) in about
        if one.entry.place.number:
            if asked and (reason := _vain(one.entry)):
                yield _empty(one.entry, reason)
            elif asked or any(_before(one, news, subjects)):
                earlier = list(_before(one, ready[:index], subjects))
                old = (
                    ()
                    if asked or about is None
                    else [each for each in earlier if _written(each) not in about]
                )
                blamed = _covering(one, earlier, selections)
                if blamed and not (old and _together(one, old, selections)):
                    yield _unreachable(one.entry, blamed)
        if asked and about is not None:
            news.append(one)


def _written(one: _Ready) -> Written:
    return one.entry.place.tenant, one.entry.place.policy


class _Subjects:
    """Whose subjects cover whose: asked once for two policies, however many rules they have."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[Level, str, str], tuple[Level, str, str]], bool] = {}

    def cover(self, wide: Entry, narrow: Entry) -> bool:
        key = (_policy(wide), _policy(narrow))
        if key not in self._known:
            self._known[key] = _subject_covers(wide, narrow)
        return self._known[key]


def _policy(entry: Entry) -> tuple[Level, str, str]:
    return entry.place.level, entry.place.tenant, entry.place.policy


def _vain(entry: Entry) -> str:
    """Why it matches nothing at all, whatever stands before it; empty if it may match."""
    if not regions.possible(entry.subject):
        return "the selector of its policy contradicts itself"
    found = tuple(regions.pieces(entry.peers))
    if not found:
        return "its peers are nobody"
    named = {service.protocol for service in entry.services}
    if not any(any(regions.carried(entry.services, piece.family, named).values()) for piece in found):
        return "no connection of its services has such addresses"
    return ""


def _before(one: _Ready, earlier: Sequence[_Ready], subjects: _Subjects) -> Iterator[_Ready]:
    """Those whose match would keep this entry from deciding. Of higher tiers only what stands before any
    pass: behind one, nobody knows what is left."""
    entry, passed = one.entry, set()
    for other in earlier:
        level = other.entry.place.level
        if level != entry.place.level:
            if other.entry.action is Action.PASS:
                passed.add(level)
            if level in passed:
                continue
        stays = other.entry.enforced_everywhere() or entry.state is State.COUNT
        if not stays or not regions.may_take(other.reach, one.reach):
            continue
        if regions.serve_together(one.reach, other.reach) and subjects.cover(other.entry, entry):
            yield other


def _subject_covers(wide: Entry, narrow: Entry) -> bool:
    if wide.place.tenant not in ("", narrow.place.tenant):
        return False
    mine, other = wide.subject, narrow.subject
    if not covers(mine.ports, other.ports) or not covers(mine.networks, other.networks):
        return False
    if mine.tenants is None:
        return True
    if other.tenants is not None and covers(mine.tenants, other.tenants):
        return True
    known = [(NAME, narrow.place.tenant)] if narrow.place.tenant else []
    return covers(mine.tenants, matching(known))


def _covering(one: _Ready, earlier: Sequence[_Ready], selections: Selections) -> tuple[Entry, ...]:
    """One that takes all of it; else the fewest that do together; none if something is left for it."""
    if not _together(one, earlier, selections):
        return ()
    for other in earlier:
        if _together(one, (other,), selections):
            return (other.entry,)
    kept = list(earlier)
    for other in reversed(earlier):
        fewer = [each for each in kept if each is not other]
        if _together(one, fewer, selections):
            kept = fewer
    return tuple(each.entry for each in kept)


def _together(one: _Ready, others: Sequence[_Ready], selections: Selections) -> bool:
    """Whether every piece of what the entry matches is taken by these, the narrow ones asked first: as a
    whole or, if need be, atom by atom."""
    reaches = [other.reach for other in others]
    for piece in sorted(one.reach.pieces, key=_width):
        wanted = one.reach.carried[piece.family]
        if not _taken(piece, wanted, reaches, selections):
            atoms = regions.atoms(piece, reaches)
            if not all(_taken(atom, wanted, reaches, selections) for atom in atoms):
                return False
    return True


def _taken(
    piece: Piece, wanted: dict[int, list[Span]], reaches: Sequence[Reach], selections: Selections
) -> bool:
    takers = [reach.carried[piece.family] for reach in reaches if regions.holds(reach, piece, selections)]
    return all(
        regions.within(spans, [span for taker in takers for span in taker.get(protocol, ())])
        for protocol, spans in wanted.items()
    )


def _width(piece: Piece) -> int:
    first, last = piece.span
    return last - first


def _empty(entry: Entry, reason: str) -> Fault:
    return Fault(
        object=_object(entry),
        rule=EMPTY,
        message=f"{_said(entry)} can never match: {reason}",
        remedy="Correct it, or take it out.",
        path=_path(entry),
    )


def _unreachable(entry: Entry, blamed: Sequence[Entry]) -> Fault:
    against = [one for one in blamed if one.action is not entry.action]
    names = " and ".join(_seen_from(entry, one) for one in blamed)
    verb = "covers" if len(blamed) == 1 else "cover"
    remedy = (
        f"Move it before {_seen_from(entry, against[0])}, which says {against[0].action.value},"
        f" or take one of the two out."
        if against
        else "Take it out: it says nothing new."
    )
    return Fault(
        object=_object(entry),
        rule=CONTRADICTED if against else UNREACHABLE,
        message=f"{_said(entry)} can never match: {names} {verb} it",
        remedy=remedy,
        path=_path(entry),
    )


def _object(entry: Entry) -> str:
    tenant, policy = entry.place.tenant, entry.place.policy
    return title(Reference(Kind.SECURITY_POLICY if tenant else Kind.OPERATOR_POLICY, policy, tenant or None))


def _path(entry: Entry) -> str:
    return f"spec.rules[{entry.place.number - 1}]"


def _said(entry: Entry) -> str:
    return f"rule {entry.place.number}" + (f" ({entry.place.name})" if entry.place.name else "")


def _seen_from(entry: Entry, other: Entry) -> str:
    """How a reader of the entry's policy finds the other one."""
    here, there = entry.place, other.place
    if (here.level, here.tenant, here.policy) == (there.level, there.tenant, there.policy):
        return _said(other) if there.number else "its default"
    return str(there)

"""Analysis: rules that can never decide anything, each with those that take everything before it.

Place: asked when a policy is applied. Exact for prefixes, protocols, ports and ICMP types; of selectors, one
rule must take all of a selection. What is named is really unreachable; must not accuse on a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from model.errors import Fault
from model.labels import NAME, covers, matching
from model.policy import Action, Direction, Policy, State
from pipelines.policy import regions
from pipelines.policy.entries import Entry, Tenants, standing

EMPTY: Final = "policy-rule-empty"
UNREACHABLE: Final = "policy-rule-unreachable"
CONTRADICTED: Final = "policy-rule-contradicted"


def analyse(policies: Iterable[Policy], tenants: Tenants) -> tuple[Fault, ...]:
    """A fault for each rule that can never match, in the order in which they judge."""
    given = tuple(policies)
    return tuple(fault for direction in Direction for fault in _analyse(standing(given, tenants, direction)))


def _analyse(entries: tuple[Entry, ...]) -> Iterator[Fault]:
    for index, entry in enumerate(entries):
        if not entry.place.number:
            continue
        if reason := _vain(entry):
            yield _empty(entry, reason)
        elif blamed := _covering(entry, list(_before(entry, entries[:index]))):
            yield _unreachable(entry, blamed)


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


def _before(entry: Entry, earlier: Sequence[Entry]) -> Iterator[Entry]:
    """Those whose match would keep this entry from deciding. Of higher tiers only what stands before any
    pass: behind one, nobody knows what is left."""
    passed = set()
    for one in earlier:
        if one.place.level != entry.place.level:
            if one.action is Action.PASS:
                passed.add(one.place.level)
            if one.place.level in passed:
                continue
        stays = one.enforced_everywhere() or entry.state is State.COUNT
        if stays and _subject_covers(one, entry):
            yield one


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


def _covering(entry: Entry, earlier: Sequence[Entry]) -> tuple[Entry, ...]:
    """One that takes all of it; else those that do together; none if something is left for it."""
    for one in earlier:
        if _together(entry, (one,)):
            return (one,)
    kept = list(earlier)
    if len(kept) < 2 or not _together(entry, kept):
        return ()
    for one in reversed(earlier):
        fewer = [other for other in kept if other is not one]
        if _together(entry, fewer):
            kept = fewer
    return tuple(kept)


def _together(entry: Entry, others: Sequence[Entry]) -> bool:
    """Whether every atom of what the entry matches is taken by these."""
    named = {service.protocol for one in (entry, *others) for service in one.services}
    blocks = tuple(peer for one in others for peer in one.peers)
    asked = {family: regions.carried(entry.services, family, named) for family in regions.FAMILIES}
    given = [
        (one, {family: regions.carried(one.services, family, named) for family in regions.FAMILIES})
        for one in others
    ]
    for piece in regions.pieces(entry.peers):
        wanted = {protocol: spans for protocol, spans in asked[piece.family].items() if spans}
        for atom in regions.atoms(piece, blocks) if wanted else ():
            takers = [carried[piece.family] for one, carried in given if regions.holds(one.peers, atom)]
            for protocol, spans in wanted.items():
                if not regions.within(spans, [s for taker in takers for s in taker.get(protocol, ())]):
                    return False
    return True


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
    owner = f"{entry.place.tenant}/" if entry.place.tenant else ""
    return f"Policy {owner}{entry.place.policy}"


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

"""Labels and selectors: which objects a selector takes, and what one selector takes of another.

Place: used by policies and whoever reads or judges them. Must not know what bears the labels.

A selector is a conjunction of requirements, each of one key. So the objects that it takes are described by
what each key may be: absent, one of some values, or any but some. That form makes containment and overlap
exact: there are more values than any selector can list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

Labels = tuple[tuple[str, str], ...]
"""Sorted (key, value) pairs."""

NAME: Final = "ringfence/name"
"""A label that every port, network and tenant has: its own name."""


class Operator(Enum):
    """NOT_IN also takes what lacks the key, as in Kubernetes."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a selector asks of one key. `values` sorted; none for EXISTS and DOES_NOT_EXIST."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; without any it takes everything."""

    requirements: tuple[Requirement, ...] = ()


EVERYTHING: Final = Selector()


@dataclass(frozen=True, slots=True)
class Domain:
    """What one key may be: absent if `absent`; one of `values`, or with `others` any but these."""

    absent: bool
    values: frozenset[str]
    others: bool

    def empty(self) -> bool:
        return not (self.absent or self.values or self.others)


_ANYTHING: Final = Domain(absent=True, values=frozenset(), others=True)


def labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Pairs in the order that all labels have."""
    return tuple(sorted(pairs))


def matching(pairs: Iterable[tuple[str, str]]) -> Selector:
    """What Kubernetes calls matchLabels: each key has this value."""
    return Selector(tuple(Requirement(key, Operator.IN, (value,)) for key, value in sorted(pairs)))


def conjunction(requirements: Iterable[Requirement]) -> Selector:
    """All of these, each once and in an order of their own: what asks the same is the same."""
    return Selector(
        tuple(sorted(set(requirements), key=lambda one: (one.key, one.operator.value, one.values)))
    )


def selects(selector: Selector, borne: Labels) -> bool:
    """Whether what bears these labels is taken."""
    values = dict(borne)
    return all(_holds(one, values.get(one.key)) for one in selector.requirements)


def satisfiable(selector: Selector) -> bool:
    """Whether it could take anything at all."""
    return not any(domain.empty() for domain in domains(selector).values())


def covers(wide: Selector, narrow: Selector) -> bool:
    """Whether `wide` takes all that `narrow` could take."""
    asked, given = domains(wide), domains(narrow)
    if any(domain.empty() for domain in given.values()):
        return True
    return all(_within(given.get(key, _ANYTHING), domain) for key, domain in asked.items())


def overlap(one: Selector, two: Selector) -> bool:
    """Whether both could take the same object."""
    return satisfiable(Selector((*one.requirements, *two.requirements)))


def domains(selector: Selector) -> dict[str, Domain]:
    """What each key that it names may be."""
    found: dict[str, Domain] = {}
    for one in selector.requirements:
        found[one.key] = _meet(found.get(one.key, _ANYTHING), _domain(one))
    return found


def _holds(one: Requirement, value: str | None) -> bool:
    match one.operator:
        case Operator.IN:
            return value is not None and value in one.values
        case Operator.NOT_IN:
            return value is None or value not in one.values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None


def _domain(one: Requirement) -> Domain:
    match one.operator:
        case Operator.IN:
            return Domain(absent=False, values=frozenset(one.values), others=False)
        case Operator.NOT_IN:
            return Domain(absent=True, values=frozenset(one.values), others=True)
        case Operator.EXISTS:
            return Domain(absent=False, values=frozenset(), others=True)
        case Operator.DOES_NOT_EXIST:
            return Domain(absent=True, values=frozenset(), others=False)


def _meet(one: Domain, two: Domain) -> Domain:
    absent = one.absent and two.absent
    if one.others and two.others:
        return Domain(absent, one.values | two.values, others=True)
    if not one.others and not two.others:
        return Domain(absent, one.values & two.values, others=False)
    listed, barred = (two, one) if one.others else (one, two)
    return Domain(absent, listed.values - barred.values, others=False)


def _within(narrow: Domain, wide: Domain) -> bool:
    if narrow.absent and not wide.absent:
        return False
    if narrow.others:
        return wide.others and wide.values <= narrow.values
    return not (narrow.values & wide.values) if wide.others else narrow.values <= wide.values

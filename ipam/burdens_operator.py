"""Burdens of the operator: what its policies make a host hold that has ports of as many tenants as it can.

Place: asked by the API, which warns of what is much; there is no limit. Costs a multiplication, and all ports
only where that could be too much. Must not refuse anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from ipam.burdens import SUBJECTS, Part, burden, parts
from ipam.census import Census
from ipam.contents import Contents
from ipam.draft import Draft
from ipam.laws_policies import counted
from model.labels import Labels, selects
from model.policy import Policy, Selection, borne

_Known = dict[str, tuple[Labels, Census]]
"""By tenant, its labels with that of its name, and its ports."""


def weigh_operator(contents: Contents, policies: Sequence[Policy], enough: int) -> tuple[Part, ...]:
    """What each rule makes, without what peerings show others; nothing if all make no more than `enough`."""
    ports, addresses = len(contents.ports), sum(contents.addressed.values())
    if sum(burden(policy).most(ports, addresses) for policy in policies) <= enough:
        return ()
    draft = Draft(contents)
    known = {
        name: (borne(name, record.value.labels), Census(counted(draft, name)))
        for name, record in sorted(contents.tenants.items())
    }
    return tuple(part for policy in policies for part in _parts(policy, known))


def _parts(policy: Policy, known: _Known) -> Iterator[Part]:
    asked = policy.subject.tenants
    judged = {
        name: census.ports(census.taken((policy.subject,)))
        for name, (labels, census) in known.items()
        if asked is None or selects(asked, labels)
    }
    whose = [name for name, ports in judged.items() if ports]
    return parts(policy, sum(judged.values()), partial(_addresses, known, whose))


def _addresses(known: _Known, whose: Sequence[str], selections: tuple[Selection, ...]) -> int:
    """A rule without a selector of tenants means those of its subjects: of these, the greatest that have room
    on one host."""
    own = tuple(one for one in selections if one.tenants is None)
    named = [(one, one.tenants) for one in selections if one.tenants is not None]
    everywhere, here = 0, []
    for name, (labels, census) in known.items():
        shown = census.taken(one for one, tenants in named if selects(tenants, labels))
        everywhere += census.addresses(shown)
        if name in whose:
            here.append(census.addresses(census.taken(own) & ~shown))
    return everywhere + sum(sorted(here)[-SUBJECTS:])

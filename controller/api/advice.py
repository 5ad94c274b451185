"""Advice: what an apply is told besides what it did: rules of policies that can never match.

Place: beside `controller.api.answer`, after a write or a plan. Pure; nothing is refused here. Must not take
longer than an answer may: beyond a number of comparisons it says that it has not looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from controller.manifest.draft import Draft
from controller.store.policies import unread
from controller.store.records import Contents, PolicyRecord
from model.errors import Fault
from model.policy import Policy
from model.wanted import Reference, Wanted, WantedPolicy, refer, title
from pipelines.policy.analysis import analyse

MOST_COMPARED: Final = 1_500_000
"""Pairs of rules, and of their peers _LIGHT as many: a few seconds at most."""
_LIGHT: Final = 128
MOST_TOLD: Final = 100
_Policies = dict[Reference, Policy]


def advise(
    contents: Contents, wanted: Iterable[Wanted], drafts: Mapping[Reference, Draft], most: int = MOST_COMPARED
) -> tuple[Fault, ...]:
    """Of what is wanted, and of what others say and it makes void. `contents`: before it or after."""
    new = {refer(one): one.policy for one in wanted if isinstance(one, WantedPolicy)}
    if not new:
        return ()
    about = frozenset((policy.tenant, policy.name) for policy in new.values())
    found: dict[Fault, None] = {}
    compared = 0
    for tenant, group in _groups(contents, new):
        mine, there = _size(policy for r, policy in group.items() if r in new), _size(group.values())
        compared += mine[0] * there[0] + mine[1] * there[1] // _LIGHT
        if compared > most:
            found[_unseen(tenant)] = None
            break
        found |= dict.fromkeys(analyse(group.values(), {}, about))
    placed = {title(reference): draft for reference, draft in drafts.items()}
    told = [_placed(fault, placed.get(fault.object)) for fault in found]
    told.sort(key=lambda fault: not fault.source)
    return (*told[:MOST_TOLD], *_more(len(told) - MOST_TOLD))


def _size(policies: Iterable[Policy]) -> tuple[int, int]:
    """How many rules, and how many peers of theirs."""
    rules = [rule for policy in policies for rule in policy.rules]
    return len(rules), sum(len(rule.peers) for rule in rules)


def _groups(contents: Contents, new: _Policies) -> Iterator[tuple[str, _Policies]]:
    """Policies that judge the same ports: the operator's, alone and with each tenant's that it concerns.
    Those of tenants who write come first."""
    general = _read(contents.operator_policies.values()) | {r: p for r, p in new.items() if not r.tenant}
    writing = sorted({reference.tenant for reference in new if reference.tenant})
    stored: dict[str, _Policies] = {}
    for reference, policy in _read(contents.policies.values()).items():
        stored.setdefault(policy.tenant, {})[reference] = policy
    others = sorted(stored.keys() - {*writing}) if any(not reference.tenant for reference in new) else []
    if not writing or others:
        yield "", general
    for tenant in (*writing, *others):
        own = stored.get(tenant, {}) | {r: p for r, p in new.items() if r.tenant == tenant}
        yield tenant, general | own


def _read(records: Iterable[PolicyRecord]) -> _Policies:
    """Those that could be read."""
    found: _Policies = {}
    for record in records:
        if not unread(record.value):
            policy = record.value.policy
            wanted = WantedPolicy(record.tenant, policy.name, policy)
            found[refer(wanted)] = policy
    return dict(sorted(found.items(), key=lambda item: title(item[0])))


def _placed(fault: Fault, draft: Draft | None) -> Fault:
    if draft is None:
        return fault
    return replace(fault, source=draft.where.source, line=draft.where.at(fault.path))


def _unseen(tenant: str) -> Fault:
    return Fault(
        f"Tenant {tenant}" if tenant else "policies of the operator",
        "policies-not-compared",
        "there are too many rules to look here, and at those behind, for some that can never match",
        "Join rules: one can name many peers and services.",
    )


def _more(count: int) -> Iterator[Fault]:
    if count > 0:
        message = f"{count} more rules can never match"
        yield Fault("policies", "policies-not-told", message, "Mend these first, then plan again.")

"""Heaviness: the operator is told where its policies make a host hold more than a tenant's ever may.

Place: beside `controller.api.advice`, after a write or a plan. Pure; nothing is refused here: what all of a
cluster's tenants need, no limit of one tenant's could say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.manifest.draft import Draft
from controller.store.policies import unread
from controller.store.records import Contents
from ipam import laws_policies
from ipam.burdens_operator import weigh_operator
from ipam.laws_policies import path_of, told
from model.errors import Fault
from model.wanted import Kind, Reference, Wanted, WantedPolicy, refer, title

_SHOWN = 3


def warn(
    contents: Contents,
    wanted: Iterable[Wanted],
    drafts: Mapping[Reference, Draft],
) -> tuple[Fault, ...]:
    """Once, at the heaviest of what is written. `contents`: before it or after."""
    new = {refer(one): one.policy for one in wanted if isinstance(one, WantedPolicy) and one.tenant is None}
    if not new:
        return ()
    enough = laws_policies.MOST_FLOWS
    stored = {
        Reference(Kind.OPERATOR_POLICY, name): record.value.policy
        for name, record in contents.operator_policies.items()
        if not unread(record.value)
    }
    policies = [policy for _, policy in sorted((stored | new).items(), key=lambda item: title(item[0]))]
    heaviest = sorted(weigh_operator(contents, policies, enough), key=lambda part: -part.total)
    total = sum(part.total for part in heaviest)
    written = next((p for p in heaviest if Reference(Kind.OPERATOR_POLICY, p.place.policy) in new), None)
    if written is None or total <= enough:
        return ()
    reference = Reference(Kind.OPERATOR_POLICY, written.place.policy)
    fault = Fault(
        title(reference),
        "policy-heavy",
        f"policies of the operator make {total:,} flows on a host that has ports of all that they judge; most"
        f" of them: {'; '.join(map(told, heaviest[:_SHOWN]))}",
        f"Nothing was refused; of a tenant it would be, above {enough:,}. Name CIDRs instead of ports, or"
        " see that agents have the memory for it (docs/policy.md).",
        path=path_of(written),
    )
    draft = drafts.get(reference)
    if draft is None:
        return (fault,)
    return (replace(fault, source=draft.where.source, line=draft.where.at(fault.path)),)

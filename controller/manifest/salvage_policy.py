"""Salvage of policies: from a draft to the wanted object, as far as it can be made.

Place: part of `controller.manifest.salvage`. Must not judge: what is missing is as if it was left out.
"""

from __future__ import annotations

from controller.manifest.draft import Draft
from model.policy import Change, Defaults, Policy, Selection, Tier
from model.wanted import WantedPolicy


def salvage_policy(draft: Draft, name: str, tenant: str | None) -> WantedPolicy:
    """`tenant` None: it is the operator's."""
    get = draft.get
    policy = Policy(
        name,
        tenant or "",
        Tier.TENANT if tenant is not None else get("spec.tier") or Tier.OPERATOR,
        get("spec.order") or 0,
        get("spec.subject") or Selection(),
        get("spec.rules") or (),
        get("spec.defaults") or Defaults(),
        get("spec.onChange") or Change.JUDGE,
    )
    return WantedPolicy(tenant, name, policy, get("metadata.labels"), draft.where)

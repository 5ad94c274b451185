"""Routes: planning of a tenant's static routes.

Place: one part of `ipam.plan`. Whether the next hops are there is decided by `ipam.laws`, when everything
else is settled. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipam.claims import route_claim
from ipam.contents import RouteRecord
from ipam.networks import find_tenant
from ipam.trial import Trial
from model.intent import StaticRoute
from model.order import address_rank
from model.wanted import WantedRoute, refer


def plan_routes(trial: Trial, wanted: Sequence[WantedRoute]) -> None:
    """Give up what changes let go, then claim: two routes of a tenant never have one prefix."""
    for want in wanted:
        before = trial.draft.routes.get((want.tenant, want.name))
        if before is not None and before.value.prefix != want.prefix:
            trial.release(refer(want), (route_claim(want.tenant, before.value.prefix),))
    for want in wanted:
        before = trial.draft.routes.get((want.tenant, want.name))
        tenant = find_tenant(trial, want)
        if tenant is None:
            continue
        what = f"a route of {want.tenant} to {want.prefix}"
        if not trial.hold(want, route_claim(want.tenant, want.prefix), what, "spec.prefix"):
            continue
        hops = tuple(sorted(set(want.next_hops), key=address_rank))
        if before is None:
            value = StaticRoute(trial.new_uid(), tenant.value.key, want.name, want.prefix, hops)
            trial.settle(want, None, RouteRecord(value, want.tenant, want.labels or ()))
        else:
            value = replace(before.value, prefix=want.prefix, next_hops=hops)
            labels = before.labels if want.labels is None else want.labels
            trial.settle(want, before, replace(before, value=value, labels=labels))

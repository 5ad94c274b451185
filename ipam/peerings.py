"""Peerings: planning of the halves that tenants declare, and of the link that two tenants share.

Place: one part of `ipam.plan` and `ipam.deletion`. A half that nobody has answered binds nobody: what must
hold between two tenants is judged by `ipam.laws_peerings` once both halves are there. Must not write anything
but the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipam.claims import peer_claim
from ipam.contents import Half, Link, LinkRecord, PeeringRecord, TenantRecord, link_name
from ipam.networks import find_tenant
from ipam.pools import TENANT_KEY, VNI
from ipam.steps import Verb
from ipam.trial import Trial
from model.errors import Conflict, Invalid
from model.ids import TenantKey, Vni
from model.order import prefix_rank
from model.wanted import Kind, Reference, WantedPeering


def plan_peerings(trial: Trial, wanted: Sequence[WantedPeering]) -> None:
    """Key and L3VNI of a link are handed out with the first half and stay until the last one goes."""
    for want in wanted:
        before = trial.draft.peerings.get((want.tenant, want.name))
        tenant, peer = find_tenant(trial, want), _find_peer(trial, want)
        if not _check_identity(trial, want, before) or tenant is None or peer is None:
            continue
        what = f"the peering of {want.tenant} with {want.peer}"
        if not trial.hold(want, peer_claim(want.tenant, want.peer), what, "spec.peer"):
            continue
        if not _link(trial, want):
            continue
        prefixes = tuple(sorted(want.prefixes, key=prefix_rank))
        if before is None:
            value = Half(trial.new_uid(), want.name, tenant.value.key, peer.value.key, prefixes)
            trial.settle(want, None, PeeringRecord(value, want.tenant, want.peer, want.labels or ()))
        else:
            labels = before.labels if want.labels is None else want.labels
            value = replace(before.value, prefixes=prefixes)
            trial.settle(want, before, replace(before, value=value, labels=labels))


def drop_links(trial: Trial) -> None:
    """After halves have been dropped: links that have none left."""
    for step in trial.steps:
        if step.verb is not Verb.DELETE or not isinstance(step.before, PeeringRecord):
            continue
        tenant, peer = step.before.tenant, step.before.peer
        reference = Reference(Kind.LINK, link_name(tenant, peer))
        link = trial.draft.links.get(reference.name)
        if link is not None and peer_claim(peer, tenant) not in trial.draft.owners:
            trial.drop(reference, link)


def _link(trial: Trial, want: WantedPeering) -> bool:
    reference = Reference(Kind.LINK, link_name(want.tenant, want.peer))
    if reference.name in trial.draft.links:
        return True
    key = trial.allocate(want, trial.draft.pools[TENANT_KEY], "pool tenant-key", "", holder=reference)
    vni = trial.allocate(want, trial.draft.pools[VNI], "pool vni", "", holder=reference)
    if key is None or vni is None:
        return False
    tenants = (min(want.tenant, want.peer), max(want.tenant, want.peer))
    trial.settle(reference, None, LinkRecord(Link(trial.new_uid(), TenantKey(key), Vni(vni)), tenants))
    return True


def _find_peer(trial: Trial, want: WantedPeering) -> TenantRecord | None:
    if want.peer == want.tenant:
        trial.refuse(
            Invalid,
            want,
            "peering-self",
            f"tenant {want.tenant} would be its own peer",
            "Name another tenant; networks of one tenant reach each other without a peering.",
            "spec.peer",
        )
        return None
    found = trial.draft.tenants.get(want.peer)
    if found is None and Reference(Kind.TENANT, want.peer) not in trial.asked:
        trial.refuse(
            Conflict,
            want,
            "unknown-tenant",
            f"there is no tenant {want.peer}",
            "Correct spec.peer, or let the operator make the tenant first.",
            "spec.peer",
        )
    return found


def _check_identity(trial: Trial, want: WantedPeering, before: PeeringRecord | None) -> bool:
    if before is None or before.peer == want.peer:
        return True
    trial.refuse(
        Conflict,
        want,
        "immutable",
        f"its peer is {before.peer} and can't become {want.peer}",
        "Delete the peering and make another.",
        "spec.peer",
    )
    return False

"""Laws of route targets: no tenant listens to what another announces, or speaks to what another listens to.

Place: part of `ipam.laws`, and where tenants and networks get theirs (`ruled`). A list of route targets never
widens what a host believes: VNI, next hop and place are judged as ever (`bgp.guard`). Must not change
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ipam.claims import peer_claim
from ipam.contents import (
    ExternalRecord,
    LinkRecord,
    NetworkRecord,
    PeeringRecord,
    Record,
    TenantRecord,
    refer,
)
from ipam.needs import of_targets
from ipam.pools import VNI
from ipam.steps import Step
from ipam.trial import Trial
from model.errors import Conflict, Invalid
from model.ids import Vni
from model.targets import PLAIN, Rules, derived, derived_vni, rules, target_text
from model.wanted import Kind, Reference, Wanted, WantedNetwork, WantedTenant, title


def ruled(want: WantedTenant | WantedNetwork, before: Rules | None) -> Rules:
    """The rules of an object: what is not written stays."""
    kept = before or PLAIN
    return rules(
        kept.imports if want.import_targets is None else want.import_targets,
        kept.exports if want.export_targets is None else want.export_targets,
        kept.all_communities if want.communities is None else want.communities,
    )


@dataclass(frozen=True, slots=True)
class _Ruled:
    """An object whose targets are written out."""

    reference: Reference
    tenant: str
    vni: Vni
    rules: Rules


def check_targets(trial: Trial, steps: Iterable[Step]) -> None:
    """Judge all whose targets are written out, once a step could matter to any of them: they are few."""
    judged = (NetworkRecord, TenantRecord, PeeringRecord, ExternalRecord, LinkRecord)
    if not any(isinstance(step.after or step.before, judged) for step in steps):
        return
    everybody = [one for r in trial.draft.dependants(of_targets()) if (one := _ruled(trial, r))]
    asn = 0 if trial.draft.cluster is None else trial.draft.cluster.asn
    for one in everybody:
        _check_own(trial, one, asn)
        for target in sorted(one.rules.named()):
            for other in _others(trial, one, everybody, target, asn):
                _refuse(trial, one, other, target)


def _check_own(trial: Trial, one: _Ruled, asn: int) -> None:
    if one.rules.imported(asn, one.vni).isdisjoint(one.rules.exported(asn, one.vni)):
        trial.refuse(
            Invalid,
            trial.written(one.reference),
            "targets-apart",
            f"{title(one.reference)} imports none of the route targets that it exports: its own hosts would"
            " not hear of each other",
            "Write one of them in both lists, for example derived.",
            "spec.exportTargets",
        )


def _others(
    trial: Trial, one: _Ruled, everybody: Iterable[_Ruled], target: bytes, asn: int
) -> Iterator[Reference]:
    """Who else has the target, and does not peer with the tenant."""
    vni = derived_vni(target)
    if vni is not None and target == derived(asn, vni):
        holder = trial.draft.owners.get((VNI, vni))
        if holder is not None and not _is_kin(trial, one.tenant, _tenant(holder)):
            yield holder
    for other in everybody:
        if target in other.rules.named() and not _is_kin(trial, one.tenant, other.tenant):
            yield other.reference


def _refuse(trial: Trial, one: _Ruled, other: Reference, target: bytes) -> None:
    blamed = trial.blame(one.reference, other)
    trial.refuse(
        Conflict,
        blamed,
        "target-foreign",
        f"route target {target_text(target)} of {title(one.reference)} is also that of {title(other)}",
        "Choose one that no other tenant uses, or let the two tenants peer first.",
        _path(blamed, target),
    )


def _path(blamed: Wanted | Reference, target: bytes) -> str:
    if not isinstance(blamed, WantedTenant | WantedNetwork):
        return ""
    for field, written in (
        ("spec.importTargets", blamed.import_targets or ()),
        ("spec.exportTargets", blamed.export_targets or ()),
    ):
        if target in written:
            return f"{field}[{written.index(target)}]"
    return ""


def _is_kin(trial: Trial, tenant: str, other: str) -> bool:
    """Whether two are the same tenant, or both sides of a complete peering."""
    owners = trial.draft.owners
    return tenant == other or all(peer_claim(*pair) in owners for pair in ((tenant, other), (other, tenant)))


def _tenant(reference: Reference) -> str:
    """Whose it is; nobody's for what is the cluster's."""
    return reference.name if reference.kind is Kind.TENANT else reference.tenant or ""


def _ruled(trial: Trial, reference: Reference) -> _Ruled | None:
    record: Record | None
    if reference.kind is Kind.TENANT:
        record = trial.draft.tenants.get(reference.name)
    else:
        record = trial.draft.networks.get((reference.tenant or "", reference.name))
    match record:
        case TenantRecord(value):
            return _Ruled(refer(record), value.name, value.l3vni, value.rules)
        case NetworkRecord(network, tenant):
            return _Ruled(refer(record), tenant, network.vni, network.rules)
        case _:
            return None

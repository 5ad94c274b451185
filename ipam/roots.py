"""Roots: planning of what has no parent: tenants and hypervisors.

Place: one part of `ipam.plan`. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ipam.contents import HypervisorRecord, TenantRecord
from ipam.distinguishers import number
from ipam.laws_targets import ruled
from ipam.pairs_of_hosts import check_partner, partners_of
from ipam.policies import number_defaults
from ipam.pools import ROUTER_ID, TENANT_KEY, VNI, VTEP
from ipam.trial import Trial
from ipam.ways_out import lead_out
from model.addresses import Prefix
from model.errors import Conflict, Invalid
from model.gang import Quota
from model.ids import HostName, TenantKey, Vni
from model.intent import Hypervisor, Tenant
from model.order import prefix_rank
from model.wanted import WantedHypervisor, WantedTenant, refer


def plan_tenants(trial: Trial, wanted: Sequence[WantedTenant]) -> None:
    """Key and L3VNI from their pools; labels may change. L3VNIs that are written are claimed before any is
    handed out. A tenant of an older store, which has none, is given one now.
    """
    admitted = [want for want in wanted if _check_l3vni(trial, want, trial.draft.tenants.get(want.name))]
    for want in admitted:
        before = trial.draft.tenants.get(want.name)
        l3vni = _l3vni(trial, want, before)
        if l3vni is None:
            continue
        said = number_defaults(trial, want, before)
        if said is None:
            continue
        defaults, seats = said
        if before is None:
            key = trial.allocate(want, trial.draft.pools[TENANT_KEY], "pool tenant-key", "")
            chosen = None if key is None else number(trial, want, key, 0)
            if key is not None and chosen is not None:
                value = Tenant(
                    trial.new_uid(),
                    want.name,
                    TenantKey(key),
                    l3vni,
                    public_prefixes=_public(want, None),
                    rules=ruled(want, None),
                    distinguisher=chosen,
                    labels=want.labels or (),
                    defaults=defaults,
                    seats=seats,
                )
                made = TenantRecord(value, value.labels, quota=want.quota or Quota())
                record = lead_out(trial, want, made, None)
                if record is not None:
                    trial.settle(want, None, record)
        else:
            chosen = number(trial, want, before.value.key, before.value.distinguisher)
            if chosen is None:
                continue
            labels = before.labels if want.labels is None else want.labels
            value = replace(before.value, l3vni=l3vni, public_prefixes=_public(want, before))
            value = replace(value, rules=ruled(want, before.value.rules), distinguisher=chosen)
            value = replace(value, labels=labels, defaults=defaults, seats=seats)
            quota = before.quota if want.quota is None else want.quota
            after = replace(before, value=value, labels=labels, quota=quota)
            record = lead_out(trial, want, after, before)
            if record is not None:
                trial.settle(want, before, record)


def _check_l3vni(trial: Trial, want: WantedTenant, before: TenantRecord | None) -> bool:
    if want.l3vni is None:
        return True
    if before is None or not before.value.l3vni:
        return trial.hold(want, (VNI, want.l3vni), f"VNI {want.l3vni}", "spec.l3vni")
    if before.value.l3vni == want.l3vni:
        return True
    trial.refuse(
        Conflict,
        want,
        "immutable",
        f"its L3VNI is {before.value.l3vni} and can't become {want.l3vni}",
        "Leave spec.l3vni out, or delete the tenant and make it again.",
        "spec.l3vni",
    )
    return False


def _public(want: WantedTenant, before: TenantRecord | None) -> tuple[Prefix, ...]:
    if want.public_prefixes is None:
        return () if before is None else before.value.public_prefixes
    return tuple(sorted(set(want.public_prefixes), key=prefix_rank))


def _l3vni(trial: Trial, want: WantedTenant, before: TenantRecord | None) -> Vni | None:
    """What it has, what is written, or a free one; None (and a fault) if there is none."""
    if before is not None and before.value.l3vni:
        return before.value.l3vni
    if want.l3vni is not None:
        return want.l3vni
    number = trial.allocate(want, trial.draft.pools[VNI], "pool vni", "spec.l3vni")
    return None if number is None else Vni(number)


def plan_hypervisors(trial: Trial, wanted: Sequence[WantedHypervisor]) -> None:
    """VTEP and router id are unique; neither they nor `external` may change while ports are bound there."""
    partners = partners_of(trial, wanted)
    values = [(want, _hypervisor(trial, want, partners)) for want in wanted]
    for want, value in values:
        before = trial.draft.hypervisors.get(want.name)
        if before is not None and value is not None:
            gone = ((VTEP, str(before.value.vtep)), (ROUTER_ID, before.value.router_id))
            kept = ((VTEP, str(value.vtep)), (ROUTER_ID, value.router_id))
            trial.release(refer(want), (claim for claim in gone if claim not in kept))
    for want, value in values:
        if value is None:
            continue
        before = trial.draft.hypervisors.get(want.name)
        held = [
            trial.hold(want, (VTEP, str(value.vtep)), f"VTEP {value.vtep}", "spec.vtep"),
            trial.hold(want, (ROUTER_ID, value.router_id), f"router id {value.router_id}", "spec.routerId"),
        ]
        if not all(held):
            continue
        if before is None:
            trial.settle(want, None, HypervisorRecord(value, want.labels or ()))
        else:
            labels = before.labels if want.labels is None else want.labels
            trial.settle(want, before, HypervisorRecord(value, labels))


def _hypervisor(
    trial: Trial, want: WantedHypervisor, partners: Mapping[HostName, HostName]
) -> Hypervisor | None:
    before = trial.draft.hypervisors.get(want.name)
    router_id = want.router_id
    if router_id is None and before is not None and before.value.vtep == want.vtep:
        router_id = before.value.router_id
    if router_id is None and want.vtep.version == 4:
        router_id = int(want.vtep)
    if router_id is None:
        trial.refuse(
            Invalid,
            want,
            "router-id-missing",
            "a host with an IPv6 VTEP has no router id",
            "Write spec.routerId: 32 bits in dotted form, unique in the cluster.",
            "spec.routerId",
        )
        return None
    external = want.external
    if external is None:
        external = False if before is None else before.value.external
    value = Hypervisor(
        want.name,
        want.vtep,
        router_id,
        external,
        border=_kept(want.border, before is not None and before.value.border),
        gateway=_kept(want.gateway, before is not None and before.value.gateway),
        segments=_segments(want, before),
        partner=partners[want.name],
    )
    if not _check_duties(trial, want, value) or not check_partner(trial, want, value, partners):
        return None
    if before is None:
        return value
    # What the operator told its agent is no part of a manifest.
    value = replace(value, frozen=before.value.frozen, confirm=before.value.confirm)
    if _place(before.value) != _place(value) and trial.bound_to(want.name):
        trial.refuse(
            Conflict,
            want,
            "host-in-use",
            "its VTEP, router id or kind would change while ports are bound to it",
            f"Move or release the ports of {want.name} first.",
            "spec",
        )
        return None
    return value


def _place(value: Hypervisor) -> tuple[object, ...]:
    """What may not change under bound ports."""
    return value.vtep, value.router_id, value.external


def _segments(want: WantedHypervisor, before: HypervisorRecord | None) -> tuple[bytes, ...]:
    if want.segments is None:
        return () if before is None else before.value.segments
    return tuple(sorted(set(want.segments)))


def _kept(written: bool | None, before: bool) -> bool:  # noqa: FBT001 - a value, not a switch
    return before if written is None else written


def _check_duties(trial: Trial, want: WantedHypervisor, value: Hypervisor) -> bool:
    """A border is a router of others; translating needs our agent."""
    if value.border and not value.external:
        trial.refuse(
            Conflict,
            want,
            "border-not-external",
            "a border is a router without our agent, and this host is not external",
            "Write external: true with border: true, or leave border out.",
            "spec.border",
        )
    if value.gateway and value.external:
        trial.refuse(
            Conflict,
            want,
            "gateway-external",
            "a gateway needs our agent, and this host is external",
            "Leave gateway out, or name a host with an agent.",
            "spec.gateway",
        )
    if value.segments and not value.external:
        trial.refuse(
            Conflict,
            want,
            "segments-not-external",
            "an Ethernet segment is shared by routers without our agent, and this host is not external",
            "Write external: true with segments, or leave segments out.",
            "spec.segments",
        )
        return False
    return value.external if value.border else not (value.gateway and value.external)

"""Networks: planning of layer 2 segments: key, VNI and what may change while ports exist.

Place: one part of `ipam.plan`. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ipam.contents import NetworkRecord, TenantRecord
from ipam.distinguishers import number
from ipam.guidance import check_guidance, guided
from ipam.laws_targets import ruled
from ipam.pools import NETWORK_KEY, VNI
from ipam.trial import Trial
from model.addresses import Prefix, gateway
from model.errors import Conflict, Invalid
from model.guidance import USUAL
from model.ids import NetworkKey, Vni
from model.intent import Network
from model.order import prefix_rank
from model.wanted import (
    UNMARKED,
    Kind,
    Reference,
    Tenanted,
    WantedExternal,
    WantedNetwork,
    WantedPolicy,
    WantedTenant,
    refer,
)


def plan_networks(trial: Trial, wanted: Sequence[WantedNetwork], mtu: int) -> None:
    """VNIs that are written are claimed before any is handed out. `mtu`: of new networks without."""
    admitted = []
    for want in wanted:
        tenant = find_tenant(trial, want)
        before = trial.draft.networks.get((want.tenant, want.name))
        sound = _check_subnets(trial, want, before)
        sound = _check_gateways(trial, want, before) and sound
        sound = check_guidance(trial, want, before) and sound
        if tenant is None:
            continue
        if sound and _check_vni(trial, want, before):
            admitted.append((want, tenant, before))
    for want, tenant, before in admitted:
        if before is None:
            _create(trial, want, tenant, mtu)
        else:
            chosen = number(trial, want, before.value.key, before.value.distinguisher)
            if chosen is not None:
                trial.settle(want, before, _merge(before, want, chosen))


def reserve_vnis(trial: Trial, wanted: Sequence[WantedNetwork | WantedTenant | WantedExternal]) -> None:
    """Claim what is asked for by value, before anything is handed out of the same numbers.

    Says nothing of clashes: those who plan each kind do.
    """
    for want in wanted:
        vni = want.l3vni if isinstance(want, WantedTenant) else want.vni
        before = trial.draft.find(refer(want))
        new = before is None or (isinstance(before, TenantRecord) and not before.value.l3vni)
        if vni is not None and new:
            trial.draft.hold((VNI, vni), refer(want))


def _create(trial: Trial, want: WantedNetwork, tenant: TenantRecord, mtu: int) -> None:
    """`mtu`: if it asks for none."""
    pools = trial.draft.pools
    vni = want.vni
    if vni is None:
        vni_number = trial.allocate(want, pools[VNI], "pool vni", "spec.vni")
        vni = None if vni_number is None else Vni(vni_number)
    key = trial.allocate(want, pools[NETWORK_KEY], "pool network-key", "")
    chosen = None if key is None else number(trial, want, key, 0)
    if vni is None or key is None or chosen is None:
        return
    value = Network(
        trial.new_uid(), tenant.value.key, want.name, NetworkKey(key), vni, _ordered(want.subnets or ())
    )
    value = replace(value, mtu=mtu if want.mtu is None else want.mtu)
    value = replace(value, replicate=bool(want.replicate), routed=want.routed is not False)
    value = replace(value, dscp=_dscp(want, None), rules=ruled(want, None), distinguisher=chosen)
    value = replace(value, labels=want.labels or (), guidance=guided(USUAL, want.guidance))
    trial.settle(want, None, NetworkRecord(value, want.tenant, value.labels))


def _merge(before: NetworkRecord, want: WantedNetwork, distinguisher: int) -> NetworkRecord:
    value = replace(before.value, distinguisher=distinguisher)
    if want.subnets is not None:
        value = replace(value, subnets=_ordered(want.subnets))
    if want.mtu is not None:
        value = replace(value, mtu=want.mtu)
    if want.replicate is not None:
        value = replace(value, replicate=want.replicate)
    if want.routed is not None:
        value = replace(value, routed=want.routed)
    value = replace(value, dscp=_dscp(want, value.dscp), rules=ruled(want, value.rules))
    value = replace(value, guidance=guided(value.guidance, want.guidance))
    labels = before.labels if want.labels is None else want.labels
    return replace(before, value=replace(value, labels=labels), labels=labels)


def _dscp(want: WantedNetwork, before: int | None) -> int | None:
    if want.dscp is None:
        return before
    return None if want.dscp == UNMARKED else want.dscp


def _check_gateways(trial: Trial, want: WantedNetwork, before: NetworkRecord | None) -> bool:
    """They follow from the subnets; who writes others means another network."""
    subnets = want.subnets
    if subnets is None:
        subnets = () if before is None else before.value.subnets
    right = {gateway(subnet) for subnet in subnets}
    wrong = [(i, g) for i, g in enumerate(want.gateways or ()) if g not in right]
    for index, written in wrong:
        home = next((s for s in subnets if s.version == written.version and written in s), None)
        shown = ", ".join(map(str, subnets)) or "none"
        trial.refuse(
            Invalid,
            want,
            "gateway-outside" if home is None else "gateway-not-first",
            f"gateway {written} is outside the network's subnets ({shown})"
            if home is None
            else f"gateway {written} is not the first address of {home}",
            "Leave spec.gateways out, or correct the subnets."
            if home is None
            else f"Write {gateway(home)}, or leave spec.gateways out.",
            f"spec.gateways[{index}]",
        )
    return not wrong


def _ordered(subnets: tuple[Prefix, ...]) -> tuple[Prefix, ...]:
    return tuple(sorted(subnets, key=prefix_rank))


def _check_subnets(trial: Trial, want: WantedNetwork, before: NetworkRecord | None) -> bool:
    if want.subnets is None:
        return True
    versions = [s.version for s in want.subnets]
    if len(versions) != len(set(versions)):
        trial.refuse(
            Invalid,
            want,
            "one-subnet-per-family",
            "there is more than one subnet of a family",
            "Write at most one IPv4 and one IPv6 subnet; make a second network for more.",
            "spec.subnets",
        )
        return False
    lost = () if before is None else tuple(s for s in before.value.subnets if s not in want.subnets)
    ports = tuple(trial.draft.members(want.tenant, want.name)) if lost else ()
    if ports:
        trial.refuse(
            Conflict,
            want,
            "subnet-in-use",
            f"subnet {lost[0]} can't be changed: the network has {len(ports)} ports ({ports[0]}, ...)",
            "Delete its ports first, or make a new network.",
            "spec.subnets",
        )
    return not ports


def _check_vni(trial: Trial, want: WantedNetwork, before: NetworkRecord | None) -> bool:
    if want.vni is None:
        return True
    if before is None:
        return trial.hold(want, (VNI, want.vni), f"VNI {want.vni}", "spec.vni")
    if before.value.vni == want.vni:
        return True
    trial.refuse(
        Conflict,
        want,
        "immutable",
        f"its VNI is {before.value.vni} and can't become {want.vni}",
        "Leave spec.vni out, or delete the network and make it again.",
        "spec.vni",
    )
    return False


def find_tenant(trial: Trial, want: Tenanted | WantedPolicy) -> TenantRecord | None:
    """The object's tenant; None and a fault if there is none."""
    found = trial.draft.tenants.get(want.tenant or "")
    if found is not None or Reference(Kind.TENANT, want.tenant or "") in trial.asked:
        return found  # if it is asked for and not there, that tenant's own faults say why
    trial.refuse(
        Conflict,
        want,
        "unknown-tenant",
        f"there is no tenant {want.tenant}",
        f"Add a Tenant {want.tenant} to the manifest, or correct metadata.tenant.",
        "metadata.tenant",
    )
    return None

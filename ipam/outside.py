"""Outside: planning of external networks and of the floating IPs in them.

Place: two parts of `ipam.plan`. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from ipam.claims import outside_claim, translated_claim
from ipam.contents import ExternalRecord, FloatingRecord, TenantRecord
from ipam.contents import refer as name_of
from ipam.needs import of_external
from ipam.networks import find_tenant
from ipam.pools import TENANT_KEY, VNI, outside_pool
from ipam.subnets import lending_objection
from ipam.trial import Trial
from model.addresses import Address, Prefix
from model.errors import Conflict, Invalid
from model.ids import PortKey, TenantKey, Vni
from model.intent import External, FloatingIp, Port
from model.order import prefix_rank
from model.wanted import Kind, Reference, Wanted, WantedExternal, WantedFloatingIp, refer, title

_NOBODY = PortKey(0)


def plan_externals(trial: Trial, wanted: Sequence[WantedExternal]) -> None:
    """Key and L3VNI come from the tenants' own pools: it is a VRF like theirs."""
    for want in wanted:
        before = trial.draft.externals.get(want.name)
        sound = _check_pools(trial, want, before)
        if not (_check_vni(trial, want, before) and sound):
            continue
        pools = tuple(sorted(want.pools, key=prefix_rank))
        if before is not None:
            labels = before.labels if want.labels is None else want.labels
            trial.settle(want, before, ExternalRecord(replace(before.value, pools=pools), labels))
            continue
        vni: int | None = want.vni
        if vni is None:
            vni = trial.allocate(want, trial.draft.pools[VNI], "pool vni", "spec.vni")
        key = trial.allocate(want, trial.draft.pools[TENANT_KEY], "pool tenant-key", "")
        if vni is not None and key is not None:
            value = External(trial.new_uid(), want.name, TenantKey(key), Vni(vni), pools)
            trial.settle(want, None, ExternalRecord(value, want.labels or ()))


def _check_vni(trial: Trial, want: WantedExternal, before: ExternalRecord | None) -> bool:
    if want.vni is None or (before is not None and before.value.l3vni == want.vni):
        return True
    if before is None:
        return trial.hold(want, (VNI, want.vni), f"VNI {want.vni}", "spec.vni")
    trial.refuse(
        Conflict,
        want,
        "immutable",
        f"its VNI is {before.value.l3vni} and can't become {want.vni}",
        "Leave spec.vni out, or delete it and make it again.",
        "spec.vni",
    )
    return False


def _check_pools(trial: Trial, want: WantedExternal, before: ExternalRecord | None) -> bool:
    """Pools of all external networks are apart: an address outside belongs to one of them."""
    sound = True
    others = [
        (name, pool)
        for name in trial.draft.external_names()
        if name != want.name
        for pool in trial.draft.externals[name].value.pools
    ]
    for index, pool in enumerate(want.pools):
        own = [(want.name, earlier) for earlier in want.pools[:index]]
        clash = next((o for o in (*own, *others) if _overlap(o[1], pool)), None)
        if clash is not None:
            sound = False
            trial.refuse(
                Conflict,
                want,
                "pool-overlap",
                f"pool {pool} overlaps {clash[1]} of External {clash[0]}",
                "Pools of external networks must be apart; tenants' networks may use the same addresses.",
                f"spec.pools[{index}]",
            )
    for lost in () if before is None else set(before.value.pools) - set(want.pools):
        user = next(
            (r for r in trial.draft.dependants(of_external(want.name)) if _uses(trial, r, lost)), None
        )
        if user is not None:
            sound = False
            trial.refuse(
                Conflict,
                want,
                "pool-in-use",
                f"pool {lost} can't be taken away: {title(user)} has an address of it",
                "Add pools beside it, or release its addresses first.",
                "spec.pools",
            )
    return sound


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.overlaps(other)


def _uses(trial: Trial, reference: Reference, pool: Prefix) -> bool:
    match trial.draft.find(reference):
        case TenantRecord(value):
            return any(a.version == pool.version and a in pool for a in value.egress_addresses)
        case FloatingRecord(value):
            return value.address.version == pool.version and value.address in pool
        case _:
            return False


def allocate_outside(
    trial: Trial, want: Wanted, external: External, version: int, path: str
) -> Address | None:
    """A free address of that family, from the first pool that has one; None (and a fault) if none has."""
    pools = [outside_pool(external.key, pool) for pool in external.pools if pool.version == version]
    best = next((pool for pool in pools if trial.draft.next_free(pool) is not None), pools[-1])
    what = f"the IPv{version} pools of External {external.name}"
    number = trial.allocate(want, best, what, path)
    if number is None:
        return None
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def reserve_floating(trial: Trial, wanted: Sequence[WantedFloatingIp]) -> None:
    """Claim what new ones ask for by value, before tenants are handed egress addresses of the same pools.

    Says nothing of clashes: `plan_floating` does.
    """
    for want in wanted:
        record = trial.draft.externals.get(want.external)
        if want.address is not None and record is not None:
            trial.draft.hold(outside_claim(record.value, want.address), refer(want))


@dataclass(frozen=True, slots=True)
class _Admitted:
    want: WantedFloatingIp
    before: FloatingRecord | None
    tenant: TenantRecord
    external: ExternalRecord
    port: Port | None


def plan_floating(trial: Trial, wanted: Sequence[WantedFloatingIp]) -> None:
    """Admit all, give up ports that are let go, claim what is written, then hand out the rest."""
    admitted = [each for each in (_admit(trial, want) for want in wanted) if each is not None]
    for each in admitted:
        old = each.before
        if old is not None and old.value.port and (each.port is None or each.port.key != old.value.port):
            trial.draft.free(translated_claim(old.value.port, old.value.address.version), name_of(old))
    for each in [each for each in admitted if _claim(trial, each)]:
        _complete(trial, each)


def _admit(trial: Trial, want: WantedFloatingIp) -> _Admitted | None:
    before = trial.draft.floating.get((want.tenant, want.name))
    tenant, external = find_tenant(trial, want), find_external(trial, want, want.external)
    port_name = want.port if want.port is not None else "" if before is None else before.port
    record = trial.draft.ports.get((want.tenant, port_name))
    sound = _check_identity(trial, want, before)
    if port_name and record is None:
        sound = False
        if Reference(Kind.PORT, port_name, want.tenant) not in trial.asked:
            trial.refuse(
                Conflict,
                want,
                "unknown-port",
                f"tenant {want.tenant} has no port {port_name}",
                "Add the Port to the manifest, or correct spec.port.",
                "spec.port",
            )
    if tenant is None or external is None or not sound:
        return None
    if want.address is not None and not _check_address(trial, want, external.value):
        return None
    return _Admitted(want, before, tenant, external, None if record is None else record.value)


def find_external(trial: Trial, want: Wanted, name: str) -> ExternalRecord | None:
    """The external network; None and a fault if there is none."""
    found = trial.draft.externals.get(name)
    if found is None and Reference(Kind.EXTERNAL, name) not in trial.asked:
        trial.refuse(
            Conflict,
            want,
            "unknown-external",
            f"there is no External {name}",
            f"Add an External {name} to the manifest, or correct spec.external.",
            "spec.external",
        )
    return found


def _check_identity(trial: Trial, want: WantedFloatingIp, before: FloatingRecord | None) -> bool:
    if before is None:
        return True
    address, version = before.value.address, before.value.address.version
    changes = (
        ("external network", before.external, want.external, "spec.external"),
        ("address", str(address), str(want.address or address), "spec.address"),
        ("family", f"IPv{version}", f"IPv{want.family or version}", "spec.family"),
    )
    for what, old, new, path in changes:
        if old != new:
            trial.refuse(
                Conflict,
                want,
                "immutable",
                f"its {what} is {old} and can't become {new}",
                "Delete the floating IP and make it again, or leave the field as it is.",
                path,
            )
    return all(old == new for _, old, new, _ in changes)


def _check_address(trial: Trial, want: WantedFloatingIp, external: External) -> bool:
    address = want.address
    assert address is not None
    pool = next((p for p in external.pools if p.version == address.version and address in p), None)
    shown = ", ".join(map(str, external.pools))
    why = "" if pool is None else lending_objection(pool, address)
    if pool is None or why:
        trial.refuse(
            Invalid,
            want,
            "address-out-of-pool" if pool is None else "address-reserved",
            f"{address} is in no pool of External {external.name} ({shown})"
            if pool is None
            else f"{address} {why} of {pool}",
            "Choose another address of the pools, or leave it out to get a free one.",
            "spec.address",
        )
    return not (pool is None or why)


def _version(trial: Trial, each: _Admitted) -> int | None:
    """The family: as it is, as written, or the first that external network and port have."""
    want, port = each.want, each.port
    if each.before is not None:
        return each.before.value.address.version
    if want.address is not None:
        return want.address.version
    pools = {pool.version for pool in each.external.value.pools}
    able = sorted(pools if port is None else pools & {a.version for a in port.addresses})
    asked = want.family if want.family is not None else able[0] if able else sorted(pools)[0]
    if asked not in pools:
        trial.refuse(
            Invalid,
            want,
            "family-missing",
            f"External {want.external} has no IPv{asked} pool",
            "Add a pool to it, or write another family.",
            "spec.family",
        )
        return None
    return asked


def _claim(trial: Trial, each: _Admitted) -> bool:
    want, port = each.want, each.port
    version = _version(trial, each)
    if version is None:
        return False
    if want.address is not None:
        claim = outside_claim(each.external.value, want.address)
        if not trial.hold(want, claim, f"address {want.address} of External {want.external}", "spec.address"):
            return False
    if port is None:
        return True
    if not any(a.version == version for a in port.addresses):
        trial.refuse(
            Conflict,
            want,
            "family-missing",
            f"port {want.tenant}/{port.name} has no IPv{version} address that it could stand for",
            "Give the port one, or name another port.",
            "spec.port",
        )
        return False
    what = f"the floating IPv{version} address of port {want.tenant}/{port.name}"
    return trial.hold(want, translated_claim(port.key, version), what, "spec.port")


def _complete(trial: Trial, each: _Admitted) -> None:
    want, before, port = each.want, each.before, each.port
    if before is not None:
        uid, address = before.value.uid, before.value.address
    else:
        version = want.address.version if want.address is not None else _version(trial, each)
        assert version is not None
        found = want.address or allocate_outside(trial, want, each.external.value, version, "spec.address")
        if found is None:
            return
        uid, address = trial.new_uid(), found
    target = None if port is None else next(a for a in port.addresses if a.version == address.version)
    value = FloatingIp(
        uid=uid,
        tenant=each.tenant.value.key,
        name=want.name,
        external=each.external.value.key,
        address=address,
        port=_NOBODY if port is None else port.key,
        target=target,
    )
    labels = want.labels if want.labels is not None else () if before is None else before.labels
    after = FloatingRecord(value, want.tenant, want.external, "" if port is None else port.name, labels)
    trial.settle(want, before, after)

"""Holders: indexes that say what stands behind a prefix in a VRF: ports, static routes, floating IPs...

Place: a part of `bgp.lookup`, asked by `bgp.rights` and `bgp.concern`, so that judging an RT-5 costs the same
however large the cluster is. Must not decide anything. `reindex` follows the changes; it equals what an empty
one becomes with everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from immutables import Map, MapMutation

from model.addresses import Address, Prefix
from model.change import Change, Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid, Vni
from model.snapshot import Snapshot
from model.targets import DERIVED, derived, derived_vni

PARTS: Final = (
    Part.TENANT,
    Part.EXTERNAL,
    Part.PEERING,
    Part.NETWORK,
    Part.PORT,
    Part.STATIC_ROUTE,
    Part.FLOATING,
)
"""The maps of a snapshot that are indexed here."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Each index maps to those who claim the key, in order; what nobody claims has no key."""

    l3vnis: Map[Vni, tuple[TenantKey, ...]] = Map()
    homes: Map[TenantKey, tuple[NetworkKey, ...]] = Map()
    """Networks of a tenant."""
    owners: Map[tuple[NetworkKey, Address], tuple[PortKey, ...]] = Map()
    statics: Map[tuple[TenantKey, Prefix], tuple[Uid, ...]] = Map()
    routes: Map[TenantKey, tuple[Uid, ...]] = Map()
    """Static routes of a tenant."""
    hops: Map[Address, tuple[Uid, ...]] = Map()
    """Static routes by next hop, of any tenant."""
    floats: Map[tuple[TenantKey, Address], tuple[Uid, ...]] = Map()
    floats_of: Map[PortKey, tuple[Uid, ...]] = Map()
    egress: Map[tuple[TenantKey, Address], tuple[TenantKey, ...]] = Map()
    """Tenants by external network and egress address in it."""

    targets: Map[bytes, tuple[TenantKey, ...]] = Map()
    """Tenants by the route targets that they import and that are written out."""

    def importing(self, snapshot: Snapshot, target: bytes) -> tuple[TenantKey, ...]:
        """The VRFs that listen to a route target. Only tenants' can be written out."""
        written = self.targets.get(target, ())
        vni = derived_vni(target)
        key = None if vni is None else self.vrf(vni)
        if key is None or vni is None or key in written or snapshot.cluster is None:
            return written
        tenant = snapshot.tenants.get(key)
        listens = tenant is None or tenant.rules.imports_derived
        return (*written, key) if listens and target == derived(snapshot.cluster.asn, vni) else written

    def vrf(self, vni: Vni | int) -> TenantKey | None:
        """The VRF with this L3VNI."""
        return next(iter(self.l3vnis.get(Vni(vni), ())), None)

    def ports(self, tenant: TenantKey, address: Address) -> tuple[PortKey, ...]:
        """Ports of a tenant with this address, in whichever network."""
        found = (self.owners.get((network, address), ()) for network in self.homes.get(tenant, ()))
        return tuple(sorted(key for keys in found for key in keys))


def reindex(holders: Holders, old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> Holders:
    """The indexes of `new`, made from those of `old`."""
    concerned = [change for change in changes if change.part in PARTS]
    if not concerned:
        return holders
    opened: dict[str, MapMutation[Any, tuple[Any, ...]]] = {
        name: getattr(holders, name).mutate() for name in _NAMES
    }
    for snapshot, step in ((old, -1), (new, 1)):
        for change in concerned:
            value = getattr(snapshot, change.part.value).get(change.key)
            for name, key, owner in () if value is None else _claims(change.part, value):
                claim(opened[name], key, owner, step)
    return Holders(**{name: opened[name].finish() for name in _NAMES})


def _claims(part: Part, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """(index, key, who claims it) of one value."""
    if part in (Part.TENANT, Part.EXTERNAL, Part.PEERING) and value.l3vni:
        yield "l3vnis", value.l3vni, value.key
    match part:
        case Part.TENANT:
            yield from (("egress", (value.external, a), value.key) for a in value.egress_addresses)
            yield from (("targets", one, value.key) for one in set(value.rules.imports) - {DERIVED})
        case Part.NETWORK:
            yield "homes", value.tenant, value.key
        case Part.PORT:
            yield from (("owners", (value.network, a), value.key) for a in value.addresses)
        case Part.STATIC_ROUTE:
            yield "statics", (value.tenant, value.prefix), value.uid
            yield "routes", value.tenant, value.uid
            yield from (("hops", a, value.uid) for a in value.next_hops)
        case Part.FLOATING:
            yield "floats", (value.external, value.address), value.uid
            yield "floats_of", value.port, value.uid
        case _:
            pass


def claim(claims: MapMutation[Any, tuple[Any, ...]], key: Hashable, owner: str | int, step: int) -> None:
    """Add (step 1) or take away (step -1) one who claims `key`. Tuples: of one, as most are, they take a
    quarter of a set."""
    before = claims.get(key)
    if before is None:
        if step > 0:
            claims[key] = (owner,)
        return
    owners = {*before, owner} if step > 0 else {*before} - {owner}
    if owners:
        claims[key] = tuple(sorted(owners))
    else:
        claims.pop(key)


_NAMES: Final = (
    "l3vnis",
    "homes",
    "owners",
    "statics",
    "routes",
    "hops",
    "floats",
    "floats_of",
    "egress",
    "targets",
)

EMPTY: Final = Holders()

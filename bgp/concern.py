"""Which verdicts a change of the store may turn: so that judging again follows the change, not the size.

Place: between the agent's changes and `bgp.learn.consider`. Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterable

from bgp.codec import communities
from bgp.table import FloodEntity, Token
from model.change import Change, Part
from model.ids import HostName, NetworkKey, PortKey, TenantKey
from model.snapshot import Snapshot


def concerns_all(old: Snapshot, new: Snapshot) -> bool:
    """The AS number is in every route target, this host's name in every verdict."""
    return old.host != new.host or _asn(old) != _asn(new)


def tokens(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> set[Token]:
    """What the verdicts that may differ depend on."""
    return {token for change in changes for snapshot in (old, new) for token in _of(snapshot, change)}


def left_places(old: Snapshot, changes: Iterable[Change]) -> set[FloodEntity]:
    """Where a changed binding was: what is held for that VTEP's part of the network may stand on it."""
    found: set[FloodEntity] = set()
    for change in changes:
        if change.part is not Part.BINDING or not isinstance(change.key, int):
            continue
        binding, port = old.bindings.get(PortKey(change.key)), old.ports.get(PortKey(change.key))
        host = None if binding is None or not binding.active else old.hypervisors.get(binding.host)
        if host is not None and port is not None:
            found.add(("flood", port.network, host.vtep))
    return found


def newly_known(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> tuple[bytes, ...]:
    """Route targets of networks and tenants whose routes were not imported until now."""
    asn = _asn(new)
    if asn is None:
        return ()
    everything = concerns_all(old, new)
    named = {c.key for c in changes if c.part is Part.NETWORK}
    found: set[bytes] = set()
    for key in sorted(new.networks) if everything else sorted(k for k in named if isinstance(k, int)):
        network, before = new.networks.get(NetworkKey(key)), old.networks.get(NetworkKey(key))
        if network is not None and (everything or before is None or before.vni != network.vni):
            found.add(communities.route_target(asn, network.vni))
            tenant = new.tenants.get(network.tenant)
            if tenant is not None and tenant.l3vni:
                found.add(communities.route_target(asn, tenant.l3vni))
    return tuple(sorted(found))


def _asn(snapshot: Snapshot) -> int | None:
    return None if snapshot.cluster is None else snapshot.cluster.asn


def _of(snapshot: Snapshot, change: Change) -> Iterable[Token]:
    part, key = change.part, change.key
    if part is Part.NETWORK and isinstance(key, int):
        network = snapshot.networks.get(NetworkKey(key))
        if network is not None:
            yield ("vni", network.vni)
    elif part is Part.TENANT and isinstance(key, int):
        tenant = snapshot.tenants.get(TenantKey(key))
        if tenant is not None and tenant.l3vni:
            yield ("vni", tenant.l3vni)
    elif part is Part.HYPERVISOR and isinstance(key, str):
        host = snapshot.hypervisors.get(HostName(key))
        if host is not None:
            yield ("hop", host.vtep)
    elif part in (Part.PORT, Part.BINDING) and isinstance(key, int):
        port = snapshot.ports.get(PortKey(key))
        if port is None:
            return
        yield ("mac", port.mac)
        network = snapshot.networks.get(port.network)
        if part is Part.PORT and network is not None:
            yield ("flood", network.vni)

"""Indexes over a snapshot that the guard asks: by VNI, by VTEP, by MAC, which hosts a network may be on, and
what stands behind a prefix (see `bgp.holders`).

Place: kept by `bgp.learn` beside its snapshot, so that judging a route costs the same however large the
cluster is. Must not decide anything. `reindex` follows the changes; it equals `index` of the new snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from immutables import Map, MapMutation

from bgp import holders
from bgp.holders import Holders
from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, Vni
from model.snapshot import Snapshot
from model.whereabouts import singles

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Lookup:
    """`sites`: how many ports of a network may be bound on a host; absent = none.

    A VNI, VTEP or MAC that two objects claim (the store's indexes forbid it) goes to the lowest key or name.
    """

    vnis: Map[Vni, frozenset[NetworkKey]] = Map()
    vteps: Map[Address, frozenset[HostName]] = Map()
    macs: Map[tuple[NetworkKey, Mac], frozenset[PortKey]] = Map()
    sites: Map[tuple[NetworkKey, HostName], int] = Map()
    holders: Holders = holders.EMPTY
    pairs: Map[tuple[NetworkKey, Mac, Address], frozenset[PortKey]] = Map()
    """Ports that may use an address with a MAC besides their own: pairs of one address."""

    def speakers(self, network: NetworkKey, mac: Mac, address: Address) -> frozenset[PortKey]:
        """The ports of a network that may speak for an address of a pair with this MAC."""
        return self.pairs.get((network, mac, address), frozenset())

    def network(self, vni: Vni) -> NetworkKey | None:
        """The network with this VNI."""
        return min(self.vnis.get(vni, ()), default=None)

    def host(self, vtep: Address) -> HostName | None:
        """The hypervisor with this VTEP."""
        return min(self.vteps.get(vtep, ()), default=None)

    def port(self, network: NetworkKey, mac: Mac) -> PortKey | None:
        """The port of a network with this MAC."""
        return min(self.macs.get((network, mac), ()), default=None)


def index(snapshot: Snapshot) -> Lookup:
    """The indexes of a snapshot."""
    empty = Snapshot(snapshot.host)
    changes = {Change(Part.HYPERVISOR, name) for name in snapshot.hypervisors}
    changes.update(Change(part, key) for part in holders.PARTS for key in getattr(snapshot, part.value))
    return reindex(Lookup(), empty, snapshot, frozenset(changes))


def reindex(lookup: Lookup, old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> Lookup:
    """The indexes of `new`, made from those of `old`."""
    vnis, vteps = lookup.vnis.mutate(), lookup.vteps.mutate()
    macs, sites = lookup.macs.mutate(), lookup.sites.mutate()
    pairs = lookup.pairs.mutate()
    # Taken out of the old snapshot first, all of them: two objects may have swapped what they claim.
    for snapshot, step in ((old, -1), (new, 1)):
        for change in changes:
            if change.part is Part.NETWORK and isinstance(change.key, int):
                network = snapshot.networks.get(NetworkKey(change.key))
                if network is not None:
                    _claim(vnis, network.vni, network.key, step)
            elif change.part is Part.HYPERVISOR and isinstance(change.key, str):
                host = snapshot.hypervisors.get(HostName(change.key))
                if host is not None:
                    _claim(vteps, host.vtep, host.name, step)
            elif change.part is Part.PORT and isinstance(change.key, int):
                port = snapshot.ports.get(PortKey(change.key))
                if port is not None:
                    _claim(macs, (port.network, port.mac), port.key, step)
                    for mac, address in singles(port):
                        _claim(pairs, (port.network, mac, address), port.key, step)
                    for name in port.hosts:
                        _count(sites, (port.network, name), step)
    behind = holders.reindex(lookup.holders, old, new, changes)
    return Lookup(vnis.finish(), vteps.finish(), macs.finish(), sites.finish(), behind, pairs.finish())


def _claim(claims: MapMutation[K, frozenset[V]], key: K, owner: V, step: int) -> None:
    """Add (step 1) or take away (step -1) one who claims `key`."""
    owners = claims.get(key, frozenset()) | {owner} if step > 0 else claims.get(key, frozenset()) - {owner}
    if owners:
        claims[key] = owners
    else:
        claims.pop(key, None)


def _count(counts: MapMutation[K, int], key: K, step: int) -> None:
    now = counts.get(key, 0) + step
    if now:
        counts[key] = now
    else:
        counts.pop(key, None)

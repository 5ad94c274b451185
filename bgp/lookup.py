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
from bgp.holders import Holders, claim
from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, Vni
from model.snapshot import Snapshot
from model.targets import DERIVED, derived, derived_vni
from model.whereabouts import singles

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Lookup:
    """`sites`: how many ports of a network may be bound on a host; absent = none.

    Claimants are in order: a VNI, VTEP or MAC that two objects claim (the store's indexes forbid it) goes to
    the lowest key or name.
    """

    vnis: Map[Vni, tuple[NetworkKey, ...]] = Map()
    vteps: Map[Address, tuple[HostName, ...]] = Map()
    macs: Map[tuple[NetworkKey, Mac], tuple[PortKey, ...]] = Map()
    sites: Map[tuple[NetworkKey, HostName], int] = Map()
    holders: Holders = holders.EMPTY
    pairs: Map[tuple[NetworkKey, Mac, Address], tuple[PortKey, ...]] = Map()
    """Ports that may use an address with a MAC besides their own: pairs of one address."""
    targets: Map[bytes, tuple[NetworkKey, ...]] = Map()
    """Networks by the route targets that they import and that are written out."""
    segments: Map[bytes, tuple[HostName, ...]] = Map()
    """Hosts by the Ethernet segments that they are declared to be on."""

    def importing(self, snapshot: Snapshot, target: bytes) -> tuple[NetworkKey, ...]:
        """The networks that listen to a route target (RFC 4364 section 4.3.1)."""
        written = self.targets.get(target, ())
        vni = derived_vni(target)
        key = None if vni is None else self.network(vni)
        if key is None or key in written or snapshot.cluster is None:
            return written
        network = snapshot.networks[key]
        heard = network.rules.imports_derived and target == derived(snapshot.cluster.asn, network.vni)
        return (*written, key) if heard else written

    def speakers(self, network: NetworkKey, mac: Mac, address: Address) -> tuple[PortKey, ...]:
        """The ports of a network that may speak for an address of a pair with this MAC."""
        return self.pairs.get((network, mac, address), ())

    def network(self, vni: Vni) -> NetworkKey | None:
        """The network with this VNI."""
        return next(iter(self.vnis.get(vni, ())), None)

    def host(self, vtep: Address) -> HostName | None:
        """The hypervisor with this VTEP."""
        return next(iter(self.vteps.get(vtep, ())), None)

    def port(self, network: NetworkKey, mac: Mac) -> PortKey | None:
        """The port of a network with this MAC."""
        return next(iter(self.macs.get((network, mac), ())), None)


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
    pairs, targets = lookup.pairs.mutate(), lookup.targets.mutate()
    segments = lookup.segments.mutate()
    # Taken out of the old snapshot first, all of them: two objects may have swapped what they claim.
    for snapshot, step in ((old, -1), (new, 1)):
        for change in changes:
            if change.part is Part.NETWORK and isinstance(change.key, int):
                network = snapshot.networks.get(NetworkKey(change.key))
                if network is not None:
                    claim(vnis, network.vni, network.key, step)
                    for target in set(network.rules.imports) - {DERIVED}:
                        claim(targets, target, network.key, step)
            elif change.part is Part.HYPERVISOR and isinstance(change.key, str):
                host = snapshot.hypervisors.get(HostName(change.key))
                if host is not None:
                    claim(vteps, host.vtep, host.name, step)
                    for segment in host.segments:
                        claim(segments, segment, host.name, step)
            elif change.part is Part.PORT and isinstance(change.key, int):
                port = snapshot.ports.get(PortKey(change.key))
                if port is not None:
                    claim(macs, (port.network, port.mac), port.key, step)
                    for mac, address in singles(port):
                        claim(pairs, (port.network, mac, address), port.key, step)
                    for name in port.hosts:
                        _count(sites, (port.network, name), step)
    behind = holders.reindex(lookup.holders, old, new, changes)
    return Lookup(
        vnis.finish(),
        vteps.finish(),
        macs.finish(),
        sites.finish(),
        behind,
        pairs.finish(),
        targets.finish(),
        segments.finish(),
    )


def _count(counts: MapMutation[K, int], key: K, step: int) -> None:
    now = counts.get(key, 0) + step
    if now:
        counts[key] = now
    else:
        counts.pop(key, None)

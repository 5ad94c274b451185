"""Views of narrow ways: where the ports of a network may route to, and find a smaller MTU than their own.

Place: dispatched by pipelines.views. Knows the networks of the tenant, those behind its static routes, and
those that its peers export; a border is a router, and tells what it can't forward itself. Where two ways lead
to an address, the smaller MTU counts: an MTU that is too small costs some headers, one too large the packet.
Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from immutables import Map

from model.addresses import Address, Prefix
from model.ids import NetworkKey, TenantKey
from model.snapshot import Snapshot
from model.vrfs import peerings_of
from pipelines.index import Index, vrf_of

Limit = tuple[int, NetworkKey]
"""An MTU, and the network that it is of."""
Limits = dict[Prefix, Limit]


@dataclass(frozen=True, slots=True)
class NarrowView:
    """`ways`: (prefix, MTU, network whose MTU that is), the longest prefix holds; nothing where no way is
    narrower. Prefixes inside a narrower one that are not so themselves bear the MTU of `network` itself."""

    network: NetworkKey
    vrf: TenantKey
    ways: tuple[tuple[Prefix, int, NetworkKey], ...]


def narrow_view(snapshot: Snapshot, index: Index, key: NetworkKey) -> NarrowView | None:
    network, vrf = snapshot.networks.get(key), vrf_of(snapshot, key)
    if network is None or vrf is None or key not in index.locals:
        return None
    peers = tuple((other.tenant, other.prefixes) for _, _, other in peerings_of(snapshot, vrf))
    if all(network.mtu <= mtu for each in (vrf, *(peer for peer, _ in peers)) for mtu in _mtus(index, each)):
        return None
    own = _smallest(_own(snapshot, index, vrf))
    across = _smallest(part for peer, prefixes in peers for part in _across(snapshot, index, peer, prefixes))
    return NarrowView(key, vrf, tuple(_narrow(own, across, (network.mtu, key))))


def _mtus(index: Index, tenant: TenantKey) -> Iterator[int]:
    return iter(index.mtus.get(tenant, Map()))


def _smallest(limits: Iterator[tuple[Prefix, Limit]]) -> Limits:
    found: Limits = {}
    for prefix, limit in limits:
        found[prefix] = min(limit, found.get(prefix, limit))
    return found


def _own(snapshot: Snapshot, index: Index, vrf: TenantKey) -> Iterator[tuple[Prefix, Limit]]:
    """The tenant's subnets, and the prefixes of its static routes, as narrow as a next hop's network."""
    networks = [snapshot.networks[key] for key in sorted(index.vrfs.get(vrf, Map()))]
    subnets = [(subnet, (one.mtu, one.key)) for one in networks for subnet in one.subnets]
    yield from subnets
    known: dict[Address, tuple[Limit, ...]] = {}
    for prefix in index.statics.prefixes.get(vrf, Map()):
        for route in index.statics.routes(snapshot, vrf, prefix):
            for hop in route.next_hops:
                if hop not in known:
                    known[hop] = tuple(
                        limit for subnet, limit in subnets if subnet.version == hop.version and hop in subnet
                    )
                yield from ((prefix, limit) for limit in known[hop])


def _across(
    snapshot: Snapshot, index: Index, peer: TenantKey, prefixes: tuple[Prefix, ...]
) -> Iterator[tuple[Prefix, Limit]]:
    """What a peer exports of its networks."""
    for key in sorted(index.vrfs.get(peer, Map())):
        network = snapshot.networks[key]
        for subnet in network.subnets:
            for prefix in prefixes:
                if subnet.version == prefix.version and subnet.overlaps(prefix):
                    part = max(subnet, prefix, key=lambda one: one.prefixlen)
                    yield part, (network.mtu, key)


def _narrow(own: Limits, across: Limits, limit: Limit) -> Iterator[tuple[Prefix, int, NetworkKey]]:
    """The prefixes that are narrower than `limit`, and those inside one that is."""
    own_lengths, across_lengths = _lengths(own), _lengths(across)
    told: dict[Prefix, None] = {}
    told_lengths: set[tuple[int, int]] = set()
    for prefix in sorted({*own, *across}, key=lambda p: (p.version, p.prefixlen, int(p.network_address))):
        ways = [own[one] for one in _around(prefix, own_lengths) if one in own][-1:]
        ways += [across[one] for one in _around(prefix, across_lengths) if one in across]
        smallest = min(limit, *ways, key=lambda way: way[0])
        if smallest[0] < limit[0] or any(one in told for one in _around(prefix, told_lengths)):
            told[prefix] = None
            told_lengths.add((prefix.version, prefix.prefixlen))
            yield prefix, *smallest


def _lengths(limits: Limits) -> set[tuple[int, int]]:
    return {(one.version, one.prefixlen) for one in limits}


def _around(prefix: Prefix, lengths: set[tuple[int, int]]) -> Iterator[Prefix]:
    """What contains a prefix at these lengths, itself included, the longest last."""
    for version, length in sorted(lengths):
        if version == prefix.version and length <= prefix.prefixlen:
            yield prefix.supernet(new_prefix=length)

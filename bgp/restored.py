"""Restored: what an earlier life of the agent had learned, as the routes that would say it.

Place: between the saved snapshot and `bgp.learn.restore`, which has them judged as ever. Must not judge.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from bgp.codec import communities, nlri
from bgp.lookup import Lookup
from bgp.prefixes import route_for
from bgp.segments import WHOLE_TAG
from bgp.table import prefix_order
from model.addresses import Address
from model.ids import Mac, NetworkKey, Vni
from model.intent import Network
from model.route import (
    Attributes,
    DiscoveryRoute,
    Distinguisher,
    MacRoute,
    MulticastRoute,
    RemoteAddress,
    RemoteMac,
    Route,
    SegmentLabel,
)
from model.segments import NO_SEGMENT
from model.snapshot import Snapshot

_Hung = tuple[bytes, Vni, Attributes, Vni | None, Attributes]
"""Distinguisher and VNI; attributes without an address; L3VNI and attributes with one."""


def routes_of(snapshot: Snapshot, lookup: Lookup) -> list[Route]:
    """Routes that give what the snapshot had learned, as the agents of those hosts would have sent them."""
    found: list[Route] = []

    @cache
    def hung_of(
        key: NetworkKey, vtep: Address, sequence: int, router: Mac | None, *, sticky: bool
    ) -> _Hung | None:
        """Routes of a host to a network share their values: there may be thousands."""
        shared = _shared(snapshot, lookup, key, vtep)
        if shared is None:
            return None
        network, rd, hung = shared
        hung = replace(hung, sequence=sequence or None, sticky=sticky)
        return rd, network.vni, hung, *_routing(snapshot, network, router, hung)

    for remote in (snapshot.remotes[spot] for spot in sorted(snapshot.remotes)):
        known = hung_of(remote.network, remote.vtep, remote.sequence, remote.router_mac, sticky=remote.sticky)
        if known is not None:
            rd, vni, plain, l3vni, routed = known
            esi = remote.segment or NO_SEGMENT
            found.append(Route(MacRoute(rd, remote.mac, None, vni, esi=esi), plain))
            bodies = (MacRoute(rd, remote.mac, a, vni, l3vni, esi=esi) for a in remote.addresses)
            found.extend(Route(body, routed) for body in bodies)
    for flood in snapshot.floods.values():
        shared = _shared(snapshot, lookup, flood.network, flood.vtep)
        if shared is not None:
            network, rd, hung = shared
            hung = replace(hung, pmsi_vni=network.vni, pmsi_endpoint=flood.vtep)
            found.append(Route(MulticastRoute(rd, flood.vtep), hung))
    segments = _segments(snapshot, lookup)
    return found + segments + _prefixes(snapshot, lookup) + _addresses(snapshot, lookup)


def routes_at(snapshot: Snapshot, lookup: Lookup, place: RemoteMac | RemoteAddress) -> list[Route]:
    """RT-2 that give this place; none if the store no longer knows its network or its host."""
    shared = _shared(snapshot, lookup, place.network, place.vtep)
    if shared is None:
        return []
    network, rd, hung = shared
    hung = replace(hung, sequence=place.sequence or None)
    if isinstance(place, RemoteMac):
        hung = replace(hung, sticky=place.sticky)
    l3vni, routed = _routing(snapshot, network, place.router_mac, hung)
    if isinstance(place, RemoteAddress):
        return [Route(MacRoute(rd, place.mac, place.address, network.vni, l3vni), routed)]
    bodies = (MacRoute(rd, place.mac, address, network.vni, l3vni) for address in place.addresses)
    alone = Route(MacRoute(rd, place.mac, None, network.vni), hung)
    return [alone, *(Route(body, routed) for body in bodies)]


def _segments(snapshot: Snapshot, lookup: Lookup) -> list[Route]:
    """RT-1 of the VTEP that serves a MAC behind a segment; what the others say comes with the replay."""
    found: list[Route] = []
    places = {(r.network, r.vtep, r.segment) for r in snapshot.remotes.values() if r.segment}
    for key, vtep, segment in sorted(places, key=lambda one: (one[0], one[1].version, int(one[1]), one[2])):
        shared = _shared(snapshot, lookup, key, vtep)
        if shared is not None:
            network, rd, hung = shared
            label = SegmentLabel(single_active=False, label=0)
            whole = DiscoveryRoute(rd, segment, WHOLE_TAG, 0)
            found.append(Route(whole, replace(hung, segment_label=label)))
            found.append(Route(DiscoveryRoute(rd, segment, 0, network.vni), hung))
    return found


def _addresses(snapshot: Snapshot, lookup: Lookup) -> list[Route]:
    """RT-2 of addresses of allowed pairs."""
    found: list[Route] = []
    for spot in sorted(snapshot.claimed, key=lambda one: (one[0], one[1].version, int(one[1]))):
        found.extend(routes_at(snapshot, lookup, snapshot.claimed[spot]))
    return found


def _prefixes(snapshot: Snapshot, lookup: Lookup) -> list[Route]:
    """RT-5 of each next hop, under the router MAC that it had."""
    found: list[Route] = []
    for vrf, prefix in sorted(snapshot.prefixes, key=lambda one: (one[0], prefix_order(one[1]))):
        known = snapshot.prefixes[vrf, prefix]
        for hop in known.hops:
            name = lookup.host(hop.vtep)
            if name is None or snapshot.cluster is None:
                continue
            host = snapshot.hypervisors[name]
            made = route_for(snapshot, snapshot.cluster, host, vrf, prefix, known.preference)
            hung = replace(made.attributes, router_mac=hop.router_mac)
            found.append(replace(made, attributes=hung))
    return found


def _routing(
    snapshot: Snapshot, network: Network, router: Mac | None, plain: Attributes
) -> tuple[Vni | None, Attributes]:
    """L3VNI and attributes of a remote's routes with addresses (see `bgp.originate`)."""
    tenant = snapshot.tenants.get(network.tenant)
    if router is None or tenant is None or not tenant.l3vni or snapshot.cluster is None:
        return None, plain
    routed = tenant.rules.exported(snapshot.cluster.asn, tenant.l3vni)
    targets = tuple(sorted({*plain.route_targets, *routed}))
    return tenant.l3vni, replace(plain, route_targets=targets, router_mac=router)


def _shared(
    snapshot: Snapshot, lookup: Lookup, key: NetworkKey, vtep: Address
) -> tuple[Network, bytes, Attributes] | None:
    """Network, route distinguisher and attributes of a host's routes; None if the store knows them no
    longer.
    """
    network, name = snapshot.networks.get(key), lookup.host(vtep)
    if network is None or name is None or snapshot.cluster is None:
        return None
    number = network.distinguisher or network.key
    rd = nlri.distinguisher(Distinguisher(snapshot.hypervisors[name].router_id, number))
    targets = network.rules.exported(snapshot.cluster.asn, network.vni)
    return network, rd, Attributes(vtep, targets, encapsulations=(communities.VXLAN,))

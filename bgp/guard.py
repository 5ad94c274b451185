"""The guard: may this VTEP say this? A received route against what the store authorises.

Place: pure; asked by `bgp.learn` for each route that arrives and again when the store changes. Must not
remember anything, choose between routes, or trust a sequence number: authority is the store's, location
included (RFC 7432 section 15.1 only damps duplicate MACs; here a stolen MAC is refused whatever its
sequence).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bgp.codec import communities, nlri
from bgp.irb import judge_router
from bgp.lookup import Lookup
from bgp.replication import is_own
from bgp.rights import PrefixClaim, judge_prefix, vrf_of
from bgp.segments import SegmentClaim, is_imported, is_whole, judge_mac_segment, judge_segment, segment_of
from bgp.spoken import AddressClaim, judge_spoken
from bgp.verdict import NOT_IMPORTED, Case, NotImported, Refused, targets_tenant, title
from model.addresses import (
    GATEWAY_MAC,
    Address,
    format_mac,
    gateway,
    is_router_mac,
    is_unicast,
    link_local,
)
from model.ids import Mac, NetworkKey, PortKey, Vni
from model.intent import Hypervisor, Network, Port
from model.route import (
    DiscoveryRoute,
    MacRoute,
    MulticastRoute,
    OpaqueRoute,
    PrefixRoute,
    Route,
    SegmentRoute,
)
from model.snapshot import Snapshot

ELSEWHERE: Final = "bound-elsewhere"
"""Code of what a host says that may have the port, while another has it."""
UNAUTHORISED: Final = "vtep-not-authorised"
"""Code of what a host says that may not have the port at all."""
STUCK: Final = "sticky-elsewhere"
"""Code of what a host says of a sticky port that another has, or that it may not have."""


@dataclass(frozen=True, slots=True)
class MacClaim:
    """An accepted RT-2. `router_mac`: the VTEP routes to the address under it (see model.route.RemoteMac).

    `sticky`: it never moves, whatever others say (RFC 7432 section 15.2). `doubted`: nobody declared it; it
    is let through because the guard only counts. `segment`: what it is behind, empty = no Ethernet segment.
    """

    network: NetworkKey
    mac: Mac
    vtep: Address
    address: Address | None
    sequence: int
    preference: int
    router_mac: Mac | None = None
    sticky: bool = False
    doubted: bool = False
    segment: bytes = b""


@dataclass(frozen=True, slots=True)
class FloodClaim:
    """An accepted RT-3."""

    network: NetworkKey
    vtep: Address


Claim = MacClaim | FloodClaim | PrefixClaim | AddressClaim | SegmentClaim


Verdict = Claim | Refused | NotImported
_Judged = MacRoute | MulticastRoute | PrefixRoute | DiscoveryRoute | SegmentRoute


def judge(snapshot: Snapshot, lookup: Lookup, route: Route) -> Verdict:
    """The verdict on one route; `lookup` indexes `snapshot`."""
    body = route.nlri
    if isinstance(body, PrefixRoute):
        vrf = vrf_of(snapshot, lookup, route, body)
        if isinstance(vrf, Refused | NotImported):
            return vrf
        sender = _host(snapshot, lookup, route, body)
        if not isinstance(sender, Hypervisor):
            return sender
        return judge_prefix(snapshot, lookup, vrf, sender, route, body)
    if isinstance(body, OpaqueRoute):
        return NOT_IMPORTED
    if isinstance(body, SegmentRoute) or is_whole(body):
        if not is_imported(snapshot, lookup, route):
            return NOT_IMPORTED
        sender = _host(snapshot, lookup, route, body)
        return judge_segment(sender, route, body, None) if isinstance(sender, Hypervisor) else sender
    network = _network(snapshot, lookup, route, body)
    if not isinstance(network, Network):
        return network
    host = _host(snapshot, lookup, route, body)
    if not isinstance(host, Hypervisor):
        return host
    if isinstance(body, DiscoveryRoute):
        return judge_segment(host, route, body, network.key)
    if isinstance(body, MacRoute):
        return _judge_mac(snapshot, lookup, Case(network, host, route), body)
    return _judge_flood(snapshot, lookup, Case(network, host, route))


def case_of(snapshot: Snapshot, lookup: Lookup, route: Route) -> Case | None:
    """Network and host of an RT-2 or RT-3; None if there are none that agree with it."""
    body = route.nlri
    if not isinstance(body, MacRoute | MulticastRoute):
        return None
    network, host = _network(snapshot, lookup, route, body), _host(snapshot, lookup, route, body)
    if not isinstance(network, Network) or not isinstance(host, Hypervisor):
        return None
    return Case(network, host, route)


def bound(snapshot: Snapshot, lookup: Lookup, claim: Claim) -> bool:
    """Whether the store binds now what the claim says: the port to its VTEP, or a port of the network to it.

    External hosts have no bindings, so theirs are never bound. Nor is what no port stands behind: a default
    route that its gateway or border takes back goes at once.
    """
    name = lookup.host(claim.vtep)
    keys: Iterable[PortKey]
    if isinstance(claim, PrefixClaim | AddressClaim):
        keys = claim.ports
    elif isinstance(claim, SegmentClaim):
        keys = ()
    elif isinstance(claim, MacClaim):
        port = lookup.port(claim.network, claim.mac)
        keys = () if port is None else (port,)
    else:
        keys = snapshot.by_network.get(claim.network, ())
    bindings = (snapshot.bindings.get(key) for key in keys)
    return any(one is not None and one.active and one.host == name for one in bindings)


def _network(
    snapshot: Snapshot, lookup: Lookup, route: Route, body: MacRoute | MulticastRoute | DiscoveryRoute
) -> Network | Refused | NotImported:
    """The one network that both route target and VNI name (RFC 8365 sections 5.1.2 and 5.1.3).

    The route target of its tenant's L3VNI names it too (RFC 9135 section 5.2), in an RT-2.
    """
    vni = route.attributes.pmsi_vni if isinstance(body, MulticastRoute) else Vni(body.vni)
    labelled = None if vni is None else lookup.network(vni)
    targeted: set[NetworkKey] = set()
    for target in route.attributes.route_targets:
        targeted.update(lookup.importing(snapshot, target))
    if labelled is not None:
        found_network = snapshot.networks[labelled]
        routed = isinstance(body, MacRoute) and targets_tenant(snapshot, route, found_network)
        if labelled in targeted or routed:
            return found_network
    if isinstance(body, DiscoveryRoute) and not body.vni and len(targeted) == 1:
        return snapshot.networks[targeted.pop()]  # FRR 8.4 reflects an RT-1 without its label
    if not targeted and labelled is None:
        return NOT_IMPORTED
    shown = " ".join(communities.target_text(one) for one in route.attributes.route_targets) or "none"
    if not targeted:
        return Refused(
            "route-target-foreign",
            f"VNI {vni} is that of network {title(snapshot, labelled)}, but the route targets are {shown}; "
            f"announce that VNI with {_wanted(snapshot, labelled)} only, or look into who sends this",
        )
    if vni is None:
        return Refused(
            "pmsi-missing",
            f"RT-3 with route targets {shown} names no ingress replication tunnel (RFC 7432 section 11.2); "
            "set the sender to ingress replication",
        )
    names = " ".join(title(snapshot, key) for key in sorted(targeted))
    return Refused(
        "vni-foreign",
        f"VNI {vni} is not that of network {names}, whose route target {shown} the route bears; "
        "correct the sender's VNI, or look into who sends this",
    )


def _wanted(snapshot: Snapshot, key: NetworkKey | None) -> str:
    """The route targets that a network imports, for people."""
    if key is None or snapshot.cluster is None:
        return "none"
    network = snapshot.networks[key]
    targets = network.rules.imported(snapshot.cluster.asn, network.vni)
    return " or ".join(communities.target_text(one) for one in sorted(targets))


def _host(
    snapshot: Snapshot, lookup: Lookup, route: Route, body: _Judged
) -> Hypervisor | Refused | NotImported:
    """The declared hypervisor that the next hop stands for, and that the rest of the route agrees with."""
    hop = route.attributes.next_hop
    tunnels = route.attributes.encapsulations
    if tunnels and communities.VXLAN not in tunnels:
        return Refused("encapsulation", f"tunnel types {tunnels} lack VXLAN (8); set the sender to VXLAN")
    name = lookup.host(hop)
    if name is None:
        return Refused(
            "next-hop-unknown",
            f"next hop {hop} is the VTEP of no declared Hypervisor; declare it, or remove it",
        )
    rd = nlri.parse_distinguisher(body.rd)
    host = snapshot.hypervisors[name]
    if name == snapshot.host and rd is not None and rd.router_id == host.router_id:
        return NOT_IMPORTED  # our own route, reflected back (RFC 4456 section 8: ignored)
    if name == snapshot.host:
        return Refused(
            "next-hop-own",
            f"next hop {hop} is this host's own VTEP; give each host its own, or look into who sends",
        )
    if rd is None or rd.router_id != host.router_id:
        return Refused(
            "distinguisher",
            f"route distinguisher {body.rd.hex()} is not `router-id:number` with the router id of host "
            f"{name}; correct the Hypervisor's router id or the sender's",
        )
    if not isinstance(body, SegmentRoute) and body.etag and not is_whole(body):
        return Refused("ethernet-tag", f"Ethernet tag {body.etag} of {name}; VLAN-based service has tag 0")
    if route.attributes.default_gateway:
        return Refused(
            "default-gateway", f"host {name} claims to be a default gateway; no host may, turn it off there"
        )
    if route.attributes.sticky and not host.external and not _is_sticky(snapshot, lookup, body):
        return Refused(
            "sticky",
            f"host {name} claims a static MAC that is no sticky port's; an agent never does: look into it",
        )
    return host


def _is_sticky(snapshot: Snapshot, lookup: Lookup, body: _Judged) -> bool:
    network = lookup.network(body.vni) if isinstance(body, MacRoute) else None
    key = lookup.port(network, body.mac) if network is not None and isinstance(body, MacRoute) else None
    return key is not None and snapshot.ports[key].sticky


def _judge_mac(snapshot: Snapshot, lookup: Lookup, case: Case, body: MacRoute) -> Verdict:
    if not is_unicast(body.mac):
        text = f"{_what(case, body)}, which is no unicast MAC; look into who sends"
        return Refused("mac-martian", text)
    if body.mac == GATEWAY_MAC or is_router_mac(body.mac) or _is_gateway(case.network, body.address):
        text = f"{_what(case, body)}: gateways are on every host and never move; look into who sends this"
        return Refused("gateway", text)
    foreign = judge_mac_segment(case.host, body)
    if foreign is not None:
        return foreign
    if body.address is not None:
        speakers = lookup.speakers(case.network.key, body.mac, body.address)
        if speakers and segment_of(body):
            text = f"{_what(case, body)} behind an Ethernet segment, with {body.address} of an allowed pair"
            return Refused("segment-pair", f"{text}: that is not supported; give the port that address")
        if speakers:
            return judge_spoken(snapshot, case, body, body.address, speakers)
    key = lookup.port(case.network.key, body.mac)
    if key is None:
        where = f"in network {title(snapshot, case.network.key)}, which has no such port"
        return Refused("mac-unknown", f"{_what(case, body)} {where}; create the port")
    port = snapshot.ports[key]
    binding = snapshot.bindings.get(key)
    there = binding is not None and binding.active and binding.host != case.host.name
    if port.sticky and (there or case.host.name not in port.hosts):
        place = binding.host if binding is not None and there else ", ".join(port.hosts) or "nowhere"
        return Refused(
            STUCK,
            f"{_what(case, body)} {_whose(snapshot, port)}, which is sticky and at {place}: it moves by its "
            "hosts or ringfence migrate only; look into who sends this",
        )
    if case.host.name not in port.hosts:
        return Refused(
            UNAUTHORISED,
            f"{_what(case, body)} {_whose(snapshot, port)}, whose hosts are "
            f"{', '.join(port.hosts) or 'none'}; add the host to the port, or look into who sends this",
        )
    if binding is not None and there:
        return Refused(
            ELSEWHERE,
            f"{_what(case, body)} {_whose(snapshot, port)}, which is bound to host "
            f"{binding.host}; unbind it there first, or look into who sends this",
        )
    if not _owns(port, body.address):
        return Refused(
            "address-foreign",
            f"{case.who()} announces {body.address} for {format_mac(body.mac)} {_whose(snapshot, port)}, "
            f"which has {', '.join(map(str, port.addresses)) or 'no address'}; add the address to the port",
        )
    router = judge_router(snapshot, case, body)
    if isinstance(router, Refused):
        return router
    hung = case.route.attributes
    address = body.address if body.address in port.addresses else None
    usable = router if address is not None and case.network.routed else None
    return MacClaim(
        case.network.key,
        body.mac,
        case.host.vtep,
        address,
        hung.sequence or 0,
        hung.local_preference,
        usable,
        hung.sticky,
        segment=segment_of(body),
    )


def _what(case: Case, body: MacRoute) -> str:
    """For people, and only for them: a replay of thousands of good routes makes no words."""
    return f"{case.who()} announces {format_mac(body.mac)}"


def _whose(snapshot: Snapshot, port: Port) -> str:
    return f"of port {port.name} in network {title(snapshot, port.network)}"


def _judge_flood(snapshot: Snapshot, lookup: Lookup, case: Case) -> Verdict:
    hung = case.route.attributes
    name = title(snapshot, case.network.key)
    if not is_own(case.host, hung.pmsi_endpoint):
        return Refused(
            "pmsi-endpoint",
            f"{case.who()} wants frames sent to {hung.pmsi_endpoint}; it may name its own VTEP only",
        )
    if (case.network.key, case.host.name) not in lookup.sites:
        return Refused(
            "vtep-not-in-network",
            f"{case.who()} wants frames of network {name}, none of whose ports has "
            "that host in its hosts; add it to a port, or look into who sends this",
        )
    return FloodClaim(case.network.key, case.host.vtep)


def _is_gateway(network: Network, address: Address | None) -> bool:
    """Without routing there is no gateway, and its address is like any."""
    return network.routed and any(address == gateway(subnet) for subnet in network.subnets)


def _owns(port: Port, address: Address | None) -> bool:
    """A MAC alone, an address of the port, or the link-local one that its MAC makes."""
    return address is None or address in port.addresses or address == link_local(port.mac)

"""EVPN routes (RFC 7432, RFC 9136) and what is learned from them.

Place: originated by `bgp.originate`, decoded by `bgp.codec`, judged by `bgp.guard`. Must not know ExaBGP.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.addresses import Address, Prefix
from model.ids import Mac, NetworkKey, PortKey, TenantKey, Vni
from model.targets import LargeCommunity


@dataclass(frozen=True, slots=True)
class Distinguisher:
    """Route distinguisher of type 1: `router-id:local-id` (RFC 4364 section 4.2); router_id is 32 bits."""

    router_id: int
    local_id: int


@dataclass(frozen=True, slots=True)
class MacRoute:
    """RT-2 (RFC 7432 section 7.2). `vni2` is the L3VNI of symmetric IRB (RFC 9135 section 5)."""

    rd: bytes
    mac: Mac
    address: Address | None
    vni: Vni
    vni2: Vni | None = None
    etag: int = 0
    esi: bytes = bytes(10)


@dataclass(frozen=True, slots=True)
class MulticastRoute:
    """RT-3, inclusive multicast (RFC 7432 section 7.3)."""

    rd: bytes
    originator: Address
    etag: int = 0


@dataclass(frozen=True, slots=True)
class DiscoveryRoute:
    """RT-1, Ethernet auto-discovery (RFC 7432 section 7.1). `vni` is 0 in the route per segment."""

    rd: bytes
    esi: bytes
    etag: int
    vni: int


@dataclass(frozen=True, slots=True)
class SegmentRoute:
    """RT-4, Ethernet segment (RFC 7432 section 7.4)."""

    rd: bytes
    esi: bytes
    originator: Address


@dataclass(frozen=True, slots=True)
class PrefixRoute:
    """RT-5, IP prefix (RFC 9136 section 3.1). `gateway` None = no overlay index in the route."""

    rd: bytes
    prefix: Prefix
    vni: int
    gateway: Address | None = None
    etag: int = 0
    esi: bytes = bytes(10)


@dataclass(frozen=True, slots=True)
class OpaqueRoute:
    """A route type that is understood as far as its key, kept and shown, not used."""

    kind: int
    raw: bytes


Nlri = DiscoveryRoute | MacRoute | MulticastRoute | SegmentRoute | PrefixRoute | OpaqueRoute


@dataclass(frozen=True, slots=True)
class SegmentLabel:
    """ESI label community (RFC 7432 section 7.5): how the VTEPs of a segment share it, and the label that
    splits the horizon (0 with VXLAN: RFC 8365 section 8.3.1)."""

    single_active: bool
    label: int


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A PMSI tunnel that is not ingress replication (RFC 6514 section 5): read and shown, never used."""

    flags: int
    kind: int
    label: int
    identifier: bytes


@dataclass(frozen=True, slots=True)
class Attributes:
    """Path attributes. `route_targets`: 8 raw bytes each, sorted; so are all tuples but the paths.

    `pmsi_vni`/`pmsi_endpoint`: ingress replication (RFC 7432 section 11.2), `pmsi_other`: any other kind;
    `sequence` None = no mobility community (RFC 7432 section 7.7). `encapsulations`: tunnel types of the
    encapsulation communities (RFC 8365 section 5.1.3: none = MPLS by the letter, VXLAN by local policy; 8 =
    VXLAN). `segment_imports`: ES-Import route targets (RFC 7432 section 7.6); `neighbor_flags`: those of the
    ARP/ND community (RFC 9047 section 2). `extended`: the other extended communities, 8 raw bytes each.
    `as_path`: the attribute's value (RFC 4271 section 4.3), empty from an internal peer's own routes;
    `originator` and `clusters`: what reflectors add (RFC 4456 section 8).
    """

    next_hop: Address
    route_targets: tuple[bytes, ...] = ()
    sequence: int | None = None
    sticky: bool = False
    router_mac: Mac | None = None
    default_gateway: bool = False
    pmsi_vni: Vni | None = None
    pmsi_endpoint: Address | None = None
    local_preference: int = 100
    encapsulations: tuple[int, ...] = ()
    segment_label: SegmentLabel | None = None
    segment_imports: tuple[Mac, ...] = ()
    neighbor_flags: int | None = None
    extended: tuple[bytes, ...] = ()
    communities: tuple[int, ...] = ()
    large_communities: tuple[LargeCommunity, ...] = ()
    pmsi_other: Tunnel | None = None
    origin: int = 0
    as_path: bytes = b""
    med: int | None = None
    originator: int | None = None
    clusters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    nlri: Nlri
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class RemoteMac:
    """What the guard let through for (network, MAC): where it lives and which IPs are its own.

    `router_mac`: the VTEP routes for it under this MAC and the tenant's L3VNI (symmetric IRB, RFC 9135
    section 5); None = it can only be bridged to. `sticky`: its host says that it never moves. `segment`: the
    Ethernet segment that it is behind, one of whose VTEPs `vtep` is; empty = none (RFC 7432 section 5).
    """

    network: NetworkKey
    mac: Mac
    vtep: Address
    addresses: tuple[Address, ...]
    sequence: int = 0
    router_mac: Mac | None = None
    sticky: bool = False
    segment: bytes = b""


@dataclass(frozen=True, slots=True)
class FloodVtep:
    """A VTEP that takes replicated frames of a network (RT-3)."""

    network: NetworkKey
    vtep: Address


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a prefix of a VRF leads (RFC 9136 section 4.4.1): a VTEP, its router MAC, the VRF's own VNI."""

    vtep: Address
    router_mac: Mac


@dataclass(frozen=True, slots=True)
class RemotePrefix:
    """What the guard let through for a prefix of a VRF: the best next hops, all equally good, sorted."""

    vrf: TenantKey
    prefix: Prefix
    hops: tuple[NextHop, ...]
    preference: int = 100


@dataclass(frozen=True, slots=True)
class Sighting:
    """An address of an allowed pair, where it was seen last: this host's `port` spoke for it.

    `sequence`: rises with each move (RFC 7432 section 7.7), so that the newest speaker wins everywhere.
    """

    network: NetworkKey
    address: Address
    mac: Mac
    port: PortKey
    sequence: int


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """An address of an allowed pair behind a tunnel: the newest that other hosts said of it.

    `router_mac` as in `RemoteMac`.
    """

    network: NetworkKey
    address: Address
    mac: Mac
    vtep: Address
    sequence: int
    router_mac: Mac | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A route that the guard refused; kept and judged again when the store changes.

    `code` is stable and for machines (`vtep-not-authorised`); `reason` ends with the remedy.
    """

    route: Route
    peer: str
    reason: str
    code: str = ""

"""The configuration of a FRR route reflector, client by client: what each may say, and what each is told.

Place: pure; values in, the text of bgpd.conf out. `ringfence reflector` fills it from the store. A fence in
front of the guard (docs/decisions/0008), which judges every route again on each host: what gets past a
reflector is refused there. Must not know the store, or where FRR keeps its files.

Seen with FRR 8.4.4, and so written:
- `match evpn rd` takes none of our RDs (its schema refuses what its parser wants). What a thief gains by a
  victim's RD is the victim's route key (RFC 7432 section 7), MAC included: so MACs are matched instead.
- `match ip next-hop address` compares the attribute NEXT_HOP. A sender may put its own address there and
  the victim's into MP_REACH_NLRI, which is what counts (RFC 4760 section 3): `set ipv4 vpn next-hop` writes
  the client's own over it.
- a route in which only the label is new is taken for a duplicate (`no bgp suppress-duplicates`).
- `maximum-prefix` does not exist for l2vpn evpn: the hosts' own limits count (`--max-routes` of the speaker).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from bgp.codec import communities
from model.addresses import Address, format_mac
from model.ids import Mac, Vni

_TYPES: Final = ("macip", "multicast", "prefix")
"""RT-2, RT-3, RT-5."""
_SEGMENT_TYPES: Final = ("ead", "es")
"""RT-1 and RT-4: of hosts that are declared to be on Ethernet segments, and of nobody else."""
_MAC_TYPES: Final = ("macip",)


@dataclass(frozen=True, slots=True)
class Client:
    """A host that peers with the reflector from its VTEP's address.

    `macs`: those that its RT-2 may bear; None = any. `imports`: VNIs of the route targets that it is sent;
    None = all.
    """

    name: str
    address: Address
    macs: tuple[Mac, ...] | None = None
    imports: tuple[Vni, ...] | None = None
    targets: tuple[bytes, ...] = ()
    """Route targets besides, if there is a filter."""
    segments: int = 0
    """How many Ethernet segments it is declared to be on."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`keepalive`, `hold` in seconds (RFC 4271 section 4.2). `hops` None: no TTL security (RFC 5082).

    `password`: as the speakers have it (RFC 2385). `source`: the reflector's own address. `router_id`: its
    BGP identifier; None: the source, if that is IPv4.
    """

    asn: int
    source: Address
    keepalive: int = 30
    hold: int = 90
    hops: int | None = None
    password: str | None = None
    router_id: IPv4Address | None = None


def configuration(terms: Terms, clients: Sequence[Client]) -> str:
    """bgpd.conf, the whole of it, so that `frr-reload` finds what has gone, too. Clients by name."""
    ordered = sorted(clients, key=lambda client: client.name)
    lines = [
        "! from `ringfence reflector`: make it again rather than edit it",
        "no service integrated-vtysh-config",
    ]
    for client in ordered:
        lines += _lists(terms, client)
        lines += _inward(client)
        lines += _outward(client)
    return "\n".join([*lines, *_router(terms, ordered), ""])


def _router(terms: Terms, clients: Sequence[Client]) -> Iterator[str]:
    yield f"router bgp {terms.asn}"
    identifier = terms.source if terms.router_id is None else terms.router_id
    if identifier.version == 4:
        yield f" bgp router-id {identifier}"
    yield " no bgp default ipv4-unicast"
    yield " no bgp suppress-duplicates"
    yield " neighbor CLIENTS peer-group"
    yield f" neighbor CLIENTS remote-as {terms.asn}"
    yield f" neighbor CLIENTS update-source {terms.source}"
    yield f" neighbor CLIENTS timers {terms.keepalive} {terms.hold}"
    if terms.password is not None:
        yield f" neighbor CLIENTS password {terms.password}"
    if terms.hops is not None:
        yield f" neighbor CLIENTS ttl-security hops {terms.hops}"
    yield from (f" neighbor {client.address} peer-group CLIENTS" for client in clients)
    yield " address-family l2vpn evpn"
    yield "  neighbor CLIENTS activate"
    yield "  neighbor CLIENTS route-reflector-client"
    for client in clients:
        yield f"  neighbor {client.address} route-map {_inbound(client)} in"
        if client.imports is not None:
            yield f"  neighbor {client.address} route-map {_outbound(client)} out"
    yield " exit-address-family"
    yield "exit"


def _lists(terms: Terms, client: Client) -> Iterator[str]:
    """An empty list would let nothing match, and so would none: both refuse."""
    for number, mac in enumerate(sorted(client.macs or ()), 1):
        yield f"mac access-list {_macs(client)} seq {number * 5} permit {format_mac(mac)}"
    derived = {communities.route_target(terms.asn, vni) for vni in client.imports or ()}
    for target in sorted(derived.union(client.targets)):
        text = communities.target_text(target)
        yield f"bgp extcommunity-list standard {_imports(client)} permit rt {text}"


def _inward(client: Client) -> Iterator[str]:
    """One entry a route type; whatever none of them takes is refused."""
    for number, kind in enumerate((*_TYPES, *(_SEGMENT_TYPES if client.segments else ())), 1):
        yield f"route-map {_inbound(client)} permit {number * 10}"
        yield f" match evpn route-type {kind}"
        if client.address.version == 4:
            yield f" match ip next-hop address {client.address}"
        else:
            yield f" match ipv6 next-hop address {client.address}"
        if kind in _MAC_TYPES and client.macs is not None:
            yield f" match mac address {_macs(client)}"
        if client.address.version == 4:
            yield f" set ipv4 vpn next-hop {client.address}"
        yield "exit"


def _outward(client: Client) -> Iterator[str]:
    if client.imports is not None:
        yield f"route-map {_outbound(client)} permit 10"
        yield f" match extcommunity {_imports(client)}"
        yield "exit"


def _inbound(client: Client) -> str:
    return f"from-{client.name}"


def _outbound(client: Client) -> str:
    return f"to-{client.name}"


def _macs(client: Client) -> str:
    return f"macs-{client.name}"


def _imports(client: Client) -> str:
    return f"targets-{client.name}"

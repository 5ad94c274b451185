"""Cross: rules between the objects of a manifest and those in the store that allocation does not decide.

Place: beside `ipam.plan`, on the same contents. Where it says what the
planner says too, `manifest.merge` keeps one. Must not allocate.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator

from ipam.claims import address_claim
from ipam.contents import Claim, Contents
from ipam.pools import MAC
from model.addresses import Prefix, format_mac
from model.errors import Fault
from model.ids import HostName
from model.wanted import Wanted, WantedHypervisor, WantedNetwork, WantedPort, fault, refer, title

Span = tuple[int, int, int, str, str]
"""A subnet as (IP version, first, last, prefix, network)."""


def cross(contents: Contents, wanted: Iterable[Wanted]) -> tuple[Fault, ...]:
    """All faults between objects."""
    objects = tuple(wanted)
    return (*_overlaps(contents, objects), *_externals(contents, objects), *_taken(contents, objects))


def _overlaps(contents: Contents, wanted: tuple[Wanted, ...]) -> Iterator[Fault]:
    """Networks of one tenant share a routing table, so their subnets must differ (RFC 9136 section 4.4)."""
    networks = [w for w in wanted if isinstance(w, WantedNetwork) and w.subnets]
    rewritten = {(w.tenant, w.name) for w in networks}
    claims = {tenant: _stored(contents, tenant, rewritten) for tenant in sorted({w.tenant for w in networks})}
    for network in networks:
        yield from _claim(network, claims[network.tenant])


def _stored(contents: Contents, tenant: str, rewritten: set[tuple[str, str]]) -> list[Span]:
    return sorted(
        _bounds(subnet, name)
        for name in contents.networks_of.get(tenant, ())
        if (tenant, name) not in rewritten
        for subnet in contents.networks[tenant, name].value.subnets
    )


def _bounds(subnet: Prefix, name: str) -> Span:
    first = int(subnet.network_address)
    return subnet.version, first, first + subnet.num_addresses - 1, str(subnet), name


def _claim(network: WantedNetwork, claims: list[Span]) -> Iterator[Fault]:
    """Add the network's subnets to the sorted, disjoint claims; a fault for each that would overlap."""
    for index, subnet in enumerate(network.subnets or ()):
        mine = _bounds(subnet, network.name)
        place = bisect(claims, mine)
        around = claims[max(place - 1, 0) : place + 1]
        clash = next((c for c in around if c[0] == mine[0] and c[1] <= mine[2] and mine[1] <= c[2]), None)
        if clash is None:
            claims.insert(place, mine)
        elif clash[4] != network.name:
            yield fault(
                network,
                "subnet-overlap",
                f"{subnet} overlaps {clash[3]} of network {network.tenant}/{clash[4]}",
                "Networks of one tenant need subnets of their own; other tenants may use the same.",
                f"spec.subnets[{index}]",
            )


def _externals(contents: Contents, wanted: tuple[Wanted, ...]) -> Iterator[Fault]:
    """No agent of ours binds on an external host, so such a port can only live there, or behind an Ethernet
    segment that all of its hosts are on."""
    external = {name for name, record in contents.hypervisors.items() if record.value.external}
    segments = {name: frozenset(record.value.segments) for name, record in contents.hypervisors.items()}
    for want in wanted:
        if isinstance(want, WantedHypervisor) and want.external is not None:
            external = (external | {want.name}) if want.external else (external - {want.name})
        if isinstance(want, WantedHypervisor) and want.segments is not None:
            segments[want.name] = frozenset(want.segments)
    for want in wanted:
        if not isinstance(want, WantedPort) or want.hosts is None or len(want.hosts) < 2:
            continue
        shared = [segments.get(HostName(host), frozenset()) for host in want.hosts]
        if frozenset.intersection(*shared):
            continue
        for index, host in enumerate(want.hosts):
            if HostName(host) in external:
                yield fault(
                    want,
                    "external-host",
                    f"{host} is an external host and not the only one",
                    f"Name {host} alone: no agent there says whether the port has moved. Or declare a segment"
                    " that all of its hosts share.",
                    f"spec.hosts[{index}]",
                )


def _taken(contents: Contents, wanted: tuple[Wanted, ...]) -> Iterator[Fault]:
    """What others hold, also for ports that the planner puts aside for another mistake.

    Others that stand in the same manifest may be giving it up: the planner knows.
    """
    asked = {refer(want) for want in wanted}
    for want in wanted:
        if not isinstance(want, WantedPort):
            continue
        for claim, what, path in _claims(contents, want):
            holder = contents.owners.get(claim)
            if holder is not None and holder not in asked:
                yield fault(
                    want,
                    "already-taken",
                    f"{what} is held by {title(holder)}",
                    "Choose another, or leave it out to get a free one.",
                    path,
                )


def _claims(contents: Contents, want: WantedPort) -> Iterator[tuple[Claim, str, str]]:
    """(claim, its name, field path) of what the port asks for by value."""
    if want.mac is not None:
        yield (MAC, int(want.mac)), f"MAC {format_mac(want.mac)}", "spec.mac"
    record = contents.networks.get((want.tenant, want.network))
    if record is None:
        return
    for index, address in enumerate(want.addresses or ()):
        what = f"address {address} of network {want.tenant}/{want.network}"
        yield address_claim(record.value, address), what, f"spec.addresses[{index}]"

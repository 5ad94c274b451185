"""Ethernet segments: who may speak for one, and over which VTEPs what is behind it is reached
(docs/decisions/0031).

Place: the part of `bgp.guard` that judges RT-1 and RT-4 (RFC 7432 sections 8.2, 8.4 and 8.5), and the choice
among a segment's VTEPs that `bgp.table` asks for. Pure. Authority is the store's: a host says of the
segments that its Hypervisor declares, and of no other. RT-4 are shown only: who forwards replicated frames to
a segment is decided by the VTEPs that are on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeGuard

from bgp.lookup import Lookup
from bgp.replication import is_own
from bgp.verdict import Refused
from model.addresses import Address
from model.ids import Mac, NetworkKey
from model.intent import Hypervisor
from model.rendezvous import assign
from model.route import DiscoveryRoute, MacRoute, Nlri, Route, SegmentRoute
from model.segments import RESERVED, segment_text
from model.snapshot import Snapshot

WHOLE_TAG: Final = 0xFFFFFFFF
"""MAX-ET: the Ethernet tag of an RT-1 per segment (RFC 7432 section 8.2.1)."""


@dataclass(frozen=True, slots=True)
class SegmentClaim:
    """An accepted RT-1 (`type` 1: per segment if `network` is None, else per EVI), or RT-4 (`type` 4)."""

    segment: bytes
    vtep: Address
    type: int
    network: NetworkKey | None = None
    single_active: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """How a segment is reached in one network. `whole`: VTEPs with an RT-1 per segment; `aliases`: those of
    them that have one for the network as well (RFC 7432 section 8.4)."""

    whole: frozenset[Address]
    aliases: frozenset[Address]
    single_active: bool


Reaching = Callable[[bytes, NetworkKey, Mac], Reach]
"""For one MAC: its aliases are those of the segment that the store lets have it."""


def is_whole(body: Nlri) -> TypeGuard[DiscoveryRoute | SegmentRoute]:
    """Whether a route is of a whole segment, not of one network: an RT-1 per segment, or an RT-4."""
    return isinstance(body, SegmentRoute) or (isinstance(body, DiscoveryRoute) and body.etag == WHOLE_TAG)


def is_imported(snapshot: Snapshot, lookup: Lookup, route: Route) -> bool:
    """Whether somebody here listens to an RT-1 per segment, which bears the route targets of all networks on
    it (RFC 7432 section 8.2.1.1), or whether an RT-4 is of a segment that somebody is declared to be on."""
    if isinstance(route.nlri, SegmentRoute):
        return route.nlri.esi in lookup.segments
    return any(
        lookup.importing(snapshot, target) or lookup.holders.importing(snapshot, target)
        for target in route.attributes.route_targets
    )


def segment_of(body: MacRoute) -> bytes:
    """The segment that a MAC is behind; empty for none: reserved identifiers name none (RFC 7432 section
    9.2.2)."""
    return b"" if body.esi in RESERVED else body.esi


def judge_mac_segment(host: Hypervisor, body: MacRoute) -> Refused | None:
    """Why an RT-2 may not name its segment; None if it may, or names none."""
    segment = segment_of(body)
    return _undeclared(host, segment) if segment and segment not in host.segments else None


def judge_segment(
    host: Hypervisor, route: Route, body: DiscoveryRoute | SegmentRoute, network: NetworkKey | None
) -> SegmentClaim | Refused:
    """The verdict on an RT-1 or RT-4 of a declared host; `network`: that of an RT-1 per EVI."""
    if body.esi not in host.segments:
        return _undeclared(host, body.esi)
    if isinstance(body, SegmentRoute):
        if not is_own(host, body.originator):
            return Refused(
                "segment-originator",
                f"{_who(host)} says that {body.originator} is on segment {segment_text(body.esi)}; it may say"
                " so of its own VTEP only",
            )
        return SegmentClaim(body.esi, host.vtep, 4)
    if network is not None:
        return SegmentClaim(body.esi, host.vtep, 1, network)
    label = route.attributes.segment_label
    if label is None:
        return Refused(
            "segment-label",
            f"{_who(host)} does not say how segment {segment_text(body.esi)} is shared: its RT-1 lacks the"
            " ESI label community (RFC 7432 section 8.2.1); correct the sender",
        )
    return SegmentClaim(body.esi, host.vtep, 1, None, label.single_active)


def _undeclared(host: Hypervisor, segment: bytes) -> Refused:
    return Refused(
        "segment",
        f"{_who(host)} speaks for Ethernet segment {segment_text(segment)}, which it is not declared to be"
        " on; add it to the Hypervisor's segments, or look into who sends this",
    )


def _who(host: Hypervisor) -> str:
    return f"VTEP {host.vtep} (host {host.name})"


def gather(claims: Iterable[SegmentClaim], network: NetworkKey) -> Reach:
    """What the claims on one segment come to. One VTEP that says single-active makes it so for all (RFC 7432
    section 14.1.1)."""
    some = [one for one in claims if one.type == 1]
    whole = frozenset(one.vtep for one in some if one.network is None)
    aliases = frozenset(one.vtep for one in some if one.network == network)
    return Reach(whole, aliases & whole, any(one.single_active for one in some))


def allowed(snapshot: Snapshot, lookup: Lookup, network: NetworkKey, mac: Mac) -> frozenset[Address]:
    """The VTEPs that the store lets have a MAC: an alias needs that right as whoever says the MAC does."""
    key = lookup.port(network, mac)
    hosts = () if key is None else snapshot.ports[key].hosts
    return frozenset(snapshot.hypervisors[name].vtep for name in hosts if name in snapshot.hypervisors)


def paths(reach: Reach, said_by: frozenset[Address]) -> frozenset[Address]:
    """The VTEPs over which a MAC is reached that `said_by` announce behind the segment; none: not at all.

    All-active (RFC 7432 section 14.1.2): whoever announces it and every alias. Single-active (14.1.1): who
    announces it; without him the backup, if there is but one. A VTEP that took back its RT-1 per segment is
    out at once, whatever RT-2 of it remain (mass withdraw, section 8.2).
    """
    direct = said_by & reach.whole
    if not reach.single_active:
        return direct | reach.aliases
    return direct or (reach.aliases if len(reach.aliases) == 1 else frozenset())


def one_of(vteps: Iterable[Address], scope: str) -> Address:
    """The VTEP of several that serves `scope`: rendezvous, so that one that goes moves only what it had."""
    order = sorted(vteps, key=lambda vtep: (vtep.version, int(vtep)))
    return order[assign([str(vtep) for vtep in order], scope, 1)[0]]

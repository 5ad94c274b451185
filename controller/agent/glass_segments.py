"""Segments in the looking glass: which VTEPs are on an Ethernet segment, and what they said of it.

Place: a part of `controller.agent.glass`. Pure. Must not decide which of them is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bgp import show
from bgp.segments import SegmentClaim
from bgp.table import Table, address_order
from controller.agent.seeking import Choice
from controller.agent.titles import network_title, tenants_of
from model.ids import TenantKey
from model.route import Route
from model.segments import segment_text
from model.snapshot import Snapshot

Row = dict[str, Any]


def tenants(now: Snapshot, claim: SegmentClaim) -> tuple[TenantKey, ...]:
    """The tenant of an RT-1 per EVI; whole segments are nobody's."""
    return () if claim.network is None else tenants_of(now, claim.network)


def rows(now: Snapshot, table: Table, wanted: Choice, order: str) -> Iterator[Row]:
    """A row for each RT-1 and RT-4 that the guard let through and that stands, live or held."""
    for segment in table.lookup.segments:
        said: dict[SegmentClaim, Route] = {}
        for key in sorted(table.entities.get(("segment", segment), ())):
            held = table.held.get(key)
            found = [table.live[key, peer] for peer in sorted(table.peers_of.get(key, ()))]
            for one in (*found, *(() if held is None else (held,))):
                if isinstance(one.claim, SegmentClaim) and one.claim.segment == segment:
                    said.setdefault(one.claim, one.route)
        for claim, route in said.items():
            if wanted.takes(claim.type, tenants(now, claim), None, ()):
                yield _row(now, claim, route) | {order: (claim.type, *_place(claim))}


def _row(now: Snapshot, claim: SegmentClaim, route: Route) -> Row:
    label = route.attributes.segment_label
    return {
        "kind": "segment" if claim.type == 4 else "discovery",
        "type": claim.type,
        "network": "" if claim.network is None else network_title(now, claim.network),
        "vtep": str(claim.vtep),
        "mac": "",
        "addresses": [],
        "sequence": 0,
        "port": "",
        "segment": segment_text(claim.segment),
        "label": 0 if label is None else label.label,
        "mode": "" if label is None else "single-active" if label.single_active else "all-active",
        "route": show.text(route),
        "became": [],
    }


def _place(claim: SegmentClaim) -> tuple[int, tuple[Any, ...], str]:
    """As the rows of other routes are ordered: network, addresses, text."""
    return (claim.network or 0, (address_order(claim.vtep),), segment_text(claim.segment))

"""Entries: which of the lists of model.entries judge one port, and whom their peers take.

Place: read by the verdict, the analysis, promotion and the compiler, which take the list's own types from
here as well. Must not know packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from model.entries import Entry as Entry
from model.entries import Level as Level
from model.entries import Place as Place
from model.entries import Tenants as Tenants
from model.entries import bottom as bottom
from model.entries import lot as lot
from model.entries import place as place
from model.entries import rank as rank
from model.entries import standing as standing
from model.labels import Selector, selects
from model.policy import Endpoint, Selection, borne


def concerns(entry: Entry, port: Endpoint) -> bool:
    """Whether the entry judges this port's connections."""
    if entry.place.tenant not in ("", port.tenant):
        return False
    asked = entry.subject.tenants
    if asked is not None and not _of_tenant(asked, port):
        return False
    return _of_port(entry.subject, port)


def takes(peer: Selection, subject: Endpoint, other: Endpoint) -> bool:
    """Whether a peer's selection takes the port at the other end."""
    if peer.tenants is None:
        return other.tenant == subject.tenant and _of_port(peer, other)
    return _of_tenant(peer.tenants, other) and _of_port(peer, other)


def judging(entries: Iterable[Entry], port: Endpoint) -> tuple[Entry, ...]:
    """Those that judge one port, with the state that each has there."""
    mine = (entry for entry in entries if concerns(entry, port))
    return tuple(replace(entry, state=entry.at(port.uid), share=100) for entry in mine)


def _of_port(selection: Selection, port: Endpoint) -> bool:
    return selects(selection.ports, borne(port.name, port.labels)) and selects(
        selection.networks, borne(port.network, port.network_labels)
    )


def _of_tenant(asked: Selector, port: Endpoint) -> bool:
    return selects(asked, borne(port.tenant, port.tenant_labels))

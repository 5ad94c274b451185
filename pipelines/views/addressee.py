"""Views of ports to which others of their network send, where some port is forbidden to send.

Place: dispatched by pipelines.views. Must not make flows, and must not ask what EVPN says: the store says who
has an address (docs/decisions/0067).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from model.addresses import Prefix
from model.ids import Mac, NetworkKey, PortKey
from model.intent import Port
from model.snapshot import Snapshot
from pipelines.index import Index, vrf_of
from pipelines.views.ports import collapsed, forwarded, halves
from pipelines.views.terms import owned


@dataclass(frozen=True, slots=True)
class AddresseeView:
    """A port, here or elsewhere: its MACs, each with what it has, disjoint."""

    network: NetworkKey
    has: tuple[tuple[Mac, Prefix], ...]


def addressee_view(snapshot: Snapshot, index: Index, key: PortKey) -> AddresseeView | None:
    port = snapshot.ports.get(key)
    if port is None or port.network not in index.policed.strict.networks:
        return None
    found: dict[Mac, list[Prefix]] = {}
    for mac, prefix in _having(snapshot, index, port):
        found.setdefault(mac, []).append(prefix)
    has = ((mac, half) for mac in sorted(found) for one in collapsed(found[mac]) for half in halves(one))
    return AddresseeView(port.network, tuple(has))


def _having(snapshot: Snapshot, index: Index, port: Port) -> Iterator[tuple[Mac, Prefix]]:
    """What the guard lets it send as: its own addresses, those of its pairs, and out of what is routed to it,
    whichever of its MACs that is sent to."""
    yield from ((port.mac, ip_network(address)) for address in owned(port.mac, port.addresses))
    pairs = [(port.mac if pair.mac is None else pair.mac, pair.prefix) for pair in port.allowed]
    yield from pairs
    vrf = vrf_of(snapshot, port.network)
    behind = () if vrf is None else forwarded(snapshot, index, vrf, port)
    yield from ((mac, prefix) for mac in {port.mac, *(mac for mac, _ in pairs)} for prefix in behind)

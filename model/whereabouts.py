"""Whereabouts: who of several speakers has an address of an allowed pair now (VRRP and its kin).

Place: asked by pipelines, bgp and the agent, so that all of them, on all hosts, come to one answer. Pure.
"""

from __future__ import annotations

from model.addresses import Address
from model.ids import Mac, NetworkKey
from model.intent import Port
from model.route import RemoteAddress, Sighting
from model.snapshot import Snapshot


def owner(snapshot: Snapshot, network: NetworkKey, address: Address) -> Sighting | RemoteAddress | None:
    """The newest speaker: the highest sequence (RFC 7432 section 7.7); of equal ones the lowest VTEP."""
    here, there = snapshot.sightings.get((network, address)), snapshot.claimed.get((network, address))
    this = snapshot.this()
    if here is None or this is None or not stands(snapshot, here):
        return there
    if there is None or here.sequence > there.sequence:
        return here
    if here.sequence < there.sequence:
        return there
    first = (this.vtep.version, int(this.vtep)) < (there.vtep.version, int(there.vtep))
    return here if first else there


def stands(snapshot: Snapshot, seen: Sighting) -> bool:
    """Whether what was seen may still be so: the port lives here, plugged in, and may use the address."""
    port = snapshot.ports.get(seen.port)
    if port is None or not port.enabled or port.network != seen.network:
        return False
    if not snapshot.bound_here(seen.port):
        return False
    interface = snapshot.interfaces.get(port.uid)
    return interface is not None and interface.ofport > 0 and seen.mac in speakers(port, seen.address)


def speakers(port: Port, address: Address) -> tuple[Mac, ...]:
    """The MACs with which a port may announce an address: those of its pairs of this one address."""
    return tuple(mac for mac, one in singles(port) if one == address)


def singles(port: Port) -> tuple[tuple[Mac, Address], ...]:
    """Its pairs of one address, as MAC and address, in order."""
    found = {
        (port.mac if pair.mac is None else pair.mac, pair.prefix.network_address)
        for pair in port.allowed
        if pair.prefix.prefixlen == pair.prefix.max_prefixlen
    }
    return tuple(sorted(found, key=lambda one: (one[0], one[1].version, int(one[1]))))

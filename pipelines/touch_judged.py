"""Which ways to local ports a change of policy touches: those to ports that come under policy, or leave it.

Place: a part of `pipelines.touch`; too much rather than too little, as there. All that leads to such a port
goes by its door from then on, or no longer. Must not name what judges them: `pipelines.touch_policy` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from immutables import Map

from model.change import Change, Part
from model.ids import PortKey
from model.intent import Port
from model.snapshot import Snapshot
from model.vrfs import peerings_of
from pipelines import objects as o
from pipelines.index import Index, ports_of, vrf_of

_SELECTING: Final = (Part.POLICY, Part.TENANT, Part.NETWORK, Part.PEERING)
"""What else than a port itself may say whether it is under policy."""


def judged_objects(
    old: Snapshot, new: Snapshot, before: Index, after: Index, changes: Iterable[Change]
) -> set[o.Object]:
    """All that leads to ports of this host that are under policy in one of the moments only."""
    ports = _turned(old, new, before, after, tuple(changes))
    found: set[o.Object] = set()
    for snapshot, index in ((old, before), (new, after)) if ports else ():
        for key in ports:
            port = snapshot.ports.get(key)
            found.update(() if port is None else _ways(snapshot, index, port))
        found.update(o.address(*spot) for spot, seen in snapshot.sightings.items() if seen.port in ports)
    return found


def _turned(
    old: Snapshot, new: Snapshot, before: Index, after: Index, changes: tuple[Change, ...]
) -> Collection[PortKey]:
    """Costs the ports that the changes name, or all under policy where something else selects them."""
    was, now = before.policed.judged, after.policed.judged
    if was is now:
        return ()
    selects = any(change.part in _SELECTING for change in changes)
    some = {*was, *now} if selects else ports_of(old, new, changes)
    return {key for key in some if (key in was) != (key in now)}


def _ways(snapshot: Snapshot, index: Index, port: Port) -> Iterator[o.Object]:
    """The port, the copies of group frames, floating IPs, prefixes behind it, what peers are shown of it."""
    yield from (o.port(port.key), o.network(port.network))
    yield from (o.floating(uid) for uid in index.outward.pinned.get(port.key, Map()))
    vrf = vrf_of(snapshot, port.network)
    if vrf is None:
        return
    statics = index.statics
    prefixes = statics.known(vrf) if port.allowed else statics.over(snapshot, vrf, port.addresses)
    yield from (o.prefix(vrf, prefix) for prefix in prefixes)
    yield from (o.peering(peering.key) for peering, _, _ in peerings_of(snapshot, vrf))

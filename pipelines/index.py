"""The index: what the compiler must find without a scan, kept in step with the snapshot change by change.

Place: part of a Program; read by views and by `touched`. Must not hold anything that the snapshot does not
say: it can be built from it at any time, and `advance` must come to the same as `build`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from immutables import Map

from model.addresses import Address
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, Uid
from model.intent import Port
from model.snapshot import Snapshot

K = TypeVar("K")
V = TypeVar("V")
Groups = Map[NetworkKey, Map[K, V]]

_NO_HOSTS: Final[Map[HostName, int]] = Map()


@dataclass(frozen=True, slots=True)
class Index:
    """By network: local ports that can be compiled; how many ports each other host may have there; remote
    MACs; VTEPs that take replicated frames. A network without entries has no key."""

    locals: Groups[PortKey, None] = Map()
    permits: Groups[HostName, int] = Map()
    remotes: Groups[Mac, None] = Map()
    floods: Groups[Address, None] = Map()


def ready(snapshot: Snapshot) -> bool:
    """Whether anything can be compiled: the host is declared and its switch known."""
    return snapshot.switch is not None and snapshot.this() is not None


def compilable(snapshot: Snapshot, key: PortKey) -> bool:
    """Whether a port is local and complete: bound here, plugged in, with a network and a counting epoch."""
    port = snapshot.ports.get(key)
    switch = snapshot.switch
    if port is None or switch is None or not ready(snapshot):
        return False
    interface = snapshot.interfaces.get(port.uid)
    return (
        interface is not None
        and interface.ofport > 0
        and interface.ofport != switch.tunnel
        and snapshot.bound_here(key)
        and key in snapshot.epochs
        and port.network in snapshot.networks
    )


def build(snapshot: Snapshot) -> Index:
    """The index of a snapshot from nothing; costs its size."""
    made = Index(remotes=_collect(snapshot.remotes), floods=_collect(snapshot.floods))
    for key in sorted(snapshot.ports):
        made = _admit(made, snapshot, key)
    return made


def advance(index: Index, old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> Index:
    """The index of `new` from that of `old`; costs the changes. All plugged ports only if this host or its
    switch came or went."""
    changed = tuple(changes)
    for key in sorted(ports_of(old, new, changed)):
        index = _admit(_dismiss(index, old, key), new, key)
    for change in changed:
        index = _learn(index, new, change)
    return index


def ports_of(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> set[PortKey]:
    """The ports that the changes touch, whether they exist before, after or both."""
    found: set[PortKey] = set()
    for change in changes:
        key = change.key
        match change.part:
            case Part.PORT | Part.BINDING | Part.EPOCH if isinstance(key, int):
                found.add(PortKey(key))
            case Part.INTERFACE if isinstance(key, str):
                owners = (s.by_uid.get(Uid(key)) for s in (old, new))
                found.update(owner for owner in owners if owner is not None)
            case Part.NETWORK if isinstance(key, int):
                for snapshot in (old, new):
                    found |= _plugged(snapshot, NetworkKey(key))
    if ready(old) != ready(new) or old.switch != new.switch:
        for snapshot in (old, new):
            found.update(
                owner for uid in snapshot.interfaces if (owner := snapshot.by_uid.get(uid)) is not None
            )
    return found


def _plugged(snapshot: Snapshot, network: NetworkKey) -> set[PortKey]:
    """Ports of a network with an interface here: few, however large the network is."""
    owners = (snapshot.by_uid.get(uid) for uid in snapshot.interfaces)
    return {key for key in owners if key is not None and snapshot.ports[key].network == network}


def _admit(index: Index, snapshot: Snapshot, key: PortKey) -> Index:
    port = snapshot.ports.get(key)
    if port is None:
        return index
    permits = _count(index.permits, port, snapshot.host, 1)
    if not compilable(snapshot, key):
        return replace(index, permits=permits)
    return replace(index, permits=permits, locals=_put(index.locals, port.network, key, None))


def _dismiss(index: Index, snapshot: Snapshot, key: PortKey) -> Index:
    port = snapshot.ports.get(key)
    if port is None:
        return index
    permits = _count(index.permits, port, snapshot.host, -1)
    return replace(index, permits=permits, locals=_cut(index.locals, port.network, key))


def _count(permits: Groups[HostName, int], port: Port, here: HostName, step: int) -> Groups[HostName, int]:
    for host in sorted({*port.hosts} - {here}):
        count = permits.get(port.network, _NO_HOSTS).get(host, 0) + step
        permits = _put(permits, port.network, host, count) if count else _cut(permits, port.network, host)
    return permits


def _learn(index: Index, new: Snapshot, change: Change) -> Index:
    """The keys of Part.REMOTE and Part.FLOOD are pairs that begin with the network; other parts pass."""
    if change.part not in (Part.REMOTE, Part.FLOOD):
        return index
    pair: Any = change.key
    network, item = pair
    if change.part is Part.REMOTE:
        present = pair in new.remotes
        remotes = _put(index.remotes, network, item, None) if present else _cut(index.remotes, network, item)
        return replace(index, remotes=remotes)
    present = pair in new.floods
    floods = _put(index.floods, network, item, None) if present else _cut(index.floods, network, item)
    return replace(index, floods=floods)


def _put(groups: Groups[K, V], network: NetworkKey, item: K, value: V) -> Groups[K, V]:
    return groups.set(network, groups.get(network, Map()).set(item, value))


def _cut(groups: Groups[K, V], network: NetworkKey, item: K) -> Groups[K, V]:
    group = groups.get(network, Map())
    if item not in group:
        return groups
    left = group.delete(item)
    return groups.set(network, left) if left else groups.delete(network)


def _collect(pairs: Iterable[tuple[NetworkKey, K]]) -> Groups[K, None]:
    found: dict[NetworkKey, dict[K, None]] = {}
    for network, item in pairs:
        found.setdefault(network, {})[item] = None
    return Map({network: Map(items) for network, items in found.items()})

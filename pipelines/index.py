"""The index: what the compiler must find without a scan, kept in step with the snapshot change by change.

Place: part of a Program; read by views and by `touched`. Must not hold anything that the snapshot does not
say: it can be built from it at any time, and `advance` must come to the same as `build`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from immutables import Map, MapMutation

from model.addresses import Address
from model.change import Change, Part
from model.classes import holders
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Port, Relation
from model.snapshot import Snapshot
from pipelines import exports, outward, policed, statics
from pipelines.exports import Exports
from pipelines.outward import NOWHERE, Outward
from pipelines.policed import NOTHING, Policed
from pipelines.statics import Statics

G = TypeVar("G")
K = TypeVar("K")
V = TypeVar("V")
Groups = Map[NetworkKey, Map[K, V]]
Tenants = Map[TenantKey, Map[K, V]]

_NO_HOSTS: Final[Map[HostName, int]] = Map()


@dataclass(frozen=True, slots=True)
class Index:
    """By network: local ports that can be compiled; how many ports each other host may have there; remote
    MACs; VTEPs that take replicated frames. By tenant: routed networks; those of them with a local port that
    can be compiled; in how many of them each other host may have ports. What is empty has no key. `outward`:
    see there."""

    locals: Groups[PortKey, None] = Map()
    permits: Groups[HostName, int] = Map()
    remotes: Groups[Mac, None] = Map()
    floods: Groups[Address, None] = Map()
    addresses: Groups[Address, None] = Map()
    """Addresses of allowed pairs that somebody here or elsewhere spoke for."""
    vrfs: Tenants[NetworkKey, None] = Map()
    live: Tenants[NetworkKey, None] = Map()
    senders: Tenants[HostName, int] = Map()
    mtus: Tenants[int, int] = Map()
    """By tenant: how many of its routed networks have which MTU."""
    statics: Statics = field(default_factory=Statics)
    outward: Outward = NOWHERE
    exports: Exports = Map()
    """By peering: see `pipelines.exports`."""
    relations: Map[Relation, ClassId] = Map()
    """The class that has each relation in force."""
    policed: Policed = NOTHING


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
        and port.enabled
        and interface.ofport > 0
        and interface.ofport != switch.tunnel
        and snapshot.bound_here(key)
        and key in snapshot.epochs
        and port.network in snapshot.networks
    )


def waits(snapshot: Snapshot, key: PortKey) -> bool:
    """Whether a port is plugged in here because it is moving here, and still lives elsewhere."""
    port, switch = snapshot.ports.get(key), snapshot.switch
    if port is None or switch is None or not ready(snapshot) or port.migration != snapshot.host:
        return False
    interface, binding = snapshot.interfaces.get(port.uid), snapshot.bindings.get(key)
    plugged_in = interface is not None and interface.ofport > 0 and interface.ofport != switch.tunnel
    return plugged_in and binding is not None and binding.active and binding.host != snapshot.host


def build(snapshot: Snapshot) -> Index:
    """The index of a snapshot from nothing; costs its size."""
    made = Index(
        remotes=_collect(snapshot.remotes),
        floods=_collect(snapshot.floods),
        addresses=_collect((*snapshot.sightings, *snapshot.claimed)),
        statics=statics.build(snapshot),
    )
    for key in sorted(snapshot.ports):
        made = _admit(made, snapshot, key)
    for network in sorted(snapshot.networks):
        made = _join(made, snapshot, network)
    shared = exports.count(snapshot, snapshot.peerings)
    held = holders(snapshot.classes.values(), snapshot.moment)
    ways, rules = outward.build(snapshot, compilable), policed.build(snapshot, compilable)
    return replace(made, outward=ways, exports=shared, relations=held, policed=rules)


def routes_here(index: Index, vrf: TenantKey) -> bool:
    """Whether a tenant is routed on this host: it has a local port, or is translated here."""
    return vrf in index.live or vrf in index.outward.gated


def advance(index: Index, old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> Index:
    """The index of `new` from that of `old`; costs the changes. All plugged ports only if this host or its
    switch came or went."""
    changed = tuple(changes)
    before, ports = index, sorted(ports_of(old, new, changed))
    for port in ports:
        index = _admit(_dismiss(index, old, port), new, port)
    index = _learn(index, new, changed)
    if any(change.part is Part.CLASS for change in changed):
        index = replace(index, relations=holders(new.classes.values(), new.moment))
    index = replace(index, statics=statics.advance(index.statics, old, new, changed))
    moved = {
        NetworkKey(change.key)
        for change in changed
        if change.part is Part.NETWORK and isinstance(change.key, int)
    }
    for network in sorted(moved):
        index = _join(_leave(index, before, old, network), new, network)
    seen = (s.ports[key] for key in ports for s in (old, new) if key in s.ports)
    ways = outward.advance(before.outward, old, new, changed, ports, compilable)
    shared = exports.follow(before.exports, old, new, changed, ports)
    rules = policed.advance(before.policed, old, new, changed, ports, compilable)
    return _follow(
        replace(index, outward=ways, exports=shared, policed=rules),
        before,
        new,
        [one for one in seen if one.network not in moved],
    )


def vrf_of(snapshot: Snapshot, network: NetworkKey) -> TenantKey | None:
    """The tenant between whose networks a network is routed; None if it is not."""
    found = snapshot.networks.get(network)
    return found.tenant if found is not None and found.routed else None


def _join(index: Index, snapshot: Snapshot, network: NetworkKey) -> Index:
    """A network is routed from now on, with its ports and the hosts that may send there."""
    vrf = vrf_of(snapshot, network)
    if vrf is None:
        return index
    senders = index.senders
    for host in sorted(index.permits.get(network, _NO_HOSTS)):
        senders = _add(senders, vrf, host, 1)
    live = _put(index.live, vrf, network, None) if network in index.locals else index.live
    mtus = _add(index.mtus, vrf, snapshot.networks[network].mtu, 1)
    return replace(index, vrfs=_put(index.vrfs, vrf, network, None), live=live, senders=senders, mtus=mtus)


def _leave(index: Index, before: Index, snapshot: Snapshot, network: NetworkKey) -> Index:
    """The opposite, from what `before` knew."""
    vrf = vrf_of(snapshot, network)
    if vrf is None:
        return index
    senders = index.senders
    for host in sorted(before.permits.get(network, _NO_HOSTS)):
        senders = _add(senders, vrf, host, -1)
    cut = _cut(index.vrfs, vrf, network)
    mtus = _add(index.mtus, vrf, snapshot.networks[network].mtu, -1)
    return replace(index, vrfs=cut, live=_cut(index.live, vrf, network), senders=senders, mtus=mtus)


def _follow(index: Index, before: Index, snapshot: Snapshot, ports: Iterable[Port]) -> Index:
    """What the change of ports means to their tenants, where their networks stayed what they were."""
    changed = tuple(ports)
    live, senders = index.live, index.senders
    for network in sorted({port.network for port in changed}):
        vrf = vrf_of(snapshot, network)
        if vrf is not None:
            here = network in index.locals
            live = _put(live, vrf, network, None) if here else _cut(live, vrf, network)
    for network, host in sorted({(port.network, host) for port in changed for host in port.hosts}):
        vrf = vrf_of(snapshot, network)
        was = host in before.permits.get(network, _NO_HOSTS)
        now = host in index.permits.get(network, _NO_HOSTS)
        if vrf is not None and was != now:
            senders = _add(senders, vrf, host, int(now) - int(was))
    return replace(index, live=live, senders=senders)


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


_PAIRS: Final = (Part.REMOTE, Part.FLOOD, Part.SIGHTING, Part.CLAIMED)


def _learn(index: Index, new: Snapshot, changes: Iterable[Change]) -> Index:
    """The keys of these parts are pairs that begin with the network; other parts pass. All at once: a peer's
    replay is thousands of them."""
    found: dict[Part, list[Any]] = {part: [] for part in _PAIRS}
    for change in changes:
        if change.part in _PAIRS:
            found[change.part].append(change.key)
    remotes, floods, *addressed = found.values()
    addresses = [pair for some in addressed for pair in some]
    if remotes:
        index = replace(index, remotes=_file(index.remotes, remotes, new.remotes.__contains__))
    if floods:
        index = replace(index, floods=_file(index.floods, floods, new.floods.__contains__))
    if addresses:
        heard = _file(index.addresses, addresses, lambda pair: pair in new.sightings or pair in new.claimed)
        index = replace(index, addresses=heard)
    return index


def _file(
    groups: Groups[K, None], pairs: Iterable[tuple[NetworkKey, K]], present: Callable[[Any], bool]
) -> Groups[K, None]:
    """Put the pairs that are present into their groups, take the others out."""
    opened: dict[NetworkKey, MapMutation[K, None]] = {}
    for network, item in pairs:
        members = opened.get(network)
        if members is None:
            members = opened[network] = groups.get(network, Map()).mutate()
        if present((network, item)):
            members[item] = None
        else:
            members.pop(item, None)
    made = groups.mutate()
    for network, members in opened.items():
        left = members.finish()
        if left:
            made[network] = left
        else:
            made.pop(network, None)
    return made.finish()


def _add(counts: Tenants[K, int], vrf: TenantKey, item: K, step: int) -> Tenants[K, int]:
    none: Map[K, int] = Map()
    count = counts.get(vrf, none).get(item, 0) + step
    return _put(counts, vrf, item, count) if count else _cut(counts, vrf, item)


def _put(groups: Map[G, Map[K, V]], group: G, item: K, value: V) -> Map[G, Map[K, V]]:
    return groups.set(group, groups.get(group, Map()).set(item, value))


def _cut(groups: Map[G, Map[K, V]], group: G, item: K) -> Map[G, Map[K, V]]:
    members = groups.get(group, Map())
    if item not in members:
        return groups
    left = members.delete(item)
    return groups.set(group, left) if left else groups.delete(group)


def _collect(pairs: Iterable[tuple[NetworkKey, K]]) -> Groups[K, None]:
    found: dict[NetworkKey, dict[K, None]] = {}
    for network, item in pairs:
        found.setdefault(network, {})[item] = None
    return Map({network: Map(items) for network, items in found.items()})

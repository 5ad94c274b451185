"""Roster: who may ask on this host, and all names there are, read from the agent's last snapshot.

Place: `controller.services.serving` has it read again when the file changes, on a thread beside its loop. The
agent has judged what is in that file: what its brake holds back is not in it. What a change costs follows
from what changed. Must not write, and must not take a file for empty that cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from immutables import Map

from controller.agent import disk
from controller.services import pages
from controller.services.pages import Pages
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Network, Port, StaticRoute, Tenant
from model.roll import Roll
from model.seed import NOTHING, Sown
from model.snapshot import Snapshot
from services.metadata.facts import Facts, make_facts
from services.naming.directory import (
    Directory,
    open_directory,
    with_holdings,
    with_network,
    with_route,
    with_tenant,
    without_holding,
    without_network,
    without_route,
    without_tenant,
)
from services.naming.holdings import Holding, hold_gang, hold_port
from services.naming.outcome import Asker

FILE: Final = "snapshot.json"
"""In the agent's directory."""

_NOWHERE: Final = HostName("")
Mark = tuple[int, int, int]
"""Of a file: another one has another."""


@dataclass(frozen=True, slots=True)
class Roster:
    """What the file said. `askers`: ports that may ask; `named`: the same by tenant and name. `others`: ports
    that are no longer who they were in the roster before this one. `read`: the lines, to be known again."""

    directory: Directory
    host: HostName = _NOWHERE
    tenants: Map[TenantKey, Tenant] = Map()
    networks: Map[NetworkKey, Network] = Map()
    ports: Map[PortKey, Port] = Map()
    gangs: Map[int, Roll] = Map()
    seeds: Map[PortKey, Sown] = Map()
    static_routes: Map[Uid, StaticRoute] = Map()
    askers: Map[PortKey, Asker] = Map()
    named: Map[tuple[TenantKey, str], PortKey] = Map()
    others: tuple[PortKey, ...] = ()
    read: Pages | None = None


def empty(suffix: str) -> Roster:
    """Nobody may ask."""
    return Roster(open_directory(suffix))


def mark(path: Path) -> Mark | None:
    """What the file is now; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def load(path: Path, known: Roster) -> Roster | None:
    """What the file says; None if it cannot be trusted."""
    body = disk.body(path)
    if body is None:
        return None
    try:
        news = pages.read(body, known.read)
    except (ValueError, KeyError, TypeError):
        return None
    if news is not None:
        return replace(_follow(known, news.came, news.gone), host=news.pages.host, read=news.pages)
    snapshot = disk.load(path)
    return None if snapshot is None else read(snapshot, known)


def read(snapshot: Snapshot, known: Roster) -> Roster:
    """What a snapshot says: all ports of tenants that are on this host have names, and any of them may ask
    that comes in by a port of this host."""
    came = {name: tuple(getattr(snapshot, name).values()) for name in _KEYS}
    gone = {name: tuple(getattr(known, name).values()) for name in _KEYS}
    return replace(_follow(known, came, gone), host=snapshot.host, read=None)


def labels(roster: Roster, ports: Iterable[PortKey]) -> dict[PortKey, tuple[str, str]]:
    """(tenant, port) in words, of those that may ask."""
    found = {key: asker for key in ports if (asker := roster.askers.get(key)) is not None}
    return {key: (roster.tenants[one.tenant].name, roster.ports[key].name) for key, one in found.items()}


def facts(roster: Roster, asker: Asker) -> Facts | None:
    """What a port may be told of its instance; None: it is not known."""
    zone, port = roster.directory.zones.get(asker.tenant), roster.ports.get(asker.port)
    if zone is None or port is None or roster.askers.get(asker.port) != asker:
        return None
    first = _first(roster, asker, port)
    nics = [port] if first is None else [first, *_others(roster, asker.tenant, first)]
    sown, domain = roster.seeds.get(nics[0].key), b".".join(zone.origin).decode("ascii")
    (one, *more) = ((nic, roster.networks[nic.network]) for nic in nics)
    return make_facts(*one, domain, NOTHING if sown is None else sown.seed, more)


def _first(roster: Roster, asker: Asker, port: Port) -> Port | None:
    """The first NIC of its instance; None: it is said to be another port, which can't be on this host."""
    sown = roster.seeds.get(port.key)
    if sown is None or not sown.seed.first:
        return port
    key = roster.named.get((asker.tenant, sown.seed.first))
    return roster.ports[key] if key is not None and roster.host in roster.ports[key].hosts else None


def _others(roster: Roster, tenant: TenantKey, first: Port) -> list[Port]:
    """Further NICs of its instance that may be on this host, by name. Hosts hear of seeds of no others."""
    keys = (key for key, sown in roster.seeds.items() if sown.seed.first == first.name)
    here = (key for key in keys if roster.askers.get(key) == Asker(key, tenant))
    return sorted((roster.ports[key] for key in here), key=lambda port: port.name)


_KEYS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "tenants": attrgetter("key"),
    "networks": attrgetter("key"),
    "ports": attrgetter("key"),
    "gangs": attrgetter("generation"),
    "seeds": attrgetter("port"),
    "static_routes": attrgetter("uid"),
}
_Turned = dict[Any, tuple[Any, Any]]
"""By key: the value before and after, None = there is none."""


def _turn(name: str, known: Map[Any, Any], came: Iterable[Any], gone: Iterable[Any]) -> _Turned:
    key = _KEYS[name]
    after = {key(value): value for value in gone}
    after = {**dict.fromkeys(after), **{key(value): value for value in came}}
    return {each: (known.get(each), new) for each, new in after.items() if known.get(each) != new}


def _put(known: Map[Any, Any], turned: _Turned) -> Map[Any, Any]:
    changed = known.mutate()
    for key, (old, new) in turned.items():
        if new is not None:
            changed[key] = new
        elif old is not None:
            del changed[key]
    return changed.finish()


@dataclass(frozen=True, slots=True)
class _Touched:
    """Keys of what has to be taken out of the directory as it was, and entered as it is."""

    tenants: set[TenantKey]
    networks: set[NetworkKey]
    ports: set[PortKey]
    gangs: set[int]
    routes: set[Uid]


def _follow(known: Roster, came: Mapping[str, Iterable[Any]], gone: Mapping[str, Iterable[Any]]) -> Roster:
    """All of it after what came and what went: equal to what reading it at once would give."""
    turned = {name: _turn(name, getattr(known, name), came[name], gone.get(name, ())) for name in _KEYS}
    maps = {name: _put(getattr(known, name), each) for name, each in turned.items()}
    now = replace(
        known,
        tenants=maps["tenants"],
        networks=maps["networks"],
        ports=maps["ports"],
        gangs=maps["gangs"],
        seeds=maps["seeds"],
        static_routes=maps["static_routes"],
    )
    touched = _touched(known, now, turned)
    askers, named, held = known.askers.mutate(), known.named.mutate(), []
    for key in _in(touched.ports, known.askers):
        del askers[key]
        del named[known.askers[key].tenant, known.ports[key].name]
    for key in _in(touched.ports, now.ports):
        port = now.ports[key]
        network = now.networks.get(port.network)
        if network is not None and network.tenant in now.tenants:
            askers[key] = Asker(key, network.tenant)
            named[network.tenant, port.name] = key
            held.append(hold_port(port, network))
    held += _gangs(now, touched.gangs)
    directory = with_holdings(_entered(now, _cleared(known, touched), touched), held)
    made = replace(now, directory=directory, askers=askers.finish(), named=named.finish())
    others = (key for key in _in(touched.ports, known.askers) if made.askers.get(key) != known.askers[key])
    return replace(made, others=tuple(sorted(others)))


def _touched(known: Roster, now: Roster, turned: Mapping[str, _Turned]) -> _Touched:
    """What changed itself, and what is elsewhere because something above it is another."""
    tenants = {key for key, (old, new) in turned["tenants"].items() if _called(old) != _called(new)}
    moved = {key for key, (old, new) in turned["networks"].items() if _home(old) != _home(new)}
    if tenants:
        both = (*known.networks.values(), *now.networks.values())
        moved |= {network.key for network in both if network.tenant in tenants}
    ports = {*turned["ports"]}
    if moved:
        both_ports = (*known.ports.values(), *now.ports.values())
        ports |= {port.key for port in both_ports if port.network in moved}
    gangs = {*turned["gangs"]} | ({*known.gangs, *now.gangs} if tenants else set())
    routes = {*turned["static_routes"]} | ({*known.static_routes, *now.static_routes} if tenants else set())
    return _Touched(tenants, moved | {*turned["networks"]}, ports, gangs, routes)


def _cleared(known: Roster, touched: _Touched) -> Directory:
    """The directory as it was, without what is touched."""
    directory = known.directory
    for tenant in _in(touched.tenants, known.tenants):
        directory = without_tenant(directory, tenant)
    for key in _in(touched.networks, known.networks):
        directory = without_network(directory, known.networks[key].tenant, key)
    for uid in _in(touched.routes, known.static_routes):
        directory = without_route(directory, known.static_routes[uid])
    for port in _in(touched.ports, known.askers):
        held = hold_port(known.ports[port], known.networks[known.ports[port].network])
        directory = without_holding(directory, held.tenant, held.key)
    for one in _gangs(known, touched.gangs):
        directory = without_holding(directory, one.tenant, one.key)
    return directory


def _entered(now: Roster, directory: Directory, touched: _Touched) -> Directory:
    """With the zones, subnets and routes that are touched, as they are now."""
    for tenant in _in(touched.tenants, now.tenants):
        directory = with_tenant(directory, now.tenants[tenant])
    for key in _in(touched.networks, now.networks):
        directory = with_network(directory, now.networks[key])
    for uid in _in(touched.routes, now.static_routes):
        directory = with_route(directory, now.static_routes[uid])
    return directory


def _gangs(there: Roster, some: set[int]) -> list[Holding]:
    if not some:
        return []
    owners = {tenant.name: key for key, tenant in there.tenants.items()}
    found = (there.gangs[number] for number in _in(some, there.gangs))
    return [hold_gang(gang, owners[gang.tenant]) for gang in found if gang.tenant in owners]


def _in(keys: set[Any], there: Map[Any, Any]) -> list[Any]:
    """In order."""
    return sorted(key for key in keys if key in there)


def _called(tenant: Tenant | None) -> str | None:
    return None if tenant is None else tenant.name


def _home(network: Network | None) -> tuple[TenantKey, str] | None:
    return None if network is None else (network.tenant, network.name)

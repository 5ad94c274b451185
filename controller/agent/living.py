"""Living: which ports live here, which come and go with a change, and what that asks for.

Place: pure; used by `controller.agent.core` with each commit. Must not decide whether a change may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, compress
from typing import Final

from immutables import Map

from controller.agent import binder, commands, state
from controller.agent.binder import lives_here
from model import classes
from model.change import Change, Part, Patch
from model.flow import Flow
from model.ids import ClassId, PortKey, TenantKey
from model.intent import Relation
from model.snapshot import Snapshot
from pipelines import accounts, cookies
from pipelines import compile as pipeline
from pipelines.inward import open_here

Group = tuple[tuple[Flow, ...], tuple[Flow, ...]]
EPOCHS: Final = 1 << 12
"""Accounting epochs wrap here (12 bits of the cookie); 0 is never used."""
AT_ONCE: Final = 300
"""Objects whose pass moves in one bundle: it has to be one, and their few flows each fit into it."""


def number(
    effective: Snapshot, adopted: frozenset[PortKey], new: Snapshot, changes: frozenset[Change]
) -> tuple[Snapshot, frozenset[Change]]:
    """A new accounting epoch for each port that comes to live here, unless the switch still counts for it."""
    items: list[state.Item] = []
    for key in sorted(binder.touched(new, changes)):
        if not lives_here(new, key) or (key in adopted and key in new.epochs):
            continue
        if key not in new.epochs or not lives_here(effective, key):
            items.append((Part.EPOCH, key, new.epochs.get(key, 0) % (EPOCHS - 1) + 1))
    step = state.upsert(new, items)
    return step.snapshot, step.changes


def leaving(old: Snapshot, new: Snapshot, changes: frozenset[Change]) -> tuple[PortKey, ...]:
    keys = binder.touched(new, changes) | binder.touched(old, changes)
    return tuple(sorted(k for k in keys if lives_here(old, k) and not lives_here(new, k)))


def programming(
    program: pipeline.Program, patch: Patch, old: Snapshot, new: Snapshot, leaving: tuple[PortKey, ...]
) -> list[commands.Command]:
    """The patch of `program` as it is; in parts if counters of ports that stay go (a class was deleted), or
    if it moves the pass of the data path in which such ports are counted, or the class as which."""
    if not patch:
        return []
    now, later = accounts.split(patch)
    doomed = [flow.cookie for _, drop in later.groups for flow in drop]
    staying = tuple(c for c in doomed if (parsed := cookies.parse(c)) and parsed.port not in leaving)
    if not staying:
        return shifting(program, patch, old, new)
    orders = shifting(program, now, old, new)
    return [*orders, commands.CloseCounters(staying), commands.Program(later)]


def shifting(program: pipeline.Program, patch: Patch, old: Snapshot, new: Snapshot) -> list[commands.Command]:
    """What moves the pass in which ports are counted that live here before and after goes by itself, and so
    does what moves the class as which, as one bundle, however large; what moves whether they are, last.
    """
    opened = open_here(old, program.index)
    dropped = {pipeline.key(flow) for _, drop in patch.groups for flow in drop if accounts.ends_pass(flow)}

    @cache
    def turned() -> bool:
        return relations(old) != relations(new)

    @cache
    def staying(cookie: int) -> tuple[PortKey, ...]:
        return tuple(port for port in counted(new, cookie) if lives_here(old, port))

    def moves(flow: Flow) -> tuple[PortKey, ...]:
        if accounts.classifies(flow):  # a network that comes or goes changes routes, not classes
            if accounts.of_source(flow) and not opened:
                return ()  # the first port that is reached from outside: nothing was counted by them
            return staying(flow.cookie) if not of_tenant(flow.cookie) or turned() else ()
        if not accounts.ends_pass(flow):
            return ()
        key = pipeline.key(flow)
        if key in program.claims and key not in dropped:
            return ()  # takes the place of one that ends the pass as well
        return staying(flow.cookie)

    def leads(flow: Flow) -> tuple[PortKey, ...]:
        if not accounts.leads(flow):
            return ()
        before = _standing(program, pipeline.key(flow))
        same = before is not None and before != flow and accounts.alike(before, flow)
        return () if same else staying(flow.cookie)

    def concerned(
        groups: tuple[Group, ...], by: Callable[[Flow], tuple[PortKey, ...]]
    ) -> tuple[PortKey, ...]:
        return tuple(sorted({port for put, drop in groups for flow in (*put, *drop) for port in by(flow)}))

    first, moving, last = accounts.cut(patch, lambda flow: bool(moves(flow)))
    first, leading, rest = accounts.cut(first, lambda flow: bool(leads(flow)))
    last = last or rest
    orders: list[commands.Command] = [commands.Program(first)] if first else []
    for some in _bundles(moving.groups):
        orders.append(commands.Shift(concerned(some, moves), Patch(some)))
    if leading:
        ports = concerned(leading.groups, leads)
        orders.append(commands.Shift(ports, leading))
    return [*orders, *([commands.Program(last)] if last else [])]


def _standing(program: pipeline.Program, key: pipeline.Key) -> Flow | None:
    """The flow that a program has there."""
    claims = program.claims.get(key, ())
    flows = program.groups.get(claims[0], ()) if claims else ()
    return next((flow for flow in flows if pipeline.key(flow) == key), None)


def _bundles(groups: tuple[Group, ...]) -> Iterator[tuple[Group, ...]]:
    """As many groups as fit into one bundle; all that have to do with classes as one group, which is never
    divided: a class that gives a prefix to another must not be without it in between.
    """
    classed = [any(map(accounts.classifies, chain(put, drop))) for put, drop in groups]
    others = tuple(compress(groups, (not c for c in classed)))
    for start in range(0, len(others), AT_ONCE):
        yield others[start : start + AT_ONCE]
    together = tuple(compress(groups, classed))
    if together:
        puts, drops = (tuple(flow for group in together for flow in group[side]) for side in (0, 1))
        yield ((puts, drops),)


def relations(snapshot: Snapshot) -> Map[Relation, ClassId]:
    """Which class has each relation now."""
    return classes.holders(snapshot.classes.values(), snapshot.moment)


def of_tenant(cookie: int) -> bool:
    """Whether a flow belongs to a tenant's or a peering's VRF."""
    said = cookies.parse(cookie)
    return said is not None and said.kind is cookies.Kind.VRF


def counted(snapshot: Snapshot, cookie: int) -> tuple[PortKey, ...]:
    """The ports that live here and whose way a flow of a port, a network, a VRF or of all may be part of."""
    parsed = cookies.parse(cookie)
    if parsed is None:
        return ()
    match parsed.kind:
        case cookies.Kind.PORT:
            ports: Iterable[PortKey] = (parsed.port,)
        case cookies.Kind.NETWORK:
            ports = snapshot.by_network.get(parsed.network, ())
        case cookies.Kind.VRF:
            ports = _plugged(snapshot, _tenants(snapshot, parsed.tenant))
        case cookies.Kind.PREFIX | cookies.Kind.TOLD:
            ports = _plugged(snapshot, _tenants(snapshot, parsed.tenant))
        case cookies.Kind.HOST:
            ports = _plugged(snapshot, frozenset(snapshot.tenants))
        case _:
            return ()
    return tuple(sorted(port for port in ports if lives_here(snapshot, port)))


def _tenants(snapshot: Snapshot, vrf: TenantKey) -> frozenset[TenantKey]:
    """Whose VRF it is: of a peering, both; all may lead into an external network."""
    if vrf in snapshot.externals:
        return frozenset(snapshot.tenants)
    peering = snapshot.peerings.get(vrf)
    return frozenset({vrf} if peering is None else (side.tenant for side in peering.sides))


def _plugged(snapshot: Snapshot, tenants: frozenset[TenantKey]) -> Iterator[PortKey]:
    """Ports of tenants with an interface here."""
    for uid in snapshot.interfaces:
        key = snapshot.by_uid.get(uid)
        network = None if key is None else snapshot.networks.get(snapshot.ports[key].network)
        if key is not None and network is not None and network.tenant in tenants:
            yield key


def shut(snapshot: Snapshot, changes: frozenset[Change]) -> tuple[str, ...]:
    """Interfaces that are up on a host that may not serve their ports. What they sent would be dropped: but
    Open vSwitch credits the last half second of it to the path that it has when the port is served.
    """
    if not snapshot.fenced():
        return ()
    ports = (snapshot.ports.get(key) for key in sorted(binder.touched(snapshot, changes)))
    found = (snapshot.interfaces.get(p.uid) for p in ports if p is not None and snapshot.host in p.hosts)
    return tuple(interface.name for interface in found if interface is not None and interface.up)


def links(ports: Snapshot, present: Snapshot, keys: tuple[PortKey, ...]) -> tuple[str, ...]:
    """Names of the interfaces of ports, known from one snapshot and still there in another."""
    found = (present.interfaces.get(ports.ports[key].uid) for key in keys)
    return tuple(interface.name for interface in found if interface is not None)

"""Seated: rules as the store has numbered them, and ports as policies see them, out of a snapshot.

Place: between snapshot and `pipelines.policed`; asked by the agent whether a port is under policy. Must not
know tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from model.addresses import Address
from model.entries import Entry, Level, standing
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.policy import Change, Direction, Endpoint, Seat, Standing
from model.snapshot import Snapshot
from model.vrfs import exported, peerings_of
from pipelines.policy.entries import concerns

UNROUTED: Final = 0x10000
"""Added to the key of a network that is not routed: no tenant and no peering has such a key."""
BOTTOM: Final = 1
"""The height of tenants' own defaults, of which each port has one."""

RulingKey = tuple[int, Uid]
"""The number of a rule, and who bears it: what can't be read has a number in common."""
Located = tuple[int, Address]
"""A scope, and an address in it."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """An entry with its seat. `owner`: the tenant whose it is, 0 = the operator's."""

    entry: Entry
    bearer: Uid
    number: int
    height: int
    owner: TenantKey
    on_change: Change

    @property
    def key(self) -> RulingKey:
        return self.number, self.bearer

    def order(self) -> tuple[str, int, int, int]:
        """In which rulings of one port judge."""
        return self.entry.direction.value, self.entry.place.level, -self.height, self.number


def rulings(snapshot: Snapshot) -> Iterator[Ruling]:
    """All of them."""
    for uid in sorted(snapshot.policies):
        yield from of_policy(snapshot, uid)
    for key in sorted(snapshot.tenants):
        yield from of_tenant(snapshot, key)


def of_policy(snapshot: Snapshot, uid: Uid) -> Iterator[Ruling]:
    """Those of one policy."""
    found = snapshot.policies.get(uid)
    if found is None:
        return
    for direction in Direction:
        for entry in standing((found.policy,), {}, direction):
            seat = _seat(found, entry)
            if seat is not None:
                yield Ruling(entry, uid, seat.number, seat.height, found.owner, found.policy.on_change)


def of_tenant(snapshot: Snapshot, key: TenantKey) -> Iterator[Ruling]:
    """A tenant's own defaults."""
    tenant = snapshot.tenants.get(key)
    if tenant is None:
        return
    for direction, number in zip(Direction, tenant.seats, strict=True):
        for entry in standing((), {tenant.name: tenant.defaults}, direction):
            if number:
                yield Ruling(entry, tenant.uid, number, BOTTOM, key, Change.JUDGE)


def under(snapshot: Snapshot, port: PortKey) -> bool:
    """Whether any rule or default concerns a port, in either direction: then it is judged, and has to have a
    conntrack zone of its own."""
    one = endpoint(snapshot, port)
    return one is not None and any(concerns(entry, one) for entry in asking(rulings(snapshot)))


def asking(rules: Iterable[Ruling]) -> tuple[Entry, ...]:
    """An entry for each question whom rules concern: all of one policy ask the same."""
    found = {(rule.entry.place.tenant, rule.entry.subject): rule.entry for rule in rules}
    return tuple(found.values())


def endpoint(snapshot: Snapshot, key: PortKey) -> Endpoint | None:
    """A port as policies see it; None without a network."""
    port = snapshot.ports.get(key)
    network = None if port is None else snapshot.networks.get(port.network)
    if port is None or network is None:
        return None
    tenant = snapshot.tenants.get(network.tenant)
    return Endpoint(
        key=key,
        uid=port.uid,
        tenant="" if tenant is None else tenant.name,
        network=network.name,
        name=port.name,
        addresses=port.addresses,
        scope=scope_of(snapshot, port.network),
        labels=port.labels,
        network_labels=network.labels,
        tenant_labels=() if tenant is None else tenant.labels,
        shown=tuple(dict.fromkeys(scope for scope, _ in shown(snapshot, key))),
    )


def scope_of(snapshot: Snapshot, network: NetworkKey) -> int:
    """In which no two ports have one address: the VRF of a routed network, or the network itself."""
    found = snapshot.networks[network]
    return found.tenant if found.routed else UNROUTED | network


def owned(snapshot: Snapshot, key: PortKey) -> tuple[Located, ...]:
    """Where a port's own tenant finds it."""
    port = snapshot.ports[key]
    scope = scope_of(snapshot, port.network)
    return tuple((scope, address) for address in dict.fromkeys(port.addresses))


def shown(snapshot: Snapshot, key: PortKey) -> tuple[Located, ...]:
    """Where others find it: those of its addresses that peerings export."""
    port = snapshot.ports[key]
    network = snapshot.networks.get(port.network)
    if network is None or not network.routed:
        return ()
    return tuple(
        (peering.key, address)
        for peering, own, _ in peerings_of(snapshot, network.tenant)
        for address in dict.fromkeys(exported(port.addresses, own.prefixes))
    )


def weight(places: tuple[Located, ...]) -> int:
    """A number that stands for them, so that sums of such stand for who is in a set."""
    return sum(_weight(scope, str(address)) for scope, address in places)


@lru_cache(maxsize=1 << 16)
def _weight(scope: int, address: str) -> int:
    return int.from_bytes(blake2b(f"{scope} {address}".encode(), digest_size=8).digest(), "big")


def _seat(found: Standing, entry: Entry) -> Seat | None:
    if entry.place.number:
        at = entry.place.number - 1
        return found.seats[at] if at < len(found.seats) else None
    return found.outward if entry.direction is Direction.OUT else found.inward


def of_operator(level: Level) -> bool:
    """Whether all rules of a level are the operator's, so that no two have one height."""
    return level in (Level.OPERATOR, Level.BASELINE)

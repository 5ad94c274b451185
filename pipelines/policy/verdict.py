"""Verdict: what becomes of one new connection, said the slow way, entry by entry.

Place: what the compiled flows must agree with; conversions and promotions are tried on it. Must not be
clever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from model.addresses import Address
from model.policy import (
    WITH_PORTS,
    Action,
    Block,
    Direction,
    Endpoint,
    Peer,
    Policy,
    Protocol,
    Service,
    State,
)
from pipelines.policy.entries import Entry, Level, Tenants, judging, standing, takes


@dataclass(frozen=True, slots=True)
class Connection:
    """The first packet of one. An end without a port of ours is None and has only its address.

    `port`: destination port, 0 where the protocol has none; `kind`, `code`: of ICMP.
    """

    source: Endpoint | None
    target: Endpoint | None
    source_address: Address
    target_address: Address
    protocol: int
    port: int = 0
    kind: int = 0
    code: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """At one end. `by` None: nothing said anything, so it is allowed.

    `hit`: the counting entry that would have made it a drop; None unless it is allowed.
    """

    action: Action
    by: Entry | None
    hit: Entry | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """At both ends; None where no port of ours is, and at the second where the first lets nothing through."""

    outward: Judged | None
    inward: Judged | None

    @property
    def allowed(self) -> bool:
        return all(one is None or one.action is Action.ALLOW for one in (self.outward, self.inward))

    @property
    def hits(self) -> tuple[Entry, ...]:
        """The entries that note that they would have dropped it."""
        ends = (one for one in (self.outward, self.inward) if one is not None)
        return tuple(one.hit for one in ends if one.hit is not None)


def judge(connection: Connection, policies: Iterable[Policy], tenants: Tenants) -> Outcome:
    """What becomes of it under these policies and defaults of tenants."""
    given = tuple(policies)
    outward = inward = None
    if connection.source is not None:
        outward = at(connection.source, connection, standing(given, tenants, Direction.OUT))
    if connection.target is not None and (outward is None or outward.action is Action.ALLOW):
        inward = at(connection.target, connection, standing(given, tenants, Direction.IN))
    return Outcome(outward, inward)


def stray(port: Endpoint, policies: Iterable[Policy], tenants: Tenants) -> Judged:
    """What becomes at its sender of a packet in a frame for a MAC that does not have its destination (docs/
    decisions/0067), if it was let through by its address."""
    mine = judging(standing(tuple(policies), tenants, Direction.OUT), port)
    denies = [entry for entry in mine if entry.action is Action.DENY]
    for entry in reversed(denies):
        if entry.state is State.ENFORCE:
            return Judged(Action.DENY, entry)
    return Judged(Action.ALLOW, None, denies[-1] if denies else None)


def meets(entry: Entry, connection: Connection) -> bool:
    """Whether an entry that judges one end matches this connection."""
    return _of_peers(entry, connection) and _of_services(entry.services, connection)


def serves(service: Service, connection: Connection) -> bool:
    """Whether the connection is of that service."""
    if service.protocol != connection.protocol:
        return False
    if service.protocol == Protocol.ICMP and connection.target_address.version != 4:
        return False
    if service.protocol == Protocol.ICMPV6 and connection.target_address.version != 6:
        return False
    if service.protocol in WITH_PORTS:
        ports = service.ports
        return ports is None or ports.first <= connection.port <= ports.last
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        return service.kind in (None, connection.kind) and service.code in (None, connection.code)
    return True


def at(port: Endpoint, connection: Connection, entries: tuple[Entry, ...]) -> Judged:
    """What becomes of it at one end, by the entries of a direction in their order."""
    mine = judging(entries, port)
    real, _ = _decide([one for one in mine if one.state is State.ENFORCE], connection)
    foreseen, counting = _decide(mine, connection)
    action = Action.ALLOW if real is None else real.action
    would = foreseen is not None and foreseen.action is Action.DENY
    return Judged(action, real, counting if would and action is Action.ALLOW else None)


def _decide(entries: Iterable[Entry], connection: Connection) -> tuple[Entry | None, Entry | None]:
    """The entry that decides, and the last counting one on the way to it, itself included."""
    passed: Level | None = None
    counting: Entry | None = None
    for entry in entries:
        if entry.place.level == passed or not meets(entry, connection):
            continue
        if entry.state is State.COUNT:
            counting = entry
        if entry.action is not Action.PASS:
            return entry, counting
        passed = entry.place.level
    return None, counting


def _of_peers(entry: Entry, connection: Connection) -> bool:
    if not entry.peers:
        return True
    if entry.direction is Direction.OUT:
        subject, other, address = connection.source, connection.target, connection.target_address
    else:
        subject, other, address = connection.target, connection.source, connection.source_address
    return subject is not None and any(_is_peer(peer, subject, other, address) for peer in entry.peers)


def _is_peer(peer: Peer, subject: Endpoint, other: Endpoint | None, address: Address) -> bool:
    if isinstance(peer, Block):
        return address in peer.prefix and not any(address in one for one in peer.excepted)
    return other is not None and address in other.addresses and takes(peer, subject, other)


def _of_services(services: tuple[Service, ...], connection: Connection) -> bool:
    return not services or any(serves(service, connection) for service in services)

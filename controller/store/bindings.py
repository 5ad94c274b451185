"""Bindings: an agent's claim that a port lives on its host, decided by the store.

Place: called by agents (through `writer.Store`). One row a port; the first holds. Rules are checked here for
their messages and again by the server's `wait`s in the transaction that writes, so that of two agents one
wins. Must not touch anything but table Binding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.store import leases, rows
from controller.store.faults import Lost, Raced
from controller.store.leases import Hold
from controller.store.operations import binding_uid
from controller.store.records import DATABASE
from controller.store.statements import Operation, by_uid, insert, select, update, wait
from controller.store.wire import Connection
from model.errors import Conflict, Fault, NotFound, RingfenceError, Unavailable
from model.ids import HostName, PortKey, Uid
from model.intent import Binding

_ATTEMPTS: Final = 16
"""Each attempt that fails means that another agent wrote: with more than a few, something is wrong."""
_COLUMNS: Final = ("host", "sequence", "active")
_HIGHEST: Final = (1 << 32) - 1
"""A mobility sequence has 32 bits (RFC 7432 section 7.7)."""
_LARGE: Final = 60.0
"""Seconds for a transaction of many claims."""
_NONE: Final[Mapping[Uid, int]] = {}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the store said about a port: its name, network, hosts and binding, and where it is moving to."""

    name: str
    network: Uid
    hosts: tuple[str, ...]
    key: PortKey
    binding: Binding | None
    migration: str


def bind(
    connection: Connection, port: Uid, host: HostName, least: int = 0, hold: Hold | None = None
) -> Binding:
    """Say that the port lives on `host` now. Nothing is written if the store says so already.

    Succeeds if the port is unbound, bound here, was released, is moving here, or is bound to a host that
    may not have it any more, or to the partner of `hold`, whose lease `host` holds. The sequence rises by
    one when the host changes, and to `least` at least. Raises NotFound (no such port), Conflict
    (`host-not-allowed`, `bound-elsewhere`), Unavailable.
    """
    for _ in range(_ATTEMPTS):
        seen = _look(connection, port)
        wanted = _decide(seen, port, host, least, hold)
        if wanted == seen.binding:
            return wanted
        try:
            connection.commit(DATABASE, [*_shown(host, hold), *_write(seen, port, wanted)])
            return wanted
        except (Raced, Lost):
            if hold is not None and not leases.held(connection, host, hold):
                raise leases.lost(host, hold) from None
            continue  # look again: a lost answer may have been a success, which is seen as bound here
    raise _restless(port)


def bind_all(
    connection: Connection,
    ports: Sequence[Uid],
    host: HostName,
    least: Mapping[Uid, int] = _NONE,
    hold: Hold | None = None,
) -> tuple[Binding | RingfenceError, ...]:
    """`bind` of each, in one transaction as far as the store lets them all pass; what is refused, in its
    place.

    Raises Unavailable.
    """
    decided: dict[Uid, Binding | RingfenceError] = {}
    operations: list[Operation] = []
    for port, seen in zip(ports, _look_at(connection, ports), strict=True):
        try:
            if isinstance(seen, RingfenceError):
                raise seen
            decided[port] = wanted = _decide(seen, port, host, least.get(port, 0), hold)
            if wanted != seen.binding:
                operations += _write(seen, port, wanted)
        except (NotFound, Conflict) as error:
            decided[port] = error
    try:
        if operations:
            connection.commit(DATABASE, [*_shown(host, hold), *operations], _LARGE)
    except (Raced, Lost):  # one that another agent claimed holds up all of them
        return tuple(_one(connection, port, host, least.get(port, 0), hold) for port in ports)
    return tuple(decided[port] for port in ports)


def _one(
    connection: Connection, port: Uid, host: HostName, least: int, hold: Hold | None
) -> Binding | RingfenceError:
    try:
        return bind(connection, port, host, least, hold)
    except Unavailable:
        raise
    except RingfenceError as error:
        return error


def unbind(connection: Connection, port: Uid, host: HostName) -> None:
    """Say that the port does not live on `host` any more; nothing happens if it did not, or is gone."""
    for _ in range(_ATTEMPTS):
        try:
            seen = _look(connection, port)
        except NotFound:
            return
        old = seen.binding
        if old is None or old.host != host or not old.active:
            return
        try:
            connection.commit(DATABASE, _write(seen, port, replace(old, active=False)))
            return
        except (Raced, Lost):
            continue
    raise _restless(port)


def _look(connection: Connection, port: Uid) -> _Seen:
    (seen,) = _look_at(connection, (port,))
    if isinstance(seen, NotFound):
        raise seen
    return seen


def _look_at(connection: Connection, ports: Sequence[Uid]) -> list[_Seen | NotFound]:
    looks = []
    for port in ports:
        looks.append(select("Port", by_uid(port), ("name", "network", "hosts", "key", "migration")))
        looks.append(select("Binding", by_uid(binding_uid(port)), _COLUMNS))
    found = connection.read(DATABASE, looks)
    return [_parse(port, *found[2 * n : 2 * n + 2]) for n, port in enumerate(ports)]


def _parse(port: Uid, found: Mapping[str, Any], bound: Mapping[str, Any]) -> _Seen | NotFound:
    if not found["rows"]:
        message = "the store has no port with this uid"
        remedy = "Set the interface's external_ids:iface-id to the uid of a port that exists."
        return NotFound(Fault(f"Port {port}", "unknown-port", message, remedy))
    row = found["rows"][0]
    key = PortKey(row["key"])
    binding = rows.binding(bound["rows"][0], key) if bound["rows"] else None
    moving = str(rows.optional(row["migration"]) or "")
    return _Seen(row["name"], rows.reference(row["network"]), rows.texts(row["hosts"]), key, binding, moving)


def _shown(host: HostName, hold: Hold | None) -> list[Operation]:
    """What a host with a partner has to show."""
    return [] if hold is None else [leases.guard(host, hold)]


def _decide(seen: _Seen, port: Uid, host: HostName, least: int, hold: Hold | None) -> Binding:
    old, least = seen.binding, min(least, _HIGHEST)
    if host not in seen.hosts:
        allowed = ", ".join(sorted(seen.hosts)) or "nowhere"
        raise Conflict(
            Fault(
                f"Port {seen.name} ({port})",
                "host-not-allowed",
                f"it may not be bound on {host}; allowed: {allowed}",
                f"Add {host} to the port's spec.hosts.",
            )
        )
    if old is None:
        return Binding(seen.key, host, least, active=True)
    if old.host == host:
        return replace(old, active=True, sequence=max(old.sequence, least))
    inherited = hold is not None and old.host == hold.partner  # the store judges the lease as it writes
    if old.active and old.host in seen.hosts and seen.migration != host and not inherited:
        raise Conflict(
            Fault(
                f"Port {seen.name} ({port})",
                "bound-elsewhere",
                f"it is bound on {old.host}, so {host} can't have it",
                f"Remove the interface on {old.host}, take {old.host} out of the port's spec.hosts, or move "
                f"it: ringfence migrate {seen.name} --to {host}",
            )
        )
    return Binding(seen.key, host, max(min(old.sequence + 1, _HIGHEST), least), active=True)


def _write(seen: _Seen, port: Uid, wanted: Binding) -> list[Operation]:
    uid = binding_uid(port)
    new = _columns(wanted)
    found = [] if seen.binding is None else [_columns(seen.binding)]
    moving = rows.text_set([seen.migration] if seen.migration else [])
    known = {"hosts": rows.text_set(seen.hosts), "migration": moving}
    operations = [
        wait("Port", by_uid(port), ("hosts", "migration"), [known]),
        wait("Binding", by_uid(uid), _COLUMNS, found),
    ]
    if seen.binding is None:
        parents = {"port": ["uuid", port], "network": ["uuid", seen.network]}
        operations.append(insert("Binding", uid, {**new, **parents, "key": seen.key}))
    else:
        operations.append(update("Binding", uid, {**new, "key": seen.key}))
    if wanted.active and seen.migration == wanted.host:  # it has arrived
        operations.append(update("Port", port, rows.settled_columns()))
    return operations


def _columns(binding: Binding) -> rows.Columns:
    return {"host": binding.host, "sequence": binding.sequence, "active": binding.active}


def _restless(port: Uid) -> Raced:
    message = f"other writers changed it {_ATTEMPTS} times while this one tried"
    return Raced(Fault(f"Port {port}", "changed-meanwhile", message, "Find out which hosts claim this port."))

"""Leases: which of two DPUs of one server serves its ports, decided by the store.

Place: used by the agent's lease (`controller.agent.leasing`), and by `bindings` for who may take a port from
whom. One row a pair. Each write names what it saw in a `wait`, so that of two one is refused, and no clock of
the store counts. Must not judge: `controller.agent.lease` does. Renewals are not forced to disk: a store that
loses the last ones has a holder that is believed to have been silent for longer than it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from controller.store.faults import Raced
from controller.store.identity import row_uid
from controller.store.records import DATABASE
from controller.store.statements import Operation, by_uid, insert, select, update, wait
from controller.store.wire import Connection
from model.errors import Conflict, Fault
from model.ids import HostName, Uid

PATIENCE: Final = 2.0
"""Seconds that a write may take: later it is of no use."""
_NOBODY: Final = HostName("")
_SEEN: Final = ("holder", "term", "beat", "patience", "standby_beat", "standby_fit", "wanted")


@dataclass(frozen=True, slots=True)
class Lease:
    """The row of a pair. `holder` empty: given back. `term` rises with each new holder, and each new life of
    one. `beat`, `standby_beat`: signs of life. `patience`: seconds without a beat of the holder after which
    the other may take over. `standby_fit`: the other reaches the fabric. `wanted`: whom the operator wants.
    """

    holder: HostName
    term: int
    beat: int = 0
    patience: int = 0
    standby_beat: int = 0
    standby_fit: bool = False
    wanted: HostName = _NOBODY


@dataclass(frozen=True, slots=True)
class Hold:
    """What a host shows when it takes ports of its partner: the lease of their pair, under this term."""

    partner: HostName
    term: int


def pair_of(one: HostName, other: HostName) -> str:
    """The pair's name, the same from both sides."""
    return "+".join(sorted((one, other)))


def read(connection: Connection, pair: str) -> Lease | None:
    """As it is now; None if nobody ever held it."""
    (found,) = connection.read(DATABASE, [select("Lease", by_uid(_uid(pair)), _SEEN)], PATIENCE)
    return _lease(found["rows"])


def read_all(connection: Connection) -> dict[str, Lease]:
    """Of all pairs, by the pair's name."""
    (found,) = connection.read(DATABASE, [select("Lease", [], ("pair", *_SEEN))], PATIENCE)
    leases = {row["pair"]: _lease([row]) for row in found["rows"]}
    return {pair: lease for pair, lease in sorted(leases.items()) if lease is not None}


def take(connection: Connection, pair: str, seen: Lease | None, wanted: Lease) -> bool:
    """Write `wanted` in place of `seen`; whether nothing of it had changed meanwhile but the standby's part.

    On disk when it returns: a term must never come twice.
    """
    row = {"holder": wanted.holder, "term": wanted.term, "beat": wanted.beat, "patience": wanted.patience}
    if seen is None:
        rest = {"pair": pair, "standby_beat": 0, "standby_fit": False, "wanted": ""}
        operations = [insert("Lease", _uid(pair), {**row, **rest})]
    else:
        known = {"holder": seen.holder, "term": seen.term, "beat": seen.beat}
        change = {**row, "standby_fit": False, "wanted": ""}
        operations = [_wait(pair, known), update("Lease", _uid(pair), change)]
    try:
        connection.commit(DATABASE, operations, PATIENCE)
    except Raced:
        return False
    return True


def renew(connection: Connection, pair: str, host: HostName, term: int, beat: int) -> Lease | None:
    """A sign of life of the holder; the row as it is then, None if the lease is another's."""
    known = {"holder": host, "term": term}
    return _quickly(connection, pair, known, {"beat": beat})


def give_back(connection: Connection, pair: str, host: HostName, term: int) -> Lease | None:
    """The holder lets go; None if the lease is another's."""
    return _quickly(connection, pair, {"holder": host, "term": term}, {"holder": "", "wanted": ""})


def stand_by(connection: Connection, pair: str, seen: Lease, beat: int, *, fit: bool) -> Lease | None:
    """A sign of life of the host that does not hold it; None if the holder changed."""
    known = {"holder": seen.holder, "term": seen.term}
    return _quickly(connection, pair, known, {"standby_beat": beat, "standby_fit": fit})


def want(connection: Connection, pair: str, host: HostName) -> Lease | None:
    """The operator wants `host` to hold it: the holder gives it back once the other is ready."""
    uid = _uid(pair)
    connection.commit(DATABASE, [update("Lease", uid, {"wanted": host})])
    return read(connection, pair)


def held(connection: Connection, host: HostName, hold: Hold) -> bool:
    """Whether `host` holds the lease still, under that term."""
    row = read(connection, pair_of(host, hold.partner))
    return row is not None and (row.holder, row.term) == (host, hold.term)


def guard(host: HostName, hold: Hold) -> Operation:
    """Part of a write that only the holder may do."""
    return _wait(pair_of(host, hold.partner), {"holder": host, "term": hold.term})


def lost(host: HostName, hold: Hold) -> Conflict:
    """Why such a write is refused."""
    message = f"{host} does not hold the lease that it shares with {hold.partner}"
    remedy = f"Nothing, if {hold.partner} serves the ports; see: ringfence status"
    return Conflict(Fault(f"Lease {pair_of(host, hold.partner)}", "lease-lost", message, remedy))


def _quickly(
    connection: Connection, pair: str, known: dict[str, Any], columns: dict[str, Any]
) -> Lease | None:
    operations = [_wait(pair, known), update("Lease", _uid(pair), columns)]
    operations.append(select("Lease", by_uid(_uid(pair)), _SEEN))
    try:
        results = connection.write_quickly(DATABASE, operations, PATIENCE)
    except Raced:
        return None
    return _lease(results[-1]["rows"])


def _wait(pair: str, known: dict[str, Any]) -> Operation:
    return wait("Lease", by_uid(_uid(pair)), tuple(known), [known])


def _lease(found: list[dict[str, Any]]) -> Lease | None:
    if not found:
        return None
    row = found[0]
    return Lease(
        HostName(row["holder"]),
        row["term"],
        row["beat"],
        row["patience"],
        row["standby_beat"],
        row["standby_fit"],
        HostName(row["wanted"]),
    )


def _uid(pair: str) -> Uid:
    return row_uid("Lease", pair)

"""Words: what hosts and fabrics say that they bear of gangs, and hosts of rules, in the database that is not
forced to disk.

Place: under `writer.Store`, beside `reports`. A row a host and a row a fabric, rewritten when it changes and
every few seconds, so that who reads knows how old it is. Must not parse what it carries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from controller.store.faults import Lost, Raced
from controller.store.identity import row_uid
from controller.store.records import REPORTS
from controller.store.statements import insert, select, update, wait
from controller.store.wire import Connection
from model.errors import Fault

_ATTEMPTS: Final = 8
_FEW: Final = 64
"""Up to this many hosts are read row by row; more of them by one scan of the table."""


@dataclass(frozen=True, slots=True)
class Word:
    """`name`: of the host or fabric. `text`: see `model.bearing`, `model.evidence`. `stamp`: Unix ms by the
    speaker's clock."""

    name: str
    text: str
    stamp: int


def put_host(connection: Connection, word: Word) -> None:
    """Replace what a host says."""
    _put(connection, "Host_Word", "host", word)


def put_fabric(connection: Connection, word: Word) -> None:
    """Replace what a fabric's process says."""
    _put(connection, "Fabric_Word", "fabric", word)


def put_evidence(connection: Connection, word: Word) -> None:
    """Replace what a host says of rules."""
    _put(connection, "Evidence_Word", "host", word)


def follow_fabric(connection: Connection, word: Word, before: int | None) -> None:
    """Replace what a fabric's process says if the last stamp still is `before`; None: if it says nothing.
    Raced: somebody else spoke meanwhile.
    """
    uid = row_uid("Fabric_Word", word.name)
    row = {"fabric": word.name, "text": word.text, "stamp": word.stamp}
    found = [] if before is None else [{"stamp": before}]
    unheard = wait("Fabric_Word", [["fabric", "==", word.name]], ("stamp",), found)
    change = insert("Fabric_Word", uid, row) if before is None else update("Fabric_Word", uid, row)
    connection.write_quickly(REPORTS, [unheard, change])


def hosts(connection: Connection, names: Iterable[str] | None = None) -> tuple[Word, ...]:
    """Those of some hosts that say something (None: of all), by name."""
    return _read(connection, "Host_Word", "host", names)


def fabrics(connection: Connection) -> tuple[Word, ...]:
    """Of all fabrics, by name."""
    return _read(connection, "Fabric_Word", "fabric", None)


def evidence(connection: Connection, names: Iterable[str] | None = None) -> tuple[Word, ...]:
    """What some hosts say of rules (None: all), by name."""
    return _read(connection, "Evidence_Word", "host", names)


def _put(connection: Connection, table: str, column: str, word: Word) -> None:
    uid = row_uid(table, word.name)
    row = {column: word.name, "text": word.text, "stamp": word.stamp}
    for _ in range(_ATTEMPTS):
        try:
            if connection.write_quickly(REPORTS, [update(table, uid, row)])[0]["count"] == 0:
                connection.write_quickly(REPORTS, [insert(table, uid, row)])
            return
        except (Raced, Lost):
            continue
    message = f"other writers were faster {_ATTEMPTS} times"
    raise Raced(Fault(f"word of {word.name}", "changed-meanwhile", message, "Try again."))


def _read(connection: Connection, table: str, column: str, names: Iterable[str] | None) -> tuple[Word, ...]:
    columns = (column, "text", "stamp")
    wanted = None if names is None else frozenset(names)
    if wanted is not None and not wanted:
        return ()
    if wanted is None or len(wanted) > _FEW:
        results = connection.read(REPORTS, [select(table, [], columns)])
    else:
        found = [select(table, [[column, "==", name]], columns) for name in sorted(wanted)]
        results = connection.read(REPORTS, found)
    words = (Word(row[column], row["text"], row["stamp"]) for result in results for row in result["rows"])
    return tuple(sorted((w for w in words if wanted is None or w.name in wanted), key=lambda word: word.name))

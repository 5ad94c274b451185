"""Reports: what agents say about their hosts, in the database that is not forced to disk.

Place: under `writer.Store`. Of each host a short head, rewritten often; a long text, rewritten seldom; and a
row for each of its interfaces, written when it changes: what a report costs follows what is new in it.
Must not parse what it carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from controller.store import rows
from controller.store.faults import Lost, Raced
from controller.store.identity import row_uid
from controller.store.records import REPORTS, HostReport, PortRow
from controller.store.statements import Operation, by_uid, delete, insert, select, update, wait
from controller.store.wire import Connection
from model.errors import Fault
from model.ids import HostName

_ATTEMPTS: Final = 8
_PORTS_AT_ONCE: Final = 1_000
"""Rows in one transaction: the server does nothing else meanwhile."""
_FEW: Final = 64
"""Up to this many hosts are read row by row; more of them by one scan of the table."""
_HEAD: Final = ("host", "stamp", "head")
_WHOLE: Final = (*_HEAD, "report")
_PORT: Final = ("host", "uid", "state", "reason", "ofport")


@dataclass(frozen=True, slots=True)
class Saying:
    """`head`, `report`: JSON texts; `report` None = as it was. `ports`: rows by uid, None = gone. `stamp`:
    Unix ms. `revision`: of the host's row as its agent last wrote it; the next is one more.
    """

    head: str
    report: str | None
    ports: Mapping[str, PortRow | None]
    stamp: int
    revision: int


def put_whole(connection: Connection, host: HostName, report: str, stamp: int) -> None:
    """Replace the host's report by one text that says everything, without head and rows."""
    row = {"host": host, "report": report, "stamp": stamp, "head": rows.text_set(()), "revision": _none()}
    _put_row(connection, host, row)


def replace(connection: Connection, host: HostName, saying: Saying) -> None:
    """Everything anew: what the store may hold of the host from an earlier life goes.

    The host's row comes last: a life that ends in between is seen by its revision.
    """
    found = iter(sorted((uid, row) for uid, row in saying.ports.items() if row is not None))
    # A transaction of its own: the server makes no row anew in the one that deletes it.
    connection.write_quickly(
        REPORTS,
        [
            {"op": "delete", "table": "Port_Report", "where": [["host", "==", host]]},
            {"op": "update", "table": "Host_Report", "where": _own(host), "row": {"revision": _none()}},
        ],
    )
    while some := list(islice(found, _PORTS_AT_ONCE)):
        connection.write_quickly(REPORTS, [_insert(host, uid, row) for uid, row in some])
    _put_row(
        connection,
        host,
        {
            "host": host,
            "report": saying.report or "",
            "stamp": saying.stamp,
            "head": saying.head,
            "revision": saying.revision + 1,
        },
    )


def amend(connection: Connection, host: HostName, saying: Saying, known: frozenset[str]) -> None:
    """What is new, in one transaction. `known`: uids that have a row. Raced if the store is not at the
    revision: then it has lost something, and everything must be said again.
    """
    row: rows.Columns = {"head": saying.head, "stamp": saying.stamp, "revision": saying.revision + 1}
    if saying.report is not None:
        row["report"] = saying.report
    found = [{"revision": saying.revision}]
    operations = [
        wait("Host_Report", _own(host), ("revision",), found),
        update("Host_Report", row_uid("Host_Report", host), row),
    ]
    for uid, one in sorted(saying.ports.items()):
        place = row_uid("Port_Report", host, uid)
        if one is None:
            operations.append(delete("Port_Report", place))
        elif uid in known:
            operations.append(update("Port_Report", place, _columns(host, uid, one)))
        else:
            operations.append(_insert(host, uid, one))
    connection.write_quickly(REPORTS, operations)


def read(connection: Connection, hosts: Iterable[HostName] | None) -> tuple[HostReport, ...]:
    """The last report of each of `hosts` that has one (None: of all), by name."""
    return _reports(_select(connection, hosts, _WHOLE))


def read_heads(connection: Connection, hosts: Iterable[HostName] | None) -> tuple[HostReport, ...]:
    """The same without the long text, but for hosts that write no head."""
    found = _select(connection, hosts, _HEAD)
    whole = [HostName(row["host"]) for row in found if rows.optional(row["head"]) is None]
    headed = [row for row in found if rows.optional(row["head"]) is not None]
    return _reports([*headed, *(_select(connection, whole, _WHOLE) if whole else ())])


def read_headless(connection: Connection) -> tuple[HostReport, ...]:
    """The reports of hosts that write no head."""
    (found,) = connection.read(REPORTS, [select("Host_Report", [["head", "==", _none()]], _WHOLE)])
    return _reports(found["rows"])


def read_versions(
    connection: Connection, hosts: Iterable[HostName] | None
) -> tuple[tuple[HostName, str], ...]:
    """(host, what changes with each report), by host."""
    found = _select(connection, hosts, ("host", "_version"))
    return tuple(sorted((HostName(r["host"]), rows.reference(r["_version"])) for r in found))


def read_stamps(connection: Connection) -> tuple[tuple[HostName, int], ...]:
    """(host, when its own clock says that it reported last, Unix ms), by host."""
    return tuple(sorted((HostName(r["host"]), r["stamp"]) for r in _select(connection, None, _HEAD[:2])))


def read_ports(connection: Connection, uid: str | None) -> tuple[tuple[HostName, str, PortRow], ...]:
    """(host, uid, row) of all interfaces, or of those with one uid."""
    where = [] if uid is None else [["uid", "==", uid]]
    (found,) = connection.read(REPORTS, [select("Port_Report", where, _PORT)])
    return tuple(
        (HostName(r["host"]), r["uid"], (r["state"], r["reason"], r["ofport"])) for r in found["rows"]
    )


def _select(
    connection: Connection, hosts: Iterable[HostName] | None, columns: Sequence[str]
) -> list[dict[str, Any]]:
    names = None if hosts is None else frozenset(hosts)
    if names is None or len(names) > _FEW:
        (found,) = connection.read(REPORTS, [select("Host_Report", [], columns)])
        return [row for row in found["rows"] if names is None or row["host"] in names]
    if not names:
        return []
    results = connection.read(REPORTS, [select("Host_Report", _own(n), columns) for n in sorted(names)])
    return [row for result in results for row in result["rows"]]


def _reports(found: Iterable[Mapping[str, Any]]) -> tuple[HostReport, ...]:
    made = (
        HostReport(HostName(r["host"]), r.get("report", ""), r["stamp"], rows.optional(r["head"]) or "")
        for r in found
    )
    return tuple(sorted(made, key=lambda report: report.host))


def _put_row(connection: Connection, host: HostName, row: rows.Columns) -> None:
    uid = row_uid("Host_Report", host)
    for _ in range(_ATTEMPTS):
        try:
            done = connection.write_quickly(REPORTS, [update("Host_Report", uid, row)])
            if done[0]["count"] == 0:
                connection.write_quickly(REPORTS, [insert("Host_Report", uid, row)])
            return
        except (Raced, Lost):
            continue
    message = f"other writers were faster {_ATTEMPTS} times"
    raise Raced(Fault(f"report of {host}", "changed-meanwhile", message, "Try again."))


def _own(host: HostName) -> list[Any]:
    return by_uid(row_uid("Host_Report", host))


def _insert(host: HostName, uid: str, row: PortRow) -> Operation:
    return insert("Port_Report", row_uid("Port_Report", host, uid), _columns(host, uid, row))


def _columns(host: HostName, uid: str, row: PortRow) -> rows.Columns:
    state, reason, ofport = row
    return {"host": host, "uid": uid, "state": state, "reason": reason, "ofport": ofport}


def _none() -> list[Any]:
    """No value of an optional column."""
    return ["set", []]

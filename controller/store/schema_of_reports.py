"""Schema of the reports: tables of the database that is rewritten often and never synced to disk by force.

Place: as `schema`, for the second database. Host_Report: a row a host; `head` is short and rewritten often,
`report` long and rewritten seldom. Port_Report: a row for each interface with an iface-id, written when it
changes. Host_Word, Fabric_Word: what a host, and a fabric's process, say that they bear of gangs.
Evidence_Word: what a host says of rules. Must not do I/O.
"""

from __future__ import annotations

from typing import Any, Final

from controller.store.records import REPORTS

REPORTS_VERSION: Final = "1.3.0"
"""1.0.0: first. 1.1.0: Question, Port_Report; Host_Report.head and .revision (optional: absent in rows of
before). 1.2.0: Host_Word, Fabric_Word. 1.3.0: Evidence_Word."""

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_SHORT: Final[dict[str, Any]] = {"type": {"key": "string", "min": 0, "max": 1}}
_NUMBER: Final = {"type": "integer", "minInteger": 0}
_WHOLE: Final[dict[str, Any]] = {"type": {"key": _NUMBER}}
_COUNT: Final[dict[str, Any]] = {"type": {"key": _NUMBER, "min": 0, "max": 1}}


def reports_schema() -> dict[str, Any]:
    """As OVSDB's JSON (RFC 7047 section 3.2); a fresh copy."""
    host = {"host": _TEXT, "report": _TEXT, "stamp": _WHOLE, "head": _SHORT, "revision": _COUNT}
    port = {"host": _TEXT, "uid": _TEXT, "state": _TEXT, "reason": _TEXT, "ofport": _WHOLE}
    question = {"host": _TEXT, "kind": _TEXT, "text": _TEXT, "asked": _WHOLE, "answer": _TEXT}
    tables = {
        "Host_Report": _table(host, ["host"]),
        "Port_Report": _table(port),
        "Question": _table(question),
        "Host_Word": _table({"host": _TEXT, "text": _TEXT, "stamp": _WHOLE}, ["host"]),
        "Fabric_Word": _table({"fabric": _TEXT, "text": _TEXT, "stamp": _WHOLE}, ["fabric"]),
        "Evidence_Word": _table({"host": _TEXT, "text": _TEXT, "stamp": _WHOLE}, ["host"]),
    }
    return {"name": REPORTS, "version": REPORTS_VERSION, "tables": tables}


def _table(columns: dict[str, Any], *indexes: list[str]) -> dict[str, Any]:
    return {"isRoot": True, "columns": {n: dict(c) for n, c in columns.items()}, "indexes": list(indexes)}

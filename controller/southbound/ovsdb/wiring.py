"""Wiring: the end of the wire of `ringfenced services` as an interface of our bridge.

Place: beside `Plugging`, for a process of its own: one transaction over a connection of its own (RFC 7047).
Must not touch a row without our mark.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from controller.southbound import rpc
from controller.southbound.ovsdb.reading import IFACE_ID
from model.errors import Conflict, Fault, Unavailable
from model.ids import OWNER, Uid

_DATABASE: Final = "Open_vSwitch"
_MARK: Final = "services"
_NUMBER: Final = 65000
"""Its OpenFlow port, if nobody has it: so flows lead there again after a restart, also without an agent."""
_TIMEOUT: Final = 5.0
_DEALT: Final = 2.0
_ROOT: Final = "Open_vSwitch"

Operation = dict[str, Any]


def plug(socket: Path, bridge: str, name: str, iface_id: Uid, told: Mapping[str, str]) -> None:
    """Put it in, anew if our row of it is there: else Open vSwitch would keep a device that is no more.
    `told`: what else its external_ids say.

    Raises Unavailable without an answer or a bridge, Conflict if somebody else has the name.
    """
    ports, bridges = (
        each["rows"]
        for each in _transact(
            socket,
            [
                _select("Port", ["_uuid", "external_ids"], name),
                _select("Bridge", ["_uuid"], bridge),
            ],
        )
    )
    if not bridges:
        raise Unavailable(
            Fault(
                f"bridge {bridge}",
                "bridge-missing",
                "it is not there yet",
                "The agent makes it as soon as the store declares this host.",
            )
        )
    comment = {"op": "comment", "comment": OWNER}
    gone = _out(name, ports)
    if gone:
        bump = {"op": "mutate", "table": _ROOT, "where": [], "mutations": [["next_cfg", "+=", 1]]}
        _transact(socket, [*gone, bump, comment])
        _await_dealt_with(socket)
    ids = {IFACE_ID: str(iface_id), OWNER: _MARK, **told}
    _transact(socket, [*_in(bridge, name, ids), comment])


def is_plugged(socket: Path, name: str, iface_id: Uid) -> bool:
    """Whether Open vSwitch has it, with a number, under this iface-id."""
    (found,) = _transact(socket, [_select("Interface", ["external_ids", "ofport"], name)])
    return any(
        _map(row["external_ids"]).get(IFACE_ID) == iface_id
        and isinstance(row["ofport"], int)
        and row["ofport"] > 0
        for row in found["rows"]
    )


def _await_dealt_with(socket: Path) -> None:
    """Until Open vSwitch has done what the database says: of a name that went and came at once it would see
    nothing. While it does not run there is nothing to wait for."""
    end = time.monotonic() + _DEALT
    columns = {"op": "select", "table": _ROOT, "where": [], "columns": ["next_cfg", "cur_cfg"]}
    while time.monotonic() < end:
        (found,) = _transact(socket, [columns])
        if all(row["cur_cfg"] >= row["next_cfg"] for row in found["rows"]):
            return
        time.sleep(0.05)


def _out(name: str, ports: list[dict[str, Any]]) -> list[Operation]:
    found: list[Operation] = []
    for row in ports:
        if _map(row["external_ids"]).get(OWNER) != _MARK:
            raise _refused(f"port {name} of Open vSwitch is not ours", f"ovs-vsctl del-port {name}")
        gone = ["set", [row["_uuid"]]]
        where = [["ports", "includes", row["_uuid"]]]
        found.append(
            {"op": "mutate", "table": "Bridge", "where": where, "mutations": [["ports", "delete", gone]]}
        )
    return found


def _in(bridge: str, name: str, ids: Mapping[str, str]) -> list[Operation]:
    made = ["set", [["named-uuid", "port"]]]
    return [
        {
            "op": "insert",
            "table": "Interface",
            "uuid-name": "interface",
            "row": {
                "name": name,
                "ofport_request": _NUMBER,
                "external_ids": ["map", [[key, ids[key]] for key in sorted(ids)]],
            },
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "port",
            "row": {
                "name": name,
                "interfaces": ["named-uuid", "interface"],
                "external_ids": ["map", [[OWNER, _MARK]]],
            },
        },
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["name", "==", bridge]],
            "mutations": [["ports", "insert", made]],
        },
    ]


def _transact(socket: Path, operations: list[Operation]) -> list[dict[str, Any]]:
    answer = rpc.call(socket, "transact", [_DATABASE, *operations], _TIMEOUT)
    results = answer if isinstance(answer, list) else []
    for one in results:
        if isinstance(one, dict) and one.get("error"):
            raise _refused(f"{one['error']}: {one.get('details', '')}", "It is tried again.")
    return results


def _refused(message: str, remedy: str) -> Conflict:
    return Conflict(Fault(f"database {_DATABASE}", "wire-refused", message, remedy))


def _select(table: str, columns: list[str], name: str) -> Operation:
    return {"op": "select", "table": table, "where": [["name", "==", name]], "columns": columns}


def _map(value: Any) -> dict[str, str]:
    return {str(key): str(one) for key, one in value[1]}

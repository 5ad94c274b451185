"""Plugging: representors of VFs as interfaces of our bridge, and which there are.

Place: beside `SwitchDatabase`, for the agent's device half, which has a thread of its own: each call is one
transaction over a connection of its own (RFC 7047). What is put in bears the port's uid as iface-id, so that
`SwitchDatabase` sees it like any other, and our mark with the VF. Must not touch a row without our mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from controller.southbound import rpc
from controller.southbound.ovsdb.reading import IFACE_ID
from ipam.devices.plugs import Changes
from ipam.devices.serving import Fitted, Place
from model.addresses import format_mac
from model.errors import Conflict, Fault, Unavailable
from model.hardware import VFS, format_pci, parse_pci
from model.ids import OWNER, Mac, Uid

VF: Final = f"{OWNER}-vf"
"""Key of external_ids: our mark on an interface that stands for a VF; its value is PF/NUMBER."""
ATTACHED_MAC: Final = "attached-mac"
_TIMEOUT: Final = 3.0
"""Seconds: gangs of the host wait for it as well."""
_DATABASE: Final = "Open_vSwitch"

Operation = dict[str, Any]
Call = Callable[[str, list[object]], object]
"""Method and parameters to `result`."""


class Plugging:
    """`socket`: of the local ovsdb-server. All raise RingfenceError without an answer, or with a refusal."""

    def __init__(self, socket: Path, bridge: str = "br-int") -> None:
        self._bridge = bridge
        self._call: Call = lambda method, params: rpc.call(socket, method, params, _TIMEOUT)

    def look(self) -> tuple[Fitted, ...]:
        """All interfaces with an iface-id or our mark, whichever bridge they are on, by name."""
        (found,) = self._transact([_select("Interface", ["name", "external_ids"])])
        return read(found["rows"])

    def change(self, changes: Changes, macs: Mapping[Uid, Mac], places: Mapping[str, Place]) -> None:
        """Take out what is to go, and is still marked as it was seen, then put in; all or nothing. `places`:
        the VF of each netdev that is put in."""
        found = self._transact(
            [
                _select("Interface", ["_uuid", "name", "external_ids"]),
                _select("Port", ["_uuid", "interfaces"]),
                _select("Bridge", ["_uuid", "ports"], [["name", "==", self._bridge]]),
            ]
        )
        interfaces, ports, bridges = (each["rows"] for each in found)
        if not bridges:
            raise Unavailable(
                Fault(
                    f"bridge {self._bridge}",
                    "bridge-missing",
                    "it is not there yet",
                    "The agent makes it as soon as the store declares this host.",
                )
            )
        asked = take_out(changes.detach, interfaces, ports)
        asked += [
            each
            for number, (netdev, uid) in enumerate(changes.attach)
            for each in put_in(number, self._bridge, netdev, uid, macs[uid], places[netdev])
        ]
        # so that `ovsdb-tool show-log` names the author
        self._transact([*asked, {"op": "comment", "comment": OWNER}])

    def _transact(self, operations: list[Operation]) -> list[dict[str, Any]]:
        answer = self._call("transact", [_DATABASE, *operations])
        results = answer if isinstance(answer, list) else []
        for one in results:
            if isinstance(one, dict) and one.get("error"):
                raise Conflict(
                    Fault(
                        f"database {_DATABASE}",
                        "plugs-refused",
                        f"{one['error']}: {one.get('details', '')}",
                        "It is tried again; see `ovs-vsctl show` for who has the interface.",
                    )
                )
        return results


def read(rows: Iterable[Mapping[str, Any]]) -> tuple[Fitted, ...]:
    """Rows of table Interface as they were selected."""
    found = []
    for row in sorted(rows, key=lambda row: str(row["name"])):
        ids = _map(row["external_ids"])
        if IFACE_ID in ids or VF in ids:
            found.append(Fitted(str(row["name"]), ids.get(IFACE_ID, "").lower(), _place(ids.get(VF, ""))))
    return tuple(found)


def take_out(
    netdevs: Iterable[str], interfaces: Iterable[Mapping[str, Any]], ports: Iterable[Mapping[str, Any]]
) -> list[Operation]:
    """Operations; the server drops rows that nothing refers to. None for one without our mark."""
    rows = {str(row["name"]): row for row in interfaces if VF in _map(row["external_ids"])}
    holders = {_uuids(row["interfaces"])[0]: row for row in ports if len(_uuids(row["interfaces"])) == 1}
    found: list[Operation] = []
    for netdev in netdevs:
        row = rows.get(netdev)
        port = None if row is None else holders.get(row["_uuid"][1])
        if row is None or port is None:
            continue
        found.append(
            {
                "op": "wait",
                "table": "Interface",
                "timeout": 0,
                "where": [["_uuid", "==", row["_uuid"]]],
                "columns": ["external_ids"],
                "until": "==",
                "rows": [{"external_ids": row["external_ids"]}],
            }
        )
        where = [["ports", "includes", port["_uuid"]]]
        found.append(
            {
                "op": "mutate",
                "table": "Bridge",
                "where": where,
                "mutations": [["ports", "delete", ["set", [port["_uuid"]]]]],
            }
        )
    return found


def put_in(number: int, bridge: str, netdev: str, uid: Uid, mac: Mac, at: Place) -> list[Operation]:
    """Operations. `number`: of this one in its transaction. A Port of that name that exists already makes the
    server refuse the whole."""
    mark = f"{format_pci(at[0])}/{at[1]}"
    ids = [[IFACE_ID, uid], [ATTACHED_MAC, format_mac(mac)], [VF, mark]]
    return [
        {
            "op": "insert",
            "table": "Interface",
            "uuid-name": f"interface{number}",
            "row": {"name": netdev, "external_ids": ["map", ids]},
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": f"port{number}",
            "row": {
                "name": netdev,
                "interfaces": ["named-uuid", f"interface{number}"],
                "external_ids": ["map", [[VF, mark]]],
            },
        },
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["name", "==", bridge]],
            "mutations": [["ports", "insert", ["set", [["named-uuid", f"port{number}"]]]]],
        },
    ]


def _select(table: str, columns: list[str], where: list[Any] | None = None) -> Operation:
    return {"op": "select", "table": table, "where": where or [], "columns": columns}


def _map(value: Any) -> dict[str, str]:
    return {str(key): str(one) for key, one in value[1]}


def _uuids(value: Any) -> list[str]:
    pairs = value[1] if value[0] == "set" else [value]
    return [str(uid) for _, uid in pairs]


def _place(mark: str) -> Place | None:
    pci, _, index = mark.rpartition("/")
    try:
        at = (parse_pci(pci), int(index))
    except ValueError:
        return None
    return at if at[1] in VFS else None

"""Rows of the Open_vSwitch database as inventory values.

Place: after each change that `SwitchDatabase` sees. Pure over the rows. Must not write.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.southbound.ovsdb.layout import TUNNEL, marked
from model.ids import Uid
from model.inventory import Interface, Switch
from model.serving import IFACE_ID as SERVICES
from model.serving import SUFFIX_MARK
from services.naming.labels import parse_labels

IFACE_ID: Final = "iface-id"
"""Key of Interface:external_ids by which libvirt, OpenStack and OVN name an interface's port."""
LAST_PORT: Final = 0xFEFF
"""The largest OpenFlow port number that OVS gives; -1 means that the interface could not be made."""

COLUMNS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Open_vSwitch", ("bridges", "external_ids", "other_config")),
    (
        "Bridge",
        ("name", "datapath_type", "ports", "controller", "protocols", "fail_mode", "external_ids"),
    ),
    ("Port", ("name", "interfaces", "external_ids")),
    ("Interface", ("name", "type", "options", "external_ids", "ofport", "mtu", "admin_state", "link_state")),
    (
        "Controller",
        (
            *("target", "connection_mode", "max_backoff", "external_ids"),
            *("controller_rate_limit", "controller_burst_limit"),
        ),
    ),
)
"""Only these are monitored: statistics would wake the agent every few seconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Local:
    """All that this host's Open vSwitch has. `system_id` is empty if none is set.

    `switch` is None while ovs-vswitchd does not run, or bridge or tunnel port are not (yet) there.
    """

    system_id: str
    switch: Switch | None
    interfaces: Mapping[Uid, Interface]


def read(database: Any, bridge: str, started: str) -> Local:
    """Everything of `bridge`, from an Idl that has been read."""
    tables = database.tables
    roots = list(tables["Open_vSwitch"].rows.values())
    system_id = roots[0].external_ids.get("system-id", "") if roots else ""
    row = next((b for b in tables["Bridge"].rows.values() if b.name == bridge), None)
    if row is None:
        return Local(system_id, None, {})
    interfaces = sorted((i for p in row.ports for i in p.interfaces), key=lambda i: str(i.name))
    return Local(system_id, _switch(row, interfaces, started), _named(interfaces))


def _ofport(interface: Any) -> int | None:
    number = interface.ofport[0] if interface.ofport else 0
    return number if 0 < number <= LAST_PORT else None


def _switch(bridge: Any, interfaces: Iterable[Any], started: str) -> Switch | None:
    tunnel = next((n for i in interfaces if i.name == TUNNEL and marked(i) and (n := _ofport(i))), None)
    if tunnel is None or not started:
        return None
    return Switch(bridge.datapath_type or "system", tunnel, started)


def _named(interfaces: Iterable[Any]) -> dict[Uid, Interface]:
    """Interfaces with an iface-id that OVS has dealt with. Two with the same id: the first by name holds."""
    found: dict[Uid, Interface] = {}
    for interface in interfaces:
        uid = interface.external_ids.get(IFACE_ID, "").lower()
        if not uid or not interface.ofport:
            continue
        if uid in found:
            _log.warning(
                "interface=%s iface-id=%s is already on %s: ignored", interface.name, uid, found[uid].name
            )
            continue
        suffix = _suffix(interface.external_ids) if uid == SERVICES else ""
        found[Uid(uid)] = Interface(
            interface.name, Uid(uid), _ofport(interface) or 0, _mtu(interface), _is_up(interface), suffix
        )
    return found


def _suffix(ids: Mapping[str, str]) -> str:
    """What is no name serves none: it would go into each lease."""
    try:
        parse_labels(ids.get(SUFFIX_MARK, ""))
    except ValueError:
        return ""
    return ids[SUFFIX_MARK]


def _mtu(interface: Any) -> int:
    """0 for a device that has none, or of which Open vSwitch does not know."""
    return max(0, interface.mtu[0]) if interface.mtu else 0


def _is_up(interface: Any) -> bool:
    """What is not known is not down."""
    return "down" not in (*interface.admin_state, *interface.link_state)

"""What of ours stands in the Open_vSwitch database: bridge, tunnel port, controller; and how to make it so.

Place: run inside a transaction by `SwitchDatabase`. Writes nothing that is right already, so that a restart
changes nothing. Must not touch rows without our mark, but for joining the bridge to the root row.

Open vSwitch flushes all flows of a bridge when its first controller comes or its last one goes: so the
layout is made before flows are put, and a controller that is there is never taken away and added again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from model.addresses import Address
from model.errors import Conflict, Fault
from model.ids import OWNER

TUNNEL: Final = "rf-vxlan"
PROTOCOLS: Final = ("OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15")
"""1.4 for us, and 1.5 for groups; the others let a plain `ovs-ofctl dump-flows` of an operator work."""
BACKOFF: Final = 1000
"""Milliseconds between ovs-vswitchd's attempts to reach the agent; 1000 is the least that it takes.

Open vSwitch 3.1 heeds it only after a first connection: until then its attempts lie up to 8 s apart.
"""
PACKETS: Final = 400
"""Packets a second that flows may hand up by each of two queues, in which Open vSwitch shares them out among
the ports: answers to path probes go apart (`Special.CONTROLLER_APART`) and need half of theirs
(`controller.agent.paths.RATE`); and what workloads send must not keep the agent busy."""
PACKET_BURST: Final = 100
_MARK: Final = "true"

Row = Any
"""A row of python-ovs: its columns are attributes made at run time."""
Insert = Callable[[str], Row]


@dataclass(frozen=True, slots=True)
class Layout:
    """`controllers`: targets of our OpenFlow session, `unix:NAME`, NAME in ovs-vswitchd's run directory.

    The agent listens on all of them; one of them stands in the database.
    """

    bridge: str
    datapath: str
    local: Address
    controllers: tuple[str, ...]


def marked(row: Row) -> bool:
    """Whether a row is ours."""
    return OWNER in row.external_ids


def apply(layout: Layout, root: Row, bridges: list[Row], ports: list[Row], insert: Insert) -> None:
    """Make it so. Conflict if a row of that name belongs to somebody else."""
    bridge = next((b for b in bridges if b.name == layout.bridge), None)
    if bridge is None:
        bridge = _create_bridge(layout, root, insert)
    elif not marked(bridge):
        _adopt(layout, bridge)
    if bridge.datapath_type != layout.datapath:
        raise _conflict(
            f"bridge {layout.bridge}",
            f"has datapath_type {bridge.datapath_type!r}, wanted is {layout.datapath!r}",
            "changing it would cut all its ports: set the agent's datapath, or remove the bridge first",
        )
    _set(bridge, "fail_mode", "secure", ["secure"])
    present = set(bridge.protocols)
    if not present.issuperset(PROTOCOLS):
        bridge.protocols = sorted(present | set(PROTOCOLS))
    _hold_controller(layout, bridge, insert)
    _hold_tunnel(layout, bridge, ports, insert)


def _conflict(who: str, message: str, remedy: str) -> Conflict:
    return Conflict(Fault(who, "not-ours", message, remedy))


def _set(row: Row, column: str, value: Any, stored: Any) -> None:
    """Write only what differs; `stored` is the value as the database gives it back."""
    if getattr(row, column) != stored:
        setattr(row, column, value)


def _create_bridge(layout: Layout, root: Row, insert: Insert) -> Row:
    interface = insert("Interface")
    interface.name, interface.type = layout.bridge, "internal"
    interface.external_ids = {OWNER: _MARK}
    port = insert("Port")
    port.name, port.interfaces, port.external_ids = layout.bridge, [interface], {OWNER: _MARK}
    bridge = insert("Bridge")
    bridge.name, bridge.datapath_type, bridge.ports = layout.bridge, layout.datapath, [port]
    bridge.external_ids = {OWNER: _MARK}
    bridge.fail_mode, bridge.protocols, bridge.controller = "secure", list(PROTOCOLS), []
    root.addvalue("bridges", bridge)
    return bridge


def _adopt(layout: Layout, bridge: Row) -> None:
    """Take a bridge that somebody prepared for us: without flows it drops all, and nobody controls it."""
    if bridge.fail_mode != ["secure"] or bridge.controller:
        raise _conflict(
            f"bridge {layout.bridge}",
            "exists and bears no mark of Ringfence, forwards by itself or has a controller",
            f"if it is Ringfence's: ovs-vsctl set Bridge {layout.bridge} external_ids:{OWNER}={_MARK}",
        )
    bridge.setkey("external_ids", OWNER, _MARK)


def _hold_controller(layout: Layout, bridge: Row, insert: Insert) -> None:
    ours = [c for c in bridge.controller if marked(c)]
    right = next((c for c in ours if c.target in layout.controllers), None)
    if right is not None:
        _limit(right)
    if right is not None and len(ours) == 1:
        return
    if right is None:
        right = _create_controller(layout.controllers[0], insert)
    bridge.controller = [c for c in bridge.controller if not marked(c)] + [right]


def _create_controller(target: str, insert: Insert) -> Row:
    controller = insert("Controller")
    controller.target, controller.external_ids = target, {OWNER: _MARK}
    controller.connection_mode, controller.max_backoff = "out-of-band", BACKOFF
    controller.controller_rate_limit, controller.controller_burst_limit = PACKETS, PACKET_BURST
    return controller


def _limit(controller: Row) -> None:
    """A row that a version without limits has made gets them."""
    _set(controller, "controller_rate_limit", PACKETS, [PACKETS])
    _set(controller, "controller_burst_limit", PACKET_BURST, [PACKET_BURST])


def recall(bridge: Row, controllers: Sequence[str], insert: Insert) -> None:
    """Put another of our targets in place of the one there: OVS connects to a new target at once."""
    ours = [c for c in bridge.controller if marked(c)]
    other = next((t for t in controllers if all(c.target != t for c in ours)), None)
    if ours and other is not None:
        others = [c for c in bridge.controller if not marked(c)]
        bridge.controller = [*others, _create_controller(other, insert)]


def _hold_tunnel(layout: Layout, bridge: Row, ports: list[Row], insert: Insert) -> None:
    # the outer header gets the DSCP of the inner one: networks are marked there (docs/decisions/0016)
    options = {"remote_ip": "flow", "key": "flow", "local_ip": str(layout.local), "tos": "inherit"}
    port = next((p for p in ports if p.name == TUNNEL), None)
    if port is None:
        interface = insert("Interface")
        interface.name, interface.type, interface.options = TUNNEL, "vxlan", options
        interface.external_ids = {OWNER: _MARK}
        port = insert("Port")
        port.name, port.interfaces, port.external_ids = TUNNEL, [interface], {OWNER: _MARK}
        bridge.addvalue("ports", port)
        return
    if not marked(port) or port not in bridge.ports:
        raise _conflict(
            f"port {TUNNEL}",
            f"exists, but is not Ringfence's on bridge {layout.bridge}",
            f"ovs-vsctl del-port {TUNNEL}",
        )
    for interface in port.interfaces:
        _set(interface, "options", options, options)
        _set(interface, "type", "vxlan", "vxlan")

"""The os-ken application that owns the OpenFlow session: handshake, liveness, port events.

Place: runs on threads of its own inside the agent; callbacks only enqueue. Flows do not go this way:
`channel` has its own connection. Opens no TCP port.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.ofproto import ofproto_v1_4

from controller.southbound.openflow.fields import find
from controller.southbound.openflow.serving import Listener
from model.errors import RingfenceError

SOCKETS: Final = ("ringfence.sock", "ringfence-again.sock")
"""Names of the sockets in the run directory; OVS takes a name alone as one in its run directory."""
TARGETS: Final = tuple(f"unix:{name}" for name in SOCKETS)
"""Targets of which our Controller row bears one (see `SwitchDatabase.recall`)."""
TARGET: Final = TARGETS[0]
PATIENCE: Final = 0.5
"""Seconds in which a switch that is not in a pause between attempts has connected."""
_log = logging.getLogger(__name__)


class PortChange(Enum):
    """Why the switch speaks of a port (OpenFlow 1.4.1 section 7.4.3)."""

    ADDED = ofproto_v1_4.OFPPR_ADD
    DELETED = ofproto_v1_4.OFPPR_DELETE
    MODIFIED = ofproto_v1_4.OFPPR_MODIFY


def _ignore(cookie: int, in_port: int, frame: bytes) -> None:
    """For those who put no flow that hands packets up."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Called from os-ken's thread: they must only enqueue.

    `on_up(datapath_id)`, `on_down(reason)`, `on_port(change, number, name)`; `on_packet(cookie, in_port,
    frame)`: a flow with that cookie handed the frame up. Each up is followed by one down before the next up.
    """

    on_up: Callable[[int], None]
    on_down: Callable[[str], None]
    on_port: Callable[[PortChange, int, str], None]
    on_packet: Callable[[int, int, bytes], None] = _ignore


class Negotiation(OFPHandler):
    """os-ken's handler of hello, features, ports and echo, without the TCP servers that it would start."""

    def start(self) -> None:
        """As of any application: no controller, no listener."""
        OSKenApp.start(self)


class Ringfence(OSKenApp):
    """Tells the agent when the switch is there, when it is gone, and what its ports do."""

    OFP_VERSIONS = [ofproto_v1_4.OFP_VERSION]  # noqa: RUF012 - the name and form that os-ken reads

    def __init__(self, callbacks: Callbacks) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._up: Any = None

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def observe_state(self, event: Any) -> None:
        """The handshake is done, or the connection has ended."""
        datapath = event.datapath
        if event.state == MAIN_DISPATCHER:
            self._end("replaced by a new connection")
            self._up = datapath
            _log.info("switch up datapath=%016x", datapath.id)
            self._callbacks.on_up(datapath.id)
        elif self._up is datapath:
            self._end("connection lost")

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def observe_port(self, event: Any) -> None:
        """A port came, went or changed."""
        description = event.msg.desc
        name = description.name.decode("utf-8", "replace").rstrip("\0")
        self._callbacks.on_port(PortChange(event.msg.reason), description.port_no, name)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def observe_packet(self, event: Any) -> None:
        """A flow handed a packet up (OpenFlow 1.4.1 section 7.4.1)."""
        message = event.msg
        self._callbacks.on_packet(message.cookie, message.match.get("in_port", 0), bytes(message.data))

    def send(self, port: int, frame: bytes) -> None:
        """Send a frame out of a port (OpenFlow 1.4.1 section 7.3.7); lost if the switch is away."""
        self._out(lambda parser: [parser.OFPActionOutput(port)], frame)

    def enter(self, table: int, fields: tuple[tuple[str, int], ...], frame: bytes) -> None:
        """Send a frame through the tables from `table` on, with these fields (by OVS's names) set first."""

        def actions(parser: Any) -> list[Any]:
            sets = [parser.OFPActionSetField(**{find(name).known: value}) for name, value in fields]
            return [*sets, parser.NXActionResubmitTable(table_id=table)]

        self._out(actions, frame)

    def launch(self, port: int, fields: tuple[tuple[str, int | str], ...], frame: bytes) -> None:
        """Send a frame out of a port with these fields (by OVS's names; addresses as text) set first."""

        def actions(parser: Any) -> list[Any]:
            sets = [parser.OFPActionSetField(**{find(name).known: value}) for name, value in fields]
            return [*sets, parser.OFPActionOutput(port)]

        self._out(actions, frame)

    def _out(self, actions: Callable[[Any], list[Any]], frame: bytes) -> None:
        datapath = self._up
        if datapath is not None:
            parser, of = datapath.ofproto_parser, ofproto_v1_4
            port, out = of.OFPP_CONTROLLER, actions(parser)
            datapath.send_msg(parser.OFPPacketOut(datapath, of.OFP_NO_BUFFER, port, out, data=frame))

    def finish(self) -> None:
        """Report the end of the session when the agent stops."""
        self._end("the agent stops")

    def _end(self, reason: str) -> None:
        if self._up is None:
            return
        self._up = None
        _log.info("switch down reason=%s", reason)
        self._callbacks.on_down(reason)


class SessionRunner:
    """Starts and stops the application. One at a time in a process: os-ken's registry is global."""

    def __init__(self, rundir: Path, callbacks: Callbacks, recall: Callable[[], None] | None = None) -> None:
        """`recall`, if given, is called once when the switch has not come soon after the start.

        Open vSwitch tries a controller that went away only every 8 s (3.1 heeds max_backoff in no other case
        than after a first connection); `SwitchDatabase.recall` makes it come at once.
        """
        self._up = threading.Event()
        self._over = threading.Event()
        self._callbacks = replace(callbacks, on_up=self._note_up(callbacks.on_up))
        self._listener = Listener(tuple(rundir / name for name in SOCKETS))
        self._manager = AppManager()
        self._application: Ringfence | None = None
        self._recall = recall
        self._recalling = threading.Thread(target=self._wait_for_switch, name="recall-switch", daemon=True)

    def start(self) -> None:
        """Listen for the switch; returns at once."""
        self._listener.claim()  # while nothing runs yet that would have to be ended
        # os-ken's parts are instances of this manager alone: nothing is loaded by name, nothing listens
        negotiation = self._manager.instantiate(Negotiation)
        self._application = self._manager.instantiate(Ringfence, self._callbacks)
        negotiation.start()
        self._application.start()
        self._listener.start()
        if self._recall is not None:
            self._recalling.start()

    def stop(self) -> None:
        """Close the socket, end the session and wait for every thread."""
        self._over.set()
        self._up.set()
        if self._recalling.is_alive():
            self._recalling.join()
        self._listener.stop()
        self._manager.close()
        if self._application is not None:
            self._application.finish()

    def send(self, port: int, frame: bytes) -> None:
        """Send a frame out of an OpenFlow port; from any thread. Lost if the switch is away."""
        if self._application is not None:
            self._application.send(port, frame)

    def enter(self, table: int, fields: tuple[tuple[str, int], ...], frame: bytes) -> None:
        """Send a frame through the tables from `table` on; from any thread. Lost if the switch is away."""
        if self._application is not None:
            self._application.enter(table, fields, frame)

    def launch(self, port: int, fields: tuple[tuple[str, int | str], ...], frame: bytes) -> None:
        """Send a frame out of a port with fields set; from any thread. Lost if the switch is away."""
        if self._application is not None:
            self._application.launch(port, fields, frame)

    def _note_up(self, on_up: Callable[[int], None]) -> Callable[[int], None]:
        def note(datapath: int) -> None:
            self._up.set()
            on_up(datapath)

        return note

    def _wait_for_switch(self) -> None:
        if self._up.wait(PATIENCE) or self._over.is_set() or self._recall is None:
            return
        try:
            self._recall()
        except RingfenceError as error:
            _log.warning("switch not called back: %s", error)

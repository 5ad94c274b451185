"""Door: the wire to this host's bridge, the sockets at its far end, and who an alias at them is.

Place: made by `controller.services.serving`, once. What is behind it is a network namespace with these
listeners and nothing else. Must not read what comes in.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.services.accepting import BACKLOG
from controller.southbound.netlink import wires
from controller.southbound.netlink.wires import Wire
from controller.southbound.ovsdb import wiring
from model.addresses import GATEWAY_MAC, Address
from model.serving import (
    IFACE_ID,
    METADATA,
    METADATA_PORT,
    NAMES_PORT,
    RESOLVERS,
    SERVED,
    SERVICES_MAC,
    SUFFIX_MARK,
)

NAME: Final = "rf-services"
_ROOM: Final = 4 << 20
"""Octets of questions by UDP that may wait; the kernel takes as much as it is allowed to give."""
_WIRE: Final = Wire(NAME, SERVICES_MAC, GATEWAY_MAC, SERVED)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound and, for streams, listening. `web`: for metadata, the others for names."""

    datagrams: tuple[socket.socket, ...]
    streams: tuple[socket.socket, ...]
    web: tuple[socket.socket, ...] = ()


def open_sockets() -> Sockets:
    """In the namespace of the thread that calls."""
    return Sockets(
        tuple(_bound(each, socket.SOCK_DGRAM, NAMES_PORT) for each in RESOLVERS),
        tuple(_bound(each, socket.SOCK_STREAM, NAMES_PORT) for each in RESOLVERS),
        tuple(_bound(each, socket.SOCK_STREAM, METADATA_PORT) for each in METADATA),
    )


def lay(within: Callable[[], Sockets] = open_sockets) -> Sockets:
    """The wire anew; Unavailable if the kernel refuses."""
    return wires.lay(_WIRE, within)


def plug(rundir: Path, bridge: str, suffix: str) -> None:
    """Have the bridge take the wire, in place of an earlier one, and say there what zones end in.
    RingfenceError if it can't have it now."""
    wiring.plug(rundir / "db.sock", bridge, NAME, IFACE_ID, {SUFFIX_MARK: suffix})


def is_plugged(rundir: Path) -> bool:
    """Whether the bridge has it. RingfenceError if nobody says."""
    return wiring.is_plugged(rundir / "db.sock", NAME, IFACE_ID)


def is_laid() -> bool:
    """Whether the wire is there still."""
    return wires.is_laid(NAME)


def _bound(address: Address, kind: socket.SocketKind, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    if address.version == 6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind is socket.SOCK_DGRAM:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    made.bind((str(address), port))
    if kind is socket.SOCK_STREAM:
        made.listen(BACKLOG)
    return made

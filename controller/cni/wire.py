"""Wire: the few rtnetlink messages that move and set up an interface, as bytes.

Place: under `kernel`, which sends them. By hand, because the library for it costs several times what the
whole plugin may take to start. Layouts: linux/rtnetlink.h, if_link.h, if_addr.h. Must not send.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from controller.cni.addresses import Network, packed
from controller.cni.result import Route

NEWADDRESS, GETADDRESS, NEWROUTE, GETROUTE, GETLINK, SETLINK = 20, 22, 24, 26, 18, 19
ERROR, DONE = 2, 3
DUMP = 0x300
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")
UP = 0x1
INFINIBAND = 32
"""ARPHRD_INFINIBAND: the type of IPoIB's links."""
_IFLA_ADDRESS, _IFLA_BROADCAST, _IFLA_NAME, _IFLA_MTU = 1, 2, 3, 4
_IFLA_BELOW, _IFLA_ALIAS, _IFLA_NETNS, _IFLA_PARENT = 5, 20, 28, 56
_NO_DETECTION = 0x02  # IFA_F_NODAD: nobody else has it, and nothing waits for it
_MAIN, _BOOT, _UNICAST, _ON_LINK, _GLOBAL = 254, 3, 1, 253, 0
_METRICS = {"mtu": 2, "advmss": 8}


class Device(NamedTuple):
    """A netdev. `parent`: the PCI address of what it is on, "" if the kernel does not say. `below`: index of
    the link that it is made on top of, 0 = none.
    """

    number: int
    name: str
    kind: int
    up: bool
    mtu: int
    address: bytes
    broadcast: bytes
    alias: str
    parent: str
    below: int = 0

    @property
    def mac(self) -> str:
        """With colons; 20 bytes on InfiniBand."""
        return ":".join(f"{byte:02x}" for byte in self.address)


class Change(NamedTuple):
    """What a link is told; None: stays. `netns`: file descriptor of the namespace that it goes to."""

    up: bool | None = None
    name: str | None = None
    mtu: int | None = None
    address: bytes | None = None
    alias: str | None = None
    netns: int | None = None


def get_link(name: str) -> bytes:
    """Of that name; "" asks for all."""
    attributes = _text(_IFLA_NAME, name) if name else b""
    return _message(GETLINK, _ACK if name else DUMP, _LINK.pack(0, 0, 0, 0, 0) + attributes)


def set_link(index: int, change: Change) -> bytes:
    """One request for all of it."""
    attributes = b""
    if change.netns is not None:
        attributes += _attribute(_IFLA_NETNS, struct.pack("=I", change.netns))
    if change.name is not None:
        attributes += _text(_IFLA_NAME, change.name)
    if change.mtu is not None:
        attributes += _attribute(_IFLA_MTU, struct.pack("=I", change.mtu))
    if change.address is not None:
        attributes += _attribute(_IFLA_ADDRESS, change.address)
    if change.alias is not None:
        attributes += _attribute(_IFLA_ALIAS, change.alias.encode())
    flags, changed = (UP if change.up else 0, UP) if change.up is not None else (0, 0)
    return _message(SETLINK, _ACK, _LINK.pack(0, 0, index, flags, changed) + attributes)


def add_address(index: int, network: Network) -> bytes:
    """IPv6 addresses are usable at once: the IPAM has seen to it that they are single."""
    body = _ADDRESS.pack(network.family, network.length, 0, _GLOBAL, index)
    body += _attribute(1, network.address) + _attribute(2, network.address)
    if network.family == socket.AF_INET6:
        body += _attribute(8, struct.pack("=I", _NO_DETECTION))
    return _message(NEWADDRESS, _ACK | _CREATE | _EXCLUSIVE, body)


def add_route(index: int, route: Route) -> bytes:
    """Of the main table, if it names none."""
    network, more = route.destination, route.more
    scope = more.get("scope", _GLOBAL if route.gateway or network.family == socket.AF_INET6 else _ON_LINK)
    body = _ROUTE.pack(network.family, network.length, 0, 0, 0, _BOOT, scope, _UNICAST, 0)
    body += _attribute(1, masked(network)) + _attribute(4, struct.pack("=i", index))
    body += _attribute(15, struct.pack("=I", more.get("table", _MAIN)))
    if route.gateway:
        body += _attribute(5, packed(route.gateway)[1])
    if "priority" in more:
        body += _attribute(6, struct.pack("=I", more["priority"]))
    metrics = [
        _attribute(code, struct.pack("=I", more[key])) for key, code in _METRICS.items() if key in more
    ]
    if metrics:
        body += _attribute(8, b"".join(metrics))
    return _message(NEWROUTE, _ACK | _CREATE | _EXCLUSIVE, body)


def dump(kind: int) -> bytes:
    """All addresses, or all routes."""
    size = _ADDRESS.size if kind == GETADDRESS else _ROUTE.size
    return _message(kind, DUMP, bytes(size))


def masked(network: Network) -> bytes:
    """Its address without host bits, which the kernel refuses in a route."""
    bits = len(network.address) * 8
    value = int.from_bytes(network.address, "big") >> (bits - network.length) << (bits - network.length)
    return value.to_bytes(len(network.address), "big")


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message of a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += length + -length % 4


def device(body: bytes) -> Device:
    """Of an answer to `get_link`."""
    _, kind, index, flags, _ = _LINK.unpack_from(body)
    found = _attributes(body[_LINK.size :])
    return Device(
        number=index,
        name=_read(found, _IFLA_NAME),
        kind=kind,
        up=bool(flags & UP),
        mtu=_number(found, _IFLA_MTU),
        address=found.get(_IFLA_ADDRESS, b""),
        broadcast=found.get(_IFLA_BROADCAST, b""),
        alias=_read(found, _IFLA_ALIAS),
        parent=_read(found, _IFLA_PARENT),
        below=_number(found, _IFLA_BELOW),
    )


def address(body: bytes) -> tuple[int, Network]:
    """Index of the link, and the address."""
    family, length, _, _, index = _ADDRESS.unpack_from(body)
    found = _attributes(body[_ADDRESS.size :])
    return index, Network(family, found.get(2, found.get(1, b"")), length)


def way(body: bytes) -> tuple[int, Network, bytes]:
    """Index of the link, destination, and gateway (b"" = none) of a route."""
    family, length = _ROUTE.unpack_from(body)[:2]
    found = _attributes(body[_ROUTE.size :])
    whole = found.get(1, bytes(4 if family == socket.AF_INET else 16))
    return _number(found, 4), Network(family, whole, length), found.get(5, b"")


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _read(found: Mapping[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _number(found: Mapping[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), sys.byteorder)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + -length % 4
    return found

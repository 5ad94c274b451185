"""Links: MAC and GUIDs of VFs as their PF has them, over rtnetlink.

Place: the second part of `ipam.devices.look`. Must not change a link.

Reads the messages itself: pyroute2 0.9.7 takes a VF's GUID for 36 bytes, of which the kernel sends 16, so
that the last one of a message decodes wrongly (struct ifla_vf_guid of linux/if_link.h).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR, _NEWLINK, _GETLINK = 2, 16, 18
_REQUEST: Final = 1
_IFNAME, _VFINFO_LIST, _EXT_MASK = 3, 22, 29
_VF_INFO = 1
_VF_MAC, _VF_VLAN, _VF_SPOOF, _VF_LINK, _VF_RATE, _VF_TRUST, _VF_NODE_GUID, _VF_PORT_GUID = (
    *(1, 2, 4, 5, 6, 9, 10, 11),
)
_UNTOLD: Final = 0xFFFFFFFF
"""What the kernel says of a switch that the driver does not know (rtnl_fill_vfinfo)."""
WITH_VFS: Final = 0x1
WITHOUT_STATISTICS: Final = 0x8
"""Filters of IFLA_EXT_MASK (RTEXT_FILTER_* of linux/rtnetlink.h)."""
_NESTED: Final = 0x3FFF
_BUFFER: Final = 1 << 20
"""A message with 256 VFs."""
_TIMEOUT: Final = 2.0
_LONGEST_NAME: Final = 15


@dataclass(frozen=True, slots=True)
class VfLink:
    """0 and None = not told. `vlan`: number and priority; `rates`: least and most Mbit/s; `link`: as in
    `ipam.devices.desired`; `spoof`, `trust`: 0, 1.
    """

    index: int
    mac: int = 0
    node_guid: int = 0
    port_guid: int = 0
    vlan: tuple[int, int] | None = None
    rates: tuple[int, int] | None = None
    spoof: int | None = None
    trust: int | None = None
    link: int | None = None


def observe(netdev: str) -> tuple[VfLink, ...]:
    """The VFs of a PF's netdev, by index. OSError if the kernel does not answer, or knows no such netdev."""
    return parse(ask(netdev, WITH_VFS | WITHOUT_STATISTICS))


def ask(netdev: str, filters: int) -> bytes:
    """The kernel's answer about one link; OSError as above."""
    raw = netdev.encode("ascii", "replace")
    if not 0 < len(raw) <= _LONGEST_NAME:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.settimeout(_TIMEOUT)
        link.bind((0, 0))
        link.send(request(raw, filters))
        return link.recv(_BUFFER)


def request(netdev: bytes, filters: int = WITH_VFS | WITHOUT_STATISTICS) -> bytes:
    """RTM_GETLINK of one link by its name, with its VFs (rtnetlink(7))."""
    attributes = _attribute(_IFNAME, netdev + b"\0")
    attributes += _attribute(_EXT_MASK, struct.pack("=I", filters))
    body = _LINK.pack(0, 0, 0, 0, 0) + attributes
    return _MESSAGE.pack(_MESSAGE.size + len(body), _GETLINK, _REQUEST, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def parse(data: bytes) -> tuple[VfLink, ...]:
    """The VFs that an answer tells of; OSError if it is an error, or cut short."""
    found = {vf.index: vf for info in vf_infos(data) if (vf := _vf(info)) is not None}
    return tuple(vf for _, vf in sorted(found.items()))


def vf_infos(data: bytes) -> Iterator[dict[int, bytes]]:
    """Of each VF its attributes by kind (IFLA_VF_*); OSError as above."""
    if len(data) < _MESSAGE.size:
        raise OSError(errno.EBADMSG, "a netlink message was cut short")
    length, kind, *_ = _MESSAGE.unpack_from(data)
    if kind == _ERROR and len(data) >= _MESSAGE.size + 4:
        code = -struct.unpack_from("=i", data, _MESSAGE.size)[0]
        raise OSError(code, os.strerror(code))
    if kind != _NEWLINK or not _MESSAGE.size + _LINK.size <= length <= len(data):
        raise OSError(errno.EBADMSG, "a netlink message was cut short")
    for attribute, value in attributes(data[_MESSAGE.size + _LINK.size : length]):
        if attribute == _VFINFO_LIST:
            yield from (dict(attributes(info)) for inner, info in attributes(value) if inner == _VF_INFO)


def _vf(told: dict[int, bytes]) -> VfLink | None:
    mac = told.get(_VF_MAC, b"")
    if len(mac) < 10:
        return None
    return VfLink(
        index=struct.unpack_from("=I", mac)[0],
        mac=int.from_bytes(mac[4:10], "big"),
        node_guid=_guid(told.get(_VF_NODE_GUID, b"")),
        port_guid=_guid(told.get(_VF_PORT_GUID, b"")),
        vlan=_pair(told.get(_VF_VLAN, b"")),
        rates=_pair(told.get(_VF_RATE, b"")),
        spoof=_word(told.get(_VF_SPOOF, b"")),
        trust=_word(told.get(_VF_TRUST, b"")),
        link=_word(told.get(_VF_LINK, b"")),
    )


def _guid(value: bytes) -> int:
    found: int = struct.unpack_from("=Q", value, 8)[0] if len(value) >= 16 else 0
    return found


def _pair(value: bytes) -> tuple[int, int] | None:
    """The two words after the VF's number."""
    if len(value) < 12:
        return None
    first, second = struct.unpack_from("=II", value, 4)
    return first, second


def _word(value: bytes) -> int | None:
    found: int = struct.unpack_from("=I", value, 4)[0] if len(value) >= 8 else _UNTOLD
    return None if found == _UNTOLD else found


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each; what is cut short ends them."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            return
        yield kind & _NESTED, data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4

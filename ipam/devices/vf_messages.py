"""VF messages: one setting of one VF as the kernel takes it over rtnetlink.

Place: under `carrying`; `links` reads back. The same bytes as iproute2's `ip link set dev PF vf N ...`
(tests hold them against captures of it). Must not send.
"""

from __future__ import annotations

import struct
from typing import Final

from ipam.devices.desired import Setting, Value

_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_ATTRIBUTE: Final = struct.Struct("=HH")
_NEWLINK: Final = 16
"""Without NLM_F_CREATE it sets what exists, as RTM_SETLINK does; iproute2 sends this one."""
_REQUEST_AND_ACK: Final = 0x1 | 0x4
_VFINFO_LIST, _VF_INFO = 22, 1
_WORDS: Final = {Setting.SPOOF: 4, Setting.LINK: 5, Setting.TRUST: 9}
_PAIRS: Final = {Setting.VLAN: 2, Setting.RATES: 6}
_GUIDS: Final = {Setting.NODE_GUID: 10, Setting.PORT_GUID: 11}
_MAC: Final = 1


def change(link: int, vf: int, setting: Setting, value: Value) -> bytes:
    """`link`: index of the PF's netdev. ValueError for what is no VF's setting, or has no such value."""
    kind, body = _body(vf, setting, value)
    nested = _attribute(_VFINFO_LIST, _attribute(_VF_INFO, _attribute(kind, body)))
    rest = _LINK.pack(0, 0, link, 0, 0) + nested
    return _MESSAGE.pack(_MESSAGE.size + len(rest), _NEWLINK, _REQUEST_AND_ACK, 1, 0) + rest


def _body(vf: int, setting: Setting, value: Value) -> tuple[int, bytes]:
    """The structs ifla_vf_* of linux/if_link.h."""
    if isinstance(value, tuple):
        if setting in _PAIRS:
            return _PAIRS[setting], struct.pack("=III", vf, *value)
    elif isinstance(value, int):
        if setting is Setting.MAC:
            return _MAC, struct.pack("=I32s", vf, value.to_bytes(6, "big"))
        if setting in _GUIDS:
            return _GUIDS[setting], struct.pack("=I4xQ", vf, value)
        if setting in _WORDS:
            return _WORDS[setting], struct.pack("=II", vf, value)
    raise ValueError(f"{setting.value} {value!r} is nothing that a VF is told")


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)

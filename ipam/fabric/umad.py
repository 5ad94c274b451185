"""Umad: a port of this host as a wire for management datagrams, by libibumad.

Place: under `survey`, in a process of its own (`surveyor`): a call of the library may hang. Must not decide
anything: what is sent and what an answer is worth is said above.

The library's own structures (infiniband/umad.h, ABI 5) are laid out here by hand.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import time
from dataclasses import dataclass
from typing import Final

from ipam.fabric import mad
from ipam.fabric.mad import Class, Question
from ipam.fabric.survey import Home, Said
from model.fabric import DEFAULT_PKEY, FULL_MEMBER

LIBRARY: Final = "libibumad.so.3"
_NAME: Final = 20
_QP: Final = {Class.SUBNET: 0, Class.ADMINISTRATION: 1}
_QKEY: Final = {Class.SUBNET: 0, Class.ADMINISTRATION: 0x8001_0000}
"""Well-known Q_Key of the general services interface (InfiniBand Architecture 1.2.1, section 10.2.4)."""
_KERNEL_WAIT: Final = 1000
"""Milliseconds for which the kernel knows a question; ours is shorter, and we repeat it ourselves."""
_STATUS: Final = struct.Struct("=4xI")
_FROM: Final = struct.Struct(">28xH")
"""Status and sender's LID in struct ib_user_mad: 20 octets, then qpn, qkey, lid."""
_BREATH: Final = 0.001


class _Port(ctypes.Structure):
    """umad_port_t."""

    _fields_ = (
        ("ca_name", ctypes.c_char * _NAME),
        ("portnum", ctypes.c_int),
        ("base_lid", ctypes.c_uint),
        ("lmc", ctypes.c_uint),
        ("sm_lid", ctypes.c_uint),
        ("sm_sl", ctypes.c_uint),
        ("state", ctypes.c_uint),
        ("phys_state", ctypes.c_uint),
        ("rate", ctypes.c_uint),
        ("capmask", ctypes.c_uint32),
        ("gid_prefix", ctypes.c_ubyte * 8),
        ("port_guid", ctypes.c_ubyte * 8),
        ("pkeys_size", ctypes.c_uint),
        ("pkeys", ctypes.POINTER(ctypes.c_uint16)),
        ("link_layer", ctypes.c_char * _NAME),
    )


class UmadError(Exception):
    """There is no port to ask from: which, and what the library said."""


class Missing(UmadError):
    """The library is not installed."""


@dataclass(frozen=True, slots=True)
class Umad:
    """An open port; see `survey.Wire`. `pkey_index`: of the default partition in this port's own table."""

    library: ctypes.CDLL
    descriptor: int
    agents: dict[Class, int]
    home: Home
    level: int
    pkey_index: int
    head: int
    out: ctypes.Array[ctypes.c_char]
    into: ctypes.Array[ctypes.c_char]

    def send(self, question: Question) -> None:
        kind, _ = question.attribute.value
        ctypes.memmove(ctypes.byref(self.out, self.head), question.datagram, mad.SIZE)
        level = self.level if kind is Class.ADMINISTRATION else 0
        self.library.umad_set_addr(self.out, question.lid, _QP[kind], level, _QKEY[kind])
        self.library.umad_set_pkey(self.out, self.pkey_index if kind is Class.ADMINISTRATION else 0)
        agent = self.agents[kind]
        if self.library.umad_send(self.descriptor, agent, self.out, mad.SIZE, _KERNEL_WAIT, 0):
            raise OSError(ctypes.get_errno() or errno.EIO, "umad_send")

    def receive(self, seconds: float) -> Said | None:
        length = ctypes.c_int(mad.SIZE)
        pause = max(1, int(seconds * 1000))
        if self.library.umad_recv(self.descriptor, self.into, ctypes.byref(length), pause) < 0:
            if ctypes.get_errno() not in (0, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN):
                time.sleep(_BREATH)  # an error of the moment costs no processor; one that stays, the time
            return None
        whole = self.into.raw
        datagram = whole[self.head : self.head + mad.SIZE]
        (status,), (lid,) = _STATUS.unpack_from(whole), _FROM.unpack_from(whole)
        return Said(lid, datagram, lost=status != 0)


def open_port(name: str, number: int) -> Umad:
    """`name`: the device, "" for the first one with a port that is up; `number`: 0 for its first such port.

    UmadError says what is missing.
    """
    library = _library()
    if library.umad_init() < 0:
        raise UmadError("umad_init: the kernel has no module ib_umad, or another ABI")
    device, port = name.encode() or None, _Port()
    if library.umad_get_port(device, number, ctypes.byref(port)) < 0:
        raise UmadError(f"{name or 'any device'}, port {number or 'any'}: no such port, or none that is up")
    keys = [port.pkeys[place] for place in range(port.pkeys_size)] if port.pkeys else []
    index = next(
        (keys.index(key) for key in (DEFAULT_PKEY | FULL_MEMBER, int(DEFAULT_PKEY)) if key in keys), 0
    )
    home = Home(bytes(port.gid_prefix) + bytes(port.port_guid), port.sm_lid)
    descriptor = library.umad_open_port(port.ca_name, port.portnum)
    if descriptor < 0:
        raise UmadError(f"{port.ca_name.decode()}, port {port.portnum}: {os.strerror(-descriptor)}")
    agents = {}
    for kind in Class:
        known, version = kind.value
        agents[kind] = library.umad_register(descriptor, known, version, 0, None)
        if agents[kind] < 0:
            raise UmadError(f"umad_register: class 0x{known:02x} was refused")
    head, buffer = library.umad_size(), ctypes.create_string_buffer
    whole = head + mad.SIZE
    return Umad(library, descriptor, agents, home, port.sm_sl, index, head, buffer(whole), buffer(whole))


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError as error:
        raise Missing(str(error)) from None
    library.umad_size.restype = ctypes.c_size_t
    return library

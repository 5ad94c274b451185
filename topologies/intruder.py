"""Intruder: writes a port's table of partition keys past the subnet manager, as root of some host could.

Place: run as a program at a host of a simulated subnet, by tests of drift. Must not be run on hardware.

`python -m topologies.intruder LID ENTRY...`; libibmad's SubnSet(P_KeyTable) (InfiniBand Architecture 1.2.1,
section 14.2.5.7). Ends with 1 if the port did not take it.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from typing import Final

_LIBRARY: Final = "libibmad.so.5"
_CLASSES: Final = (0x81, 0x01)
"""Subnet management, by directed route and by LID."""
_TABLE: Final = 0x16
_ROOM: Final = 32
_PORT_ID: Final = 256
"""More bytes than libibmad's ib_portid_t has, of which the first four are the LID; the rest is left zero."""


def write(lid: int, entries: list[int]) -> bool:
    """Whether the port took a first block of these entries."""
    library = ctypes.CDLL(_LIBRARY)
    library.mad_rpc_open_port.restype = ctypes.c_void_p
    library.smp_set_via.restype = ctypes.c_void_p
    port = library.mad_rpc_open_port(None, 0, (ctypes.c_int * 2)(*_CLASSES), 2)
    target = ctypes.create_string_buffer(struct.pack("i", lid), _PORT_ID)
    block = ctypes.create_string_buffer(
        struct.pack(f">{_ROOM}H", *entries, *[0] * (_ROOM - len(entries))), 64
    )
    done = library.smp_set_via(block, target, _TABLE, 0, 0, ctypes.c_void_p(port))
    return bool(done)


if __name__ == "__main__":
    sys.exit(not write(int(sys.argv[1]), [int(word, 16) for word in sys.argv[2:]]))

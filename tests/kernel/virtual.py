"""The machine for tests of VFs: Debian 13's QEMU, whose igb has seven of them, beside an ordinary guest.

Place: under tests/integration/devices/test_functions.py, which boots it. Must not install anything.
"""

from __future__ import annotations

from pathlib import Path

from topologies.errors import LabError
from topologies.guest.machine import Emulator

UNPACKED = Path(__file__).resolve().parents[2] / ".cache" / "guest" / "qemu"
"""Where scripts/qemu.sh puts it."""
DEVICES = (
    *("-device", "pcie-root-port,id=slot1,bus=pcie.0,chassis=1"),
    *("-netdev", "hubport,id=wire,hubid=0"),
    *("-device", "igb,netdev=wire,bus=slot1,mac=52:54:00:00:00:01"),
)


def emulator() -> Emulator:
    """LabError if it is not there. With its own libraries and modules: the host's are older."""
    libraries = UNPACKED / "usr/lib/x86_64-linux-gnu"
    program = UNPACKED / "usr/bin/qemu-system-x86_64"
    if not program.is_file():
        raise LabError(f"{program} is missing: run 'make setup-all'")
    words = (
        *("env", f"QEMU_MODULE_DIR={libraries / 'qemu'}"),
        *(str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(program)),
        *("-L", str(UNPACKED / "usr/share/qemu"), "-L", str(UNPACKED / "usr/share/seabios")),
    )
    return Emulator(words, ("-accel", "tcg,thread=multi"), "max", 2)

"""The command line of QEMU for a guest without disk: one processor, a kernel, shared folders, a console.

Place: between `image` and those who start a guest (the tests' runner, the VM of a lab). Values in, words out.
Must not give a guest a network by itself, nor a way to write into the host but the folders named writable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

QEMU = "qemu-system-x86_64"
# Emulation: nested virtualisation is refused, or broken, on many machines that build. The guest's clock
# counts its instructions (1 ns each) while it computes, and goes with the host's while it waits: to itself it
# is a machine of usual speed, and every deadline and timer in it means what it means elsewhere, however slow
# or busy the host is.
_EMULATION = ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on")
# What a processor gains by these, emulation loses: string instructions go byte by byte (erms), and each miss
# of the TLB walks one level more (la57).
_PROCESSOR = "max,-erms,-la57"
# Code that lies at the same address in all processes is translated once (norandmaps). Nothing is cleared that
# nobody has asked for.
_SPARING = ("mitigations=off", "norandmaps", "transparent_hugepage=never", "init_on_alloc=0")


class Access(Enum):
    """What a guest may do with a folder of the host; the value is QEMU's word for it."""

    READ = ",readonly=on"
    WRITE = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A folder of the host that the guest mounts over 9p by `tag`."""

    tag: str
    path: Path
    access: Access


@dataclass(frozen=True, slots=True)
class Emulator:
    """`program`: the words that begin it; `acceleration`: QEMU's words for how it computes."""

    program: tuple[str, ...] = (QEMU,)
    acceleration: tuple[str, ...] = _EMULATION
    processor: str = _PROCESSOR
    processors: int = 1


STEADY: Final = Emulator()


@dataclass(frozen=True, slots=True)
class Guest:
    """`memory` in MiB. `arguments` are the kernel's; `console` is the file for its messages."""

    image: Path
    initramfs: Path
    memory: int
    console: Path
    arguments: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    emulator: Emulator = STEADY


def command(guest: Guest, more: Sequence[str] = ()) -> list[str]:
    """The words that start it; its kernel's messages go to `console`, its end is QEMU's end."""
    arguments = ("console=ttyS0", "quiet", "panic=-1", *_SPARING, *guest.arguments)
    return [
        *guest.emulator.program,
        *("-machine", "q35", *guest.emulator.acceleration, "-cpu", guest.emulator.processor),
        *("-smp", str(guest.emulator.processors), "-m", f"{guest.memory}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{guest.console}"),
        *("-device", "virtio-rng-pci"),
        *("-kernel", str(guest.image), "-initrd", str(guest.initramfs), "-append", " ".join(arguments)),
        *(word for share in guest.shares for word in _shared(share)),
        *more,
    ]


def _shared(share: Share) -> tuple[str, ...]:
    where = f"path={share.path},security_model=none,multidevs=remap{share.access.value}"
    return (
        *("-fsdev", f"local,id={share.tag},{where}"),
        *("-device", f"virtio-9p-pci,fsdev={share.tag},mount_tag={share.tag}"),
    )

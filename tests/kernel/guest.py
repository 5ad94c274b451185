"""Boot a guest whose root is this machine's, run one command in it, and bring home its exit code.

Place: under `python -m tests.kernel`. The guest sees every file of the machine, read only; what it writes is
gone with it, but for the folder of results. Must not leave a QEMU behind, whatever happens to the caller.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from topologies.errors import LabError
from topologies.guest import image
from topologies.guest.machine import QEMU, STEADY, Access, Emulator, Guest, Share, command

ROOT = Path(__file__).resolve().parents[2]
_INSIDE = Path(__file__).with_name("inside.sh")
# What the first stage needs to mount the root and to speak; the rest is loaded from the root.
_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "virtio_rng")
_END = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """`words` run in the checkout with `environment`; `results` is writable there as /mnt/results.

    `deadline` in seconds, boot included. `memory` in MiB holds what the guest writes as well. `devices`:
    QEMU's words for what the guest has besides.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    results: Path
    deadline: float
    memory: int = 4096
    emulator: Emulator = STEADY
    devices: tuple[str, ...] = ()


def run(job: Job) -> int:
    """The command's exit code. LabError if the guest did not boot, or was not done in time."""
    program = job.emulator.program[0]
    if shutil.which(program) is None:
        raise LabError(f"{program} is missing: run 'make setup-all'")
    shutil.rmtree(job.results, ignore_errors=True)
    job.results.mkdir(parents=True)
    kernel = image.find()
    first = job.results / "initramfs"
    first.write_bytes(image.initramfs(kernel, _MODULES, _init()))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(job.environment.items())]
    (job.results / "command").write_text("\n".join([*lines, f"exec {shlex.join(job.words)}", ""]))
    console = job.results / "console.log"
    guest = Guest(
        image=kernel.image,
        initramfs=first,
        memory=job.memory,
        console=console,
        emulator=job.emulator,
        shares=(Share("root", Path("/"), Access.READ), Share("results", job.results, Access.WRITE)),
    )
    _await(command(guest, (*_OUTPUT, *job.devices)), job.deadline, console)
    try:
        return int((job.results / "exit").read_text())
    except (FileNotFoundError, ValueError):
        raise LabError(f"the guest ended without an exit code\n{_tail(console)}") from None


_OUTPUT = (
    *("-chardev", "stdio,id=out,signal=off"),
    *("-device", "virtio-serial-pci", "-device", "virtconsole,chardev=out"),
)


def _init() -> str:
    """The end of the first stage: this machine's root under a tmpfs, and on into `inside.sh`."""
    settings = {"KERNEL": str(image.UNPACKED), "CHECKOUT": str(ROOT)}
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    return (
        "mkdir /lower /upper /newroot\n"
        "mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro root /lower\n"
        "mount -t tmpfs -o size=70% tmpfs /upper\nmkdir /upper/files /upper/work\n"
        "mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /newroot\n"
        "for place in proc sys dev; do mount --move /$place /newroot/$place; done\n"
        f"exec env {words} switch_root /newroot /bin/bash {shlex.quote(str(_INSIDE))}\n"
    )


def _await(words: Sequence[str], deadline: float, console: Path) -> None:
    # The caller's death by whatever signal ends it as well; its output is the caller's.
    # Its clock goes by what it executes: it can wait, and what runs beside it by the wall's clock can't.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "nice", "-n", "10", *words], stdin=subprocess.DEVNULL
    )
    try:
        code = process.wait(deadline)
    except subprocess.TimeoutExpired:
        raise LabError(f"the guest was not done within {deadline:g} s\n{_tail(console)}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(_END)
    if code:
        raise LabError(f"{QEMU} ended with code {code}\n{_tail(console)}")


def _tail(console: Path) -> str:
    try:
        lines = console.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return os.linesep.join(lines[-25:])

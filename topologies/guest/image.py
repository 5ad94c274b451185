"""What a guest boots: Debian's kernel as `make setup-all` unpacked it, and a first file system made of it.

Place: under `machine`. Reads the unpacked kernel and busybox; must not touch the host's own kernel.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topologies.errors import LabError
from topologies.guest.archive import Entry, cpio, folder, link, program

UNPACKED = Path(__file__).resolve().parents[2] / ".cache" / "guest" / "kernel"
"""Where scripts/kernel.sh puts it: never into the host's /boot or /lib/modules."""
BUSYBOX = Path("/bin/busybox")
_REMEDY = "run 'make setup-all'"
_ORDER = "modules"


@dataclass(frozen=True, slots=True)
class Kernel:
    """`image`: what QEMU loads; `modules`: its folder of modules, with modules.dep."""

    release: str
    image: Path
    modules: Path


def find(unpacked: Path = UNPACKED) -> Kernel:
    """The kernel that lies there; LabError if none or several do."""
    images = sorted(unpacked.glob("boot/vmlinuz-*"))
    if len(images) != 1:
        raise LabError(f"{unpacked} holds {len(images)} kernels for guests instead of one: {_REMEDY}")
    release = images[0].name.removeprefix("vmlinuz-")
    modules = unpacked / "lib" / "modules" / release
    if not (modules / "modules.dep").is_file():
        raise LabError(f"{modules} has no modules.dep: {_REMEDY}")
    return Kernel(release, images[0], modules)


def load_order(kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
    """The files of these modules and of those that they need, in the order in which they must be loaded.

    A module that is built into the kernel needs no file. LabError if one is unknown.
    """
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {_name(path): path for path in needs}
    builtin = {_name(p) for p in (kernel.modules / "modules.builtin").read_text().split()}
    order: dict[str, None] = {}
    for name in wanted:
        plain = name.replace("-", "_")
        if plain in by_name:
            # modules.dep(5): what is needed first stands last
            order.update(dict.fromkeys([*reversed(needs[by_name[plain]]), by_name[plain]]))
        elif plain not in builtin:
            raise LabError(f"kernel {kernel.release} has no module {name}: {_REMEDY}")
    return tuple(kernel.modules / path for path in order)


def initramfs(kernel: Kernel, modules: Sequence[str], init: str, more: Sequence[Entry] = ()) -> bytes:
    """Busybox, these modules and `init`, a shell script that runs after the modules are loaded.

    /proc, /sys and /dev are mounted and busybox's commands are on PATH by then.
    """
    try:
        busybox = BUSYBOX.read_bytes()
    except FileNotFoundError:
        raise LabError(f"{BUSYBOX} is missing, and guests begin with it: {_REMEDY}") from None
    files = load_order(kernel, modules)
    folders = ("bin", "dev", "proc", "sys", "tmp", _ORDER)
    loads = "".join(f"insmod /{_ORDER}/{_bare(f)}\n" for f in files)
    script = (
        "#!/bin/sh\nexport PATH=/bin HOME=/ TERM=dumb\n"
        "/bin/busybox --install -s /bin\n"
        "mount -t proc proc /proc\nmount -t sysfs sysfs /sys\n"
        "mount -t devtmpfs dev /dev 2>/dev/null\n"
        f"{loads}{init}"
    )
    return cpio(
        [
            *map(folder, folders),
            program("bin/busybox", busybox),
            link("bin/sh", "busybox"),
            *(program(f"{_ORDER}/{_bare(f)}", _content(f)) for f in files),
            *more,
            program("init", script.encode()),
        ]
    )


def _name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _bare(path: Path) -> str:
    return path.name.removesuffix(".xz")


def _content(path: Path) -> bytes:
    """Uncompressed: busybox's insmod takes no other."""
    raw = path.read_bytes()
    return lzma.decompress(raw) if path.suffix == ".xz" else raw

"""Firmware: a process that is the kernel and the NICs of one simulated server, and whoever asks it.

Place: in the lab of rails beside each host's agent; `Distant` is what the agent's device half gets as its
`Kernel`. It is a process of its own because a kernel outlives the agent: what an agent that is killed had
asked for is done or not, never half. When it ends, the server lost power: started again, it has no VFs.

`python -m topologies.firmware DIRECTORY MANIFESTS SKU SERIAL`. Files are below DIRECTORY/sys. Protocol on the
socket DIRECTORY/kernel.sock: one line of JSON {"do": NAME, "with": [...]} a connection; the answer is
{"said": ...} or {"errno": N}. Must not be taken for hardware.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from controller.manifest.manifest import Source, parse
from ipam.devices.links import VfLink
from ipam.devices.tree import Tree
from model.hardware import Sku
from model.wanted import WantedSku
from topologies.chassis import boot
from topologies.errors import LabError
from topologies.nics import Nics

TREE: Final = "sys"
SOCKET: Final = "kernel.sock"
_TIMEOUT: Final = 10.0
_LIMIT: Final = 1 << 20
_BACKLOG: Final = 16


@dataclass(frozen=True, slots=True)
class Distant:
    """A `Kernel` of `ipam.devices`: reads the tree itself, and has all else done by the process."""

    directory: Path

    @property
    def root(self) -> Path:
        """In the place of /sys."""
        return self.directory / TREE

    def write(self, path: str, text: str) -> None:
        """To a file of sysfs."""
        self._ask("write", path, text)

    def drive(self, address: str, path: str, text: str) -> None:
        """As `write`: nobody keeps a VF here."""
        self.write(path, text)

    def override(self, address: str) -> str:
        """As it is read."""
        return Tree(self.root).text(f"bus/pci/devices/{address}/driver_override")

    def send(self, message: bytes) -> None:
        """Over netlink."""
        self._ask("send", message.hex())

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        """VFs of a PF's netdev."""
        return tuple(_link(each) for each in self._ask("links", netdev))

    def mode(self, address: str) -> str:
        """Of a PF's switch."""
        return str(self._ask("mode", address))

    def set_mode(self, address: str, mode: str) -> None:
        """Change it."""
        self._ask("set_mode", address, mode)

    def _ask(self, what: str, *words: str) -> Any:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(self.directory / SOCKET))
            connection.sendall(json.dumps({"do": what, "with": words}).encode() + b"\n")
            answer = json.loads(_line(connection))
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer["said"]


def find_sku(manifests: Path, name: str) -> Sku:
    """Out of a file of manifests; LabError if it is not there."""
    for wanted in parse([Source(str(manifests), manifests.read_text())]).wanted:
        if isinstance(wanted, WantedSku) and wanted.name == name:
            return Sku(wanted.name, wanted.gpus, wanted.pfs)
    raise LabError(f"{manifests} has no Sku {name}")


def serve(directory: Path, nics: Nics) -> None:
    """Answer, one after another, for ever."""
    path = directory / SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
        while True:
            caller, _ = listener.accept()
            with caller:
                caller.settimeout(_TIMEOUT)
                try:
                    caller.sendall(json.dumps(answer(nics, json.loads(_line(caller)))).encode() + b"\n")
                except (OSError, ValueError):
                    continue  # who asked is gone, or asked for nothing that can be read


def answer(nics: Nics, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked, as the kernel would."""
    calls: dict[str, Callable[..., Any]] = {
        "write": nics.write,
        "send": lambda raw: nics.send(bytes.fromhex(raw)),
        "links": lambda netdev: [asdict(link) for link in nics.links(netdev)],
        "mode": nics.mode,
        "set_mode": nics.set_mode,
    }
    try:
        return {"said": calls[request["do"]](*request["with"])}
    except OSError as error:
        return {"errno": error.errno or errno.EIO}
    except KeyError:
        return {"errno": errno.ENODEV}


def main(arguments: Sequence[str]) -> int:
    """Boot, then serve until the power is cut."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    directory, manifests, sku, serial = arguments
    home = Path(directory)
    shutil.rmtree(home / TREE, ignore_errors=True)
    serve(home, boot(home / TREE, find_sku(Path(manifests), sku), int(serial)))
    return 0


def _link(said: dict[str, Any]) -> VfLink:
    pairs = {name: tuple(said[name]) if said[name] is not None else None for name in ("vlan", "rates")}
    return VfLink(**(said | pairs))


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(_LIMIT)
        if not part or len(data) > _LIMIT:
            raise OSError(errno.EIO, "the simulated kernel broke off")
        data += part
    return data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

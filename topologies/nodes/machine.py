"""Machine: a real VM, with a kernel of its own, on a tap that stands in br-int as libvirt leaves it.

Place: beside Vm, where a namespace is not enough: a guest that boots, and that moves to another host while
it runs. QEMU lives in the hypervisor's namespace and ends with the lab. Must not touch br-int but for its own
tap.

The guest is Debian's kernel and busybox, all in memory; without addresses given it asks for them, as images
do. A shell of it hangs on a serial port of its own, so `run` needs no network. QEMU announces a guest that
has moved in by RARP, itself (docs/devel/migration).
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topologies.deadline import until
from topologies.errors import CommandFailed, LabError
from topologies.guest import archive, image
from topologies.guest.machine import QEMU
from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor, attach
from topologies.nodes.link import VM_MTU
from topologies.process import Daemon, Outcome, listens

_MODULES = ("virtio_pci", "virtio_net", "virtio_console", "af_packet")
_MEMORY = 128
_BOOT_TIMEOUT = 180.0
_MOVE_TIMEOUT = 180.0
# Its first number counts all virtio devices, the network interface among them.
_SHELL = "/dev/vport*p1"
# The guest would announce itself as well, if its driver knows how: QEMU's RARP alone must do.
_SILENT = "guest_announce=off"
_HEARS = "bin/hears"
# Busybox's udhcpc is told nothing of what to do with an answer. Of classless routes, those on the link come
# with a router of 0.0.0.0 (RFC 3442).
_HEARD = f"""#!/bin/sh
case "$1" in bound|renew) ;; *) exit 0 ;; esac
ip address flush dev $interface scope global
ifconfig $interface $ip netmask $subnet mtu ${{mtu:-{VM_MTU}}} up
set -- ${{staticroutes:-0.0.0.0/0 $router}}
while [ $# -gt 1 ]; do
 way="via $2"; [ $2 != 0.0.0.0 ] || way=
 ip route replace $1 $way dev $interface
 shift 2
done
hostname $hostname
mkdir -p /etc
for one in $dns; do echo nameserver $one; done >/etc/resolv.conf
echo search ${{search:-$domain}} >>/etc/resolv.conf
"""
_ASK = (
    f"udhcpc -f -t 60 -T 1 -s /{_HEARS} -O staticroutes -O mtu -O hostname -O domain -O search -O dns"
    " >/dev/console 2>&1 &\n"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the product gave: `uid` is the tap's iface-id; `cidrs` carry a prefix length, and without any the
    guest asks by DHCP."""

    name: str
    uid: str
    mac: str
    cidrs: tuple[str, ...]


class Machine:
    """One QEMU on one hypervisor. A VM that moves is two of them, the second one `incoming`."""

    def __init__(self, hypervisor: Hypervisor, identity: Identity, ifname: str) -> None:
        self.hypervisor, self.identity, self.ifname = hypervisor, identity, ifname
        self.directory = hypervisor.directory / identity.name
        self.directory.mkdir()
        self._console = self.directory / "console.log"
        self._shell, self._monitor = self.directory / "shell.sock", self.directory / "qmp.sock"

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.identity.name}@{self.hypervisor.name}"

    def boot(self) -> None:
        """Plug the tap, start the guest and wait until its shell answers."""
        self._start(())
        try:
            until(f"{self.name} booted", self._answers, _BOOT_TIMEOUT)
        except LabError as error:
            raise LabError(f"{error}\n{self._tail()}") from error

    def expect(self) -> Path:
        """Plug the tap and wait for a guest to come in; the socket on which it is awaited."""
        gate = self.directory / "gate.sock"
        self._start(("-incoming", f"unix:{gate}"))
        return gate

    def move_to(self, gate: Path) -> dict[str, Any]:
        """Send the running guest through `gate`; QEMU's report, `downtime` in ms. This one stops."""
        self.command("migrate", uri=f"unix:{gate}")
        report: dict[str, Any] = {}

        def over() -> bool:
            nonlocal report
            report = self.command("query-migrate")
            return report.get("status") in ("completed", "failed", "cancelled")

        until(f"{self.name} has moved", over, _MOVE_TIMEOUT)
        if report["status"] != "completed":
            raise LabError(f"{self.name}: migration {report}")
        return report

    def run(self, command: str, timeout: float = 60.0) -> Outcome:
        """Run a shell command in the guest, and return how it ended; its streams are one."""
        started = time.monotonic()
        # Of its own for each call: the answer to one that was given up may still come.
        mark = secrets.token_hex(8)
        end_of_it = re.compile(rf"\n#{mark} (\d+)\n".encode())
        with _connected(self._shell, timeout) as channel:
            channel.sendall(f"( {command}\n) </dev/null\nprintf '\\n#{mark} %d\\n' $?\n".encode())
            said = b""
            while not (end := end_of_it.search(said)):
                try:
                    part = channel.recv(65536)
                except TimeoutError:
                    raise CommandFailed(f"{self.name}: {command!r} not over after {timeout:g} s") from None
                if not part:
                    raise CommandFailed(f"{self.name}: the guest hung up during {command!r}\n{self._tail()}")
                said += part
        text = said[: end.start()].decode(errors="replace")
        return Outcome(int(end[1]), text, "", time.monotonic() - started)

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """A command of QEMU's monitor (QMP); LabError with its message if it fails."""
        with _connected(self._monitor, 20.0) as channel, channel.makefile("rw") as stream:
            stream.readline()  # its greeting
            for request in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
        if "error" in answer:
            raise LabError(f"{self.name}: {name}: {answer['error'].get('desc')}")
        found: dict[str, Any] = answer["return"]
        return found

    def end(self) -> None:
        """Power off, and take the tap out of br-int and away, as libvirt does."""
        self._daemon.stop()
        self.hypervisor.vsctl("--if-exists", "del-port", OVERLAY_BRIDGE, self.ifname)
        self.hypervisor.run(f"ip link delete {self.ifname}")

    @property
    def _daemon(self) -> Daemon:
        return self.hypervisor.daemons[self.identity.name]

    def _start(self, more: Sequence[str]) -> None:
        if shutil.which(QEMU) is None:
            raise LabError(f"{QEMU} is missing: run 'make setup-all'")
        kernel = image.find()
        self.hypervisor.run(
            f"ip tuntap add dev {self.ifname} mode tap\nip link set {self.ifname} mtu {VM_MTU} up"
        )
        attach(self.hypervisor, self.ifname, self.identity.uid, self.identity.mac)
        first = self.directory / "initramfs"
        heard = archive.program(_HEARS, _HEARD.encode())
        first.write_bytes(image.initramfs(kernel, _MODULES, _init(self.identity), [heard]))
        words = [
            QEMU,
            *("-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1"),
            *("-m", f"{_MEMORY}M", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-serial", f"file:{self._console}", "-kernel", str(kernel.image), "-initrd", str(first)),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
            # A data path in ovs-vswitchd takes copies of frames (AF_PACKET): sums must be complete in them.
            *("-netdev", f"tap,id=net,ifname={self.ifname},script=no,downscript=no,vnet_hdr=off"),
            *("-device", f"virtio-net-pci,netdev=net,mac={self.identity.mac},{_SILENT},romfile="),
            *("-chardev", f"socket,id=shell,path={self._shell},server=on,wait=off"),
            *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=shell,name=shell"),
            *("-chardev", f"socket,id=qmp,path={self._monitor},server=on,wait=off"),
            *("-mon", "chardev=qmp,mode=control"),
            *more,
        ]
        daemon = self.hypervisor.daemon(self.identity.name, words, ready=lambda: listens(self._monitor))
        daemon.start()

    def _answers(self) -> bool:
        try:
            return self.run("true", 2.0).ok
        except (CommandFailed, LabError, OSError):
            return False

    def _tail(self) -> str:
        try:
            return "\n".join(self._console.read_text(errors="replace").splitlines()[-15:])
        except FileNotFoundError:
            return ""


@contextmanager
def _connected(path: Path, timeout: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(timeout)
        channel.connect(str(path))
        yield channel


def _init(identity: Identity) -> str:
    """The guest's own start: address its interface, then serve a shell to whoever connects, for ever."""
    addresses = "".join(f"ip address add {cidr} dev eth0\n" for cidr in identity.cidrs) or _ASK
    return (
        "ip link set lo up\n"
        "for what in all default; do echo 0 >/proc/sys/net/ipv6/conf/$what/accept_dad; done\n"
        f"ip link set eth0 mtu {VM_MTU} up\n{addresses}"
        # Opened once: what has come for a port that is closed is lost.
        f"set -- {_SHELL}\nexec <>$1 >&0 2>&1\nwhile :; do sh; sleep 0.2; done\n"
    )

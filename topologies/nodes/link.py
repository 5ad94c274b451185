"""Links: veth pairs made directly between two nodes, with the settings without which labs lie.

Place: used by fabrics and by `plug`. Must not leave an end in the root namespace.

AF_PACKET, on which the userspace data path stands, passes on packets whose checksum the kernel left to a
device that does not exist: ping works, TCP hangs. So transmit offloads are off on every end.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from topologies.errors import CommandFailed
from topologies.nodes.node import LabNode

UNDERLAY_MTU = 1550
VM_MTU = 1450
_TIMEOUT = 60.0
_OFFLOADS = "tx off tso off gso off gro off"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: interface `name` in `node`; `mac` empty = the kernel's choice."""

    node: LabNode
    name: str
    mac: str = ""


def link(left: End, right: End, mtu: int) -> None:
    """A veth pair between two namespaces; both ends up, offloads off. CommandFailed if a name is taken."""
    # Not in the cell: `netns PID` is read in the PID namespace of the process that asks.
    words = ["ip", "link", "add", *_words(left, mtu), "type", "veth", "peer", "name", *_words(right, mtu)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode:
        raise CommandFailed(f"link {left.node.name}-{right.node.name}: {done.stderr.strip()}")
    for end in (left, right):
        end.node.run(f"{offloads_off(end.name)}\nip link set {end.name} up")


def addressed(interface: str, cidr: str) -> str:
    """Shell lines that give an underlay interface its address. IPv6 is off by default, see LabNode; FRR takes
    no session from a neighbour on a link where it has no link-local address."""
    if ":" not in cidr:
        return f"ip address replace {cidr} dev {interface}"
    return (
        f"sysctl -qw net.ipv6.conf.{interface}.accept_dad=0 net.ipv6.conf.{interface}.accept_ra=0"
        f" net.ipv6.conf.{interface}.disable_ipv6=0\n"
        f"ip address replace {cidr} dev {interface} nodad"
    )


def router_id(address: str) -> str:
    """What a node of the underlay has as BGP identifier: four octets, its address if that has as many."""
    return address if ":" not in address else f"172.16.0.{int(address.rpartition(':')[2])}"


def offloads_off(interface: str) -> str:
    """The shell command that turns segmentation and checksum offloads off."""
    return f"ethtool -K {interface} {_OFFLOADS} >/dev/null"


def _words(end: End, mtu: int) -> list[str]:
    address = ["address", end.mac] if end.mac else []
    return [end.name, *address, "mtu", str(mtu), "netns", str(end.node.pid)]

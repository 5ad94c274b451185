"""Faults: what breaks in real clusters, made and mended.

Place: driven by tests and the demo. Each context manager mends on leaving what it broke. Must not touch
anything outside of the lab.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from topologies.deadline import until
from topologies.errors import LabError
from topologies.lab import Lab
from topologies.nodes.frr import FrrNode
from topologies.nodes.hypervisor import OVERLAY_BRIDGE, Hypervisor
from topologies.nodes.node import LabNode
from topologies.nodes.router import Bridge
from topologies.process import Daemon

_TABLE = "lab_loss"


class Way(Enum):
    """As seen from the node: frames that it receives, or sends; named as nft names the hooks."""

    IN = "ingress"
    OUT = "egress"


@contextmanager
def link_down(node: LabNode, interface: str) -> Iterator[None]:
    """Take an interface down: both ends of the veth lose carrier. Addresses stay, routes come back."""
    routes = node.run(f"ip route show dev {interface}").splitlines()
    node.run(f"ip link set {interface} down")
    try:
        yield
    finally:
        node.run(f"ip link set {interface} up")
        # The kernel dropped static routes over it together with the link.
        for route in routes:
            if "proto kernel" not in route:
                words = [w for w in route.split() if w not in ("linkdown", "dead")]
                node.run(["ip", "route", "replace", *words, "dev", interface])


@contextmanager
def host_link_down(lab: Lab, host: str) -> Iterator[None]:
    """Cut the cable between a host and the fabric, at the fabric's end."""
    name, interface = lab.links[host]
    with link_down(lab.node(name), interface):
        yield


@contextmanager
def silence(lab: Lab, host: str) -> Iterator[None]:
    """Nothing passes between host and fabric, yet every carrier stays up: a switch that fails silently."""
    name, interface = lab.links[host]
    node = lab.node(name)
    if isinstance(node, Bridge):
        node.detach(interface)
        try:
            yield
        finally:
            node.attach(interface)
    else:
        with loss(node, interface, 100), loss(node, interface, 100, way=Way.OUT):
            yield


@contextmanager
def loss(node: LabNode, interface: str, percent: int, match: str = "", way: Way = Way.IN) -> Iterator[None]:
    """Drop `percent` of the frames that pass; `match`: an nft expression that narrows it.

    Of use on fabric nodes: a hypervisor's Open vSwitch has its copy before this hook.
    """
    if not 0 < percent <= 100:
        raise LabError(f"loss of {percent} %: 1 to 100")
    table = f"{_TABLE}_{way.value}_{interface}"
    chance = f"numgen random mod 100 < {percent}" if percent < 100 else ""
    rules = (
        f"table netdev {table} {{\n chain in {{\n"
        f"  type filter hook {way.value} device {interface} priority 0;\n"
        f"  {match} {chance} counter drop\n }}\n}}\n"
    )
    node.run(["nft", "-f", "-"], stdin=rules.encode())
    try:
        yield
    finally:
        node.run(["nft", "delete", "table", "netdev", table])


@contextmanager
def frozen(daemon: Daemon) -> Iterator[None]:
    """SIGSTOP for the time of the block."""
    daemon.freeze()
    try:
        yield
    finally:
        daemon.thaw()


def kill_switch(hypervisor: Hypervisor) -> None:
    """SIGKILL ovs-vswitchd: with the userspace data path, forwarding ends and all flows are gone."""
    hypervisor.daemons["ovs-vswitchd"].kill()


def revive_switch(hypervisor: Hypervisor) -> None:
    """Start ovs-vswitchd again, give br-phy its address back, and wait until the overlay's bridge, if its
    database has one, hears OpenFlow; flows are not its affair."""
    hypervisor.daemons["ovs-vswitchd"].start()
    hypervisor.finish()
    if OVERLAY_BRIDGE in hypervisor.vsctl("list-br").split():
        words = ("ovs-ofctl", "-O", "OpenFlow14", "show", hypervisor.management)
        until(f"{hypervisor.name}: {OVERLAY_BRIDGE}", lambda: hypervisor.attempt_tool(words), 60)


def restart_switch(hypervisor: Hypervisor) -> None:
    """SIGKILL ovs-vswitchd and start it again at once."""
    kill_switch(hypervisor)
    revive_switch(hypervisor)


def restart_database(hypervisor: Hypervisor) -> None:
    """SIGKILL this host's ovsdb-server and start it again with the same file."""
    hypervisor.daemons["ovsdb-server"].kill()
    hypervisor.daemons["ovsdb-server"].start()


def crash(lab: Lab, hypervisor: Hypervisor) -> None:
    """The host loses power: everything on it is killed at once, its link goes down. Files stay."""
    name, interface = lab.links[hypervisor.name]
    lab.node(name).run(f"ip link set {interface} down")
    for daemon in hypervisor.daemons.values():
        if daemon.running:
            daemon.kill()


def boot(lab: Lab, hypervisor: Hypervisor) -> None:
    """Power back after `crash`: devices and sockets are gone, the database is there; OVS and link come up.

    The product's processes are started by whoever started them before.
    """
    hypervisor.forget_devices()
    hypervisor.launch()
    hypervisor.finish()
    name, interface = lab.links[hypervisor.name]
    lab.node(name).run(f"ip link set {interface} up")


def kill_reflector(reflector: FrrNode) -> None:
    """SIGKILL zebra and bgpd: peers see their sessions reset."""
    reflector.kill()

"""Arena: a lab for benchmarks of EVPN: two hypervisors with the whole product, a sender of routes, and FRR
and GoBGP to hear the same.

Place: made by `evpn`, which measures on it. Everything of ours is the real thing: store, API, speakers with
ExaBGP and agents are processes of their own, Open vSwitch runs in the hosts' namespaces. Must not measure.

hv1 has a port in each of 50 networks of 10 tenants; hv2 has ports in 8 networks of 8 other tenants. All other
hosts of the cluster are addresses on the sender's node: their routes are prepared, their VTEPs answer echoes.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Mininet still imports distutils.
    from topologies.control import Control
    from topologies.fabrics import ASN, BRIDGE, UNDERLAY_MTU, Plan, two_hypervisors
    from topologies.lab import Lab
    from topologies.nodes.frr import FrrHost
    from topologies.nodes.gobgp import GobgpNode
    from topologies.nodes.hypervisor import UPLINK
    from topologies.nodes.link import End, addressed, link
    from topologies.nodes.node import LabNode
    from topologies.nodes.router import Bridge
    from topologies.process import listens

from controller.cli.client import Api
from model.ids import HostName, Mac, NetworkKey, Uid, Vni
from pipelines.tables import RESOLVE
from tests.bench import crowd
from tests.bench.crowd import Host, Place
from tests.bench.figures import family
from tests.bench.rig import Rig, await_that
from tests.bench.sender import Handle

N = TypeVar("N", bound=LabNode)
SOURCE = "172.16.0.210"
RR = "172.16.0.200"
FRR, FRR_VTEP, GOBGP = "172.16.0.131", "172.16.0.132", "172.16.0.130"
TENANTS, NETWORKS = 10, 50
FEW_TENANTS = 8
"""Of hv2, a network each."""
HOSTS = 100
_FIRST_HOST = 20
_LEAD = re.compile(
    r"reg0=(0x[0-9a-f]+),dl_dst=([0-9a-f:]{17}) actions=set_field:(0x[0-9a-f]+)->tun_id,"
    r"set_field:([0-9.]+)->tun_dst,"
)
_COUNT = re.compile(r"active=(\d+)|tables? (\d+)(?:\.\.\.(\d+))?: ditto")


@dataclass(slots=True)
class Arena:
    """`places`: hv1's networks; `few`: hv2's; `hosts`: where all others live."""

    rig: Rig
    source: LabNode
    sender: Handle
    frr: FrrHost
    vtep: FrrHost
    gobgp: GobgpNode
    hosts: tuple[Host, ...]
    places: tuple[Place, ...] = ()
    few: tuple[Place, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)
    uids: list[Uid] = field(default_factory=list)
    """Of the remote ports."""
    laid: bool = False
    """FRR as VTEP has its networks."""

    @property
    def lab(self) -> Lab:
        return self.rig.lab

    @property
    def store(self) -> str:
        return f"unix:{self.rig.control.store_socket}"

    def prepare(self, name: str, messages: bytes) -> None:
        """A file that the sender can say."""
        self.files[name] = self.lab.directory.path / f"{name}.bgp"
        self.files[name].write_bytes(messages)

    def say(self, peer: str, name: str) -> tuple[float, float]:
        """Have a file said: when its first octet went, and when its last one was taken by the kernel."""
        answer = self.sender.ask("say", peer=peer, file=str(self.files[name]))
        return answer["began"], answer["ended"]

    def await_session(self, peer: str) -> None:
        await_that(lambda: self.sender.ask("state", peer=peer)["up"], f"a session with {peer}", 60.0)

    def ours(self, number: int) -> dict[str, tuple[int, ...]]:
        """Process ids of a host's agent, relay, and ExaBGP with its helper."""
        control, name = self.rig.control, f"hv{number}"
        relay, *exabgp = family(control.speakers[name].pid)
        return {"agent": family(control.agents[name].pid), "relay": (relay,), "exabgp": tuple(exabgp)}

    def switch(self, number: int) -> dict[str, tuple[int, ...]]:
        """That of its ovs-vswitchd."""
        return {"switch": (self.rig.host(number).daemons["ovs-vswitchd"].pid,)}

    def flows(self, number: int) -> int:
        """How many flows br-int has: from the tables' own counts, which cost the switch nothing."""
        host, total, last = self.rig.host(number), 0, 0
        for found in _COUNT.finditer(host.ofctl("dump-tables", host.management)):
            active, first, end = found.groups()
            last = int(active) if active else last
            total += last * (1 if active or not end else int(end) - int(first) + 1)
        return total

    def leads(self, number: int) -> dict[tuple[NetworkKey, Mac], tuple[IPv4Address, Vni]]:
        """Where each MAC behind a tunnel leads to, read back from the switch as text: nothing of ours has a
        part in it but the numbers of table and registers."""
        host = self.rig.host(number)
        text = host.ofctl(
            "--no-names", "--no-stats", "dump-flows", host.management, f"table={RESOLVE.number}"
        )
        return dict(found for line in text.splitlines() if (found := _lead(line)) is not None)

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        self.rig.__exit__()


def _lead(line: str) -> tuple[tuple[NetworkKey, Mac], tuple[IPv4Address, Vni]] | None:
    found = _LEAD.search(line)
    if found is None:
        return None
    network, mac, vni, vtep = found.groups()
    place = NetworkKey(int(network, 16)), Mac(int(mac.replace(":", ""), 16))
    return place, (IPv4Address(vtep), Vni(int(vni, 16)))


def progress(what: str) -> None:
    """A line for who waits."""
    print(f"bench: evpn: {what}", file=sys.stderr, flush=True)


def build() -> Arena:
    """The lab, with everything small in the store, agents of both hosts up, and nothing said yet."""
    lab = two_hypervisors(f"evpn-{os.getpid()}", Plan(2))
    try:
        control = Control(lab)
        source = _wired(lab, LabNode("src", lab.cell, lab.directory))
        path = lab.directory.path / "sender.sock"
        others = [f"ip address add {host.vtep}/24 dev {UPLINK}" for host in _hosts()]
        source.run("\n".join([addressed(UPLINK, f"{SOURCE}/24"), *others]))
        command = [sys.executable, "-m", "tests.bench.sender", str(ASN), SOURCE, str(path)]
        root = str(Path(__file__).resolve().parents[2])
        source.daemon("sender", command, lambda: listens(path), env={"PYTHONPATH": root}).start()
        frr = _wired(lab, FrrHost("frr", lab.cell, lab.directory, f"{FRR}/24"))
        vtep = _wired(lab, FrrHost("frrv", lab.cell, lab.directory, f"{FRR_VTEP}/24"))
        gobgp = _wired(lab, GobgpNode("gobgp", lab.cell, lab.directory, f"{GOBGP}/24"))
        for name, speaker in control.speakers.items():
            speaker.command += ["--peer", SOURCE]
            control.agents[name].command += ["--audit-every", "3600"]
        control.start_center()
        rig = Rig(lab, control, Api(f"unix:{control.api_socket}"))
        made = Arena(rig, source, Handle(path), frr, vtep, gobgp, _hosts())
        _declare(made)
        return made
    except BaseException:
        lab.close()
        raise


def _wired(lab: Lab, node: N) -> N:
    """A node on the fabric's segment."""
    segment = lab.nodes[BRIDGE]
    assert isinstance(segment, Bridge)
    lab.add(node)
    link(End(node, UPLINK), End(segment, node.name), UNDERLAY_MTU)
    segment.attach(node.name)
    return node


def _hosts() -> tuple[Host, ...]:
    base = int(IPv4Address("172.16.0.0")) + _FIRST_HOST
    return tuple(Host(HostName(f"far{n}"), IPv4Address(base + n)) for n in range(HOSTS))


def _declare(arena: Arena) -> None:
    """Hosts, tenants, networks, and a port in each network of hv1 and of hv2, through the API."""
    rig = arena.rig
    rig.write([crowd.document("Hypervisor", h.name, {"vtep": h.vtep_address}) for h in arena.lab.hypervisors])
    rig.write([crowd.document("Hypervisor", h.name, {"vtep": str(h.vtep)}) for h in arena.hosts])
    rig.write([crowd.document("Tenant", f"t{n}", {}) for n in range(TENANTS + FEW_TENANTS)])
    rig.write([_network(n) for n in range(NETWORKS + FEW_TENANTS)])
    rig.write([own_port(f"p{n}", n) for n in range(NETWORKS + FEW_TENANTS)])
    found = crowd.places(arena.store)
    arena.places = tuple(found[f"n{n}"] for n in range(NETWORKS))
    arena.few = tuple(found[f"n{n}"] for n in range(NETWORKS, NETWORKS + FEW_TENANTS))


def own_port(name: str, network: int, **spec: Any) -> dict[str, Any]:
    """A port of hv1 or, in the last networks, of hv2."""
    host = "hv1" if network < NETWORKS else "hv2"
    return crowd.document("Port", name, {"network": f"n{network}", "hosts": [host], **spec}, tenant(network))


def _network(number: int) -> dict[str, Any]:
    return crowd.document("Network", f"n{number}", {"subnets": [f"10.{number}.0.0/16"]}, tenant(number))


def tenant(network: int) -> str:
    """hv1's networks go round its tenants; hv2's have one each."""
    return f"t{network % TENANTS if network < NETWORKS else TENANTS + network - NETWORKS}"

"""Fabrics: the underlays, with hypervisors, a FRR route reflector and, if asked, a FRR-only host.

Place: between node types and scenarios. Must not start the product.

two_hypervisors: one bridged segment 172.16.0.0/24; hypervisors .1 .2, reflectors .200 .201, FRR host .100.
over_ipv6: the same over 2001:db8:16::/64 (RFC 3849), ::1, ::2, ::200; BGP identifiers as if it were IPv4.
leaf_spine(n): two leaves, two spines, static routes over both spines; every host has a /24 of its own,
172.16.<i>.0/24, itself at .1 and the leaf at .254; reflectors i = 200, 201, FRR host i = 100.
Leaf-spine links: 172.31.<l><s>.0/30.
The routes are static, so a leaf-spine link that fails is survived only where its carrier is seen; what this
fabric proves is that the overlay crosses routers, not how an underlay heals.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from topologies.errors import LabError
from topologies.lab import Lab, Say, open_lab, say_nothing
from topologies.nodes.frr import FrrHost, FrrNode, Timers, host_configuration, reflector_configuration
from topologies.nodes.hypervisor import UPLINK, Hypervisor
from topologies.nodes.link import UNDERLAY_MTU, End, link
from topologies.nodes.router import Bridge, Router

ASN = 65000
UNDERLAY = "172.16.0.0/16"
UNDERLAY6 = "2001:db8:16::/64"
BRIDGE = "fabric"
_REFLECTOR = 200
_FRR_HOST = 100
_SPINES = 2
_LEAVES = 2
_MOST = 64
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build: hypervisors hv1..hvN, FRR hosts frr1..frrM (0 or 1), reflectors rr1 (and rr2)."""

    hypervisors: int = 2
    frr_hosts: int = 0
    timers: Timers = field(default=Timers())
    reflectors: int = 1


def two_hypervisors(name: str, plan: Plan, say: Say = say_nothing) -> Lab:
    """`plan.hypervisors` hosts (two by default) on one bridged segment, with reflector rr1."""
    return _built(name, plan, say, _bridged)


def over_ipv6(name: str, plan: Plan, say: Say = say_nothing) -> Lab:
    """As two_hypervisors, where nodes have IPv6 addresses only."""
    return _built(name, plan, say, _bridged6)


def leaf_spine(name: str, plan: Plan, say: Say = say_nothing) -> Lab:
    """`plan.hypervisors` hosts on two leaves and two spines, with the reflectors on leaf1."""
    return _built(name, plan, say, _routed)


def _built(name: str, plan: Plan, say: Say, wire: Callable[[Lab, Plan], None]) -> Lab:
    if not 1 <= plan.hypervisors <= _MOST or not 0 <= plan.frr_hosts <= 1 or plan.reflectors not in (1, 2):
        raise LabError(f"a fabric has 1 to {_MOST} hypervisors, at most one FRR host, 1 or 2 reflectors")
    lab = open_lab(name, say)
    try:
        wire(lab, plan)
        lab.tick(f"underlay wired: {', '.join(lab.nodes)}")
        _start(lab, plan)
        lab.tick("Open vSwitch and FRR run")
    except BaseException:
        lab.close()
        raise
    return lab


def _hypervisor(lab: Lab, index: int, vtep: str) -> Hypervisor:
    mac = f"02:aa:00:00:00:{index:02x}"
    hypervisor = Hypervisor(f"hv{index}", lab.cell, lab.directory, lab.datapath, vtep, mac)
    lab.add(hypervisor)
    return hypervisor


def _edges(lab: Lab, plan: Plan, cidr: Callable[[int], str]) -> list[tuple[int, Hypervisor | FrrNode]]:
    """All edge nodes with their underlay index."""
    found: list[tuple[int, Hypervisor | FrrNode]] = []
    for index in range(1, plan.hypervisors + 1):
        found.append((index, _hypervisor(lab, index, cidr(index))))
    for number in range(plan.reflectors):
        reflector = FrrNode(f"rr{number + 1}", lab.cell, lab.directory, cidr(_REFLECTOR + number))
        lab.add(reflector)
        found.append((_REFLECTOR + number, reflector))
    for number in range(plan.frr_hosts):
        host = FrrHost(f"frr{number + 1}", lab.cell, lab.directory, cidr(_FRR_HOST + number))
        lab.add(host)
        found.append((_FRR_HOST + number, host))
    return found


def _bridged(lab: Lab, plan: Plan) -> None:
    _one_segment(lab, plan, lambda i: f"172.16.0.{i}/24")


def _bridged6(lab: Lab, plan: Plan) -> None:
    _one_segment(lab, plan, lambda i: f"{UNDERLAY6.removesuffix('/64')}{i}/64")


def _one_segment(lab: Lab, plan: Plan, cidr: Callable[[int], str]) -> None:
    segment = Bridge(BRIDGE, lab.cell, lab.directory, UNDERLAY_MTU)
    lab.add(segment)
    for index, edge in _edges(lab, plan, cidr):
        port = f"p{index}"
        link(End(edge, UPLINK), End(segment, port), UNDERLAY_MTU)
        segment.attach(port)
        lab.links[edge.name] = (segment.name, port)


def _routed(lab: Lab, plan: Plan) -> None:
    spines = [Router(f"spine{s + 1}", lab.cell, lab.directory) for s in range(_SPINES)]
    leaves = [Router(f"leaf{n + 1}", lab.cell, lab.directory) for n in range(_LEAVES)]
    for router in (*spines, *leaves):
        lab.add(router)
    for s, spine in enumerate(spines):
        for n, leaf in enumerate(leaves):
            link(End(leaf, f"spine{s + 1}"), End(spine, f"leaf{n + 1}"), UNDERLAY_MTU)
            leaf.add_address(f"spine{s + 1}", f"172.31.{n + 1}{s + 1}.1/30")
            spine.add_address(f"leaf{n + 1}", f"172.31.{n + 1}{s + 1}.2/30")
    # Beyond its own hosts a leaf knows one way: both spines.
    for n, leaf in enumerate(leaves):
        leaf.route(UNDERLAY, [f"172.31.{n + 1}{s + 1}.2" for s in range(_SPINES)])
    for index, edge in _edges(lab, plan, lambda i: f"172.16.{i}.1/24"):
        n = (index - 1) % _LEAVES if index < _FRR_HOST else (0 if index >= _REFLECTOR else 1)
        port = f"p{index}"
        link(End(edge, UPLINK), End(leaves[n], port), UNDERLAY_MTU)
        leaves[n].add_address(port, f"172.16.{index}.254/24")
        for s, spine in enumerate(spines):
            spine.route(f"172.16.{index}.0/24", [f"172.31.{n + 1}{s + 1}.1"])
        # Explicit: FRR does not resolve iBGP next hops through a default route.
        edge.routes.append((UNDERLAY, f"172.16.{index}.254"))
        lab.links[edge.name] = (leaves[n].name, port)


def _range(address: str) -> str:
    return UNDERLAY6 if ":" in address else UNDERLAY


def _start(lab: Lab, plan: Plan) -> None:
    reflectors = [r.address for r in lab.reflectors]
    configurations: dict[FrrNode, str] = {
        r: reflector_configuration(r.address, ASN, [_range(r.address)], plan.timers) for r in lab.reflectors
    } | {h: host_configuration(h.address, ASN, reflectors, plan.timers) for h in lab.frr_hosts}
    with ThreadPoolExecutor(_WORKERS) as pool:
        launched = [pool.submit(h.launch) for h in lab.hypervisors]
        routing = [pool.submit(node.start, text) for node, text in configurations.items()]
        for job in launched:
            job.result()
        finished = [pool.submit(h.finish) for h in lab.hypervisors]
        for job in (*finished, *routing):
            job.result()

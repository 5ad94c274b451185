"""Arena: the lab of the torture test: four hypervisors, two reflectors, a border and a server, twenty ports.

Place: built from the layout, on the scenario of the ways out; hurt by the driver. Must use the product as a
user does. Each agent's state lies on a small disk of its own, which can be filled, and its wall clock can be
stepped.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import cookies
from pipelines.tables import CLASSIFY
from tests.integration.product.extra import document, lead_out, network, port
from tests.torture import layout
from tests.torture.autopsy import examine
from tests.torture.layout import BEHIND, FAR, HOSTS, NET, ROAMERS, SEATS, SUBNETS, TENANTS, Seat, Way
from topologies.deadline import until
from topologies.errors import LabError
from topologies.fabrics import Plan
from topologies.lab import Lab, Say
from topologies.nodes.hypervisor import Hypervisor, plug
from topologies.scenarios import outside
from topologies.scenarios.outside import EXTERNAL, Outside
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.ping import ping
from topologies.wallclock import set_offset

DISK = "24m"
"""Of an agent's state: a journal's segment has 4 MiB, and a new one begins before the old one goes."""
_WORKERS = 4
Document = dict[str, Any]


@dataclass
class Arena:
    """`members`: who sits in which port now, by "tenant/port"."""

    outside: Outside
    members: dict[str, Workload] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """Of the ports that move, as they stand in the cookies of flows."""

    @property
    def lab(self) -> Lab:
        return self.outside.lab

    @property
    def control(self) -> Any:
        return self.outside.base.control

    def host(self, name: str) -> Hypervisor:
        found = self.lab.node(name)
        assert isinstance(found, Hypervisor)
        return found

    def state(self, host: str) -> Path:
        """The directory of an agent's state, on its own disk, as everybody can see it."""
        return Path(f"/proc/{self.host(host).pid}/root{self.host(host).directory}/agent")

    def clock(self, host: str) -> Path:
        return self.host(host).directory / "clock"

    def member(self, name: str) -> Workload:
        return self.members[name]


def build(name: str, say: Say) -> Arena:
    """Everything up, every way of the layout reachable. On failure everything is removed."""
    made = outside.build(name, say, Plan(len(HOSTS), 0, reflectors=2))
    try:
        arena = Arena(made)
        with ThreadPoolExecutor(_WORKERS) as pool:
            list(pool.map(lambda host: _give_disk(arena, host), HOSTS))
        _populate(arena)
        made.lab.tick("twenty ports in three tenants")
        _await_ways(arena)
        arena.keys = {f"{tenant}/{port}": _key(arena, f"{tenant}/{port}") for tenant, port in ROAMERS}
        made.lab.tick("every way leads there")
    except LabError as error:
        logs = made.lab.logs()
        made.lab.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        made.lab.close()
        raise
    return arena


def _give_disk(arena: Arena, host: str) -> None:
    """A small disk in the place of the agent's directory, and a clock of its own."""
    node, agent = arena.host(host), arena.control.agents[host]
    agent.stop()
    place = node.directory / "agent"
    node.run(f"cp -a {place} {place}.before; mount -t tmpfs -o size={DISK},mode=750 ringfence {place}")
    node.run(f"cp -a {place}.before/. {place}/")
    set_offset(arena.clock(host), 0)
    arena.control.skew(node, arena.clock(host))


def egress_class(name: str, *, prefixes: tuple[str, ...] = (), relation: str = "") -> Document:
    spec: Document = {"prefixes": list(prefixes)} if prefixes else {}
    return document("EgressClass", name, spec | ({"relations": [relation]} if relation else {}))


def classes(wandering: str, spare: tuple[str, ...] = ()) -> list[Document]:
    """Both classes with prefixes: `wandering` has those that wander. `spare`: more of partner's."""
    mine: dict[str, tuple[str, ...]] = {
        layout.STORAGE: layout.STORED,
        layout.PARTNER: ("203.0.113.192/26", *spare),
    }
    mine[wandering] += layout.WANDERING
    return [egress_class(name, prefixes=prefixes) for name, prefixes in mine.items()]


def half(tenant: str, peer: str, prefixes: tuple[str, str]) -> Document:
    """One side's peering."""
    return document("Peering", f"to-{peer}", {"peer": peer, "prefixes": list(prefixes)}, tenant)


def routes(tenant: str, name: str, prefixes: tuple[str, str], hops: tuple[str, ...]) -> list[Document]:
    return [
        document("Route", f"{name}-{n}", {"prefix": prefix, "nextHops": [hop]}, tenant)
        for n, (prefix, hop) in enumerate(zip(prefixes, hops, strict=True))
    ]


def _populate(arena: Arena) -> None:
    control, base = arena.control, arena.outside.base
    nets = {key: network(key[0], key[1], subnets) for key, subnets in SUBNETS.items()}
    nets |= {(t, NET): network(t, NET, ("10.0.0.0/24", "fd00:10::/64")) for t in ("red", "blue")}
    documents = [document("Tenant", "green", {"egress": "snat", "external": EXTERNAL})]
    documents += [nets[key] for key in SUBNETS]
    for each in SEATS:
        made = port(each.tenant, each.port, nets[each.tenant, each.network], each.last, each.host)
        if (each.tenant, each.port) in ROAMERS:
            made["spec"]["hosts"] = [each.host, *(host for host in HOSTS if host != each.host)]
        documents.append(made)
    control.apply(documents)
    control.apply(
        [
            *classes(layout.STORAGE),
            egress_class(layout.WITHIN, relation="same-tenant"),
            egress_class(layout.NEIGHBOURS, relation="peered-tenant"),
            egress_class(layout.INTERNET, relation="internet"),
            half("red", "green", SUBNETS["red", FAR]),
            half("green", "red", SUBNETS["green", NET]),
            *exchange(),
        ]
    )
    arena.members = {f"{w.tenant}/{w.port}": w for w in base.workloads}
    ports = {(p["metadata"]["tenant"], p["metadata"]["name"]): p for p in control.get("ports")}
    with ThreadPoolExecutor(_WORKERS) as pool:
        jobs = [(arena, each, ports[each.tenant, each.port]) for each in SEATS]
        arena.members |= dict(pool.map(_take, jobs))
    for (tenant, name), addresses in BEHIND.items():
        for address in addresses:
            length = 128 if ":" in address else 32
            arena.member(f"{tenant}/{name}").vm.run(f"ip address replace {address}/{length} dev eth0")
    control.apply(
        [
            *routes("red", "stored", layout.STORED, arena.member("red/far2").addresses),
            *routes("blue", "stored", layout.STORED, arena.member("blue/far1").addresses),
            *routes("green", "wandering", layout.WANDERING, arena.member("green/far1").addresses),
            *containers(arena),
            *floating(),
        ]
    )
    assert set(TENANTS) == {w.tenant for w in arena.members.values()}


def _take(job: tuple[Arena, Seat, Document]) -> tuple[str, Workload]:
    """Plug a VM into a port, and lead it out by its gateways."""
    arena, each, found = job
    spec, uid = found["spec"], found["metadata"]["uid"]
    vm = arena.lab.vm(f"{each.tenant}{each.port[0]}{each.port[-1]}")
    cidrs = tuple(f"{a}/{64 if ':' in a else 24}" for a in spec["addresses"])
    made = Workload(each.tenant, each.port, uid, spec["mac"], cidrs, each.host, vm, f"tap-{vm.name}")
    plug(arena.host(each.host), vm, made.ifname, uid, made.mac, cidrs)
    for cidr in cidrs:
        lead_out(vm, cidr)
    return f"{each.tenant}/{each.port}", made


def _key(arena: Arena, name: str) -> int:
    """By the flow that takes what comes from its interface."""
    member = arena.member(name)
    host = arena.host(member.host)
    ofport = host.vsctl("get", "Interface", member.ifname, "ofport").strip()
    flows = host.ofctl("dump-flows", host.management, f"table={CLASSIFY.number},in_port={ofport}")
    found = {cookies.parse(int(cookie, 16)) for cookie in re.findall(r"cookie=(0x[0-9a-f]+)", flows)}
    (key,) = {each.port for each in found if each is not None}
    return key


def exchange() -> list[Document]:
    """The peering that comes and goes."""
    return [half("blue", "green", SUBNETS["blue", FAR]), half("green", "blue", SUBNETS["green", FAR])]


def containers(arena: Arena) -> list[Document]:
    """The routes that come and go."""
    return routes("green", "containers", layout.CONTAINERS, arena.member("green/vm3").addresses)


def floating() -> list[Document]:
    """The floating IPs that come and go."""
    addresses = ("203.0.113.23", "2001:db8:f::23")
    spec: Document = {"external": EXTERNAL, "port": "vm3"}
    return [
        document("FloatingIp", f"vm3-{n}", spec | {"address": address}, "blue")
        for n, address in enumerate(addresses)
    ]


def _await_ways(arena: Arena) -> None:
    """Each way to an address that answers, by pings. What else a VM has it can't answer from: the guard."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(lambda way: _await_way(arena, way), layout.WAYS))


def _await_way(arena: Arena, way: Way) -> None:
    source = arena.member(way.source).vm
    for address in way.addresses if way.target == "server" else arena.member(way.target).addresses:
        try:
            until(
                f"{way.source} reaches {address}",
                lambda address=address: ping(source, address, 1, wait=0.5).reached,
                60,
            )
        except LabError as error:
            raise LabError(f"{error}\n{examine(arena, way.source, address)}") from error

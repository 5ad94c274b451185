"""Two tenants with the same subnets and the same addresses, one VM of each on every host.

Place: the lab of most integration tests and of the demo. Must use the product as a user does: CLI and OVS.

Tenants `red` and `blue`, network `net` in each: 10.0.0.0/24 and fd00:10::/64. The VM of host number i has
10.0.0.<10+i> and fd00:10::<10+i> in both tenants (the IPv6's last group reads as the IPv4's last octet); its
port is named `vm<i>`, its node `red<i>` or `blue<i>`. On a FRR-only host i is 100.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from topologies.control import Control
from topologies.deadline import until
from topologies.errors import LabError
from topologies.fabrics import Plan, leaf_spine, two_hypervisors
from topologies.lab import Lab, Say, say_nothing
from topologies.nodes.frr import FrrHost
from topologies.nodes.hypervisor import Hypervisor, plug
from topologies.nodes.vm import Vm
from topologies.traffic.ping import ping

API_VERSION = "ringfence/v1"
TENANTS = ("red", "blue")
NETWORK = "net"
SUBNETS = ("10.0.0.0/24", "fd00:10::/64")
_FIRST = 10
_EXTERNAL = 100
_WORKERS = 4

Fabric = Callable[[str, Plan, Say], Lab]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A VM with its port. `cidrs`: addresses with prefix length, IPv4 first; `ifname` on its host."""

    tenant: str
    port: str
    uid: str
    mac: str
    cidrs: tuple[str, ...]
    host: str
    vm: Vm
    ifname: str

    @property
    def name(self) -> str:
        """Name of the VM's node."""
        return str(self.vm.name)

    @property
    def addresses(self) -> tuple[str, ...]:
        """IPv4 first."""
        return tuple(c.partition("/")[0] for c in self.cidrs)

    @property
    def ipv4(self) -> str:
        return self.addresses[0]

    @property
    def ipv6(self) -> str:
        return self.addresses[1]


@dataclass(slots=True)
class TwoTenants:
    """The running scenario. A context manager through its lab: `close` removes everything."""

    lab: Lab
    control: Control
    workloads: list[Workload] = field(default_factory=list)

    def of(self, tenant: str) -> list[Workload]:
        """The workloads of a tenant, by host number."""
        return [w for w in self.workloads if w.tenant == tenant]

    def at(self, tenant: str, host: str) -> Workload:
        """The workload of a tenant on a host."""
        for workload in self.workloads:
            if (workload.tenant, workload.host) == (tenant, host):
                return workload
        raise LabError(f"no workload of {tenant} on {host}")

    def await_reachability(self, timeout: float = 60.0) -> None:
        """Wait until the VMs of each tenant reach their neighbour on the next host, both families."""
        for tenant in TENANTS:
            ring = self.of(tenant)
            for here, there in zip(ring, [*ring[1:], ring[0]], strict=True):
                for address in there.addresses if here is not there else ():
                    until(
                        f"{here.name} reaches {there.name} at {address}",
                        lambda here=here, address=address: ping(here.vm, address, 1, wait=0.5).reached,
                        timeout,
                    )

    def settle(self) -> None:
        """What `up` waits for."""
        self.await_reachability()
        self.lab.tick("every VM reaches its tenant's next")

    def advice(self) -> str:
        """The usual."""
        return ""

    def describe(self) -> list[dict[str, Any]]:
        """The workloads as plain data, for `status`."""
        return [
            {
                "node": w.name,
                "tenant": w.tenant,
                "network": NETWORK,
                "port": w.port,
                "uid": w.uid,
                "mac": w.mac,
                "addresses": list(w.addresses),
                "host": w.host,
                "interface": w.ifname,
                "pid": w.vm.pid,
            }
            for w in self.workloads
        ]

    def close(self) -> None:
        """Remove everything."""
        self.lab.close()

    def __enter__(self) -> TwoTenants:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build(name: str, plan: Plan, fabric: Fabric, say: Say = say_nothing) -> TwoTenants:
    """Fabric, product, documents, VMs; ports are plugged, nothing is waited for beyond that.

    On failure everything is removed, and the LabError ends with the logs of the product's processes.
    """
    lab = fabric(name, plan, say)
    try:
        scenario = TwoTenants(lab, Control(lab))
        scenario.control.start_center()
        lab.tick("store and API answer")
        scenario.control.apply(hypervisors(lab))
        scenario.control.start_edges()
        lab.tick("speakers and agents run")
        populate(scenario)
        lab.tick(f"{len(scenario.workloads)} VMs plugged")
    except LabError as error:
        logs = lab.logs()
        lab.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        lab.close()
        raise
    return scenario


def build_bridged(name: str, plan: Plan, say: Say = say_nothing) -> TwoTenants:
    """On one segment."""
    return build(name, plan, two_hypervisors, say)


def build_routed(name: str, plan: Plan, say: Say = say_nothing) -> TwoTenants:
    """On leaves and spines."""
    return build(name, plan, leaf_spine, say)


def hypervisors(lab: Lab) -> list[Document]:
    """Hypervisor documents of all hosts of the lab."""
    return [_document("Hypervisor", {"name": h.name}, _vtep(h)) for h in lab.hypervisors] + [
        _document("Hypervisor", {"name": h.name}, {"vtep": h.address, "external": True})
        for h in lab.frr_hosts
    ]


def _vtep(host: Hypervisor) -> Document:
    """With an IPv6 address the router id has to be declared."""
    declared = {"routerId": host.router_id} if ":" in host.vtep_address else {}
    return {"vtep": host.vtep_address} | declared


def documents(lab: Lab) -> list[Document]:
    """Tenants, networks and ports."""
    found = []
    for tenant in TENANTS:
        found.append(_document("Tenant", {"name": tenant}, {}))
        found.append(_document("Network", {"name": NETWORK, "tenant": tenant}, {"subnets": list(SUBNETS)}))
        for number, host in _seats(lab):
            spec = {"network": NETWORK, "addresses": list(_addresses(number)), "hosts": [host.name]}
            found.append(_document("Port", {"name": f"vm{number}", "tenant": tenant}, spec))
    return found


def populate(scenario: TwoTenants) -> None:
    """Apply the tenants, then make and plug their VMs with the uids and MACs that the product gave."""
    lab, control = scenario.lab, scenario.control
    control.apply(documents(lab))
    ports = {(p["metadata"]["tenant"], p["metadata"]["name"]): p for p in control.get("ports")}
    vnis = {n["metadata"]["tenant"]: int(n["spec"]["vni"]) for n in control.get("networks")}
    seats = _seats(lab)
    for host in lab.frr_hosts:
        for tenant in TENANTS:
            host.add_network(vnis[tenant])

    def seat(job: tuple[str, int, Hypervisor | FrrHost]) -> Workload:
        tenant, number, host = job
        port = ports[tenant, f"vm{number}"]
        return _plugged(lab, host, port, number, vnis[tenant])

    jobs = [(tenant, number, host) for tenant in TENANTS for number, host in seats]
    with ThreadPoolExecutor(_WORKERS) as pool:
        scenario.workloads += pool.map(seat, jobs)


def _plugged(lab: Lab, host: Hypervisor | FrrHost, port: Document, number: int, vni: int) -> Workload:
    tenant, spec = port["metadata"]["tenant"], port["spec"]
    vm = lab.vm(f"{tenant}{number}")
    ifname, uid, mac = f"tap-{vm.name}", port["metadata"]["uid"], spec["mac"]
    lengths = {ipaddress.ip_network(s).version: s.partition("/")[2] for s in SUBNETS}
    cidrs = tuple(f"{a}/{lengths[ipaddress.ip_address(a).version]}" for a in spec["addresses"])
    if isinstance(host, FrrHost):
        host.plug(vm, ifname, vni, mac, cidrs)
    else:
        plug(host, vm, ifname, uid, mac, cidrs)
    return Workload(tenant, port["metadata"]["name"], uid, mac, cidrs, str(host.name), vm, ifname)


def _seats(lab: Lab) -> list[tuple[int, Hypervisor | FrrHost]]:
    inside: list[tuple[int, Hypervisor | FrrHost]] = list(enumerate(lab.hypervisors, 1))
    return inside + [(_EXTERNAL + i, host) for i, host in enumerate(lab.frr_hosts)]


def _addresses(number: int) -> tuple[str, ...]:
    """IPv4 and IPv6 of host number; the IPv6's last group reads like the IPv4's last octet."""
    return (f"10.0.0.{_FIRST + number}", f"fd00:10::{_FIRST + number}")


def _document(kind: str, metadata: Document, spec: Document) -> Document:
    made: Document = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata}
    return made | ({"spec": spec} if spec else {})

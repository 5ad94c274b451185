"""Two tenants with three networks each: `net` as in two_tenants, `far` beside it, and `apart`, not routed.

Place: the lab of the routing tests. Must use the product as a user does: CLI and OVS.

`far` is 10.1.0.0/24 and fd00:11::/64, `apart` 10.2.0.0/24 and fd00:12::/64, the same in both tenants. Ports
`far` and `apart` live on the last hypervisor, so the others route to networks that they have no port in;
`friend`, of `apart` too, lives on the first. Red's have .21 and .22, blue's .31 and .32: what blue answers,
red can't have been asked for. Every VM has its gateways as default routes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from topologies.deadline import until
from topologies.errors import LabError
from topologies.fabrics import Plan, two_hypervisors
from topologies.lab import Lab, Say, say_nothing
from topologies.nodes.hypervisor import plug
from topologies.nodes.vm import INTERFACE
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import API_VERSION, TENANTS, Document, Fabric, TwoTenants, Workload
from topologies.traffic.ping import ping

FAR, APART = "far", "apart"
SUBNETS = {
    two_tenants.NETWORK: two_tenants.SUBNETS,
    FAR: ("10.1.0.0/24", "fd00:11::/64"),
    APART: ("10.2.0.0/24", "fd00:12::/64"),
}
FRIEND = "friend"
_FIRST = {"red": 21, "blue": 31}


@dataclass(frozen=True, slots=True)
class Seat:
    """A port beside `net`. `letter`: ends its VM's name; `host`: index among the hypervisors."""

    port: str
    network: str
    letter: str
    host: int


SEATS = (Seat(FAR, FAR, "f", -1), Seat(APART, APART, "a", -1), Seat(FRIEND, APART, "b", 0))


@dataclass(slots=True)
class Routed:
    """`base`: the VMs of `net`; `extra`: those of the other networks, by (tenant, port)."""

    base: TwoTenants
    extra: dict[tuple[str, str], Workload] = field(default_factory=dict)

    @property
    def lab(self) -> Lab:
        return self.base.lab

    def await_routes(self, timeout: float = 60.0) -> None:
        """Wait until each tenant's `far` VM reaches all of its `net` VMs on hypervisors, both families."""
        names = {h.name for h in self.lab.hypervisors}
        for tenant in TENANTS:
            far = self.extra[tenant, FAR]
            for there in (w for w in self.base.of(tenant) if w.host in names):
                for address in there.addresses:
                    until(
                        f"{far.name} reaches {there.name} at {address}",
                        lambda far=far, address=address: ping(far.vm, address, 1, wait=0.5).reached,
                        timeout,
                    )

    def close(self) -> None:
        """Remove everything."""
        self.base.close()


def gateways(network: str) -> tuple[str, str]:
    """The first address of each subnet, IPv4 first: the network's own."""
    four, six = (str(ipaddress.ip_network(s).network_address + 1) for s in SUBNETS[network])
    return four, six


def build(name: str, plan: Plan, say: Say = say_nothing, fabric: Fabric = two_hypervisors) -> Routed:
    """On one segment, or another fabric. On failure everything is removed."""
    base = two_tenants.build(name, plan, fabric, say)
    try:
        scenario = Routed(base)
        _populate(scenario)
        base.lab.tick("networks beside it, and default routes")
    except LabError as error:
        logs = base.lab.logs()
        base.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        base.close()
        raise
    return scenario


def _populate(scenario: Routed) -> None:
    lab, control = scenario.lab, scenario.base.control
    names = [str(h.name) for h in lab.hypervisors]
    control.apply([d for tenant in TENANTS for d in _documents(tenant, names)])
    ports = {(p["metadata"]["tenant"], p["metadata"]["name"]): p for p in control.get("ports")}
    for tenant in TENANTS:
        for seat in SEATS:
            scenario.extra[tenant, seat.port] = _take(lab, seat, ports[tenant, seat.port])
    for workload in scenario.base.workloads:
        _lead_out(workload, two_tenants.NETWORK)
    for tenant in TENANTS:
        for seat in SEATS:
            _lead_out(scenario.extra[tenant, seat.port], seat.network)


def _documents(tenant: str, hosts: list[str]) -> list[Document]:
    found = [
        _document("Network", tenant, name, {"subnets": list(SUBNETS[name]), "routed": name != APART})
        for name in (FAR, APART)
    ]
    for seat in SEATS:
        last = _FIRST[tenant] + (seat.port == FRIEND)
        four, six = (ipaddress.ip_network(s).network_address for s in SUBNETS[seat.network])
        # the IPv6's last group reads like the IPv4's last octet
        addresses = [str(four + last), f"{six}{last}"]
        spec = {"network": seat.network, "addresses": addresses, "hosts": [hosts[seat.host]]}
        found.append(_document("Port", tenant, seat.port, spec))
    return found


def _document(kind: str, tenant: str, name: str, spec: Document) -> Document:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "tenant": tenant},
        "spec": spec,
    }


def _take(lab: Lab, seat: Seat, port: Document) -> Workload:
    tenant, spec, host = port["metadata"]["tenant"], port["spec"], lab.hypervisors[seat.host]
    vm = lab.vm(f"{tenant}{seat.letter}")
    ifname, uid = f"tap-{vm.name}", port["metadata"]["uid"]
    lengths = {ipaddress.ip_network(s).version: s.partition("/")[2] for s in SUBNETS[seat.network]}
    cidrs = tuple(f"{a}/{lengths[ipaddress.ip_address(a).version]}" for a in spec["addresses"])
    plug(host, vm, ifname, uid, spec["mac"], cidrs)
    return Workload(tenant, seat.port, uid, spec["mac"], cidrs, str(host.name), vm, ifname)


def _lead_out(workload: Workload, network: str) -> None:
    four, six = gateways(network)
    workload.vm.run(
        f"ip route replace default via {four} dev {INTERFACE}\n"
        f"ip -6 route replace default via {six} dev {INTERFACE}"
    )

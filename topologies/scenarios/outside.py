"""Two tenants on three hypervisors, with a world outside: a FRR border, and a server behind it.

Place: the lab of the tests of ways out. Must use the product as a user does: CLI and OVS.

As two_tenants, and: external network `internet`, pools 203.0.113.0/24 and 2001:db8:f::/64. hv1 and hv2 may be
gateways. Floating IPs, of both families: red vm1 (.11) and blue vm1 (.21) on hv1, blue vm2 (.22) on hv2. Red
is translated by a gateway, blue has no way out but its floating IPs. The border has 198.51.100.1 and
2001:db8:5::1, the server `inet` has .9 and ::9. The link between them carries 1,300 bytes only.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from topologies.deadline import until
from topologies.errors import LabError
from topologies.fabrics import ASN, BRIDGE, Plan, two_hypervisors
from topologies.lab import Lab, Say, say_nothing
from topologies.nodes.frr import UPLINK, FrrHost, Timers, host_configuration
from topologies.nodes.link import UNDERLAY_MTU, End, link
from topologies.nodes.router import Bridge
from topologies.nodes.vm import INTERFACE, Vm
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import API_VERSION, Document, TwoTenants, Workload
from topologies.traffic.ping import ping

EXTERNAL = "internet"
POOLS = ("203.0.113.0/24", "2001:db8:f::/64")
BORDER_ADDRESS = "172.16.0.90"
BORDER_MAC = "06:00:00:00:00:90"
BORDER = ("198.51.100.1", "2001:db8:5::1")
SERVER = ("198.51.100.9", "2001:db8:5::9")
NARROW = 1300
GATEWAYS = ("hv1", "hv2")
_PLAN = Plan(3, 0)
_FLOATING = {("red", "vm1"): 11, ("blue", "vm1"): 21, ("blue", "vm2"): 22}


@dataclass(slots=True)
class Outside:
    """`base`: the VMs; `border`, `server`: what lies outside."""

    base: TwoTenants
    border: FrrHost
    server: Vm

    @property
    def lab(self) -> Lab:
        return self.base.lab

    def floating(self, workload: Workload, family: int) -> str:
        """The floating IP of a VM."""
        last = _FLOATING[workload.tenant, workload.port]
        return f"203.0.113.{last}" if family == 4 else f"2001:db8:f::{last}"

    def tenant(self, name: str) -> Document:
        return next(t for t in self.base.control.get("tenants") if t["metadata"]["name"] == name)

    def egress(self, family: int) -> str:
        """The address that red is translated to."""
        found = self.tenant("red")["status"]["egressAddresses"]
        return str(next(a for a in found if (":" in a) == (family == 6)))

    def gateways(self) -> list[str]:
        """Red's, the first one first."""
        return [str(name) for name in self.tenant("red")["status"]["gateways"]]

    def await_ways_out(self, timeout: float = 60.0) -> None:
        """Wait until all that should reach the server does."""
        leaving = [w for w in self.base.workloads if w.tenant == "red" or w.port in ("vm1", "vm2")]
        for workload in leaving:
            for address in SERVER:
                until(
                    f"{workload.name} reaches {address}",
                    lambda workload=workload, address=address: (
                        ping(workload.vm, address, 1, wait=0.5).reached
                    ),
                    timeout,
                )


def build(name: str, say: Say = say_nothing, plan: Plan = _PLAN) -> Outside:
    """On one segment. On failure everything is removed."""
    base = two_tenants.build(name, plan, two_hypervisors, say)
    try:
        scenario = _open(base)
        base.lab.tick("a border, a server, floating IPs and a gateway")
    except LabError as error:
        logs = base.lab.logs()
        base.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        base.close()
        raise
    return scenario


def _open(base: TwoTenants) -> Outside:
    lab, control = base.lab, base.control
    hosts = [
        _document("Hypervisor", {"name": h.name}, {"vtep": h.vtep_address, "gateway": h.name in GATEWAYS})
        for h in lab.hypervisors
    ]
    hosts.append(
        _document(
            "Hypervisor", {"name": "border1"}, {"vtep": BORDER_ADDRESS, "external": True, "border": True}
        )
    )
    control.apply([*hosts, _document("External", {"name": EXTERNAL}, {"pools": list(POOLS)})])
    control.apply([_document("Tenant", {"name": "red"}, {"egress": "snat", "external": EXTERNAL})])
    control.apply(_floating())
    (external,) = control.get("externals")
    border = _border(lab, int(external["spec"]["vni"]))
    server = lab.vm("inet")
    link(End(border, "net0"), End(server, INTERFACE), NARROW)
    border.run("sysctl -qw net.ipv6.conf.net0.disable_ipv6=0 net.ipv6.conf.net0.accept_dad=0")
    border.run("\n".join(f"ip address add {a}/{_length(a)} dev net0" for a in BORDER))
    server.configure("", tuple(f"{a}/{_length(a)}" for a in SERVER))
    server.run("\n".join(f"ip route replace default via {a} dev {INTERFACE}" for a in BORDER))
    for workload in base.workloads:
        for subnet in two_tenants.SUBNETS:
            first = ipaddress.ip_network(subnet).network_address + 1
            workload.vm.run(f"ip route replace default via {first} dev {INTERFACE}")
    return Outside(base, border, server)


def _length(address: str) -> int:
    return 64 if ":" in address else 24


def _floating() -> list[Document]:
    found = []
    for (tenant, port), last in _FLOATING.items():
        for family, address in (("ipv4", f"203.0.113.{last}"), ("ipv6", f"2001:db8:f::{last}")):
            metadata = {"name": f"{port}-{family}", "tenant": tenant}
            spec = {"external": EXTERNAL, "address": address, "port": port}
            found.append(_document("FloatingIp", metadata, spec))
    return found


def _border(lab: Lab, l3vni: int) -> FrrHost:
    """FRR with one L3VNI in its default VRF, which leads outside by a default route."""
    border = FrrHost("border1", lab.cell, lab.directory, f"{BORDER_ADDRESS}/24")
    lab.add(border)
    segment = lab.node(BRIDGE)
    assert isinstance(segment, Bridge)
    link(End(border, UPLINK), End(segment, "p90"), UNDERLAY_MTU)
    segment.attach("p90")
    lab.links[border.name] = (segment.name, "p90")
    bgp = host_configuration(BORDER_ADDRESS, ASN, [r.address for r in lab.reflectors], Timers())
    border.start(bgp)
    border.add_network(l3vni)
    border.run(
        f"ip link set br{l3vni} address {BORDER_MAC}\n"
        "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
        " net.ipv6.conf.lo.disable_ipv6=0"
    )
    border.vtysh(
        "configure terminal",
        f"vni {l3vni}",
        f"router bgp {ASN}",
        "address-family l2vpn evpn",
        "advertise ipv4 unicast",
        "advertise ipv6 unicast",
        "default-originate ipv4",
        "default-originate ipv6",
    )
    return border


def _document(kind: str, metadata: Document, spec: Document) -> Document:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

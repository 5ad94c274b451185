"""Two tenants, and a border: FRR with an L3VNI of its own, and the world behind it.

Place: the lab of the tests of `egress: fabric`. Must use the product as a user does: CLI and OVS.

`border1` routes for tenant red under its L3VNI, in FRR's default VRF: kernel VXLAN in a bridge that is its
router interface. Behind it is `internet` with 198.51.100.2 and 2001:db8:100::2; the border announces that
network and the default routes as RT-5. Further away, where only the default route leads, are 203.0.113.9 and
2001:db8:200::9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topologies.errors import LabError
from topologies.fabrics import ASN, BRIDGE, UNDERLAY_MTU, Plan, two_hypervisors
from topologies.lab import Lab, Say, say_nothing
from topologies.nodes.frr import UPLINK, FrrHost, Timers
from topologies.nodes.link import VM_MTU, End, link
from topologies.nodes.vm import INTERFACE, Vm
from topologies.scenarios import two_tenants
from topologies.scenarios.two_tenants import API_VERSION, TwoTenants

NAME, ADDRESS = "border1", "172.16.0.120"
OUTSIDE = ("198.51.100.2", "2001:db8:100::2")
FAR = ("203.0.113.9", "2001:db8:200::9")
_GATES = ("198.51.100.1", "2001:db8:100::1")
_LENGTHS = (24, 64)
_WORLD = "inet0"
_TENANT = "red"


@dataclass(slots=True)
class Bordered:
    """`base`: the tenants; `internet`: the host behind `border`, which is red's."""

    base: TwoTenants
    border: FrrHost
    internet: Vm
    l3vni: int

    @property
    def lab(self) -> Lab:
        return self.base.lab


def build(name: str, plan: Plan, say: Say = say_nothing) -> Bordered:
    """On one segment. On failure everything is removed."""
    base = two_tenants.build(name, plan, two_hypervisors, say)
    try:
        scenario = _bordered(base)
        base.lab.tick("a border, and the world behind it")
    except LabError as error:
        logs = base.lab.logs()
        base.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        base.close()
        raise
    return scenario


def _tenant(name: str, **spec: Any) -> dict[str, Any]:
    """A Tenant document."""
    return {"apiVersion": API_VERSION, "kind": "Tenant", "metadata": {"name": name}, "spec": spec}


def _bordered(base: TwoTenants) -> Bordered:
    lab, control = base.lab, base.control
    spec = {"vtep": ADDRESS, "external": True, "border": True}
    host = {"apiVersion": API_VERSION, "kind": "Hypervisor", "metadata": {"name": NAME}, "spec": spec}
    control.apply([host, _tenant(_TENANT, egress="fabric"), _tenant("blue", egress="none")])
    numbers = {t["metadata"]["name"]: int(t["spec"]["l3vni"]) for t in control.get("tenants")}
    l3vni = numbers[_TENANT]
    border = FrrHost(NAME, lab.cell, lab.directory, f"{ADDRESS}/24")
    lab.add(border)
    segment = lab.nodes[BRIDGE]
    link(End(border, UPLINK), End(segment, NAME), UNDERLAY_MTU)
    segment.attach(NAME)  # type: ignore[attr-defined]
    internet = lab.vm("internet")
    link(End(border, _WORLD), End(internet, INTERFACE, "02:1e:00:00:00:01"), VM_MTU)
    border.route_for(l3vni)
    internet.run("ip link set lo up")
    border.run(f"sysctl -qw net.ipv6.conf.{_WORLD}.disable_ipv6=0")
    for gate, length in zip(_GATES, _LENGTHS, strict=True):
        border.run(f"ip address add {gate}/{length} dev {_WORLD}{' nodad' if ':' in gate else ''}")
    border.run(f"ip link set {_WORLD} up")
    internet.configure("02:1e:00:00:00:01", [f"{a}/{n}" for a, n in zip(OUTSIDE, _LENGTHS, strict=True)])
    for gate, near, far in zip(_GATES, OUTSIDE, FAR, strict=True):
        internet.run(f"ip route replace default via {gate} dev {INTERFACE}\nip address add {far} dev lo")
        border.run(f"ip route replace {far} via {near} dev {_WORLD}")
    reflectors = [r.address for r in lab.reflectors]
    border.start(_configuration(reflectors, Timers()), zebra=f"vni {l3vni}\n")
    for workload in base.workloads:
        _lead_out(workload.vm)
    return Bordered(base, border, internet, l3vni)


def _lead_out(vm: Vm) -> None:
    for gateway in ("10.0.0.1", "fd00:10::1"):
        vm.run(f"ip route replace default via {gateway} dev {INTERFACE}")


def _configuration(reflectors: list[str], timers: Timers) -> str:
    """bgpd.conf of the border."""
    own = ["198.51.100.0/24", "2001:db8:100::/64"]
    lines = [f"router bgp {ASN}", f" bgp router-id {ADDRESS}", " no bgp default ipv4-unicast"]
    lines += [" no bgp network import-check"]  # a lie has no route behind it
    for peer in reflectors:
        lines += [
            f" neighbor {peer} remote-as {ASN}",
            f" neighbor {peer} update-source {ADDRESS}",
            f" neighbor {peer} timers {timers.keepalive} {timers.hold}",
            f" neighbor {peer} timers connect 1",
        ]
    for version, mark in ((4, "."), (6, ":")):
        lines += [f" address-family ipv{version} unicast"]
        lines += [f"  network {prefix}" for prefix in own if (":" in prefix) == (mark == ":")]
        lines += [" exit-address-family"]
    lines += [" address-family l2vpn evpn"]
    lines += [f"  neighbor {peer} activate" for peer in reflectors]
    lines += ["  advertise-all-vni"]
    for version in (4, 6):
        lines += [f"  advertise ipv{version} unicast", f"  default-originate ipv{version}"]
    return "\n".join([*lines, " exit-address-family", "exit", ""])

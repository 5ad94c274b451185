"""VRFs on the FRR host of `routed`: kernel VRF, L3VNI and router interface for each tenant, and one outside.

Place: lab of the test of symmetric IRB (RFC 9135) between kernels; needs vrf.ko. Must use the product as a
user does: CLI and OVS.

Both tenants have a network `away`, 10.3.0.0/24 and fd00:13::/64, with one port at .40 and ::40, which lives
on the FRR host; its gateway there is FRR's. Red's VRF there also leads to `beyond`: 198.51.100.2 and
2001:db8:100::2 are connected, 192.0.2.0/24 and 2001:db8:200::/48 static. Red's first VM leads to STATICS, and
has BEHIND_RED of it. External network `outside`, a VRF of its own, leads to `world`, 100.64.9.2 and
2001:db8:300::2; blue's first VM has floating IPs of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from topologies.fabrics import ASN
from topologies.nodes.frr import FrrHost
from topologies.nodes.link import VM_MTU, End, link
from topologies.nodes.vm import INTERFACE, Vm
from topologies.scenarios.routed import Routed
from topologies.scenarios.two_tenants import API_VERSION, TENANTS, Document, Workload

AWAY, OUTSIDE = "away", "outside"
SUBNETS = ("10.3.0.0/24", "fd00:13::/64")
GATES = ("10.3.0.1/24", "fd00:13::1/64")
ADDRESSES = ("10.3.0.40", "fd00:13::40")
CONNECTED = ("198.51.100.0/24", "2001:db8:100::/64")
BEYOND = ("198.51.100.2", "2001:db8:100::2")
STATIC = ("192.0.2.0/24", "2001:db8:200::/48")
FURTHER = ("192.0.2.9", "2001:db8:200::9")
"""Behind BEYOND."""
STATICS = ("172.20.1.0/24", "fd00:20::/48")
BEHIND_RED = ("172.20.1.9", "fd00:20::9")
POOLS = ("203.0.113.0/24", "2001:db8:f::/64")
FLOATING = ("203.0.113.21", "2001:db8:f::21")
WORLD = ("100.64.9.2", "2001:db8:300::2")
_BEYOND_GATES = ("198.51.100.1/24", "2001:db8:100::1/64")
_WORLD_GATES = ("100.64.9.1/24", "2001:db8:300::1/64")


@dataclass(frozen=True, slots=True)
class Irb:
    """`away`: by tenant; `vnis`: VRF name -> L3VNI; `macs`: VRF name -> router MAC of the FRR host."""

    routed: Routed
    frr: FrrHost
    away: dict[str, Workload]
    beyond: Vm
    world: Vm
    vnis: dict[str, int]
    macs: dict[str, str]


def extend(routed: Routed) -> Irb:
    """Add all of it to a running lab."""
    lab, control = routed.lab, routed.base.control
    (frr,) = lab.frr_hosts
    host = {"vtep": frr.address, "external": True, "border": True}
    control.apply(
        [
            _document("Hypervisor", str(frr.name), None, host),
            _document("External", OUTSIDE, None, {"pools": list(POOLS)}),
            _document("Tenant", "red", None, {"egress": "fabric"}),
        ]
    )
    control.apply([d for tenant in TENANTS for d in _own(tenant, str(frr.name))])
    red, blue = (routed.base.of(tenant)[0] for tenant in ("red", "blue"))
    for number, (prefix, floating) in enumerate(zip(STATICS, FLOATING, strict=True)):
        way = {"prefix": prefix, "nextHops": [red.addresses[number]]}
        public = {"external": OUTSIDE, "address": floating, "port": blue.port}
        control.apply(
            [
                _document("Route", f"irb-{number}", "red", way),
                _document("FloatingIp", f"irb-{number}", "blue", public),
            ]
        )
    red.vm.run("\n".join(f"ip address add {address} dev lo" for address in BEHIND_RED))
    vnis = {f"vrf-{t['metadata']['name']}": int(t["spec"]["l3vni"]) for t in control.get("tenants")}
    (external,) = (e for e in control.get("externals") if e["metadata"]["name"] == OUTSIDE)
    vnis[f"vrf-{OUTSIDE}"] = int(external["spec"]["vni"])
    macs = {vrf: f"06:00:00:00:01:{number:02x}" for number, vrf in enumerate(vnis)}
    for vrf, l3vni in vnis.items():
        frr.add_vrf(vrf, l3vni, macs[vrf])
    away = {tenant: _seat(routed, frr, tenant) for tenant in TENANTS}
    beyond = _behind(routed, frr, "beyond", "vrf-red", _BEYOND_GATES, BEYOND)
    world = _behind(routed, frr, "world", f"vrf-{OUTSIDE}", _WORLD_GATES, WORLD)
    for static, via, inside in zip(STATIC, BEYOND, FURTHER, strict=True):
        frr.run(f"ip route add {static} via {via} vrf vrf-red")
        beyond.run(f"ip link set lo up\nip address add {inside} dev lo")
    frr.vtysh(*_configuration(frr.address, vnis))
    return Irb(routed, frr, away, beyond, world, vnis, macs)


def _document(kind: str, name: str, tenant: str | None, spec: Document) -> Document:
    metadata = {"name": name} | ({"tenant": tenant} if tenant else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _own(tenant: str, host: str) -> list[Document]:
    port = {"network": AWAY, "addresses": list(ADDRESSES), "hosts": [host]}
    return [
        _document("Network", AWAY, tenant, {"subnets": list(SUBNETS)}),
        _document("Port", AWAY, tenant, port),
    ]


def _seat(routed: Routed, frr: FrrHost, tenant: str) -> Workload:
    """The tenant's port of `away`, bridged on the FRR host, whose bridge is a router interface of the VRF."""
    control = routed.base.control
    (port,) = control.get("port", AWAY, "--tenant", tenant)
    (network,) = control.get("network", AWAY, "--tenant", tenant)
    vni, spec = int(network["spec"]["vni"]), port["spec"]
    frr.add_network(vni)
    frr.gate(f"br{vni}", f"vrf-{tenant}", GATES)
    vm = routed.lab.vm(f"{tenant}-away")
    cidrs = tuple(f"{a}/{64 if ':' in a else 24}" for a in ADDRESSES)
    ifname = f"tap-{vm.name}"
    frr.plug(vm, ifname, vni, spec["mac"], cidrs)
    _lead_out(vm, GATES)
    return Workload(tenant, AWAY, port["metadata"]["uid"], spec["mac"], cidrs, str(frr.name), vm, ifname)


def _behind(
    routed: Routed, frr: FrrHost, name: str, vrf: str, gates: tuple[str, str], addresses: tuple[str, str]
) -> Vm:
    """A host on a link of its own to a VRF."""
    vm = routed.lab.vm(name)
    link(End(frr, name), End(vm, INTERFACE), VM_MTU)
    frr.gate(name, vrf, gates)
    vm.configure("", [f"{a}/{g.partition('/')[2]}" for a, g in zip(addresses, gates, strict=True)])
    _lead_out(vm, gates)
    return vm


def _lead_out(vm: Vm, gates: tuple[str, str]) -> None:
    vm.run("\n".join(f"ip route replace default via {g.partition('/')[0]} dev {INTERFACE}" for g in gates))


def _configuration(address: str, vnis: dict[str, int]) -> list[str]:
    """vtysh's lines: in each VRF what is connected goes out as RT-5, in red's the static routes, too."""
    lines = ["configure terminal"]
    for vrf, l3vni in vnis.items():
        lines += [f"vrf {vrf}", f"vni {l3vni}", "exit-vrf"]
        lines += [f"router bgp {ASN} vrf {vrf}", f"bgp router-id {address}"]
        for version, static in ((4, STATIC[0]), (6, STATIC[1])):
            lines += [f"address-family ipv{version} unicast", "redistribute connected"]
            lines += [f"network {static}"] if vrf == "vrf-red" else []
            lines += ["exit-address-family"]
        lines += ["address-family l2vpn evpn", "advertise ipv4 unicast", "advertise ipv6 unicast"]
        lines += ["exit-address-family", "exit"]
    return lines
